//! The two halves of the control socket over a socket of their own.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::{Client, Error};
use super::server::ControlServer;
use super::*;
use crate::settings::{ControlSettings, Size, Span};

/// Gives back so many items.
#[derive(Debug)]
struct Count;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: u64,
}

#[async_trait]
impl Command for Count {
    fn name(&self) -> &'static str {
        "test.count"
    }
    fn about(&self) -> &'static str {
        "counts"
    }
    async fn run(&self, arguments: Value, answers: &mut Answers<'_>) -> Result<Value, Failed> {
        let To { to } = read(arguments)?;
        for number in 0..to {
            answers.item(&number).await?;
        }
        Ok(json!({"sum": to}))
    }
}

fn start(path: &Path, settings: &ControlSettings) -> std::io::Result<ControlServer> {
    let mut registry = Registry::default();
    registry.add([Arc::new(Count) as Arc<dyn Command>]);
    ControlServer::start(path, registry, settings, Duration::from_secs(1))
}

fn settings() -> ControlSettings {
    ControlSettings {
        connections: 2,
        line: Size(1024),
        idle_timeout: Span(Duration::from_secs(2)),
        ..ControlSettings::default()
    }
}

fn failed(error: Error) -> Failed {
    match error {
        Error::Failed(failed) => failed,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn commands_are_answered_and_mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    assert!(matches!(
        Client::connect(&path).await.unwrap_err(),
        Error::NoServer(_)
    ));
    let server = start(&path, &settings()).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = Client::connect(&path).await.unwrap();
    assert_eq!(client.hello().axigen, env!("CARGO_PKG_VERSION"));
    let mut items = 0;
    let done = client.run("test.count", json!({"to": 100_000}), |item| {
        assert_eq!(item, json!(items));
        items += 1;
    });
    assert_eq!(done.await.unwrap(), json!({"sum": 100_000}));
    assert_eq!(items, 100_000);
    let mut names = Vec::new();
    let all = client.run("commands", json!({}), |item| names.push(item));
    all.await.unwrap();
    assert_eq!(names, [json!({"name": "test.count", "about": "counts"})]);
    for (command, arguments, kind) in [
        ("test.cuont", json!({}), Kind::Command),
        ("test.count", json!({"two": 2}), Kind::Arguments),
        ("test.count", Value::Null, Kind::Arguments),
        ("test.count", json!({"to": -1}), Kind::Arguments),
    ] {
        let error = client.run(command, arguments, |_| {}).await.unwrap_err();
        assert_eq!(failed(error).kind, kind);
    }
    // Still the same connection.
    client
        .run("test.count", json!({"to": 0}), |_| {})
        .await
        .unwrap();
    let long = json!({"to": "x".repeat(2000)});
    let error = client.run("test.count", long, |_| {}).await.unwrap_err();
    assert_eq!(failed(error).kind, Kind::Request);
    assert!(
        client
            .run("test.count", json!({"to": 0}), |_| {})
            .await
            .is_err()
    );
    server.end().await;
    assert!(!path.exists());
    assert!(matches!(
        Client::connect(&path).await.unwrap_err(),
        Error::NoServer(_)
    ));
}

#[tokio::test]
async fn what_is_no_request_is_said_and_silence_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    let _server = start(&path, &settings()).unwrap();
    let mut wire = UnixStream::connect(&path).await.unwrap();
    for line in ["", "hello", "[1]", "{\"command\":1}", "{\"comand\":\"x\"}"] {
        wire.write_all(line.as_bytes()).await.unwrap();
        wire.write_all(b"\n").await.unwrap();
    }
    wire.write_all(b"\xff\n{\"command\":\"test.count\",\"arguments\":{\"to\":1}}\n")
        .await
        .unwrap();
    // Nothing more is said: the server closes.
    let mut said = String::new();
    wire.read_to_string(&mut said).await.unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 9, "{said}");
    for line in &lines[1..7] {
        assert!(
            line.starts_with("{\"error\":{\"kind\":\"request\","),
            "{line}"
        );
    }
    assert_eq!(lines[7..], ["{\"item\":0}", "{\"done\":{\"sum\":1}}"]);
}

#[tokio::test]
async fn connections_are_bounded_and_one_that_reads_nothing_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    let _server = start(&path, &settings()).unwrap();
    let _first = Client::connect(&path).await.unwrap();
    let mut stuck = UnixStream::connect(&path).await.unwrap();
    stuck
        .write_all(b"{\"command\":\"test.count\",\"arguments\":{\"to\":100000000}}\n")
        .await
        .unwrap();
    // Whoever is one too many is told, and is let in when another has gone.
    let mut third = Client::connect(&path).await.unwrap();
    let error = third.run("commands", json!({}), |_| {}).await.unwrap_err();
    assert_eq!(failed(error).kind, Kind::Connections);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut fourth = Client::connect(&path).await.unwrap();
    fourth.run("commands", json!({}), |_| {}).await.unwrap();
    let mut said = Vec::new();
    stuck.read_to_end(&mut said).await.unwrap();
    assert!(!said.ends_with(b"\"done\":{\"sum\":100000000}}\n"));
}

#[tokio::test]
async fn what_a_killed_server_left_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    // As kill -9 leaves it: the file, and nobody behind it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(matches!(
        Client::connect(&path).await.unwrap_err(),
        Error::NoServer(_)
    ));
    let server = start(&path, &settings()).unwrap();
    Client::connect(&path).await.unwrap();
    let kind = |path: &Path| start(path, &settings()).unwrap_err().kind();
    assert_eq!(kind(&path), ErrorKind::AddrInUse);
    Client::connect(&path).await.unwrap();
    drop(server);
    let file = dir.path().join("file");
    std::fs::write(&file, "mail").unwrap();
    assert_eq!(kind(&file), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&file).unwrap(), b"mail");
    let long = dir.path().join("x".repeat(120));
    assert_eq!(kind(&long), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_shutdown_ends_what_takes_long() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    let server = start(&path, &settings()).unwrap();
    let mut client = Client::connect(&path).await.unwrap();
    let long = tokio::spawn(async move {
        client
            .run("test.count", json!({"to": u64::MAX}), |_| {})
            .await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = std::time::Instant::now();
    server.end().await;
    assert!(start.elapsed() < Duration::from_secs(5));
    let error = long.await.unwrap().unwrap_err();
    match error {
        Error::Failed(failed) => assert_eq!(failed.kind, Kind::Stopping),
        Error::Io(_) => {}
        other => panic!("{other}"),
    }
}
