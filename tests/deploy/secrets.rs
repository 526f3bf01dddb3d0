//! Secrets on hosts: there before the units that read them, taken back with the system, and nowhere else.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Systems;
use crate::cuts::lost_at_the_last;
use crate::run::Run;
use crate::world::{HOSTS, OTHER, VICTIM, World, words};

/// What the model says in the clear; no other file, process or message may have it in it.
const SECRET: &str = "correct-horse-battery-staple";

/// What every node of the model has beside the others'.
const OPTIONS: &str = r#"virtualisation.vlans = [ 1 ];
    deployment.keys.password = { text = "SECRET"; user = "admin"; group = "keys"; permissions = "0440"; };
    deployment.keys.token = { keyFile = "token"; destDir = "/var/lib/tokens"; uploadAt = "post-activation"; };
    deployment.keys.printed.keyCommand = [ "sh" "-c" "cat printed" ];
    systemd.services.reader = {
      wantedBy = [ "multi-user.target" ];
      requires = [ "password-key.service" ];
      after = [ "password-key.service" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      script = "{ stat -c %U:%G:%a /run/keys/password; sha256sum < /run/keys/password; } > /var/lib/reader";
    };
    systemd.paths.follower = { wantedBy = [ "paths.target" ]; pathConfig.PathChanged = "/run/keys/password"; };
    systemd.services.follower = { script = "sha256sum < /run/keys/password > /var/lib/followed"; };"#;

/// What a host is asked for its secrets, a line each.
const ASK: &str = "stat -c %U:%G:%a /run/keys /run/keys/password /var/lib/tokens/token
cat /run/keys/password /var/lib/tokens/token /run/keys/printed";

fn hash(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes the model, with the files that its keys name.
fn model(w: &World) -> String {
    let file = w.model("keys", false);
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("virtualisation.vlans = [ 1 ];", &OPTIONS.replace("SECRET", SECRET));
    fs::write(&file, text).unwrap();
    let dir = Path::new(&file).parent().unwrap();
    fs::write(dir.join("token"), "token one\n").unwrap();
    fs::write(dir.join("printed"), "printed\n").unwrap();
    file
}

/// Systems that are built, with secrets from files that the scenario changes.
fn from_files(w: &World, toplevel: impl Fn(&str) -> Value) -> Value {
    let mut all = w.deployment(toplevel);
    all["nodes"][VICTIM]["keys"] = json!({
        "password": {
            "path": "/run/keys/password", "user": "admin", "group": "keys", "permissions": "0440",
            "source": { "kind": "file", "path": "secret" },
        },
        "token": {
            "path": "/var/lib/tokens/token", "uploadAt": "post-activation",
            "source": { "kind": "file", "path": "token" },
        },
    });
    all
}

/// The command lines and environments of all processes, and the files that attempts have.
const LOOK: &str = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; ls -Al /run/diorama/*/keys 2>&1; true";

fn no_secret(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what}: {text}");
}

pub fn secrets(w: &World, s: &mut Systems) {
    let model = model(w);
    let infra = w.infrastructure();
    w.on(VICTIM, "rm -rf /var/lib/reader /var/lib/followed /var/lib/tokens; touch /var/lib/stamp; sleep 1.1");
    let stamp = w.path("stamp");
    fs::write(&stamp, "").unwrap();

    // They are there before the units start, and travel unseen.
    w.on(VICTIM, "echo keys >/var/lib/hold");
    let args = ["deploy", &model, "-i", &infra, "--name", "shop", "--yes", "--json", "--patience", "20"];
    let mut run = Run::start(w.command(&args));
    run.phase(VICTIM, "activating");
    w.wait("the reader", || w.ssh(VICTIM, "systemctl is-active reader.service"));
    no_secret("the host's processes", &w.on(VICTIM, LOOK));
    no_secret("this machine's processes", &words(&Command::new("sh").args(["-c", LOOK]).output().unwrap()));
    w.on(VICTIM, "rm /var/lib/hold");
    let end = run.end(0);
    end.outcomes(["switched"; 3]);
    no_secret("the events", &format!("{end:?}"));
    w.all_settled("keys");
    let want = format!("root:keys:750\nadmin:keys:440\nroot:root:600\n{SECRET}token one\nprinted");
    assert_eq!(w.on(VICTIM, ASK), want);
    assert_eq!(w.on(VICTIM, "cat /var/lib/reader"), format!("admin:keys:440\n{}  -", hash(SECRET)));
    assert_eq!(w.on(VICTIM, "systemctl is-active password-key.service"), "active");
    let left = "find /nix/store -maxdepth 1 -cnewer /var/lib/stamp -exec grep -rlF WORD {} +
        grep -rlF WORD /var/lib/diorama /run/diorama /etc/static/ /var/log 2>/dev/null; ls -d /run/diorama/*/keys 2>/dev/null; true";
    assert_eq!(w.on(VICTIM, &left.replace("WORD", SECRET)), "");
    // What was evaluated and built here since, and what is remembered of it.
    let here = format!(
        "find /nix/store -maxdepth 1 -cnewer {} -exec grep -rlF {SECRET} {{}} +; grep -rlF {SECRET} {}; true",
        stamp.display(),
        w.path("XDG_STATE_HOME").display()
    );
    assert_eq!(words(&Command::new("sh").args(["-c", &here]).output().unwrap()), "");

    fs::write(w.path("secret"), SECRET).unwrap();
    fs::write(w.path("token"), "token one\n").unwrap();
    let same = from_files(w, |name| w.host(name).unwrap().current.into());
    w.begin(&same, &[]).end(0);

    // A secret alone is deployed, and whoever has not asked for it is left alone.
    let began = "systemctl show -p InvocationID --value reader.service hello.service";
    let before = w.on(VICTIM, began);
    fs::write(w.path("secret"), "another").unwrap();
    // By a user whose password sudo asks for on the same standard input.
    let mut by_keeper = same.clone();
    by_keeper["nodes"][VICTIM]["targetUser"] = "keeper".into();
    by_keeper["nodes"][VICTIM]["sudo"] = json!(["sudo", "-H", "--"]);
    let end = w.begin(&by_keeper, &["--ask-sudo-password"]).end(0);
    end.outcomes(["unchanged", "switched", "unchanged"]);
    let plan = end.plan(VICTIM);
    assert_eq!(plan["keys"], json!([{ "name": "password", "what": "changes" }]));
    assert!(!format!("{end:?}").contains(&hash("another")), "{end:?}");
    assert_eq!(w.on(VICTIM, "cat /run/keys/password"), "another");
    assert_eq!(w.on(VICTIM, began), before);
    w.wait("the follower", || {
        w.ssh(VICTIM, "cat /var/lib/followed").filter(|said| said.starts_with(&hash("another")))
    });
    w.begin(&same, &[]).end(0);

    // A unit that fails takes the old one back, and what was new goes.
    w.on(VICTIM, &format!("echo {} >/var/lib/fail", s.new.0));
    let mut new = from_files(w, |name| s.new.1["nodes"][name]["toplevel"].clone());
    fs::write(w.path("secret"), "a third").unwrap();
    fs::write(w.path("token"), "token two\n").unwrap();
    new["nodes"][VICTIM]["keys"]["extra"] =
        json!({ "path": "/var/lib/extra/deep/key", "source": { "kind": "file", "path": "token" } });
    let old = "root:keys:750\nadmin:keys:440\nroot:root:600\nanothertoken one\nprinted";
    let is_old = |what: &str| {
        w.all_settled("keys");
        assert_eq!(w.on(VICTIM, ASK), old, "{what}");
        assert_eq!(w.on(VICTIM, "ls -d /var/lib/extra /run/diorama/*/keys 2>/dev/null; true"), "", "{what}");
    };
    let end = w.begin(&new, &[]).end(5);
    end.outcomes(["rolled-back"; 3]);
    is_old("a failed unit");
    w.on(VICTIM, "rm /var/lib/fail");

    // So does every other way back.
    let mut nobody = new.clone();
    nobody["nodes"][VICTIM]["keys"]["token"]["user"] = "nobody-of-this-name".into();
    let end = w.begin(&nobody, &[]).end(5);
    assert!(end.outcome(VICTIM).1.contains("there is no user nobody-of-this-name"), "{end:?}");
    is_old("a missing user");

    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&new, &[]);
    run.phase(VICTIM, "checking");
    assert_eq!(w.on(VICTIM, "cat /run/keys/password /var/lib/extra/deep/key"), "a thirdtoken two");
    w.on(VICTIM, "systemctl kill -s KILL 'diorama-deploy-*'");
    run.end(5).outcomes(["rolled-back"; 3]);
    is_old("a killed supervisor");

    let mut run = w.begin(&new, &[]);
    run.phase(VICTIM, "checking");
    run.kill();
    is_old("silence");
    w.on(VICTIM, "rm /var/lib/sick");

    // On a host that was let go already, too, when another is lost before it is.
    let mut let_go = new.clone();
    let_go["nodes"][OTHER]["keys"] = new["nodes"][VICTIM]["keys"].clone();
    let_go["nodes"][VICTIM].as_object_mut().unwrap().remove("keys");
    let before = w.on(OTHER, ASK);
    lost_at_the_last(w, &let_go, "keys");
    w.all_settled("keys");
    assert_eq!(w.on(OTHER, ASK), before);
    assert_eq!(w.on(OTHER, "ls -d /var/lib/extra /run/diorama/*/keys 2>/dev/null; true"), "");

    // Another owner is a change; a link is replaced and not followed.
    w.on(
        VICTIM,
        "chmod 600 /run/keys/password; cd /var/lib/tokens; cp token /root/led; ln -sf /root/led token",
    );
    fs::write(w.path("secret"), "another").unwrap();
    fs::write(w.path("token"), "token one\n").unwrap();
    let end = w.begin(&same, &[]).end(0);
    let want = json!([{ "name": "password", "what": "access" }, { "name": "token", "what": "changes" }]);
    assert_eq!(end.plan(VICTIM)["keys"], want);
    is_old("links and owners");
    assert_eq!(w.on(VICTIM, "cat /root/led; stat -c %a /var/lib/tokens/token"), "token one\n600");

    // What was below /run is gone with a start; the plan says so, and what waits for it goes on.
    w.on(VICTIM, "sync; rm /var/lib/reader");
    let boot = w.on(VICTIM, "cat /proc/sys/kernel/random/boot_id");
    w.ssh(VICTIM, "systemctl reboot");
    w.wait("a new start", || w.ssh(VICTIM, "cat /proc/sys/kernel/random/boot_id").filter(|now| *now != boot));
    assert_eq!(
        w.on(VICTIM, "systemctl is-active reader.service; ls /run/keys/password 2>/dev/null; true"),
        "inactive"
    );
    let end = w.begin(&same, &[]).end(0);
    assert_eq!(end.plan(VICTIM)["keys"], json!([{ "name": "password", "what": "new" }]));
    w.wait("the reader", || w.ssh(VICTIM, "systemctl is-active reader.service"));
    assert_eq!(w.on(VICTIM, "tail -n 1 /var/lib/reader"), format!("{}  -", hash("another")));

    w.begin(&s.old.1, &[]).end(0);
    for name in HOSTS {
        w.on(name, "rm -rf /run/keys /var/lib/tokens /var/lib/extra");
    }
}
