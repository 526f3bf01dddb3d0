# What a Nix file of one's own imports:
#
#   let diorama = import .../assets/nix { }; in
#   { vms = diorama.buildVirtualNetwork { network = { … }; }; }
#
#   $ nix-build trac.nix -A vms && ./result/bin/run-vms
#
# `lock` is the lock file of the model's Debian packages (`diorama lock` writes it), by default NAME.lock.json beside
# the file that calls; `mirrors` says where the packages come from when the Nix store does not have them yet.
{ system ? builtins.currentSystem
, nixpkgs ? null
, mirrors ? { }
, diorama ? "diorama"
}:
let
  lib = import ./lib;
  evaluate = import ./eval.nix;
  reader = import ./lib/model.nix lib;
in
rec {
  inherit lib;
  inherit (reader) replicate;

  # All of an evaluation (docs/architecture.md, "The Nix side") of a network.
  evalNetwork = { network, name ? "network", lock ? null, mirrors ? default.mirrors, nixpkgs ? default.nixpkgs, system ? default.system }:
    evaluate { model = network; inherit name lock mirrors nixpkgs system; };
  default = { inherit mirrors nixpkgs system; };

  # A derivation with bin/run-vms, which runs the network's clone. Everything that the machines boot is built with it.
  buildVirtualNetwork = { network, name ? "network", lock ? null, ... }@args:
    let
      evaluation = evalNetwork (builtins.intersectAttrs { network = null; name = null; lock = null; mirrors = null; nixpkgs = null; system = null; } args);
      missing = lib.unique (builtins.concatLists evaluation.missingPackages);
      where = if lock == null then "no lock file is given (argument `lock')" else "the lock file ${toString lock} does not cover them";
    in
    if evaluation.manifest == null
    then throw "these Debian packages are not resolved yet, for ${where}: ${lib.concatStringsSep " " missing}"
    else
      derivation {
        name = "vms-${name}";
        inherit system;
        builder = "/bin/sh";
        args = [ "-eu" ./run-vms.sh ];
        PATH = "/usr/bin:/bin";
        manifest = builtins.toJSON evaluation.manifest;
        passAsFile = [ "manifest" ];
        inherit diorama;
        preferLocalBuild = true;
      } // { inherit evaluation; };
}
