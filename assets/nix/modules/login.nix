# Login on the serial console, PAM, and what the power button does.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;
  cfg = config.services.getty;
in
{
  options.services.getty = {
    autologinUser = mkOption { type = types.nullOr types.str; default = null; description = "Who is logged in on the console without being asked."; };
    greetingLine = mkOption { type = types.str; default = "Debian GNU/Linux 12 \\n \\l"; description = "The line above the login prompt."; };
    helpLine = mkOption { type = types.lines; default = ""; description = "Lines below the greeting."; };
    extraArgs = mkOption { type = types.listOf types.str; default = [ ]; description = "Further arguments of agetty."; };
  };
  options.security.pam.services = mkOption { type = types.attrsOf types.attrs; default = { }; internal = true; description = "Accepted for NixOS' sake."; };

  config = {
    environment.etc = {
      "issue".text = "${cfg.greetingLine}\n${cfg.helpLine}\n";
      "pam.d/common-auth".text = ''
        auth [success=1 default=ignore] pam_unix.so nullok
        auth requisite pam_deny.so
        auth required pam_permit.so
      '';
      "pam.d/common-account".text = ''
        account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so
        account requisite pam_deny.so
        account required pam_permit.so
      '';
      "pam.d/common-password".text = ''
        password [success=1 default=ignore] pam_unix.so obscure yescrypt
        password requisite pam_deny.so
        password required pam_permit.so
      '';
      "pam.d/common-session".text = ''
        session [default=1] pam_permit.so
        session requisite pam_deny.so
        session required pam_permit.so
        session required pam_unix.so
      '';
      "pam.d/common-session-noninteractive".text = ''
        session [default=1] pam_permit.so
        session requisite pam_deny.so
        session required pam_permit.so
        session required pam_unix.so
      '';
      # Short: every module is loaded anew at each login of an emulated machine.
      "pam.d/login".text = ''
        auth include common-auth
        account include common-account
        session include common-session
        password include common-password
      '';
      # The power button ends the machine in order, with no login manager to ask.
      "acpid.conf".text = "PWRF power-button\n";
      "acpi/power-button".source = build.writeScript "power-button" "#!/bin/sh\nexec /usr/bin/systemctl --no-block --job-mode=replace-irreversibly start poweroff.target\n";
    };

    systemd.services = {
      # systemd itself uses /usr to the end, and would complain that it cannot be unmounted.
      last-root = {
        description = "Root of the last steps";
        wantedBy = [ "shutdown.target" ];
        before = [ "shutdown.target" "umount.target" ];
        unitConfig.DefaultDependencies = false;
        serviceConfig.Type = "oneshot";
        script = ''
          mkdir -p /run/initramfs/bin
          cp /usr/bin/busybox /run/initramfs/bin/
          install -m 0755 ${build.writeText "shutdown" (builtins.readFile ../../guest/shutdown.sh)} /run/initramfs/shutdown
        '';
      };
      power-button = {
        description = "Power button";
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = "/usr/bin/busybox acpid -f -l /dev/null -p /run/acpid.pid";
      };
      "getty-ttyS0" = {
        description = "Login on the serial console";
        wantedBy = [ "getty.target" ];
        before = [ "getty.target" ];
        unitConfig = { IgnoreOnIsolate = true; };
        restartIfChanged = false;
        environment.TERM = "xterm-256color";
        serviceConfig = {
          ExecStart = "-/usr/sbin/agetty ${lib.optionalString (cfg.autologinUser != null) "--autologin ${cfg.autologinUser} "}--noclear --keep-baud --local-line ${lib.escapeShellArgs cfg.extraArgs} ttyS0 xterm-256color";
          Type = "idle";
          Restart = "always";
          RestartSec = 0;
          UtmpIdentifier = "ttyS0";
          StandardInput = "tty";
          StandardOutput = "tty";
          TTYPath = "/dev/ttyS0";
          TTYReset = true;
          TTYVHangup = true;
          IgnoreSIGPIPE = false;
          SendSIGHUP = true;
          KillMode = "process";
        };
      };
    };
  };
}
