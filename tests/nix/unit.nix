# Evaluates one file of unit tests with what tests need.
{ file }:
let
  lib = import ../../assets/nix/lib;
  networks = import ../../assets/nix/lib/network.nix lib;
  debianSystem = fakeSystem true;
  fakeSystem = clone: import ../../assets/nix/lib/debian-system.nix lib {
    inherit clone;
    backend = import ./fake-debian.nix { inherit lib; lock = null; mirrors = { }; system = builtins.currentSystem; };
    why = "a test";
  };
  network = model: networks.evalNetwork { inherit model; system = debianSystem; };
  # The network in production, on a guest system.
  productionNetwork = system: { model, infrastructure ? null, distribution ? null }:
    let
      places = names: (import ../../assets/nix/lib/infrastructure.nix lib).read { inherit infrastructure distribution names; };
      network = networks.evalNetwork { inherit model; system = system false; modulesFor = names: node: (places names).${node}.modules; };
    in
    { inherit network; infrastructure = places network.names; };
  # The real guest system, with names of packages but no lock.
  realSystem = realSystemFor true;
  realSystemFor = clone: import ../../assets/nix/lib/debian-system.nix lib {
    inherit clone;
    backend = import ../../assets/nix/debian {
      inherit lib;
      lock = null;
      mirrors.names = builtins.toFile "names.json" (builtins.toJSON [ "nginx" "haproxy" "curl" "htop" "dnsmasq-base" ]);
      system = builtins.currentSystem;
    };
    why = "a test";
  };
in
import file {
  inherit lib network;
  # The configurations on the real guest system, all checks made.
  real = model: let n = networks.evalNetwork { inherit model; system = realSystem; }; in builtins.seq n.sane n.configs;
  production = args: import ../../assets/nix/lib/deployment.nix lib (productionNetwork fakeSystem args);
  # The hosts' configurations on the real guest system, all checks made.
  productionOn = args: let n = (productionNetwork realSystemFor args).network; in builtins.seq n.sane n.configs;
  examples = ../../assets/examples;
  manifest = model: (import ../../assets/nix/lib/manifest.nix lib).manifestOf (network model);
  # The configuration of some modules.
  eval = modules: (lib.evalModules { inherit modules; prefix = [{ node = "n"; }]; }).config;
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;
}
