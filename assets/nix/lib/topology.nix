# Who has which interface, address and MAC: arithmetic on the sorted names of the nodes.
#
#   number NN of a node (1-based, names sorted)      192.168.VLAN.NN/24   2001:db8:VLAN::NN/64   52:54:00:12:VV:NN
lib:
let
  inherit (builtins) map length attrNames;
  inherit (lib) imap0 filter fixedWidthString toLower toHexString count take;
  hex = n: fixedWidthString 2 "0" (toLower (toHexString n));
in
rec {
  maxNodes = 253;
  maxVlan = 255;

  address4 = vlan: number: "192.168.${toString vlan}.${toString number}";
  address6 = vlan: number: "2001:db8:${toString vlan}::${toString number}";
  # The `nth` interface (from 0) that one machine has on one VLAN.
  mac = nth: vlan: number: "52:54:00:${hex (18 + nth)}:${hex vlan}:${hex number}";

  # The interfaces beside eth0, in the guest's order: those of `vlans` as eth1 and on, then those named by hand.
  # An interface named by hand replaces one of `vlans` of the same name.
  interfaces = number: vlans: named:
    let
      plain = imap0 (i: vlan: { name = "eth${toString (i + 1)}"; inherit vlan; assignIP = true; }) vlans;
      kept = map (i: if named ? ${i.name} then { inherit (i) name; inherit (named.${i.name}) vlan assignIP; } else i) plain;
      rest = map (name: { inherit name; inherit (named.${name}) vlan assignIP; })
        (filter (n: !(lib.any (i: i.name == n) plain)) (attrNames named));
      all = kept ++ rest;
    in
    imap0
      (i: x:
        let earlier = filter (y: y.vlan == x.vlan) (take i all); in
        x // {
          mac = mac (length earlier) x.vlan number;
          # One machine, one address on a VLAN: a second interface there has none of its own.
          assignIP = x.assignIP && !(lib.any (y: y.assignIP) earlier);
        })
      all;
}
