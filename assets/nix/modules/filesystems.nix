# fileSystems: what is mounted besides the system itself.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;

  fileSystem = types.submodule ({ name, config, ... }: {
    options = {
      mountPoint = mkOption { type = types.str; default = name; description = "Where it is mounted."; };
      device = mkOption { type = types.nullOr types.str; default = null; description = "What is mounted: a device, or HOST:/PATH."; };
      fsType = mkOption {
        type = types.str;
        default = if config.device != null && builtins.match "[^/].*:/.*" config.device != null then "nfs" else "auto";
        defaultText = "nfs for HOST:/PATH, auto otherwise";
        description = "The file system's type.";
      };
      options = mkOption { type = types.listOf types.str; default = [ "defaults" ]; description = "Mount options."; };
      noCheck = mkOption { type = types.bool; default = false; description = "Accepted for NixOS' sake."; };
      neededForBoot = mkOption { type = types.bool; default = false; description = "Accepted for NixOS' sake."; };
      autoFormat = mkOption { type = types.bool; default = false; description = "Accepted for NixOS' sake."; };
    };
  });

  entries = lib.filterAttrs (name: entry: entry.mountPoint != "/") config.fileSystems;
  isNfs = entry: entry.fsType == "nfs" || entry.fsType == "nfs4";
  nfs = builtins.filter isNfs (builtins.attrValues entries);
  local = builtins.filter (entry: !isNfs entry) (builtins.attrValues entries);
  isDevice = entry: entry.device != null && lib.hasPrefix "/dev/" entry.device;
  optionsOf = entry: lib.concatStringsSep "," entry.options;

  # mount.nfs asks a server that is still starting at growing intervals; a port is asked more often.
  hostOf = entry: lib.replaceStrings [ "[" "]" ] [ "" "" ] (builtins.head (builtins.match "(.+):/.*" entry.device));
  waiting = entry: "wait-for-nfs-${lib.replaceStrings [ "." ":" ] [ "-" "-" ] (hostOf entry)}";
  service = entry: "mount-${lib.replaceStrings [ "/" ] [ "-" ] (lib.removePrefix "/" entry.mountPoint)}";
in
{
  # Under NixOS this one is for clones alone; here both say the same.
  imports = [ (lib.mkAliasOptionModule [ "virtualisation" "fileSystems" ] [ "fileSystems" ]) ];

  options.fileSystems = mkOption {
    default = { };
    example = lib.literalExpression ''{ "/repos" = { device = "storage:/repos"; fsType = "nfs"; }; }'';
    description = "File systems by mount point, or a list of them with a mountPoint each.";
    type = types.coercedTo (types.listOf types.attrs)
      (list: lib.listToAttrs (map (entry: lib.nameValuePair (entry.mountPoint or (throw "an entry of the list fileSystems has no mountPoint")) entry) list))
      (types.attrsOf fileSystem);
  };

  config = {
    system.extraPackages = lib.optional (nfs != [ ]) "nfs-common";

    systemd.mounts = map
      (entry: {
        description = "${entry.device} on ${entry.mountPoint}";
        what = entry.device;
        where = entry.mountPoint;
        type = if entry.fsType == "nfs" then "nfs4" else entry.fsType;
        # The server may still be starting: keep asking.
        options = optionsOf (entry // { options = lib.remove "defaults" entry.options ++ [ "_netdev" "retry=2" ]
          # Without a word about security the client would first load and ask for Kerberos.
          ++ lib.optional (!lib.any (lib.hasPrefix "sec=") entry.options) "sec=sys"; });
        wantedBy = [ "remote-fs.target" ];
        before = [ "remote-fs.target" ];
        after = [ "network-setup.service" "network.target" "${waiting entry}.service" ];
        wants = [ "${waiting entry}.service" ];
        mountConfig.TimeoutSec = 150;
      })
      nfs
    ++ map
      (entry: {
        description = "${toString entry.device} on ${entry.mountPoint}";
        what = if entry.device == null then entry.fsType else entry.device;
        where = entry.mountPoint;
        type = lib.optionalString (entry.fsType != "auto") entry.fsType;
        options = optionsOf entry;
        wantedBy = [ "local-fs.target" ];
        before = [ "local-fs.target" ];
      })
      (builtins.filter (entry: !isDevice entry) local);

    # A mount unit on a block device would wait for a device unit, which only udev makes.
    systemd.services = lib.listToAttrs (map
      (entry: lib.nameValuePair (service entry) {
        description = "${entry.device} on ${entry.mountPoint}";
        wantedBy = [ "local-fs.target" ];
        before = [ "local-fs.target" "shutdown.target" ];
        conflicts = [ "shutdown.target" ];
        unitConfig.DefaultDependencies = false;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStartPre = "/usr/bin/mkdir -p ${entry.mountPoint}";
          ExecStart = "/usr/bin/mount -t ${entry.fsType} -o ${optionsOf entry} ${entry.device} ${entry.mountPoint}";
          ExecStop = "/usr/bin/umount ${entry.mountPoint}";
        };
      })
      (builtins.filter isDevice local) ++ map
      (entry: lib.nameValuePair (waiting entry) {
        description = "Waiting for the NFS server ${hostOf entry}";
        before = [ "remote-fs.target" ];
        after = [ "network-setup.service" ];
        serviceConfig.Type = "oneshot";
        script = ''
          # Meanwhile: loading the client takes seconds in an emulated machine.
          modprobe nfsv4 &
          for attempt in {1..300}; do
            if (exec 3<>/dev/tcp/${hostOf entry}/2049) 2>/dev/null; then break; fi
            sleep 0.4
          done
          wait
        '';
      })
      nfs ++ map
      # A machine that is shut down together with its server would wait for it: the mount is let go first, and
      # what still hangs on it is not waited for.
      (entry: lib.nameValuePair "release${lib.removePrefix "mount" (service entry)}" {
        description = "Letting go of ${entry.mountPoint}";
        # Its end takes the file system away, which a live switch must not.
        restartIfChanged = false;
        wantedBy = [ "remote-fs.target" ];
        unitConfig.RequiresMountsFor = entry.mountPoint;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "/usr/bin/true";
          ExecStop = "-/usr/bin/timeout -s KILL 3 /usr/bin/umount -i -f -l ${entry.mountPoint}";
        };
      })
      nfs);
    systemd.upstreamWants = lib.optional (nfs != [ ]) "multi-user.target.wants/remote-fs.target";
  };
}
