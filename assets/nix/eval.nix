# The program's entry: a model in, an evaluation out (docs/architecture.md, "The Nix side").
#
# With `clone = false` it is the network in production: hosts and what is deployed to them instead of a clone's
# manifest. `image` then names the nodes whose bootable disks are wanted.
{ model
, flake ? null # the reference of the flake that the file `model' is of
, output ? null # which of its outputs has the model
, infrastructure ? null
, distribution ? null
, image ? [ ]
, name ? null
, lock ? null
, mirrors ? { }
, nixpkgs ? null
, system ? builtins.currentSystem
, debian ? import ./debian
, clone ? true # false: the systems themselves, without what only a clone has
, coverage ? false # whether packages that the model marks count which of their lines are executed
, internals ? false # whether values that only Nix can use are there too
}:
let
  lib = import ./lib;
  networks = import ./lib/network.nix lib;
  manifests = import ./lib/manifest.nix lib;

  source =
    if flake == null then { model = { value = model; nixpkgs = null; system = null; }; }
    else import ./lib/flake.nix lib { inherit flake output clone; file = model; };

  guest =
    if nixpkgs != null
    then import ./nixos { inherit nixpkgs system lib clone; why = "nixpkgs was given: ${toString nixpkgs}"; }
    else if source.model.nixpkgs != null
    then import ./nixos { inherit (source.model) nixpkgs; system = if source.model.system != null then source.model.system else system; inherit lib clone; why = "the flake's hive brings nixpkgs"; }
    else import ./lib/debian-system.nix lib {
      backend = debian {
        inherit lib mirrors system coverage;
        lock = if lock == null || builtins.isAttrs lock then lock else builtins.fromJSON (builtins.readFile lock);
      };
      why = "no nixpkgs was given";
      inherit clone;
    };

  infrastructures = import ./lib/infrastructure.nix lib;
  inherit (import ./lib/keys.nix lib) textsOf;
  drvsOf = import ./lib/drvs-of.nix;
  places = names: infrastructures.read { inherit infrastructure distribution names; };
  network = networks.evalNetwork {
    model = source.model.value;
    file = model;
    inherit name;
    system = guest;
    modulesFor = names: node: (places names).${node}.modules;
  };
  production = import ./lib/deployment.nix lib { inherit network; infrastructure = places network.names; };
  imageOf = node:
    let
      config = network.configs.${node};
      path = "${config.system.build.image}/disk.qcow2";
    in
    { inherit path; toplevel = "${config.system.build.toplevel}"; realise = drvsOf path; };

  # The sets of packages that the lock does not cover, each once.
  missing =
    if guest.name != "debian" then [ ]
    else lib.unique (guest.missingSets (map (n: network.configs.${n}.system.build.requiredPackages) network.names
      ++ guest.toolSetsOf image (builtins.attrValues network.configs))
      ++ guest.missingBuildSets (lib.concatMap (n: network.configs.${n}.system.build.requiredBuildSets or [ ]) network.names));

  # Systems that are evaluated already: they are deployed as they are.
  ready = source.systems // { name = if name != null then name else networks.nameOf model; };
  readyPlaces =
    let
      entries = places ready.names;
      withModules = builtins.filter (n: entries.${n}.modules != [ ]) ready.names;
    in
    if withModules == [ ] then entries
    else throw "${infrastructures.called infrastructure}: `${builtins.head withModules}' has a module for its host, and its system is evaluated already (${ready.system.why}); put it into the flake";
  readyProduction = import ./lib/deployment.nix lib { network = ready; infrastructure = readyPlaces; };
  answer = { version = 1; missingPackages = [ ]; manifest = null; ready = true; };
in
if source ? deployRs then answer // {
  inherit (source.deployRs) realise;
  system = { name = "nixos"; inherit (source.deployRs) why; };
  deployRs = source.deployRs.nodes;
}
else if source ? systems then answer // {
  inherit (ready) system;
  inherit (readyProduction) deployment realise;
  secrets = textsOf ready.configs;
}
else builtins.seq network.sane {
  version = 1;
  system = { inherit (guest) name why; };
  missingPackages = missing;
  manifest = if missing == [ ] && clone then manifests.manifestOf network else null;
  realise = if missing != [ ] then { } else if clone then manifests.realiseOf network else production.realise;
  # The secrets that the model has as text, by node and name. They are nowhere else in this answer.
  secrets = if missing == [ ] then textsOf network.configs else { };
} // lib.optionalAttrs (!clone) {
  deployment = if missing == [ ] then production.deployment else null;
  # A name that is no node's is the program's to complain of.
  images = if missing == [ ] then lib.genAttrs (builtins.filter (n: network.configs ? ${n}) image) imageOf else { };
} // (if internals then { internals = { inherit (network) nodes testScript; }; } else { })
