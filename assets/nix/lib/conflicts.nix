# What two machines of one network may not both have: a host name, an address on a VLAN, a port of the host.
lib:
let
  inherit (builtins) attrNames concatMap filter length map groupBy head;
  # Every pair of the same key but of different nodes makes one message.
  clashes = what: items:
    let groups = groupBy (i: i.key) items; in
    concatMap
      (key:
        let nodes = lib.unique (map (i: i.node) groups.${key}); in
        lib.optional (length nodes > 1) (what key nodes))
      (attrNames groups);
  both = nodes: "nodes ${lib.concatStringsSep " and " nodes}";
in
{ configs, interfacesOf }:
let
  each = f: concatMap (node: map (key: { inherit node key; }) (f node configs.${node})) (attrNames configs);
in
clashes (key: nodes: "${both nodes}: all have the host name `${key}' (networking.hostName)")
  (each (_: c: [ (lib.toLower c.networking.hostName) ]))
++ clashes (key: nodes: "${both nodes}: all have the address ${key}")
  (each (node: c: concatMap
    (i: map (a: "${a.address} on VLAN ${toString i.vlan}") (c.networking.interfaces.${i.name} or { ipv4.addresses = [ ]; }).ipv4.addresses)
    (interfacesOf node c)))
++ clashes (key: nodes: "${both nodes}: all ask for the host's port ${key} (virtualisation.forwardPorts)")
  (each (_: c: map (f: "${f.proto or "tcp"} ${f.host.address or ""}${lib.optionalString (f.host.address or "" != "") ":"}${toString f.host.port}")
    (filter (f: f.from or "host" == "host") (c.virtualisation.forwardPorts or [ ]))))
