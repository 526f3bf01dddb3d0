# The machine's name, addresses, routes and names of others.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;
  cfg = config.networking;

  address = version: types.submodule {
    options = {
      address = mkOption { type = types.str; description = "The address."; };
      prefixLength = mkOption { type = types.ints.between 0 (if version == 4 then 32 else 128); description = "Bits of the network's prefix."; };
    };
  };
  route = version: types.submodule {
    options = {
      address = mkOption { type = types.str; description = "The network."; };
      prefixLength = mkOption { type = types.ints.between 0 (if version == 4 then 32 else 128); description = "Bits of the network's prefix."; };
      via = mkOption { type = types.nullOr types.str; default = null; description = "The next hop."; };
    };
  };
  gateway = types.nullOr (types.coercedTo types.str (value: { address = value; }) (types.submodule {
    options = {
      address = mkOption { type = types.str; description = "The gateway's address."; };
      interface = mkOption { type = types.nullOr types.str; default = null; description = "The interface it is reached by."; };
      metric = mkOption { type = types.nullOr types.int; default = null; description = "The route's metric."; };
    };
  }));

  interfaces = builtins.attrValues cfg.interfaces;
  # A host of which nothing is known asks for an address.
  unknown = !config.virtualisation.clone
    && lib.all (interface: interface.ipv4.addresses == [ ] && interface.ipv6.addresses == [ ] && interface.useDHCP != true) interfaces;
  dynamic = builtins.filter (interface: interface.useDHCP == true) interfaces ++ lib.optional unknown { name = "eth0"; };

  # One `ip -batch` for everything: each process costs time in an emulated machine.
  batch = lib.concatStrings ([ "link set lo up\n" ]
    ++ map (interface: lib.concatStrings (
      lib.optional (interface.macAddress != null) "link set ${interface.name} address ${interface.macAddress}\n"
      ++ lib.optional (interface.mtu != null) "link set ${interface.name} mtu ${toString interface.mtu}\n"
      ++ map (a: "addr replace ${a.address}/${toString a.prefixLength} brd + dev ${interface.name}\n") interface.ipv4.addresses
      ++ map (a: "addr replace ${a.address}/${toString a.prefixLength} dev ${interface.name} nodad\n") interface.ipv6.addresses
      ++ [ "link set ${interface.name} up\n" ]
      ++ map (routeLine interface.name) interface.ipv4.routes
      ++ map (routeLine interface.name) interface.ipv6.routes)) interfaces
    ++ gatewayLine "default" cfg.defaultGateway
    ++ gatewayLine "::/0" cfg.defaultGateway6);
  routeLine = name: r:
    "route replace ${r.address}/${toString r.prefixLength} ${lib.optionalString (r.via != null) "via ${r.via} "}dev ${name}\n";
  gatewayLine = all: g: lib.optional (g != null)
    "route replace ${all} via ${g.address}${lib.optionalString (g.interface != null) " dev ${g.interface}"}${lib.optionalString (g.metric != null) " metric ${toString g.metric}"}\n";

  leave = ''
    #!/bin/sh
    old=/run/diorama/network.batch
    new=/etc/network/setup.batch
    if [ -e "$old" ]; then
      grep -E '^(addr|route) replace ' "$old" | while read -r kind _ words; do
        grep -qxF "$kind replace $words" "$new" || ip $kind del $(echo "$words" | sed 's/ brd +//; s/ nodad$//') || true
      done
    fi
    mkdir -p /run/diorama
    cp "$new" "$old"
  '';

  # What busybox's DHCP client calls with the lease in its environment.
  lease = build.writeScript "dhcp-lease" ''
    #!/bin/sh
    case $1 in
      bound|renew)
        ip addr replace "$ip/$mask" dev "$interface"
        for gateway in $router; do ip route replace default via "$gateway" dev "$interface" metric 1024; break; done
        if [ -n "$dns" ]; then
          for server in $dns; do echo "nameserver $server"; done > /run/resolv.conf.dhcp
          cat /etc/resolv.static /run/resolv.conf.dhcp > /etc/resolv.conf.new
          mv /etc/resolv.conf.new /etc/resolv.conf
        fi ;;
      deconfig) ip addr flush dev "$interface" scope global; ip link set "$interface" up ;;
    esac
  '';

  resolv = lib.concatMapStrings (server: "nameserver ${server}\n") cfg.nameservers
    + lib.optionalString (cfg.search != [ ]) "search ${lib.concatStringsSep " " cfg.search}\n";

  hosts = lib.concatStrings (lib.mapAttrsToList
    (address: names: lib.optionalString (names != [ ]) "${address} ${lib.concatStringsSep " " names}\n")
    cfg.hosts);
