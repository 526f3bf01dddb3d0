# What exists only in a machine that is deployed, never in its clone: a store of its own, the SSH server by which it
# is reached, and the program that switches from one system to another.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build packages;
  inherit (lib) mkOption types;
  host = import ../debian/host.nix { inherit lib build packages; };
  script = name: source: "${build.run name ../debian/builders/copy-program.sh { inherit source; }}";

  entries = builtins.filter (entry: entry.enable) (builtins.attrValues config.environment.etc);
  trees = host.treesOf {
    names = config.system.build.packages;
    kernelPackage = config.system.build.kernelPackage;
    inherit (config.system) extraTrees;
  };
  kernelVersion = lib.removePrefix "linux-image-" config.system.build.kernelPackage;

  activate = build.writeScript "activate" ''
    #!/bin/sh
    # Run before systemd at every start, and by every switch: activate SYSTEM
    set -eu
    PATH=/usr/sbin:/usr/bin
    export PATH
    system=$1
    perl ${script "host-etc" ../../guest/host-etc.pl} "$system"
    if [ ! -s /var/lib/machine-id ]; then
      tr -d - < /proc/sys/kernel/random/uuid > /var/lib/machine-id.new
      mv /var/lib/machine-id.new /var/lib/machine-id
    fi
    [ -s /etc/machine-id ] || cp /var/lib/machine-id /etc/machine-id
    set +eu
    ${config.system.activation}
    true
  '';

  # What a clone has and a host must not.
  backDoors =
    lib.optional (config.systemd.services ? diorama-agent) "the root shell's agent (systemd.services.diorama-agent)"
    ++ lib.optional (config.services.getty.autologinUser != null) "a console that logs in by itself (services.getty.autologinUser)"
    ++ lib.concatLists (lib.mapAttrsToList
      (name: user: lib.optional (user.hashedPassword == "") "an empty password (users.users.${name}.hashedPassword)")
      config.users.users)
    ++ lib.optional (lib.any (lib.hasPrefix "diorama.layers=") config.boot.kernelParams) "disks shared with others (boot.kernelParams)";
in
{
  options.system.build = {
    host = mkOption { type = types.package; internal = true; description = "The complete system of a host."; };
    image = mkOption { type = types.package; internal = true; description = "A bootable disk with the system; the file is `disk.qcow2`."; };
  };

  config = lib.mkIf (!config.virtualisation.clone) {
    assertions = [
      {
        assertion = backDoors == [ ];
        message = "a host may not have what opens a clone to everybody: ${lib.concatStringsSep ", " backDoors}";
      }
      {
        assertion = builtins.storeDir == "/nix/store";
        message = "a host has its packages in /nix/store, and this machine's Nix builds into ${builtins.storeDir}; build where /nix/store can be written";
      }
    ];

    services.openssh.enable = lib.mkDefault true;
    system.extraPackages = [ "nix-bin" "openssh-client" ];
    # Nix's scripts in Perl, which are not used here.
    system.standIns = [ "perl" "libdbd-sqlite3-perl" "libwww-curl-perl" ];

    environment.etc = {
      "nix/nix.conf".text = ''
        build-users-group =
        sandbox = false
        substitute = false
      '';
      "diorama-host".text = "1\n";
    };

    systemd.services = {
      nix-registration = {
        description = "The disk's first entries in Nix' database";
        wantedBy = [ "multi-user.target" ];
        before = [ "sshd.service" ];
        restartIfChanged = false;
        unitConfig.ConditionPathExists = "/nix/var/nix/registration";
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
        script = ''
          nix-store --load-db < /nix/var/nix/registration
          mv /nix/var/nix/registration /nix/var/nix/registration.done
        '';
        environment.HOME = "/root";
      };
      grow-root = {
        description = "The root file system's growth to its disk's size";
        restartIfChanged = false;
        wantedBy = [ "multi-user.target" ];
        unitConfig.ConditionPathExists = "/run/diorama/grow-root";
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
        script = ''
          resize2fs "$(findmnt -n -o SOURCE /)"
          rm -f /run/diorama/grow-root
        '';
      };
    };

    system.build = {
      host = build.linkTree "system-${config.networking.hostName}" [
        { path = "etc"; source = host.etcOf trees (map (entry: { path = entry.target; source = "${entry.source}"; }) entries); }
        { path = "usr-trees"; source = build.writeText "usr-trees" (lib.concatMapStrings (tree: "${tree}\n") trees); }
        { path = "modes"; source = config.system.build.etcModes; }
        { path = "packages"; source = config.system.build.packageList; }
        { path = "activate"; source = activate; }
        { path = "compose-usr"; source = script "compose-usr" ../../guest/host-compose-usr.sh; }
        { path = "kernel"; source = "${packages.unpacked.${config.system.build.kernelPackage}}/boot/vmlinuz-${kernelVersion}"; }
        { path = "initrd"; source = "${config.system.build.initrd}/initrd"; }
        { path = "kernel-params"; source = build.writeText "kernel-params" "${lib.concatStringsSep " " config.boot.kernelParams}\n"; }
        { path = "boot-menu"; source = script "boot-menu" ../../guest/host-grub.pl; }
        { path = "bin/switch-to-configuration"; source = script "switch-to-configuration" ../../guest/switch-to-configuration.pl; }
      ];
      image = host.diskImage {
        name = config.networking.hostName;
        names = config.system.build.packages;
        inherit (config.system.build) toplevel;
        size = let size = config.virtualisation.diskSize or null; in if size == null then 4096 else size;
      };
    };
  };
}
