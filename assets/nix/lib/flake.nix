# A flake as a model, or as a network whose systems its author's own nixpkgs has evaluated.
#
#   outputs.diorama               a model in any of the accepted forms
#   outputs.colmena               Colmena's hive, a model as well
#   outputs.colmenaHive           the same hive, evaluated (colmena.lib.makeHive)
#   outputs.deploy                deploy-rs' nodes
#   outputs.nixosConfigurations   machines
#
# `output` names another one, whose kind is seen by what it is.
#
# Invariant: finding the kind of an output evaluates no machine.
lib:
{ flake # the flake's reference, as Nix' own programs take it
, file # what people know it by
, output ? null
, clone ? true
}:
let
  inherit (builtins) attrNames attrValues any filter head isAttrs isFunction isString mapAttrs;
  errors = import ./errors.nix lib;
  drvsOf = import ./drvs-of.nix;
  outputs = let whole = builtins.getFlake flake; in whole.outputs or whole;
  quoted = lib.concatMapStringsSep ", " (n: "`${n}'");

  # What a clone can be made of, and what has systems already.
  models = [ "diorama" "colmena" ];
  evaluated = [ "colmenaHive" "deploy" "nixosConfigurations" ];
  # A hive that its author has evaluated is deployed as it is; its clone needs the hive itself.
  order = if clone then models else [ "diorama" "colmenaHive" "colmena" "deploy" "nixosConfigurations" ];
  found = filter (n: outputs ? ${n}) order;
  others = attrNames outputs;

  chosen =
    if output != null then
      if outputs ? ${output} then output
      else throw "${file}: this flake has no output `${output}'.${errors.didYouMean (errors.nearest output others)} It has ${if others == [ ] then "none at all" else quoted others}"
    else if found != [ ] then head found
    else if clone && any (n: outputs ? ${n}) evaluated then
      refuseClone (head (filter (n: outputs ? ${n}) evaluated))
    else throw "${file}: this flake has none of the outputs ${quoted (models ++ evaluated)}; name the one that has the model, as in .#NAME, or a model's file${lib.optionalString (others != [ ]) " (it has ${quoted others})"}";
  value = outputs.${chosen};

  refuseClone = name: throw "${file}: the systems of the output `${name}' are evaluated already, and a clone's are evaluated with a virtual machine's hardware; give the model itself, as the output `diorama' or, a hive, as `colmena'";

  # --- The kinds --------------------------------------------------------------------------------------------------

  # A module may have `options` and `config`, too.
  isMachine = v: isAttrs v && v ? config && v ? options && v ? extendModules;
  isDeployRs = v: isAttrs (v.nodes or null) && any (n: isAttrs n && n ? profiles) (attrValues v.nodes);
  kindOf = v:
    if isFunction v then "model"
    else if !isAttrs v then throw "${file}: the output `${chosen}' is no network but ${lib.showValue 1 v}"
    else if v ? __schema then "hive"
    else if isDeployRs v then "deploy-rs"
    else if v != { } && any isMachine (attrValues v) then "machines"
    else "model";

  # A hive in a flake brings its nixpkgs as a value.
  pinned = let meta = if isAttrs value then value.meta or { } else { }; in meta.nixpkgs or null;
  model =
    if pinned == null then { inherit value; nixpkgs = null; system = null; }
    else if !(isAttrs pinned && pinned ? path) then
      throw "${file}: in a flake, `${chosen}.meta.nixpkgs' must be a set of packages, import nixpkgs { system = \"x86_64-linux\"; }, not ${lib.showValue 1 pinned}"
    else {
      nixpkgs = pinned.path;
      system = pinned.stdenv.hostPlatform.system or null;
      value = value // {
        defaults = {
          imports = [ (value.defaults or { }) ];
          nixpkgs.overlays = lib.mkBefore (pinned.overlays or [ ]);
          nixpkgs.config = lib.mkOptionDefault (pinned.config or { });
        };
      };
    };

  hive =
    if !(value ? toplevel && value ? deploymentConfig) then
      throw "${file}: the output `${chosen}' is an evaluated hive of the form ${lib.showValue 1 value.__schema}, and says neither `toplevel' nor `deploymentConfig'; give the hive itself, .#colmena"
    else systems {
      toplevels = value.toplevel;
      deployments = value.deploymentConfig;
      platforms = mapAttrs (_: node: platformOf node) (value.nodes or { });
      description = value.metaConfig.description or null;
    };
  machines =
    let wrong = filter (n: !isMachine value.${n}) (attrNames value); in
    if wrong != [ ] then throw "${file}: `${chosen}.${head wrong}' is no machine"
    else systems {
      toplevels = mapAttrs (_: m: m.config.system.build.toplevel) value;
      deployments = mapAttrs (_: m: m.config.deployment or { }) value;
      platforms = mapAttrs (_: platformOf) value;
      description = null;
    };
  platformOf = machine:
    let p = machine.config.nixpkgs.hostPlatform or null; in
    machine.pkgs.stdenv.hostPlatform.system or (if isString p then p else p.system or builtins.currentSystem);

  # What deployment.nix wants of a network.
  systems = { toplevels, deployments, platforms, description }: {
    names = attrNames toplevels;
    configs = mapAttrs (n: toplevel: { system.build = { inherit toplevel; }; deployment = deployments.${n} or { }; }) toplevels;
    platformOf = n: platforms.${n} or builtins.currentSystem;
    system = { name = "nixos"; why = "the flake's output `${chosen}'"; };
    sane = true;
    inherit description;
  };

  # deploy-rs' wrappers are built like systems; what is in them is seen when they are there.
  deployRs = {
    nodes = value;
    why = "the flake's output `${chosen}'";
    realise = mapAttrs (_: node: lib.unique (lib.concatMap (p: drvsOf "${p.path}") (attrValues (node.profiles or { })))) value.nodes;
  };

  kind = kindOf value;
in
if kind == "model" then { inherit model; }
else if clone then refuseClone chosen
else if kind == "deploy-rs" then { inherit deployRs; }
else { systems = if kind == "hive" then hive else machines; }
