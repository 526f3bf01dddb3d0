# What makes a NixOS machine a node: its addresses, its place on the virtual networks, everyone's names.
#
# The start script gets one VDE plug a VLAN (`$QEMU_VDE_SOCKET_n`), as in NixOS' own tests.
{ config, lib, options, nodes, ... }:
let
  inherit (lib) mkOption types;
  topology = import ../lib/topology.nix (import ../lib);
  number = config.virtualisation.test.nodeNumber;
  interfacesOf = node: topology.interfaces node.virtualisation.test.nodeNumber node.virtualisation.vlans (node.virtualisation.interfaces or { });
  interfaces = interfacesOf config;

  addressesOn = node: family: interface:
    map (a: a.address) (node.networking.interfaces.${interface.name} or { ipv4.addresses = [ ]; ipv6.addresses = [ ]; }).${family}.addresses;
  # A machine's addresses of one family, those on networks that this one is on first.
  addressesSeen = node: family:
    let
      vlans = map (i: i.vlan) interfaces;
      parts = lib.partition (i: builtins.elem i.vlan vlans) (interfacesOf node);
    in
    lib.concatMap (addressesOn node family) (parts.right ++ parts.wrong);
  first = family: let all = addressesSeen config family; in if all == [ ] then "" else builtins.head all;
  hosts = family: lib.concatMapStrings
    (node:
      let all = addressesSeen node family; in
      lib.optionalString (all != [ ])
        "${builtins.head all} ${lib.optionalString (node.networking.domain != null) "${node.networking.hostName}.${node.networking.domain} "}${node.networking.hostName}\n")
    (builtins.attrValues nodes);

  renamed = lib.filter (p: p.fst.name != "eth${toString p.snd}")
    (lib.zipListsWith (fst: snd: { inherit fst snd; }) interfaces (lib.range 1 (builtins.length interfaces)));
in
{
  # Old releases of nixpkgs have no aliases; there these two options are simply unknown.
  imports = [ ../modules/deployment.nix ] ++ lib.optionals (lib ? mkAliasOptionModule) [
    (lib.mkAliasOptionModule [ "services" "nfsd" "enable" ] [ "services" "nfs" "server" "enable" ])
    (lib.mkAliasOptionModule [ "services" "nfsd" "exports" ] [ "services" "nfs" "server" "exports" ])
  ];

  options = {
    virtualisation.test.nodeName = mkOption { type = types.str; internal = true; description = "The node's name in the model."; };
    virtualisation.test.nodeNumber = mkOption { type = types.int; internal = true; description = "The node's place among the sorted names, from 1."; };
    networking.ipAddress = mkOption { type = types.str; readOnly = true; description = "The same as networking.primaryIPAddress."; };
  };

  config = {
    networking = {
      # A node's name may have what a host's may not.
      hostName = lib.mkDefault (builtins.replaceStrings [ "_" ] [ "" ] config.virtualisation.test.nodeName);
      interfaces = builtins.listToAttrs (map
        (i: lib.nameValuePair i.name {
          ipv4.addresses = lib.mkDefault [{ address = topology.address4 i.vlan number; prefixLength = 24; }];
          ipv6.addresses = lib.mkDefault [{ address = topology.address6 i.vlan number; prefixLength = 64; }];
        })
        (lib.filter (i: i.assignIP) interfaces));
      primaryIPAddress = first "ipv4";
      ipAddress = config.networking.primaryIPAddress;
      extraHosts = hosts "ipv4" + hosts "ipv6";
    } // lib.optionalAttrs (options.networking ? primaryIPv6Address) { primaryIPv6Address = first "ipv6"; };

    services.udev.extraRules = lib.concatMapStrings
      (p: ''SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="${p.fst.mac}", NAME="${p.fst.name}"'' + "\n")
      renamed;

    virtualisation.graphics = lib.mkDefault false;
    virtualisation.qemu.options = lib.concatMap
      (p: [
        "-device virtio-net-pci,netdev=vlan${toString p.snd},mac=${p.fst.mac}"
        ''-netdev vde,id=vlan${toString p.snd},sock="$QEMU_VDE_SOCKET_${toString p.fst.vlan}"''
      ])
      (lib.zipListsWith (fst: snd: { inherit fst snd; }) interfaces (lib.range 1 (builtins.length interfaces)));
    # Forwards are the session's, which can add and take them away: the script makes none.
    virtualisation.qemu.networkingOptions = lib.mkForce [
      "-net nic,netdev=user.0,model=virtio"
      ''-netdev user,id=user.0,${lib.optionalString (config.virtualisation.restrictNetwork or false) "restrict=on,"}"$QEMU_NET_OPTS"''
    ];
  };
}
