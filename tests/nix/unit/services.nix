{ lib, real, examples, productionOn, ... }:
let
  one = module: (real { web = module; }).web;
  compact = text: builtins.filter (l: l != "") (map lib.trim (lib.splitString "\n" text));
  has = text: lines: builtins.filter (l: !(builtins.elem l (compact text))) lines;
  nginx = c: c.environment.etc."nginx/nginx.conf".source.text;
  rules = c: c.environment.etc."nftables.conf".source.text;
  roots = c: c.system.build.requiredPackages;
in
{
  "apache listens where its virtual hosts do, and at its own port for what else there is" = {
    expr = map
      (httpd: builtins.filter (lib.hasPrefix "Listen ") (compact (builtins.head (one { services.httpd = { enable = true; } // httpd; }).systemd.services.httpd.restartTriggers).text))
      [
        { }
        { virtualHosts.a.listen = [{ ip = "::1"; port = 8000; }]; }
        { virtualHosts.a.listen = [{ ip = "127.0.0.1"; port = 80; }]; documentRoot = "/srv"; }
        { virtualHosts = { a.listen = [{ port = 81; } { ip = "127.0.0.1"; port = 82; }]; b.listen = [{ ip = "10.0.0.1"; port = 81; }]; }; }
      ];
    expected = [ [ "Listen 80" ] [ "Listen [::1]:8000" ] [ "Listen 80" ] [ "Listen 81" "Listen 127.0.0.1:82" ] ];
  };
  "load balancer: the proxy names every back end" = {
    expr =
      let n = real (examples + "/load-balancer/network.nix"); in
      [
        (builtins.attrNames n)
        (builtins.filter (lib.hasPrefix "server webserver") (compact (nginx n.proxy)))
        (has (nginx n.proxy) [ "upstream cluster {" "proxy_pass http://cluster;" "listen 0.0.0.0:80 default_server;" "proxy_set_header Host $host;" ])
        (has (rules n.webserver2) [ ''iifname "eth1" tcp dport { 80 } accept'' "ct state established,related accept" ])
        (map (p: builtins.elem p (roots n.client)) [ "curl" "nginx" ])
        (map (p: builtins.elem p (roots n.webserver1)) [ "nginx" "nftables" ])
        (map (i: i.vlan) n.webserver1.virtualisation.allInterfaces)
      ];
    expected = [
      [ "client" "proxy" "webserver1" "webserver2" "webserver3" ]
      (map (i: "server webserver${toString i}:80 fail_timeout=5s max_fails=1;") [ 1 2 3 ])
      [ ]
      [ ]
      [ true false ]
      [ true true ]
      [ 2 ]
    ];
  };
  "Figure 1 verbatim on the real guest system: the machines of its modern form" = {
    expr =
      let
        old = real (examples + "/trac/figure-1.nix");
        new = real (examples + "/trac/network.nix");
        same = f: builtins.mapAttrs (n: c: f c == f new.${n}) old;
      in
      [
        (builtins.attrNames old)
        (same (c: c.system.build.requiredPackages))
        (same (c: c.networking.extraHosts))
        (same (c: builtins.attrNames c.systemd.services))
        (same (c: builtins.mapAttrs (_: e: "${e.source}") c.environment.etc))
        (same (c: c.services.trac.projects))
        (map (p: lib.any (lib.hasPrefix p) (roots old.webserver)) [ "apache2" "nfs-common" ])
      ];
    expected =
      let yes = lib.genAttrs [ "postgresql" "storage" "webserver" ] (_: true); in
      [ (builtins.attrNames yes) yes yes yes yes yes [ true true ] ];
  };
  "ten nodes" = {
    expr = let n = real (examples + "/ten-nodes/network.nix"); in [
      (builtins.length (builtins.attrNames n))
      (n.gate1.networking.interfaces.eth2.ipv4.addresses)
      (map (r: r.via) (n.red1.networking.interfaces.eth1.ipv4.routes ++ n.blue3.networking.interfaces.eth1.ipv4.routes))
      (builtins.length (builtins.filter (l: lib.hasInfix "192.168." l) (lib.splitString "\n" n.red1.networking.extraHosts)))
    ];
    expected = [ 10 [{ address = "192.168.2.5"; prefixLength = 24; }] [ "192.168.1.5" "192.168.2.5" ] 10 ];
  };
  "nginx: TLS, redirects, order of locations, booleans of servers" = {
    expr =
      let
        text = nginx (one {
          services.nginx.enable = true;
          services.nginx.upstreams.u.servers = { "a:1".backup = true; "b:2".weight = 5; };
          services.nginx.virtualHosts."x.org" = {
            serverAliases = [ "y.org" ];
            forceSSL = true;
            sslCertificate = "/var/cert.pem";
            sslCertificateKey = "/var/key.pem";
            locations."/".return = 404;
            locations."= /first" = { priority = 10; tryFiles = "$uri =404"; };
          };
        });
        at = l: lib.findFirst (i: builtins.elemAt (compact text) i == l) null (lib.range 0 (builtins.length (compact text) - 1));
      in
      [
        (has text [ "server a:1 backup;" "server b:2 weight=5;" "return 301 https://$host$request_uri;" "listen 0.0.0.0:443 ssl;" "server_name x.org y.org;" "ssl_certificate /var/cert.pem;" "return 404;" ])
        (at "location = /first {" < at "location / {")
      ];
    expected = [ [ ] true ];
  };
  "firewall: off unless asked for, then ports, ranges and trust" = {
    expr = [
      ((one { }).environment.etc ? "nftables.conf")
      (has
        (rules (one {
          networking.firewall = {
            enable = true;
            allowedTCPPorts = [ 22 80 22 ];
            allowedUDPPortRanges = [{ from = 60000; to = 60010; }];
            trustedInterfaces = [ "eth2" ];
            allowPing = false;
            rejectPackets = true;
          };
        }))
        [ "tcp dport { 22, 80 } accept" "udp dport { 60000-60010 } accept" ''iifname { "lo", "eth2" } accept'' "reject with icmpx admin-prohibited" ])
    ];
    expected = [ false [ ] ];
  };
  "address translation" = {
    expr =
      let
        c = one {
          virtualisation.vlans = [ 1 2 ];
          networking.nat = {
            enable = true;
            externalInterface = "eth1";
            internalInterfaces = [ "eth2" ];
            forwardPorts = [{ sourcePort = 8080; destination = "192.168.2.9:80"; }];
          };
        };
      in
      [
        c.boot.kernel.sysctl."net.ipv4.ip_forward"
        (has (rules c) [ ''iifname "eth1" tcp dport 8080 dnat to 192.168.2.9:80'' ''iifname "eth2" meta mark set 1'' ''oifname "eth1" meta mark 1 masquerade'' ])
      ];
    expected = [ 1 [ ] ];
  };
  "cron lines become timers" = {
    expr =
      let
        t = lines: lib.mapAttrsToList (_: timer: timer.timerConfig.OnCalendar)
          (lib.filterAttrs (n: _: lib.hasPrefix "cron-" n) (one { services.cron.systemCronJobs = lines; }).systemd.timers);
      in
      t [ "*/5 * * * * root date" "30 2 * * 1-5 root backup --all" "@daily root clean" "0 0 1 1 0 root party" ];
    expected = [ [ "*-*-* *:0/5:00" ] [ "Mon..Fri *-*-* 2:30:00" ] [ "daily" ] [ "Sun *-1-1 0:0:00" ] ];
  };
  "haproxy" = {
    expr =
      let c = one { services.haproxy.enable = true; services.haproxy.config = "frontend f\n  bind :80\n"; }; in
      [ (has c.environment.etc."haproxy.cfg".source.text [ "user haproxy" "frontend f" "bind :80" ]) (builtins.elem "haproxy" (roots c)) ];
    expected = [ [ ] true ];
  };
  "interfaces by name are renamed before they are set up" = {
    expr =
      let c = one { virtualisation.interfaces = { wan = { vlan = 1; assignIP = true; }; lan = { vlan = 2; assignIP = true; }; }; }; in
      [ (compact c.environment.etc."network/names.batch".text) (builtins.elem "network-setup.service" c.systemd.services.network-names.before) ];
    expected = [
      [ "link set eth1 name renamed1" "link set eth2 name renamed2" "link set renamed1 name lan" "link set renamed2 name wan" ]
      true
    ];
  };
  "a clone has a way out on eth0, its original has none" = {
    expr = map (c: [ (c.networking.interfaces ? eth0) (c.networking.defaultGateway.address or null) ])
      [ (one { }) (one { virtualisation.clone = false; }) (one { virtualisation.restrictNetwork = true; networking.defaultGateway = "192.168.1.254"; }) ];
    expected = [ [ true "10.0.2.2" ] [ false null ] [ true "192.168.1.254" ] ];
  };
  "an X server brings a display, its kernel and a session that root is logged in to" = {
    expr =
      let
        c = one { services.xserver.enable = true; services.xserver.windowManager.icewm.enable = true; hardware.graphics.enable = false; };
        unit = c.systemd.services.display-manager;
      in
      [
        c.virtualisation.graphics
        c.boot.kernelPackage
        c.systemd.defaultUnit
        unit.aliases
        c.services.displayManager.autoLogin.user
        (has c.environment.etc."X11/xorg.conf".text [ ''Modes "1024x768"'' ''Disable "glx"'' ])
        (map (p: builtins.elem p (roots c)) [ "icewm" "xserver-xorg-core" "!libgl1-mesa-dri" ])
        (lib.hasInfix "autologin" c.systemd.services.getty-tty1.serviceConfig.ExecStart)
        (c.systemd.services.diorama-agent.environment.DISPLAY)
      ];
    expected = [ true "linux-image-amd64" "graphical.target" [ "xserver.service" ] "root" [ ] [ true true true ] false ":0" ];
  };
  "names that displays had and have" = {
    expr =
      let
        c = one ({ pkgs, ... }: {
          services.xserver = { enable = true; layout = "de"; displayManager.defaultSession = "none+twm"; windowManager.twm.enable = true; };
          test-support.displayManager.auto = { enable = true; user = "alice"; };
          users.users.alice.isNormalUser = true;
          services.getty.autologinUser = "alice";
          hardware.opengl.enable = true;
          virtualisation.resolution = { x = 640; y = 480; };
          environment.systemPackages = [ pkgs.htop ];
        });
      in
      [
        c.services.xserver.xkb.layout
        c.services.displayManager.defaultSession
        c.services.displayManager.autoLogin.user
        c.hardware.graphics.enable
        (has c.environment.etc."X11/xorg.conf".text [ ''Modes "640x480"'' ])
        (lib.hasInfix "--autologin alice" c.systemd.services.getty-tty1.serviceConfig.ExecStart)
        (builtins.filter (lib.hasPrefix "!") (roots c))
      ];
    expected = [ "de" "none+twm" "alice" true [ ] true [ "!console-setup" "!cpp" "!keyboard-configuration" "!libheif1" "!libspectre1" "!ucf" "!x11-common" ] ];
  };
  "a display of a machine that is deployed needs somebody, and a session that exists" = {
    expr =
      let
        evaluates = value: (builtins.tryEval (builtins.seq value true)).success;
        host = module: (productionOn { model = { nodes.web = module; }; }).web;
      in
      map evaluates [
        (host { services.xserver.enable = true; })
        (host { services.xserver.enable = true; services.displayManager.autoLogin.user = "root"; })
        (one { services.xserver.enable = true; services.displayManager.defaultSession = "gnome"; })
      ];
    expected = [ false true false ];
  };
  "the router of the example" = {
    expr =
      let n = real (examples + "/nat-router/network.nix"); in
      [
        n.client.networking.defaultGateway.address
        (has (rules n.router) [ ''iifname "eth2" tcp dport 8080 dnat to 192.168.1.1:80'' ''iifname "eth1" meta mark set 1'' ''oifname "eth2" meta mark 1 masquerade'' ])
      ];
    expected = [ "192.168.1.2" [ ] ];
  };
}
