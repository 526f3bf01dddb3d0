# A Trac service on three machines: the web server, its database, and the repository's storage.
#
# The same network as figure-1.nix, under today's NixOS option names.
{
  network = {
    storage = { webserver, ... }: {
      services.nfs.server.enable = true;
      services.nfs.server.exports = "/repos ${webserver.networking.hostName}(rw)";
      networking.firewall.allowedTCPPorts = [ 2049 ];
    };

    postgresql = { webserver, ... }: {
      services.postgresql.enable = true;
      services.postgresql.enableTCPIP = true;
      services.postgresql.authentication = "host all all ${webserver.networking.primaryIPAddress}/32 trust";
      networking.firewall.allowedTCPPorts = [ 5432 ];
    };

    webserver = { storage, postgresql, ... }: {
      fileSystems."/repos" = {
        device = "${storage.networking.hostName}:/repos";
        fsType = "nfs";
      };
      services.httpd.enable = true;
      services.httpd.extraSubservices = [
        {
          serviceType = "trac";
          projects = [
            {
              name = "Project Foobar";
              db = "postgresql://${postgresql.networking.hostName}/foobar";
              svnRepo = "/repos/foobar";
            }
          ];
        }
      ];
      networking.firewall.allowedTCPPorts = [ 80 ];
    };
  };
}
