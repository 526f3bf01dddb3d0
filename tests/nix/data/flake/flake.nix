# Outputs of every kind that a network can come from.
{
  description = "A farm";
  outputs = { self, ... }:
    let
      system = name: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; };
      machine = name: platform: {
        options = { };
        extendModules = _: { };
        config = { nixpkgs.hostPlatform.system = platform; system.build.toplevel = system "nixos-${name}"; };
      };
      node = { name, nodes, ... }: { deployment = { targetHost = "${name}.example.org"; tags = [ "all" ]; }; };
      hive = { meta.description = "A hive"; defaults.deployment.targetUser = "keeper"; web = node; db = node; };
    in
    {
      # A module that looks like a machine is one all the same.
      diorama = { nodes = { web = node; db = { options = { }; config = { }; }; }; testScript = "start_all()"; };
      whole = { db = { options = { }; config = { }; }; };
      colmena = hive;
      # As it must be in a flake: nixpkgs is a value.
      pinned = hive // { meta.nixpkgs = { path = <fake-nixpkgs>; overlays = [ (final: previous: { }) ]; config = { allowUnfree = true; }; }; };
      colmenaHive = {
        __schema = "v0.5";
        nodes = { web = machine "web" "x86_64-linux"; arm = machine "arm" "aarch64-linux"; };
        toplevel = { web = system "web"; arm = system "arm"; };
        deploymentConfig = {
          web = { targetHost = "w.example.org"; targetUser = null; targetPort = 2222; tags = [ "edge" ]; privilegeEscalationCommand = [ "doas" ]; buildOnTarget = true; };
          arm = { targetHost = "a.example.org"; targetUser = "keeper"; privilegeEscalationCommand = [ "doas" ]; keys.db = { name = "db"; text = "hush"; keyCommand = null; keyFile = null; destDir = "/run/keys"; path = "/run/keys/db"; user = "root"; group = "root"; permissions = "0600"; uploadAt = "pre-activation"; }; };
        };
        metaConfig.description = "A hive";
      };
      newer = { __schema = "v7"; };
      unpinned = hive // { meta.nixpkgs = /nixpkgs; };
      nixosConfigurations = { web = machine "web" "x86_64-linux"; };
      deploy = { sshUser = "admin"; nodes.web = { hostname = "w.example.org"; profiles.system.path = system "activatable"; }; };
      packages = 7;
      misspelt = { web = { servicez.nginx.enable = true; }; };
    };
}
