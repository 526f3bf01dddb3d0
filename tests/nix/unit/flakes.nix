# Flakes: which output is meant, and what each kind gives.
{ lib, fails, ... }:
let
  inherit (builtins) mapAttrs attrNames;
  at = dir: args: import ../../../assets/nix/eval.nix ({
    model = "/farm/flake.nix";
    flake = "path:${toString ../data}/${dir}";
    name = "farm";
    debian = import ../fake-debian.nix;
  } // args);
  evaluate = at "flake";
  production = args: evaluate ({ clone = false; } // args);
  hosts = given: mapAttrs (_: n: n.hostName) given.deployment.nodes;
  drvs = given: mapAttrs (_: list: map (d: builtins.match "/nix/store/[a-z0-9]{32}-(.*)" d) list) given.realise;
in
{
  "a clone is made of the first output that is a model" = {
    expr = let given = evaluate { }; in [ (attrNames given.manifest.nodes) given.manifest.testScript given.manifest.network.name ];
    expected = [ [ "db" "web" ] "start_all()" "farm" ];
  };
  "an output that is named" = {
    expr = let given = evaluate { output = "colmena"; }; in [ (attrNames given.manifest.nodes) (given.manifest.testScript or null) ];
    expected = [ [ "db" "web" ] null ];
  };
  "modules that look like machines are modules" = {
    expr = attrNames (evaluate { output = "whole"; }).manifest.nodes;
    expected = [ "db" ];
  };
  "production of the same output" = {
    expr = {
      diorama = hosts (production { });
      colmena = let given = production { output = "colmena"; }; in (hosts given) // { user = given.deployment.nodes.web.targetUser; };
      infrastructure = hosts (production { infrastructure = { web.hostName = "w"; db.hostName = "d"; }; });
    };
    expected = {
      diorama = { web = "web.example.org"; db = "db"; };
      colmena = { web = "web.example.org"; db = "db.example.org"; user = "keeper"; };
      infrastructure = { web = "w"; db = "d"; };
    };
  };
  "a hive's nixpkgs evaluates its nodes" = {
    expr = let given = evaluate { output = "pinned"; }; in [ given.system given.manifest.nodes.web.boot.kind ];
    expected = [ { name = "nixos"; why = "the flake's hive brings nixpkgs"; } "script" ];
  };
  "a hive that is evaluated is deployed as it is" = {
    expr =
      let given = production { output = "colmenaHive"; }; of = n: [ n.hostName n.system n.targetUser n.targetPort n.sudo n.tags n.buildOnTarget ]; in
      [ (mapAttrs (_: of) given.deployment.nodes) (drvs given) given.deployment.network given.system.name ];
    expected = [
      {
        web = [ "w.example.org" "x86_64-linux" "root" 2222 [ ] [ "edge" ] true ];
        arm = [ "a.example.org" "aarch64-linux" "keeper" null [ "doas" ] [ ] false ];
      }
      { web = [ [ "web.drv" ] ]; arm = [ [ "arm.drv" ] ]; }
      { name = "farm"; system = "nixos"; description = "A hive"; }
      "nixos"
    ];
  };
  "its secrets are carried, and their texts apart" = {
    expr = let given = production { output = "colmenaHive"; }; in [ given.deployment.nodes.arm.keys.db.source (given.deployment.nodes.web.keys or null) given.secrets ];
    expected = [ { kind = "text"; } null { arm.db = "hush"; } ];
  };
  "an infrastructure model says where evaluated systems go" = {
    expr = (production { output = "colmenaHive"; infrastructure = { web = { hostName = "w2"; tags = [ "staging" ]; }; arm = { hostName = "a2"; system = "aarch64-linux"; }; }; }).deployment.nodes.web.hostName;
    expected = "w2";
  };
  "but cannot add to them, nor change their platform" = {
    expr = map (arm: fails (production { output = "colmenaHive"; infrastructure = { web = { }; inherit arm; }; }).deployment) [ { module = { }; } { system = "x86_64-linux"; } ];
    expected = [ true true ];
  };
  "configurations of machines" = {
    expr = let given = production { output = "nixosConfigurations"; }; in [ (hosts given) (drvs given) ];
    expected = [ { web = "web"; } { web = [ [ "nixos-web.drv" ] ]; } ];
  };
  "deploy-rs' nodes" = {
    expr = let given = production { output = "deploy"; }; in [ given.deployRs.sshUser given.deployRs.nodes.web.hostname (drvs given) (given.deployment or null) ];
    expected = [ "admin" "w.example.org" { web = [ [ "activatable.drv" ] ]; } null ];
  };
  "what is no network, what has no clone, what is not there" = {
    expr = map (args: fails (let given = evaluate args; in [ given.manifest (given.deployment or null) ])) [
      { output = "packages"; }
      { output = "none"; }
      { output = "deploy"; }
      { output = "colmenaHive"; }
      { output = "misspelt"; }
      { output = "unpinned"; }
      { clone = false; output = "newer"; }
    ] ++ [ (fails (at "no-network" { }).manifest) ];
    expected = [ true true true true true true true true ];
  };
}
