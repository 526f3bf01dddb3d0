use super::*;
use tokio::net::UnixListener;

/// A monitor that answers from a script: for each line it gets, the lines it says, with `ID`
/// replaced by the id of the command.
async fn monitor(dir: &Path, script: Vec<Vec<&'static str>>) -> (Qmp, mpsc::Receiver<QmpEvent>) {
    let path = dir.join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        write.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n").await.unwrap();
        let mut lines = BufReader::new(read).lines();
        let ready: Vec<&str> = vec![r#"{"return": {}, "id": ID}"#];
        for answers in std::iter::once(ready).chain(script) {
            let Some(line) = lines.next_line().await.unwrap() else { return };
            let command: Value = serde_json::from_str(&line).unwrap();
            for answer in answers {
                let text = answer.replace("ID", &command["id"].to_string());
                write.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
            }
        }
    });
    Qmp::connect(&path).await.unwrap()
}

#[tokio::test]
async fn answers_find_their_askers_and_events_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (qmp, mut events) = monitor(
        dir.path(),
        vec![
            vec![
                r#"{"event": "STOP", "data": {"a": 1}, "timestamp": {}}"#,
                r#"{"return": {"status": "paused"}, "id": ID}"#,
            ],
            vec![r#"{"error": {"class": "GenericError", "desc": "no such device"}, "id": ID}"#],
            vec![
                r#"{"return": "Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'\r\n", "id": ID}"#,
            ],
            vec![r#"{"return": "", "id": ID}"#],
            vec![r#"{"return": "host forwarding rule for tcp:127.0.0.1:80 removed\r\n", "id": ID}"#],
        ],
    )
    .await;
    assert_eq!(qmp.query_status().await.unwrap(), "paused");
    assert_eq!(events.recv().await.unwrap(), QmpEvent { name: "STOP".into(), data: json!({"a": 1}) });
    let refused = qmp.set_link("eth9", false).await.unwrap_err();
    assert_eq!(refused.to_string(), "QEMU refused set_link: no such device");
    let (host, guest) =
        (Endpoint { address: String::new(), port: 80 }, Endpoint { address: String::new(), port: 80 });
    let taken = qmp.hostfwd_add("eth0", Proto::Tcp, &host, &guest).await.unwrap_err();
    assert!(forward_port_taken(&taken), "{taken}");
    qmp.hostfwd_add("eth0", Proto::Tcp, &host, &guest).await.unwrap();
    qmp.hostfwd_remove("eth0", Proto::Tcp, &host).await.unwrap();
    // The script is over, and with it the connection: the next command must not wait.
    assert!(matches!(qmp.stop().await, Err(QmpError::Closed | QmpError::Io(_))));
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn somebody_else_on_the_socket_is_no_monitor() {
    for said in ["{\"hello\": 1}\n", "garbage\n", ""] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
        });
        assert!(Qmp::connect(&path).await.is_err(), "{said:?}");
    }
}

#[test]
fn forwards_stay_on_the_loopback_unless_told() {
    let at = |address: &str, port| Endpoint { address: address.into(), port };
    for (host, guest, expected) in [
        (at("", 8082), at("", 80), "tcp:127.0.0.1:8082-:80"),
        (at("127.0.0.2", 1), at("10.0.2.15", 2), "tcp:127.0.0.2:1-10.0.2.15:2"),
    ] {
        assert_eq!(hostfwd_add_rule(Proto::Tcp, &host, &guest), expected);
    }
}