in
{
  options.networking = {
    hostName = mkOption {
      type = types.strMatching "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?|";
      default = "machine";
      description = "The machine's name.";
    };
    domain = mkOption { type = types.nullOr types.str; default = null; example = "example.org"; description = "The domain the machine is in."; };
    fqdn = mkOption { type = types.str; readOnly = true; description = "The full name."; };
    hosts = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      example = { "192.168.0.2" = [ "fileserver.local" ]; };
      description = "Names by address, in /etc/hosts.";
    };
    extraHosts = mkOption { type = types.lines; default = ""; description = "Further lines of /etc/hosts."; };
    nameservers = mkOption { type = types.listOf types.str; default = [ ]; description = "Addresses of name servers."; };
    search = mkOption { type = types.listOf types.str; default = [ ]; description = "Domains in which short names are looked up."; };
    defaultGateway = mkOption { type = gateway; default = null; description = "The default route's next hop."; };
    defaultGateway6 = mkOption { type = gateway; default = null; description = "The default route's next hop for IPv6."; };
    useDHCP = mkOption { type = types.bool; default = false; description = "Whether every listed interface without an address asks for one."; };
    enableIPv6 = mkOption { type = types.bool; default = true; description = "Whether the machine speaks IPv6."; };
    interfaces = mkOption {
      default = { };
      description = "Interfaces, by name.";
      type = types.attrsOf (types.submodule ({ name, config, ... }: {
        options = {
          name = mkOption { type = types.str; default = name; description = "The interface's name."; };
          useDHCP = mkOption { type = types.nullOr types.bool; default = if cfg.useDHCP && config.ipv4.addresses == [ ] then true else null; description = "Whether it asks for an address."; };
          macAddress = mkOption { type = types.nullOr types.str; default = null; description = "The hardware address."; };
          mtu = mkOption { type = types.nullOr types.int; default = null; description = "The largest packet."; };
          ipv4.addresses = mkOption { type = types.listOf (address 4); default = [ ]; description = "IPv4 addresses."; };
          ipv4.routes = mkOption { type = types.listOf (route 4); default = [ ]; description = "IPv4 routes."; };
          ipv6.addresses = mkOption { type = types.listOf (address 6); default = [ ]; description = "IPv6 addresses."; };
          ipv6.routes = mkOption { type = types.listOf (route 6); default = [ ]; description = "IPv6 routes."; };
        };
      }));
    };
    localCommands = mkOption { type = types.lines; default = ""; description = "Shell commands once the interfaces have their addresses."; };
  };

  config = {
    networking.fqdn = if cfg.domain == null then cfg.hostName else "${cfg.hostName}.${cfg.domain}";
    networking.hosts = {
      "127.0.0.1" = lib.mkBefore [ "localhost" ];
      "127.0.0.2" = lib.optional (cfg.domain != null) cfg.fqdn ++ [ cfg.hostName ];
      "::1" = [ "localhost" "ip6-localhost" "ip6-loopback" ];
    };
    boot.kernel.sysctl = lib.mkIf (!cfg.enableIPv6) {
      "net.ipv6.conf.all.disable_ipv6" = true;
      "net.ipv6.conf.default.disable_ipv6" = true;
    };

    environment.etc = {
      "hostname".text = "${cfg.hostName}\n";
      "hosts".text = hosts + cfg.extraHosts;
      # Rules of access in models speak of IPv4 addresses, so names lead to these first.
      "gai.conf".text = "precedence ::ffff:0:0/96 100\n";
      "nsswitch.conf".text = ''
        passwd: files
        group: files
        shadow: files
        gshadow: files
        hosts: files dns
        networks: files
        protocols: files
        services: files
        ethers: files
        rpc: files
      '';
      "resolv.conf" = { text = resolv; mode = "0644"; };
      "resolv.static".text = resolv;
      "network/setup.batch".text = batch;
    };

    systemd.services = {
      network-setup = {
        description = "Addresses and routes";
        wantedBy = [ "network.target" "multi-user.target" ];
        before = [ "network.target" "network-online.target" "shutdown.target" ];
        # Test scripts wait for the latter by itself.
        wants = [ "network.target" ] ++ lib.optional config.virtualisation.clone "network-online.target";
        after = [ "network-pre.target" ];
        conflicts = [ "shutdown.target" ];
        unitConfig.DefaultDependencies = false;
        restartTriggers = [ batch ];
        stopIfChanged = false;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "/usr/sbin/ip -force -batch /etc/network/setup.batch";
        } // lib.optionalAttrs (!config.virtualisation.clone) {
          # At a live switch: what the last configuration had and this one has not goes, and nothing else is touched.
          ExecStartPre = "${build.writeScript "network-leave" leave}";
        } // lib.optionalAttrs (cfg.localCommands != "") {
          ExecStartPost = "${build.writeScript "network-local-commands" "#!/bin/bash\n${cfg.localCommands}"}";
        };
      };
    } // lib.listToAttrs (map
      (interface: lib.nameValuePair "dhcp-${interface.name}" {
        description = "DHCP on ${interface.name}";
        wantedBy = [ "multi-user.target" ];
        after = [ "network-setup.service" ];
        before = [ "network-online.target" ];
        # Restarted, it would let go of the address that the switch itself may come through.
        restartIfChanged = false;
        serviceConfig = {
          ExecStart = "/usr/bin/busybox udhcpc -f -i ${interface.name} -t 5 -T 2 -S -s ${lease}";
          Restart = "always";
          RestartSec = 5;
        };
      })
      dynamic);
  };
}
