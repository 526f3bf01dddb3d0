# Ten small machines: four on one network, four on another, and two gateways on both.
{ lib, ... }:
let
  small = { virtualisation.memorySize = 128; virtualisation.diskSize = 256; };
  leaf = vlan: { ... }: { virtualisation.vlans = [ vlan ]; };
in
{
  meta.description = "Ten small machines on two networks";
  defaults = small;
  nodes = {
    red1 = leaf 1;
    red2 = leaf 1;
    red3 = leaf 1;
    red4 = leaf 1;
    blue1 = leaf 2;
    blue2 = leaf 2;
    blue3 = leaf 2;
    blue4 = leaf 2;
    gate1 = { virtualisation.vlans = [ 1 2 ]; boot.kernel.sysctl."net.ipv4.ip_forward" = 1; };
    gate2 = { virtualisation.vlans = [ 1 2 ]; boot.kernel.sysctl."net.ipv4.ip_forward" = 1; };
  };
}
