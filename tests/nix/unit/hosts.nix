# Production: where nodes go, what their hosts have, and what of the clone never reaches them.
{ lib, production, productionOn, fails, examples, ... }:
let
  inherit (builtins) attrNames elem map;
  pair = { network = { web = { ... }: { }; db = { ... }: { deployment = { targetHost = "db.own"; tags = [ "own" ]; after = [ ]; }; }; }; };
  place = infrastructure: (production { model = pair; inherit infrastructure; }).deployment.nodes;
  both = web: place { inherit web; db = { hostName = "db.example.org"; }; };

  one = module: (productionOn { model = { network.machine = module; }; }).machine;
  trac = productionOn { model = import (examples + "/trac/network.nix"); infrastructure = examples + "/production/infrastructure.nix"; };
in
{
  "without an infrastructure model a node's name is its host" = {
    expr = let n = (production { model = pair; }).deployment.nodes; in map (x: [ x.hostName x.targetUser x.targetPort x.sudo ]) [ n.web n.db ];
    expected = [ [ "web" "root" null [ ] ] [ "db.own" "root" null [ ] ] ];
  };
  "the infrastructure comes before the node" = {
    expr = let n = both { hostname = "w"; system = "x86_64-linux"; targetUser = "admin"; tags = [ "edge" ]; after = [ "db" ]; targetPort = 2222; }; in
      [ n.web.hostName n.web.targetUser n.web.sudo n.web.tags n.web.after n.web.targetPort n.db.hostName n.db.tags ];
    expected = [ "w" "admin" [ "sudo" "-H" "--" ] [ "edge" ] [ "db" ] 2222 "db.example.org" [ "own" ] ];
  };
  "entries in the words of other tools" = {
    expr = {
      disnix = (both { properties = { hostname = "d"; }; system = "x86_64-linux"; }).web.hostName;
      deployRs = let n = place { nodes = { web = { hostname = "r"; sshUser = "u"; sshOpts = [ "-p" "1" ]; }; db = { }; }; }; in [ n.web.hostName n.web.targetUser n.web.sshOptions ];
      morph = let n = place {
        network.description = "x";
        defaults = { ... }: { deployment.targetUser = "m"; };
        web = { ... }: { deployment.targetHost = "h"; deployment.healthChecks.cmd = [{ cmd = [ "test" "-e" "/a b" ]; description = "d"; }]; };
        db = { deployment.targetHost = "d"; deployment.targetPort = 99; };
      }; in [ n.web.hostName n.web.targetUser n.web.healthChecks n.db.targetPort ];
      function = (place ({ lib, ... }: { web.hostName = lib.concatStrings [ "a" "b" ]; db = { }; })).web.hostName;
    };
    expected = {
      disnix = "d";
      deployRs = [ "r" "u" [ "-p" "1" ] ];
      morph = [ "h" "m" [{ kind = "command"; command = "test -e '/a b'"; timeout = 10; }] 99 ];
      function = "ab";
    };
  };
  "a distribution maps nodes to machines of other names" =
    let
      machines = { t1 = { properties.hostname = "t1.example.org"; system = "x86_64-linux"; containers.process = { }; numOfCores = 4; }; t2.hostName = "t2.example.org"; t3 = { }; };
      via = infrastructure: distribution: map (n: n.hostName) (builtins.attrValues (production { model = pair; inherit infrastructure distribution; }).deployment.nodes);
      swapped = { infrastructure }: { web = [ infrastructure.t1 ]; db = [ infrastructure.t2 ]; };
    in
    {
      # By name: db, then web.
      expr = {
        disnix = via machines swapped;
        function = via ({ ... }: machines) ({ infrastructure, lib, ... }: lib.mapAttrs (_: m: [ m ]) { web = infrastructure.t2; db = infrastructure.t1; });
        # A plain function has no names of arguments to look at.
        plain = via machines (args: swapped { inherit (args) infrastructure; });
        words = via machines { web = "t1"; db = [ "t2" ]; };
        # What a machine is said to be is a module's too, and what all have in common.
        modules = map (n: [ n.hostName n.targetUser ]) (builtins.attrValues (production {
          model = pair;
          infrastructure = { defaults.targetUser = "all"; t1 = { ... }: { deployment.targetHost = "m"; }; t2.targetUser = "own"; };
          distribution = swapped;
        }).deployment.nodes);
        # The node's own configuration has no say in which machine it is.
        host = (productionOn {
          model.network = { web = { ... }: { }; db = { ... }: { }; };
          infrastructure = { t1.module.environment.etc.here.text = "t1"; t2 = { }; };
          distribution = swapped;
        }).web.environment.etc.here.text;
      };
      expected = {
        disnix = [ "t2.example.org" "t1.example.org" ];
        function = [ "t1.example.org" "t2.example.org" ];
        plain = [ "t2.example.org" "t1.example.org" ];
        words = [ "t2.example.org" "t1.example.org" ];
        modules = [ [ "db.own" "own" ] [ "m" "all" ] ];
        host = "t1";
      };
    };
  "a distribution that does not map every node to a machine of its own is refused" =
    let
      of = distribution: fails (production { model = pair; infrastructure = { t1 = { }; t2 = { }; }; inherit distribution; }).deployment.nodes;
    in
    {
      expr = map of [
        ({ infrastructure }: { web = [ infrastructure.t1 ]; db = [ infrastructure.t2 ]; })
        ({ infrastructure }: { web = [ infrastructure.t1 ]; })
        ({ infrastructure }: { web = [ infrastructure.t1 ]; db = [ ]; })
        ({ infrastructure }: { web = [ infrastructure.t1 ]; db = [ infrastructure.t1 ]; })
        ({ infrastructure }: { web = [ infrastructure.t1 ]; db = [ infrastructure.t1 infrastructure.t2 ]; })
        ({ infrastructure, pkgs }: { web = [ infrastructure.t1 ]; db = [ infrastructure.t2 ]; })
        { web = "t1"; db = "t2"; mail = "t2"; }
        { web = "t1"; db = "t3"; }
        { web = "t1"; db = { hostName = "t2"; }; }
        [ "t1" "t2" ]
      ] ++ [ (fails (production { model = pair; distribution = { web = "t1"; db = "t2"; }; }).deployment.nodes) ];
      expected = [ false true true true true true true true true true true ];
    };
  "networks in the words of other tools" =
    let
      of = model: (production { inherit model; }).deployment;
      said = node: (productionOn { model = node; }).web.environment.etc.said.text;
      say = text: { environment.etc.said.text = text; };
    in
    {
      expr = {
        colmena =
          let
            hive = {
              meta = { description = "A hive"; nixpkgs = throw "not needed"; specialArgs.greeting = "hi"; nodeSpecialArgs.web.own = "mine"; allowApplyAll = false; };
              defaults = { name, ... }: { deployment.tags = [ "all-${name}" ]; };
              web = { name, nodes, greeting, own, ... }: say "${name} ${greeting} ${own} ${nodes.db.config.networking.hostName}" // {
                deployment = {
                  targetHost = "w"; targetPort = 2222; targetUser = "u"; allowLocalDeployment = true; buildOnTarget = true; tags = [ "t" ];
                  replaceUnknownProfiles = false; privilegeEscalationCommand = [ "doas" ]; sshOptions = [ "-v" ];
                };
              };
              db = { };
            };
            d = of hive;
          in
          [ (said hive) d.network.description d.nodes.web d.nodes.db.hostName ];
        morph =
          let
            model = {
              network = { pkgs = throw "not needed"; description = "morph's"; ordering.tags = [ "a" ]; specialArgs.x = 1; };
              web = { x, ... }: say (toString x) // {
                deployment = { targetHost = "w"; substituteOnDestination = true; healthChecks.http = [{ scheme = "http"; port = 81; path = "/p"; description = "d"; period = 1; timeout = 30; }]; };
              };
            };
            d = of model;
          in
          [ (said model) d.network.description d.nodes.web.healthChecks ];
        nixops =
          let
            d = of {
              network = { description = "NixOps'"; enableRollback = true; storage.legacy = { databasefile = "x"; }; };
              web = { deployment = { targetEnv = "none"; targetHost = "1.2.3.4"; hasFastConnection = true; }; };
            };
          in
          [ d.network.description (attrNames d.nodes) d.nodes.web.hostName ];
      };
      expected = {
        colmena = [
          "web hi mine db"
          "A hive"
          {
            hostName = "w"; system = "x86_64-linux"; toplevel = (of { web = { }; db = { }; }).nodes.web.toplevel; addresses = [ ]; targetUser = "u"; targetPort = 2222;
            sshOptions = [ "-v" ]; sudo = [ "doas" ]; tags = [ "t" "all-web" ]; after = [ ]; buildOnTarget = true; healthChecks = [ ];
          }
          "db"
        ];
        morph = [ "1" "morph's" [{ kind = "http"; port = 81; path = "/p"; timeout = 30; }] ];
        nixops = [ "NixOps'" [ "web" ] "1.2.3.4" ];
      };
    };
  "what other tools' networks ask for and cannot be had is refused" = {
    expr = map (deployment: fails (production { model.web = { inherit deployment; }; }).deployment.nodes) [
      { targetEnv = "ec2"; }
      { preDeployChecks.cmd = [ { cmd = [ "true" ]; } ]; }
      { }
    ] ++ map (http: fails (production { model.web.deployment.healthChecks.http = [ http ]; }).deployment.nodes.web.healthChecks) [
      { scheme = "https"; }
      { host = "other"; }
      { headers.a = "b"; }
      { port = 1; }
    ] ++ [
      (fails (production { model = { network.description = "d"; resources.sshKeyPairs.k = { }; web = { }; }; }).deployment.nodes)
    ];
    expected = [ true true false true true true false true ];
  };
  "health checks say their kind and how long" = {
    expr = (both { healthChecks = [ { port = 22; } { path = "/x"; status = 204; } { command = "true"; timeout = 3; } ]; }).web.healthChecks;
    expected = [
      { kind = "port"; port = 22; timeout = 10; }
      { kind = "http"; port = 80; path = "/x"; status = 204; timeout = 10; }
      { kind = "command"; command = "true"; timeout = 3; }
    ];
  };
  "every node's system is named, and what builds it" = {
    expr = let p = production { model = pair; }; in
      [ (builtins.match ".*-toplevel-web" p.deployment.nodes.web.toplevel != null) (map (n: builtins.length p.realise.${n}) [ "db" "web" ]) ];
    expected = [ true [ 1 1 ] ];
  };

  "a host has the way in, and nothing of the clone" = {
    expr = let c = one { }; in [
      c.services.openssh.enable
      (c.systemd.services ? diorama-agent)
      c.services.getty.autologinUser
      (c.networking.interfaces ? eth0)
      (lib.filter (lib.hasPrefix "diorama.") c.boot.kernelParams)
      (elem "mitigations=off" c.boot.kernelParams)
      (elem "nix-bin" c.system.extraPackages)
    ];
    expected = [ true false null false [ ] false true ];
  };
  "what opens a clone is refused on a host, whoever asks for it" = {
    expr = map (module: fails (one module).networking.hostName) [
      { services.getty.autologinUser = "root"; }
      { users.users.root.hashedPassword = ""; }
      { systemd.services.diorama-agent.script = "true"; }
      { boot.kernelParams = [ "diorama.layers=2" ]; }
      { }
    ];
    expected = [ true true true true false ];
  };
  "sudo asks for a password unless it is told otherwise, and is nowhere when nobody wants it" = {
    expr =
      let
        of = sudo: one { security.sudo = sudo; };
        wheel = c: lib.head (lib.filter (lib.hasPrefix "%wheel") (lib.splitString "\n" c.environment.etc.sudoers.text));
        off = of { };
      in
      [
        (wheel (of { enable = true; }))
        (wheel (of { enable = true; wheelNeedsPassword = false; }))
        (of { enable = true; }).environment.etc.sudoers.mode
        [ (off.environment.etc ? sudoers) (off.systemd.services ? setuid-wrappers) (elem "sudo" off.system.extraPackages) ]
      ];
    expected = [ "%wheel ALL=(ALL:ALL) ALL" "%wheel ALL=(ALL:ALL) NOPASSWD: ALL" "0440" [ false false false ] ];
  };
  "numbers of accounts do not move when others come" = {
    expr =
      let
        service = { isSystemUser = true; };
        uid = users: name: (one { users.users = users; }).users.idOf.uid name;
        few = { mail-bot = service; zebra = service; };
        more = few // { aardvark = service; backup-bot = service; m = service; };
      in
      [ (map (n: uid few n == uid more n) (attrNames few)) (fails (one { users.users = lib.genAttrs [ "ann" "bob" ] (_: { isNormalUser = true; }); }).networking.hostName) ];
    expected = [ [ true true ] true ];
  };
  "a host of which nothing is known asks for an address" = {
    expr = map (c: c.systemd.services ? dhcp-eth0) [
      (one { })
      (one { networking.interfaces.eth0.ipv4.addresses = [{ address = "192.0.2.1"; prefixLength = 24; }]; })
    ];
    expected = [ true false ];
  };
  "an address that a model needs and nobody gave is asked for" = {
    expr = fails (one ({ config, ... }: { environment.etc.x.text = config.networking.primaryIPAddress; })).environment.etc.x.text;
    expected = true;
  };
  "the example's hosts see each other at their own addresses, not at those all have" = {
    expr = [
      (map (n: trac.${n}.networking.primaryIPAddress) (attrNames trac))
      (lib.hasInfix "10.0.2.15" trac.webserver.environment.etc.hosts.text)
      (lib.hasInfix "192.168.1.2 storage" trac.webserver.environment.etc.hosts.text)
    ];
    expected = [ [ "192.168.1.1" "192.168.1.2" "192.168.1.3" ] false true ];
  };
}
