# args: --arg nixpkgs /.
# expect: / has no nixos/lib/eval-config.nix: it is not a copy of nixpkgs
{ web = { }; }
