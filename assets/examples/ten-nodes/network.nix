# Ten small machines: four on one network, four on another, and two gateways on both.
#
# Red and blue machines reach each other through the first gateway; its address comes from its own configuration.
{ ... }:
let
  leaf = vlan: { gate1, ... }:
    let
      other = 3 - vlan;
      gateway = builtins.head gate1.networking.interfaces."eth${toString vlan}".ipv4.addresses;
    in
    {
      virtualisation.vlans = [ vlan ];
      networking.interfaces.eth1.ipv4.routes = [
        { address = "192.168.${toString other}.0"; prefixLength = 24; via = gateway.address; }
      ];
    };
  gate = {
    virtualisation.vlans = [ 1 2 ];
    boot.kernel.sysctl."net.ipv4.ip_forward" = 1;
  };
in
{
  meta.description = "Ten small machines on two networks";

  defaults = {
    virtualisation.memorySize = 128;
    virtualisation.diskSize = 256;
  };

  nodes = {
    red1 = leaf 1;
    red2 = leaf 1;
    red3 = leaf 1;
    red4 = leaf 1;
    blue1 = leaf 2;
    blue2 = leaf 2;
    blue3 = leaf 2;
    blue4 = leaf 2;
    gate1 = gate;
    gate2 = gate;
  };
}
