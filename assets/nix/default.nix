# What a Nix file of one's own imports:
#
#   let diorama = import .../assets/nix { }; in
#   { vms = diorama.buildVirtualNetwork { network = { … }; }; }
#
#   $ nix-build trac.nix -A vms && ./result/bin/run-vms
#
# `lock` names the lock file of the model's Debian packages, by default FILE.lock.json beside the file FILE.nix that
# defines the network; `diorama build FILE.nix` writes it. `mirrors` says where packages come from that the Nix
# store does not have yet, by default the machine's apt sources.
{ system ? builtins.currentSystem
, nixpkgs ? null
, mirrors ? import ./lib/apt.nix (import ./lib) { }
, diorama ? "diorama"
}:
let
  lib = import ./lib;
  reader = import ./lib/model.nix lib;

  # The file that a network was written in: itself, or where its first node is.
  fileOf = network:
    if builtins.isPath network then toString network
    else if builtins.isAttrs network && network != { } then
      let pos = builtins.unsafeGetAttrPos (builtins.head (builtins.attrNames network)) network; in
      if pos == null then null else pos.file
    else null;
  lockOf = network:
    let file = fileOf network; guess = lib.removeSuffix ".nix" (toString file) + ".lock.json"; in
    if file != null && builtins.pathExists guess then guess else null;
in
rec {
  inherit lib;
  inherit (reader) replicate;

  # All of an evaluation (docs/architecture.md, "The Nix side") of a network.
  evalNetwork = { network, name ? "network", lock ? lockOf network, ... }@args:
    import ./eval.nix ({ inherit system nixpkgs mirrors name lock; model = network; }
      // builtins.intersectAttrs { system = null; nixpkgs = null; mirrors = null; clone = null; } args);

  # A derivation with bin/run-vms, which runs the network's clone. Everything that the machines boot is built with it.
  buildVirtualNetwork = { network, name ? "network", ... }@args:
    let
      evaluation = evalNetwork args;
      missing = lib.unique (builtins.concatLists evaluation.missingPackages);
    in
    if evaluation.manifest == null
    then throw "the lock file does not cover these Debian packages yet; `diorama build' on the file of this network (${toString (fileOf network)}) resolves them: ${lib.concatStringsSep " " missing}"
    else
      derivation
        {
          name = "vms-${name}";
          inherit system diorama;
          builder = "/bin/sh";
          args = [ "-eu" ./run-vms.sh ];
          PATH = "/usr/bin:/bin";
          manifest = builtins.toJSON evaluation.manifest;
          passAsFile = [ "manifest" ];
          preferLocalBuild = true;
        } // { inherit evaluation; };
}
