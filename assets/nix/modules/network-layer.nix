# The modules of the `debian` guest system that make a machine a node of a network; one line a file.
[
  ./deployment.nix
  ./virtualisation.nix
  ./addresses.nix
  ./figure-1.nix
]
