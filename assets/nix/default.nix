# What a Nix file of one's own imports:
#
#   let diorama = import .../assets/nix { }; in
#   rec {
#     vms = diorama.buildVirtualNetwork { network = { … }; };
#     test = diorama.runTests vms ''start_all(); …'';
#     report = diorama.makeReport test;
#   }
#
#   $ nix-build trac.nix -A vms && ./result/bin/run-vms
#   $ nix-build trac.nix -A report
#
# `lock` names the lock file of the model's Debian packages, by default FILE.lock.json beside the file FILE.nix that
# defines the network; `diorama build FILE.nix` writes it. `mirrors` says where packages come from that the Nix
# store does not have yet, by default the machine's apt sources.
#
# `diorama` is the program that runs the tests: its file, or a name to look for on the PATH. Without it, $DIORAMA
# says which. Its content becomes an input of every test, so a test runs again when the program, the model or the
# script has changed, and only then.
{ system ? builtins.currentSystem
, nixpkgs ? null
, mirrors ? import ./lib/apt.nix (import ./lib) { }
, diorama ? null
}:
let
  lib = import ./lib;
  reader = import ./lib/model.nix lib;

  # The file that a network was written in: itself, or where its first node is.
  fileOf = network:
    if builtins.isPath network then toString network
    else if builtins.isAttrs network && network != { } then
      let pos = builtins.unsafeGetAttrPos (builtins.head (builtins.attrNames network)) network; in
      if pos == null then null else pos.file
    else null;
  lockOf = network:
    let file = fileOf network; guess = lib.removeSuffix ".nix" (toString file) + ".lock.json"; in
    if file != null && builtins.pathExists guess then guess else null;

  program = import ./program.nix lib diorama;

  # The same machines, for any number of clones at once: a forward whose host port is taken moves to a free one.
  shared = manifest: manifest // {
    nodes = builtins.mapAttrs
      (_: node: node // { forwardPorts = map (forward: forward // { explicit = false; }) node.forwardPorts; })
      manifest.nodes;
  };
in
rec {
  inherit lib;
  inherit (reader) replicate;

  # All of an evaluation (docs/architecture.md, "The Nix side") of a network.
  evalNetwork = { network, name ? "network", lock ? lockOf network, ... }@args:
    import ./eval.nix ({ inherit system nixpkgs mirrors name lock; model = network; }
      // builtins.intersectAttrs { system = null; nixpkgs = null; mirrors = null; clone = null; infrastructure = null; distribution = null; image = null; coverage = null; internals = null; } args);

  # A derivation with bin/run-vms, which runs the network's clone. Everything that the machines boot is built with it.
  # `vms.override { coverage = true; }` is the same network, evaluated with other arguments.
  buildVirtualNetwork = { network, name ? "network", ... }@args:
    let
      evaluation = evalNetwork (args // { internals = true; });
      missing = lib.unique (builtins.concatLists evaluation.missingPackages);
      manifest =
        if evaluation.manifest != null then evaluation.manifest
        else throw "the lock file does not cover these Debian packages yet; `diorama build' on the file of this network (${toString (fileOf network)}) resolves them: ${lib.concatStringsSep " " missing}";
    in
    derivation
      {
        name = "vms-${name}";
        inherit system;
        diorama = toString (if diorama == null then "diorama" else diorama);
        builder = "/bin/sh";
        args = [ "-eu" ./run-vms.sh ];
        PATH = "/usr/bin:/bin";
        manifest = builtins.toJSON manifest;
        passAsFile = [ "manifest" ];
        preferLocalBuild = true;
      } // {
      inherit evaluation manifest;
      inherit (evaluation.internals) nodes testScript;
      networkName = name;
      override = new: buildVirtualNetwork (args // new);
    };

  # A derivation that runs a test script against a clone of the network. It fails when the script fails; its output
  # has the reports. The script is text, a path, or a function of { nodes, ... } to one of these.
  #
  #   runTests vms ''…''
  #   runTests { inherit vms; coverage = true; keepGoing = true; timeout = 600; } ./test.py
  runTests = first: script:
    let
      options = if first.type or null == "derivation" then { vms = first; } else first;
      known = [ "vms" "name" "coverage" "keepGoing" "timeout" ];
      stray = builtins.attrNames (removeAttrs options known);
      vms =
        if stray != [ ] then throw "runTests: `${builtins.head stray}' means nothing here; there are ${lib.concatStringsSep ", " known}"
        else if options.coverage or false then options.vms.override { coverage = true; }
        else options.vms;
      textOf = value:
        if lib.isFunction value then textOf (value { inherit (vms) nodes; })
        else if builtins.isPath value then builtins.readFile value
        else if builtins.isString value then value
        else throw "runTests: the script must be text, a path or a function of { nodes, ... }, not ${lib.showValue 1 value}";
      name = options.name or vms.networkName;
    in
    derivation
      {
        name = "test-${name}";
        inherit system;
        builder = "/bin/sh";
        args = [ "-eu" ./run-tests.sh ];
        PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
        LC_ALL = "C.UTF-8";
        program = program.file;
        manifest = builtins.toJSON (shared vms.manifest);
        testScript = textOf script;
        passAsFile = [ "manifest" "testScript" ];
        arguments = lib.optionals (options.keepGoing or false) [ "--keep-going" ]
          ++ lib.optionals (options ? timeout) [ "--timeout" (toString options.timeout) ];
        preferLocalBuild = true;
      } // { inherit vms; testName = name; };

  # A derivation with the report of a test, or of several in one: pages for people, JUnit XML for machines.
  makeReport = tests:
    let list = lib.toList tests; in
    derivation {
      name = "report-${lib.concatMapStringsSep "-" (test: test.testName or "test") list}";
      inherit system;
      builder = "/bin/sh";
      args = [ "-eu" ./make-report.sh ];
      PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
      LC_ALL = "C.UTF-8";
      program = program.file;
      tests = list;
      names = map (test: test.testName or "test") list;
      preferLocalBuild = true;
    };
}
