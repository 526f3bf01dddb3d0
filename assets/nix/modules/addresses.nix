# The addresses that the topology gives a machine, and everyone's names in /etc/hosts.
{ config, lib, nodes, options, ... }:
let
  inherit (lib) mkOption types;
  topology = import ../lib/topology.nix lib;
  number = config.virtualisation.test.nodeNumber;
  virtual = config.virtualisation.virtualNetwork;
  assigned = if virtual then builtins.filter (i: i.assignIP) config.virtualisation.allInterfaces else [ ];

  addressesOn = node: family: interface:
    map (a: a.address) (node.networking.interfaces.${interface.name} or { ipv4.addresses = [ ]; ipv6.addresses = [ ]; }).${family}.addresses;
  # A machine's addresses of one family, those on networks that `viewer` is on first.
  addressesSeen = viewer: node: family: if !virtual then hosts.addressesSeen viewer node family else
    let
      vlans = map (i: i.vlan) viewer.virtualisation.allInterfaces;
      parts = lib.partition (i: builtins.elem i.vlan vlans) node.virtualisation.allInterfaces;
    in
    lib.concatMap (addressesOn node family) (parts.right ++ parts.wrong);
  # Hosts are wherever their own modules say.
  hosts = import ../lib/host-addresses.nix lib (builtins.attrValues nodes);
  primary = family: let all = addressesSeen config config family; in if all == [ ] then "" else builtins.head all;

  namesOf = node:
    lib.optional (node.networking.domain or null != null) "${node.networking.hostName}.${node.networking.domain}"
    ++ lib.unique [ node.networking.hostName (node.virtualisation.test.nodeName or node.networking.hostName) ];
  hostLines = family: lib.concatMap
    (node:
      let all = addressesSeen config node family; in
      lib.optional (all != [ ]) "${builtins.head all} ${lib.concatStringsSep " " (namesOf node)}\n")
    (builtins.attrValues nodes);

  # The kernel calls the interfaces eth1, eth2 … in the order of their devices; the model may call them otherwise.
  renamed = if !virtual then [ ] else builtins.filter (r: r.from != r.to)
    (lib.imap1 (i: interface: { from = "eth${toString i}"; to = interface.name; number = toString i; }) config.virtualisation.allInterfaces);
  # By way of names nobody has, so that two may trade theirs.
  renaming = lib.concatMapStrings (r: "link set ${r.from} name renamed${r.number}\n") renamed
    + lib.concatMapStrings (r: "link set renamed${r.number} name ${r.to}\n") renamed;
in
{
  options.networking = {
    primaryIPAddress = mkOption {
      type = types.str;
      readOnly = true;
      description = "The first address of the machine on a virtual network, or the empty string.";
    };
    primaryIPv6Address = mkOption {
      type = types.str;
      readOnly = true;
      description = "The first IPv6 address of the machine on a virtual network, or the empty string.";
    };
    ipAddress = mkOption {
      type = types.str;
      readOnly = true;
      description = "The same as networking.primaryIPAddress.";
    };
  };

  config.environment.etc."network/names.batch" = lib.mkIf (renamed != [ ]) { text = renaming; };
  config.systemd.services.network-names = lib.mkIf (renamed != [ ]) {
    description = "Names of the network interfaces";
    wantedBy = [ "network-setup.service" ];
    before = [ "network-setup.service" "network-pre.target" "shutdown.target" ];
    conflicts = [ "shutdown.target" ];
    unitConfig.DefaultDependencies = false;
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "/usr/sbin/ip -force -batch /etc/network/names.batch";
    };
  };

  config.networking = {
    # A node's name may have what a host's may not.
    hostName = lib.mkDefault (builtins.replaceStrings [ "_" ] [ "" ] config.virtualisation.test.nodeName);
    interfaces = builtins.listToAttrs (map
      (i: lib.nameValuePair i.name {
        ipv4.addresses = lib.mkDefault [{ address = topology.address4 i.vlan number; prefixLength = 24; }];
        ipv6.addresses = lib.mkDefault [{ address = topology.address6 i.vlan number; prefixLength = 64; }];
      })
      assigned ++ lib.optional virtual (lib.nameValuePair "eth0" {
        # QEMU's user-mode network gives every machine the same addresses; asking for them by DHCP takes seconds.
        ipv4.addresses = lib.mkDefault [{ address = "10.0.2.15"; prefixLength = 24; }];
      }));
    defaultGateway = lib.mkIf virtual (lib.mkDefault "10.0.2.2");
    nameservers = lib.mkIf (virtual && !config.virtualisation.restrictNetwork) (lib.mkDefault [ "10.0.2.3" ]);
    primaryIPAddress = let address = primary "ipv4"; in
      if address == "" && !virtual
      then throw "node ${config.virtualisation.test.nodeName}: something in the model asks for its address (networking.primaryIPAddress), and as a host it has none that the model knows: give it one in networking.interfaces.NAME.ipv4.addresses, in its module or in the infrastructure's"
      else address;
    primaryIPv6Address = primary "ipv6";
    ipAddress = config.networking.primaryIPAddress;
    extraHosts = lib.concatStrings (hostLines "ipv4" ++ hostLines "ipv6");
  };
}
