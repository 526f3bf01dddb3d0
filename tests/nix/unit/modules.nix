{ lib, eval, fails, ... }:
let
  inherit (lib) mkOption types mkIf mkMerge mkForce mkDefault mkBefore mkAfter mkOverride;
  opt = type: { options.x = mkOption { inherit type; }; };
  x = type: defs: (eval ([ (opt type) ] ++ map (v: { x = v; }) defs)).x;
in
{
  "a default counts only when nothing is set" = {
    expr = [ (eval [{ options.x = mkOption { default = 1; }; }]).x (eval [{ options.x = mkOption { default = 1; }; } { x = 2; }]).x ];
    expected = [ 1 2 ];
  };
  "priorities: force over plain over mkDefault over the default" = {
    expr = map (x types.int) [ [ 1 (mkForce 2) ] [ (mkDefault 1) 2 ] [ (mkOverride 10 3) (mkForce 2) ] ];
    expected = [ 2 2 3 ];
  };
  "lists and lines merge in order" = {
    expr = {
      list = x (types.listOf types.str) [ [ "m" ] (mkAfter [ "z" ]) (mkBefore [ "a" ]) ];
      lines = x types.lines [ "m" (mkAfter "z") (mkBefore "a") ];
    };
    expected = { list = [ "a" "m" "z" ]; lines = "a\nm\nz"; };
  };
  "mkIf and mkMerge at every depth" = {
    expr = x (types.attrsOf types.int) [ (mkIf true (mkMerge [ { a = 1; } (mkIf false { b = 2; }) ])) { c = mkIf true 3; d = mkIf false 4; } ];
    expected = { a = 1; c = 3; };
  };
  "mkIf on whole modules may depend on config" = {
    expr = (eval [
      { options.a = mkOption { default = false; }; options.b = mkOption { default = 0; }; }
      ({ config, ... }: mkIf config.a { b = 7; })
      { a = true; }
    ]).b;
    expected = 7;
  };
  "submodules see their name and merge" = {
    expr = x (types.attrsOf (types.submodule ({ name, config, ... }: {
      options.n = mkOption { default = name; };
      options.l = mkOption { type = types.listOf types.int; default = [ ]; };
      options.count = mkOption { default = builtins.length config.l; };
    }))) [ { a.l = [ 1 ]; } { a.l = [ 2 ]; b = { ... }: { n = "own"; }; } ];
    expected = { a = { n = "a"; l = [ 1 2 ]; count = 2; }; b = { n = "own"; l = [ ]; count = 0; }; };
  };
  "a freeform submodule keeps what it does not declare" = {
    expr = x (types.submodule { freeformType = types.attrsOf types.str; options.known = mkOption { type = types.int; default = 3; }; })
      [ { other = "o"; } ];
    expected = { known = 3; other = "o"; };
  };
  "types accept and refuse" = {
    expr = builtins.mapAttrs (_: t: map (v: !fails (x t [ v ])) [ 80 70000 (-1) "s" true null [ "a" ] { a = 1; } "/etc" "" ]) {
      inherit (types) bool int port str path nonEmptyStr;
      u = types.ints.unsigned;
      e = types.enum [ 80 "s" ];
      n = types.nullOr types.int;
      l = types.listOf types.str;
      a = types.attrsOf types.int;
      o = types.oneOf [ types.bool types.str ];
      m = types.strMatching "[a-z]*";
    };
    expected = {
      bool = [ false false false false true false false false false false ];
      int = [ true true true false false false false false false false ];
      port = [ true false false false false false false false false false ];
      str = [ false false false true false false false false true true ];
      path = [ false false false false false false false false true false ];
      nonEmptyStr = [ false false false true false false false false true false ];
      u = [ true true false false false false false false false false ];
      e = [ true false false true false false false false false false ];
      n = [ true true true false false true false false false false ];
      l = [ false false false false false false true false false false ];
      a = [ false false false false false false false true false false ];
      o = [ false false false true true false false false true true ];
      m = [ false false false true false false false false false true ];
    };
  };
  "anything merges deeply" = {
    expr = [ (x types.anything [ { a.b = 1; } { a.c = [ 2 ]; a.d = mkIf false 3; } ]) (fails (x types.anything [ [ 1 ] [ 2 ] ])) ];
    expected = [ { a = { b = 1; c = [ 2 ]; }; } true ];
  };
  "coercedTo, commas, envVar, functionTo" = {
    expr = [
      (x (types.coercedTo types.int toString types.str) [ 5 ])
      (x types.commas [ "a" "b" ])
      (x types.envVar [ "/a" "/b" ])
      (x (types.functionTo (types.listOf types.int)) [ (n: [ n ]) (n: [ (n + 1) ]) ] 1)
    ];
    expected = [ "5" "b,a" "/b:/a" [ 2 1 ] ];
  };
  "apply and readOnly" = {
    expr = {
      apply = (eval [{ options.x = mkOption { default = 1; apply = v: v + 1; }; }]).x;
      once = (eval [{ options.x = mkOption { readOnly = true; }; } { x = 1; }]).x;
      twice = fails (eval [{ options.x = mkOption { readOnly = true; }; } { x = 1; } { x = 1; }]).x;
    };
    expected = { apply = 2; once = 1; twice = true; };
  };
  "the same file counts once, and a module can be disabled" = {
    expr = {
      once = (eval [ (opt (types.listOf types.int)) ../data/one.nix { imports = [ ../data/one.nix ]; } ]).x;
      disabled = (eval [ (opt (types.listOf types.int)) ../data/one.nix { disabledModules = [ ../data/one.nix ]; x = [ ]; } ]).x;
    };
    expected = { once = [ 1 ]; disabled = [ ]; };
  };
  "an option declared twice merges its types" = {
    expr = (eval [
      { options.s = mkOption { type = types.submodule { options.a = mkOption { default = 1; }; }; default = { }; }; }
      { options.s = mkOption { type = types.submodule { options.b = mkOption { default = 2; }; }; }; }
      { options.e = mkOption { type = types.enum [ "a" ]; }; }
      { options.e = mkOption { type = types.enum [ "b" ]; }; config.e = "b"; }
    ]);
    expected = { s = { a = 1; b = 2; }; e = "b"; };
  };
  "_module.args and extra arguments" = {
    expr = (eval [ { config._module.args.greeting = "hi"; options.x = mkOption { }; } ({ greeting, absent ? "no", ... }: { x = greeting + absent; }) ]).x;
    expected = "hino";
  };
  "a renamed option passes priority on and warns" = {
    expr = eval [
      { options = { a.new = mkOption { type = types.int; default = 0; }; warnings = mkOption { type = types.listOf types.str; default = [ ]; }; }; }
      (lib.mkRenamedOptionModule [ "old" ] [ "a" "new" ])
      { old = mkForce 4; }
      { a.new = 5; }
    ];
    expected = { a.new = 4; old = 4; warnings = [ "the option `old', set in `<unknown file>', is called `a.new' today" ]; };
  };
  "an unknown option is refused, unless its condition is false" = {
    expr = [ (fails (eval [ (opt types.int) { x = 1; y = 2; } ])) (eval [ (opt types.int) { x = 1; y = mkIf false 2; } ]) ];
    expected = [ true { x = 1; } ];
  };
}
