# The infrastructure model: where each node of a network is in production, and how it is reached.
#
#   { NODE = { hostName = "node.example.org"; system = "x86_64-linux"; … }; }      the paper's Figure 5
#   a function of { lib, … } to it; `infrastructure = …` or `nodes = …` around it
#
# An entry may also be a module, as in Colmena's, NixOps' and morph's sets of machines, that says deployment.*;
# `defaults`, `meta` and `network` mean there what they mean here. Disnix' properties stand for the fields.
#
# Invariant: reading the entries evaluates no node.
lib:
let
  inherit (builtins) isAttrs isString isInt isBool isList isFunction isPath attrNames filter map elem head concatStringsSep all;
  inherit (lib) optional optionalAttrs showValue;
  errors = import ./errors.nix lib;

  meta = [ "meta" "network" "defaults" ];
  fields = {
    hostName = { ok = isString; what = "a string"; };
    system = { ok = isString; what = "a string such as \"x86_64-linux\""; };
    targetUser = { ok = isString; what = "a string"; };
    targetPort = { ok = v: v == null || isInt v && v > 0 && v < 65536; what = "a port"; };
    addresses = { ok = strings; what = "a list of strings"; };
    sshOptions = { ok = strings; what = "a list of strings, one word each"; };
    sudo = { ok = v: isBool v || isString v || strings v; what = "true, or a command as a list of strings"; };
    tags = { ok = strings; what = "a list of strings"; };
    after = { ok = strings; what = "a list of nodes' names"; };
    buildOnTarget = { ok = isBool; what = "true or false"; };
    healthChecks = { ok = v: isList v || isAttrs v; what = "a list of checks"; };
    module = { ok = isModule; what = "a module"; };
    imports = { ok = v: isList v && all isModule v; what = "a list of modules"; };
  };
  # Other tools' words for the same.
  aliases = {
    hostname = "hostName"; targetHost = "hostName"; sshUser = "targetUser"; sshOpts = "sshOptions"; user = "targetUser";
    port = "targetPort"; privilegeEscalationCommand = "sudo"; modules = "imports"; dependsOn = "after"; address = "addresses";
  };
  # What Disnix says about a machine beside that: how services are put into it, which here is the nodes' own business.
  disnix = [ "containers" "numOfCores" "clientInterface" ];
  strings = v: isList v && all isString v;
  isModule = v: isAttrs v || isFunction v || isPath v || isString v && lib.hasPrefix "/" v;

  listed = file: infrastructure:
    if isFunction infrastructure then listed file (infrastructure { inherit lib; })
    else if !isAttrs infrastructure then throw "${file}: an infrastructure model must be a set of nodes, not ${showValue 1 infrastructure}"
    else if infrastructure ? infrastructure then listed file infrastructure.infrastructure
    else if isAttrs (infrastructure.nodes or null) then listed file infrastructure.nodes
    else infrastructure;

  placeOf = file: set: name:
    let pos = builtins.unsafeGetAttrPos name set; in
    if pos == null then file else "${pos.file}:${toString pos.line}";

  # An entry with the fields' own names, or a module.
  entry = place: node: value:
    if isFunction value || isPath value || isAttrs value && (value ? deployment || value ? config) then { imports = [ value ]; }
    else if !isAttrs value then throw "${place}: the entry `${node}' must be a set such as { hostName = \"${node}.example.org\"; }, not ${showValue 1 value}"
    else
      let
        flat = removeAttrs value ([ "properties" ] ++ disnix) // value.properties or { };
        named = builtins.listToAttrs (map (n: { name = aliases.${n} or n; value = if n == "address" then [ flat.${n} ] else flat.${n}; }) (attrNames flat));
        unknown = filter (n: !(fields ? ${n})) (attrNames named);
        wrong = filter (n: !(fields.${n}.ok named.${n})) (attrNames named);
      in
      if unknown != [ ] then
        let n = head unknown; in
        throw "${place}: the entry `${node}' has no field `${n}'.${errors.didYouMean (errors.nearest n (attrNames fields ++ attrNames aliases))} The host's own configuration goes into `module'."
      else if wrong != [ ] then
        let n = head wrong; in
        throw "${place}: `${node}.${n}' must be ${fields.${n}.what}, not ${showValue 1 named.${n}}"
      else named;

  # morph's checks, and ours.
  checks = node: value:
    if isAttrs value then
      map (c: { kind = "command"; command = concatStringsSep " " (map lib.escapeShellArg c.cmd); timeout = c.timeout or 10; }) (value.cmd or [ ])
      ++ map (plainly node) (value.http or [ ])
      ++ (let stray = filter (n: !(elem n [ "cmd" "http" ])) (attrNames value); in
      if stray == [ ] then [ ] else throw "node ${node}: health checks in a set are morph's, `cmd' and `http', not `${head stray}'; ours are a list of sets such as { port = 80; }")
    else map (check node) value;
  # morph's check of a web server, made on the host itself.
  plainly = node: c:
    if c.scheme or "http" != "http" then throw "node ${node}: a health check asks by http, not by ${showValue 1 c.scheme}; check https with a command such as curl"
    else if c.host or null != null then throw "node ${node}: a health check asks the host itself, not ${showValue 1 c.host}; check others with a command such as curl"
    else if c.headers or { } != { } then throw "node ${node}: a health check sends no headers of its own; check with a command such as curl"
    else { kind = "http"; port = c.port or 80; path = c.path or "/"; timeout = c.timeout or 10; };
  check = node: c:
    let
      kinds = { command = [ "command" ]; port = [ "port" ]; http = [ "port" "path" "status" "body" ]; };
      kind = c.kind or (if c ? command then "command" else if c ? path || c ? status || c ? body then "http" else "port");
      known = kinds.${kind} or (throw "node ${node}: a health check's kind is `command', `port' or `http', not ${showValue 1 kind}");
      stray = filter (n: !(elem n (known ++ [ "kind" "timeout" ]))) (attrNames c);
      need = if kind == "command" then "command" else "port";
    in
    if !isAttrs c then throw "node ${node}: a health check must be a set such as { port = 80; }, not ${showValue 1 c}"
    else if stray != [ ] then throw "node ${node}: a health check of the kind `${kind}' has no `${head stray}'.${errors.didYouMean (errors.nearest (head stray) (known ++ [ "timeout" ]))}"
    else if kind != "http" && !(c ? ${need}) then throw "node ${node}: a health check of the kind `${kind}' needs `${need}'"
    else { inherit kind; timeout = 10; } // optionalAttrs (kind == "http") { port = 80; } // c;
  isFile = v: isPath v || isString v;
  # What people know an infrastructure model by.
  called = infrastructure: if isFile infrastructure then toString infrastructure else "the infrastructure model";
