# expect: node web: virtualisation.vlans names VLAN 300; VLANs go from 1 to 255
{ web.virtualisation.vlans = [ 1 300 ]; }
