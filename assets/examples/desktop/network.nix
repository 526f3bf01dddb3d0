# A machine with a display: an X server, a window manager and a terminal, without OpenGL, which nothing here draws with.
{
  meta.description = "A desktop";

  nodes.desktop = {
    services.xserver.enable = true;
    services.xserver.windowManager.icewm.enable = true;
    services.xserver.displayManager.sessionCommands = "xterm -fa Monospace -fs 20 -title Terminal &";
    hardware.graphics.enable = false;
  };
}
