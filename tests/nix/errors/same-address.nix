# expect: nodes a and b: all have the address 192.168.1.2 on VLAN 1
{ a.networking.interfaces.eth1.ipv4.addresses = [{ address = "192.168.1.2"; prefixLength = 24; }]; b = { }; }
