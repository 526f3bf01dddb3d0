# PostgreSQL, with databases and users made at the first start.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build packages;
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.postgresql;
  version = "15";
  bin = "/usr/lib/postgresql/${version}/bin";

  # An empty cluster made when the image was built.
  template = "/usr/share/diorama/postgresql-${version}.tar";
  closure = packages.closureOf config.system.build.requiredPackages;
  cluster = build.run "postgresql-cluster" ../../debian/builders/initdb.sh {
    inherit version;
    packages = map (name: packages.unpacked.${name}) closure;
    postgresql = packages.unpacked."postgresql-${version}";
  };

  # The paper writes `host ... ADDRESS trust` for "every database, every user, that one machine".
  completed = lib.concatMapStringsSep "\n"
    (line:
      let
        found = builtins.match "[[:space:]]*host[[:space:]]+[.][.][.][[:space:]]+([^[:space:]]+)[[:space:]]+(.+)" line;
        address = builtins.head found;
        masked = if lib.hasInfix "/" address then address else "${address}/${if lib.hasInfix ":" address then "128" else "32"}";
      in
      if found == null then line else "host all all ${masked} ${builtins.elemAt found 1}")
    (lib.splitString "\n" cfg.authentication);
  remote = builtins.any
    (line: builtins.match "[[:space:]]*host.*" line != null && builtins.match ".*(127\\.0\\.0\\.1|::1|localhost).*" line == null)
    (lib.splitString "\n" cfg.authentication);

  show = value:
    if value == true then "on" else if value == false then "off"
    else if builtins.isString value then "'${lib.replaceStrings [ "'" ] [ "''" ] value}'"
    else toString value;
  settings = lib.concatStrings (lib.mapAttrsToList (name: value: lib.optionalString (value != null) "${name} = ${show value}\n") cfg.settings);
  configuration = build.writeText "postgresql.conf" settings;
  access = build.writeText "pg_hba.conf" ''
    ${completed}
    local all postgres peer map=postgres
    local all all peer
    host all all 127.0.0.1/32 scram-sha-256
    host all all ::1/128 scram-sha-256
  '';
  idents = build.writeText "pg_ident.conf" "postgres postgres postgres\npostgres root postgres\n${cfg.identMap}";

  quote = name: "\"${lib.replaceStrings [ "\"" ] [ "\"\"" ] name}\"";
  literal = text: "'${lib.replaceStrings [ "'" ] [ "''" ] text}'";
  clauses = user: lib.concatStringsSep " " (lib.mapAttrsToList
    (name: value: if value == null then "" else "${lib.optionalString (!value) "NO"}${lib.toUpper name}")
    user.ensureClauses);
  ensure = lib.concatMapStrings
    (user: ''
      SELECT 'CREATE ROLE ${quote user.name} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal user.name}) \gexec
      ${lib.optionalString (builtins.any (value: value != null) (builtins.attrValues user.ensureClauses)) "ALTER ROLE ${quote user.name} ${clauses user};"}
    '')
    cfg.ensureUsers
  + lib.concatMapStrings
    (name: ''
      SELECT 'CREATE DATABASE ${quote name}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = ${literal name}) \gexec
    '')
    cfg.ensureDatabases
  + lib.concatMapStrings
    (user: lib.optionalString user.ensureDBOwnership "ALTER DATABASE ${quote user.name} OWNER TO ${quote user.name};\n"
      + lib.concatStrings (lib.mapAttrsToList (what: rights: "GRANT ${rights} ON ${what} TO ${quote user.name};\n") user.ensurePermissions))
    cfg.ensureUsers;
  ensureFile = build.writeText "ensure.sql" ensure;
