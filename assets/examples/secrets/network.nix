# A service with a password that is in no store: `diorama up`, or `diorama test test.nix`.
#
# The password is made anew wherever the network goes, since nobody has to know it; `keyFile` and `text` would name one.
{
  machine = { config, ... }: {
    deployment.keys.password = {
      keyCommand = [ "sh" "-c" "head -c 15 /dev/urandom | base64" ];
      user = "www-data";
      group = "keys";
      permissions = "0400";
    };
    # It waits for the password, and its end is the password's.
    systemd.services.reader = {
      wantedBy = [ "multi-user.target" ];
      bindsTo = [ "password-key.service" ];
      after = [ "password-key.service" ];
      serviceConfig = { User = "www-data"; SupplementaryGroups = [ "keys" ]; Type = "oneshot"; RemainAfterExit = true; };
      script = "test $(wc -c < ${config.deployment.keys.password.path}) -eq 21";
    };
  };
}
