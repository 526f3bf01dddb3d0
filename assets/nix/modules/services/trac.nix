# Trac behind Apache: a subservice of services.httpd, as the paper has it, or services.trac.projects.
#
#   trac-setup   waits for the database server and the repository's file system, makes what is missing there
#   httpd        loads Trac's code meanwhile; then makes the environments, and serves them through mod_wsgi
{ config, lib, diorama, ... }:
let
  inherit (diorama) build packages;
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.trac;
  state = "/var/lib/trac";

  subservices = builtins.filter (service: service.serviceType or null == "trac") config.services.httpd.extraSubservices;
  unknown = builtins.filter (service: service.serviceType or null != "trac") config.services.httpd.extraSubservices;

  identifier = name: lib.concatStringsSep "-" (builtins.filter (part: builtins.isString part && part != "")
    (builtins.split "[^a-z0-9]+" (lib.toLower name)));

  # postgresql://[USER@]HOST[:PORT]/NAME
  database = project:
    let found = builtins.match "postgres(ql)?://(([^:@/]+)(:[^@/]*)?@)?([^:/@]+)(:([0-9]+))?/([A-Za-z0-9_-]+)" project.db;
      at = builtins.elemAt found; in
    if found == null then throw "services.trac: the project ${builtins.toJSON project.name} has the database ${builtins.toJSON project.db}; it must be postgresql://[USER@]HOST[:PORT]/NAME"
    else {
      user = if at 2 == null then "trac" else at 2;
      given = at 2 != null;
      password = if at 3 == null then "" else at 3;
      host = at 4;
      port = if at 6 == null then "5432" else at 6;
      name = at 7;
    };

  prepared = map
    (project:
      let db = database project; in {
        inherit (project) name svnRepo adminUsers;
        inherit db;
        id = project.identifier;
        path = "${state}/${project.identifier}";
        uri = "postgres://${db.user}${db.password}@${db.host}:${db.port}/${db.name}";
        ini = lib.generators.toINI { } (lib.recursiveUpdate
          ({
            trac = { base_url = ""; };
            project = { inherit (project) name; descr = project.description; url = ""; };
            logging = { log_type = "stderr"; log_level = "ERROR"; };
            header_logo = { src = ""; alt = project.name; link = ""; };
          } // lib.optionalAttrs (project.svnRepo != null) {
            components = { "tracopt.versioncontrol.svn.*" = "enabled"; };
            repositories = { ".dir" = project.svnRepo; ".type" = "svn"; ".sync_per_request" = "true"; };
          })
          project.settings);
      })
    cfg.projects;
  single = builtins.length prepared == 1;

  json = build.writeText "trac.json" (builtins.toJSON (map
    (project: { inherit (project) name path uri ini svnRepo adminUsers; database = project.db; })
    prepared));

  setup = build.runCommand "trac-setup" { source = ../../../guest/trac_setup.py; } ''mkdir "$out" && cp "$source" "$out/trac_setup.py"'';

  wsgi = build.writeText "trac.wsgi" ''
    import json
    import os
    import sys
    import threading
    import time
    import traceback

    sys.path.insert(0, '${setup}')
    os.environ[${if single then "'TRAC_ENV'" else "'TRAC_ENV_PARENT_DIR'"}] = '${if single then (builtins.head prepared).path else state}'
    WAITING = b"""<!DOCTYPE html><html><head><meta http-equiv="refresh" content="2"><title>Trac</title></head>
    <body><p>Trac is being set up: it waits for its database and its repository.</p></body></html>
    """
    ready = threading.Event()

    import trac.web.main
    # What the first page needs, loaded while the machine still waits for others.
    import trac.db.postgres_backend, trac.wiki.web_ui, trac.timeline.web_ui, trac.ticket.web_ui, trac.ticket.query
    import trac.versioncontrol.web_ui, trac.search.web_ui, trac.web.auth, trac.web.chrome, trac.loader
    import trac_setup


    def set_up():
        while not os.path.exists('/run/trac/prepared'):
            time.sleep(0.2)
        while not ready.is_set():
            try:
                with open('${json}') as file:
                    for project in json.load(file):
                        trac_setup.set_up(project)
                ready.set()
            except Exception:
                traceback.print_exc()
                time.sleep(2)


    threading.Thread(target=set_up, daemon=True).start()


    def application(environ, start_response):
        if not ready.is_set():
            start_response('503 Service Unavailable', [('Content-Type', 'text/html'), ('Retry-After', '2')])
            return [WAITING]
        return trac.web.main.dispatch_request(environ, start_response)
  '';

  wheel = packages.wheel {
    name = "Trac";
    version = "1.6";
    file = "Trac-1.6-py3-none-any.whl";
    sha256 = "5ff2f3394ebee7cc5b8ee465871cfdecb78ee492a74215b47b6d9ddbcc93b5f7";
  };
