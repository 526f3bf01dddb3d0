# A guest system with the interface of assets/nix/debian and nothing behind it: options that the tests set,
# and store files in place of systems, so that the network layer can be tested alone.
{ lib, lock, mirrors, system, coverage ? false }:
let
  inherit (lib) mkOption types;
  file = name: text: builtins.toFile name text;
  open = mkOption { type = types.anything; default = { }; };
  fake = name: derivation { inherit name system; builder = "/bin/sh"; args = [ "-c" "mkdir $out" ]; };
in
{
  pkgs = { inherit lib; htop = fake "htop"; };
  missingSets = sets: if lock == null then [ ] else lib.unique (builtins.filter (s: !(builtins.elem s lock.sets)) sets);
  baseModules = [
    ({ config, lib, ... }: {
      _file = "fake-debian";
      options = {
        assertions = mkOption { type = types.listOf types.unspecified; default = [ ]; };
        warnings = mkOption { type = types.listOf types.str; default = [ ]; };
        environment.systemPackages = mkOption { type = types.listOf types.package; default = [ ]; };
        boot.kernelParams = mkOption { type = types.listOf types.str; default = [ "quiet" ]; };
        networking = {
          hostName = mkOption { type = types.strMatching "[a-zA-Z0-9_-]+"; };
          defaultGateway = mkOption { type = types.nullOr types.str; default = null; };
          nameservers = mkOption { type = types.listOf types.str; default = [ ]; };
          domain = mkOption { type = types.nullOr types.str; default = null; };
          extraHosts = mkOption { type = types.lines; default = ""; };
          firewall.enable = mkOption { type = types.bool; default = false; };
          firewall.allowedTCPPorts = mkOption { type = types.listOf types.port; default = [ ]; };
          interfaces = mkOption {
            default = { };
            type = types.attrsOf (types.submodule {
              options = lib.genAttrs [ "ipv4" "ipv6" ] (_: {
                addresses = mkOption {
                  default = [ ];
                  type = types.listOf (types.submodule {
                    options.address = mkOption { type = types.str; };
                    options.prefixLength = mkOption { type = types.int; };
                  });
                };
              });
            });
          };
        };
        services = {
          httpd.enable = lib.mkEnableOption "httpd";
          httpd.extraSubservices = mkOption { type = types.listOf types.attrs; default = [ ]; };
          nginx.enable = lib.mkEnableOption "nginx";
          postgresql.enable = lib.mkEnableOption "postgresql";
          postgresql.enableTCPIP = lib.mkEnableOption "TCP";
          postgresql.authentication = mkOption { type = types.lines; default = ""; };
          nfs.enable = lib.mkEnableOption "NFS client";
          nfs.server.enable = lib.mkEnableOption "NFS server";
          nfs.server.exports = mkOption { type = types.lines; default = ""; };
        };
        fileSystems = mkOption {
          default = { };
          type = types.coercedTo (types.listOf types.attrs)
            (l: builtins.listToAttrs (map (f: { name = f.mountPoint; value = removeAttrs f [ "mountPoint" ]; }) l))
            (types.attrsOf (types.submodule ({ config, ... }: {
              options.device = mkOption { type = types.str; };
              options.fsType = mkOption { type = types.str; default = if builtins.match "[^/]+:/.*" config.device != null then "nfs" else "auto"; };
            })));
        };
        environment.etc = open;
        systemd.services = open;
        virtualisation.clone = mkOption { type = types.bool; default = false; };
        system.build = {
          toplevel = mkOption { type = types.package; };
          kernel = mkOption { type = types.package; };
          initrd = mkOption { type = types.package; };
          images = mkOption { type = types.listOf types.attrs; };
          requiredPackages = mkOption { type = types.listOf types.str; };
        };
      };
      config.system.build = {
        toplevel = builtins.deepSeq [ (removeAttrs config.networking [ "primaryIPAddress" "ipAddress" ]) config.services config.environment ] (fake "toplevel-${config.networking.hostName}");
        kernel = fake "kernel";
        initrd = fake "initrd";
        images = [{ file = "${fake "base"}/image"; serial = "layer0"; }];
        requiredPackages = [ "base" ] ++ lib.optional config.services.httpd.enable "apache2";
      };
    })
  ];
}
