# A database and its standby: what the primary writes is streamed to the standby, which can take its place.
{ lib, ... }:
let
  common = {
    virtualisation.memorySize = 256;
    services.postgresql.enable = true;
    services.postgresql.enableTCPIP = true;
    services.postgresql.settings = {
      wal_level = "replica";
      hot_standby = true;
      # A connection that is cut without a word is given up after seconds, not minutes.
      wal_receiver_timeout = "10s";
      wal_retrieve_retry_interval = "1s";
    };
    networking.firewall.allowedTCPPorts = [ 5432 ];
  };
  letIn = machine: "host replication replicator ${machine.networking.primaryIPAddress}/32 trust";
in
{
  meta.description = "PostgreSQL with a streaming standby";

  nodes = {
    primary = { standby, ... }: {
      imports = [ common ];
      services.postgresql.authentication = letIn standby;
      services.postgresql.ensureUsers = [{ name = "replicator"; ensureClauses.replication = true; }];
    };

    standby = { primary, ... }: {
      imports = [ common ];
      services.postgresql.authentication = letIn primary;
      systemd.services.postgresql = {
        # The first start copies the primary, as soon as there is one.
        preStart = lib.mkBefore ''
          if [ ! -e "$PGDATA/PG_VERSION" ]; then
            until rm -rf "$PGDATA.copy" && pg_basebackup -h ${primary.networking.hostName} -U replicator -D "$PGDATA.copy" -X stream -R -c fast; do
              sleep 1
            done
            mv -T "$PGDATA.copy" "$PGDATA"
          fi
        '';
        serviceConfig.TimeoutStartSec = 1200;
      };
    };
  };
}
