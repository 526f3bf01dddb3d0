# Reading a model: from a file (or a value) in any of the accepted forms to one set of nodes.
#
#   { network = { NODE = module; }; }   { nodes = { NODE = module; }; }   { NODE = module; }
#   a function of { pkgs, lib, replicate, ... } to one of these
#   a file of bindings without braces, as the paper prints it: network = { … };
#
# Invariant: finding the names of the nodes evaluates no node.
lib:
let
  inherit (builtins) isAttrs isString isPath isList attrNames elem filter map head match removeAttrs length toString
    isFunction functionArgs intersectAttrs concatStringsSep;
  inherit (lib) splitString optionals optionalAttrs genAttrs showValue toLower;

  replicate = instances: module: { _type = "replicated"; inherit instances module; };

  # Keys that say something about the network and are no nodes.
  metaKeys = [ "network" "defaults" "meta" "testScript" "name" "description" "vlans" ];
  # NixOps', morph's: what they say of the network and not of a node.
  networkKeys = [
    "description" "name" "enableRollback" "nixpkgs" "pkgs" "lib" "specialArgs" "ordering" "runCommand" "buildShell" "evalConfig"
    "nodeNixpkgs" "nodeSpecialArgs" "allowApplyAll" "machinesFile" "lock"
  ];

  # Names that mean something else in a module's arguments or on a machine.
  reserved = [
    "config" "options" "pkgs" "lib" "name" "nodes" "network" "networks" "defaults" "meta" "self" "specialArgs"
    "modulesPath" "utils" "extendModules" "instance" "instances" "replicate" "diorama" "testScript" "description"
    "vlans" "localhost" "localhost4" "localhost6" "ip6-localhost" "ip6-loopback" "baseModules" "extraModules"
    "infrastructure" "all" "host" "class" "true" "false" "null" "builtins" "import" "map" "throw" "toString" "with"
    "rec" "let" "in" "inherit" "if" "then" "else" "assert" "or"
  ];

  # --- The file ---------------------------------------------------------------------------------------------------

  isFile = m: isPath m || isString m;
  fileOf = model:
    if builtins.pathExists "${toString model}/." then
      (if builtins.pathExists (model + "/default.nix") then model + "/default.nix"
      else throw "${toString model}: this directory has no default.nix to read a model from")
    else if builtins.pathExists model then model
    else throw "${toString model}: there is no such file to read a model from";

  # The first line that is neither empty nor a comment.
  firstCode = lines:
    if lines == [ ] then ""
    else
      let line = head lines; rest = builtins.tail lines; in
      if match "[[:space:]]*(#.*)?" line != null then firstCode rest
      else if match "[[:space:]]*/[*].*" line != null then firstCode (afterComment lines)
      else line;
  afterComment = lines:
    if lines == [ ] then [ ]
    else
      let m = match ".*[*]/(.*)" (head lines); in
      if m == null then afterComment (builtins.tail lines) else [ (head m) ] ++ builtins.tail lines;
  isBindings = text:
    match "[[:space:]]*[a-zA-Z_][a-zA-Z0-9_'.-]*[[:space:]]*=([^=].*)?" (firstCode (splitString "\n" text)) != null;

  # Words of a text that could be variables of it.
  allWords = text:
    let
      code = filter (l: match "[[:space:]]*#.*" l == null) (splitString "\n" text);
      words = filter isString (builtins.split "[^a-zA-Z0-9_'-]+" (concatStringsSep " " code));
    in
    attrNames (builtins.listToAttrs (map (name: { inherit name; value = null; }) words));
  wordsOf = text:
    filter (w: match "[a-zA-Z_][a-zA-Z0-9_'-]*" w != null && !(builtins ? ${w}) && !(elem w reserved)) (allWords text);

  # A model's file may use a node's name as a free variable, as Figure 1 of the paper does with `postgresql`.
  # It is read twice: first with every word bound to find the names of the nodes, then with these names alone,
  # so that a misspelt variable stays Nix's own error with its place. A file with a `with` in it is plainly
  # imported: `with pkgs; [ postgresql ]` means the package, and a bound name would come first.
  readScoped = file: args: arguments:
    let
      text = builtins.readFile file;
      bindings = isBindings text;
      plain = elem "with" words;
      words = allWords text;
      source =
        if bindings && elem "deployment" words && (elem "keys" words || elem "secrets" words) then
          throw "${toString file}: a file of bindings is read by way of the Nix store, which everybody can read, and this one speaks of secrets; put braces around it: { network = …; }"
        else if bindings then builtins.toFile (lib.sanitizeDerivationName (baseNameOf (toString file))) "{ ${text}\n}" else file;
      firstLook = call (builtins.scopedImport
        (genAttrs (wordsOf text) (w: throw "${toString file}: the names of the nodes depend on `${w}', which is not known before them"))
        source);
      names = knownNames file (forms file firstLook);
      call = v: if isFunction v then call (v (if functionArgs v == { } then args else intersectAttrs (functionArgs v) args)) else v;
    in
    if plain then call (import source)
    else call (builtins.scopedImport (genAttrs (filter (n: !(builtins ? ${n})) names) (n: arguments.${n})) source);

  knownNames = file: form: builtins.concatLists (lib.mapAttrsToList (n: v: [ n ] ++ map (i: i.name) (instancesOf file n v)) form.nodes);

  # --- The forms --------------------------------------------------------------------------------------------------

  forms = file: v:
    let
      # Where NixOps keeps its state is `storage.legacy`; a node of that name is a module.
      legacy = v ? network && isAttrs (v.network.storage or null) && attrNames v.network.storage == [ "legacy" ];
      isMeta = v ? network && isAttrs v.network && attrNames (removeAttrs v.network (networkKeys ++ optionals legacy [ "storage" ])) == [ ];
      nodes =
        if v ? network && isAttrs v.network && !isMeta then removeAttrs v.network [ "defaults" "meta" "description" ]
        else if v ? nodes then v.nodes
        else removeAttrs v metaKeys;
      inner = if v ? network && isAttrs v.network then v.network else { };
      # What else a model's file says is its own business, unless it looks like one of the words that count.
      beside = if v ? nodes || (v ? network && !isMeta) then attrNames (removeAttrs v ([ "nodes" "node" ] ++ metaKeys)) else [ ];
      errors = import ./errors.nix lib;
      slips = filter (n: errors.nearest n ([ "nodes" ] ++ metaKeys) != [ ]) beside;
      warned = lib.foldr (n: lib.warn "${toString file}: `${n}' means nothing here.${errors.didYouMean (errors.nearest n ([ "nodes" ] ++ metaKeys))}");
    in
    if !isAttrs v then throw "${toString file}: a model must be a set of nodes or a function to one, not ${showValue 1 v}"
    else if v ? network && !isAttrs v.network then throw "${toString file}: `network' must be a set of nodes, not ${showValue 1 v.network}"
    else if v ? resources && isAttrs (v.resources or null) && v ? network && isMeta then throw "${toString file}: `resources' are NixOps' machines, disks and keys in a cloud, which are not made here; make them with another tool and name the hosts (deployment.targetHost, or an infrastructure model)"
    else if v ? nodes && !isAttrs v.nodes then throw "${toString file}: `nodes' must be a set of nodes, not ${showValue 1 v.nodes}"
    else warned {
      inherit nodes;
      defaults = lib.optional (v ? defaults) v.defaults ++ lib.optional (inner ? defaults && !isMeta) inner.defaults;
      meta = optionalAttrs isMeta inner // (if isAttrs (inner.meta or null) then inner.meta else { }) // v.meta or { };
      testScript = v.testScript or null;
      vlans = checkVlans file (v.vlans or { });
      name = firstString [ (v.meta.name or null) (inner.name or null) (v.name or null) ];
      description = firstString [ (v.meta.description or null) (inner.description or null) (v.description or null) ];
    } slips;
  firstString = list: lib.findFirst isString null list;

  isReplicated = v: isAttrs v && (v._type or null == "replicated" || attrNames v == [ "instances" "module" ]);

  instancesOf = file: name: v:
    if !isReplicated v then [{ inherit name; module = v; instance = 1; class = null; }]
    else if !(builtins.isInt v.instances && v.instances >= 0) then
      throw "${toString file}: the number of instances of `${name}' must be a whole number, not ${showValue 1 v.instances}"
    else
      map (instance: { name = "${name}${toString instance}"; inherit (v) module; inherit instance; class = name; })
        (lib.range 1 v.instances);

  # --- Checks -----------------------------------------------------------------------------------------------------

  # A file of bindings is read from a copy in the store; people know the original.
  original = file: seen:
    if lib.hasPrefix "${builtins.storeDir}/" seen && !lib.hasPrefix "${builtins.storeDir}/" (toString file) then toString file else seen;
  nodeFile = file: set: name:
    let pos = builtins.unsafeGetAttrPos name set; in
    if pos == null then toString file else original file pos.file;
  placeOf = file: set: name:
    let pos = builtins.unsafeGetAttrPos name set; in
    if pos == null then toString file else "${original file pos.file}:${toString pos.line}";

  checkName = place: name:
    if elem name reserved then
      throw "${place}: no node may be called `${name}': the word means something else in a module's arguments or on a machine; give the node another name"
    else if match "[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?" name == null then
      throw "${place}: `${name}' cannot be a node's name, for it is its host name too: letters, digits, '-' and '_' (which its host name leaves out), a letter or digit first and last, at most 63"
    else true;

  # Settings of the virtual networks themselves: { "1".mtu = 9000; }.
  checkVlans = file: vlans:
    builtins.mapAttrs
      (n: v:
        let
          number = if match "[0-9]{1,4}" n == null then 0 else lib.toInt n;
          stray = attrNames (removeAttrs v [ "mtu" ]);
        in
        if number < 1 || number > 255 then throw "${toString file}: `vlans' has settings for ${builtins.toJSON n}; VLANs go from 1 to 255"
        else if !isAttrs v then throw "${toString file}: `vlans.${n}' must be a set such as { mtu = 9000; }, not ${showValue 1 v}"
        else if stray != [ ] then throw "${toString file}: `vlans.${n}.${head stray}' does not exist; a VLAN has an `mtu'"
        else if v ? mtu && !(builtins.isInt v.mtu && v.mtu >= 576 && v.mtu <= 65521) then
          throw "${toString file}: `vlans.${n}.mtu' must be a number from 576 to 65521, not ${showValue 1 v.mtu}"
        else v)
      (if isAttrs vlans then vlans else throw "${toString file}: `vlans' must be a set such as { \"1\".mtu = 9000; }");

  checkModule = place: name: module:
    if isAttrs module || lib.isFunction module || isPath module then true
    else if isString module && lib.hasPrefix "/" module then true
    else throw "${place}: the node `${name}' must be a module (a function, a set or a path), not ${showValue 1 module}";

  collisions = list:
    let
      byName = builtins.groupBy (i: toLower i.name) list;
      twice = filter (n: length byName.${n} > 1) (attrNames byName);
    in
    map (n: byName.${n}) twice;

  fromForm = file: form:
    let
      perName = lib.mapAttrsToList
        (name: v:
          let place = placeOf file form.nodes name; in
          builtins.seq (checkName place name)
            (map (i: builtins.seq (checkModule place name i.module) (i // { inherit place; file = nodeFile file form.nodes name; }))
              (instancesOf file name v)))
        form.nodes;
      list = builtins.concatLists perName;
      clashes = collisions list;
      classes = builtins.listToAttrs (map (name: { inherit name; value = map (i: i.name) (instancesOf file name form.nodes.${name}); })
        (filter (n: isReplicated form.nodes.${n}) (attrNames form.nodes)));
    in
    # A script may have machines of its own making.
    if form.nodes == { } && form.testScript == null then throw "${toString file}: this model has no nodes, and no testScript that makes machines"
    else if clashes != [ ] then
      let pair = head clashes; in
      throw "${(lib.last pair).place}: the nodes ${concatStringsSep " and " (map (i: "`${i.name}'" + lib.optionalString (i.class != null) " (an instance of `${i.class}')") pair)} have the same host name; rename one of them"
    else if length list > (import ./topology.nix lib).maxNodes then
      throw "${toString file}: this model has ${toString (length list)} nodes; addresses 192.168.VLAN.1 to .253 allow ${toString (import ./topology.nix lib).maxNodes}"
    else form // {
      inherit file classes;
      instances = builtins.listToAttrs (map (i: { inherit (i) name; value = i; }) list);
    };
in
{
  inherit replicate reserved;

  # `model` is a file, or a value that people know by `file`; `args` what a model that is a function may ask for;
  # `arguments` the configurations by node and class name, used lazily.
  read = { model, args ? { }, arguments, ... }@given:
    let
      file =
        if isFile model then fileOf (if isString model then /. + model else model)
        else if isFile (given.file or null) then given.file
        else "the model";
      call = v: if isFunction v then call (v (if functionArgs v == { } then args else intersectAttrs (functionArgs v) args)) else v;
      value = if isFile model then readScoped file args arguments else call model;
    in
    fromForm file (forms file value);

  # What a network is called whose model does not say: by its file, or by the directory when the file's name is
  # one that every model could have.
  nameOf = file:
    let
      parts = builtins.filter (p: p != "") (splitString "/" (toString file));
      stem = lib.removeSuffix ".nix" (lib.last parts);
      general = elem stem [ "network" "diorama" "hive" "flake" "default" "model" "nodes" ];
      name = if general && length parts > 1 then lib.last (lib.init parts) else stem;
    in
    if match "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}" name != null then name else "network";
}
