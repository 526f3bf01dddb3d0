# Evaluates one file of unit tests with what tests need.
{ file }:
let
  lib = import ../../assets/nix/lib;
  networks = import ../../assets/nix/lib/network.nix lib;
  debianSystem = import ../../assets/nix/lib/debian-system.nix lib {
    backend = import ./fake-debian.nix { inherit lib; lock = null; mirrors = { }; system = builtins.currentSystem; };
    why = "a test";
  };
  network = model: networks.evalNetwork { inherit model; system = debianSystem; };
  # The real guest system, with names of packages but no lock.
  realSystem = import ../../assets/nix/lib/debian-system.nix lib {
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
  examples = ../../assets/examples;
  manifest = model: (import ../../assets/nix/lib/manifest.nix lib).manifestOf (network model);
  # The configuration of some modules.
  eval = modules: (lib.evalModules { inherit modules; prefix = [{ node = "n"; }]; }).config;
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;
}