in
{
  options.services.trac = {
    projects = mkOption {
      default = [ ];
      example = lib.literalExpression ''[ { name = "Project Foobar"; db = "postgresql://database/foobar"; svnRepo = "/repos/foobar"; } ]'';
      description = "Trac's projects; one alone is served at /, several are listed there.";
      type = types.listOf (types.submodule ({ config, ... }: {
        options = {
          name = mkOption { type = types.str; description = "The project's name."; };
          identifier = mkOption { type = types.strMatching "[a-z0-9-]+"; default = identifier config.name; defaultText = "the name in small letters, with dashes"; description = "The project's name in addresses and paths."; };
          description = mkOption { type = types.str; default = "My project"; description = "One line about the project."; };
          db = mkOption { type = types.str; example = "postgresql://database/foobar"; description = "The database, as postgresql://[USER@]HOST[:PORT]/NAME. Without a user, the role `trac` and the database are made by the server's superuser, when it lets this machine in."; };
          svnRepo = mkOption { type = types.nullOr types.str; default = null; example = "/repos/foobar"; description = "The Subversion repository, which is made when it does not exist."; };
          adminUsers = mkOption { type = types.listOf types.str; default = [ ]; description = "Who may do everything."; };
          settings = mkOption { type = types.attrsOf (types.attrsOf (types.oneOf [ types.str types.int types.bool ])); default = { }; description = "Further settings of trac.ini, by section."; };
        };
      }));
    };
  };

  config = lib.mkMerge [
    {
      assertions = map
        (service: {
          assertion = false;
          message = "services.httpd.extraSubservices: the service type ${builtins.toJSON (service.serviceType or null)} is not known; `trac' is";
        })
        unknown ++ map
        (service: {
          assertion = removeAttrs service [ "serviceType" "projects" ] == { };
          message = "services.httpd.extraSubservices: a trac service has `projects' and not ${toString (builtins.attrNames (removeAttrs service [ "serviceType" "projects" ]))}";
        })
        subservices;
      services.trac.projects = lib.concatMap (service: service.projects or [ ]) subservices;
    }
    (lib.mkIf (cfg.projects != [ ]) {
      services.httpd.enable = lib.mkDefault true;
      system.extraPackages = [
        "libapache2-mod-wsgi-py3" "postgresql-client-15" "python3" "python3-jinja2" "python3-markupsafe" "python3-pip"
        "python3-pkg-resources" "python3-psycopg2" "python3-setuptools" "python3-subversion" "subversion"
      ];
      system.standIns = [ "postgresql-client-common" "build-essential" "python3-dev" ];
      system.extraTrees = [ wheel ];

      services.httpd.extraModules = [ "wsgi" ];
      services.httpd.extraConfig = ''
        WSGISocketPrefix /run/httpd/wsgi
        WSGIDaemonProcess trac user=${config.services.httpd.user} group=${config.services.httpd.group} processes=1 threads=8 home=/var/empty display-name=trac
        WSGIApplicationGroup %{GLOBAL}
        WSGIProcessGroup trac
        WSGIImportScript ${wsgi} process-group=trac application-group=%{GLOBAL}
        WSGIScriptAlias / ${wsgi}
        <Directory "${builtins.storeDir}">
          Require all granted
        </Directory>
      '';
      systemd.tmpfiles.rules = [
        "d ${state} 0750 ${config.services.httpd.user} ${config.services.httpd.group} -"
        "d /run/trac 0755 ${config.services.httpd.user} ${config.services.httpd.group} -"
      ];

      systemd.services.trac-setup = {
        description = "Trac's databases and repositories";
        wantedBy = [ "multi-user.target" ];
        after = [ "network-setup.service" ];
        unitConfig.RequiresMountsFor = map (project: project.svnRepo) (builtins.filter (project: project.svnRepo != null) prepared);
        restartTriggers = [ json ];
        environment = { HOME = "/run/trac"; PGCONNECT_TIMEOUT = "5"; };
        script = ''
          # Power may fail at any moment: the repository is made whole in a directory inside its own, and moved
          # up from there. An unfinished one is thrown away, an unfinished move goes on; `format', which makes
          # it a repository, comes last.
          make_repository() { # PATH NAME
            [ ! -e "$1/format" ] || return 0
            local making="$1/.making" made="$1/.made" entry
            if [ ! -d "$made" ]; then
              rm -rf "$making"
              mkdir -p "$1"
              svnadmin create "$making"
              echo "$2" > /run/trac/README
              svnmucc -m "The project's first files" -U "file://$making" \
                mkdir trunk mkdir branches mkdir tags put /run/trac/README trunk/README >/dev/null
              sync -f "$making"
              mv -T "$making" "$made"
            fi
            for entry in "$made"/*; do
              [ "''${entry##*/}" = format ] || mv -T "$entry" "$1/''${entry##*/}"
            done
            mv -T "$made/format" "$1/format"
            rmdir "$made"
          }
        '' + lib.concatMapStrings
          (project: ''
            until pg_isready -q -t 2 -h ${project.db.host} -p ${project.db.port}; do sleep 0.5; done
            ${lib.optionalString (!project.db.given) ''
              psql -X -q -h ${project.db.host} -p ${project.db.port} -U postgres -v ON_ERROR_STOP=1 postgres <<'SQL'
              SELECT 'CREATE ROLE "${project.db.user}" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${project.db.user}') \gexec
              SELECT 'CREATE DATABASE "${project.db.name}" OWNER "${project.db.user}"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '${project.db.name}') \gexec
            SQL
            ''}
            ${lib.optionalString (project.svnRepo != null) ''
              make_repository ${lib.escapeShellArg project.svnRepo} ${lib.escapeShellArg project.name}
            ''}
          '')
          prepared + ''
          touch /run/trac/prepared
        '';
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          User = config.services.httpd.user;
          Group = config.services.httpd.group;
          TimeoutStartSec = "infinity";
          Restart = "on-failure";
          RestartSec = 2;
        };
      };
    })
  ];
}
