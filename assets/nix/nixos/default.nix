# The guest system `nixos`: nixpkgs evaluates the nodes, its VM module and test back door included.
#
# Invariant: nothing of nixpkgs is copied here; whatever version is given brings its own options and its own lib.
{ nixpkgs, system, why, lib, clone ? true }:
let
  inherit (builtins) map pathExists;
  topology = import ../lib/topology.nix lib;
  part = path:
    if pathExists (nixpkgs + "/${path}") then nixpkgs + "/${path}"
    else throw "${toString nixpkgs} has no ${path}: it is not a copy of nixpkgs";

  evalConfig = import (part "nixos/lib/eval-config.nix");
  # A host has neither the virtual machine's modules nor the tests' back door.
  vmModules = lib.optionals clone [ (part "nixos/modules/virtualisation/qemu-vm.nix") (part "nixos/modules/testing/test-instrumentation.nix") ];
  text = p: "${p}";

  interfacesOf = number: config: if !clone then [ ] else
    topology.interfaces number config.virtualisation.vlans (config.virtualisation.interfaces or { });
in
{
  name = "nixos";
  inherit why interfacesOf;
  lib = import (part "lib");
  pkgs = import nixpkgs { inherit system; };
  missingSets = _: [ ];

  evalNode = { name, number, modules, specialArgs }:
    let
      evaluation = evalConfig {
        inherit system;
        # `lib` and `pkgs` are nixpkgs' own; other names in the set are the nodes.
        specialArgs = removeAttrs specialArgs [ "lib" "pkgs" ];
        modules = vmModules ++ [
          (if clone then ./node.nix else ./host.nix)
          ({ lib, ... }: if clone then { virtualisation.test = { nodeName = name; nodeNumber = number; }; } else { networking.hostName = lib.mkDefault name; })
        ] ++ modules;
      };
    in
    {
      inherit (evaluation) config options;
      uncheckedConfig = evaluation.config;
      checked = true;
    };

  # They are in the start script already.
  qemuOptionsOf = _: _: [ ];

  bootOf = config: {
    boot = {
      kind = "script";
      script = "${config.system.build.vm}/bin/run-${config.system.name or config.networking.hostName}-vm";
    };
    toplevel = text config.system.build.toplevel;
    shell = "backdoor";
  } // (if builtins.isInt config.virtualisation.diskSize then { stateDisk.size = config.virtualisation.diskSize; } else { });
  pathsOf = config: [ (text config.system.build.vm) (text config.system.build.toplevel) ];
}
