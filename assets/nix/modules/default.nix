# The modules of a machine of the bundled guest system, in no particular order.
[
  ./system.nix
  ./boot.nix
  ./etc.nix
  ./systemd.nix
  ./base-units.nix
  ./users.nix
  ./networking.nix
  ./filesystems.nix
  ./login.nix
  ./locale.nix
  ./clone.nix
]
