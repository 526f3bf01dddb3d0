# The program that runs tests, as a file in the store.
#
#   import ./program.nix lib WHICH → { file; }
#
# WHICH is null, a path, or a name. Null means $DIORAMA, else `diorama` on the PATH. Builders run as users who may
# not read the homes of others, and the store keeps what a test was run by: so the file's content is copied.
lib: which:
let
  inherit (builtins) getEnv filter pathExists isPath isString;
  wanted =
    if which != null then which
    else if getEnv "DIORAMA" != "" then getEnv "DIORAMA"
    else "diorama";
  named = toString wanted;
  candidates = map (dir: "${dir}/${named}") (filter (dir: lib.hasPrefix "/" dir) (lib.splitString ":" (getEnv "PATH")));
  found =
    if lib.hasPrefix "/" named then lib.optionals (pathExists named) [ named ]
    else filter pathExists candidates;
  path =
    if found != [ ] then builtins.head found
    else throw ("the program ${lib.showValue 1 named}, which runs the tests, was not found"
      + (if lib.hasPrefix "/" named then "" else " on the PATH")
      + "; name its file with the environment variable DIORAMA or with `import .../nix { diorama = /path/to/diorama; }'");
in
{
  # A program that a derivation makes is its output already. Another's content is taken flat, for the path may be a
  # link; the builder makes it executable again.
  file =
    if isString wanted && builtins.hasContext wanted || which ? outPath then "${which}${lib.optionalString (which ? outPath) "/bin/diorama"}"
    else builtins.path { path = /. + path; name = "diorama"; recursive = false; };
}
