# expect: attribute 'htopp' missing
# expect: errors/missing-package.nix:4
{
  a = { pkgs, ... }: { environment.systemPackages = [ pkgs.htopp ]; };
}
