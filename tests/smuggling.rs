//! Where a message ends, asked of the real server: no other end of DATA, no end of
//! TLS, and no line inside a chunk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use axigen_tests::any_certificate::any_certificate;
use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

const USER: &str = "u1@example.test";
/// AUTH PLAIN of [`USER`], with the password of the demo.
const LOGIN: &str = "AUTH PLAIN AHUxQGV4YW1wbGUudGVzdABkZW1v";
const SMUGGLED: &str = "MAIL FROM:<evil@b.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";
const ENDS: [&[u8]; 15] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n..\r\n",
    b"\0.\r\n",
    b"\r\0\n.\r\n",
];

/// A session with a recipient, logged in where that is needed.
fn open(demo: &Demo, port: Port) -> Wire {
    let mut wire = Wire::connect(&demo.addr(port));
    assert!(wire.smtp_reply().starts_with("220"));
    let hello = match port {
        Port::Lmtp => "LHLO client.test",
        _ => "EHLO client.test",
    };
    assert!(wire.smtp(hello).starts_with("250"));
    if port == Port::Submission {
        assert!(wire.smtp(LOGIN).starts_with("235"));
    }
    for command in [format!("MAIL FROM:<{USER}>"), format!("RCPT TO:<{USER}>")] {
        assert!(wire.smtp(&command).starts_with("250"), "{port:?} {command}");
    }
    wire
}

fn subjects(demo: &Demo) -> Vec<String> {
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    let of = |message: &[u8]| {
        let text = String::from_utf8_lossy(message).into_owned();
        let mut subjects = text.lines().filter_map(|l| l.strip_prefix("Subject: "));
        subjects.next().unwrap_or_default().to_owned()
    };
    imap.imap_messages("INBOX")
        .iter()
        .map(|(_, m)| of(m))
        .collect()
}

#[test]
fn no_form_of_smuggled_end_of_data_ends_a_message() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    for port in [Port::Smtp, Port::Lmtp, Port::Submission] {
        for (n, end) in ENDS.iter().enumerate() {
            let body = [
                format!("From: {USER}\r\nSubject: outer\r\n\r\nbody").as_bytes(),
                end,
                SMUGGLED.as_bytes(),
            ]
            .concat();
            let mut wire = open(&demo, port);
            assert!(wire.smtp("DATA").starts_with("354"));
            wire.send(&body);
            wire.send("QUIT\r\n");
            let said = String::from_utf8_lossy(&wire.rest()).into_owned();
            // One reply for the message, 221 for QUIT.
            assert_eq!(
                said.matches("\r\n").count(),
                2,
                "{port:?} {n} {end:?}: {said}"
            );
            assert!(!said.contains("354"), "{port:?} {n} {end:?}: {said}");

            let mut wire = open(&demo, port);
            wire.send(format!("BDAT {} LAST\r\n", body.len()));
            wire.send(&body);
            wire.send("QUIT\r\n");
            let said = String::from_utf8_lossy(&wire.rest()).into_owned();
            assert_eq!(
                said.matches("\r\n").count(),
                2,
                "{port:?} {n} {end:?}: {said}"
            );
        }
    }
    let subjects = subjects(&demo);
    // The form with two dots is no end but a line with one dot: it was stored.
    assert!(subjects.len() >= 3, "{subjects:?}");
    assert!(
        subjects.iter().all(|subject| subject == "outer"),
        "{subjects:?}"
    );
    assert!(demo.is_alive());
}

/// CVE-2026-45185: TLS ends in the middle of a message, the TCP connection does not,
/// and what follows in the clear must be neither message nor command.
#[test]
fn what_follows_the_end_of_tls_is_not_read() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    for (begin, rest) in [
        (
            "BDAT 40 LAST\r\nSubject: cut\r\n\r\n",
            "0123456789\r\n0123456789\r\n",
        ),
        ("BDAT 16\r\nSubject: cut\r\n\r\n", "BDAT 0 LAST\r\n"),
        ("DATA\r\nSubject: cut\r\n\r\nx", "\r\n.\r\n"),
        ("NOOP\r\n", "RSET\r\n"),
    ] {
        let tcp = TcpStream::connect(demo.addr(Port::SubmissionTls)).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(any_certificate()), name).unwrap();
        let mut tls = StreamOwned::new(session, tcp);
        let mut said = String::new();
        // Every answer is waited for: `n` lines that begin a reply's last line.
        let mut hear = |tls: &mut StreamOwned<_, TcpStream>, want: &str| {
            let mut bytes = [0u8; 4096];
            while !said.lines().any(|line| line.starts_with(want)) {
                let n = tls.read(&mut bytes).unwrap();
                assert!(n > 0, "wanted {want}: {said}");
                said.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
            }
            said.clear();
        };
        hear(&mut tls, "220 ");
        for (command, want) in [
            ("EHLO client.test", "250 "),
            (LOGIN, "235 "),
            ("MAIL FROM:<u1@example.test>", "250 "),
            ("RCPT TO:<u1@example.test>", "250 "),
        ] {
            tls.write_all(format!("{command}\r\n").as_bytes()).unwrap();
            hear(&mut tls, want);
        }
        tls.write_all(begin.as_bytes()).unwrap();
        if begin.starts_with("BDAT 40") {
            tls.flush().unwrap();
        } else {
            hear(
                &mut tls,
                if begin.starts_with("DATA") {
                    "354 "
                } else {
                    "250 "
                },
            );
        }
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        // The server hangs up; whether it had time to refuse more does not matter.
        let _ = tls.sock.write_all(rest.as_bytes());
        let mut after = Vec::new();
        let _ = tls.sock.read_to_end(&mut after);
        // What still came is TLS (its own close_notify), never a reply in the clear.
        assert!(
            !after.windows(4).any(|w| w == b"250 "),
            "{begin:?}: {after:?}"
        );
    }
    assert_eq!(subjects(&demo), [""; 0]);
    assert!(demo.is_alive());
}
