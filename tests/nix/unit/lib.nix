{ lib, ... }:
{
  "strings" = {
    expr = with lib; [
      (escapeShellArgs [ "plain" "two words" "it's" ])
      (splitString "." "a.b.c")
      (removePrefix "a" "abc")
      (removeSuffix "c" "abc")
      (hasInfix "b" "abc")
      (toUpper "abc")
      (trim " \ta b\n ")
      (concatMapStringsSep "," toString [ 1 2 ])
      (fixedWidthNumber 3 7)
      (toHexString 254)
      (optionalString false "x")
      (toInt "012")
    ];
    expected = [ "plain 'two words' 'it'\\''s'" [ "a" "b" "c" ] "bc" "ab" true "ABC" "a b" "1,2" "007" "FE" "" 12 ];
  };
  "lists" = {
    expr = with lib; [
      (flatten [ 1 [ 2 [ 3 ] ] ])
      (unique [ 1 2 1 ])
      (imap1 (i: v: i * v) [ 5 6 ])
      (naturalSort [ "web10" "web2" "a" ])
      (range 2 4)
      (take 2 [ 1 2 3 ])
      (drop 2 [ 1 2 3 ])
      (findFirst (v: v > 1) 0 [ 1 2 3 ])
      (foldr (a: b: a - b) 0 [ 3 2 1 ])
      (replicate 2 "x")
      (sublist 1 5 [ 1 2 3 ])
    ];
    expected = [ [ 1 2 3 ] [ 1 2 ] [ 5 12 ] [ "a" "web2" "web10" ] [ 2 3 4 ] [ 1 2 ] [ 3 ] 2 2 [ "x" "x" ] [ 2 3 ] ];
  };
  "sets" = {
    expr = with lib; [
      (recursiveUpdate { a.b = 1; a.c = 2; } { a.b = 3; })
      (filterAttrs (_: v: v > 1) { a = 1; b = 2; })
      (mapAttrsToList (n: v: n + v) { a = "1"; })
      (genAttrs [ "a" ] (n: n + n))
      (attrByPath [ "a" "b" ] 0 { a.b = 1; })
      (setAttrByPath [ "a" "b" ] 1)
      (collect builtins.isInt { a = 1; b.c = 2; })
      (foldlAttrs (acc: _: v: acc + v) 0 { a = 1; b = 2; })
      (cartesianProduct { a = [ 1 2 ]; b = [ 3 ]; })
    ];
    expected = [ { a = { b = 3; c = 2; }; } { b = 2; } [ "a1" ] { a = "aa"; } 1 { a.b = 1; } [ 1 2 ] 3 [ { a = 1; b = 3; } { a = 2; b = 3; } ] ];
  };
  "generators" = {
    expr = [
      (lib.generators.toINI { } { s = { a = 1; b = true; }; })
      (lib.generators.toKeyValue { } { a = "x"; })
    ];
    expected = [ "[s]\na=1\nb=true\n" "a=x\n" ];
  };
  "splitting and trimming keep what a text refers to" = {
    expr =
      let s = " ${builtins.toFile "x" ""}, b "; in
      map (p: builtins.attrNames (builtins.getContext p) == builtins.attrNames (builtins.getContext s)) (lib.splitString "," s ++ [ (lib.trim s) ]);
    expected = [ true true true ];
  };
  "words and paths for systemd" = {
    expr =
      let utils = import ../../../assets/nix/lib/utils.nix lib; in
      [
        (utils.escapeSystemdExecArgs [ "a%b" "\${c} \"d\"" ";" 4 ])
        (map utils.escapeSystemdPath [ "/" "/data/a-b" "/.x y/" "srv" ])
        (builtins.tryEval (utils.escapeSystemdExecArgs [ null ])).success
      ];
    expected = [ "\"a%%b\" \"$\${c} \\\"d\\\"\" \";\" \"4\"" [ "-" "data-a\\x2db" "\\x2ex\\x20y" "srv" ] false ];
  };
  "edit distance" = {
    expr = map (p: lib.levenshtein (builtins.head p) (lib.last p)) [ [ "kitten" "sitting" ] [ "" "abc" ] [ "same" "same" ] [ "htpd" "httpd" ] ];
    expected = [ 3 3 0 1 ];
  };
}
