# The module system: NixOS's semantics for `imports`, `options`, `config` and the priorities and orders of definitions.
#
#   modules ─ collect (imports, functions applied) ─▶ declarations ┐
#                                                    definitions  ┴▶ one tree of options ─▶ config
#
# Invariant: every value of the result stays lazy, so that the configurations of several machines can refer to
# each other; only the names of what is set are looked at early.
lib:
let
  inherit (builtins) isAttrs isList isString isBool isPath head length attrNames mapAttrs concatLists concatMap map
    filter any all removeAttrs zipAttrsWith elem addErrorContext;
  inherit (lib) isFunction setFunctionArgs functionArgs toList optional showOption showValue showDefs showFiles failOption
    locNode types mkOption isOption reverseList imap1;
  errors = import ./errors.nix lib;

  pathOf = m: if isPath m || isString m then toString m else null;

  isType = type: v: v._type or null == type;
in
rec {
  inherit isType;
  setType = typeName: v: v // { _type = typeName; };
  inherit (types) mkOptionType;
  isOptionType = isType "option-type";

  # Properties of definitions.
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkAssert = assertion: message: content: mkIf (assertion || throw "\nFailed assertion: ${message}") content;
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  defaultOverridePriority = 100;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkBefore = mkOrder 500;
  defaultOrderPriority = 1000;
  mkAfter = mkOrder 1500;
  mkFixStrictness = x: x;

  # Evaluates modules into { options, config, ... }. `prefix` is where the tree hangs: its first element may be
  # { node = "NAME"; }, which error messages then name.
  evalModules = { modules, specialArgs ? { }, args ? { }, prefix ? [ ], check ? true, class ? null }:
    let
      internal = {
        _file = "the module system";
        key = "the module system";
        options._module = {
          args = mkOption {
            type = types.lazyAttrsOf types.raw;
            default = { };
            internal = true;
            description = "Further arguments that modules can take.";
          };
          check = mkOption { type = types.bool; default = check; internal = true; description = "Whether to refuse unknown options."; };
          freeformType = mkOption { type = types.raw; default = null; internal = true; description = "The type of options that are not declared."; };
        };
        config._module.args = args;
      };

      collected = collectModules prefix (modules ++ [ internal ])
        ({ inherit lib options specialArgs; config = fullConfig; _prefix = prefix; } // specialArgs);
      merged = mergeModules prefix (reverseList collected);
      options = merged.options;

      declared = valuesOf options;
      freeform = declared._module.freeformType;
      fullConfig =
        if freeform == null then declared
        else
          let
            extra = freeform.merge prefix
              (map (d: { inherit (d) file; value = lib.setAttrByPath d.path d.value; }) merged.unmatched);
          in
          lib.recursiveUpdate (if merged.unmatched == [ ] then { } else extra) declared;
      config = removeAttrs fullConfig [ "_module" ];
      checked =
        if merged.unmatched != [ ] && declared._module.check && freeform == null
        then throw (errors.unknownOptions prefix options merged.unmatched)
        else true;
    in
    {
      _type = "configuration";
      inherit options;
      config = builtins.seq checked config;
      # The same without the look for unknown options: what other machines see of this one.
      uncheckedConfig = config;
      inherit checked;
      _module = declared._module;
      extendModules = extra: evalModules {
        modules = modules ++ extra.modules or [ ];
        specialArgs = specialArgs // extra.specialArgs or { };
        prefix = extra.prefix or prefix;
        inherit args check class;
      };
      type = types.submoduleWith { inherit modules specialArgs; };
    };

  valuesOf = mapAttrs (_: v: if isOption v then v.value else valuesOf v);

  # --- Collecting -------------------------------------------------------------------------------------------------

  setDefaultModuleLocation = file: m: { _file = file; imports = [ m ]; };

  collectModules = prefix: initial: args:
    let
      load = parentFile: parentKey: n: m:
        let
          path = pathOf m;
          module =
            if path != null then normalise path path (applyIfFunction prefix path (import m) args)
            else if isAttrs m && m._type or null == "if" then normalise parentFile "${parentKey}:${toString n}" { config = m; }
            else if isAttrs m || isFunction m
            then normalise parentFile "${parentKey}:${toString n}" (applyIfFunction prefix parentFile m args)
            else throw "${locNode prefix}${toString parentFile}: a module must be a set, a function or a path, not ${showValue 1 m}";
        in
        {
          inherit (module) key;
          inherit module;
          children = imap1 (load module._file module.key) module.imports;
        };
      tree = imap1 (load "<unknown file>" "") initial;
      flat = map (x: x.module) (builtins.genericClosure { startSet = tree; operator = x: x.children; });
      disabled = concatMap (m: map (d: if isAttrs d then d.key else toString d) m.disabledModules) flat;
    in
    if disabled == [ ] then flat else filter (m: !(any (d: m.key == d || lib.hasSuffix "/${d}" m.key) disabled)) flat;

  # Brings a module into the form { _file, key, disabledModules, imports, options, config }.
  normalise = file: key: m:
    let
      base = {
        _file = toString m._file or file;
        key = toString m.key or key;
        disabledModules = m.disabledModules or [ ];
        imports = (m.require or [ ]) ++ m.imports or [ ];
      };
      withFreeform = config: if m ? freeformType then mkMerge [ config { _module.freeformType = m.freeformType; } ] else config;
      known = [ "_class" "_file" "key" "disabledModules" "imports" "require" "options" "config" "meta" "freeformType" ];
      stray = attrNames (removeAttrs m known);
    in
    if !isAttrs m then throw "${toString file}: a module must evaluate to a set, not ${showValue 1 m}"
    else if m._type or null == "merge" || m._type or null == "if" || m._type or null == "override"
    then base // { options = { }; config = m; }
    else if m ? config || m ? options then
      if stray != [ ] then
        throw "${base._file}: this module sets `${head stray}' beside `config' or `options'; definitions belong under `config' then"
      else base // { options = m.options or { }; config = withFreeform (m.config or { }); }
    else base // {
      options = { };
      config = withFreeform (removeAttrs m [ "_class" "_file" "key" "disabledModules" "imports" "require" "freeformType" ]);
    };

  applyIfFunction = prefix: file: f: args:
    if !isFunction f then f
    else
      let
        wanted = functionArgs f;
        named = mapAttrs
          (name: _: args.${name} or args.config._module.args.${name} or (throw
            (errors.missingArgument prefix file name (attrNames (removeAttrs args [ "_prefix" "specialArgs" ])))))
          (lib.filterAttrs (name: hasDefault: !hasDefault || args ? ${name}) wanted);
      in
      f (args // named);

  # --- Merging the trees ------------------------------------------------------------------------------------------

  mergeModules = prefix: modules:
    mergeTree prefix [ ]
      (map (m: { file = m._file; inherit (m) options; }) (filter (m: m.options != { }) modules))
      (concatMap (m: map (config: { file = m._file; inherit config; }) (pushDown m.config)) modules);

  # One level of the tree: `decls` are [{ file, options }], `defs` [{ file, config }] with properties pushed down.
  mergeTree = prefix: path: decls: defs:
    let
      here = prefix ++ path;
      declsByName = zipAttrsWith (_: v: v)
        (map
          (d:
            if !isAttrs d.options then throw "${d.file}: under `options', ${showOption here} must be a set or come from mkOption"
            else mapAttrs (_: options: { inherit (d) file; inherit options; }) d.options)
          decls);
      defsByName = zipAttrsWith (_: v: v)
        (map
          (d:
            if !isAttrs d.config then
              failOption here "is a group of options and cannot have the value ${showValue 1 d.config}, set in `${d.file}'"
            else mapAttrs (name: value: { inherit (d) file; inherit value; set = d.config; inherit name; }) d.config)
          defs);
      results = mapAttrs
        (name: ds:
          let
            loc = path ++ [ name ];
            found = defsByName.${name} or [ ];
            optionDecls = filter (d: isOption d.options) ds;
          in
          if optionDecls == [ ] then
            mergeTree prefix loc ds
              (concatMap (d: map (config: { inherit (d) file; inherit config; }) (pushDown d.value)) found)
          else if length optionDecls == length ds then {
            options = evalOption (prefix ++ loc) (mergeDecls (prefix ++ loc) ds) found;
            unmatched = [ ];
          }
          else failOption (prefix ++ loc)
            "is declared as an option in ${showFiles (map (d: d.file) optionDecls)} and as a group of options in ${
              showFiles (map (d: d.file) (filter (d: !isOption d.options) ds))}")
        declsByName;
      strange = removeAttrs defsByName (attrNames declsByName);
    in
    {
      options = mapAttrs (_: r: r.options) results;
      unmatched = concatLists (lib.mapAttrsToList (_: r: r.unmatched) results)
        ++ concatLists (lib.mapAttrsToList
        (name: ds: concatMap
          (d: map (value: { inherit (d) file set name; path = path ++ [ name ]; inherit value; }) (dischargeLazily d.value))
          ds)
        strange);
    };

  # Unknown names count only where their condition holds.
  dischargeLazily = value: dischargeProperties value;

  mergeDecls = loc: decls:
    if length decls == 1 then (head decls).options // { declarations = [ (head decls).file ]; }
    else
      builtins.foldl'
        (acc: d:
          let
            o = d.options;
            twice = filter (n: acc ? ${n} && o ? ${n}) [ "default" "example" "apply" ];
            merged =
              if acc ? type && o ? type then acc.type.typeMerge o.type else acc.type or o.type or types.unspecified;
          in
          if twice != [ ] || merged == null then
            failOption loc "is declared twice, in `${d.file}' and in ${showFiles acc.declarations}${
              if twice != [ ] then ", with a `${head twice}' each" else ", with types that cannot become one"}"
          else acc // o // { type = merged; declarations = acc.declarations ++ [ d.file ]; })
        { declarations = [ ]; }
        decls;

  evalOption = loc: declaration: defs:
    let
      opt = { type = types.unspecified; } // declaration;
      all' = optional (opt ? default) { file = head opt.declarations; value = mkOptionDefault opt.default; } ++ defs;
      merged =
        if opt.readOnly or false && length all' > 1
        then failOption loc "is read-only, and ${showFiles (map (d: d.file) defs)} may not set it"
        else mergeDefinitions loc opt.type all';
      value = addErrorContext "while evaluating ${locNode loc}the option `${showOption loc}':"
        (if opt ? apply then opt.apply merged.mergedValue else merged.mergedValue);
    in
    opt // {
      inherit loc value;
      inherit (merged) isDefined highestPrio;
      definitions = map (d: d.value) merged.defsFinal;
      definitionsWithLocations = merged.defsFinal;
      files = map (d: d.file) merged.defsFinal;
      options = opt.type.getSubOptions loc;
      __toString = _: showOption loc;
    };

  # --- Merging definitions ----------------------------------------------------------------------------------------

  mergeDefinitions = loc: type: defs:
    let
      discharged = concatMap (d: map (value: { inherit (d) file; inherit value; }) (dischargeAt loc d)) defs;
      chosen = filterOverrides' discharged;
      defsFinal =
        if any (d: d.value._type or null == "order") chosen.values then sortProperties chosen.values else chosen.values;
      isDefined = defsFinal != [ ];
      mergedValue =
        if !isDefined then failOption loc "is used but has no value: nothing sets it and it has no default"
        else if all (d: type.check d.value) defsFinal then type.merge loc defsFinal
        else throw (errors.wrongType loc type (filter (d: !type.check d.value) defsFinal));
    in
    {
      inherit defsFinal isDefined mergedValue;
      inherit (chosen) highestPrio;
      optionalValue = if isDefined then { value = mergedValue; } else { };
    };

  dischargeAt = loc: d:
    addErrorContext "while evaluating ${locNode loc}a definition of `${showOption loc}' in `${toString d.file}':"
      (dischargeProperties d.value);

  dischargeProperties = def:
    if def._type or null == "merge" then concatMap dischargeProperties def.contents
    else if def._type or null == "if" then
      if isBool def.condition then (if def.condition then dischargeProperties def.content else [ ])
      else throw "mkIf: its condition must be true or false, not ${showValue 1 def.condition}"
    else [ def ];

  pushDown = cfg:
    if cfg._type or null == "merge" then concatMap pushDown cfg.contents
    else if cfg._type or null == "if" then map (mapAttrs (_: mkIf cfg.condition)) (pushDown cfg.content)
    else if cfg._type or null == "override" then map (mapAttrs (_: mkOverride cfg.priority)) (pushDown cfg.content)
    else if cfg._type or null == "order" then pushDown cfg.content
    else [ cfg ];
  pushDownProperties = pushDown;

  filterOverrides = defs: (filterOverrides' defs).values;
  filterOverrides' = defs:
    let
      prio = d: if d.value._type or null == "override" then d.value.priority else defaultOverridePriority;
      highestPrio = builtins.foldl' (acc: d: lib.min (prio d) acc) 9999 defs;
      strip = d: if d.value._type or null == "override" then d // { value = d.value.content; } else d;
    in
    { values = concatMap (d: if prio d == highestPrio then [ (strip d) ] else [ ]) defs; inherit highestPrio; };

  sortProperties = defs:
    let
      strip = d:
        if d.value._type or null == "order" then d // { value = d.value.content; inherit (d.value) priority; } else d;
    in
    builtins.sort (a: b: a.priority or defaultOrderPriority < b.priority or defaultOrderPriority) (map strip defs);
}
