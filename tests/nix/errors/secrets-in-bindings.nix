# expect: read by way of the Nix store, which everybody can read
network = { web = { ... }: { deployment.keys.db = "hush"; }; };
