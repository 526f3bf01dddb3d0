# The guest system `debian` as the network layer sees it.
lib:
{ backend, why, clone ? true }:
let
  inherit (builtins) map;
  topology = import ./topology.nix lib;
  text = p: "${p}";
in
{
  name = "debian";
  inherit why;
  inherit (backend) pkgs;
  inherit (backend) missingSets;
  # What making disks needs besides the machines' own packages.
  toolSetsOf = images: configs: lib.optional (images != [ ] || lib.any (c: c.virtualisation.useBootLoader) configs) backend.imageTools;
  missingBuildSets = backend.missingBuildSets or (_: [ ]);

  evalNode = { name, number, modules, specialArgs }: lib.evalModules {
    prefix = [{ node = name; }];
    specialArgs = { inherit (backend) pkgs; modulesPath = toString ../modules; utils = import ./utils.nix lib; } // specialArgs;
    modules = backend.baseModules ++ import ../modules/network-layer.nix ++ [
      ({ config, ... }: {
        _file = "the network layer";
        # A machine that starts from its own disk is what a host is, and has none of what opens a clone.
        virtualisation.clone = lib.mkDefault (clone && !config.virtualisation.useBootLoader);
        virtualisation.virtualNetwork = clone && (config.virtualisation.clone || config.virtualisation.useBootLoader);
        virtualisation.test.nodeName = name;
        virtualisation.test.nodeNumber = number;
      })
    ] ++ modules;
  };

  modulesForScript = references: [{ _file = "the test script"; virtualisation.test.scriptReferences = references; }];

  interfacesOf = _: config: config.virtualisation.allInterfaces;
  qemuOptionsOf = words: config: builtins.concatMap words config.virtualisation.qemu.options;

  bootOf = config: (if config.virtualisation.useBootLoader then {
    boot = {
      kind = "disk";
      image = "${config.system.build.image}/disk.qcow2";
      format = "qcow2";
    };
    toplevel = text config.system.build.toplevel;
    shell = "none";
  } else {
    boot = {
      kind = "direct";
      kernel = "${config.system.build.kernel}/kernel";
      initrd = "${config.system.build.initrd}/initrd";
      kernelParams = config.boot.kernelParams;
    };
    toplevel = text config.system.build.toplevel;
    drives = map
      (i: { file = text i.file; format = "raw"; readOnly = true; } // lib.optionalAttrs (i ? serial) { inherit (i) serial; })
      config.system.build.images;
    shell = "agent";
  }) // lib.optionalAttrs (config.virtualisation.diskSize != null && config.virtualisation.diskSize > 0) {
    stateDisk.size = config.virtualisation.diskSize;
  } // lib.optionalAttrs ((config.coverage.enable or false) && !config.virtualisation.useBootLoader) {
    coverage = { inherit (config.coverage) collect notes; };
  };
  pathsOf = config: if config.virtualisation.useBootLoader then map text [ config.system.build.image config.system.build.toplevel ] else
    map text ([ config.system.build.kernel config.system.build.initrd ] ++ map (i: i.file) config.system.build.images
      ++ lib.optionals (config.coverage.enable or false) config.coverage.notes
      ++ [ config.system.build.toplevel ]);
}
