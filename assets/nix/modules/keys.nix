# What a machine has for the secrets that are put on it (deployment.keys): the group that may look into /run/keys, and
# for every key a unit NAME-key.service, which is active while the file is there, for others to come after.
#
# Nothing runs for it: systemd watches the file. Only a unit that needs a key before it is there has somebody wait.
{ config, lib, ... }:
let
  keys = config.deployment.keys;
  each = suffix: make: lib.mapAttrs' (name: key: lib.nameValuePair "${name}-key${suffix}" (make name (lib.escapeShellArg key.path))) keys;
  watch = condition: lib.mapAttrs' (name: key: lib.nameValuePair "${name}-key${lib.optionalString (condition == "PathChanged") "-gone"}" {
    description = "The place of the key ${name}";
    wantedBy = [ "paths.target" ];
    pathConfig.${condition} = key.path;
  }) keys;
in
{
  config = lib.mkIf (keys != { }) {
    # NixOS' number.
    users.groups.keys.gid = lib.mkDefault 96;
    systemd.paths = watch "PathExists" // watch "PathChanged";
    systemd.services = each "" (name: path: {
      description = "The key ${name}";
      script = "while [ ! -e ${path} ]; do sleep 1; done";
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; TimeoutStartSec = "infinity"; };
    }) // each "-gone" (name: path: {
      description = "The end of the key ${name}";
      script = "[ -e ${path} ] || systemctl stop --no-block ${lib.escapeShellArg "${name}-key.service"}";
      serviceConfig.Type = "oneshot";
    });
  };
}
