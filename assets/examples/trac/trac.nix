# The Trac network as a Nix file of one's own, with the paper's two commands:
#
#   $ nix-build trac.nix -A vms
#   $ ./result/bin/run-vms
{ diorama ? import ../../nix { } }:
rec {
  inherit (import ./network.nix) network;

  vms = diorama.buildVirtualNetwork {
    inherit network;
    name = "trac";
  };
}
