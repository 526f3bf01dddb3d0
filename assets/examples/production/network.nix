# Three installed hosts, blank but for an SSH server, standing for production: something to deploy to.
#
#   $ diorama up -d assets/examples/production
#   $ chmod 600 insecure-key
#   $ ssh -i insecure-key -p 2201 root@127.0.0.1
#
# THE KEY BESIDE THIS FILE IS PUBLIC: everybody has its private half. These machines listen on 127.0.0.1 of the
# machine they run on and nowhere else; never put this key into anything that others can reach.
let
  host = port: { ... }: {
    virtualisation.useBootLoader = true;
    virtualisation.memorySize = 512;
    virtualisation.diskSize = 4096;
    virtualisation.vlans = [ 1 ];
    virtualisation.forwardPorts = [ { host.port = port; guest.port = 22; } ];
    users.users.root.openssh.authorizedKeys.keyFiles = [ ./insecure-key.pub ];
  };
in
{
  description = "Three blank hosts that stand for production";
  network = {
    postgresql = host 2201;
    storage = host 2202;
    webserver = host 2203;
  };
}
