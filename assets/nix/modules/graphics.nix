# A machine with a display: the kernel's driver for it, a text login on it, and a pointer that goes where it is put.
#
# Without an X server the display shows tty1, as a monitor of a machine in a rack does.
{ config, lib, options, ... }:
let
  inherit (lib) mkOption types;
  getty = config.services.getty;
  # A clone's serial console logs in by itself; its display asks, unless the model says otherwise.
  chosen = options.services.getty.autologinUser.highestPrio < lib.defaultOverridePriority + 900;
  autologin = lib.optionalString (getty.autologinUser != null && chosen) "--autologin ${getty.autologinUser} ";
in
{
  options.virtualisation.resolution = mkOption {
    default = { x = 1024; y = 768; };
    description = "The size of the display in pixels, for the X server.";
    type = types.submodule {
      options = {
        x = mkOption { type = types.ints.between 320 3840; default = 1024; description = "Its width."; };
        y = mkOption { type = types.ints.between 200 2160; default = 768; description = "Its height."; };
      };
    };
  };

  config = lib.mkIf config.virtualisation.graphics {
    # The kernel with a display's drivers is larger, and what draws needs room.
    virtualisation.memorySize = lib.mkDefault 512;
    # The last console is the one that programs write to: that stays the serial one.
    boot.kernelParams = lib.mkBefore [ "console=tty0" ];
    boot.kernelModules = [ "bochs" "virtio_input" ];

    systemd.services.getty-tty1 = {
      description = "Login on the display";
      wantedBy = [ "getty.target" ];
      before = [ "getty.target" ];
      unitConfig = { IgnoreOnIsolate = true; };
      environment.TERM = "linux";
      serviceConfig = {
        ExecStart = "-/usr/sbin/agetty ${autologin}${lib.escapeShellArgs getty.extraArgs} tty1 linux";
        Type = "idle";
        Restart = "always";
        RestartSec = 0;
        UtmpIdentifier = "tty1";
        StandardInput = "tty";
        StandardOutput = "tty";
        TTYPath = "/dev/tty1";
        TTYReset = true;
        TTYVHangup = true;
        TTYVTDisallocate = true;
        IgnoreSIGPIPE = false;
        SendSIGHUP = true;
        KillMode = "process";
      };
    };
  };
}
