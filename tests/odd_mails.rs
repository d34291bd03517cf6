//! Broken and odd mails go in over SMTP and come back byte for byte, and no
//! FETCH item of them upsets the server or another program's parser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use axigen_tests::demo::{Demo, Port};
use axigen_tests::odd::{is_transportable, odd, shared};
use axigen_tests::wire::Wire;

fn send(smtp: &mut Wire, mail: &[u8]) -> String {
    assert!(
        smtp.smtp("MAIL FROM:<odd@elsewhere.test> BODY=8BITMIME")
            .starts_with("250")
    );
    assert!(smtp.smtp("RCPT TO:<u1@example.test>").starts_with("250"));
    assert!(smtp.smtp("DATA").starts_with("354"));
    let mut data = Vec::with_capacity(mail.len() + 100);
    for line in mail.split_inclusive(|&b| b == b'\n') {
        if line.first() == Some(&b'.') {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    if !mail.ends_with(b"\r\n") {
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    smtp.send(&data);
    smtp.smtp_reply()
}

#[test]
fn odd_mails_come_back_byte_for_byte() {
    let mut demo = Demo::start(&["--accounts", "1"]);
    let own = odd();
    let others = shared();
    println!(
        "{} cases of our own, {} added from beside the project",
        own.len(),
        others.len()
    );
    let mut smtp = Wire::connect(&demo.addr(Port::Smtp));
    smtp.smtp_reply();
    smtp.smtp("EHLO odd.test");
    let mut sent = Vec::new();
    let mut refused = 0;
    for (name, mail) in own.iter().chain(&others) {
        let reply = send(&mut smtp, mail);
        if is_transportable(mail) {
            assert!(reply.starts_with("250"), "{name}: {reply}");
            sent.push((name, mail));
        } else {
            // A bare CR or a NUL: refused with a sentence, never altered.
            assert!(reply.starts_with("550 5.6"), "{name}: {reply}");
            refused += 1;
        }
    }
    println!(
        "{} carried, {refused} refused for a bare CR or NUL",
        sent.len()
    );
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), "u1@example.test", "demo");
    let read = imap.imap_messages("INBOX");
    assert_eq!(read.len(), sent.len());
    for ((name, mail), (_, read)) in sent.iter().zip(&read) {
        let mut want = (*mail).clone();
        if !want.ends_with(b"\r\n") {
            want.extend_from_slice(b"\r\n");
        }
        assert!(read.ends_with(&want), "{name} is not what was sent");
    }
    // Everything FETCH can say of them is said, whole, in bounded time.
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT)])";
    for (n, (name, _)) in sent.iter().enumerate() {
        let said = imap.imap(&format!("FETCH {} {items}", n + 1));
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains("T OK"), "{name}: {text}");
        assert!(
            text.contains("ENVELOPE (") && text.contains("BODYSTRUCTURE ("),
            "{name}"
        );
        assert!(
            text.contains("BODY[HEADER]") && text.contains("BODY[1]"),
            "{name}"
        );
    }
    // And searching through them finds what is there and nothing else.
    let found =
        String::from_utf8_lossy(&imap.imap("SEARCH TEXT \"no-such-words-anywhere\"")).into_owned();
    assert!(
        found.lines().any(|l| l.trim_end() == "* SEARCH") || !found.contains("* SEARCH "),
        "{found}"
    );
    assert!(demo.is_alive());
}
