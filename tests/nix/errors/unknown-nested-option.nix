# expect: node web: the option `virtualisation.interfaces.lan.vlans' does not exist
# expect: errors/unknown-nested-option.nix:5
# expect: Did you mean `virtualisation.interfaces.lan.vlan'?
{
  web.virtualisation.interfaces.lan.vlans = 2;
}
