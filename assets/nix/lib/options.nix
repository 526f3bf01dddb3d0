# Declaring options, merging their definitions, and the words of the errors about them.
lib:
let
  inherit (builtins) isAttrs isList isString filter map head length attrNames concatStringsSep all;
  inherit (lib) concatMapStringsSep concatMapStrings last unique;
in
rec {
  isOption = lib.isType "option";

  mkOption =
    { default ? null
    , defaultText ? null
    , example ? null
    , description ? null
    , relatedPackages ? null
    , type ? null
    , apply ? null
    , internal ? null
    , visible ? null
    , readOnly ? null
    }@attrs:
    attrs // { _type = "option"; };

  mkEnableOption = name: mkOption {
    default = false;
    example = true;
    description = "Whether to enable ${if isAttrs name then name.text or "" else name}.";
    type = lib.types.bool;
  };

  mkPackageOption = pkgs: name:
    { nullable ? false, default ? name, example ? null, extraDescription ? "", pkgsText ? "pkgs" }:
    let
      path = if isList default then default else [ default ];
    in
    mkOption ({
      type = (if nullable then lib.types.nullOr else lib.id) lib.types.package;
      description = "The ${concatStringsSep "." (if isList name then name else [ name ])} package to use. ${extraDescription}";
      defaultText = literalExpression "${pkgsText}.${concatStringsSep "." path}";
    } // lib.optionalAttrs (default != null) { default = lib.getAttrFromPath path pkgs; });

  mkSinkUndeclaredOptions = attrs: mkOption ({
    internal = true;
    visible = false;
    default = false;
    description = "Definitions of undeclared options end here.";
    type = lib.mkOptionType { name = "sink"; check = _: true; merge = _: _: false; };
  } // attrs);

  # Text for the reference only.
  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalExample = literalExpression;
  literalMD = text: { _type = "literalMD"; inherit text; };
  literalDocBook = literalMD;
  mdDoc = text: text;

  # Merges of several definitions of one option.
  mergeDefaultOption = loc: defs:
    let list = getValues defs; in
    if length list == 1 then head list
    else if all builtins.isFunction list then x: mergeDefaultOption loc (map (f: f x) list)
    else if all isList list then builtins.concatLists list
    else if all isAttrs list then builtins.foldl' lib.mergeAttrs { } list
    else if all builtins.isBool list then builtins.foldl' (a: b: a || b) false list
    else if all isString list then lib.concatStrings list
    else failOption loc "has several definitions that cannot be merged:${showDefs defs}";
  mergeOneOption = mergeUniqueOption { message = ""; };
  mergeUniqueOption = { message ? "", merge ? null }: loc: defs:
    if length defs == 1 then (if merge == null then (head defs).value else merge loc defs)
    else failOption loc "may be set only once, but is set ${toString (length defs)} times:${showDefs defs}\n${message}";
  mergeEqualOption = loc: defs:
    if defs == [ ] then failOption loc "has no value"
    else if length defs == 1 then (head defs).value
    else
      (builtins.foldl'
        (first: def:
          if def.value == first.value then first
          else failOption loc
            "has different values from definitions of the same priority:${showDefs [ first def ]}\nUse lib.mkForce or lib.mkDefault to say which one counts.")
        (head defs)
        (builtins.tail defs)).value;

  getValues = map (x: x.value);
  getFiles = map (x: x.file);

  # A loc is the option's path; its first element may be `{ node = "NAME"; }`, naming the machine it belongs to.
  locNode = loc:
    if loc != [ ] && isAttrs (head loc) then "node ${(head loc).node}: " else "";
  showLoc = loc: filter isString loc;
  showOption = loc:
    let
      escape = part:
        if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*|\\[.*]" part != null || builtins.elem part [ "<name>" "*" "<function body>" ]
        then part else builtins.toJSON part;
    in
    concatMapStringsSep "." escape (showLoc loc);
  failOption = loc: message:
    throw "${locNode loc}the option `${showOption loc}' ${message}";
  showFiles = files: concatMapStringsSep " and " (f: "`${toString f}'") (unique files);
  showDefs = concatMapStrings (def: "\n- in `${toString def.file}': ${showValue 2 def.value}");

  # A value as people write it, cut short: for messages, where forcing more than a glance could fail itself.
  showValue = depth: value:
    let
      tried = builtins.tryEval value;
      v = tried.value;
      cut = s: if builtins.stringLength s > 72 then builtins.substring 0 72 s + "…" else s;
      some = xs: if length xs > 4 then lib.take 4 xs ++ [ "…" ] else xs;
      inner = showValue (depth - 1);
    in
    if !tried.success then "<cannot be evaluated>"
    else if isString v then builtins.toJSON (cut (builtins.unsafeDiscardStringContext v))
    else if builtins.isPath v then toString v
    else if builtins.isFunction v then "<a function>"
    else if isList v then
      (if v == [ ] then "[ ]" else if depth <= 0 then "[ … ]" else "[ ${concatStringsSep " " (some (map inner v))} ]")
    else if isAttrs v then
      (if (builtins.tryEval (v.type or null)).value == "derivation" then "<the package ${v.name or "?"}>"
      else if v == { } then "{ }" else if depth <= 0 then "{ … }"
      else "{ ${concatStringsSep " " (some (map (n: "${showOption [ n ]} = ${inner v.${n}};") (attrNames v)))} }")
    else builtins.toJSON v;

  # All options of a tree as a list, for the reference.
  optionAttrSetToDocList = optionAttrSetToDocList' [ ];
  optionAttrSetToDocList' = _: options:
    builtins.concatMap
      (opt:
        let
          ss = opt.type.getSubOptions opt.loc;
          doc = {
            inherit (opt) loc;
            name = showOption opt.loc;
            description = let d = opt.description or null; in if isAttrs d then d.text else d;
            declarations = opt.declarations;
            internal = opt.internal or false;
            visible = (opt.visible or true) == true;
            readOnly = opt.readOnly or false;
            type = opt.type.description or "unspecified";
          }
          // lib.optionalAttrs (opt ? defaultText || opt ? default) {
            default = if !(opt ? defaultText) then showValue 3 opt.default else if isString opt.defaultText then opt.defaultText else docText opt.defaultText;
          }
          // lib.optionalAttrs (opt ? example) { example = docText opt.example; };
        in
        [ doc ] ++ lib.optionals (ss != { } && (opt.visible or true) == true) (optionAttrSetToDocList' opt.loc ss))
      (lib.collect isOption options);
  docText = v: if isAttrs v && v ? _type && v ? text then v.text else showValue 3 v;
}
