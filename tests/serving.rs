//! How the server starts and how it ends: `serve` and `demo` as processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axigen_tests::demo::{self, Demo, Killed, Port, binary};
use axigen_tests::served::{House, IMAP, PLAIN, POP3, SMTP};
use axigen_tests::tool::{Said, finish};
use axigen_tests::wire::Wire;
use tempfile::TempDir;

const ALICE: &str = "alice@example.test";

fn out(said: Said) -> String {
    String::from_utf8(said.ok().out).unwrap()
}

#[test]
fn a_hangup_reads_the_file_again() {
    let house = House::with(PLAIN);
    house.add(ALICE, "secret");
    let mut served = house.serve();
    let mut open = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
    let until = |wanted: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !wanted() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is not read");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let greets = |port: u16| {
        // Who comes while it is closed is cut off.
        let mut said = [0; 4];
        let tcp = std::net::TcpStream::connect(house.addr(port));
        let read = tcp.and_then(|mut tcp| tcp.read_exact(&mut said));
        read.is_ok() && said == *b"* OK"
    };
    // Another port for IMAP, and nobody may use POP3.
    let other = PLAIN.replace("PORT+2143", "PORT+2144");
    let other = format!("{other}[[pop3.rules]]\naction = \"deny\"\npeers = [\"127.0.0.0/8\"]\n");
    house.configure(&other);
    served.signal("HUP");
    until(&|| greets(2144) && !greets(IMAP));
    open.ok("NOOP");
    assert!(Wire::connect(&house.addr(POP3)).line().starts_with("-ERR"));
    // What is wrong changes nothing.
    house.configure(
        &other
            .replace("PORT+2144", "PORT+2143")
            .replace("deny", "maybe"),
    );
    served.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(greets(2144) && !greets(IMAP));
    // Nor does what holds until the server ends.
    house.configure(&format!("threads = 7\n{PLAIN}"));
    served.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(greets(2144) && !greets(IMAP));
    house.configure(PLAIN);
    served.signal("HUP");
    until(&|| greets(IMAP) && !greets(2144));
    assert!(Wire::connect(&house.addr(POP3)).line().starts_with("+OK"));
    open.ok("NOOP");
    served.signal("TERM");
    let (status, said) = served.ended();
    assert!(status.success());
    assert_eq!(said.matches("was read again").count(), 2, "{said}");
    assert_eq!(said.matches("was not taken").count(), 2, "{said}");
}

