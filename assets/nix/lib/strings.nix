# Functions on strings, under nixpkgs' names, and the edit distance behind "did you mean".
let
  lists = import ./lists.nix;
  trivial = import ./trivial.nix;
  inherit (builtins) stringLength substring isString isList elemAt genList concatStringsSep replaceStrings;
  lowerChars = stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
  escapeRegexChars = stringToCharacters "\\[{()^$?*+|.";
  escape = list: replaceStrings list (map (c: "\\${c}") list);
in
rec {
  inherit (builtins) stringLength substring isString replaceStrings concatStringsSep match split toJSON fromJSON
    unsafeDiscardStringContext;
  inherit stringToCharacters escape;

  concatStrings = concatStringsSep "";
  concatMapStrings = f: list: concatStrings (map f list);
  concatImapStrings = f: list: concatStrings (lists.imap1 f list);
  concatMapStringsSep = sep: f: list: concatStringsSep sep (map f list);
  concatImapStringsSep = sep: f: list: concatStringsSep sep (lists.imap1 f list);
  concatMapAttrsStringSep = sep: f: set:
    concatStringsSep sep (map (n: f n set.${n}) (builtins.attrNames set));
  concatLines = concatMapStrings (s: s + "\n");
  intersperse = sep: list:
    if list == [ ] || lists.length list == 1 then list
    else lists.tail (lists.concatMap (x: [ sep x ]) list);
  replicate = n: s: concatStrings (lists.replicate n s);
  optionalString = cond: string: if cond then string else "";
  hasPrefix = pref: str: substring 0 (stringLength pref) str == pref;
  hasSuffix = suffix: content:
    let
      lenContent = stringLength content;
      lenSuffix = stringLength suffix;
    in
    lenContent >= lenSuffix && substring (lenContent - lenSuffix) lenContent content == suffix;
  hasInfix = infix: content: builtins.match ".*${escapeRegex infix}.*" "${content}" != null;
  removePrefix = prefix: str:
    if hasPrefix prefix str then substring (stringLength prefix) (stringLength str) str else str;
  removeSuffix = suffix: str:
    if hasSuffix suffix str then substring 0 (stringLength str - stringLength suffix) str else str;
  # `split` and `match` forget what a text refers to; what is made of their parts must not.
  splitString = sep: s:
    map (addContextFrom (toString s)) (builtins.filter isString (builtins.split (escapeRegex sep) (toString s)));
  escapeRegex = escape escapeRegexChars;
  escapeShellArg = arg:
    let string = toString arg; in
    if builtins.match "[[:alnum:],._+:@%/-]+" string == null
    then "'${replaceStrings [ "'" ] [ "'\\''" ] string}'"
    else string;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  escapeSystemdExecArg = arg:
    replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON (toString arg));
  escapeSystemdExecArgs = concatMapStringsSep " " escapeSystemdExecArg;
  isValidPosixName = name: builtins.match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar = name: value:
    if lists.isList value then "declare -a ${name}=(${escapeShellArgs value})" else "${name}=${escapeShellArg value}";
  toShellVars = vars: concatStringsSep "\n" (map (n: toShellVar n vars.${n}) (builtins.attrNames vars));
  toLower = replaceStrings upperChars lowerChars;
  toUpper = replaceStrings lowerChars upperChars;
  toSentenceCase = str: toUpper (substring 0 1 str) + substring 1 (stringLength str) str;
  addContextFrom = a: b: substring 0 0 a + b;
  trim = trimWith { start = true; end = true; };
  trimWith = { start ? false, end ? false }: s:
    let
      parts = builtins.match "[ \t\r\n]*(.*[^ \t\r\n])?[ \t\r\n]*" s;
      left = builtins.match "[ \t\r\n]*(.*)" s;
      right = builtins.match "(.*[^ \t\r\n])?[ \t\r\n]*" s;
      pick = m: if m == null || builtins.head m == null then "" else builtins.head m;
    in
    addContextFrom s (if start && end then pick parts else if start then pick left else if end then pick right else s);
  fixedWidthString = width: filler: str:
    let missing = width - stringLength str; in
    assert missing >= 0;
    concatStrings (genList (_: filler) missing) + str;
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);
  toInt = str:
    let m = builtins.match "[ \t\n]*(-?)0*([0-9]+)[ \t\n]*" str; in
    if m == null then throw "toInt: ${builtins.toJSON str} is not an integer"
    else builtins.fromJSON (builtins.head m + elemAt m 1);
  toIntBase10 = toInt;
  floatToString = f: let s = builtins.toJSON f; in s;
  isCoercibleToString = x:
    builtins.elem (builtins.typeOf x) [ "path" "string" "null" "int" "float" "bool" ]
    || (isList x && lists.all isCoercibleToString x) || x ? outPath || x ? __toString;
  isStringLike = x: isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isStorePath = x: isStringLike x && hasPrefix "${builtins.storeDir}/" (toString x);
  versionOlder = v1: v2: builtins.compareVersions v2 v1 == 1;
  versionAtLeast = v1: v2: !(versionOlder v1 v2);
  getVersion = x: if isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;
  getName = x: if isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
  nameFromURL = url: sep: builtins.head (splitString sep (lists.last (splitString "/" url)));
  sanitizeDerivationName = s:
    let clean = concatMapStrings (x: if isList x then "-" else x) (builtins.split "[^[:alnum:]+._?=-]+" (builtins.unsafeDiscardStringContext s)); in
    if clean == "" then "unknown" else substring 0 207 (removePrefix "." clean);
  makeSearchPath = subDir: paths: concatStringsSep ":" (map (p: "${p}/${subDir}") (builtins.filter (x: x != null) paths));
  makeSearchPathOutput = output: subDir: pkgs: makeSearchPath subDir pkgs;
  makeBinPath = makeSearchPath "bin";
  makeLibraryPath = makeSearchPath "lib";
  enableFeature = flag: feature: "--${if flag then "enable" else "disable"}-${feature}";
  withFeature = flag: feature: "--${if flag then "with" else "without"}-${feature}";
  fileContents = file: removeSuffix "\n" (builtins.readFile file);
  readPathsFromFile = root: file: map (p: root + "/${p}") (builtins.filter (l: l != "" && !hasPrefix "#" l) (splitString "\n" (builtins.readFile file)));
  commonPrefixLength = a: b:
    let
      m = trivial.min (stringLength a) (stringLength b);
      go = i: if i >= m || substring i 1 a != substring i 1 b then i else go (i + 1);
    in
    go 0;

  # The number of insertions, deletions and substitutions between two words, one row of the table at a time.
  levenshtein = a: b:
    let
      bs = stringToCharacters b;
      width = stringLength b;
      nextRow = row: c:
        lists.foldl'
          (acc: j:
            let
              cost = if elemAt bs j == c then 0 else 1;
              best = trivial.min (trivial.min (lists.last acc + 1) (elemAt row (j + 1) + 1)) (elemAt row j + cost);
            in
            acc ++ [ (builtins.seq best best) ])
          [ (builtins.head row + 1) ]
          (lists.range 0 (width - 1));
    in
    lists.last (lists.foldl' nextRow (lists.range 0 width) (stringToCharacters a));
  levenshteinAtMost = k: a: b: levenshtein a b <= k;
}
