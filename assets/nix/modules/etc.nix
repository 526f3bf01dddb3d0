# environment.etc: files below /etc, as one tree of links.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;

  entries = builtins.filter (entry: entry.enable) (builtins.attrValues config.environment.etc);
  storeName = path: "etc-${lib.strings.sanitizeDerivationName (baseNameOf path)}";
  # The initrd knows numbers only.
  number = kind: name: if lib.hasPrefix "+" name then lib.removePrefix "+" name else toString (config.users.idOf.${kind} name);
  special = builtins.filter (entry: entry.mode != "symlink") entries;
in
{
  # What NixOS sets at a login, and what shells set: here they are one.
  imports = [ (lib.mkAliasOptionModule [ "environment" "sessionVariables" ] [ "environment" "variables" ]) ];

  options.programs.bash.promptInit = mkOption {
    type = types.lines;
    default = "PS1='\\u@\\h:\\w\\$ '";
    description = "Commands of every interactive bash that set its prompt.";
  };
  options.environment = {
    etc = mkOption {
      default = { };
      description = "Files below /etc.";
      example = lib.literalExpression ''{ "motd".text = "Welcome!\n"; }'';
      type = types.attrsOf (types.submodule ({ name, config, ... }: {
        options = {
          enable = mkOption { type = types.bool; default = true; description = "Whether the file is there."; };
          target = mkOption { type = types.str; default = name; description = "The path below /etc."; };
          text = mkOption { type = types.nullOr types.lines; default = null; description = "The file's text."; };
          source = mkOption { type = types.path; description = "The file or directory it leads to."; };
          mode = mkOption { type = types.str; default = "symlink"; example = "0600"; description = "Permissions, or `symlink` for a read-only file that leads to the store."; };
          uid = mkOption { type = types.int; default = 0; description = "The owner's number."; };
          gid = mkOption { type = types.int; default = 0; description = "The group's number."; };
          user = mkOption { type = types.str; default = "+${toString config.uid}"; description = "The owner's name, or + and a number."; };
          group = mkOption { type = types.str; default = "+${toString config.gid}"; description = "The group's name, or + and a number."; };
        };
        config.source = lib.mkIf (config.text != null) (lib.mkDefault (build.writeText (storeName name) config.text));
      }));
    };
    variables = mkOption {
      type = types.attrsOf (types.oneOf [ types.str types.int types.path (types.listOf types.str) ]);
      default = { };
      description = "Variables of every login shell's environment.";
    };
    shellAliases = mkOption { type = types.attrsOf types.str; default = { }; description = "Aliases of interactive shells."; };
    interactiveShellInit = mkOption { type = types.lines; default = ""; description = "Commands that every interactive bash runs."; };
  };

  config = {
    environment.etc = {
      # What Debian's packages write when they are installed.
      "environment".text = lib.mkDefault "";
      "profile".text = lib.mkDefault ''
        # Read by login shells.
        if [ "$(id -u)" -eq 0 ]; then
          PATH=/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        else
          PATH=/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games
        fi
        export PATH
        for file in /etc/profile.d/*.sh; do
          if [ -r "$file" ]; then . "$file"; fi
        done
        unset file
        if [ "''${PS1-}" ] && [ "''${BASH-}" ] && [ "$BASH" != /bin/sh ]; then . /etc/bash.bashrc; fi
      '';
      "bash.bashrc".text = lib.mkDefault ''
        # Read by interactive shells.
        [ "''${PS1-}" ] || return
        shopt -s checkwinsize
        ${config.programs.bash.promptInit}
        ${lib.concatStrings (lib.mapAttrsToList (name: value: "alias ${name}=${lib.escapeShellArg value}\n") config.environment.shellAliases)}
        ${config.environment.interactiveShellInit}
      '';
      "profile.d/environment.sh".text = lib.concatStrings (lib.mapAttrsToList
        (name: value: "export ${name}=${lib.escapeShellArg (if builtins.isList value then lib.concatStringsSep ":" value else toString value)}\n")
        config.environment.variables);
    };

    system.build.etc = build.linkTree "etc" (map (entry: { path = entry.target; source = "${entry.source}"; copy = entry.mode != "symlink"; }) entries);
    # Read by the initrd: changing such a file copies it into /etc's upper layer.
    system.build.etcModes = build.writeText "etc-modes" (lib.concatMapStrings
      (entry: "${entry.mode}\t${number "uid" entry.user}\t${number "gid" entry.group}\t${entry.target}\n")
      special);
  };
}