#[test]
fn serve_with_certificates_of_its_own() {
    let house = House::with(
        r#"
hostname = "mail.example.test"
threads = 2
[tls]
certificate = "server.pem"
key = "server.key"
minimum = "1.3"
[smtp_in]
enable = true
[[smtp_in.listeners]]
address = "127.0.0.1:PORT+2525"
[submission]
enable = true
[[submission.listeners]]
address = "127.0.0.1:PORT+2587"
[[submission.listeners]]
address = "127.0.0.1:PORT+2465"
tls = "implicit"
[imap]
enable = true
threads = 1
[[imap.listeners]]
address = "127.0.0.1:PORT+2143"
[[imap.listeners]]
address = "127.0.0.1:PORT+2993"
tls = "implicit"
[pop3]
enable = true
[[pop3.listeners]]
address = "127.0.0.1:PORT+2110"
[[pop3.listeners]]
address = "127.0.0.1:PORT+2995"
tls = "implicit"
"#,
    );
    house.certificate("server");
    house.certificate("stranger");
    house.add(ALICE, "secret");
    let mut served = house.serve();
    let curl = |args: &[&str], input: &str| {
        let mut curl = Command::new("curl");
        curl.current_dir(house.dir.path());
        curl.args(["--silent", "--show-error", "--max-time", "30", "--ssl-reqd"]);
        curl.args(args);
        finish(curl, input.as_bytes())
    };
    let url = |scheme: &str, port: u16, rest: &str| {
        format!("{scheme}://127.0.0.1:{}/{rest}", house.port(port))
    };
    let login = ["--user", "alice@example.test:secret"];
    // The certificate is looked at: no -k here.
    let trust = ["--cacert", "server.pem"];
    let mut sent = Vec::new();
    for (scheme, port, more) in [
        ("smtp", 2525, &[][..]),
        ("smtp", 2587, &login),
        ("smtps", 2465, &login),
    ] {
        let text = format!("Subject: over {port}\r\n\r\nby {scheme}\r\n");
        let url = url(scheme, port, "client.test");
        let mut args = vec![
            "--upload-file",
            "-",
            "--mail-from",
            ALICE,
            "--mail-rcpt",
            ALICE,
        ];
        args.extend(trust.iter().chain(more));
        args.push(&url);
        curl(&args, &text).ok();
        sent.push(text);
    }
    for (scheme, port, rest) in [
        ("imap", 2143, "INBOX;MAILINDEX=2"),
        ("imaps", 2993, "INBOX;MAILINDEX=2"),
        ("pop3", 2110, "2"),
        ("pop3s", 2995, "2"),
    ] {
        let url = url(scheme, port, rest);
        let args = [&trust[..], &login, &[&url]].concat();
        let read = out(curl(&args, ""));
        assert!(read.contains("Subject: over 2587"), "{scheme}: {read}");
        assert!(read.contains("by smtp"), "{scheme}: {read}");
        // An older TLS than the settings allow, and a stranger's certificate.
        let old = [&trust[..], &login, &["--tls-max", "1.2", &url]].concat();
        assert_eq!(curl(&old, "").code, Some(35), "{scheme}");
        let stranger = [&["--cacert", "stranger.pem"][..], &login, &[&url]].concat();
        assert_eq!(curl(&stranger, "").code, Some(60), "{scheme}");
    }
    // Nobody logs in without TLS where it is not allowed.
    let mut imap = Wire::connect(&house.addr(2143));
    assert!(imap.line().contains("LOGINDISABLED"));
    let said = imap.imap("LOGIN alice@example.test secret");
    assert!(
        said.starts_with(b"T NO [PRIVACYREQUIRED]"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    served.signal("TERM");
    let (status, said) = served.ended();
    assert!(status.success());
    assert_eq!(said, "stopping\n");
}

/// What was begun is finished, what is idle is told, new ones are not let in.
#[test]
fn connections_in_flight_finish_when_the_server_is_told_to_stop() {
    for signal in ["TERM", "INT"] {
        let house = House::with(PLAIN);
        house.add(ALICE, "secret");
        let mut served = house.serve();
        let mut sending = Wire::connect(&house.addr(SMTP));
        sending.smtp_reply();
        sending.smtp("EHLO client.test");
        sending.smtp("MAIL FROM:<bob@elsewhere.test>");
        sending.smtp("RCPT TO:<alice@example.test>");
        assert!(sending.smtp("DATA").starts_with("354"));
        sending.send("Subject: in flight\r\n\r\nfirst half, ");
        let mut appending = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
        let message = "Subject: appended\r\n\r\nwhole\r\n";
        appending.send(format!("a APPEND INBOX {{{}}}\r\n", message.len()));
        assert!(appending.line().starts_with('+'));
        appending.send(&message[..10]);
        let mut idle_smtp = Wire::connect(&house.addr(SMTP));
        idle_smtp.smtp_reply();
        let mut idle_imap = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
        let mut idling = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
        idling.imap("SELECT INBOX");
        idling.send("i IDLE\r\n");
        assert!(idling.line().starts_with('+'));
        let mut pop3 = Wire::connect(&house.addr(POP3));
        assert!(pop3.line().starts_with("+OK"));

        served.signal(signal);
        assert!(idle_smtp.smtp_reply().starts_with("421 4.3.2"));
        assert!(idle_imap.line().starts_with("* BYE"));
        assert!(idling.line().starts_with("* BYE"));
        assert!(pop3.line().starts_with("-ERR"));
        for wire in [&mut idle_smtp, &mut idle_imap, &mut idling, &mut pop3] {
            assert_eq!(wire.rest(), b"", "more after the farewell");
        }
        // Sessions and listeners hear of it at the same time, on threads of their own.
        let begun = Instant::now();
        while std::net::TcpStream::connect(house.addr(SMTP)).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(5), "a new connection");
        }
        sending.send("second half\r\n.\r\n");
        assert!(sending.smtp_reply().starts_with("250"));
        assert!(sending.smtp_reply().starts_with("421 4.3.2"));
        assert_eq!(sending.rest(), b"");
        appending.send(format!("{}\r\n", &message[10..]));
        assert!(appending.line().starts_with("a OK [APPENDUID"));
        assert!(appending.line().starts_with("* BYE"));
        assert_eq!(appending.rest(), b"");
        let (status, said) = served.ended();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(said, "stopping\n");

        let _served = house.serve();
        let mut imap = Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
        let kept = imap.imap_messages("INBOX");
        assert_eq!(kept.len(), 2);
        assert!(kept[0].1.ends_with(b"first half, second half\r\n"));
        assert_eq!(kept[1].1, message.as_bytes());
    }
}

