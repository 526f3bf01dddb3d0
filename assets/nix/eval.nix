# The program's entry: a model in, an evaluation out (docs/architecture.md, "The Nix side").
{ model
, name ? null
, lock ? null
, mirrors ? { }
, nixpkgs ? null
, system ? builtins.currentSystem
, debian ? import ./debian
, clone ? true # false: the systems themselves, without what only a clone has
, internals ? false # whether values that only Nix can use are there too
}:
let
  lib = import ./lib;
  networks = import ./lib/network.nix lib;
  manifests = import ./lib/manifest.nix lib;

  guest =
    if nixpkgs != null
    then import ./nixos { inherit nixpkgs system lib; why = "nixpkgs was given: ${toString nixpkgs}"; }
    else import ./lib/debian-system.nix lib {
      backend = debian {
        inherit lib mirrors system;
        lock = if lock == null || builtins.isAttrs lock then lock else builtins.fromJSON (builtins.readFile lock);
      };
      why = "no nixpkgs was given";
      inherit clone;
    };

  network = networks.evalNetwork { inherit model name; system = guest; };

  # The sets of packages that the lock does not cover, each once.
  missing =
    if guest.name != "debian" then [ ]
    else guest.missingSets (map (n: network.configs.${n}.system.build.requiredPackages) network.names
      ++ guest.toolSetsOf (builtins.attrValues network.configs));
in
builtins.seq network.sane {
  version = 1;
  system = { inherit (guest) name why; };
  missingPackages = missing;
  manifest = if missing == [ ] then manifests.manifestOf network else null;
  realise = if missing == [ ] then manifests.realiseOf network else { };
} // (if internals then { internals = { inherit (network) nodes testScript; }; } else { })
