# The addresses of hosts, which their own modules name: which of another's does a host see?
#
# Invariant: an address that several machines have is nobody's (each virtual machine is 10.0.2.15 to itself); then
# those in a network that the viewer is in as well come first.
lib: machines:
let
  inherit (builtins) map filter elem length;
  configured = machine: family:
    lib.concatMap (interface: map (a: { inherit (a) address prefixLength; }) interface.${family}.addresses)
      (builtins.attrValues machine.networking.interfaces);
  owners = family: builtins.groupBy (a: a.address) (lib.concatMap (m: configured m family) machines);

  power = n: if n == 0 then 1 else 2 * power (n - 1);
  number = address: builtins.foldl' (sum: part: sum * 256 + lib.toInt part) 0 (lib.splitString "." address);
  # The network of an IPv4 address; one of IPv6 stands for itself.
  networkOf = family: a:
    if family == "ipv4" then "${toString (number a.address / power (32 - a.prefixLength))}/${toString a.prefixLength}"
    else a.address;
in
{
  addressesSeen = viewer: machine: family:
    let
      own = filter (a: length (owners family).${a.address} == 1) (configured machine family);
      near = map (networkOf family) (configured viewer family);
      parts = lib.partition (a: elem (networkOf family a) near) own;
    in
    map (a: a.address) (parts.right ++ parts.wrong);
}
