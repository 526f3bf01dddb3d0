# The module argument `utils`: words and paths as systemd's unit files want them.
lib:
let
  inherit (builtins) replaceStrings toJSON isString isPath isInt isFloat isAttrs;
  # What a unit's name may not have, with its code; a dash is taken for the slash.
  special = lib.stringToCharacters " !\"#$%&'()*+,;<=>?@[\\]^`{|}~-";
  codes = [
    "20" "21" "22" "23" "24" "25" "26" "27" "28" "29" "2a" "2b" "2c" "3b" "3c" "3d" "3e" "3f" "40" "5b" "5c" "5d" "5e" "60"
    "7b" "7c" "7d" "7e" "2d"
  ];
  text = arg:
    if isPath arg then "${arg}"
    else if isString arg then arg
    else if isInt arg || isFloat arg || (isAttrs arg && arg.type or null == "derivation") then toString arg
    else throw "escapeSystemdExecArg: ${lib.showValue 1 arg} is no word of a command: a string, a path, a number or a package";
in
rec {
  # One word of ExecStart, with nothing in it that systemd would put something else for.
  escapeSystemdExecArg = arg: replaceStrings [ "%" "$" ] [ "%%" "$$" ] (toJSON (text arg));
  escapeSystemdExecArgs = lib.concatMapStringsSep " " escapeSystemdExecArg;

  # A path as the name of a unit: /data/a-b becomes data-a\x2db.
  escapeSystemdPath = path:
    let
      inner = lib.removeSuffix "/" (lib.removePrefix "/" "${path}");
      escaped = replaceStrings (special ++ [ "/" ]) (map (code: "\\x${code}") codes ++ [ "-" ]) inner;
    in
    if inner == "" then "-"
    else if lib.hasPrefix "." inner then "\\x2e${lib.removePrefix "." escaped}"
    else escaped;
}
