//! The health checks of a deployment as a test script, so that they are made in a clone before they are made
//! in production.
//!
//! Invariant: pure; whatever the model wrote into a check reaches the script as a string, never as code.

use std::fmt::Write;

use super::model::{Deployment, HealthCheck};

/// What every script begins with.
const HEAD: &str = r#"
start_all()
network.heal()
_machines = {m.name: m for m in machines}


def _http(machine, port, path, status, body, timeout):
    """Asks a web server of the machine, as the deployment will ask the host's."""
    import shlex

    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ask = f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf %s {shlex.quote(request)} >&3 && head -c 1048576 <&3"
    why = ["it did not answer in time"]

    def answers(_last_try):
        code, answer = machine.execute(f"bash -c {shlex.quote(ask)} 2>/dev/null", timeout=timeout)
        words = answer.split(None, 2)
        if code != 0 or not answer:
            why[0] = "the connection is refused"
        elif not answer.startswith("HTTP/") or len(words) < 2:
            why[0] = "it does not speak HTTP"
        elif words[1] != str(status):
            why[0] = f"status {words[1]}, not {status}"
        elif body is not None and body not in answer:
            why[0] = f"its answer does not contain {body!r}"
        else:
            return True
        return False

    try:
        retry(answers, timeout)
    except Exception as error:
        raise RequestedAssertionFailed(f"port {port} {path}: {why[0]}") from error


"#;

/// The script that makes all checks, each as a subtest; none when no host has any.
pub fn script(deployment: &Deployment) -> Option<String> {
    let mut out = String::from(HEAD);
    let mut any = false;
    for (node, target) in &deployment.nodes {
        for check in &target.health_checks {
            any = true;
            let name = literal(&format!("health check of {node}: {}", check.describe()));
            let machine = format!("_machines[{}]", literal(node));
            let timeout = check.timeout().max(1);
            let call = match check {
                HealthCheck::Command { command, .. } => {
                    format!("{machine}.wait_until_succeeds({}, timeout={timeout})", literal(command))
                }
                HealthCheck::Port { port, .. } => {
                    format!("{machine}.wait_for_open_port({port}, timeout={timeout})")
                }
                HealthCheck::Http { port, path, status, body, .. } => {
                    let path: String = path
                        .as_deref()
                        .unwrap_or("/")
                        .chars()
                        .filter(|c| !c.is_control() && *c != ' ')
                        .collect();
                    let body = body.as_deref().map_or_else(|| "None".into(), literal);
                    let status = status.unwrap_or(200);
                    format!("_http({machine}, {port}, {}, {status}, {body}, {timeout})", literal(&path))
                }
            };
            let _ = writeln!(out, "with subtest({name}):\n    {call}\n");
        }
    }
    any.then_some(out)
}

/// A string of Python's: ASCII alone, so that nothing in it ends it.
fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => drop(write!(out, "\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::network;
    use super::*;

    #[test]
    fn every_check_becomes_a_subtest_and_no_check_becomes_code() {
        let mut d = network(&[("web-1", &[]), ("db", &[])]);
        assert_eq!(script(&d), None);
        let command = "test \"$x\" = 'a\\b'\nexit \u{e9}\u{1f600}";
        let checks = serde_json::json!([
            { "kind": "command", "command": command, "timeout": 7 },
            { "kind": "port", "port": 5432 },
            { "kind": "http", "port": 80, "path": "/a b", "body": "it's \"here\"" },
        ]);
        d.nodes.get_mut("web-1").unwrap().health_checks = serde_json::from_value(checks).unwrap();
        let script = script(&d).unwrap();
        for line in [
            r#"    _machines["web-1"].wait_until_succeeds("test \"$x\" = 'a\\b'\U0000000aexit \U000000e9\U0001f600", timeout=7)"#,
            r#"    _machines["web-1"].wait_for_open_port(5432, timeout=10)"#,
            r#"    _http(_machines["web-1"], 80, "/ab", 200, "it's \"here\"", 10)"#,
            r#"with subtest("health check of web-1: port 5432"):"#,
        ] {
            assert!(script.lines().any(|l| l == line), "{line}\n{script}");
        }
        let python = std::process::Command::new("python3")
            .args(["-c", "import ast, sys; ast.parse(sys.argv[1])", &script])
            .status()
            .unwrap();
        assert!(python.success());
        let read = std::process::Command::new("python3")
            .args(["-c", &format!("import sys; sys.stdout.buffer.write({}.encode())", literal(command))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout), command);
    }
}
