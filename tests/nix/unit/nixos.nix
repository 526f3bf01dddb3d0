{ lib, ... }:
let
  evaluate = model: import ../../../assets/nix/eval.nix { inherit model; nixpkgs = ../fake-nixpkgs; name = "n"; };
  model = { pkgs, lib, ... }: {
    nodes = {
      storage = { webserver, ... }: { services.nfsd.enable = true; services.nfsd.exports = "/r ${webserver.networking.primaryIPAddress}(rw)"; };
      webserver = { pkgs, nodes, ... }: {
        environment.systemPackages = [ pkgs.hello ];
        services.nginx.enable = true;
        networking.firewall.allowedTCPPorts = [ 80 ];
        virtualisation.vlans = [ 1 2 ];
        networking.domain = nodes.storage.config.services.nfs.server.exports;
      };
    };
    testScript = "# ${lib.boolToString lib.isNixpkgs}";
  };
  result = evaluate model;
  web = result.manifest.nodes.webserver;
in
{
  "the same model, the same manifest" = {
    expr = {
      inherit (result.manifest) network testScript;
      inherit (result) missingPackages;
      why = lib.hasPrefix "nixpkgs was given" result.system.why;
      node = removeAttrs web [ "boot" "toplevel" ];
      kind = web.boot.kind;
      script = builtins.match "${builtins.storeDir}/[a-z0-9]*-nixos-vm/bin/run-webserver-vm" web.boot.script != null;
    };
    expected = {
      network = { name = "n"; system = "nixos"; };
      testScript = "# true";
      missingPackages = [ ];
      why = true;
      kind = "script";
      script = true;
      node = {
        hostName = "webserver";
        memorySize = 1024;
        cores = 1;
        graphics = false;
        shell = "backdoor";
        stateDisk.size = 1024;
        tags = [ ];
        qemuOptions = [ ];
        interfaces = [
          { kind = "user"; name = "eth0"; restrict = false; }
          { kind = "vlan"; name = "eth1"; vlan = 1; mac = "52:54:00:12:01:02"; addresses = [ "192.168.1.2" ]; }
          { kind = "vlan"; name = "eth2"; vlan = 2; mac = "52:54:00:12:02:02"; addresses = [ "192.168.2.2" ]; }
        ];
        forwardPorts = [{ proto = "tcp"; host = { address = ""; port = 8082; }; guest = { address = ""; port = 80; }; explicit = false; }];
      };
    };
  };
  "a host of NixOS has neither the virtual machine nor the back door" = {
    expr =
      let
        given = import ../../../assets/nix/eval.nix {
          nixpkgs = ../fake-nixpkgs;
          name = "n";
          clone = false;
          infrastructure.a.hostName = "a.example.org";
          infrastructure.b = { hostname = "b.example.org"; module = { config, ... }: { networking.hostName = "bee"; }; };
          model = { a = { virtualisation.memorySize = 512; virtualisation.vlans = [ 1 2 ]; }; b = { }; };
        };
      in
      [
        given.manifest
        (builtins.mapAttrs (_: n: n.hostName) given.deployment.nodes)
        (builtins.match ".*(vm|backdoor).*" (toString (builtins.attrValues given.realise)))
      ];
    expected = [ null { a = "a.example.org"; b = "b.example.org"; } null ];
  };
  "cross-node arguments reach nixpkgs' modules" = {
    expr = (import ../../../assets/nix/eval.nix {
      nixpkgs = ../fake-nixpkgs;
      model = { a = { b, nodes, ... }: { networking.hostName = "host-${b.networking.ipAddress}"; }; b = { }; };
    }).manifest.nodes.a.hostName;
    expected = "host-192.168.1.2";
  };
  "the start script plugs into each VLAN and leaves forwards to the session" = {
    expr = (builtins.fromJSON (builtins.toJSON (lib.evalModules {
      specialArgs.nodes = { };
      modules = [ ../fake-nixpkgs/nixos/modules/base.nix ../fake-nixpkgs/nixos/modules/virtualisation/qemu-vm.nix ../../../assets/nix/nixos/node.nix
        { _module.args.pkgs = { }; virtualisation.vlans = [ 3 ]; virtualisation.test = { nodeName = "x"; nodeNumber = 10; }; } ];
    }).config.virtualisation.qemu));
    expected = {
      options = [ "-device virtio-net-pci,netdev=vlan1,mac=52:54:00:12:03:0a" "-netdev vde,id=vlan1,sock=\"$QEMU_VDE_SOCKET_3\"" ];
      networkingOptions = [ "-net nic,netdev=user.0,model=virtio" "-netdev user,id=user.0,\"$QEMU_NET_OPTS\"" ];
    };
  };
}
