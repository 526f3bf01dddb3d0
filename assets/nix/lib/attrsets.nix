# Functions on attribute sets, under nixpkgs' names.
let
  lists = import ./lists.nix;
  inherit (builtins) head tail length isAttrs;
in
rec {
  inherit (builtins) attrNames listToAttrs hasAttr getAttr mapAttrs removeAttrs intersectAttrs catAttrs
    zipAttrsWith attrValues;

  attrVals = names: set: map (x: set.${x}) names;
  nameValuePair = name: value: { inherit name value; };
  attrByPath = path: default: set:
    if path == [ ] then set
    else if isAttrs set && set ? ${head path} then attrByPath (tail path) default set.${head path}
    else default;
  hasAttrByPath = path: set:
    path == [ ] || (isAttrs set && set ? ${head path} && hasAttrByPath (tail path) set.${head path});
  setAttrByPath = path: value: lists.foldr (name: inner: { ${name} = inner; }) value path;
  getAttrFromPath = path: set:
    attrByPath path (throw "cannot find attribute '${builtins.concatStringsSep "." path}'") set;
  mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: set: foldAttrsUpdate (mapAttrsToList f set);
  foldAttrsUpdate = builtins.foldl' (a: b: a // b) { };
  mergeAttrsList = foldAttrsUpdate;
  filterAttrs = pred: set:
    removeAttrs set (builtins.filter (name: !(pred name set.${name})) (attrNames set));
  filterAttrsRecursive = pred: set:
    mapAttrs (_: v: if isAttrs v then filterAttrsRecursive pred v else v) (filterAttrs pred set);
  foldlAttrs = f: init: set: builtins.foldl' (acc: name: f acc name set.${name}) init (attrNames set);
  foldAttrs = op: nul:
    builtins.foldl' (acc: set: acc // mapAttrs (name: v: op v (acc.${name} or nul)) set) { };
  collect = pred: attrs:
    if pred attrs then [ attrs ]
    else if isAttrs attrs then builtins.concatMap (collect pred) (attrValues attrs)
    else [ ];
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);
  genAttrs' = xs: f: listToAttrs (map f xs);
  isDerivation = value: value.type or null == "derivation";
  toDerivation = path: {
    type = "derivation";
    name = builtins.baseNameOf path;
    outPath = builtins.storePath path;
    outputs = [ "out" ];
    outputName = "out";
  };
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond = cond: f: set:
    let
      recurse = path: mapAttrs (name: value:
        if isAttrs value && cond value then recurse (path ++ [ name ]) value else f (path ++ [ name ]) value);
    in
    recurse [ ] set;
  mapAttrsToListRecursive = f: set:
    let
      recurse = path: value:
        if isAttrs value then builtins.concatLists (mapAttrsToList (n: recurse (path ++ [ n ])) value)
        else [ (f path value) ];
    in
    recurse [ ] set;
  optionalAttrs = cond: set: if cond then set else { };
  zipAttrsWithNames = names: f: sets: listToAttrs (map
    (name: { inherit name; value = f name (builtins.catAttrs name sets); })
    names);
  zipAttrs = builtins.zipAttrsWith (_: v: v);
  recursiveUpdateUntil = pred: lhs: rhs:
    let
      f = path: builtins.zipAttrsWith (n: values:
        let here = path ++ [ n ]; in
        if length values == 1 || pred here (builtins.elemAt values 1) (head values)
        then head values
        else f here values);
    in
    f [ ] [ rhs lhs ];
  recursiveUpdate = lhs: rhs:
    if rhs == { } then lhs
    else lhs // mapAttrs
      (n: v: if isAttrs v && isAttrs (lhs.${n} or null) then recursiveUpdate lhs.${n} v else v)
      rhs;
  updateManyAttrsByPath = updates: set:
    builtins.foldl' (acc: u: recursiveUpdate acc (setAttrByPath u.path (u.update (attrByPath u.path null acc)))) set updates;
  matchAttrs = pattern: attrs:
    lists.all
      (n: attrs ? ${n} && (if isAttrs pattern.${n} then isAttrs attrs.${n} && matchAttrs pattern.${n} attrs.${n}
        else pattern.${n} == attrs.${n}))
      (attrNames pattern);
  overrideExisting = old: new: mapAttrs (name: value: new.${name} or value) old;
  recurseIntoAttrs = attrs: attrs // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = attrs: attrs // { recurseForDerivations = false; };
  getOutput = output: pkg:
    if pkg.outputSpecified or false then pkg else pkg.${output} or pkg.out or pkg;
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getMan = getOutput "man";
  cartesianProduct = attrsOfLists:
    builtins.foldl'
      (acc: name: builtins.concatMap (set: map (v: set // { ${name} = v; }) attrsOfLists.${name}) acc)
      [{ }]
      (attrNames attrsOfLists);
  unionOfDisjoint = x: y:
    let both = attrNames (intersectAttrs x y); in
    if both == [ ] then x // y else throw "unionOfDisjoint: both sets have ${builtins.concatStringsSep ", " both}";
}
