# The library that models and modules get as `lib`: nixpkgs' names and meaning, and nothing of nixpkgs' size.
#
# Invariant: pure functions only; no package, path of the machine or derivation is reachable from here.
let
  lib = flat // {
    inherit trivial lists attrsets strings generators options modules types;
    fixedPoints = { inherit (trivial) fix extends composeExtensions composeManyExtensions; };
    customisation = { };
    versions = import ./versions.nix;
    asserts = { inherit (trivial) assertMsg assertOneOf; };
    meta = { inherit (meta) getExe getExe'; };
    inherit (meta) getExe getExe' licenses maintainers platforms teams;
    # Names of `strings` and `lists` that differ in meaning keep the flat meaning nixpkgs gives them.
    inherit (strings) hasPrefix replicate';
    replicate = lists.replicate;
    fileset = throw "lib.fileset is nixpkgs' own; here, name files by path";
  };

  trivial = import ./trivial.nix;
  lists = import ./lists.nix;
  attrsets = import ./attrsets.nix;
  strings = import ./strings.nix // { replicate' = (import ./strings.nix).replicate; };
  generators = import ./generators.nix;
  options = import ./options.nix lib;
  modules = import ./modules.nix lib // import ./rename.nix lib;
  types = import ./types.nix lib // { inherit types; };

  meta = {
    getExe = p: meta.getExe' p (p.meta.mainProgram or strings.getName p);
    getExe' = p: name: "${attrsets.getBin p}/bin/${name}";
    licenses = { };
    maintainers = { };
    teams = { };
    platforms = { linux = [ "x86_64-linux" "aarch64-linux" ]; all = [ "x86_64-linux" "aarch64-linux" ]; };
  };

  flat = trivial // lists // attrsets // strings // options // modules;
in
lib