in
{
  options.services.postgresql = {
    enable = mkEnableOption "PostgreSQL";
    package = mkOption { type = types.unspecified; default = null; description = "Accepted for NixOS' sake; the version is Debian's, ${version}."; };
    port = mkOption { type = types.port; default = 5432; description = "The port."; };
    enableTCPIP = mkOption {
      type = types.bool;
      default = remote;
      defaultText = "whether services.postgresql.authentication lets another machine in";
      description = "Whether it listens on all addresses.";
    };
    dataDir = mkOption { type = types.path; default = "/var/lib/postgresql/${version}"; description = "Where the databases are."; };
    authentication = mkOption {
      type = types.lines;
      default = "";
      example = "host all all 192.168.1.3/32 trust";
      description = "Lines of pg_hba.conf, before the defaults. `host ... ADDRESS METHOD` stands for all databases and users from one address.";
    };
    identMap = mkOption { type = types.lines; default = ""; description = "Lines of pg_ident.conf."; };
    initialScript = mkOption { type = types.nullOr types.path; default = null; description = "SQL run once, after the databases are made."; };
    ensureDatabases = mkOption { type = types.listOf types.str; default = [ ]; description = "Databases that are made when they do not exist."; };
    ensureUsers = mkOption {
      default = [ ];
      description = "Users that are made when they do not exist.";
      type = types.listOf (types.submodule {
        options = {
          name = mkOption { type = types.str; description = "The user's name."; };
          ensureDBOwnership = mkOption { type = types.bool; default = false; description = "Whether the user owns the database of the same name."; };
          ensurePermissions = mkOption { type = types.attrsOf types.str; default = { }; description = "Rights to give, by what they are on."; };
          ensureClauses = mkOption {
            default = { };
            description = "Attributes of the role.";
            type = types.submodule {
              options = lib.genAttrs [ "superuser" "createdb" "createrole" "login" "replication" "bypassrls" "inherit" ]
                (name: mkOption { type = types.nullOr types.bool; default = null; description = "The attribute ${name}."; });
            };
          };
        };
      });
    };
    initdbArgs = mkOption { type = types.listOf types.str; default = [ ]; description = "Further arguments of initdb."; };
    settings = mkOption {
      type = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.float types.str ]));
      default = { };
      example = { log_connections = true; };
      description = "Settings of postgresql.conf.";
    };
  };

  config = lib.mkIf cfg.enable {
    system.extraPackages = [ "postgresql-${version}" ];
    # A compiler for queries and tools of Debian's packaging: a third of the download, and not used here.
    system.standIns = [ "libllvm14" "locales" "postgresql-client-common" "postgresql-common" "ssl-cert" ];
    system.extraTrees = [ cluster ];
    users.users.postgres = { isSystemUser = true; group = "postgres"; home = "/var/lib/postgresql"; shell = "/bin/bash"; uid = lib.mkDefault 71; };
    users.groups.postgres.gid = lib.mkDefault 71;

    services.postgresql.settings = {
      listen_addresses = lib.mkDefault (if cfg.enableTCPIP then "*" else "localhost");
      port = lib.mkDefault cfg.port;
      hba_file = "${access}";
      ident_file = "${idents}";
      unix_socket_directories = lib.mkDefault "/run/postgresql";
      logging_collector = lib.mkDefault false;
      log_destination = lib.mkDefault "stderr";
      jit = lib.mkDefault false;
      # Fits a small machine; a model that wants more says so.
      shared_buffers = lib.mkDefault "32MB";
      max_connections = lib.mkDefault 50;
      dynamic_shared_memory_type = lib.mkDefault "posix";
      autovacuum_naptime = lib.mkDefault "5min";
    };

    systemd.tmpfiles.rules = [ "d /var/lib/postgresql 0755 postgres postgres -" ];
    systemd.services.postgresql = {
      description = "PostgreSQL";
      wantedBy = [ "multi-user.target" ];
      after = [ "network-setup.service" ];
      restartTriggers = [ configuration ];
      environment.PGDATA = cfg.dataDir;
      preStart = ''
        if [ ! -e "$PGDATA/PG_VERSION" ]; then
          # Made beside and renamed when it is on the disk: power may fail in between.
          rm -rf "$PGDATA" "$PGDATA.making"
          if [ -e ${template} ] ${lib.optionalString (cfg.initdbArgs != [ ]) "&& false"}; then
            mkdir -m 0700 "$PGDATA.making"
            tar -C "$PGDATA.making" -xf ${template}
          else
            ${bin}/initdb -U postgres --no-sync --locale=C.UTF-8 --encoding=UTF8 --auth=peer ${lib.escapeShellArgs cfg.initdbArgs} -D "$PGDATA.making" >/dev/null
          fi
          touch "$PGDATA.making/.first-start"
          sync -f "$PGDATA.making"
          mv -T "$PGDATA.making" "$PGDATA"
        fi
        ln -sfn ${configuration} "$PGDATA/postgresql.conf"
      '';
      postStart = ''
        until ${bin}/pg_isready -q -h /run/postgresql -p ${toString cfg.port}; do
          kill -0 "$MAINPID" || exit 1
          sleep 0.2
        done
        ${lib.optionalString (ensure != "") "${bin}/psql -X -q -h /run/postgresql -p ${toString cfg.port} -v ON_ERROR_STOP=1 -f ${ensureFile} postgres"}
        if [ -e "$PGDATA/.first-start" ]; then
          ${lib.optionalString (cfg.initialScript != null) "${bin}/psql -X -q -h /run/postgresql -p ${toString cfg.port} -f ${cfg.initialScript} postgres"}
          rm -f "$PGDATA/.first-start"
        fi
      '';
      serviceConfig = {
        Type = "notify";
        NotifyAccess = "main";
        User = "postgres";
        Group = "postgres";
        RuntimeDirectory = "postgresql";
        RuntimeDirectoryMode = "0755";
        ExecStart = "${bin}/postgres -D ${cfg.dataDir}";
        ExecReload = "/usr/bin/kill -HUP $MAINPID";
        KillSignal = "SIGINT";
        KillMode = "mixed";
        TimeoutSec = 180;
        TimeoutStopSec = 20;
        OOMScoreAdjust = -900;
      };
    };
  };
}
