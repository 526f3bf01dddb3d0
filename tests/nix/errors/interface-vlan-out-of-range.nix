# expect: node web: virtualisation.interfaces.lan.vlan names VLAN 0
{ web.virtualisation.interfaces.lan.vlan = 0; }
