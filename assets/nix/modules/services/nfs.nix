# NFS server and client, version 4 alone: it needs no port mapper, and one port.
{ config, lib, diorama, ... }:
let
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.nfs.server;

  # The directories that /etc/exports names: the first word of each line.
  words = line: builtins.filter (word: word != "") (lib.splitString " " (lib.replaceStrings [ "\t" ] [ " " ] line));
  directories = lib.unique (lib.concatMap
    (line:
      let all = words line; in
      if all == [ ] || lib.hasPrefix "#" (builtins.head all) then [ ] else [ (builtins.head all) ])
    (lib.splitString "\n" cfg.exports));
in
{
  options.services.nfs = {
    enable = mkOption { type = types.bool; default = false; description = "Whether NFS shares can be mounted; a file system of that type turns it on by itself."; };
    server = {
      enable = mkEnableOption "the NFS server";
      exports = mkOption {
        type = types.lines;
        default = "";
        example = "/repos webserver(rw)";
        description = "Lines of exports(5). Directories that do not exist are made, writable for everyone.";
      };
      createMountPoints = mkOption { type = types.bool; default = true; description = "Whether exported directories are made when they do not exist."; };
      nproc = mkOption { type = types.nullOr types.int; default = null; description = "How many threads serve."; };
      hostName = mkOption { type = types.nullOr types.str; default = null; description = "The address to listen on; all when null."; };
      extraNfsdConfig = mkOption { type = types.lines; default = ""; description = "Further settings of the [nfsd] section of nfs.conf."; };
    };
  };
  options.services.rpcbind.enable = mkEnableOption "the port mapper, which NFS version 4 does not need";

  config = lib.mkMerge [
    (lib.mkIf config.services.nfs.enable { system.extraPackages = [ "nfs-common" ]; })
    (lib.mkIf (config.services.nfs.enable || cfg.enable) {
      # nfs-common names Python for a tool that is not used here.
      system.standIns = [ "python3" ];
      environment.etc."tmpfiles.d/rpcbind.conf" = lib.mkIf (!config.services.rpcbind.enable) { source = "/dev/null"; };
    })
    (lib.mkIf cfg.enable {
      system.extraPackages = [ "nfs-kernel-server" ];
      environment.etc."exports".text = cfg.exports;
      environment.etc."nfs.conf".text = ''
        [nfsd]
        vers2=n
        vers3=n
        vers4=y
        threads=${toString (if cfg.nproc == null then 4 else cfg.nproc)}
        grace-time=10
        lease-time=10
        ${lib.optionalString (cfg.hostName != null) "host=${cfg.hostName}"}
        ${cfg.extraNfsdConfig}
        [mountd]
        manage-gids=n
        [general]
        pipefs-directory=/run/rpc_pipefs
      '';
      systemd.tmpfiles.rules = [ "d /var/lib/nfs 0755 root root -" "d /var/lib/nfs/v4recovery 0755 root root -" "f /var/lib/nfs/etab 0644 root root -" "f /var/lib/nfs/rmtab 0644 root root -" ];

      # Knows which clients there were, so that a server without any serves at once instead of waiting for
      # them to claim their locks again.
      systemd.services.nfsdcld = {
        description = "NFS server's memory of its clients";
        wantedBy = [ "multi-user.target" ];
        preStart = ''
          mkdir -p /run/rpc_pipefs /var/lib/nfs/nfsdcld
          [ -d /run/rpc_pipefs/nfsd ] || { modprobe nfsd && mount -t rpc_pipefs sunrpc /run/rpc_pipefs; }
        '';
        serviceConfig = { ExecStart = "/usr/sbin/nfsdcld"; Type = "forking"; };
      };
      systemd.services.nfs-server = {
        description = "NFS server";
        wantedBy = [ "multi-user.target" ];
        after = [ "network-setup.service" "local-fs.target" "nfsdcld.service" ];
        wants = [ "nfsdcld.service" ];
        restartTriggers = [ cfg.exports ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStop = [ "/usr/sbin/rpc.nfsd 0" "/usr/sbin/exportfs -au" ];
        };
        reload = "/usr/sbin/exportfs -ra";
        script = ''
          ${lib.optionalString cfg.createMountPoints (lib.concatMapStrings (directory: ''
            [ -e ${lib.escapeShellArg directory} ] || mkdir -p -m 1777 ${lib.escapeShellArg directory}
          '') directories)}
          modprobe nfsd
          [ -e /proc/fs/nfsd/threads ] || mount -t nfsd nfsd /proc/fs/nfsd
          exportfs -ra
          rpc.nfsd
        '';
      };
      systemd.services.nfs-mountd = {
        description = "NFS server's knowledge of its clients";
        wantedBy = [ "multi-user.target" ];
        after = [ "nfs-server.service" ];
        requires = [ "nfs-server.service" ];
        partOf = [ "nfs-server.service" ];
        serviceConfig.ExecStart = "/usr/sbin/rpc.mountd --foreground --no-nfs-version 2 --no-nfs-version 3";
        serviceConfig.Restart = "on-failure";
      };
    })
    (lib.mkIf config.services.rpcbind.enable {
      system.extraPackages = [ "rpcbind" ];
      systemd.services.rpcbind = {
        description = "Port mapper";
        wantedBy = [ "multi-user.target" ];
        after = [ "network-setup.service" ];
        serviceConfig.ExecStart = "/usr/sbin/rpcbind -f -w";
        serviceConfig.RuntimeDirectory = "rpcbind";
      };
    })
  ];
}
