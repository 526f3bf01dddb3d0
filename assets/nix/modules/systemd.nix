# systemd's units under NixOS' options, written to /etc/systemd/system. Only listed units exist there: a
# machine's units are the ones below and the upstream ones it asks for by name.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;
  cfg = config.systemd;

  defaultPath = "/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

  scalar = types.oneOf [ types.str types.int types.path types.package types.bool ];
  section = types.attrsOf (types.nullOr (types.either scalar (types.listOf scalar)));
  names = description: mkOption { type = types.listOf types.str; default = [ ]; inherit description; };

  show = value: if value == true then "true" else if value == false then "false" else toString value;
  # A list becomes the same key several times.
  lines = attrs: lib.concatStrings (lib.mapAttrsToList
    (key: value:
      if value == null then ""
      else if builtins.isList value then lib.concatMapStrings (element: "${key}=${show element}\n") value
      else "${key}=${show value}\n")
    attrs);
  sectionText = name: attrs: lib.optionalString (attrs != { }) "[${name}]\n${lines attrs}\n";

  # What every kind of unit has.
  unitOptions = {
    enable = mkOption { type = types.bool; default = true; description = "Whether the unit exists."; };
    description = mkOption { type = types.str; default = ""; description = "One line for people."; };
    documentation = names "Where it is documented.";
    after = names "Units that start before this one.";
    before = names "Units that start after this one.";
    requires = names "Units without which this one cannot run.";
    requisite = names "Units that must run already.";
    wants = names "Units that are started along.";
    bindsTo = names "Units whose end is this one's end.";
    partOf = names "Units whose stop and restart this one follows.";
    conflicts = names "Units that this one ends.";
    onFailure = names "Units started when this one fails.";
    onSuccess = names "Units started when this one ends well.";
    upholds = names "Units kept running as long as this one runs.";
    wantedBy = names "Units that pull this one in.";
    requiredBy = names "Units that need this one.";
    aliases = names "Further names of the unit.";
    unitConfig = mkOption { type = section; default = { }; description = "Further settings of the [Unit] section."; };
    startLimitBurst = mkOption { type = types.nullOr types.int; default = null; description = "How many starts are allowed in the interval."; };
    startLimitIntervalSec = mkOption { type = types.nullOr types.int; default = null; description = "The interval of the start limit, in seconds; 0 lifts the limit."; };
    restartTriggers = mkOption { type = types.listOf types.unspecified; default = [ ]; description = "Values whose change restarts the unit at a live switch."; };
    reloadTriggers = mkOption { type = types.listOf types.unspecified; default = [ ]; description = "Values whose change reloads the unit at a live switch."; };
    stopIfChanged = mkOption { type = types.bool; default = true; description = "Whether a live switch stops the unit first."; };
    restartIfChanged = mkOption { type = types.bool; default = true; description = "Whether a live switch restarts the unit."; };
    reloadIfChanged = mkOption { type = types.bool; default = false; description = "Whether a live switch reloads the unit."; };
  };

  unitSection = unit: sectionText "Unit" (
    lib.optionalAttrs (unit.description != "") { Description = unit.description; }
    // lib.filterAttrs (key: value: value != "") (builtins.mapAttrs (key: lib.concatStringsSep " ") {
      Documentation = unit.documentation;
      After = unit.after;
      Before = unit.before;
      Requires = unit.requires;
      Requisite = unit.requisite;
      Wants = unit.wants;
      BindsTo = unit.bindsTo;
      PartOf = unit.partOf;
      Conflicts = unit.conflicts;
      OnFailure = unit.onFailure;
      OnSuccess = unit.onSuccess;
      Upholds = unit.upholds;
    })
    // lib.optionalAttrs (unit.startLimitBurst != null) { StartLimitBurst = unit.startLimitBurst; }
    // lib.optionalAttrs (unit.startLimitIntervalSec != null) { StartLimitIntervalSec = unit.startLimitIntervalSec; }
    // lib.optionalAttrs (unit.restartTriggers != [ ]) {
      X-Restart-Triggers = "${build.writeText "restart-triggers" (lib.concatMapStrings (value: "${if builtins.isString value || value ? outPath || builtins.isPath value then "${value}" else builtins.toJSON value}\n") unit.restartTriggers)}";
    }
    // lib.optionalAttrs (unit.reloadTriggers != [ ]) {
      X-Reload-Triggers = "${build.writeText "reload-triggers" (lib.concatMapStrings (value: "${if builtins.isString value || value ? outPath || builtins.isPath value then "${value}" else builtins.toJSON value}\n") unit.reloadTriggers)}";
    }
    // lib.optionalAttrs (!unit.restartIfChanged) { X-RestartIfChanged = false; }
    // lib.optionalAttrs (!unit.stopIfChanged) { X-StopIfChanged = false; }
    // lib.optionalAttrs (unit.reloadIfChanged) { X-ReloadIfChanged = true; }
    // unit.unitConfig);

  # A script option: `set -e`, as NixOS has it.
  script = name: text: "${build.writeScript name "#!/bin/bash\nset -e\n${text}\n"}";

  serviceOptions = unitOptions // {
    serviceConfig = mkOption { type = section; default = { }; description = "Settings of the [Service] section."; };
    environment = mkOption {
      type = types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package types.int ]));
      default = { };
      description = "The environment's variables.";
    };
    path = mkOption { type = types.listOf (types.oneOf [ types.package types.str ]); default = [ ]; description = "Packages whose commands the service calls; all are in /usr/bin."; };
    script = mkOption { type = types.lines; default = ""; description = "Shell commands that are the service."; };
    scriptArgs = mkOption { type = types.str; default = ""; description = "Arguments of the script."; };
    preStart = mkOption { type = types.lines; default = ""; description = "Shell commands before the service."; };
    postStart = mkOption { type = types.lines; default = ""; description = "Shell commands once the service runs."; };
    preStop = mkOption { type = types.lines; default = ""; description = "Shell commands that end the service."; };
    postStop = mkOption { type = types.lines; default = ""; description = "Shell commands after the service."; };
    reload = mkOption { type = types.lines; default = ""; description = "Shell commands that reload the service."; };
    startAt = mkOption { type = types.coercedTo types.str lib.toList (types.listOf types.str); default = [ ]; description = "Calendar times at which a timer starts the service."; };
  };

  quoted = text: builtins.replaceStrings [ "\\" "\"" "%" "\n" ] [ "\\\\" "\\\"" "%%" "\\n" ] text;

  serviceText = name: unit:
    let
      own = lib.optionalAttrs (unit.preStart != "") { ExecStartPre = [ (script "${name}-pre-start" unit.preStart) ]; }
        // lib.optionalAttrs (unit.script != "") { ExecStart = "${script "${name}-start" unit.script}${lib.optionalString (unit.scriptArgs != "") " ${unit.scriptArgs}"}"; }
        // lib.optionalAttrs (unit.postStart != "") { ExecStartPost = [ (script "${name}-post-start" unit.postStart) ]; }
        // lib.optionalAttrs (unit.preStop != "") { ExecStop = [ (script "${name}-pre-stop" unit.preStop) ]; }
        // lib.optionalAttrs (unit.postStop != "") { ExecStopPost = [ (script "${name}-post-stop" unit.postStop) ]; }
        // lib.optionalAttrs (unit.reload != "") { ExecReload = script "${name}-reload" unit.reload; };
      both = lib.zipAttrsWith (key: values: if builtins.length values == 1 then builtins.head values else lib.concatMap lib.toList values)
        [ own unit.serviceConfig ];
      packageNames = map (entry: if builtins.isAttrs entry then "${entry}" else entry) unit.path;
      environment = lib.mapAttrsToList (key: value: "\"${key}=${quoted (toString value)}\"")
        (lib.filterAttrs (key: value: value != null) ({ PATH = defaultPath; } // unit.environment));
    in
    unitSection unit
    + sectionText "Service" ({ Environment = environment; } // both)
    # Keeps what `path` names among the packages this text speaks of.
    + lib.concatMapStrings (text: builtins.substring 0 0 text) packageNames;

  plain = name: options: attribute: mkOption {
    default = { };
    description = "${name} units, by name without the ending.";
    type = types.attrsOf (types.submodule {
      options = unitOptions // lib.optionalAttrs (attribute != null) {
        ${attribute} = mkOption { type = section; default = { }; description = "Settings of the unit's own section."; };
      } // options;
    });
  };

  sectionUnits = kind: attribute: header: extra: units: lib.mapAttrs'
    (name: unit: lib.nameValuePair "${name}.${kind}" {
      inherit unit;
      text = unitSection unit + lib.optionalString (attribute != null) (sectionText header (extra unit // unit.${attribute}));
    })
    units;

  escapePath = path:
    let parts = builtins.filter (part: part != "") (lib.splitString "/" path); in
    if parts == [ ] then "-"
    else lib.concatMapStringsSep "-" (part: builtins.replaceStrings [ "-" ] [ "\\x2d" ] part) parts;

  byPath = kind: header: extra: units: lib.listToAttrs (map
    (unit: lib.nameValuePair "${escapePath unit.where}.${kind}" {
      inherit unit;
      text = unitSection unit + sectionText header (extra unit // unit."${kind}Config");
    })
    units);

  timed = lib.filterAttrs (name: unit: unit.startAt != [ ]) cfg.services;

  units = lib.filterAttrs (name: entry: entry.unit.enable) (
    lib.mapAttrs' (name: unit: lib.nameValuePair "${name}.service" { inherit unit; text = serviceText name unit; }) cfg.services
    // sectionUnits "socket" "socketConfig" "Socket"
      (unit: lib.optionalAttrs (unit.listenStreams != [ ]) { ListenStream = unit.listenStreams; }
        // lib.optionalAttrs (unit.listenDatagrams != [ ]) { ListenDatagram = unit.listenDatagrams; })
      cfg.sockets
    // sectionUnits "timer" "timerConfig" "Timer" (unit: { }) cfg.timers
    // sectionUnits "path" "pathConfig" "Path" (unit: { }) cfg.paths
    // sectionUnits "slice" "sliceConfig" "Slice" (unit: { }) cfg.slices
    // sectionUnits "target" null null null cfg.targets
    // byPath "mount" "Mount" (unit: { What = unit.what; Where = unit.where; Type = unit.type; Options = unit.options; }) cfg.mounts
    // byPath "automount" "Automount" (unit: { Where = unit.where; }) cfg.automounts);

  safe = name: builtins.replaceStrings [ "\\" "@" ] [ "-" "-" ] name;

  wants = kind: attribute: lib.concatLists (lib.mapAttrsToList
    (name: entry: map (target: lib.nameValuePair "systemd/system/${target}.${kind}/${name}" { source = "/etc/systemd/system/${name}"; }) entry.unit.${attribute})
    units);
  aliases = lib.concatLists (lib.mapAttrsToList
    (name: entry: map (alias: lib.nameValuePair "systemd/system/${alias}" { source = "/etc/systemd/system/${name}"; }) entry.unit.aliases)
    units);
in
{
  options.systemd = {
    services = mkOption {
      default = { };
      description = "Services, by name without the ending.";
      type = types.attrsOf (types.submodule { options = serviceOptions; });
    };
    sockets = plain "Socket"
      {
        listenStreams = names "Addresses of stream sockets.";
        listenDatagrams = names "Addresses of datagram sockets.";
      } "socketConfig";
    timers = plain "Timer" { } "timerConfig";
    paths = plain "Path" { } "pathConfig";
    slices = plain "Slice" { } "sliceConfig";
    targets = plain "Target" { } null;
    mounts = mkOption {
      default = [ ];
      description = "Mount units.";
      type = types.listOf (types.submodule {
        options = unitOptions // {
          what = mkOption { type = types.str; description = "What is mounted."; };
          where = mkOption { type = types.str; description = "Where."; };
          type = mkOption { type = types.str; default = ""; description = "The file system's type."; };
          options = mkOption { type = types.str; default = ""; description = "Options, separated by commas."; };
          mountConfig = mkOption { type = section; default = { }; description = "Further settings of the [Mount] section."; };
        };
      });
    };
    automounts = mkOption {
      default = [ ];
      description = "Automount units.";
      type = types.listOf (types.submodule {
        options = unitOptions // {
          where = mkOption { type = types.str; description = "Where."; };
          automountConfig = mkOption { type = section; default = { }; description = "Further settings of the [Automount] section."; };
        };
      });
    };
    tmpfiles.rules = mkOption { type = types.listOf types.str; default = [ ]; description = "Lines of tmpfiles.d(5)."; };
    upstreamUnits = mkOption {
      type = types.listOf types.str;
      default = [ ];
      internal = true;
      description = "Units of the Debian packages that exist in this machine as they are.";
    };
    upstreamWants = mkOption {
      type = types.listOf types.str;
      default = [ ];
      internal = true;
      description = "TARGET.wants/UNIT links to upstream units.";
    };
    defaultUnit = mkOption { type = types.str; default = "multi-user.target"; description = "What the machine boots to."; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further settings of systemd's manager."; };
    globalEnvironment = mkOption { type = types.attrsOf types.str; default = { }; description = "Environment of all units."; };
  };

  config = {
    systemd.timers = builtins.mapAttrs
      (name: unit: {
        wantedBy = [ "timers.target" ];
        description = lib.mkDefault "Times of ${name}";
        timerConfig.OnCalendar = unit.startAt;
      })
      timed;

    environment.etc = lib.mkMerge [
      (lib.mapAttrs' (name: entry: lib.nameValuePair "systemd/system/${name}" { source = "${build.writeTextFile { name = "unit-${safe name}"; inherit (entry) text; destination = "/${name}"; }}/${name}"; }) units)
      (lib.listToAttrs (wants "wants" "wantedBy" ++ wants "requires" "requiredBy" ++ aliases))
      (lib.listToAttrs (map (name: lib.nameValuePair "systemd/system/${name}" { source = "/usr/lib/systemd/system/${name}"; })
        (lib.subtractLists (builtins.attrNames units) cfg.upstreamUnits)))
      (lib.listToAttrs (map (path: lib.nameValuePair "systemd/system/${path}" { source = "/etc/systemd/system/${baseNameOf path}"; })
        cfg.upstreamWants))
      {
        "systemd/system/default.target".source = "/etc/systemd/system/${cfg.defaultUnit}";
        "systemd/system.conf".text = ''
          [Manager]
          ShowStatus=no
          DefaultTimeoutStopSec=10s
          ${lib.optionalString (cfg.globalEnvironment != { }) "DefaultEnvironment=${lib.concatStringsSep " " (lib.mapAttrsToList (key: value: "\"${key}=${quoted value}\"") cfg.globalEnvironment)}"}
          ${cfg.extraConfig}
        '';
        "tmpfiles.d/00-diorama.conf".text = lib.concatMapStrings (rule: "${rule}\n") cfg.tmpfiles.rules;
      }
    ];
  };
}
