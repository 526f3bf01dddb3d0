# The packet filter and address translation, both as one nftables rule set.
#
# Unlike NixOS, a machine has no firewall unless it asks for one: the paper's networks know none.
{ config, lib, diorama, ... }:
let
  inherit (lib) mkOption types concatMapStrings concatStringsSep optionalString optional;
  cfg = config.networking.firewall;
  nat = config.networking.nat;

  range = types.submodule {
    options = {
      from = mkOption { type = types.port; description = "The first port."; };
      to = mkOption { type = types.port; description = "The last port."; };
    };
  };
  portOptions = {
    allowedTCPPorts = mkOption { type = types.listOf types.port; default = [ ]; description = "TCP ports that may be reached."; };
    allowedUDPPorts = mkOption { type = types.listOf types.port; default = [ ]; description = "UDP ports that may be reached."; };
    allowedTCPPortRanges = mkOption { type = types.listOf range; default = [ ]; description = "Ranges of TCP ports that may be reached."; };
    allowedUDPPortRanges = mkOption { type = types.listOf range; default = [ ]; description = "Ranges of UDP ports that may be reached."; };
  };
  ports = proto: set:
    let list = map toString (lib.unique set."allowed${proto}Ports") ++ map (r: "${toString r.from}-${toString r.to}") set."allowed${proto}PortRanges"; in
    optional (list != [ ]) "${lib.toLower proto} dport { ${concatStringsSep ", " list} } accept";
  accept = match: set: concatMapStrings (rule: "    ${match}${rule}\n") (ports "TCP" set ++ ports "UDP" set);
  quote = name: "\"${name}\"";
  names = list: "{ ${concatStringsSep ", " (map quote list)} }";

  filter = ''
    table inet filter {
      chain input {
        type filter hook input priority filter; policy drop;
        iifname ${names ([ "lo" ] ++ cfg.trustedInterfaces)} accept
        ct state established,related accept
        ct state invalid drop
    ${optionalString cfg.allowPing "    icmp type echo-request accept"}
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, nd-redirect, packet-too-big${optionalString cfg.allowPing ", echo-request"} } accept
    ${accept "" cfg}
    ${lib.concatStrings (lib.mapAttrsToList (name: accept "iifname ${quote name} ") cfg.interfaces)}
    ${cfg.extraInputRules}
    ${optionalString cfg.logRefusedConnections "    tcp flags & (fin|syn|rst|ack) == syn log level info prefix \"refused connection: \""}
    ${optionalString cfg.rejectPackets "    reject with icmpx admin-prohibited"}
      }
    }
  '';

  external = optionalString (nat.externalInterface != null) "oifname ${quote nat.externalInterface} ";
  translated = if nat.externalIP == null then "masquerade" else "snat to ${nat.externalIP}";
  inner = map (name: "iifname ${quote name} ") nat.internalInterfaces ++ map (net: "ip saddr ${net} ") nat.internalIPs;
  # The source's interface is not known any more after routing: those packets are marked on the way in.
  natRules = ''
    table ip nat {
      chain prerouting {
        type nat hook prerouting priority dstnat;
    ${concatMapStrings (f: "    ${optionalString (nat.externalInterface != null) "iifname ${quote nat.externalInterface} "}${f.proto} dport ${toString f.sourcePort} dnat to ${f.destination}\n") nat.forwardPorts}
      }
      chain postrouting {
        type nat hook postrouting priority srcnat;
        ${external}meta mark 1 ${translated}
      }
      chain mark_inner {
        type filter hook prerouting priority mangle;
    ${concatMapStrings (match: "    ${match}meta mark set 1\n") inner}
      }
    }
  '';
  rules = diorama.build.writeText "nftables.conf" (optionalString cfg.enable filter + optionalString nat.enable natRules);
in
{
  options.networking.firewall = portOptions // {
    enable = mkOption { type = types.bool; default = false; description = "Whether only what is allowed here reaches the machine. (NixOS' default is true.)"; };
    interfaces = mkOption { type = types.attrsOf (types.submodule { options = portOptions; }); default = { }; description = "Ports that may be reached through one interface only."; };
    trustedInterfaces = mkOption { type = types.listOf types.str; default = [ ]; description = "Interfaces through which everything may be reached."; };
    allowPing = mkOption { type = types.bool; default = true; description = "Whether pings are answered."; };
    rejectPackets = mkOption { type = types.bool; default = false; description = "Whether senders are told that a packet is refused."; };
    logRefusedConnections = mkOption { type = types.bool; default = false; description = "Whether refused connections are in the journal."; };
    extraInputRules = mkOption { type = types.lines; default = ""; description = "Further rules of the input chain, in nftables' words."; };
  };
  options.networking.nat = {
    enable = mkOption { type = types.bool; default = false; description = "Whether the machine forwards packets of inner networks under its own address."; };
    internalInterfaces = mkOption { type = types.listOf types.str; default = [ ]; description = "Interfaces of the inner networks."; };
    internalIPs = mkOption { type = types.listOf types.str; default = [ ]; example = [ "192.168.2.0/24" ]; description = "Address ranges of the inner networks."; };
    externalInterface = mkOption { type = types.nullOr types.str; default = null; description = "The interface that leads outside."; };
    externalIP = mkOption { type = types.nullOr types.str; default = null; description = "The outer address; that of the interface when null."; };
    forwardPorts = mkOption {
      default = [ ];
      example = [{ sourcePort = 8080; destination = "192.168.2.1:80"; }];
      description = "Ports of the outside that lead to inner machines.";
      type = types.listOf (types.submodule {
        options = {
          sourcePort = mkOption { type = types.port; description = "The port outside."; };
          destination = mkOption { type = types.str; description = "ADDRESS:PORT inside."; };
          proto = mkOption { type = types.enum [ "tcp" "udp" ]; default = "tcp"; description = "Transport."; };
        };
      });
    };
  };

  config = lib.mkIf (cfg.enable || nat.enable) {
    system.extraPackages = [ "nftables" ];
    boot.kernel.sysctl = lib.mkIf nat.enable { "net.ipv4.ip_forward" = lib.mkDefault 1; };
    environment.etc."nftables.conf".source = rules;
    systemd.services.nftables = {
      description = "Packet filter and address translation";
      stopIfChanged = false;
      wantedBy = [ "multi-user.target" ];
      before = [ "network-setup.service" "network.target" "shutdown.target" ];
      wants = [ "network-pre.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig.DefaultDependencies = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = [ "/usr/sbin/nft flush ruleset" "/usr/sbin/nft -f ${rules}" ];
        ExecStop = "/usr/sbin/nft flush ruleset";
      };
    };
  };
}
