# HAProxy, configured in its own words.
{ config, lib, pkgs, diorama, ... }:
let
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.haproxy;
  file = diorama.build.writeText "haproxy.cfg" ''
    global
      user ${cfg.user}
      group ${cfg.group}
    ${cfg.config}
  '';
in
{
  options.services.haproxy = {
    enable = mkEnableOption "HAProxy, a load balancer";
    package = mkOption { type = types.package; default = pkgs.haproxy; defaultText = lib.literalExpression "pkgs.haproxy"; description = "The package."; };
    user = mkOption { type = types.str; default = "haproxy"; description = "The account it runs as."; };
    group = mkOption { type = types.str; default = "haproxy"; description = "The group it runs as."; };
    config = mkOption { type = types.lines; default = ""; description = "The configuration: defaults, frontend, backend and listen sections."; };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."haproxy.cfg".source = file;
    users.users = lib.mkIf (cfg.user == "haproxy") { haproxy = { isSystemUser = true; inherit (cfg) group; }; };
    users.groups = lib.mkIf (cfg.group == "haproxy") { haproxy = { }; };
    systemd.services.haproxy = {
      description = "HAProxy";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      serviceConfig = {
        Type = "notify";
        RuntimeDirectory = "haproxy";
        ExecStart = "/usr/sbin/haproxy -Ws -f ${file} -p /run/haproxy/haproxy.pid";
        ExecReload = "/bin/kill -USR2 $MAINPID";
        KillMode = "mixed";
        SuccessExitStatus = 143;
        Restart = "always";
        RestartSec = 2;
      };
    };
  };
}
