# Apache. What other modules serve through it (services.httpd.extraSubservices) they add as lines of its
# configuration.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.httpd;

  compiledIn = [ "core" "http_core" "so" "unixd" "log_config" "logio" "version" "watchdog" ];
  modules = lib.unique ([
    "mpm_event" "authn_core" "authn_file" "authz_core" "authz_host" "authz_user" "auth_basic" "access_compat"
    "alias" "autoindex" "deflate" "dir" "env" "filter" "headers" "mime" "negotiation" "reqtimeout" "setenvif" "status"
  ] ++ lib.optional (lib.any (host: host.onlySSL || host.addSSL || host.forceSSL) (builtins.attrValues cfg.virtualHosts)) "ssl"
    ++ builtins.filter builtins.isString cfg.extraModules);
  load = name:
    if builtins.elem name compiledIn then ""
    else "LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n";
  foreign = lib.concatMapStrings (module: "LoadModule ${module.name}_module ${module.path}\n")
    (builtins.filter (module: !builtins.isString module) cfg.extraModules);

  directory = path: ''
    <Directory "${path}">
      Options Indexes FollowSymLinks
      AllowOverride None
      Require all granted
    </Directory>
  '';
  listenOf = host: if host.listen != [ ] then host.listen else [{ ip = "*"; port = cfg.port; ssl = false; }];
  hostText = name: host: ''
    <VirtualHost ${lib.concatMapStringsSep " " socket (listenOf host)}>
      ServerName ${host.hostName}
      ${lib.concatMapStrings (alias: "ServerAlias ${alias}\n") host.serverAliases}
      ${lib.optionalString (host.adminAddr != null) "ServerAdmin ${host.adminAddr}"}
      ${lib.optionalString (host.documentRoot != null) "DocumentRoot \"${host.documentRoot}\"\n${directory host.documentRoot}"}
      ${lib.concatMapStrings (entry: "Alias ${entry.urlPath} \"${entry.dir}\"\n${directory entry.dir}") host.servedDirs}
      ${lib.concatMapStrings (entry: "Alias ${entry.urlPath} \"${entry.file}\"\n") host.servedFiles}
      ${host.extraConfig}
    </VirtualHost>
  '';
  socket = l: "${if lib.hasInfix ":" l.ip then "[${l.ip}]" else l.ip}:${toString l.port}";
  # What belongs to no virtual host is served at the port of everything; without such it is somebody else's.
  besides = cfg.virtualHosts == { } || cfg.documentRoot != null || cfg.extraConfig != "" || cfg.enableStatus;
  listens = lib.concatMap listenOf (builtins.attrValues cfg.virtualHosts)
    ++ lib.optional besides { ip = "*"; inherit (cfg) port; };
  # A port that is taken on every address cannot be taken on one of them besides.
  everywhere = lib.unique (map (l: l.port) (builtins.filter (l: l.ip == "*") listens));
  listenLines = map toString everywhere
    ++ lib.unique (map socket (builtins.filter (l: !builtins.elem l.port everywhere) listens));

  configuration = build.writeText "httpd.conf" ''
    ServerRoot /usr/lib/apache2
    ServerName ${config.networking.hostName}
    ServerTokens Prod
    PidFile /run/httpd/httpd.pid
    DefaultRuntimeDir /run/httpd
    ${lib.concatMapStrings (where: "Listen ${where}\n") listenLines}
    User ${cfg.user}
    Group ${cfg.group}
    ${lib.concatMapStrings load modules}
    ${foreign}
    TypesConfig /etc/mime.types
    AddDefaultCharset utf-8
    DirectoryIndex index.html
    ErrorLog syslog
    LogLevel ${cfg.logLevel}
    LogFormat "%h %l %u %t \"%r\" %>s %b" common
    ${lib.optionalString (cfg.logFormat != "none") "CustomLog /var/log/httpd/access.log common"}
    StartServers 1
    ServerLimit ${toString ((cfg.maxClients + 15) / 16 + 1)}
    ThreadsPerChild 16
    MinSpareThreads 4
    MaxSpareThreads 32
    MaxRequestWorkers ${toString cfg.maxClients}
    KeepAlive On
    ${lib.optionalString (cfg.adminAddr != null) "ServerAdmin ${cfg.adminAddr}"}
    <Directory "/">
      AllowOverride None
      Require all denied
    </Directory>
    ${lib.optionalString (cfg.documentRoot != null) "DocumentRoot \"${cfg.documentRoot}\"\n${directory cfg.documentRoot}"}
    ${lib.optionalString cfg.enableStatus "<Location \"/server-status\">\n  SetHandler server-status\n  Require local\n</Location>"}
    ${cfg.extraConfig}
    ${lib.concatStrings (lib.mapAttrsToList hostText cfg.virtualHosts)}
  '';
