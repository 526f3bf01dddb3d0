# The words of the module system's errors: each names the machine, the option and the file, and a way out.
#
# Invariant: nothing here runs unless something is wrong, so that it may take its time.
lib:
let
  inherit (builtins) attrNames head tail length isAttrs concatStringsSep filter unsafeGetAttrPos;
  inherit (lib) showOption showValue showFiles locNode isOption levenshtein take unique sort last init;

  # How far apart two words may be and still be taken for each other.
  allowance = word: lib.max 1 (lib.min 3 (builtins.stringLength word / 3));
in
rec {
  # The words nearest to `word`, best first.
  nearest = word: candidates:
    let
      limit = allowance word;
      close = filter (c: let d = builtins.stringLength c - builtins.stringLength word; in d <= limit && -d <= limit) candidates;
      scored = filter (x: x.distance <= limit) (map (c: { inherit c; distance = levenshtein (lib.toLower word) (lib.toLower c); }) close);
    in
    map (x: x.c) (sort (a: b: a.distance < b.distance) scored);

  didYouMean = names: if names == [ ] then "" else " Did you mean `${concatStringsSep "' or `" (take 3 names)}'?";

  missingArgument = prefix: file: name: known:
    "${locNode prefix}the module in `${toString file}' asks for the argument `${name}', which is neither a node of this network nor one of the arguments every module gets.${didYouMean (nearest name known)}";

  wrongType = loc: type: defs:
    let d = head defs; in
    "${locNode loc}the option `${showOption loc}' must be ${article type.description}, but `${toString d.file}' sets it to ${showValue 2 d.value}";

  article = words:
    let word = head (lib.splitString " " words); in
    if builtins.elem word [ "one" "null" "strings" "lazy" ] then words
    else if builtins.match "[aeiou].*" word != null then "an ${words}" else "a ${words}";

  unknownOptions = prefix: options: unmatched:
    let
      shown = take 5 unmatched;
      more = length unmatched - length shown;
    in
    concatStringsSep "\n" (map (unknownOption prefix options) shown)
    + lib.optionalString (more > 0) "\nand ${toString more} more unknown options";

  unknownOption = prefix: options: d:
    let
      pos = unsafeGetAttrPos d.name d.set;
      inStore = lib.hasPrefix "${builtins.storeDir}/";
      # A model may have been read from a copy in the store; people know the original.
      file = if inStore pos.file && !inStore (toString d.file) then toString d.file else pos.file;
      place = if pos == null then toString d.file else "${file}:${toString pos.line}";
      full = d.path ++ leafOf d.value;
    in
    "${locNode prefix}the option `${showOption (lib.showLoc prefix ++ full)}' does not exist; `${place}' sets it.${didYouMean (map (s: lib.concatStrings (map (p: p + ".") (lib.showLoc prefix)) + s) (suggestions options d.path full))}";

  # The rest of the path when what is set under an unknown name is one single thing.
  leafOf = v:
    if isAttrs v && !(v ? _type) && v.type or null != "derivation" && length (attrNames v) == 1
    then let n = head (attrNames v); in [ n ] ++ leafOf v.${n}
    else [ ];

  # Siblings of the first unknown name come first, then options elsewhere that end in the same words.
  suggestions = options: path: full:
    let
      group = lib.attrByPath (init path) { } options;
      children = if isOption group then { } else group;
      rest = lib.drop (length path) full;
      siblings = map
        (n:
          let base = init path ++ [ n ]; whole = base ++ rest; in
          showOption (if lib.hasAttrByPath whole options then whole else base))
        (nearest (last path) (attrNames children));
      everywhere = allPaths [ ] options;
      tailWords = n: p: lib.drop (lib.max 0 (length p - n)) p;
      ending = n: map showOption (filter (p: tailWords n p == tailWords n full) everywhere);
      similar = nearest (concatStringsSep "." full) (map showOption everywhere);
    in
    if siblings != [ ] then siblings
    else if similar != [ ] then similar
    else if length full > 1 && ending 2 != [ ] then ending 2
    else let one = ending 1; in if last full == "enable" || length one > 3 then [ ] else one;

  allPaths = path: options:
    builtins.concatLists (lib.mapAttrsToList
      (n: v:
        if n == "_module" then [ ]
        else if isOption v then (if v.visible or true == true then [ (path ++ [ n ]) ] else [ ])
        else allPaths (path ++ [ n ]) v)
      options);
}
