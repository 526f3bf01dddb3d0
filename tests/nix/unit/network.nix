{ lib, network, manifest, examples, fails, ... }:
let
  set = nodes: network { inherit nodes; };
  plain = { };
  comparable = m: removeAttrs m [ "network" ];
in
{
  "Figure 1 verbatim and its modern form are the same three machines" = {
    expr = comparable (manifest (examples + "/trac/figure-1.nix"));
    expected = comparable (manifest (examples + "/trac/network.nix"));
  };
  "Figure 1: the machines know each other" = {
    expr =
      let c = (network (examples + "/trac/figure-1.nix")).configs; in
      [
        c.storage.services.nfs.server.exports
        c.postgresql.services.postgresql.authentication
        c.webserver.fileSystems
        (builtins.head (builtins.head c.webserver.services.httpd.extraSubservices).projects).db
      ];
    expected = [
      "/repos webserver(rw)"
      "host ... 192.168.1.3 trust"
      { "/repos" = { device = "storage:/repos"; fsType = "nfs"; }; }
      "postgresql://postgresql/foobar"
    ];
  };
  "every form of a model gives the same nodes" = {
    expr = map (m: (network m).names) [
      { network = { a = plain; b = plain; }; }
      { nodes = { a = plain; b = plain; }; }
      { a = plain; b = plain; }
      ({ pkgs, lib, ... }: { network = { a = plain; b = plain; }; })
      ({ lib, ... }: { nodes = lib.genAttrs [ "a" "b" ] (_: plain); })
      { network.description = "words"; a = plain; b = plain; }
      { meta.name = "x"; defaults = plain; testScript = "pass"; a = plain; b = plain; }
      ../data/bindings.nix
    ];
    expected = lib.replicate 8 [ "a" "b" ];
  };
  "a node called storage is a node, not NixOps' network.storage" = {
    expr = (network { network = { storage = plain; }; }).names;
    expected = [ "storage" ];
  };
  "addresses follow the sorted names" = {
    expr = builtins.mapAttrs (_: c: c.networking.ipAddress) (set { b = plain; a = plain; c = plain; }).configs;
    expected = { a = "192.168.1.1"; b = "192.168.1.2"; c = "192.168.1.3"; };
  };
  "vlans give interfaces, MAC addresses and addresses" = {
    expr = builtins.tail (manifest { a = { virtualisation.vlans = [ 2 11 ]; }; b = plain; }).nodes.a.interfaces;
    expected = [
      { kind = "vlan"; name = "eth1"; vlan = 2; mac = "52:54:00:12:02:01"; addresses = [ "192.168.2.1" ]; }
      { kind = "vlan"; name = "eth2"; vlan = 11; mac = "52:54:00:12:0b:01"; addresses = [ "192.168.11.1" ]; }
    ];
  };
  "interfaces by name, without an address and twice on a VLAN" = {
    expr = builtins.tail (manifest {
      a = { virtualisation.interfaces = { lan = { vlan = 3; assignIP = true; }; raw.vlan = 3; }; };
    }).nodes.a.interfaces;
    expected = [
      { kind = "vlan"; name = "lan"; vlan = 3; mac = "52:54:00:12:03:01"; addresses = [ "192.168.3.1" ]; }
      { kind = "vlan"; name = "raw"; vlan = 3; mac = "52:54:00:13:03:01"; }
    ];
  };
  "an address set by hand replaces the assigned one everywhere" = {
    expr =
      let n = set {
        a.networking.interfaces.eth1.ipv4.addresses = [{ address = "10.1.0.9"; prefixLength = 16; }];
        b = { a, ... }: { services.postgresql.authentication = a.networking.ipAddress; };
      }; in
      [ n.configs.a.networking.primaryIPAddress n.configs.b.services.postgresql.authentication (lib.hasInfix "10.1.0.9 a" n.configs.b.networking.extraHosts) ];
    expected = [ "10.1.0.9" "10.1.0.9" true ];
  };
  "each machine's hosts name others by an address it can reach" = {
    expr =
      let
        n = set { proxy.virtualisation.vlans = [ 1 2 ]; back.virtualisation.vlans = [ 2 ]; client = plain; };
        of = viewer: name: lib.findFirst (l: lib.hasSuffix " ${name}" l && !lib.hasInfix ":" l) null (lib.splitString "\n" n.configs.${viewer}.networking.extraHosts);
      in
      [ (of "client" "proxy") (of "back" "proxy") (of "proxy" "back") ];
    expected = [ "192.168.1.3 proxy" "192.168.2.3 proxy" "192.168.2.1 back" ];
  };
  "the three ways to another machine's configuration" = {
    expr = (set {
      a = plain;
      b = { nodes, a, ... }: { networking.domain = lib.concatStringsSep "+" [ a.networking.hostName nodes.a.networking.hostName nodes.a.config.networking.hostName ]; };
    }).configs.b.networking.domain;
    expected = "a+a+a";
  };
  "machines refer to each other in circles" = {
    expr = builtins.mapAttrs (_: c: c.services.nfs.server.exports) (set {
      a = { b, ... }: { services.nfs.server.exports = b.networking.ipAddress; };
      b = { a, ... }: { services.nfs.server.exports = a.networking.ipAddress; };
    }).configs;
    expected = { a = "192.168.1.2"; b = "192.168.1.1"; };
  };
  "replicated nodes: names, the list of them, and their own number" = {
    expr =
      let n = network ({ replicate, ... }: {
        web = replicate 3 ({ instance, name, ... }: { networking.domain = "${name}-${toString instance}"; });
        proxy = { web, ... }: { networking.domain = lib.concatMapStringsSep " " (w: w.networking.hostName) web; };
      }); in
      builtins.mapAttrs (_: c: c.networking.domain) n.configs;
    expected = { proxy = "web1 web2 web3"; web1 = "web1-1"; web2 = "web2-2"; web3 = "web3-3"; };
  };
  "replicated nodes as plain data" = {
    expr = (set { web = { instances = 2; module = plain; }; }).names;
    expected = [ "web1" "web2" ];
  };
  "defaults apply to all and lose against the node's own" = {
    expr = builtins.mapAttrs (_: c: c.virtualisation.memorySize) (network {
      defaults = { lib, ... }: { virtualisation.memorySize = lib.mkDefault 300; };
      a = plain;
      b.virtualisation.memorySize = 400;
    }).configs;
    expected = { a = 300; b = 400; };
  };
  "web servers get 8082 and on, past ports the model takes" = {
    expr = builtins.mapAttrs (_: n: map (f: [ f.host.port f.guest.port f.explicit ]) n.forwardPorts) (manifest {
      a.services.nginx.enable = true;
      b = { services.httpd.enable = true; networking.firewall.enable = true; };
      c = { services.httpd.enable = true; networking.firewall = { enable = true; allowedTCPPorts = [ 80 ]; }; };
      d.virtualisation.forwardPorts = [{ host.port = 8083; guest.port = 22; }];
      e = { services.nginx.enable = true; virtualisation.forwardPorts = [{ host.port = 9000; guest.port = 80; }]; };
    }).nodes;
    expected = { a = [ [ 8082 80 false ] ]; b = [ ]; c = [ [ 8084 80 false ] ]; d = [ [ 8083 22 true ] ]; e = [ [ 9000 80 true ] ]; };
  };
  "a host's name leaves out what only a node's may have, and both are known" = {
    expr =
      let n = network { one_two = plain; other = plain; }; in
      [
        n.configs.one_two.networking.hostName
        (builtins.elem "192.168.1.1 onetwo one_two" (lib.splitString "\n" n.configs.other.networking.extraHosts))
      ];
    expected = [ "onetwo" true ];
  };
  "what the test script names in the store is in the machines, whatever it says of what they are built of" = {
    expr =
      let
        file = builtins.toFile "data" "x";
        given = script: (network { nodes.a = plain; testScript = script; }).configs.a.virtualisation.test.scriptReferences;
      in
      [
        (given ({ nodes, ... }: "a.succeed('cat ${file} ${nodes.a.networking.hostName} ${nodes.a.config.system.build.toplevel}')") == "${file}\n")
        (given "pass")
      ];
    expected = [ true "" ];
  };
  "the rest of the manifest" = {
    expr =
      let m = manifest {
        meta.name = "shop";
        meta.description = "A shop";
        testScript = { nodes, ... }: "# ${nodes.a.networking.hostName}";
        vlans."1".mtu = 9000;
        a = { virtualisation.qemu.options = [ "-device  virtio-rng-pci" "-s" ]; virtualisation.diskSize = null; deployment.tags = [ "t" ]; };
      }; in
      [ m.version m.network m.testScript m.vlans m.nodes.a.qemuOptions (m.nodes.a ? stateDisk) m.nodes.a.tags m.nodes.a.shell ];
    expected = [ 1 { name = "shop"; description = "A shop"; system = "debian"; } "# a" { "1".mtu = 9000; } [ "-device" "virtio-rng-pci" "-s" ] false [ "t" ] "agent" ];
  };
  "a node's name in a model's file: free, or a package behind `with`" = {
    expr = map (m: (network m).configs.b.networking.domain) [ ../data/free.nix ../data/with.nix ];
    expected = [ "192.168.1.1" "the package" ];
  };
  "a network is called what its model says, or after its file" = {
    expr = map (m: (network m).name) [
      { meta.name = "shop"; a = plain; }
      { network.name = "store"; a = plain; }
      (examples + "/load-balancer/network.nix")
      (examples + "/trac/figure-1.nix")
      { a = plain; }
    ];
    expected = [ "shop" "store" "load-balancer" "figure-1" "network" ];
  };
  "apt's release files name the repositories" = {
    expr = (import ../../../assets/nix/lib/apt.nix lib { lists = toString ../data/lists; }).repositories;
    expected = {
      Debian = "http://localhost:3142/a_b/";
      Debian-Security = "http://mirror.example.org/debian-security/";
      "Debian/bookworm-updates" = "http://mirror.example.org/debian/";
    };
  };
  "253 nodes, not 254" = {
    expr = map (n: fails (set (lib.genAttrs (map (i: "n${toString i}") (lib.range 1 n)) (_: plain))).names) [ 253 254 ];
    expected = [ false true ];
  };
}
