# expect: `vlans' has settings for "300"; VLANs go from 1 to 255
{ vlans."300".mtu = 9000; web = { }; }
