# expect: errors/vlan-settings.nix: `vlans.1.mtu' must be a number from 576 to 65521, not 9
{ vlans."1".mtu = 9; web = { }; }
