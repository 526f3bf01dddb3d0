# dnsmasq: names and addresses (DNS and DHCP) for a network.
{ config, lib, pkgs, diorama, ... }:
let
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.dnsmasq;
  line = name: value:
    if value == true then "${name}\n"
    else if value == false || value == null then ""
    else if builtins.isList value then lib.concatMapStrings (line name) value
    else "${name}=${toString value}\n";
  file = diorama.build.writeText "dnsmasq.conf"
    (lib.concatStrings (lib.mapAttrsToList line cfg.settings) + cfg.extraConfig);
  scalar = types.oneOf [ types.bool types.int types.str ];
in
{
  options.services.dnsmasq = {
    enable = mkEnableOption "dnsmasq, a small server of names and addresses";
    package = mkOption { type = types.package; default = pkgs.dnsmasq-base; defaultText = lib.literalExpression "pkgs.dnsmasq-base"; description = "The package."; };
    settings = mkOption {
      type = types.attrsOf (types.nullOr (types.either scalar (types.listOf scalar)));
      default = { };
      example = { interface = "eth2"; dhcp-range = [ "192.168.2.100,192.168.2.200" ]; };
      description = "Settings, as in dnsmasq(8) without the dashes; a list sets the same one several times.";
    };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of the configuration."; };
    resolveLocalQueries = mkOption { type = types.bool; default = false; description = "Whether the machine itself asks it for names. (NixOS' default is true.)"; };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."dnsmasq.conf".source = file;
    networking.nameservers = lib.mkIf cfg.resolveLocalQueries [ "127.0.0.1" ];
    users.users.dnsmasq = { isSystemUser = true; group = "dnsmasq"; };
    users.groups.dnsmasq = { };
    services.dnsmasq.settings.dhcp-leasefile = lib.mkDefault "/var/lib/dnsmasq/dnsmasq.leases";
    systemd.services.dnsmasq = {
      description = "dnsmasq";
      wantedBy = [ "multi-user.target" ];
      after = [ "network-setup.service" ];
      serviceConfig = {
        StateDirectory = "dnsmasq";
        ExecStart = "/usr/sbin/dnsmasq -k --user=dnsmasq --group=dnsmasq -C ${file}";
        ExecReload = "/bin/kill -HUP $MAINPID";
        Restart = "on-failure";
        RestartSec = 2;
      };
    };
  };
}
