# From an evaluated network to the manifest, the program's only view of it.
#
# Invariant: what is written here is what src/model/manifest.rs reads; it knows no other fields.
lib:
let
  inherit (builtins) mapAttrs map filter attrNames getContext concatMap;
  inherit (lib) optionalAttrs optional unique concatLists;
  inherit (import ./keys.nix lib) keysOf;

  words = s: filter (w: w != "") (lib.splitString " " (lib.replaceStrings [ "\n" "\t" ] [ " " " " ] s));

  # The ports of well-known services that the host should find without being asked: web servers from 8082 on.
  servesWeb = config:
    let
      firewall = config.networking.firewall or { enable = false; };
      open = !firewall.enable || builtins.elem 80 (firewall.allowedTCPPorts or [ ]);
      on = service: config.services.${service}.enable or false;
    in
    open && (on "httpd" || on "nginx" || on "haproxy" || on "caddy" || on "lighttpd");
  forwards = config: map
    (f: {
      inherit (f) proto;
      host = { inherit (f.host) address port; };
      guest = { inherit (f.guest) address port; };
      explicit = true;
    })
    (filter (f: (f.from or "host") == "host") (config.virtualisation.forwardPorts or [ ]));
  webForward = port: {
    proto = "tcp";
    host = { address = ""; inherit port; };
    guest = { address = ""; port = 80; };
    explicit = false;
  };

  interfaces = network: name: config:
    [{ kind = "user"; name = "eth0"; restrict = config.virtualisation.restrictNetwork or false; }]
    ++ map
      (i: {
        kind = "vlan";
        inherit (i) name vlan mac;
      } // (
        let addresses = map (a: a.address) ((config.networking.interfaces.${i.name} or { ipv4.addresses = [ ]; }).ipv4.addresses); in
        optionalAttrs (addresses != [ ]) { inherit addresses; }
      ))
      (network.system.interfacesOf network.numbers.${name} config);

  drvsOf = import ./drvs-of.nix;
in
{
  manifestOf = network:
    let
      webNodes = filter
        (n: servesWeb network.configs.${n}
          && !(lib.any (f: f.guest.port == 80 && f.proto == "tcp") (forwards network.configs.${n})))
        network.names;
      taken = concatMap (n: map (f: f.host.port) (forwards network.configs.${n})) network.names;
      free = lib.subtractLists taken (lib.range 8082 (8082 + builtins.length webNodes + builtins.length taken));
      webPorts = builtins.listToAttrs
        (lib.zipListsWith lib.nameValuePair webNodes free);
      node = name: config: network.system.bootOf config // {
        hostName = config.networking.hostName;
        memorySize = config.virtualisation.memorySize;
        cores = config.virtualisation.cores or 1;
        interfaces = interfaces network name config;
        graphics = config.virtualisation.graphics;
        qemuOptions = network.system.qemuOptionsOf words config;
        forwardPorts = forwards config ++ optional (webPorts ? ${name}) (webForward webPorts.${name});
        tags = config.deployment.tags or [ ];
      } // keysOf config;
      vlans = network.form.vlans;
    in
    builtins.seq network.sane ({
      version = 1;
      network = {
        inherit (network) name;
        system = network.system.name;
      } // optionalAttrs (network.description != null) { inherit (network) description; };
      nodes = mapAttrs node network.configs;
    }
    // optionalAttrs (vlans != { }) { vlans = mapAttrs (_: v: { mtu = v.mtu or 1500; }) vlans; }
    // optionalAttrs (network.testScript != null) { inherit (network) testScript; });

  # Per node the derivations behind the store paths the manifest names; the system's own small closure comes last.
  realiseOf = network: mapAttrs
    (_: config: unique (concatLists (map drvsOf (network.system.pathsOf config))))
    network.configs;
}
