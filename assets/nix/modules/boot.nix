# Kernel, its parameters, modules and settings.
{ config, lib, diorama, ... }:
let
  inherit (lib) mkOption types;
  sysctl = config.boot.kernel.sysctl;
  show = value: if value == true then "1" else if value == false then "0" else toString value;
in
{
  options.boot = {
    kernelPackage = mkOption {
      type = types.enum diorama.packages.kernelPackages;
      default = if config.virtualisation.graphics or false then "linux-image-amd64" else "linux-image-cloud-amd64";
      defaultText = "linux-image-cloud-amd64, or linux-image-amd64 with a display";
      description = "The Debian package of the kernel.";
    };
    kernelPackages = mkOption { type = types.unspecified; default = null; description = "Accepted for NixOS' sake; the kernel is Debian's, see boot.kernelPackage."; };
    kernelParams = mkOption { type = types.listOf types.str; default = [ ]; description = "Words of the kernel's command line."; };
    kernelModules = mkOption { type = types.listOf types.str; default = [ ]; description = "Kernel modules loaded at the start."; };
    blacklistedKernelModules = mkOption { type = types.listOf types.str; default = [ ]; description = "Kernel modules that are never loaded by themselves."; };
    extraModprobeConfig = mkOption { type = types.lines; default = ""; description = "Lines for modprobe.d."; };
    kernel.sysctl = mkOption {
      type = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.str ]));
      default = { };
      example = { "net.ipv4.ip_forward" = 1; };
      description = "Kernel settings.";
    };
    initrd.availableKernelModules = mkOption {
      type = types.listOf types.str;
      default = [
        "virtio_pci" "virtio_blk" "virtio_net" "virtio_console" "virtio_rng" "crc32c_generic" "ext4" "erofs" "overlay" "button" "evdev" "autofs4"
      ] ++ lib.optionals (!config.virtualisation.clone) [ "sd_mod" "virtio_scsi" "ahci" "ata_piix" "nvme" ];
      internal = true;
      description = "Modules that the initial ramdisk loads.";
    };
  };

  config = {
    # Without udev the interfaces keep the kernel's names, on a host as in a clone.
    boot.kernelParams = if !config.virtualisation.clone then [ "console=tty0" "console=ttyS0,115200" "quiet" "panic=30" "net.ifnames=0" ] else [
      "console=ttyS0"
      "quiet"
      "panic=-1"
      "net.ifnames=0"
      "cryptomgr.notests"
      "mitigations=off"
      "audit=0"
      "8250.nr_uarts=1"
      "tsc=reliable"
      "no_timer_check"
      "random.trust_cpu=on"
      "rcupdate.rcu_expedited=1"
    ];

    environment.etc = lib.mkMerge [
      (lib.mkIf (sysctl != { }) {
        "sysctl.d/60-diorama.conf".text = lib.concatStrings (lib.mapAttrsToList
          (name: value: lib.optionalString (value != null) "${name}=${show value}\n")
          sysctl);
      })
      (lib.mkIf (config.boot.extraModprobeConfig != "" || config.boot.blacklistedKernelModules != [ ]) {
        "modprobe.d/diorama.conf".text =
          lib.concatMapStrings (name: "blacklist ${name}\n") config.boot.blacklistedKernelModules + config.boot.extraModprobeConfig;
      })
    ];

    systemd.services = {
      kernel-modules = lib.mkIf (config.boot.kernelModules != [ ]) {
        description = "Kernel modules of boot.kernelModules";
        wantedBy = [ "sysinit.target" ];
        before = [ "sysinit.target" "kernel-settings.service" "shutdown.target" ];
        conflicts = [ "shutdown.target" ];
        unitConfig.DefaultDependencies = false;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "/usr/sbin/modprobe -a ${lib.escapeShellArgs config.boot.kernelModules}";
        };
      };
      kernel-settings = lib.mkIf (sysctl != { }) {
        description = "Kernel settings of boot.kernel.sysctl";
        wantedBy = [ "sysinit.target" ];
        before = [ "sysinit.target" "shutdown.target" ];
        conflicts = [ "shutdown.target" ];
        unitConfig.DefaultDependencies = false;
        restartTriggers = [ config.environment.etc."sysctl.d/60-diorama.conf".source ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "/usr/lib/systemd/systemd-sysctl /etc/sysctl.d/60-diorama.conf";
        };
      };
    };
  };
}
