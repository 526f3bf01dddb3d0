network = {
  storage =
    { config, pkgs, webserver, ... }:
    {
      services.nfsd.enable = true;
      services.nfsd.exports =
        "/repos ${webserver.networking.hostName}(rw)";
    };
  postgresql =
    { config, pkgs, webserver, ... }:
    {
      services.postgresql.enable = true;
      services.postgresql.authentication =
        "host ... ${webserver.networking.ipAddress} trust";
    };
  webserver =
    { config, pkgs, storage, ... }:
    {
      fileSystems = [ {
        mountPoint = "/repos";
        device = "${storage.networking.hostName}:/repos";
      } ];
      services.nfs.enable = true;
      services.httpd.enable = true;
      services.httpd.extraSubservices = [
        { serviceType = "trac";
          projects = [
            { name = "Project Foobar";
              db = "postgresql://" +
                "${postgresql.networking.hostName}/foobar";
              svnRepo = "/repos/foobar";
            } ];
          } ];
    };
};
