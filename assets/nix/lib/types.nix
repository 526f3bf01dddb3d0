# Option types: what a value must be, and how several definitions become one.
#
# Invariant: a type's `check` looks no deeper than it must, so that values stay lazy.
lib:
let
  inherit (builtins) isAttrs isList isString isInt isFloat isBool isPath map head tail length elem attrNames
    concatStringsSep match all;
  inherit (lib) mergeEqualOption mergeOneOption mergeDefaultOption getValues concatMapStringsSep
    failOption showDefs isDerivation isStringLike last optionalAttrs;
  mergeDefinitions = loc: type: defs: lib.mergeDefinitions loc type defs;

  simple = name: description: check: mkOptionType { inherit name description check; merge = mergeEqualOption; };

  # Whether two declared types of one option can become one; null when they cannot.
  sameName = self: other: if other.name == self.name then self else null;
  # The same for types built around one element type.
  around = make: self: other:
    let elem = self.nestedTypes.elemType.typeMerge other.nestedTypes.elemType; in
    if other.name != self.name then null else if elem == null then null else make elem;

  mkOptionType =
    { name
    , description ? name
    , descriptionClass ? null
    , check ? (_: true)
    , merge ? mergeDefaultOption
    , emptyValue ? { }
    , getSubOptions ? (_: { })
    , getSubModules ? null
    , substSubModules ? (_: null)
    , typeMergeWith ? sameName
    , typeMerge ? null
    , functor ? null
    , nestedTypes ? { }
    , deprecationMessage ? null
    , payload ? null
    }:
    let
      self = {
        _type = "option-type";
        inherit name description descriptionClass check merge emptyValue getSubOptions getSubModules
          substSubModules nestedTypes deprecationMessage payload functor;
        typeMerge = typeMergeWith self;
      };
    in
    self;
