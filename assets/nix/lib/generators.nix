# Generators of configuration formats, under nixpkgs' names.
let
  strings = import ./strings.nix;
  attrsets = import ./attrsets.nix;
  lists = import ./lists.nix;
  inherit (builtins) typeOf isAttrs isList isString;
in
rec {
  mkValueStringDefault = _: v:
    if builtins.isInt v then toString v
    else if attrsets.isDerivation v then toString v
    else if isString v then v
    else if v == true then "true"
    else if v == false then "false"
    else if v == null then "null"
    else if builtins.isFloat v then strings.floatToString v
    else throw "generators: a ${typeOf v} has no textual form here";
  mkKeyValueDefault = { mkValueString ? mkValueStringDefault { } }: sep: k: v:
    "${strings.escape [ sep ] k}${sep}${mkValueString v}";
  toKeyValue = { mkKeyValue ? mkKeyValueDefault { } "=", listsAsDuplicateKeys ? false, indent ? "" }: attrs:
    let
      line = k: v: indent + mkKeyValue k v + "\n";
      lines = k: v: if listsAsDuplicateKeys then map (line k) (lists.toList v) else [ (line k v) ];
    in
    strings.concatStrings (lists.concatLists (attrsets.mapAttrsToList lines attrs));
  toINI = { mkSectionName ? (name: strings.escape [ "[" "]" ] name), mkKeyValue ? mkKeyValueDefault { } "=", listsAsDuplicateKeys ? false }: sections:
    strings.concatStringsSep "\n" (attrsets.mapAttrsToList
      (name: values: "[${mkSectionName name}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values)
      sections);
  toINIWithGlobalSection = args: { globalSection, sections ? { } }:
    (if globalSection == { } then "" else toKeyValue (removeAttrs args [ "mkSectionName" ]) globalSection + "\n")
    + toINI args sections;
  toJSON = _: builtins.toJSON;
  toYAML = _: builtins.toJSON;
  toPretty = { multiline ? true, indent ? "", allowPrettyValues ? false }@args: v:
    let
      inner = toPretty (args // { indent = indent + "  "; });
      sep = if multiline then "\n${indent}  " else " ";
      end = if multiline then "\n${indent}" else " ";
    in
    if isList v then (if v == [ ] then "[ ]" else "[${sep}${strings.concatMapStringsSep sep inner v}${end}]")
    else if isAttrs v then
      (if attrsets.isDerivation v then "<derivation ${v.name or "?"}>"
      else if v == { } then "{ }"
      else "{${sep}${strings.concatStringsSep sep (attrsets.mapAttrsToList (n: x: "${n} = ${inner x};") v)}${end}}")
    else if builtins.isFunction v then "<function>"
    else if builtins.isPath v then toString v
    else builtins.toJSON v;
}
