# The few options of NixOS that the tests of the seam set.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  addresses = mkOption { type = types.listOf types.attrs; default = [ ]; };
in
{
  options = {
    assertions = mkOption { type = types.listOf types.attrs; default = [ ]; };
    warnings = mkOption { type = types.listOf types.str; default = [ ]; };
    nixpkgs.overlays = mkOption { type = types.listOf types.unspecified; default = [ ]; };
    nixpkgs.config = mkOption { type = types.attrs; default = { }; };
    networking.hostName = mkOption { type = types.str; default = "nixos"; };
    networking.domain = mkOption { type = types.nullOr types.str; default = null; };
    networking.extraHosts = mkOption { type = types.lines; default = ""; };
    networking.firewall.enable = mkOption { type = types.bool; default = true; };
    networking.firewall.allowedTCPPorts = mkOption { type = types.listOf types.port; default = [ ]; };
    networking.interfaces = mkOption { default = { }; type = types.attrsOf (types.submodule { options.ipv4.addresses = addresses; options.ipv6.addresses = addresses; }); };
    networking.primaryIPAddress = mkOption { type = types.str; default = ""; internal = true; };
    services.udev.extraRules = mkOption { type = types.lines; default = ""; };
    services.nginx.enable = lib.mkEnableOption "nginx";
    services.nfs.server.enable = lib.mkEnableOption "NFS";
    services.nfs.server.exports = mkOption { type = types.lines; default = ""; };
    environment.systemPackages = mkOption { type = types.listOf types.package; default = [ ]; };
    system.name = mkOption { type = types.str; default = config.networking.hostName; };
    system.build = mkOption { type = types.lazyAttrsOf types.unspecified; default = { }; };
  };
  config.system.build.toplevel = derivation { name = "nixos-system"; system = builtins.currentSystem; builder = "/bin/sh"; packages = config.environment.systemPackages; };
}
