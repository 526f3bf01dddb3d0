# What exists only in a clone, never in the machine that is deployed: the root shell's agent and a console
# that logs in by itself.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;
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
    systemd.services.diorama-agent = {
      description = "Root shell of the clone";
      wantedBy = [ "sysinit.target" ];
      before = [ "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig.DefaultDependencies = false;
      startLimitIntervalSec = 0;
      environment = { HOME = "/root"; USER = "root"; LOGNAME = "root"; SHELL = "/bin/bash"; LANG = config.i18n.defaultLocale; }
        // lib.optionalAttrs (config.systemd.globalEnvironment != { }) {
        # A command run from outside has what every service has.
        DIORAMA_PASS = lib.concatStringsSep " " (builtins.attrNames config.systemd.globalEnvironment);
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