/// A peer that never finishes does not keep the server from ending.
#[test]
fn a_shutdown_waits_as_long_as_it_is_told_to() {
    let begin = |house: &House| {
        let mut wire = Wire::connect(&house.addr(SMTP));
        wire.smtp_reply();
        wire.smtp("EHLO client.test");
        wire.smtp("MAIL FROM:<bob@elsewhere.test>");
        wire.smtp("RCPT TO:<alice@example.test>");
        assert!(wire.smtp("DATA").starts_with("354"));
        wire
    };
    let house = House::with(&format!("shutdown_timeout = \"1s\"{PLAIN}"));
    house.add(ALICE, "secret");
    let mut served = house.serve();
    let mut wire = begin(&house);
    let began = Instant::now();
    served.signal("TERM");
    let (status, _) = served.ended();
    assert_eq!(status.code(), Some(0));
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    // No yes was said that would not be true.
    assert!(!wire.rest().starts_with(b"250"));

    // Whoever does not want to wait says it twice.
    house.configure(&format!("shutdown_timeout = \"1h\"{PLAIN}"));
    let mut served = house.serve();
    let mut wire = begin(&house);
    served.signal("TERM");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(house.addr(SMTP)).is_ok() {
        assert!(Instant::now() < deadline, "still listening");
        std::thread::sleep(Duration::from_millis(20));
    }
    served.signal("TERM");
    let (status, _) = served.ended();
    assert_eq!(status.code(), Some(1));
    assert!(!wire.rest().starts_with(b"250"));
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let house = House::with(PLAIN);
    let port = house.port(IMAP);
    let taken = TcpListener::bind(house.addr(IMAP)).unwrap();
    let said = house.run(&["serve"]).refused(&[
        &format!("port {port} on 127.0.0.1 is in use"),
        "imap",
        "stop the program that uses it",
        "another port in axigen.cfg",
    ]);
    assert_eq!(said.out, b"");
    let offset = port - Port::Imap as u16;
    let demo = ["demo", "--dir", "d", "--port-offset", &offset.to_string()];
    let said = house.run(&demo).refused(&[
        &format!("port {port} is in use"),
        "imap",
        "stop the program that uses it",
        "--port-offset",
    ]);
    assert_eq!(said.out, b"");
    drop(taken);
    // Nothing is left behind that keeps the next one from starting.
    let mut served = house.serve();
    served.signal("TERM");
    assert!(served.ended().0.success());
}

/// The command line of a demo on ports of its own, its temporary files in `dir`.
fn demo_in(dir: &TempDir, offset: u16, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["demo", "--port-offset", &offset.to_string()])
        .args(args)
        .env("TMPDIR", dir.path());
    command
}

#[test]
fn a_demo_leaves_nothing_behind() {
    let (offset, _ports) = demo::free_offset();
    let names = |dir: &TempDir| -> Vec<_> {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    for signal in ["TERM", "INT"] {
        let dir = TempDir::new().unwrap();
        let (mut child, _) = demo::ready(demo_in(&dir, offset, &[]));
        assert_eq!(names(&dir).len(), 1);
        demo::signal(child.0.id(), signal);
        assert_eq!(demo::ended(&mut child.0).code(), Some(0));
        assert!(names(&dir).is_empty(), "{:?}", names(&dir));
    }
    // Also when it is told to stop before it is ready.
    let dir = TempDir::new().unwrap();
    let mut command = demo_in(&dir, offset, &["--accounts", "20000"]);
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    while names(&dir).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    demo::signal(child.0.id(), "TERM");
    assert_eq!(demo::ended(&mut child.0).code(), Some(0));
    let mut said = String::new();
    child
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(
        !said.contains("ready"),
        "it was ready too soon for this test"
    );
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));
}

