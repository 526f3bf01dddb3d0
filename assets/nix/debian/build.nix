# Small builders: derivations run by the host's /bin/sh with the host's standard tools.
#
# A builder writes only below $out and its own temporary directory, and its output is a function of
# its inputs alone: time stamps, owners and the order of directory entries never enter it.
{ system }:
let
  environment = {
    PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
    LC_ALL = "C";
    TZ = "UTC";
    preferLocalBuild = true;
  };

  markerName = "debian-package-";
  setMarkerName = "debian-build-set-";
  notesMarkerName = "coverage-notes-";

  # The part of a string's context that tells something to the modules, on an empty string.
  markersOf = text:
    let context = builtins.getContext text; in
    builtins.appendContext ""
      (removeAttrs context (builtins.filter (path: !isMarker path) (builtins.attrNames context)));

  wordOf = kind: path:
    let found = builtins.match ".*/[0-9a-z]{32}-${kind}(.*)" path;
    in if found == null then null else builtins.head found;
  packageOf = wordOf markerName;
  isMarker = path: builtins.any (kind: wordOf kind path != null) [ markerName setMarkerName notesMarkerName ];

  # A marker with a content, and the contents of a string's markers of a kind.
  marker = kind: value:
    let text = builtins.toJSON value; in
    builtins.substring 0 0 "${builtins.toFile "${kind}${builtins.substring 0 8 (builtins.hashString "sha256" text)}" text}";
  contentsIn = kind: text:
    map (path: builtins.fromJSON (builtins.readFile path))
      (builtins.filter (path: wordOf kind path != null) (builtins.attrNames (builtins.getContext text)));

  # A derivation whose path still tells which Debian packages its text spoke of.
  telling = text: drv: drv // { outPath = markersOf text + drv.outPath; };
in
rec {
  # "/usr" with the knowledge that the package NAME is needed: what "${pkgs.NAME}" becomes.
  usrOf = name: builtins.substring 0 0 "${builtins.toFile "${markerName}${name}" ""}" + "/usr";

  # The Debian packages that a string speaks of, through "${pkgs.NAME}".
  packagesIn = text:
    builtins.filter (name: name != null) (map packageOf (builtins.attrNames (builtins.getContext text)));

  # Knowledge that a build from source needs these Debian packages, and which a string has.
  setMarker = marker setMarkerName;
  setsIn = contentsIn setMarkerName;

  # Knowledge of what the counters of an instrumented package mean: { drv; notes; name; }.
  notesMarker = marker notesMarkerName;
  notesIn = contentsIn notesMarkerName;

  # An image's identity, which follows from what it is made of and never from chance.
  uuidOf = text:
    let part = builtins.substring; hash = builtins.hashString "sha256" (builtins.unsafeDiscardStringContext text); in
    "${part 0 8 hash}-${part 8 4 hash}-${part 12 4 hash}-${part 16 4 hash}-${part 20 12 hash}";

  # Runs a script file with `sh -eu`; the attributes become environment variables.
  run = name: script: attrs:
    derivation ({
      inherit name system;
      builder = "/bin/sh";
      args = [ "-eu" script ];
    } // environment // attrs);

  # nixpkgs' function of that name, with the host's tools in place of a stdenv's.
  runCommand = name: env: text:
    telling text (derivation ({
      inherit name system;
      builder = "/bin/sh";
      args = [ "-eu" "-c" text ];
    } // environment // env));

  writeTextFile = { name, text, executable ? false, destination ? "" }:
    telling text (derivation ({
      inherit name system text destination;
      builder = "/bin/sh";
      args = [ "-eu" (if executable then ./builders/write-executable.sh else ./builders/write-text.sh) ];
      passAsFile = [ "text" ];
    } // environment));

  writeText = name: text: writeTextFile { inherit name text; };

  writeTextDir = path: text: writeTextFile { name = baseNameOf path; inherit text; destination = "/${path}"; };

  writeScript = name: text: writeTextFile { inherit name text; executable = true; };

  writeShellScript = name: text: writeScript name "#!/bin/bash\n${text}";

  writeScriptBin = name: text:
    writeTextFile { inherit name text; executable = true; destination = "/bin/${name}"; };

  writeShellScriptBin = name: text: writeScriptBin name "#!/bin/bash\n${text}";

  # A tree of symbolic links, or of copies where asked: [ { path; source; copy ? false; } ]. Sources are kept
  # alive through the list's context.
  linkTree = name: entries:
    derivation ({
      inherit name system;
      builder = "/bin/sh";
      args = [ "-eu" ./builders/link-tree.sh ];
      entries = builtins.concatStringsSep "" (map (entry: "${if entry.copy or false then "copy" else "link"}\t${entry.path}\t${entry.source}\n") entries);
      passAsFile = [ "entries" ];
    } // environment);
}
