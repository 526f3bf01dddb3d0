# stdenv.mkDerivation: packages built from source, by the compiler of the Debian package set.
#
#   import ./stdenv.nix { lib; build; packages; system; coverage; } → { stdenv; addCoverageInstrumentation; }
#
# A build sees a root of its own that is made of locked Debian packages and nothing of the machine: the compiler is
# as much an input as the source is. `coverage` says whether instrumentation is wanted in this evaluation; what a
# model marks by `addCoverageInstrumentation` is built plainly when it is not.
#
# Invariant: instrumented and plain packages differ in their compiler alone, never in what the model says of them.
{ lib, build, packages, system, coverage ? false }:
let
  inherit (builtins) removeAttrs map filter isAttrs isList isBool isString;

  # What every build finds, besides what the package asks for.
  basePackages = [
    "bash" "binutils" "bzip2" "coreutils" "diffutils" "findutils" "g++" "gawk" "gcc" "grep" "gzip" "libc6-dev" "make"
    "patch" "sed" "tar" "xz-utils"
  ];

  namesOf = inputs: map (input: input.debianPackage or (throw "an input of a build from source must be a Debian package such as pkgs.pkg-config, not ${lib.showValue 1 input}")) inputs;

  # The root that a build sees. Packages' own programs run in it as they would on a Debian machine.
  environmentOf = roots: names:
    build.run "build-environment" ./builders/build-environment.sh {
      packages = map (name: packages.unpacked.${name}) names;
    };

  # Linked into what is instrumented: writes its counters when it is asked to.
  dumper = ./coverage/dump.c;

  environmentValue = value:
    if isBool value then (if value then "1" else "")
    else if isList value then lib.concatMapStringsSep " " (v: "${v}") value
    else value;

  make = { instrument }: args:
    let
      name = args.name or "${args.pname}-${args.version}";
      roots = packages.normal (basePackages ++ namesOf (args.nativeBuildInputs or [ ] ++ args.buildInputs or [ ]));
      names = packages.coveringSet roots;
      instrumented = instrument && coverage;
      # Libraries that a program was built with are in the machines that run it.
      markers = build.setMarker roots
        + lib.concatMapStrings (input: builtins.substring 0 0 "${input}") (args.buildInputs or [ ]);
      drv = derivation ({
        inherit system;
        outputs = [ "out" ] ++ lib.optional instrumented "notes";
        builder = "/bin/sh";
        args = [ "-eu" ./builders/stdenv.sh ];
        PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
        LC_ALL = "C";
        TZ = "UTC";
        store = builtins.storeDir;
        environment = environmentOf roots names;
        phases = ./builders/phases.sh;
      } // lib.optionalAttrs instrumented { inherit dumper; wrapper = ./coverage/compiler.sh; }
      // builtins.mapAttrs (_: environmentValue)
        (removeAttrs args [ "pname" "version" "meta" "passthru" "nativeBuildInputs" "buildInputs" ])
      // { name = lib.sanitizeDerivationName "${name}${lib.optionalString instrumented "+coverage"}"; });
      notes = {
        drv = builtins.unsafeDiscardStringContext drv.drvPath;
        notes = builtins.unsafeDiscardStringContext drv.notes.outPath;
        inherit name;
      };
      described = {
        type = "derivation";
        inherit name;
        pname = args.pname or name;
        version = args.version or "";
        meta = args.meta or { };
        sourcePackage = true;
        override = new: make { instrument = (new.stdenv or { inherit instrument; }).instrument or false; } (args // removeAttrs new [ "stdenv" ]);
        overrideAttrs = f: make { inherit instrument; } (args // (if lib.isFunction f then f args else f));
      };
    in
    (if names == null
    # Locked in the next round; until then only the wish is known.
    then described // { outPath = markers + "${builtins.storeDir}/not-locked-yet/${name}"; }
    else drv // described // {
      outPath = markers + lib.optionalString instrumented (build.notesMarker notes) + drv.outPath;
    }) // args.passthru or { };

  stdenvOf = attributes: {
    inherit (attributes) instrument;
    mkDerivation = args: make attributes (if lib.isFunction args then lib.fix args else args);
    isLinux = true;
    isx86_64 = true;
    hostPlatform = { isLinux = true; isx86_64 = true; inherit system; };
    cc = { isGNU = true; isClang = false; };
  };
in
{
  stdenv = stdenvOf { instrument = false; };

  # The paper's adapter: what this stdenv builds counts which of its lines are executed.
  addCoverageInstrumentation = _: stdenvOf { instrument = true; };
}
