# The Trac network as a Nix file of one's own, with the paper's commands:
#
#   $ nix-build trac.nix -A vms && ./result/bin/run-vms
#   $ nix-build trac.nix -A test
#   $ nix-build trac.nix -A report
#
# `diorama lock network.nix` resolves the machines' Debian packages first, once.
{ diorama ? import ../../nix { } }:
rec {
  inherit (import ./network.nix) network;

  vms = diorama.buildVirtualNetwork {
    inherit network;
    name = "trac";
  };

  test = diorama.runTests vms (import ./test.nix).testScript;

  report = diorama.makeReport test;
}
