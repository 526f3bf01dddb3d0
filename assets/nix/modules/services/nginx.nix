# nginx: virtual hosts, locations and upstreams.
{ config, lib, pkgs, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption mkEnableOption types optionalString concatStrings mapAttrsToList concatMapStrings;
  cfg = config.services.nginx;
  indent = text: concatMapStrings (l: optionalString (l != "") "  ${l}\n") (lib.splitString "\n" text);
  block = head: body: "${head} {\n${indent body}}\n";

  flag = description: mkOption { type = types.bool; default = false; inherit description; };
  text = description: mkOption { type = types.lines; default = ""; inherit description; };
  maybe = type: description: mkOption { type = types.nullOr type; default = null; inherit description; };

  location = types.submodule {
    options = {
      proxyPass = maybe types.str "The server that answers, `http://NAME` for an upstream.";
      proxyWebsockets = flag "Whether connections may be upgraded to web sockets.";
      recommendedProxySettings = mkOption { type = types.bool; default = cfg.recommendedProxySettings; description = "Whether the usual headers are passed on."; };
      root = maybe types.path "The directory that requests are looked up in.";
      alias = maybe types.path "The directory that replaces the location.";
      index = maybe types.str "Names of index files.";
      tryFiles = maybe types.str "What is tried in turn.";
      return = maybe (types.oneOf [ types.str types.int ]) "What is answered at once.";
      extraConfig = text "Further lines of the location.";
      priority = mkOption { type = types.int; default = 1000; description = "Its place among the locations."; };
    };
  };
  listen = types.submodule {
    options = {
      addr = mkOption { type = types.str; default = "0.0.0.0"; description = "Address."; };
      port = maybe types.port "Port.";
      ssl = flag "Whether it speaks TLS.";
      extraParameters = mkOption { type = types.listOf types.str; default = [ ]; description = "Further words of the listen directive."; };
    };
  };
  virtualHost = types.submodule ({ name, ... }: {
    options = {
      serverName = mkOption { type = types.nullOr types.str; default = name; description = "Its name."; };
      serverAliases = mkOption { type = types.listOf types.str; default = [ ]; description = "Further names."; };
      default = flag "Whether it answers for names that no other host has.";
      listen = mkOption { type = types.listOf listen; default = [ ]; description = "Where it listens; port 80, or 443 with TLS, when empty."; };
      root = maybe types.path "The directory that requests are looked up in.";
      locations = mkOption { type = types.attrsOf location; default = { }; description = "Locations, by path."; };
      globalRedirect = maybe types.str "The host that everything is redirected to.";
      addSSL = flag "Whether it speaks TLS beside plain HTTP.";
      onlySSL = flag "Whether it speaks TLS only.";
      forceSSL = flag "Whether plain HTTP is redirected to TLS.";
      sslCertificate = maybe types.path "The certificate's file.";
      sslCertificateKey = maybe types.path "The key's file, which must not be in the Nix store.";
      extraConfig = text "Further lines of the host.";
    };
  });
  upstream = types.submodule {
    options = {
      servers = mkOption {
        default = { };
        description = "The upstream's servers, by address.";
        type = types.attrsOf (types.submodule {
          freeformType = types.attrsOf (types.oneOf [ types.bool types.int types.str ]);
          options.backup = flag "Whether it serves only when the others fail.";
        });
      };
      extraConfig = text "Further lines of the upstream, such as `least_conn;`.";
    };
  };

  proxyHeaders = ''
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
  '';
  directive = name: value: optionalString (value != null) "${name} ${toString value};\n";
  locationText = path: l: block "location ${path}" (
    directive "proxy_pass" l.proxyPass
    + optionalString (l.proxyPass != null && l.proxyWebsockets)
      "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $connection_upgrade;\n"
    + optionalString (l.proxyPass != null && l.recommendedProxySettings) proxyHeaders
    + directive "root" l.root + directive "alias" l.alias + directive "index" l.index
    + directive "try_files" l.tryFiles + directive "return" l.return + l.extraConfig
  );
  serverText = _: h:
    let
      tls = h.addSSL || h.onlySSL || h.forceSSL;
      plain = !h.onlySSL && !h.forceSSL;
      ends =
        if h.listen != [ ] then h.listen
        else lib.optional plain { addr = "0.0.0.0"; port = 80; ssl = false; extraParameters = [ ]; }
          ++ lib.optional plain { addr = "[::]"; port = 80; ssl = false; extraParameters = [ ]; }
          ++ lib.optional tls { addr = "0.0.0.0"; port = 443; ssl = true; extraParameters = [ ]; };
      listenText = l: "listen ${l.addr}${optionalString (l.port != null) ":${toString l.port}"}${optionalString l.ssl " ssl"}${
        optionalString h.default " default_server"}${concatMapStrings (w: " ${w}") l.extraParameters};\n";
      names = "server_name ${toString (lib.optional (h.serverName != null) h.serverName ++ h.serverAliases)};\n";
      ordered = lib.sort (a: b: a.value.priority < b.value.priority) (lib.attrsToList h.locations);
    in
    optionalString h.forceSSL (block "server" ("listen 80${optionalString h.default " default_server"};\n${names}return 301 https://$host$request_uri;\n"))
    + block "server" (concatMapStrings listenText ends + names
      + optionalString tls (directive "ssl_certificate" h.sslCertificate + directive "ssl_certificate_key" h.sslCertificateKey)
      + directive "root" h.root
      + optionalString (h.globalRedirect != null) "location / { return 301 $scheme://${toString h.globalRedirect}$request_uri; }\n"
      + concatMapStrings (l: locationText l.name l.value) ordered + h.extraConfig);
  upstreamText = name: u: block "upstream ${name}" (
    concatStrings (mapAttrsToList
      (address: s: "server ${address}${concatStrings (mapAttrsToList
        (k: v: if v == true then " ${k}" else if v == false then "" else " ${k}=${toString v}") s)};\n")
      u.servers)
    + u.extraConfig
  );

  file = build.writeText "nginx.conf" ''
    user ${cfg.user} ${cfg.group};
    pid /run/nginx/nginx.pid;
    error_log stderr;
    worker_processes auto;
    ${cfg.appendConfig}
    events {
    ${cfg.eventsConfig}
    }
    http {
      default_type application/octet-stream;
      types {
        text/html html htm; text/css css; text/plain txt; application/javascript js mjs; application/json json;
        image/png png; image/jpeg jpg jpeg; image/svg+xml svg; image/gif gif; image/x-icon ico; font/woff2 woff2;
        application/xml xml; application/pdf pdf; application/zip zip; application/wasm wasm;
      }
      access_log off;
      sendfile on;
      server_tokens ${if cfg.serverTokens then "on" else "off"};
      client_max_body_size ${cfg.clientMaxBodySize};
      client_body_temp_path /run/nginx/body;
      proxy_temp_path /run/nginx/proxy;
      fastcgi_temp_path /run/nginx/fastcgi;
      uwsgi_temp_path /run/nginx/uwsgi;
      scgi_temp_path /run/nginx/scgi;
      map $http_upgrade $connection_upgrade { default upgrade; "" close; }
      ${optionalString cfg.recommendedOptimisation "tcp_nopush on;\n  tcp_nodelay on;\n  keepalive_timeout 65;"}
      ${optionalString cfg.recommendedGzipSettings "gzip on;\n  gzip_proxied any;\n  gzip_types text/plain text/css application/json application/javascript image/svg+xml;"}
      ${optionalString cfg.recommendedTlsSettings "ssl_protocols TLSv1.2 TLSv1.3;\n  ssl_session_cache shared:SSL:10m;"}
      ${cfg.commonHttpConfig}
    ${indent (concatStrings (mapAttrsToList upstreamText cfg.upstreams))}
    ${indent (concatStrings (mapAttrsToList serverText cfg.virtualHosts))}
      ${optionalString cfg.statusPage "server { listen 127.0.0.1:80; server_name localhost; location /nginx_status { stub_status on; } }"}
      ${cfg.appendHttpConfig}
    }
    ${optionalString (cfg.streamConfig != "") (block "stream" cfg.streamConfig)}
  '';
