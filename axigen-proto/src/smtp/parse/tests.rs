#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::smtp::address::{ForwardPath, ReversePath};
use crate::smtp::command::{BodyType, Submitter};

fn code(line: &str) -> String {
    let Standard { code, enhanced, .. } = command(line.as_bytes()).unwrap_err().0;
    format!("{code} {}", EnhancedCode::from(enhanced))
}

fn parsed_mail(line: &str) -> Mail {
    match command(line.as_bytes()) {
        Ok(Command::Mail(mail)) => mail,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn simple_commands_in_any_case_and_with_trailing_spaces() {
    for (line, want) in [
        ("DATA", Command::Data),
        ("data", Command::Data),
        ("DaTa   ", Command::Data),
        ("RSET", Command::Rset),
        ("NOOP", Command::Noop),
        ("NOOP whatever it is", Command::Noop),
        ("HELP MAIL", Command::Help),
        ("QUIT", Command::Quit),
        ("starttls", Command::StartTls),
        ("VRFY joe", Command::Vrfy("joe".to_owned())),
        ("EXPN list", Command::Expn("list".to_owned())),
        (
            "BDAT 0",
            Command::Bdat {
                size: 0,
                last: false,
            },
        ),
        (
            "bdat 18446744073709551615 last",
            Command::Bdat {
                size: u64::MAX,
                last: true,
            },
        ),
    ] {
        assert_eq!(command(line.as_bytes()).unwrap(), want, "{line}");
    }
}

#[test]
fn what_is_wrong_gets_the_standards_code() {
    for (line, want) in [
        ("", "500 5.5.1"),
        ("   ", "500 5.5.1"),
        (" NOOP", "500 5.5.1"),
        ("FROB", "500 5.5.1"),
        ("EHLO:", "500 5.5.1"),
        ("MAILFROM:<a@b>", "500 5.5.1"),
        ("DATA\0", "500 5.5.2"),
        ("NOOP\tx", "500 5.5.2"),
        ("NOOP\rQUIT", "500 5.5.2"),
        ("NOOP\u{7f}", "500 5.5.2"),
        ("DATA x", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("STARTTLS now", "501 5.5.4"),
        ("EHLO", "501 5.5.4"),
        ("EHLO a b", "501 5.5.4"),
        ("HELO ünï", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL a@b", "501 5.5.4"),
        ("MAIL FROM:a@b", "501 5.5.4"),
        ("MAIL FROM", "501 5.5.4"),
        ("MAIL TO:<a@b>", "501 5.5.4"),
        ("MAIL FROM:<a@b", "501 5.1.7"),
        ("MAIL FROM:<a b@c>", "501 5.1.7"),
        ("MAIL FROM:<a>", "501 5.1.7"),
        ("MAIL FROM:<a@b>x", "501 5.5.4"),
        ("MAIL FROM:<a@b>SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=+1", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=111111111111111111111", "501 5.5.4"),
        ("MAIL FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a@b> BODY=9BIT", "501 5.5.4"),
        ("MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
        ("MAIL FROM:<a@b> SMTPUTF8 SMTPUTF8", "501 5.5.4"),
        ("MAIL FROM:<a@b> AUTH=a+4", "501 5.5.4"),
        ("MAIL FROM:<a@b> AUTH=a", "501 5.5.4"),
        ("MAIL FROM:<a@b> AUTH=a@b+0D+0Ax", "501 5.5.4"),
        ("MAIL FROM:<a@b> FROB=1", "555 5.5.4"),
        ("MAIL FROM:<a@b> FROB", "555 5.5.4"),
        ("MAIL FROM:<a@b> =1", "501 5.5.4"),
        ("MAIL FROM:<a@b> A=", "501 5.5.4"),
        ("MAIL FROM:<a@b> A=b=c", "501 5.5.4"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<a@b> SIZE=1", "555 5.5.4"),
        ("RCPT FROM:<a@b>", "501 5.5.4"),
        ("BDAT", "501 5.5.4"),
        ("BDAT x", "501 5.5.4"),
        ("BDAT -1", "501 5.5.4"),
        ("BDAT 1 LST", "501 5.5.4"),
        ("BDAT 1LAST", "501 5.5.4"),
        ("BDAT 18446744073709551616", "501 5.5.4"),
        ("AUTH", "501 5.5.4"),
        ("AUTH PLAIN a b", "501 5.5.4"),
        ("AUTH MECHANISM-NAMES-ARE-NOT-THAT-LONG", "501 5.5.4"),
        ("AUTH PLAIN a", "501 5.5.2"),
        ("AUTH PLAIN ====", "501 5.5.2"),
        ("AUTH PLAIN YQ", "501 5.5.2"),
    ] {
        assert_eq!(code(line), want, "{line:?}");
    }
    assert_eq!(command(b"NOOP \xff").unwrap_err().0, standard::NOT_TEXT);
}

#[test]
fn paths_of_every_form() {
    for (text, want) in [
        ("<>", ReversePath::Null),
        (
            "<a@b.test>",
            ReversePath::Mailbox("a@b.test".parse().unwrap()),
        ),
        (
            "<@x.test,@y.test:a@b.test>",
            ReversePath::Mailbox("a@b.test".parse().unwrap()),
        ),
        (
            " <\"a b>\"@[IPv6:::1]>",
            ReversePath::Mailbox("\"a b>\"@[IPv6:::1]".parse().unwrap()),
        ),
        ("<jörg@bücher.test>", {
            ReversePath::Mailbox("jörg@bücher.test".parse().unwrap())
        }),
    ] {
        assert_eq!(parsed_mail(&format!("MAIL FROM:{text}")).from, want);
    }
    for text in ["<Postmaster>", "<POSTMASTER>"] {
        assert_eq!(
            command(format!("rcpt to:{text}").as_bytes()).unwrap(),
            Command::Rcpt(Rcpt::new(ForwardPath::Postmaster))
        );
    }
}

#[test]
fn parameters_of_mail() {
    let mail = parsed_mail(
        "MAIL FROM:<a@b> SIZE=99999999999999999999 body=8bitmime SMTPUTF8 AUTH=e+3Dmc2@example.com",
    );
    assert_eq!(mail.size, Some(u64::MAX));
    assert_eq!(mail.body, Some(BodyType::EightBitMime));
    assert!(mail.smtputf8);
    // The example of RFC 4954 §5.
    assert_eq!(
        mail.auth,
        Some(Submitter::Mailbox("e=mc2@example.com".parse().unwrap()))
    );
    assert_eq!(
        parsed_mail("MAIL FROM:<a@b> AUTH=<>").auth,
        Some(Submitter::Unknown)
    );
}

#[test]
fn initial_responses() {
    for (line, want) in [
        ("AUTH PLAIN", None),
        ("AUTH plain =", Some(&b""[..])),
        ("AUTH PLAIN AGEAYg==", Some(&b"\0a\0b"[..])),
    ] {
        let Command::Auth { mechanism, initial } = command(line.as_bytes()).unwrap() else {
            panic!("{line}");
        };
        assert_eq!(mechanism, "PLAIN");
        assert_eq!(initial.as_ref().map(|i| i.0.as_slice()), want, "{line}");
        assert!(!format!("{initial:?}").contains("97"));
    }
}

#[test]
fn reply_lines() {
    let line = |code, last, text| Some(ReplyLine { code, last, text });
    assert_eq!(reply_line("250 OK"), line(250, true, "OK"));
    assert_eq!(reply_line("250-OK"), line(250, false, "OK"));
    assert_eq!(reply_line("250"), line(250, true, ""));
    assert_eq!(reply_line("571 x"), line(571, true, "x"));
    for bad in [
        "", "25", "2500", "250_x", "150 x", "600 x", "2x0 y", "-250", "٢50 x",
    ] {
        assert_eq!(reply_line(bad), None, "{bad}");
    }
}

#[test]
fn enhanced_codes() {
    assert_eq!(
        enhanced_code("5.1.1 no user"),
        Some(((5, 1, 1).into(), "no user"))
    );
    assert_eq!(enhanced_code("2.0.0"), Some(((2, 0, 0).into(), "")));
    for bad in [
        "",
        "3.1.1 x",
        "5.1 x",
        "5.1.1x",
        "5.1000.1 x",
        "5..1 x",
        "OK",
    ] {
        assert_eq!(enhanced_code(bad), None, "{bad}");
    }
}
