# Where the nodes of the Trac network are in production: on the three hosts of network.nix beside this file.
#
#   $ diorama up -d assets/examples/production
#   $ chmod 600 assets/examples/production/insecure-key
#   $ diorama deploy assets/examples/trac -i assets/examples/production/infrastructure.nix
#
# `module` is a host's own configuration, as hardware and addresses are: the model of the network knows none of it.
let
  host = { port, number, ... }@entry: {
    hostName = "127.0.0.1";
    system = "x86_64-linux";
    targetPort = port;
    # Public, and good for nothing but these hosts: see network.nix.
    sshOptions = [ "-i" (toString ./insecure-key) "-o" "IdentitiesOnly=yes" ];
    module = {
      users.users.root.openssh.authorizedKeys.keyFiles = [ ./insecure-key.pub ];
      networking.interfaces.eth0.ipv4.addresses = [{ address = "10.0.2.15"; prefixLength = 24; }];
      networking.interfaces.eth1.ipv4.addresses = [{ address = "192.168.1.${toString number}"; prefixLength = 24; }];
      networking.defaultGateway = "10.0.2.2";
    };
  } // removeAttrs entry [ "port" "number" ];
in
{
  postgresql = host {
    port = 2201;
    number = 1;
    healthChecks = [{ port = 5432; timeout = 60; }];
  };
  storage = host {
    port = 2202;
    number = 2;
    healthChecks = [{ port = 2049; timeout = 60; }];
  };
  webserver = host {
    port = 2203;
    number = 3;
    after = [ "postgresql" "storage" ];
    healthChecks = [{ kind = "http"; port = 80; path = "/"; body = "Project Foobar"; timeout = 180; }];
  };
}
