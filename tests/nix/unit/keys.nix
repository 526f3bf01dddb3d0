# Secrets (deployment.keys, deployment.secrets): what the program is told of them, and where their texts are not.
{ lib, production, real, manifest, fails, ... }:
let
  inherit (builtins) attrNames filter map match toJSON;
  keys = import ../../../assets/nix/lib/keys.nix lib;
  of = deployment: (production { model.web = { inherit deployment; }; }).deployment.nodes.web.keys or null;
  key = value: (of { keys.k = value; }).k;
  plain = { path = "/run/keys/k"; user = "root"; group = "root"; permissions = "0600"; uploadAt = "pre-activation"; };
  machine = module: (real { web = module; }).web;
in
{
  "the three sources, and NixOps' plain text" = {
    expr = map key [ { text = "hunter2"; } "hunter2" { keyCommand = [ "pass" "show" "a b" ]; } { keyFile = "rel/file"; } { keyFile = /an/absolute/file; } ];
    expected = map (source: plain // { inherit source; }) [
      { kind = "text"; }
      { kind = "text"; }
      { kind = "command"; command = [ "pass" "show" "a b" ]; }
      { kind = "file"; path = "rel/file"; }
      { kind = "file"; path = "/an/absolute/file"; }
    ];
  };
  "where it goes and whose it is" = {
    expr = [
      (key { keyFile = "f"; destDir = "/var/lib/x"; name = "y"; user = "u"; group = "g"; permissions = "0440"; uploadAt = "post-activation"; })
      (key { keyFile = "f"; path = "/srv/z"; }).path
    ];
    expected = [
      { path = "/var/lib/x/y"; user = "u"; group = "g"; permissions = "0440"; uploadAt = "post-activation"; source = { kind = "file"; path = "f"; }; }
      "/srv/z"
    ];
  };
  "morph's secrets" = {
    expr = of { secrets.tls = { source = ./keys.nix; destination = "/var/lib/tls"; owner.user = "u"; action = [ "systemctl" "reload" "x" ]; mkDirs = false; }; };
    expected.tls = {
      path = "/var/lib/tls"; user = "u"; group = "root"; permissions = "0400"; uploadAt = "pre-activation"; mkDirs = false;
      action = [ "systemctl" "reload" "x" ]; source = { kind = "file"; path = toString ./keys.nix; };
    };
  };
  "a file is named and not copied" = {
    expr = match "${builtins.storeDir}/.*" (key { keyFile = ./keys.nix; }).source.path == null
      && builtins.getContext (toJSON (key { keyFile = ./keys.nix; })) == { };
    expected = true;
  };
  "a text is in no manifest and no deployment, and in the part of its own" =
    let model = { web.deployment.keys = { a.text = "hunter2"; b.keyFile = "f"; }; db = { }; }; in
    {
      expr = [
        (match ".*hunter2.*" (toJSON (manifest model)))
        (match ".*hunter2.*" (toJSON (production { inherit model; }).deployment))
        (keys.textsOf (real model))
        (attrNames (manifest model).nodes.web.keys)
      ];
      expected = [ null null { web.a = "hunter2"; } [ "a" "b" ] ];
    };
  "what cannot be is refused" = {
    expr = map (deployment: fails (production { model.web = { inherit deployment; }; }).deployment.nodes) [
      { keys.k = { }; }
      { keys.k = { text = "x"; keyFile = "y"; }; }
      { keys.k = { text = 5; }; }
      { keys."-k".text = "x"; }
      { keys."a/b".text = "x"; }
      { keys.k = { text = "x"; destDir = "run"; }; }
      { keys.k = { text = "x"; path = "/run/../etc/shadow"; }; }
      { keys.k = { text = "x"; path = "/run/a b"; }; }
      { keys.k = { text = "x"; path = "/nix/store/x"; }; }
      { keys.k = { text = "x"; permissions = "rw"; }; }
      { keys.k = { text = "x"; user = "$(id)"; }; }
      { keys.k.text = "x"; secrets.k = { source = "x"; destination = "/y"; }; }
      { keys.k.text = "x"; keys.l = { text = "x"; path = "/run/keys/k"; }; }
      { keys.k.text = "x"; keys.l.text = "y"; secrets.m = { source = "x"; destination = "/y"; }; }
    ];
    expected = [ true true true true true true true true true true true true true false ];
  };
  "other modules name the file, and units wait for it" = {
    expr =
      let c = machine ({ config, ... }: { deployment.keys.db.text = "x"; environment.etc.where.text = config.deployment.keys.db.path; }); in
      [
        c.environment.etc.where.text
        (filter (n: match "db-key.*" n != null) (attrNames c.systemd.services))
        (lib.mapAttrs (_: p: p.pathConfig) (lib.filterAttrs (n: _: match "db-key.*" n != null) c.systemd.paths))
        c.users.groups.keys.gid
        ((machine { }).users.groups ? keys)
      ];
    expected = [
      "/run/keys/db"
      [ "db-key" "db-key-gone" ]
      { db-key.PathExists = "/run/keys/db"; db-key-gone.PathChanged = "/run/keys/db"; }
      96
      false
    ];
  };
}
