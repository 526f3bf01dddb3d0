# The distribution model: which machine of an infrastructure each node of a network goes to (Disnix' third model).
#
#   { infrastructure }: { NODE = [ infrastructure.MACHINE ]; }      a machine may also be written by its name, and without the list
#
# A node is a whole system, so it goes to exactly one machine, and a machine runs one node. Machines that no node goes to are left alone.
#
# Invariant: of a machine only its name is looked at.
lib:
let
  inherit (builtins) isAttrs isString isList isFunction isPath attrNames filter map mapAttrs head length concatStringsSep functionArgs intersectAttrs;
  inherit (lib) showValue;
  errors = import ./errors.nix lib;

  # What a machine is known by when the distribution has picked it.
  mark = "_diorama-machine";
  listOf = names: concatStringsSep " and " (map (n: "`${n}'") names);

  listed = { file, machines, infrastructure }: value:
    let
      offered = { infrastructure = mapAttrs (name: m: (if isAttrs m then m else { }) // { ${mark} = name; }) machines; inherit lib; };
      wanted = functionArgs value;
      strange = filter (n: !(offered ? ${n}) && !wanted.${n}) (attrNames wanted);
    in
    if isFunction value then
      if strange != [ ] then throw "${file}: a distribution model gets `infrastructure' and `lib', not `${head strange}'"
      else listed { inherit file machines infrastructure; } (value (if wanted == { } then offered else intersectAttrs wanted offered))
    else if !isAttrs value then throw "${file}: a distribution model must be a set of nodes such as { web = [ infrastructure.machine ]; }, not ${showValue 1 value}"
    else value;
in
{
  # Of files or sets: the machine's name by node. `machines` are the infrastructure's entries.
  read = { distribution, machines, infrastructure, names }:
    let
      isFile = isPath distribution || isString distribution;
      file = if isFile then toString distribution else "the distribution model";
      given = listed { inherit file machines infrastructure; } (if isFile then import (/. + toString distribution) else distribution);
      placeOf = name: let pos = builtins.unsafeGetAttrPos name given; in if pos == null then file else "${pos.file}:${toString pos.line}";

      machineOf = node: value:
        if isAttrs value && value ? ${mark} then value.${mark}
        else if !isString value then
          throw "${placeOf node}: `${node}' must be mapped to a machine of ${infrastructure}, such as [ infrastructure.${head (attrNames machines ++ [ "machine" ])} ], not ${showValue 1 value}"
        else if !(machines ? ${value}) then
          throw "${placeOf node}: `${node}' is mapped to `${value}', which is no machine of ${infrastructure}.${errors.didYouMean (errors.nearest value (attrNames machines))} It has ${listOf (attrNames machines)}."
        else value;

      one = node:
        let all = map (machineOf node) (if isList given.${node} then given.${node} else [ given.${node} ]); in
        if all == [ ] then
          throw "${placeOf node}: `${node}' is mapped to no machine; give it one of ${infrastructure}: ${listOf (attrNames machines)}"
        else if length all > 1 then
          throw "${placeOf node}: `${node}' is mapped to ${toString (length all)} machines, ${listOf all}; a node is one system on one machine, so leave one, and write another node for each of the others"
        else head all;

      strangers = filter (n: !(builtins.elem n names)) (attrNames given);
      without = filter (n: !(given ? ${n})) names;
      chosen = lib.genAttrs names one;
      shared = filter (nodes: length nodes > 1) (map (m: filter (n: chosen.${n} == m) names) (attrNames machines));
    in
    if strangers != [ ] then
      let n = head strangers; in
      throw "${placeOf n}: the distribution names `${n}', which is no node of the network.${errors.didYouMean (errors.nearest n names)} It has ${listOf names}."
    else if without != [ ] then
      throw "${file}: the distribution does not say where ${listOf without} ${if length without == 1 then "goes" else "go"}; map ${if length without == 1 then "it" else "each"} to a machine of ${infrastructure}, such as ${head without} = [ infrastructure.${head (attrNames machines ++ [ "machine" ])} ]"
    else if shared != [ ] then
      let nodes = head shared; in
      throw "${placeOf (lib.last nodes)}: ${listOf nodes} go to the same machine, `${chosen.${head nodes}}'; a machine runs one node's system, so give each a machine of its own, or make one node of them"
    else chosen;
}
