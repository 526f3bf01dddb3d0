# The modules of a machine of the bundled guest system, in no particular order.
[
  ./system.nix
  ./boot.nix
  ./etc.nix
  ./systemd.nix
  ./base-units.nix
  ./users.nix
  ./networking.nix
  ./firewall.nix
  ./filesystems.nix
  ./login.nix
  ./locale.nix
  ./clone.nix
  ./services/cron.nix
  ./services/haproxy.nix
  ./services/nginx.nix
]
