# The machine's apt sources as an evaluation sees them by itself: for `nix-build` of a Nix file, where no program
# passes `mirrors`. Labels are those that the lock file uses.
#
# Invariant: reads nothing but the release files that apt has fetched already.
lib:
{ lists ? "/var/lib/apt/lists" }:
let
  inherit (builtins) attrNames filter map readDir readFile pathExists match head elemAt substring;
  files = if pathExists lists then filter (lib.hasSuffix "Release") (attrNames (readDir lists)) else [ ];
  # The first lines say who made it; the rest are checksums.
  field = text: name:
    let m = match ".*\n${name}: ([^\n]*)\n.*" (substring 0 800 text); in
    if m == null then null else head m;
  # apt writes a URI into a file name without its scheme, `/` as `_` and `_` as `%5f`.
  uriOf = file:
    let m = match "(.*)_dists_.*" file; in
    if m == null then null
    else "http://${builtins.replaceStrings [ "_" "%5f" "%3a" "%7e" ] [ "/" "_" ":" "~" ] (head m)}/";
  found = filter (r: r.uri != null) (map
    (file:
      let text = "\n" + readFile "${lists}/${file}"; in
      {
        uri = uriOf file;
        label = lib.findFirst (l: l != null) "repository" [ (field text "Label") (field text "Origin") (field text "Codename") ];
        codename = toString (field text "Codename");
      })
    files);
  add = acc: r:
    if builtins.elem r.uri (builtins.attrValues acc) then acc
    else if acc ? ${r.label} then acc // { "${r.label}/${r.codename}" = r.uri; }
    else acc // { ${r.label} = r.uri; };
in
{ repositories = builtins.foldl' add { } found; }
