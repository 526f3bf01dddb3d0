# The SSH server. Its host keys are made at the first start and last on the state disk.
{ config, lib, diorama, ... }:
let
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.openssh;
  show = value: if value == true then "yes" else if value == false then "no" else if builtins.isList value then lib.concatStringsSep "," value else toString value;
in
{
  options.services.openssh = {
    enable = mkEnableOption "the SSH server";
    ports = mkOption { type = types.listOf types.port; default = [ 22 ]; description = "The ports."; };
    listenAddresses = mkOption { type = types.listOf types.attrs; default = [ ]; description = "Addresses, as { addr; port; }; all when empty."; };
    openFirewall = mkOption { type = types.bool; default = true; description = "Whether the packet filter lets it through."; };
    settings = mkOption {
      type = types.attrsOf (types.oneOf [ types.bool types.int types.str (types.listOf types.str) ]);
      default = { };
      example = { PermitRootLogin = "prohibit-password"; };
      description = "Settings of sshd_config.";
    };
    permitRootLogin = mkOption { type = types.nullOr types.str; default = null; description = "An older name of settings.PermitRootLogin."; };
    passwordAuthentication = mkOption { type = types.nullOr types.bool; default = null; description = "An older name of settings.PasswordAuthentication."; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of sshd_config."; };
  };

  config = lib.mkIf cfg.enable {
    system.extraPackages = [ "openssh-server" ];
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall cfg.ports;
    services.openssh.settings = {
      PermitRootLogin = lib.mkDefault (if cfg.permitRootLogin != null then cfg.permitRootLogin else "prohibit-password");
      PasswordAuthentication = lib.mkDefault (cfg.passwordAuthentication == true);
      KbdInteractiveAuthentication = lib.mkDefault false;
      UsePAM = lib.mkDefault true;
      UseDNS = lib.mkDefault false;
      X11Forwarding = lib.mkDefault false;
      PrintMotd = lib.mkDefault false;
    };
    environment.etc = {
      "ssh/sshd_config".text = lib.concatMapStrings (port: "Port ${toString port}\n") cfg.ports
        + lib.concatMapStrings (l: "ListenAddress ${l.addr}${lib.optionalString (l ? port) ":${toString l.port}"}\n") cfg.listenAddresses
        + "HostKey /var/lib/ssh/ssh_host_ed25519_key\n"
        + "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u\n"
        + "Subsystem sftp internal-sftp\n"
        + lib.concatStrings (lib.mapAttrsToList (name: value: "${name} ${show value}\n") cfg.settings)
        + cfg.extraConfig;
      "pam.d/sshd".text = ''
        auth include common-auth
        account include common-account
        session include common-session
        password include common-password
      '';
    };
    systemd.services.sshd = {
      description = "SSH server";
      wantedBy = [ "multi-user.target" ];
      after = [ "network-setup.service" ];
      restartTriggers = [ config.environment.etc."ssh/sshd_config".source ];
      # The way in must not be shut while a switch is under way.
      stopIfChanged = false;
      preStart = ''
        mkdir -p -m 0755 /var/lib/ssh /run/sshd
        [ -s /var/lib/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" -C "" -f /var/lib/ssh/ssh_host_ed25519_key
      '';
      serviceConfig = {
        ExecStart = "/usr/sbin/sshd -D -e";
        ExecReload = "/usr/bin/kill -HUP $MAINPID";
        KillMode = "process";
        Restart = "always";
        RestartSec = 2;
      };
    };
  };
}