in
{
  inherit called checks;

  # Of a file, a set or null: the entries by node, each { fields; modules; }. With a distribution model the entries are machines
  # with names of their own, of which every node has one.
  read = { infrastructure, distribution ? null, names }:
    let
      file = called infrastructure;
      given = listed file (if isFile infrastructure then import (/. + toString infrastructure) else infrastructure);
      defaults = if given ? defaults then entry (placeOf file given "defaults") "defaults" given.defaults else { };
      entries = removeAttrs given meta;
      strangers = filter (n: !(elem n names)) (attrNames entries);
      without = filter (n: !(entries ? ${n})) names;
      machines =
        if distribution == null then lib.genAttrs names (node: node)
        else (import ./distribution.nix lib).read { inherit distribution names; machines = entries; infrastructure = file; };
      one = node:
        let
          machine = machines.${node};
          own = entry (placeOf file entries machine) machine entries.${machine};
          both = defaults // own;
        in
        {
          fields = removeAttrs both [ "module" "imports" ];
          modules = map (lib.setDefaultModuleLocation file)
            (lib.concatMap (e: e.imports or [ ] ++ optional (e ? module) e.module) [ defaults own ]);
        };
    in
    if infrastructure == null && distribution != null then
      throw "a distribution model (${if isAttrs distribution || isFunction distribution then "given as a value" else toString distribution}) maps nodes to the machines of an infrastructure model, and there is none; name one with --infrastructure, or put infrastructure.nix beside the model"
    else if infrastructure == null then lib.genAttrs names (_: { fields = { }; modules = [ ]; })
    else if distribution != null then lib.genAttrs names one
    else if strangers != [ ] then
      let n = head strangers; in
      throw "${placeOf file entries n}: the infrastructure names `${n}', which is no node of the network.${errors.didYouMean (errors.nearest n names)} A distribution model maps nodes to machines with names of their own."
    else if without != [ ] then
      throw "${file}: the infrastructure does not say where ${concatStringsSep ", " (map (n: "`${n}'") without)} ${if builtins.length without == 1 then "is" else "are"}; give ${if builtins.length without == 1 then "it an entry" else "each an entry"} such as ${head without} = { hostName = \"${head without}.example.org\"; }"
    else lib.genAttrs names one;
}
