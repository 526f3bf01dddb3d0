# The X server with a session that logs in by itself: no udev, no login manager, software rendering.
#
# The server's unit is `display-manager.service`, as in NixOS, and `xserver.service` as in the paper. It is active once
# the server takes connections. Root's shells of a clone find the display in their environment.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.xserver;
  display = config.services.displayManager;
  user = display.autoLogin.user;

  # Window managers: Debian's package and what starts it.
  managers = {
    icewm = { package = "icewm"; command = "icewm-session --nobg --notray"; };
    openbox = { package = "openbox"; command = "openbox"; };
    twm = { package = "twm"; command = "twm"; };
  };
  chosen = builtins.filter (name: cfg.windowManager.${name}.enable) (builtins.attrNames managers);
  # NixOS' names of sessions: DESKTOP+WINDOWMANAGER, `none` for what is not there.
  sessions = { "none" = "sleep infinity"; "xterm" = "xterm -ls"; }
    // lib.mapAttrs' (name: m: lib.nameValuePair "none+${name}" m.command) (lib.genAttrs chosen (name: managers.${name}));
  named = if display.defaultSession == null then null else display.defaultSession;
  sessionName =
    if named != null then named
    else if chosen != [ ] then "none+${builtins.head chosen}"
    else if cfg.desktopManager.xterm.enable then "xterm"
    else "none";
  session = build.writeScript "x-session" ''
    #!/bin/bash
    export XDG_SESSION_TYPE=x11 PATH="$PATH:/usr/games"
    xset s off
    ${cfg.displayManager.sessionCommands}
    exec ${sessions.${sessionName} or "sleep infinity"}
  '';
  sizes = map (size: "\"${toString size.x}x${toString size.y}\"") cfg.resolutions;
