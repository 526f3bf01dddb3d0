# The reference of a machine's options, as Markdown: what docs/reference/options.md holds.
#
#   nix-instantiate --eval --strict --json assets/nix/options.nix
let
  lib = import ./lib;
  inherit (builtins) map filter length concatStringsSep;
  pkgs = lib.genAttrs' [ "nginx" "haproxy" "dnsmasq-base" ] (name: lib.nameValuePair name { outPath = "/usr"; type = "derivation"; inherit name; });
  backend = import ./debian { inherit lib; lock = null; mirrors = { }; system = "x86_64-linux"; };
  evaluation = lib.evalModules {
    specialArgs = { pkgs = backend.pkgs // pkgs; nodes = { }; name = "machine"; modulesPath = ""; };
    modules = backend.baseModules ++ import ./modules/network-layer.nix;
  };
  shown = filter (o: !o.internal && o.visible && builtins.match "_module.*" o.name == null)
    (lib.optionAttrSetToDocList evaluation.options);

  oneLine = text: concatStringsSep " " (filter (w: w != "") (lib.splitString "\n" text));
  code = text: let t = oneLine text; in if lib.hasInfix "`" t then "`` ${t} ``" else "`${t}`";
  # A default that this machine's store would show is no default for readers.
  readable = text: if lib.hasInfix builtins.storeDir text then "…" else text;
  entry = o: concatStringsSep "\n" ([
    "### `${o.name}`"
    (if o.description == null then "" else lib.trim o.description)
    ""
    "Type: ${o.type}${lib.optionalString (o ? default && !o.readOnly) "  \nDefault: ${code (readable o.default)}"}${
      lib.optionalString (o ? example) "  \nExample: ${code (readable o.example)}"}${lib.optionalString o.readOnly "  \nRead-only"}"
    ""
  ]);
  groupOf = o: let l = lib.showLoc o.loc; in
    if builtins.head l == "services" && length l > 1 then "services.${builtins.elemAt l 1}" else builtins.head l;
  groups = builtins.groupBy groupOf shown;
in
''
  # Options of a machine

  What the modules of the bundled guest system `debian` know, under NixOS's names. This file is made from
  the modules themselves (`tests/nix/run --write-options`).

  ${toString (length shown)} options: ${concatStringsSep ", " (map (g: "[${g}](#${lib.replaceStrings [ "." ] [ "" ] (lib.toLower g)})") (builtins.attrNames groups))}

''
+ concatStringsSep "\n" (lib.mapAttrsToList (g: os: "## ${g}\n\n" + concatStringsSep "\n" (map entry os)) groups)
