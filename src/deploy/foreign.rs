//! deploy-rs' own description of hosts, as `nix eval --json .#deploy` prints it, as a deployment.
//!
//! Invariant: pure; what a deployment cannot mean is refused by name, not left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::{Deployment, Network, Target, VERSION};
use crate::error::{Error, Result};

/// What may stand at every level; the nearer one counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Generic {
    ssh_user: Option<String>,
    user: Option<String>,
    ssh_opts: Vec<String>,
    sudo: Option<String>,
    remote_build: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Root {
    nodes: BTreeMap<String, Node>,
    #[serde(flatten)]
    generic: Generic,
}

#[derive(Debug, Deserialize)]
struct Node {
    hostname: String,
    profiles: BTreeMap<String, Profile>,
    #[serde(flatten)]
    generic: Generic,
}

#[derive(Debug, Deserialize)]
struct Profile {
    path: String,
    #[serde(flatten)]
    generic: Generic,
}

/// Whether a text is deploy-rs' and not ours.
pub fn is_deploy_rs(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let value = value.get("deploy").unwrap_or(&value);
    let node = value.get("nodes").and_then(|n| n.as_object()).and_then(|n| n.values().next());
    value.get("version").is_none() && node.is_some_and(|n| n.get("profiles").is_some())
}

/// Reads it. `system` finds a system's platform and its own path from the path of its profile.
///
/// # Errors
/// Names the place and the cause of what is wrong or cannot be meant.
pub fn read(network: &str, text: &str, system: impl Fn(&str) -> (String, String)) -> Result<Deployment> {
    let mut value: serde_json::Value = serde_json::from_str(text)?;
    if let Some(inner) = value.get_mut("deploy") {
        value = inner.take();
    }
    let root: Root = serde_path_to_error::deserialize(value)
        .map_err(|e| Error::new(format!("deploy-rs' nodes, at {}: {}", e.path(), e.inner())))?;
    let mut nodes = BTreeMap::new();
    for (name, node) in root.nodes {
        if let Some(other) = node.profiles.keys().find(|p| *p != "system") {
            return Err(Error::new(format!(
                "nodes.{name}.profiles.{other} is no whole system, and only those are deployed here"
            ))
            .hint("leave it to deploy-rs, or make it a part of the system"));
        }
        let Some(profile) = node.profiles.into_values().next() else {
            return Err(Error::new(format!("nodes.{name}.profiles has no profile \"system\"")));
        };
        let levels = [&profile.generic, &node.generic, &root.generic];
        let first = |of: fn(&Generic) -> &Option<String>| levels.iter().find_map(|l| of(l).clone());
        let user = first(|g| &g.user).unwrap_or_else(|| "root".into());
        if user != "root" {
            return Err(Error::new(format!("nodes.{name}: a system is root's, and not {user}'s")));
        }
        let target_user = first(|g| &g.ssh_user).unwrap_or_else(|| "root".into());
        let sudo = match first(|g| &g.sudo) {
            _ if target_user == "root" => Vec::new(),
            // deploy-rs adds the user as the next word: `sudo -u root`.
            Some(words) if words.trim_end().ends_with(" -u") => {
                words.split_whitespace().map(str::to_owned).chain([user]).collect()
            }
            Some(words) => words.split_whitespace().map(str::to_owned).collect(),
            None => ["sudo", "-H", "--"].map(String::from).to_vec(),
        };
        if first_flag(&levels) {
            return Err(Error::new(format!("nodes.{name}: remoteBuild is set, and what deploy-rs' profiles lead to is known when they are built"))
                .hint("leave remoteBuild out, or deploy the flake's nixosConfigurations with --build-on-target"));
        }
        let (toplevel, platform) = system(&profile.path);
        let ssh_options: Vec<String> = levels.iter().flat_map(|l| l.ssh_opts.iter().cloned()).collect();
        let target = serde_json::json!({
            "hostName": node.hostname, "system": platform, "toplevel": toplevel,
            "targetUser": target_user, "sshOptions": ssh_options, "sudo": sudo,
        });
        nodes.insert(name, serde_json::from_value::<Target>(target)?);
    }
    Ok(Deployment {
        version: VERSION,
        network: Network { name: network.into(), system: "nixos".into() },
        nodes,
    })
}

/// Whether the nearest level that says it wants hosts to build.
fn first_flag(levels: &[&Generic]) -> bool {
    levels.iter().find_map(|l| l.remote_build).unwrap_or(false)
}

/// What deploy-rs' wrapper around a system leads to, and the system's platform; this machine's when it does not say.
pub fn look(path: &str) -> (String, String) {
    let inner = wrapped(Path::new(path), |p| super::model::is_store_path(&p.to_string_lossy()));
    let toplevel = inner.map_or_else(|| path.to_owned(), |p| p.to_string_lossy().into_owned());
    let platform = std::fs::read_to_string(format!("{path}/system")).unwrap_or_default();
    let platform = match platform.trim() {
        "" => format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        said => said.to_owned(),
    };
    (toplevel, platform)
}

