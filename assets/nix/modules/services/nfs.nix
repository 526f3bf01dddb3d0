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
    {
      # The rule of a package that only comes along, about a user that does not exist.
      environment.etc."tmpfiles.d/rpcbind.conf" = lib.mkIf (!config.services.rpcbind.enable) { source = "/dev/null"; };
    }
    (lib.mkIf config.services.nfs.enable { system.extraPackages = [ "nfs-common" ]; })
    (lib.mkIf (config.services.nfs.enable || cfg.enable) {
      # nfs-common names Python for a tool that is not used here.
      system.standIns = [ "python3" ];
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

      systemd.services.nfs-prepare = {
        description = "NFS server's file systems and exported directories";
        after = [ "network-setup.service" "local-fs.target" ];
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
        script = ''
          ${lib.optionalString cfg.createMountPoints (lib.concatMapStrings (directory: ''
            [ -e ${lib.escapeShellArg directory} ] || mkdir -p -m 1777 ${lib.escapeShellArg directory}
          '') directories)}
          modprobe nfsd
          mkdir -p /run/rpc_pipefs /var/lib/nfs/nfsdcld
          [ -e /proc/fs/nfsd/threads ] || mount -t nfsd nfsd /proc/fs/nfsd
          [ -d /run/rpc_pipefs/nfsd ] || mount -t rpc_pipefs sunrpc /run/rpc_pipefs
        '';
      };
      # Knows which clients there were, so that a server without any serves at once instead of waiting for
      # them to claim their locks again.
      systemd.services.nfsdcld = {
        description = "NFS server's memory of its clients";
        after = [ "nfs-prepare.service" ];
        requires = [ "nfs-prepare.service" ];
        serviceConfig = { ExecStart = "/usr/sbin/nfsdcld"; Type = "forking"; };
      };
      # Must answer before the kernel serves: a client that comes in between is told to wait, and waits long.
      systemd.services.nfs-mountd = {
        description = "NFS server's knowledge of its exports";
        after = [ "nfs-prepare.service" ];
        requires = [ "nfs-prepare.service" ];
        serviceConfig = { ExecStart = "/usr/sbin/rpc.mountd --no-nfs-version 2 --no-nfs-version 3"; Type = "forking"; };
      };
      systemd.services.nfs-server = {
        description = "NFS server";
        wantedBy = [ "multi-user.target" ];
        after = [ "nfs-prepare.service" "nfsdcld.service" "nfs-mountd.service" ];
        requires = [ "nfs-prepare.service" "nfs-mountd.service" ];
        wants = [ "nfsdcld.service" ];
        restartTriggers = [ cfg.exports ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = [ "/usr/sbin/exportfs -ra" "/usr/sbin/rpc.nfsd" ];
          ExecReload = "/usr/sbin/exportfs -ra";
          ExecStop = [ "/usr/sbin/rpc.nfsd 0" "/usr/sbin/exportfs -au" ];
        };
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
