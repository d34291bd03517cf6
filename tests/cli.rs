//! The command line of the reference server, as a person uses it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use axigen_tests::demo::{Demo, Port, binary};
use axigen_tests::wire::Wire;

fn axigen(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// What it printed; it must have succeeded.
fn good(args: &[&str], input: &str) -> String {
    let output = axigen(args, input);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// What it complained of; the exit code must be 1.
fn bad(args: &[&str], input: &str) -> String {
    let output = axigen(args, input);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Three ports that are free a moment ago.
fn free_ports() -> [u16; 3] {
    let held: Vec<TcpListener> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    [0, 1, 2].map(|n| held[n].local_addr().unwrap().port())
}

fn certificate(dir: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=mail.example.test",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .output()
        .expect("openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// A server as an administrator runs it.
struct Serving {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Serving {
    fn start(config: &Path) -> Serving {
        let mut child = Command::new(binary())
            .args(["serve", "--config", text(config)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "ready\n" {
            line.clear();
            assert!(
                out.read_line(&mut line).unwrap() > 0,
                "it ended before it was ready"
            );
        }
        Serving { child, out }
    }

    /// The exit code after a signal.
    fn signal(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "stopping\n");
        code
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_names_every_command_and_option() {
    let top = good(&["--help"], "");
    for command in [
        "demo", "init", "serve", "check", "account", "domain", "class",
    ] {
        assert!(
            top.contains(&format!("\n  {command} ")),
            "{command} in {top}"
        );
        let help = good(&[command, "--help"], "");
        // Every argument has a sentence beside it.
        assert!(help.contains("Usage: axigen"), "{help}");
        for line in help
            .lines()
            .filter(|line| line.trim_start().starts_with("--"))
        {
            let (_, sentence) = line.trim().split_once("  ").unwrap_or((line, ""));
            assert!(
                !sentence.trim().is_empty(),
                "{line:?} of {command} says nothing"
            );
        }
    }
    assert!(top.contains("Exit codes"));
    assert!(good(&["--version"], "").starts_with("axigen "));
    assert_eq!(axigen(&["frobnicate"], "").status.code(), Some(2));
    assert_eq!(
        axigen(&["demo", "--port-offset", "x"], "").status.code(),
        Some(2)
    );
}

#[test]
fn init_check_account_serve() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("new/mail");
    let config = dir.join("axigen.cfg");
    let said = good(&["init", text(&dir), "--hostname", "mail.example.test"], "");
    assert!(said.contains("axigen check --config"), "{said}");
    let written = std::fs::read_to_string(&config).unwrap();
    // Every line that sets something has its comment somewhere above.
    assert!(written.lines().filter(|line| line.starts_with('#')).count() > 50);
    assert!(good(&["check", "--config", text(&config)], "").contains("is in order: smtp_in on"));
    let error = bad(&["init", text(&dir)], "");
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), written);

    certificate(&dir);
    let [smtp, imap, submission] = free_ports();
    std::fs::write(
        &config,
        format!(
            "hostname = \"mail.example.test\"\ndirectory = \"store\"\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\
             [smtp_in]\nenable = true\nlisteners = [{{ address = \"127.0.0.1:{smtp}\", tls = \"starttls\" }}]\n\
             [imap]\nenable = true\nlisteners = [{{ address = \"127.0.0.1:{imap}\", tls = \"implicit\" }}]\n\
             [submission]\nenable = true\nlisteners = [{{ address = \"127.0.0.1:{submission}\", tls = \"starttls\" }}]\n"
        ),
    )
    .unwrap();
    let with = |args: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        all.extend(["--config".to_owned(), text(&config).to_owned()]);
        all
    };
    let run = |args: &[&str], input: &str| {
        let args = with(args);
        good(&args.iter().map(String::as_str).collect::<Vec<_>>(), input)
    };
    let fail = |args: &[&str], input: &str| {
        let args = with(args);
        bad(&args.iter().map(String::as_str).collect::<Vec<_>>(), input)
    };
    run(&["check"], "");

    // Accounts.
    let said = run(
        &["account", "add", "ann@example.test", "--password-file", "-"],
        "secret\n",
    );
    assert_eq!(
        said,
        "added the domain example.test\nadded ann@example.test\n"
    );
    run(&["account", "add", "Bob@Example.Test"], "another\n");
    assert!(fail(&["account", "add", "ann@example.test"], "x\n").contains("exists already"));
    assert!(fail(&["account", "add", "ann"], "x\n").contains("local@domain"));
    assert!(fail(&["account", "add", "eve@example.test"], "\n").contains("the password is empty"));
    let list = run(&["account", "list"], "");
    assert!(
        list.contains("ann@example.test") && list.contains("bob@example.test"),
        "{list}"
    );
    let json = run(&["account", "list", "--json"], "");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert!(
        fail(&["account", "passwd", "eve@example.test"], "x\n").contains("there is no account")
    );
    run(&["account", "passwd", "bob@example.test"], "newer\n");
    assert!(fail(&["account", "remove", "bob@example.test"], "").contains("say --yes"));

    // Settings, near ones win.
    run(&["domain", "set", "example.test", "quota", "1MB"], "");
    run(&["class", "set", "gold", "quota", "5GB"], "");
    let said = run(&["account", "show", "bob@example.test"], "");
    assert!(
        said.contains("1MB") && said.contains("(domain example.test)"),
        "{said}"
    );
    let said = run(&["account", "class", "bob@example.test", "gold"], "");
    assert!(
        said.contains("5GB") && said.contains("(class gold)"),
        "{said}"
    );
    let said = run(&["account", "set", "bob@example.test", "imap", "false"], "");
    assert!(said.contains("(account)"), "{said}");
    let error = fail(&["account", "set", "bob@example.test", "quota", "much"], "");
    assert!(error.contains("is not a size"), "{error}");
    let error = fail(&["account", "set", "bob@example.test", "colour", "red"], "");
    assert!(error.contains("; there are "), "{error}");
    assert!(fail(&["class", "remove", "gold"], "").contains("still in use"));
    assert!(
        fail(&["account", "class", "bob@example.test", "tin"], "")
            .contains("there is no class tin")
    );
    assert!(run(&["domain", "list"], "").contains("example.test  quota = 1MB"));
    assert!(fail(&["domain", "remove", "example.test"], "").contains("still in use"));

    // The server, with a certificate of files.
    let server = Serving::start(&config);
    let error = fail(&["account", "list"], "");
    assert!(error.contains("is in use: stop the server"), "{error}");
    let error = fail(&["serve"], "");
    assert!(error.contains("is in use: stop the server"), "{error}");
    let cert = dir.join("cert.pem");
    let mail = dir.join("mail.eml");
    std::fs::write(
        &mail,
        "From: ann@example.test\r\nSubject: by curl\r\n\r\nhello\r\n",
    )
    .unwrap();
    let curl = |args: &[&str]| {
        Command::new("curl")
            .args(["-sS", "--cacert", text(&cert)])
            .args(args)
            .output()
            .expect("curl")
    };
    let sent = curl(&[
        "--ssl-reqd",
        "--user",
        "ann@example.test:secret",
        "--mail-from",
        "ann@example.test",
        "--mail-rcpt",
        "ann@example.test",
        "-T",
        text(&mail),
        &format!("smtp://localhost:{submission}"),
    ]);
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    let read = curl(&[
        "--user",
        "ann@example.test:secret",
        &format!("imaps://localhost:{imap}/INBOX;MAILINDEX=1"),
    ]);
    assert!(String::from_utf8_lossy(&read.stdout).contains("Subject: by curl"));
    // What was set for bob reaches the service.
    let refused = curl(&[
        "--user",
        "bob@example.test:newer",
        &format!("imaps://localhost:{imap}/"),
    ]);
    assert!(!refused.status.success());
    assert_eq!(server.signal("-TERM"), Some(0));
    let server = Serving::start(&config);
    assert_eq!(server.signal("-INT"), Some(0));

    assert_eq!(
        run(&["account", "remove", "bob@example.test", "--yes"], ""),
        "removed bob@example.test\n"
    );
    assert_eq!(
        run(&["class", "remove", "gold"], ""),
        "removed the class gold\n"
    );
}

#[test]
fn a_wrong_configuration_is_explained() {
    let temp = tempfile::tempdir().unwrap();
    let config = temp.path().join("axigen.cfg");
    for (content, parts) in [
        ("hostnme = \"x\"\n", &["hostnme", "line 1"][..]),
        ("\n\n[imap]\nenable = 3\n", &["line 4", "imap.enable"]),
        (
            "[imap]\nidle_timeout = \"soon\"\n",
            &["idle_timeout", "30s"],
        ),
        ("[imap\n", &["line 1"]),
        (
            "[imap]\nenable = true\nlisteners = [{ address = \"127.0.0.1:1143\", tls = \"implicit\" }]\n",
            &["certificate"],
        ),
        (
            "[tls]\ncertificate = \"nowhere.pem\"\nkey = \"nowhere.key\"\n[smtp_in]\nenable = true\nlisteners = [{ address = \"127.0.0.1:1025\", tls = \"starttls\" }]\n",
            &["nowhere.pem"],
        ),
        (
            "[imap]\nenable = true\nlisteners = [{ address = \"0.0.0.0:1143\", plaintext_login = true }]\n",
            &["loopback"],
        ),
    ] {
        std::fs::write(&config, content).unwrap();
        let error = bad(&["check", "--config", text(&config)], "");
        for part in parts {
            assert!(error.contains(part), "{part:?} in {error}");
        }
        assert!(error.contains("axigen.cfg"), "{error}");
        let served = bad(&["serve", "--config", text(&config)], "");
        assert_eq!(served, error);
    }
    let missing = temp.path().join("other.cfg");
    let error = bad(&["serve", "--config", text(&missing)], "");
    assert!(
        error.contains("other.cfg") && error.contains("axigen init"),
        "{error}"
    );
}

#[test]
fn demo_keeps_a_directory_and_removes_its_own() {
    // With --dir: what was there stays.
    let mut demo = Demo::start(&["--accounts", "1000"]);
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "u1000@example.test", "demo");
    assert!(String::from_utf8_lossy(&imap.imap("CREATE Kept")).contains("T OK"));
    drop(imap);
    assert_eq!(demo.stop().code(), Some(0));
    demo.restart();
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "u1000@example.test", "demo");
    assert!(String::from_utf8_lossy(&imap.imap("LIST \"\" Kept")).contains("* LIST"));
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "alice@example.test", "demo");
    assert!(String::from_utf8_lossy(&imap.imap("STATUS INBOX (MESSAGES)")).contains("MESSAGES 3"));

    // The same ports again: a sentence with the port and the way out.
    let offset = (demo.port(Port::Smtp) - 2525).to_string();
    let temp = tempfile::tempdir().unwrap();
    let error = bad(
        &["demo", "--port-offset", &offset, "--dir", text(temp.path())],
        "",
    );
    assert!(
        error.contains("is in use") && error.contains("--port-offset"),
        "{error}"
    );
    assert!(
        error.contains(&format!("port {}", demo.port(Port::Smtp))),
        "{error}"
    );
    // The same directory again.
    let error = bad(
        &["demo", "--port-offset", "30000", "--dir", text(demo.dir())],
        "",
    );
    assert!(error.contains("is in use: stop the server"), "{error}");
    // Logged in, idling: a stop does not wait for people.
    let start = Instant::now();
    assert_eq!(demo.stop().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10));

    // Without --dir: gone at exit.
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new(binary())
        .args(["demo", "--port-offset", "31000"])
        .env("TMPDIR", temp.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("\nready") {
        assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert!(
        said.contains("swaks --server") && said.matches("  curl ").count() == 2,
        "{said}"
    );
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}