in
{
  options.services.nginx = {
    enable = mkEnableOption "nginx, a web server and reverse proxy";
    package = mkOption { type = types.package; default = pkgs.nginx; defaultText = lib.literalExpression "pkgs.nginx"; description = "The package."; };
    user = mkOption { type = types.str; default = "www-data"; description = "The account that workers run as."; };
    group = mkOption { type = types.str; default = "www-data"; description = "The group that workers run as."; };
    virtualHosts = mkOption { type = types.attrsOf virtualHost; default = { }; description = "Virtual hosts, by name."; };
    upstreams = mkOption { type = types.attrsOf upstream; default = { }; description = "Groups of servers that locations pass requests to."; };
    recommendedProxySettings = flag "Whether proxied requests carry the usual headers.";
    recommendedOptimisation = flag "Whether the usual settings for speed are made.";
    recommendedGzipSettings = flag "Whether answers are compressed.";
    recommendedTlsSettings = flag "Whether only current versions of TLS are spoken.";
    serverTokens = flag "Whether nginx tells its version.";
    statusPage = flag "Whether /nginx_status answers on the loopback.";
    clientMaxBodySize = mkOption { type = types.str; default = "10m"; description = "The largest request."; };
    appendConfig = text "Further lines of the configuration, outside of any block.";
    eventsConfig = text "Lines of the events block.";
    commonHttpConfig = text "Lines of the http block, before the hosts.";
    appendHttpConfig = text "Lines of the http block, after the hosts.";
    streamConfig = text "Lines of the stream block.";
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."nginx/nginx.conf".source = file;
    systemd.services.nginx = {
      description = "nginx";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      serviceConfig = {
        Type = "forking";
        PIDFile = "/run/nginx/nginx.pid";
        RuntimeDirectory = "nginx";
        StateDirectory = "nginx";
        ExecStart = "/usr/sbin/nginx -e stderr -c ${file}";
        ExecReload = "/usr/sbin/nginx -e stderr -c ${file} -s reload";
        Restart = "always";
        RestartSec = 2;
      };
    };
  };
}
