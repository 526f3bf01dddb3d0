# What a machine is built into: package images, the system's own closure, kernel and initrd.
{ config, lib, diorama, ... }:
let
  inherit (diorama) build packages;
  inherit (lib) mkOption types;

  required = config.system.build.requiredPackages;
  baseClosure = packages.closureOf (packages.baseOf required);
  closure = packages.closureOf required;
  extra = lib.subtractLists baseClosure closure;

  named = value:
    if builtins.isString value then build.packagesIn value
    else if value ? debianPackage then [ value.debianPackage ]
    else build.packagesIn "${value}";

  # Everything below /etc and the activation script speak of packages through their strings' context.
  texts = lib.concatMap (entry: [ "${entry.source}" ]) (builtins.attrValues config.environment.etc)
    ++ [ config.system.activation ]
    ++ lib.optional config.virtualisation.clone config.virtualisation.test.scriptReferences;

  # Packages that were built from source, or by a function such as writeShellScriptBin: their commands are on the PATH.
  built = lib.unique (builtins.filter (value: !(builtins.isString value) && !(value ? debianPackage)) config.environment.systemPackages);
  path = build.run "system-path" ../debian/builders/path.sh { packages = built; };
  spoken = texts ++ map (value: "${value}") built;

  roots = packages.basePackages ++ [ config.boot.kernelPackage ] ++ config.system.extraPackages;
  chosen = lib.concatMap named config.environment.systemPackages ++ lib.concatMap build.packagesIn texts;

  kernelPackage = lib.findFirst (name: builtins.match "linux-image-[0-9].*" name != null)
    (throw "no kernel is among the packages of ${config.boot.kernelPackage}")
    baseClosure;

  layers = [ (packages.layer "base" baseClosure [ ] [ ]) ]
    ++ lib.optional (extra != [ ] || config.system.extraTrees != [ ]) (packages.layer "extra" extra baseClosure config.system.extraTrees);

  toplevel = build.linkTree "system-${config.networking.hostName}" ([
    { path = "etc"; source = config.system.build.etc; }
    { path = "activate"; source = config.system.build.activationScript; }
    { path = "modes"; source = config.system.build.etcModes; }
    { path = "kernel"; source = kernelVersion; }
    { path = "packages"; source = config.system.build.packageList; }
  ] ++ lib.optional (built != [ ]) { path = "sw"; source = path; }
    ++ lib.optional (config.virtualisation.clone && builtins.match ".*/.*" config.virtualisation.test.scriptReferences != null) {
    path = "test-script-references";
    source = build.writeText "test-script-references" config.virtualisation.test.scriptReferences;
  });
  # Where the kernel's modules are; the kernel itself stays out of the small closure.
  kernelVersion = "/usr/lib/modules/${lib.removePrefix "linux-image-" kernelPackage}";

  failed = map (entry: entry.message) (builtins.filter (entry: !entry.assertion) config.assertions);
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
      internal = true;
      description = "Conditions that must hold, as { assertion; message; }.";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
      internal = true;
      description = "Messages for people that do not stop anything.";
    };
    environment.systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.htop ]";
      description = "Packages whose commands are on the PATH: Debian's, which are in the machine's /usr, and packages built from source.";
    };
    system = {
      stateVersion = mkOption { type = types.str; default = "12"; description = "The release whose conventions stateful data follows."; };
      extraPackages = mkOption {
        type = types.listOf types.str;
        default = [ ];
        internal = true;
        description = "Names of Debian packages that the machine's services need.";
      };
      activation = mkOption {
        type = types.lines;
        default = "";
        description = "Shell commands run before systemd at every start, with all file systems of the system in place.";
      };
      standIns = mkOption {
        type = types.listOf types.str;
        default = [ ];
        internal = true;
        description = "Names of Debian packages that the services' packages depend on and that are left out, unless a package that the model itself asks for needs them.";
      };
      extraTrees = mkOption {
        type = types.listOf types.package;
        default = [ ];
        internal = true;
        description = "Trees that are merged into the package image beside the Debian packages.";
      };
      build = {
        requiredPackages = mkOption { type = types.listOf types.str; internal = true; description = "Names of the Debian packages that the machine needs."; };
        requiredBuildSets = mkOption { type = types.listOf types.unspecified; internal = true; description = "Lists of Debian packages that builds from source need."; };
        coverageNotes = mkOption { type = types.listOf types.unspecified; internal = true; description = "Instrumented packages, as { drv; notes; name; }."; };
        etc = mkOption { type = types.package; internal = true; description = "The tree below /etc."; };
        etcModes = mkOption { type = types.package; internal = true; description = "Files below /etc that are not 0444 and root's."; };
        activationScript = mkOption { type = types.package; internal = true; description = "The commands of system.activation."; };
        toplevel = mkOption { type = types.package; description = "The complete system."; };
        kernel = mkOption { type = types.package; description = "The kernel, as { outPath }; the file is `kernel` in it."; };
        initrd = mkOption { type = types.package; description = "The initial ramdisk; the file is `initrd` in it."; };
        packages = mkOption { type = types.listOf types.str; internal = true; description = "Names of all Debian packages that the machine has."; };
        packageList = mkOption { type = types.package; internal = true; description = "The same with versions, a line each, for who compares machines."; };
        kernelPackage = mkOption { type = types.str; internal = true; description = "The Debian package that holds the kernel."; };
        images = mkOption { type = types.listOf types.unspecified; description = "Disk images attached to the machine, as { file; serial; }."; };
      };
    };
  };

  config = {
    system.build = {
      # What is left out, and what may bring it back: see src/apt/lock.rs.
      requiredPackages =
        let
          leftOut = lib.subtractLists (roots ++ chosen) config.system.standIns;
          own = lib.subtractLists roots chosen;
        in
        packages.normal (roots ++ map (name: (if leftOut == [ ] then "" else "+") + name) own ++ map (name: "!${name}") leftOut);

      requiredBuildSets = lib.unique (lib.concatMap build.setsIn spoken);
      coverageNotes = lib.unique (lib.concatMap build.notesIn spoken);

      activationScript = build.writeScript "activate" ''
        #!/bin/sh
        ${config.system.activation}
      '';

      toplevel =
        if failed != [ ] then throw "\nFailed assertions:\n${lib.concatMapStrings (message: "- ${message}\n") failed}"
        else if config.virtualisation.clone then toplevel // { inherit layers; }
        else config.system.build.host;
      packages = closure;
      # Names alone: the packages themselves are in the images, not in the small closure.
      packageList = build.writeText "packages" (lib.concatMapStrings
        (name: "${packages.unpacked.${name}.name}\n")
        closure + lib.concatMapStrings (tree: "${tree.name}\n") config.system.extraTrees);
      kernelPackage = kernelPackage;

      kernel = build.run "kernel" ../debian/builders/kernel.sh {
        linux = packages.unpacked.${kernelPackage};
        libc = packages.unpacked.libc6;
        liblz4 = packages.unpacked.liblz4-1;
        lz4 = packages.unpacked.lz4;
      };

      initrd = build.run "initrd" ../debian/builders/initrd.sh {
        linux = packages.unpacked.${kernelPackage};
        busybox = packages.unpacked.busybox-static;
        init = if config.virtualisation.clone then ../../guest/init.sh else ../../guest/host-init.sh;
        newc = ../debian/builders/newc.pl;
        modules = config.boot.initrd.availableKernelModules;
      };

      images = lib.imap0 (number: layer: { file = "${layer}/image"; serial = "layer${toString number}"; }) layers
        ++ [
        {
          file = "${build.run "closure-${config.networking.hostName}" ../debian/builders/closure-image.sh {
            exportReferencesGraph = [ "graph" toplevel ];
            store = builtins.storeDir;
            uuid = build.uuidOf "${toplevel}";
          }}/image";
          serial = "closure";
        }
      ];
    };

    # A host's boot loader knows which system it starts.
    boot.kernelParams = lib.mkIf config.virtualisation.clone [
      "diorama.system=${builtins.unsafeDiscardStringContext "${toplevel}"}"
      "diorama.store=${builtins.storeDir}"
      "diorama.layers=${toString (builtins.length layers)}"
    ];
  };
}
