# What exists only in a clone, never in the machine that is deployed: the root shell's agent and a console
# that logs in by itself, and what test scripts expect of a machine.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;
  sudo = build.writeScriptBin "sudo" (builtins.readFile ../../guest/sudo.sh);
  variables = builtins.mapAttrs
    (name: value: if builtins.isList value then lib.concatStringsSep ":" value else toString value)
    config.environment.variables;
  passed = lib.unique (builtins.attrNames config.systemd.globalEnvironment ++ builtins.attrNames (builtins.removeAttrs variables [ "PATH" ]));
  agent = build.runCommand "agent.pl" { source = ../../guest/agent.pl; } ''cp "$source" "$out"'';
in
{
  options.virtualisation.clone = mkOption {
    type = types.bool;
    default = false;
    internal = true;
    description = "Whether this is a clone, run for people to look into.";
  };

  config = lib.mkIf config.virtualisation.clone {
    services.getty.autologinUser = lib.mkDefault "root";
    # Test scripts run commands as other users by it; as root they need no set-uid program.
    environment.systemPackages = [ sudo ];
    systemd.services.diorama-agent = {
      description = "Root shell of the clone";
      wantedBy = [ "sysinit.target" ];
      before = [ "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig.DefaultDependencies = false;
      startLimitIntervalSec = 0;
      environment = { HOME = "/root"; USER = "root"; LOGNAME = "root"; SHELL = "/bin/bash"; LANG = config.i18n.defaultLocale; }
        // builtins.removeAttrs variables [ "PATH" ]
        // lib.optionalAttrs (passed != [ ]) {
        # A command run from outside has what every service has, and what a login shell has.
        DIORAMA_PASS = lib.concatStringsSep " " passed;
      };
      serviceConfig = {
        ExecStart = "/usr/bin/perl ${agent}";
        Restart = "always";
        RestartSec = 1;
        WorkingDirectory = "/root";
        KillMode = "control-group";
      };
    };
  };
}