in
rec {
  inherit mkOptionType;
  isOptionType = lib.isType "option-type";
  defaultTypeMerge = sameName;

  raw = mkOptionType { name = "raw"; description = "raw value"; merge = mergeOneOption; };
  unspecified = mkOptionType { name = "unspecified"; description = "unspecified value"; };
  optionType = mkOptionType { name = "optionType"; check = v: v._type or null == "option-type"; merge = mergeOneOption; };

  anything = mkOptionType {
    name = "anything";
    merge = loc: defs:
      let
        kind = v: if isAttrs v && isStringLike v then "stringCoercibleSet" else builtins.typeOf v;
        first = kind (head defs).value;
        mergers = {
          set = (attrsOf anything).merge;
          # Only sets grow together; of lists there is one.
          list = if length defs > 1 then mergeOneOption else (listOf anything).merge;
          lambda = loc: defs: arg:
            anything.merge (loc ++ [ "<function body>" ]) (map (d: d // { value = d.value arg; }) defs);
        };
      in
      if all (d: kind d.value == first) defs then (mergers.${first} or mergeEqualOption) loc defs
      else failOption loc "has definitions of different kinds:${showDefs defs}";
  };

  bool = simple "bool" "boolean" isBool;
  boolByOr = mkOptionType {
    name = "boolByOr";
    description = "boolean (merged using or)";
    check = isBool;
    merge = _: defs: builtins.any (d: d.value) defs;
  };
  int = simple "int" "signed integer" isInt;
  float = simple "float" "floating point number" isFloat;
  number = simple "number" "number" (v: isInt v || isFloat v);
  numbers = {
    between = lo: hi: simple "numberBetween" "number between ${toString lo} and ${toString hi}" (v: (isInt v || isFloat v) && v >= lo && v <= hi);
    nonnegative = simple "numberNonnegative" "nonnegative number" (v: (isInt v || isFloat v) && v >= 0);
    positive = simple "numberPositive" "positive number" (v: (isInt v || isFloat v) && v > 0);
  };
  ints =
    let
      between = lo: hi: simple "intBetween" "integer between ${toString lo} and ${toString hi} (both inclusive)" (v: isInt v && v >= lo && v <= hi);
      signed = bits: limit: simple "signedInt${toString bits}" "${toString bits} bit signed integer" (v: isInt v && v >= -limit && v < limit);
      unsignedBits = bits: limit: simple "unsignedInt${toString bits}" "${toString bits} bit unsigned integer" (v: isInt v && v >= 0 && v < limit);
    in
    {
      inherit between;
      unsigned = simple "unsignedInt" "unsigned integer, meaning >=0" (v: isInt v && v >= 0);
      positive = simple "positiveInt" "positive integer, meaning >0" (v: isInt v && v > 0);
      u8 = unsignedBits 8 256;
      u16 = unsignedBits 16 65536;
      u32 = unsignedBits 32 4294967296;
      s8 = signed 8 128;
      s16 = signed 16 32768;
      s32 = signed 32 2147483648;
    };
  port = ints.u16 // { name = "port"; description = "port number (0 to 65535)"; };

  str = simple "str" "string" isString;
  nonEmptyStr = simple "nonEmptyStr" "non-empty string" (v: isString v && match "[ \t\n]*" v == null);
  singleLineStr = (simple "singleLineStr" "(optionally newline-terminated) single-line string"
    (v: isString v && match "[^\n\r]*\n?" v != null)) // {
    merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
  };
  strMatching = pattern: simple "strMatching ${builtins.toJSON pattern}" "string matching the pattern ${pattern}"
    (v: isString v && match pattern v != null);
  separatedString = sep: mkOptionType {
    name = "separatedString";
    description = if sep == "" then "Concatenated string" else "strings concatenated with ${builtins.toJSON sep}";
    check = isString;
    merge = _: defs: concatStringsSep sep (getValues defs);
  };
  lines = separatedString "\n" // { name = "lines"; };
  commas = separatedString "," // { name = "commas"; };
  envVar = separatedString ":" // { name = "envVar"; };
  string = separatedString "";
  passwdEntry = entry: entry // {
    name = "passwdEntry ${entry.name}";
    description = "${entry.description}, not containing newlines or colons";
    check = v: entry.check v && match ".*[\n:].*" v == null;
  };

  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    merge = _: defs: builtins.foldl' (acc: d: acc // d.value) { } defs;
    emptyValue = { value = { }; };
  };
  package = mkOptionType {
    name = "package";
    check = v: isDerivation v || (isString v && lib.hasPrefix "/" v) || isPath v || (isAttrs v && v ? outPath);
    merge = loc: defs: mergeOneOption loc defs;
  };
  shellPackage = package;
  pkgs = mkOptionType { name = "pkgs"; description = "set of packages"; check = isAttrs; merge = mergeOneOption; };
  path = simple "path" "absolute path" (v: isStringLike v && builtins.substring 0 1 (toString v) == "/");
  pathInStore = simple "pathInStore" "path in the Nix store" (v: isStringLike v && lib.isStorePath v);
  enum = values: mkOptionType {
    name = "enum";
    description =
      let show = v: if isString v then builtins.toJSON v else if isBool v then lib.boolToString v else if v == null then "null" else toString v; in
      if values == [ ] then "impossible (empty enum)"
      else if length values == 1 then "value ${show (head values)} (singular enum)"
      else "one of ${concatMapStringsSep ", " show values}";
    check = v: elem v values;
    merge = mergeEqualOption;
    payload = values;
    typeMergeWith = _: other: if other.name == "enum" then enum (lib.unique (values ++ other.payload)) else null;
  };

  listOf = elemType: mkOptionType {
    name = "listOf";
    description = "list of ${elemType.description}";
    check = isList;
    merge = loc: defs:
      map (x: x.value) (builtins.filter (x: x ? value) (builtins.concatLists (lib.imap1
        (n: def: lib.imap1
          (m: value:
            (mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType
              [{ inherit (def) file; inherit value; }]).optionalValue)
          def.value)
        defs)));
    emptyValue = { value = [ ]; };
    getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
    getSubModules = elemType.getSubModules;
    substSubModules = m: listOf (elemType.substSubModules m);
    nestedTypes = { inherit elemType; };
    typeMergeWith = around listOf;
  };
  nonEmptyListOf = elemType:
    let list = listOf elemType; in
    list // { description = "non-empty ${list.description}"; check = v: list.check v && v != [ ]; emptyValue = { }; };

  attrsOf = attrsOfWith false;
  lazyAttrsOf = attrsOfWith true;
  attrsOfWith = lazy: elemType: mkOptionType {
    name = if lazy then "lazyAttrsOf" else "attrsOf";
    description = "${if lazy then "lazy " else ""}attribute set of ${elemType.description}";
    check = isAttrs;
    merge = loc: defs:
      let
        merged = builtins.zipAttrsWith
          (name: ds: mergeDefinitions (loc ++ [ name ]) elemType ds)
          (map (def: builtins.mapAttrs (_: value: { inherit (def) file; inherit value; }) def.value) defs);
      in
      if lazy
      then builtins.mapAttrs (_: m: m.optionalValue.value or elemType.emptyValue.value or m.mergedValue) merged
      else builtins.mapAttrs (_: m: m.optionalValue.value) (lib.filterAttrs (_: m: m.optionalValue ? value) merged);
    emptyValue = { value = { }; };
    getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<name>" ]);
    getSubModules = elemType.getSubModules;
    substSubModules = m: attrsOfWith lazy (elemType.substSubModules m);
    nestedTypes = { inherit elemType; };
    typeMergeWith = around (attrsOfWith lazy);
  };
  # The deprecated type that was a list or a set; only the set is left of it.
  loaOf = attrsOf;

  uniq = unique { message = ""; };
  unique = { message ? "" }: type: type // {
    name = "unique";
    merge = lib.mergeUniqueOption { inherit message; merge = type.merge; };
  };

  nullOr = elemType: mkOptionType {
    name = "nullOr";
    description = "null or ${elemType.description}";
    check = v: v == null || elemType.check v;
    merge = loc: defs:
      let nulls = lib.count (d: d.value == null) defs; in
      if nulls == length defs then null
      else if nulls != 0 then failOption loc "is null in one place and not null in another:${showDefs defs}"
      else elemType.merge loc defs;
    emptyValue = { value = null; };
    getSubOptions = elemType.getSubOptions;
    getSubModules = elemType.getSubModules;
    substSubModules = m: nullOr (elemType.substSubModules m);
    nestedTypes = { inherit elemType; };
    typeMergeWith = around nullOr;
  };

  functionTo = elemType: mkOptionType {
    name = "functionTo";
    description = "function that evaluates to a(n) ${elemType.description}";
    check = lib.isFunction;
    merge = loc: defs: arg:
      (mergeDefinitions (loc ++ [ "<function body>" ]) elemType
        (map (d: { inherit (d) file; value = d.value arg; }) defs)).mergedValue;
    nestedTypes = { inherit elemType; };
    typeMergeWith = around functionTo;
  };

  submodule = modules: submoduleWith { shorthandOnlyDefinesConfig = true; modules = lib.toList modules; };
  deferredModule = deferredModuleWith { };
  deferredModuleWith = { staticModules ? [ ] }: mkOptionType {
    name = "deferredModule";
    description = "module";
    check = v: isAttrs v || lib.isFunction v || isPath v || isString v;
    merge = _: defs: { imports = staticModules ++ map (d: lib.setDefaultModuleLocation d.file d.value) defs; };
  };
  submoduleWith = { modules, specialArgs ? { }, shorthandOnlyDefinesConfig ? false, description ? null, class ? null }:
    let
      asModule = { value, file }:
        if isAttrs value && shorthandOnlyDefinesConfig
        then { _file = file; config = value; }
        else lib.setDefaultModuleLocation file value;
      evaluate = loc: extra: lib.evalModules {
        prefix = loc;
        inherit specialArgs;
        modules = [{ _module.args.name = lib.mkOptionDefault (if loc == [ ] then "<name>" else last loc); }] ++ modules ++ extra;
      };
      inner = evaluate [ ] [{ _module.args.name = lib.mkForce "<name>"; }];
    in
    mkOptionType {
      name = "submodule";
      description = if description != null then description else "submodule";
      check = v: isAttrs v || lib.isFunction v || isPath v;
      merge = loc: defs: (evaluate loc (map asModule defs)).config;
      emptyValue = { value = { }; };
      getSubOptions = prefix: (lib.evalModules {
        prefix = prefix;
        inherit specialArgs;
        modules = [{ _module.args.name = lib.mkOptionDefault "<name>"; }] ++ modules;
      }).options;
      getSubModules = modules;
      substSubModules = m: submoduleWith { modules = m; inherit specialArgs shorthandOnlyDefinesConfig description class; };
      payload = { inherit modules specialArgs; };
      typeMergeWith = _: other:
        if other.name != "submodule" then null
        else submoduleWith {
          modules = modules ++ other.payload.modules;
          specialArgs = specialArgs // other.payload.specialArgs;
          inherit shorthandOnlyDefinesConfig description;
        };
    };

  either = t1: t2: mkOptionType {
    name = "either";
    description = "${t1.description} or ${t2.description}";
    check = v: t1.check v || t2.check v;
    merge = loc: defs:
      if all (d: t1.check d.value) defs then t1.merge loc defs
      else if all (d: t2.check d.value) defs then t2.merge loc defs
      else mergeOneOption loc defs;
    getSubOptions = prefix: t1.getSubOptions prefix // t2.getSubOptions prefix;
    nestedTypes = { left = t1; right = t2; };
    typeMergeWith = self: other:
      let
        left = t1.typeMerge other.nestedTypes.left;
        right = t2.typeMerge other.nestedTypes.right;
      in
      if other.name == "either" && left != null && right != null then either left right else null;
  };
  oneOf = ts: if ts == [ ] then throw "types.oneOf needs at least one type" else builtins.foldl' either (head ts) (tail ts);

  coercedTo = fromType: convert: toType: mkOptionType {
    name = "coercedTo";
    description = "${toType.description} or ${fromType.description} convertible to it";
    check = v: (fromType.check v && toType.check (convert v)) || toType.check v;
    merge = loc: defs: toType.merge loc
      (map (d: d // { value = if fromType.check d.value then convert d.value else d.value; }) defs);
    emptyValue = toType.emptyValue;
    getSubOptions = toType.getSubOptions;
    getSubModules = toType.getSubModules;
    substSubModules = m: coercedTo fromType convert (toType.substSubModules m);
    nestedTypes = { finalType = toType; coercedType = fromType; };
    typeMergeWith = _: _: null;
  };
  addCheck = type: check: type // { check = v: type.check v && check v; };
}
