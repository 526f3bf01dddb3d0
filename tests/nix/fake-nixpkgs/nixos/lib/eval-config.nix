# nixpkgs' function of this name as far as the seam uses it: its arguments, `pkgs` from a module, its results.
{ system ? builtins.currentSystem, specialArgs ? { }, modules, lib ? import ../../lib }:
if specialArgs ? pkgs || specialArgs ? lib then throw "specialArgs must leave pkgs and lib to nixpkgs"
else
  let
    e = lib.evalModules {
      inherit specialArgs;
      modules = [ ../modules/base.nix { _module.args.pkgs = import ../.. { inherit system; }; } ] ++ modules;
    };
  in
  { inherit (e) config options; inherit lib; }
