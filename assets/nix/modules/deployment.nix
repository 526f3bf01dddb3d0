# deployment.*: where a node is in production and how it is reached, for who has no infrastructure model of its own.
# The names are Colmena's, NixOps' and morph's.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = config.deployment;
  refused = description: mkOption { type = types.attrs; default = { }; inherit description; };
  accepted = description: mkOption { type = types.bool; default = false; inherit description; };

  # A secret's text. Its type's own errors name the place and never the value, as those of others do.
  secret = types.mkOptionType {
    name = "secret text";
    description = "text, which is not shown";
    check = _: true;
    merge = loc: defs:
      let values = map (def: def.value) defs; first = builtins.head values; in
      if lib.all (value: (value == null || builtins.isString value) && value == first) values then first
      else throw "The option `${lib.concatStringsSep "." (builtins.filter builtins.isString loc)}' must be one text, said once (what was said is not shown)";
  };
  # A path is named, never copied: the store can be read by everybody.
  file = types.either types.path types.str;
  uploadAt = mkOption {
    type = types.enum [ "pre-activation" "post-activation" ];
    default = "pre-activation";
    description = "Whether it is put there before the new system is activated or after.";
  };
  permissions = default: mkOption { type = types.str; inherit default; description = "The file's permissions, in octal digits."; };

  key = { name, config, ... }: {
    options = {
      text = mkOption { type = secret; default = null; description = "The secret itself, which is then in the model's file for everybody to read."; };
      keyCommand = mkOption { type = types.nullOr (types.listOf types.str); default = null; example = [ "pass" "show" "db" ]; description = "The command that prints the secret on the machine that deploys, a word an entry; no shell reads it."; };
      keyFile = mkOption { type = types.nullOr file; default = null; apply = value: if value == null then null else toString value; description = "The file that holds the secret on the machine that deploys; a relative name is meant from the model's directory."; };
      destDir = mkOption { type = file; default = "/run/keys"; apply = toString; description = "The directory on the host."; };
      name = mkOption { type = types.str; default = name; description = "The file's name in it."; };
      path = mkOption { type = types.str; default = "${config.destDir}/${config.name}"; defaultText = "destDir/name"; description = "The file, for modules that name it."; };
      user = mkOption { type = types.str; default = "root"; description = "Whose the file is."; };
      group = mkOption { type = types.str; default = "root"; description = "The file's group."; };
      permissions = permissions "0600";
      inherit uploadAt;
    };
  };
  morph = {
    options = {
      source = mkOption { type = file; apply = toString; description = "The file that holds the secret on the machine that deploys; a relative name is meant from the model's directory."; };
      destination = mkOption { type = file; apply = toString; description = "The file on the host."; };
      owner.user = mkOption { type = types.str; default = "root"; description = "Whose the file is."; };
      owner.group = mkOption { type = types.str; default = "root"; description = "The file's group."; };
      permissions = permissions "0400";
      mkDirs = mkOption { type = types.bool; default = true; description = "Whether directories that are not there are made."; };
      action = mkOption { type = types.listOf types.str; default = [ ]; example = [ "systemctl" "reload" "nginx.service" ]; description = "The command that is run on the host when the file was put there, a word an entry."; };
      inherit uploadAt;
    };
  };

  # What must hold of every secret, whichever tool's words it is in.
  carried = lib.mapAttrsToList (name: k: { option = "deployment.keys"; inherit name; inherit (k) path user group permissions; sources = lib.count (s: s != null) [ k.text k.keyCommand k.keyFile ]; }) own.keys
    ++ lib.mapAttrsToList (name: s: { option = "deployment.secrets"; inherit name; inherit (s.owner) user group; inherit (s) permissions; path = s.destination; sources = 1; }) own.secrets;
  rules = c:
    let is = pattern: text: builtins.match pattern text != null; in
    map ({ ok, why }: { assertion = ok; message = "${c.option}.${c.name}: ${why}"; }) [
      { ok = is "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}" c.name; why = "its name may have letters, digits and _.-, and begins with a letter or digit"; }
      { ok = c.sources == 1; why = "it has ${if c.sources == 0 then "no source" else "several sources"}; give one of text, keyCommand and keyFile"; }
      { ok = is "/[A-Za-z0-9_.@+:=,~/-]*[A-Za-z0-9_.@+:=,~-]" c.path && !(is ".*/[.]{1,2}(/.*)?" c.path); why = "`${c.path}' cannot be its place on a host: an absolute path of letters, digits and _.@+:=,~-"; }
      { ok = !(is "/nix(/.*)?" c.path); why = "`${c.path}' is in the store, which everybody can read"; }
      { ok = is "0?[0-7]{3}" c.permissions; why = "permissions are three octal digits such as \"0400\", not `${c.permissions}'"; }
      { ok = is "[A-Za-z0-9_][A-Za-z0-9_.-]*" c.user && is "[A-Za-z0-9_][A-Za-z0-9_.-]*" c.group; why = "`${c.user}' and `${c.group}' must be a user and a group"; }
    ];
  twice = field: lib.attrNames (lib.filterAttrs (_: list: builtins.length list > 1) (builtins.groupBy (c: c.${field}) carried));
