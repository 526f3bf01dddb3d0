# Options that moved: aliases, renames and removals, as modules.
lib:
let
  inherit (builtins) concatStringsSep;
  inherit (lib) setAttrByPath attrByPath getAttrFromPath mkOption showOption mkIf mkMerge mkOverride types hasAttrByPath;
in
rec {
  mkAliasDefinitions = mkAliasAndWrapDefinitions lib.id;
  mkAliasAndWrapDefinitions = wrap: option: mkIf option.isDefined (wrap (mkMerge option.definitions));
  mkAliasAndWrapDefsWithPriority = wrap: option:
    mkIf option.isDefined (wrap (mkMerge (map (mkOverride option.highestPrio) option.definitions)));
  mkDerivedConfig = option: f:
    let prio = option.highestPrio or lib.defaultOverridePriority; in
    mkIf option.isDefined (mkMerge (map (v: mkOverride prio (f v)) option.definitions));

  mkRemovedOptionModule = from: replacement: { options, ... }: {
    options = setAttrByPath from (mkOption {
      visible = false;
      apply = _: throw "the option `${showOption from}' is gone; ${replacement}";
      description = "Gone: ${replacement}";
    });
    config.assertions =
      let opt = getAttrFromPath from options; in
      [{
        assertion = !opt.isDefined;
        message = "the option `${showOption from}', set in ${lib.showFiles opt.files}, is gone; ${replacement}";
      }];
  };

  mkRenamedOptionModule = from: to: doRename { inherit from to; visible = false; warn = true; };
  mkRenamedOptionModuleWith = { from, to, sinceRelease ? null }: mkRenamedOptionModule from to;
  mkAliasOptionModule = from: to: doRename { inherit from to; visible = true; warn = false; };
  mkAliasOptionModuleMD = mkAliasOptionModule;

  mkChangedOptionModule = from: to: changeFn: mkMergedOptionModule [ from ] to changeFn;
  mkMergedOptionModule = from: to: mergeFn: { config, options, ... }: {
    options = builtins.foldl' lib.recursiveUpdate { } (map
      (path: setAttrByPath path (mkOption { visible = false; default = "_mkMergedOptionModule"; }))
      from);
    config = mkIf (lib.any (p: getAttrFromPath p config != "_mkMergedOptionModule") from)
      (setAttrByPath to (mergeFn config));
  };

  doRename = { from, to, visible, warn, use ? lib.id, withPriority ? true, condition ? true }: { config, options, ... }:
    let
      fromOpt = getAttrFromPath from options;
      toType = (attrByPath to { } options).type or types.unspecified;
    in
    {
      options = setAttrByPath from (mkOption {
        inherit visible;
        description = "Alias of {option}`${showOption to}`.";
        apply = _: use (getAttrFromPath to config);
      } // { type = types.unspecified; });
      config = mkIf condition (mkMerge [
        (lib.optionalAttrs (warn && options ? warnings) {
          warnings = lib.optional fromOpt.isDefined
            "the option `${showOption from}', set in ${lib.showFiles fromOpt.files}, is called `${showOption to}' today";
        })
        (if withPriority
        then mkAliasAndWrapDefsWithPriority (setAttrByPath to) fromOpt
        else mkAliasAndWrapDefinitions (setAttrByPath to) fromOpt)
      ]);
    };
}
