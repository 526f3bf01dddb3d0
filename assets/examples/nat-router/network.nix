# A router between two networks: the inner one goes out under the router's own address, and is reached from outside
# through one port alone.
#
#   client ── VLAN 1 ── router ── VLAN 2 ── server
{ lib, ... }:
let
  addressOn = interface: machine: (builtins.head machine.networking.interfaces.${interface}.ipv4.addresses).address;
  # A web server that says who it is, and who it was asked by.
  site = { pkgs, name, ... }: {
    services.nginx.enable = true;
    services.nginx.virtualHosts.default = {
      default = true;
      extraConfig = "add_header Asked-By $remote_addr;";
      root = pkgs.runCommand "site-${name}" { } ''
        mkdir "$out"
        echo "This is ${name}." > "$out/index.html"
      '';
    };
    environment.systemPackages = [ pkgs.curl ];
  };
in
{
  meta.description = "A client behind a router that translates addresses";

  # No machine has a way out but the network's own.
  defaults.virtualisation.restrictNetwork = true;
  defaults.virtualisation.memorySize = 192;

  nodes = {
    client = { router, ... }: {
      imports = [ site ];
      virtualisation.vlans = [ 1 ];
      networking.defaultGateway = addressOn "eth1" router;
    };

    router = { client, pkgs, ... }: {
      virtualisation.vlans = [ 1 2 ];
      environment.systemPackages = [ pkgs.curl ];
      networking.nat = {
        enable = true;
        internalInterfaces = [ "eth1" ];
        externalInterface = "eth2";
        forwardPorts = [{ sourcePort = 8080; destination = "${addressOn "eth1" client}:80"; }];
      };
    };

    server = {
      imports = [ site ];
      virtualisation.vlans = [ 2 ];
    };
  };
}
