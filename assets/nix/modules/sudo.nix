# sudo, and the place where programs may become another user.
#
# Nothing in the store or in /usr is set-uid: what has to be is copied at every start to a file system of its own,
# /run/wrappers, under NixOS' name.
{ config, lib, diorama, ... }:
let
  inherit (lib) mkOption mkEnableOption types;
  inherit (diorama) packages;
  cfg = config.security.sudo;
in
{
  options.security.sudo = {
    enable = mkEnableOption "sudo, for the group wheel";
    wheelNeedsPassword = mkOption { type = types.bool; default = true; description = "Whether those in the group wheel are asked for their password."; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of /etc/sudoers."; };
  };

  config = lib.mkIf cfg.enable {
    system.extraPackages = [ "sudo" ];
    environment.etc = {
      "sudoers" = {
        mode = "0440";
        text = ''
          Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
          root ALL=(ALL:ALL) ALL
          %wheel ALL=(ALL:ALL) ${lib.optionalString (!cfg.wheelNeedsPassword) "NOPASSWD: "}ALL
          ${cfg.extraConfig}
        '';
      };
      "pam.d/sudo".text = ''
        auth include common-auth
        account include common-account
        session include common-session-noninteractive
      '';
      "profile.d/wrappers.sh".text = "PATH=/run/wrappers/bin:$PATH\n";
    };
    # For commands over SSH, which read no profile.
    services.openssh.settings.SetEnv = lib.mkDefault "PATH=/run/wrappers/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    systemd.services.setuid-wrappers = {
      description = "Programs that become another user";
      wantedBy = [ "multi-user.target" ];
      before = [ "sshd.service" ];
      restartTriggers = [ packages.unpacked.sudo or "sudo" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      script = ''
        mkdir -p /run/wrappers
        mountpoint -q /run/wrappers || mount -t tmpfs -o mode=0755,nodev,size=16m tmpfs /run/wrappers
        mkdir -p /run/wrappers/bin
        # Beside it and renamed: whoever calls it finds the old one or the new one.
        install -m 4755 /usr/bin/sudo /run/wrappers/bin/sudo.new
        mv /run/wrappers/bin/sudo.new /run/wrappers/bin/sudo
      '';
    };
  };
}