in
{
  options.services.xserver = {
    enable = mkEnableOption "the X server";
    autorun = mkOption { type = types.bool; default = true; description = "Whether it starts with the machine."; };
    resolutions = mkOption {
      type = types.listOf (types.attrsOf types.int);
      default = [ config.virtualisation.resolution ];
      defaultText = "[ config.virtualisation.resolution ]";
      example = [{ x = 640; y = 480; }];
      description = "Sizes of the display, the first that the hardware has is taken.";
    };
    xkb.layout = mkOption { type = types.str; default = "us"; example = "de"; description = "The keyboard's layout."; };
    xkb.variant = mkOption { type = types.str; default = ""; description = "The layout's variant."; };
    xkb.options = mkOption { type = types.str; default = ""; description = "Further options of the layout, separated by commas."; };
    videoDrivers = mkOption { type = types.listOf (types.enum [ "modesetting" ]); default = [ "modesetting" ]; description = "The display's drivers; a clone's display needs no other."; };
    serverFlagsSection = mkOption { type = types.lines; default = ""; description = "Further lines of the ServerFlags section."; };
    deviceSection = mkOption { type = types.lines; default = ""; description = "Further lines of the Device section."; };
    config = mkOption { type = types.lines; default = ""; description = "Further sections of xorg.conf."; };
    displayManager = {
      sessionCommands = mkOption { type = types.lines; default = ""; description = "Shell commands that every session runs before its window manager."; };
      xserverArgs = mkOption { type = types.listOf types.str; default = [ ]; description = "Further arguments of the X server."; };
    };
    desktopManager.xterm.enable = mkEnableOption "a session that is one xterm";
    windowManager = builtins.mapAttrs (name: _: { enable = mkEnableOption "the window manager ${name}"; }) managers;
  };

  options.services.displayManager = {
    enable = mkOption { type = types.bool; default = cfg.enable; defaultText = "services.xserver.enable"; description = "Accepted for NixOS' sake: the X server comes with a session."; };
    defaultSession = mkOption { type = types.nullOr types.str; default = null; example = "none+icewm"; description = "The session: none+WINDOWMANAGER, xterm, or none for a bare server."; };
    autoLogin = {
      enable = mkOption { type = types.bool; default = user != null; defaultText = "whether there is a user"; description = "Whether someone is logged in on the display without being asked; it has no login screen."; };
      user = mkOption { type = types.nullOr types.str; default = null; description = "Who. In a clone root, unless the model names somebody."; };
    };
  };
  options.hardware.graphics.enable = mkOption {
    type = types.bool;
    default = cfg.enable;
    defaultText = "services.xserver.enable";
    description = "Whether programs can draw with OpenGL, in software here. Loading it costs an emulated machine's X server seconds.";
  };

  imports = [
    (lib.mkAliasOptionModule [ "services" "xserver" "displayManager" "defaultSession" ] [ "services" "displayManager" "defaultSession" ])
    (lib.mkAliasOptionModule [ "services" "xserver" "displayManager" "autoLogin" "user" ] [ "services" "displayManager" "autoLogin" "user" ])
    (lib.mkAliasOptionModule [ "services" "xserver" "displayManager" "autoLogin" "enable" ] [ "services" "displayManager" "autoLogin" "enable" ])
    (lib.mkAliasOptionModule [ "hardware" "opengl" "enable" ] [ "hardware" "graphics" "enable" ])
    (lib.mkAliasOptionModule [ "services" "xserver" "layout" ] [ "services" "xserver" "xkb" "layout" ])
    (lib.mkAliasOptionModule [ "services" "xserver" "xkbVariant" ] [ "services" "xserver" "xkb" "variant" ])
    (lib.mkAliasOptionModule [ "services" "xserver" "xkbOptions" ] [ "services" "xserver" "xkb" "options" ])
  ];

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = user != null && display.autoLogin.enable;
        message = "services.xserver has no login screen here: services.displayManager.autoLogin.user must say who is logged in";
      }
      {
        assertion = sessions ? ${sessionName};
        message = "services.displayManager.defaultSession is \"${sessionName}\"; there are ${lib.concatStringsSep ", " (builtins.attrNames sessions)}";
      }
    ];
    services.displayManager.autoLogin.user = lib.mkIf config.virtualisation.clone (lib.mkDefault "root");
    virtualisation.graphics = lib.mkDefault true;

    system.extraPackages = [
      "xserver-xorg-core" "xserver-xorg-input-evdev" "xkb-data" "x11-xkb-utils" "xauth"
      "x11-utils" "x11-xserver-utils" "xdotool" "xterm" "fonts-dejavu-core"
    ] ++ map (name: managers.${name}.package) chosen;
    # What the keyboard's package asks questions with, and what only maintainer scripts need.
    system.standIns = [ "console-setup" "cpp" "keyboard-configuration" "libheif1" "libspectre1" "ucf" "x11-common" ]
      ++ lib.optionals (!config.hardware.graphics.enable) [ "libegl-mesa0" "libgl1-mesa-dri" "libglx-mesa0" ];

    environment.etc = {
      "X11/xorg.conf".text = ''
        Section "ServerFlags"
          Option "AutoAddDevices" "off"
          Option "AutoEnableDevices" "off"
          Option "AutoAddGPU" "off"
          Option "BlankTime" "0"
          Option "StandbyTime" "0"
          Option "SuspendTime" "0"
          Option "OffTime" "0"
          ${cfg.serverFlagsSection}
        EndSection
        ${lib.optionalString (!config.hardware.graphics.enable) ''
          Section "Module"
            Disable "glx"
          EndSection
        ''}
        Section "Device"
          Identifier "display"
          Driver "modesetting"
          Option "kmsdev" "/dev/dri/card0"
          Option "AccelMethod" "none"
          ${cfg.deviceSection}
        EndSection
        Section "Monitor"
          Identifier "monitor"
          Option "DPMS" "off"
        EndSection
        Section "Screen"
          Identifier "screen"
          Device "display"
          Monitor "monitor"
          DefaultDepth 24
          SubSection "Display"
            Depth 24
            Modes ${lib.concatStringsSep " " sizes}
          EndSubSection
        EndSection
        ${cfg.config}
      '';
      "default/keyboard".text = ''
        XKBMODEL="pc105"
        XKBLAYOUT="${cfg.xkb.layout}"
        XKBVARIANT="${cfg.xkb.variant}"
        XKBOPTIONS="${cfg.xkb.options}"
      '';
    }
    # Links that fontconfig's maintainer script makes: which font is meant by `monospace`.
    // builtins.listToAttrs (map
      (name: lib.nameValuePair "fonts/conf.d/${name}" { source = "/usr/share/fontconfig/conf.avail/${name}"; })
      [ "30-metric-aliases.conf" "40-nonlatin.conf" "45-latin.conf" "49-sansserif.conf" "51-local.conf" "60-latin.conf" ]);

    systemd.defaultUnit = lib.mkIf cfg.autorun (lib.mkOverride 1400 "graphical.target");
    systemd.services = {
      display-manager = {
        description = "X server and its session";
        aliases = [ "xserver.service" ];
        wantedBy = lib.mkIf cfg.autorun [ "graphical.target" ];
        before = [ "graphical.target" ];
        after = [ "kernel-modules.service" ];
        restartIfChanged = false;
        environment = { HOME = "/root"; LAYOUT = cfg.xkb.layout; VARIANT = cfg.xkb.variant; OPTIONS = cfg.xkb.options; };
        serviceConfig = {
          Type = "notify";
          NotifyAccess = "all";
          ExecStart = "/bin/bash ${build.writeScript "display.sh" (builtins.readFile ../../../guest/display.sh)} ${user} ${session} ${lib.escapeShellArgs cfg.displayManager.xserverArgs}";
          RuntimeDirectory = "display";
          Restart = "always";
          RestartSec = 1;
          TimeoutStartSec = 300;
        };
      };
      # Root's shells of a clone find the display.
      diorama-agent = lib.mkIf config.virtualisation.clone { environment = { DISPLAY = ":0"; XAUTHORITY = "/run/display/authority"; }; };
    };
  };
}
