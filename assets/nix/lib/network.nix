# A network: every node's modules evaluated, each seeing the configurations of all.
#
# Invariant: a node's configuration is lazy in the others', so that machines may refer to each other in circles.
lib:
let
  inherit (builtins) attrNames mapAttrs map concatStringsSep filter length seq head;
  inherit (lib) imap1 listToAttrs nameValuePair optional;
  reader = import ./model.nix lib;
  topology = import ./topology.nix lib;
in
{
  inherit (reader) nameOf;

  # `system` is one of the guest systems: { name; why; evalNode = { name, number, modules, specialArgs }: evaluation; pkgs }.
  # `modulesFor` gives a node's further modules, by the names of all; `file` is what people know a value by.
  evalNetwork = { model, system, name ? null, file ? null, modulesFor ? (_: _: [ ]) }:
    let
      form = reader.read {
        inherit model file;
        args = {
          lib = system.lib or lib;
          inherit (system) pkgs;
          inherit (reader) replicate;
          diorama = { inherit (reader) replicate; lib = system.lib or lib; };
        };
        inherit arguments;
      };
      names = attrNames form.instances;
      numbers = listToAttrs (imap1 (i: n: nameValuePair n i) names);

      evaluations = mapAttrs
        (name: i: system.evalNode {
          inherit name;
          number = numbers.${name};
          modules = map (lib.setDefaultModuleLocation form.file) form.defaults
            ++ [ (lib.setDefaultModuleLocation i.file i.module) ]
            ++ modulesFor names name
            ++ (system.modulesForScript or (_: [ ])) scriptReferences;
          specialArgs = arguments // form.meta.specialArgs or { } // (form.meta.nodeSpecialArgs or { }).${name} or { } // {
            inherit name nodes;
            inherit (i) instance;
          };
        })
        form.instances;
      # What a module sees of another machine: its configuration, and the same again under `config`.
      nodes = mapAttrs (_: e: e.uncheckedConfig // { config = e.uncheckedConfig; inherit (e) options; }) evaluations;

      # What the test script names in the store, and the packages it speaks of: as under NixOS the machines have them.
      # For this it sees the machines without what is built of them, which would be made of it in turn.
      unbuilt = mapAttrs
        (_: node:
          let system = node.system // { build = mapAttrs (_: _: "/run/current-system") node.system.build; }; in
          node // { inherit system; config = node.config // { inherit system; }; })
        nodes;
      scriptReferences =
        let
          text = scriptOf unbuilt;
          paths = lib.unique (builtins.concatLists (filter builtins.isList
            (builtins.split "(${builtins.storeDir}/[0-9a-z]{32}-[0-9a-zA-Z+._?=-]+)" (builtins.unsafeDiscardStringContext text))));
        in
        if text == null || builtins.getContext text == { } then ""
        else builtins.appendContext (lib.concatMapStrings (path: "${path}\n") paths) (builtins.getContext text);
      scriptOf = nodes:
        let t = form.testScript; in
        if t == null then null
        else if lib.isFunction t then t { inherit nodes; }
        else if builtins.isPath t then builtins.readFile t
        else if builtins.isString t then t
        else throw "${toString form.file}: testScript must be text, a path or a function of { nodes, ... }, not ${lib.showValue 1 t}";
      arguments = nodes // mapAttrs (_: members: map (m: nodes.${m}) members) form.classes;

      failed = builtins.concatLists (lib.mapAttrsToList
        (name: e: map (a: "node ${name}: ${a.message}") (filter (a: !a.assertion) (e.config.assertions or [ ])))
        evaluations)
      ++ import ./conflicts.nix lib {
        configs = mapAttrs (_: e: e.config) evaluations;
        interfacesOf = name: system.interfacesOf numbers.${name};
      };
      warnings = builtins.concatLists (lib.mapAttrsToList
        (name: e: map (w: "node ${name}: ${w}") (e.config.warnings or [ ]))
        evaluations);
      sane = seq (builtins.foldl' (acc: e: seq e.checked acc) null (builtins.attrValues evaluations))
        (if failed == [ ] then lib.foldr (w: lib.warn w) true warnings
        else throw (concatStringsSep "\n" failed));
    in
    {
      inherit form names numbers evaluations nodes sane system;
      platformOf = _: system.platform or builtins.currentSystem;
      configs = mapAttrs (_: e: e.config) evaluations;
      name =
        if name != null then name
        else if form.name != null then form.name
        else reader.nameOf form.file;
      inherit (form) description;
      testScript = scriptOf nodes;
    };
}
