# The bundled guest system: Debian's packages as derivations, and the modules of a machine made of them.
#
#   import ./. { lib; lock; mirrors; system; coverage; } →
#     { pkgs; baseModules; missingSets; missingBuildSets; imageTools; }
#
# `lock` is the parsed lock file or null; `mirrors` is { repositories = { LABEL = "URI/"; }; names = FILE or
# null; }, what the machine's apt sources offer: where each repository is fetched from, and a JSON list of all
# package names. `pkgs.NAME` is the Debian package NAME. Every package is merged into the machine's /usr, so
# "${pkgs.htop}/bin/htop" is /usr/bin/htop; saying it anywhere in a machine's configuration puts the package
# into that machine. `coverage` is whether the machines count which lines of marked packages they execute.
{ lib, lock, mirrors ? { }, system ? builtins.currentSystem, coverage ? false }:
let
  architectures = { x86_64-linux = "amd64"; };
  architecture = architectures.${system} or (throw
    "the bundled guest system runs on x86_64-linux only, and this machine is ${system}");

  build = import ./build.nix { inherit system; };

  lockFile =
    if lock == null then { version = 1; inherit architecture; packages = { }; sets = [ ]; }
    else if lock.version or null != 1 then throw "the lock file has version ${toString (lock.version or "none")}; this program reads version 1"
    else if lock.architecture != architecture then throw "the lock file is for ${lock.architecture}, this machine is ${architecture}"
    else lock;

  packages = import ./packages.nix {
    inherit lib build system coverage;
    lock = lockFile;
    mirrors = { repositories = { }; names = null; } // (if builtins.isAttrs mirrors then mirrors else { });
  };
in
{
  inherit (packages) pkgs missingSets missingBuildSets imageTools;
  baseModules = [
    { _file = "the evaluation"; coverage.enable = lib.mkDefault coverage; }
    { _module.args = { diorama = { inherit build packages; inherit (packages) pkgs; }; }; }
  ] ++ import ../modules;
}