/// The system in a wrapper, which has a program of deploy-rs' own beside links to all that is in the system. What these
/// links lead to is not asked: a system is made of links itself.
fn wrapped(path: &Path, is_store_path: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if !path.join("deploy-rs-activate").exists() {
        return None;
    }
    ["bin", "bin/switch-to-configuration", "activate", "etc"].into_iter().find_map(|part| {
        let to = std::fs::read_link(path.join(part)).ok()?;
        let system = Path::new(to.to_str()?.strip_suffix(part)?.strip_suffix('/')?).to_owned();
        (is_store_path(&system) && system.join("bin/switch-to-configuration").exists()).then_some(system)
    })
}

#[cfg(test)]
mod tests {
    use super::super::model::{self, tests::path};
    use super::*;

    fn text() -> String {
        let (web, db) = (path("activatable-web"), path("activatable-db"));
        format!(
            r#"{{"sshUser":"admin","sshOpts":["-A"],"magicRollback":true,"nodes":{{
              "web":{{"hostname":"web.example.org","profilesOrder":[],"sshOpts":["-p","2222"],
                "profiles":{{"system":{{"path":"{web}","user":"root","sshUser":"deploy","autoRollback":true}}}}}},
              "db":{{"hostname":"10.0.0.2","sudo":"doas -u","profiles":{{"system":{{"path":"{db}"}}}}}}}}}}"#
        )
    }

    #[test]
    fn its_nodes_become_hosts() {
        for text in [text(), format!("{{\"deploy\":{}}}", text())] {
            assert!(is_deploy_rs(&text));
            let d = read("shop", &text, |p| (p.replace("activatable-", ""), "x86_64-linux".into())).unwrap();
            let (web, db) = (&d.nodes["web"], &d.nodes["db"]);
            assert_eq!((web.host_name.as_str(), web.target_user.as_str()), ("web.example.org", "deploy"));
            assert_eq!((web.toplevel.clone(), web.ssh_options.join(" ")), (path("web"), "-p 2222 -A".into()));
            assert_eq!(web.sudo, ["sudo", "-H", "--"]);
            assert_eq!((db.target_user.as_str(), db.sudo.join(" ")), ("admin", "doas -u root".into()));
            model::parse(&serde_json::to_string(&d).unwrap()).unwrap();
        }
        assert!(!is_deploy_rs(&serde_json::to_string(&model::tests::network(&[("a", &[])])).unwrap()));
        assert!(!is_deploy_rs("nonsense"));
    }

    #[test]
    fn a_wrapper_leads_to_its_system() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        for d in ["switch/bin", "system/bin", "whole", "parts/bin"] {
            std::fs::create_dir_all(at(d)).unwrap();
        }
        // The program of a system is a store object by itself, with the same name in it.
        std::fs::write(at("switch/bin/switch-to-configuration"), "").unwrap();
        symlink(at("switch/bin/switch-to-configuration"), at("system/bin/switch-to-configuration")).unwrap();
        let wrapped = |p: &str| super::wrapped(&at(p), |_| true);
        assert_eq!(wrapped("system"), None, "it is no wrapper");
        symlink(at("system/bin"), at("whole/bin")).unwrap();
        symlink(at("system/bin/switch-to-configuration"), at("parts/bin/switch-to-configuration")).unwrap();
        for wrapper in ["whole", "parts"] {
            std::fs::write(at(wrapper).join("deploy-rs-activate"), "").unwrap();
            assert_eq!(wrapped(wrapper), Some(at("system")), "{wrapper}");
        }
        assert_eq!(super::wrapped(&at("whole"), |_| false), None, "no path of the store");
    }

    #[test]
    fn what_is_no_system_is_refused() {
        let refused = |from: &str, to: &str| {
            read("shop", &text().replace(from, to), |p| (p.into(), "x".into())).unwrap_err().to_string()
        };
        let said = refused("\"system\":{\"path\"", "\"home\":{\"path\"");
        assert!(said.contains("profiles.home is no whole system"), "{said}");
        let said = refused("\"user\":\"root\"", "\"user\":\"joe\"");
        assert!(said.contains("nodes.web: a system is root's"), "{said}");
        let said = refused("\"magicRollback\":true", "\"remoteBuild\":true");
        assert!(said.contains("remoteBuild"), "{said}");
        let said = refused("\"hostname\":\"10.0.0.2\",", "");
        assert!(said.contains("nodes.db") && said.contains("hostname"), "{said}");
    }
}