#[test]
fn a_demo_on_the_same_directory_keeps_its_mail() {
    let mut demo = Demo::start(&["--accounts", "1000"]);
    assert!(
        Wire::deliver(
            &demo.addr(Port::Smtp),
            "u1000@example.test",
            "Subject: kept\r\n\r\nx"
        )
        .starts_with("250")
    );
    let before = Wire::imap_login(&demo.addr(Port::Imap), ALICE, "demo").imap_messages("INBOX");
    assert!(!before.is_empty(), "no welcome mails");
    assert!(demo.stop().success());
    let began = Instant::now();
    demo.restart();
    println!(
        "1000 accounts known already: ready after {:?}",
        began.elapsed()
    );
    let after = Wire::imap_login(&demo.addr(Port::Imap), ALICE, "demo").imap_messages("INBOX");
    assert_eq!(before, after, "alice's mail");
    let kept = Wire::imap_login(&demo.addr(Port::Imap), "u1000@example.test", "demo")
        .imap_messages("INBOX");
    assert_eq!(kept.len(), 1);
    assert!(kept[0].1.ends_with(b"Subject: kept\r\n\r\nx\r\n"));
}

/// A few seconds for 1000 accounts; the bound is wide because machines differ.
#[test]
fn a_demo_with_many_accounts_is_ready_soon() {
    let began = Instant::now();
    let demo = Demo::start(&["--accounts", "1000"]);
    let took = began.elapsed();
    println!("1000 accounts: ready after {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    Wire::imap_login(&demo.addr(Port::Imap), "u1000@example.test", "demo");
}

/// The three commands a demo prints work as they stand there.
#[test]
fn the_commands_a_demo_prints_work() {
    let (offset, _ports) = demo::free_offset();
    let dir = TempDir::new().unwrap();
    let mut command = demo_in(&dir, offset, &[]);
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    let mut byte = [0];
    let mut stdout = child.0.stdout.take().unwrap();
    while !said.contains("\nready") && stdout.read(&mut byte).unwrap() > 0 {
        said.push(char::from(byte[0]));
    }
    let (_, list) = said.split_once("try:\n").expect("commands to try");
    let commands: Vec<&str> = list.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(commands.len(), 3, "{said}");
    let shell = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        out(finish(shell, b""))
    };
    assert!(shell(commands[0]).contains("250 2.0.0"));
    let listed = shell(commands[1]);
    assert!(listed.contains("SEARCH 1 2 3 4"), "{listed}");
    let read = shell(commands[2]);
    assert!(
        read.contains("Subject: hello"),
        "the mail just sent: {read}"
    );
    demo::signal(child.0.id(), "INT");
    assert_eq!(demo::ended(&mut child.0).code(), Some(0));
}

/// One line for each recipient and step, by the id that the reply names.
#[test]
fn the_way_of_a_message_is_in_the_log() {
    let house = House::with(PLAIN);
    house.add(ALICE, "secret");
    let log = std::fs::File::create(house.path("log")).unwrap();
    let mut command = house.command(&["--log", "warn,track=info", "serve"]);
    command.stderr(log);
    let (_child, _rest) = axigen_tests::demo::ready(command);
    let said = Wire::deliver(&house.addr(SMTP), ALICE, "Subject: x\r\n\r\nx");
    let id = said.split(' ').nth(3).unwrap();
    let log = std::fs::read_to_string(house.path("log")).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains(id))
        .unwrap_or_default();
    for word in [
        "delivered",
        "recipient",
        ALICE,
        "bob@elsewhere.test",
        "is safe",
    ] {
        assert!(line.contains(word), "{word}: {log}");
    }
    assert_eq!(
        log.lines().filter(|line| line.contains("INFO")).count(),
        1,
        "{log}"
    );
}
