{ lib, real, fails, ... }:
let
  node = module: (real { nodes.n = module; }).n;
  package = pkgs: stdenv: stdenv.mkDerivation { pname = "p"; version = "1"; src = ../data; nativeBuildInputs = [ pkgs.curl ]; };
  sets = config: map (set: builtins.filter (name: builtins.elem name [ "gcc" "make" "curl" ]) set) config.system.build.requiredBuildSets;
in
{
  "a package built from source asks for what builds it, through whatever speaks of it" = {
    expr = map sets [
      (node ({ pkgs, ... }: { environment.systemPackages = [ (package pkgs pkgs.stdenv) ]; }))
      (node ({ pkgs, ... }: { systemd.services.s.script = "${package pkgs pkgs.stdenv}/bin/p"; }))
      (node ({ pkgs, ... }: { environment.etc.x.text = "${pkgs.writeText "y" "${package pkgs pkgs.stdenv}"}"; }))
      (node { })
    ];
    expected = [ [ [ "curl" "gcc" "make" ] ] [ [ "curl" "gcc" "make" ] ] [ [ "curl" "gcc" "make" ] ] [ ] ];
  };
  "libraries it was built with are in the machine, tools are not" = {
    expr = let c = node ({ pkgs, ... }: {
      environment.systemPackages = [ (pkgs.stdenv.mkDerivation { name = "p"; nativeBuildInputs = [ pkgs.htop ]; buildInputs = [ pkgs.curl ]; }) ];
    }); in map (name: builtins.elem name c.system.build.requiredPackages) [ "curl" "htop" ];
    expected = [ true false ];
  };
  "an input of a build is a Debian package" = {
    expr = fails (node ({ pkgs, ... }: {
      environment.systemPackages = [ (pkgs.stdenv.mkDerivation { name = "p"; buildInputs = [ (pkgs.writeText "x" "y") ]; }) ];
    })).system.build.requiredBuildSets;
    expected = true;
  };
  "without coverage nothing keeps data, whatever is marked" = {
    expr = let c = node ({ pkgs, ... }: {
      environment.systemPackages = [ (package pkgs (pkgs.addCoverageInstrumentation pkgs.stdenv)) ];
      coverage.hooks.x.toLcov = "true";
    }); in [ c.coverage.enable c.coverage.notes (c.systemd.services ? coverage) ];
    expected = [ false [ ] false ];
  };
  "with it a hook's environment is that of every service and every command" = {
    expr = let c = node { coverage.enable = true; coverage.hooks.x = { environment.DATA = "/d"; toLcov = "true"; }; }; in
      [ c.systemd.globalEnvironment c.environment.etc."diorama/coverage/hooks".enable (c.systemd.services ? coverage) ];
    expected = [ { DATA = "/d"; } true true ];
  };
}
