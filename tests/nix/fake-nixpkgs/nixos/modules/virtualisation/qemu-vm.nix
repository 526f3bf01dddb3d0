# The options of nixpkgs' VM module, and a start script that shows what it was given.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.virtualisation;
in
{
  options.virtualisation = {
    memorySize = mkOption { type = types.ints.positive; default = 1024; };
    cores = mkOption { type = types.ints.positive; default = 1; };
    diskSize = mkOption { type = types.either (types.enum [ "auto" ]) types.ints.positive; default = 1024; };
    graphics = mkOption { type = types.bool; default = true; };
    restrictNetwork = mkOption { type = types.bool; default = false; };
    vlans = mkOption { type = types.listOf types.ints.unsigned; default = [ 1 ]; };
    forwardPorts = mkOption { type = types.listOf types.attrs; default = [ ]; };
    qemu.options = mkOption { type = types.listOf types.str; default = [ ]; };
    qemu.networkingOptions = mkOption { type = types.listOf types.str; default = [ ]; };
  };
  config.virtualisation.qemu.networkingOptions = [ "hostfwd" ];
  config.system.build.vm = derivation {
    name = "nixos-vm";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    command = lib.concatStringsSep " " (cfg.qemu.networkingOptions ++ cfg.qemu.options);
  };
}