in
{
  imports = [ ./trac.nix ];

  options.services.httpd = {
    enable = mkEnableOption "Apache";
    package = mkOption { type = types.unspecified; default = null; description = "Accepted for NixOS' sake; the version is Debian's."; };
    user = mkOption { type = types.str; default = "www-data"; description = "Who serves."; };
    group = mkOption { type = types.str; default = "www-data"; description = "The group that serves."; };
    port = mkOption { type = types.port; default = 80; description = "The port of everything that names none."; };
    adminAddr = mkOption { type = types.nullOr types.str; default = null; description = "Whom error pages name."; };
    documentRoot = mkOption { type = types.nullOr types.path; default = null; description = "The directory served at /."; };
    logLevel = mkOption { type = types.str; default = "notice"; description = "How much is logged."; };
    logFormat = mkOption { type = types.enum [ "common" "none" ]; default = "common"; description = "Whether requests are logged."; };
    maxClients = mkOption { type = types.int; default = 64; description = "How many requests are served at once."; };
    enableStatus = mkOption { type = types.bool; default = false; description = "Whether /server-status answers on the machine itself."; };
    extraModules = mkOption {
      type = types.listOf (types.either types.str types.attrs);
      default = [ ];
      example = [ "proxy" "proxy_http" "proxy_balancer" "lbmethod_byrequests" "slotmem_shm" ];
      description = "Further modules, by name, or as { name; path; }.";
    };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of the configuration."; };
    virtualHosts = mkOption {
      default = { };
      description = "Virtual hosts.";
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          hostName = mkOption { type = types.str; default = name; description = "The host's name."; };
          serverAliases = mkOption { type = types.listOf types.str; default = [ ]; description = "Further names."; };
          adminAddr = mkOption { type = types.nullOr types.str; default = null; description = "Whom error pages name."; };
          documentRoot = mkOption { type = types.nullOr types.path; default = null; description = "The directory served at /."; };
          listen = mkOption {
            default = [ ];
            description = "Addresses and ports.";
            type = types.listOf (types.submodule {
              options = {
                ip = mkOption { type = types.str; default = "*"; description = "The address."; };
                port = mkOption { type = types.port; description = "The port."; };
                ssl = mkOption { type = types.bool; default = false; description = "Whether it speaks TLS."; };
              };
            });
          };
          servedDirs = mkOption { type = types.listOf types.attrs; default = [ ]; description = "Directories, as { urlPath; dir; }."; };
          servedFiles = mkOption { type = types.listOf types.attrs; default = [ ]; description = "Files, as { urlPath; file; }."; };
          onlySSL = mkOption { type = types.bool; default = false; description = "Whether it speaks TLS alone."; };
          addSSL = mkOption { type = types.bool; default = false; description = "Whether it speaks TLS too."; };
          forceSSL = mkOption { type = types.bool; default = false; description = "Whether it leads to TLS."; };
          extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines."; };
        };
      }));
    };
    extraSubservices = mkOption {
      type = types.listOf types.attrs;
      default = [ ];
      description = "Applications served by Apache, by `serviceType`; `trac` is known (see services.trac).";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [{
      assertion = !lib.any (host: host.onlySSL || host.addSSL || host.forceSSL) (builtins.attrValues cfg.virtualHosts);
      message = "services.httpd.virtualHosts: TLS is not set up by itself on this system; configure it in extraConfig with the module \"ssl\" in extraModules";
    }];
    system.extraPackages = [ "apache2-bin" "media-types" ];
    system.standIns = [ "perl" ];
    systemd.tmpfiles.rules = [ "d /var/log/httpd 0750 root adm -" "d /var/www 0755 root root -" ];
    systemd.services.httpd = {
      description = "Apache";
      wantedBy = [ "multi-user.target" ];
      after = [ "network-setup.service" ];
      restartTriggers = [ configuration ];
      serviceConfig = {
        Type = "exec";
        RuntimeDirectory = "httpd";
        ExecStart = "/usr/sbin/apache2 -f ${configuration} -DFOREGROUND";
        ExecReload = "/usr/sbin/apache2 -f ${configuration} -k graceful";
        KillMode = "mixed";
        PrivateTmp = true;
        Restart = "on-failure";
        RestartSec = 2;
        TimeoutStartSec = 120;
        TimeoutStopSec = 10;
      };
    };
  };
}
