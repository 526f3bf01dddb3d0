//! Systems that a flake has evaluated, as Colmena's hive and as deploy-rs' nodes.

use crate::Systems;
use crate::run::Run;
use crate::world::World;

/// Where the program has unpacked its files, which the systems are made with.
fn assets(w: &World) -> String {
    let cache = w.path("XDG_CACHE_HOME/diorama");
    let entries = std::fs::read_dir(cache).unwrap().map(|e| e.unwrap().path());
    let newest = entries
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("assets-")))
        .max_by_key(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok());
    newest.unwrap().display().to_string()
}

/// A flake whose hosts' systems are those of a model of this test.
fn flake(w: &World, greeting: &str) -> String {
    let dir = w.path("farm");
    std::fs::create_dir_all(&dir).unwrap();
    let text = format!(
        r#"{{
  outputs = {{ self }}:
    let
      diorama = import {assets}/nix {{ }};
      lib = diorama.lib;
      infrastructure = {infrastructure};
      network = diorama.evalNetwork {{
        network = {model}/network.nix;
        lock = {model}/network.lock.json;
        inherit infrastructure;
        name = "shop";
        clone = false;
        internals = true;
      }};
      hosts = import infrastructure;
      toplevel = lib.mapAttrs (_: node: node.config.system.build.toplevel) network.internals.nodes;
      # As deploy-rs wraps a system: links to what is in it, and a program beside them.
      activatable = system: derivation {{
        name = "activatable";
        system = "x86_64-linux";
        builder = "/bin/sh";
        args = [ "-euc" "mkdir $out; ln -s ${{system}}/* $out/; : >$out/deploy-rs-activate" ];
        PATH = "/usr/bin:/bin";
      }};
    in
    {{
      colmenaHive = {{
        __schema = "v0.5";
        nodes = {{ }};
        inherit toplevel;
        deploymentConfig = lib.mapAttrs (_: host: {{
          targetHost = "127.0.0.1";
          targetUser = "admin";
          inherit (host) targetPort sshOptions;
          privilegeEscalationCommand = [ "sudo" "-H" "--" ];
          tags = [ "farm" ];
        }}) hosts;
        metaConfig.description = "A farm";
      }};
      deploy = {{
        sshUser = "admin";
        nodes = lib.mapAttrs (name: host: {{
          hostname = "127.0.0.1";
          sshOpts = host.sshOptions ++ [ "-p" (toString host.targetPort) ];
          profiles.system.path = activatable toplevel.${{name}};
        }}) hosts;
      }};
    }};
}}
"#,
        assets = assets(w),
        infrastructure = w.infrastructure(),
        model = w.path(&format!("models/{greeting}")).display(),
    );
    std::fs::write(dir.join("flake.nix"), text).unwrap();
    dir.display().to_string()
}

/// Both are deployed as they are; a clone of them is refused.
pub fn both(w: &World, s: &mut Systems) {
    for output in ["colmenaHive", "deploy"] {
        let model = format!("{}#{output}", flake(w, s.new.0));
        let args = ["deploy", &model, "--name", "shop", "--yes", "--json", "--patience", "10"];
        let mut command = w.command(&args);
        // The wrapper of this test is made with this machine's shell.
        command.env("NIX_CONFIG", "sandbox = false");
        let end = Run::start(command).end(0);
        end.outcomes(["switched"; 3]);
        let said = w.expect(1, &["eval", &model]);
        assert!(said.contains("evaluated already"), "{said}");
        s.swap();
        w.all_settled(s.old.0);
    }
    let dir = flake(w, s.old.0);
    let said = w.expect(0, &["plan", &dir, "--name", "shop", "--on", "@farm"]);
    assert_eq!(said.matches("unchanged").count(), 3, "{said}");
}