in
{
  # What other tools' networks ask for and cannot be had is refused, not forgotten.
  config.assertions = lib.concatMap rules carried
    ++ map (name: { assertion = false; message = "deployment.keys.${name} and deployment.secrets.${name}: two secrets of one name; rename one"; }) (twice "name")
    ++ map (path: { assertion = false; message = "deployment: two secrets are to be at ${path}"; }) (twice "path")
    ++ [
    {
      assertion = own.targetEnv == "none";
      message = "deployment.targetEnv = \"${own.targetEnv}\": machines are not made in clouds here; make them with another tool, and name them with targetHost";
    }
    {
      assertion = own.preDeployChecks == { };
      message = "deployment.preDeployChecks: a plan makes the healthChecks before a deployment; say these there";
    }
  ];

  options.deployment = {
    keys = mkOption {
      type = types.attrsOf (types.coercedTo types.str (text: { inherit text; }) (types.submodule key));
      default = { };
      example = { db-password = { keyCommand = [ "pass" "show" "db" ]; user = "postgres"; }; };
      description = "Secrets by name, in Colmena's and NixOps' words. They are put on the host, and into the clone, and are in no store.";
    };
    secrets = mkOption {
      type = types.attrsOf (types.coercedTo types.str
        (_: throw "deployment.secrets: a secret is a set with `source' and `destination', not text (what was said is not shown)")
        (types.submodule morph));
      default = { };
      example = { tls = { source = "tls.key"; destination = "/var/lib/web/tls.key"; }; };
      description = "Secrets by name, in morph's words.";
    };
    preDeployChecks = refused "morph's checks before a deployment, which are refused.";
    targetEnv = mkOption { type = types.str; default = "none"; description = "NixOps' kind of machine; only `none' means something here."; };
    hasFastConnection = accepted "Accepted for NixOps' sake; the line's speed is measured.";
    alwaysActivate = accepted "Accepted for NixOps' sake.";
    substituteOnDestination = accepted "Accepted for morph's sake.";
    tags = mkOption { type = types.listOf types.str; default = [ ]; description = "Words to select nodes by."; };
    targetHost = mkOption { type = types.nullOr types.str; default = null; example = "web.example.org"; description = "The host's name or address; the node's name when null."; };
    targetPort = mkOption { type = types.nullOr types.int; default = null; description = "SSH's port."; };
    targetUser = mkOption { type = types.nullOr types.str; default = null; description = "Who logs in; root when null."; };
    sshOptions = mkOption { type = types.listOf types.str; default = [ ]; example = [ "-J" "gate.example.org" ]; description = "Further words for ssh."; };
    privilegeEscalationCommand = mkOption { type = types.listOf types.str; default = [ "sudo" "-H" "--" ]; description = "What a user other than root becomes root with."; };
    buildOnTarget = mkOption { type = types.bool; default = false; description = "Whether the host builds its own system."; };
    after = mkOption { type = types.listOf types.str; default = [ ]; example = [ "database" ]; description = "Nodes that are activated before this one."; };
    healthChecks = mkOption {
      type = types.either (types.listOf types.attrs) types.attrs;
      default = [ ];
      example = [{ kind = "http"; port = 80; path = "/"; status = 200; body = "Welcome"; timeout = 30; }];
      description = "What must hold before a deployed system is kept: { command; }, { port; } or { kind = \"http\"; port; path; status; body; }, each with a timeout in seconds; or morph's set.";
    };
    allowLocalDeployment = mkOption { type = types.bool; default = false; description = "Accepted for Colmena's sake."; };
    replaceUnknownProfiles = mkOption { type = types.bool; default = true; description = "Accepted for Colmena's sake; the drift guard asks instead."; };
  };
}
