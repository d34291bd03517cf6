//! LOGIN, AUTHENTICATE, STARTTLS.

use std::sync::Arc;
use std::time::Instant;

use super::drive::{Act, every_chunk, lines, open, run, yes};
use crate::imap::server::{Config, Event, Server};
use crate::sasl;
use crate::session::{Close, Input, Output, Session, TlsInfo, Violation, Wait};

#[test]
fn authenticate() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a AUTHENTICATE PLAIN",
            "AGFsaWNlAHNlY3JldA",
            "b AUTHENTICATE PLAIN",
            "*",
            "c AUTHENTICATE PLAIN AGFsaWNlAHdyb25n",
            "d AUTHENTICATE PLAIN =",
            "e AUTHENTICATE GSSAPI",
            "f AUTHENTICATE LOGIN",
            "YWxpY2U=",
            "c2VjcmV0",
            "g AUTHENTICATE PLAIN",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert_eq!(answers[0], "+ ");
    assert_eq!(answers[1], "a BAD The response is not valid base64");
    assert_eq!(answers[3], "b BAD AUTHENTICATE was cancelled");
    assert_eq!(
        answers[4],
        "c NO [AUTHENTICATIONFAILED] The user name or the password is wrong"
    );
    assert!(answers[5].starts_with("d BAD No login: "), "{}", answers[5]);
    assert_eq!(answers[6], "e NO [CANNOT] This mechanism is not offered");
    assert_eq!(answers[7], "+ VXNlcm5hbWU6");
    assert!(
        answers[9].starts_with("f OK [CAPABILITY "),
        "{}",
        answers[9]
    );
    assert_eq!(answers[10], "g BAD You have logged in already");
    let identity = sasl::Identity {
        authcid: "alice".to_owned(),
        authzid: "alice".to_owned(),
    };
    assert!(outcome.events.contains(&Event::LoggedIn(identity)));
}

#[test]
fn scram_of_an_unknown_user_is_refused_at_the_end() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a AUTHENTICATE SCRAM-SHA-256 biwsbj1ib2Iscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==",
            "Yz1iaXdzLHI9eA==",
            "b NOOP",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert!(answers[0].starts_with("+ "), "{answers:?}");
    assert!(
        answers[1].starts_with("a NO") || answers[1].starts_with("a BAD"),
        "{answers:?}"
    );
    assert_eq!(answers[2], "b OK NOOP completed");
}

#[test]
fn each_login_has_its_own_nonce() {
    let first = "AUTHENTICATE SCRAM-SHA-256 biwsbj1ib2Iscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==";
    let outcome = every_chunk(
        open(),
        &lines(&[&format!("a {first}"), "*", &format!("b {first}"), "*"]),
        &mut yes,
    );
    let challenges: Vec<String> = outcome
        .answers()
        .into_iter()
        .filter(|line| line.starts_with("+ "))
        .collect();
    assert_eq!(challenges.len(), 2);
    assert_ne!(challenges[0], challenges[1]);
}

#[test]
fn passwords_need_tls() {
    let config = Config {
        allow_plaintext_login: false,
        ..open()
    };
    let mut acts = lines(&[
        "a CAPABILITY",
        "b LOGIN alice secret",
        "c AUTHENTICATE PLAIN",
        "d STARTTLS",
    ]);
    acts.push(Act::Tls);
    acts.extend(lines(&[
        "e CAPABILITY",
        "f STARTTLS",
        "g LOGIN alice secret",
    ]));
    let outcome = every_chunk(config, &acts, &mut yes);
    let answers = outcome.answers();
    assert_eq!(
        answers[..9],
        [
            "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256",
            "a OK CAPABILITY completed",
            "b NO [PRIVACYREQUIRED] A password may only be sent inside TLS",
            "c NO [PRIVACYREQUIRED] A password may only be sent inside TLS",
            "d OK Begin TLS now",
            "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN",
            "e OK CAPABILITY completed",
            "f BAD TLS is active already",
            answers[8].as_str(),
        ]
    );
    assert!(answers[8].starts_with("g OK"));
}

#[test]
fn nothing_may_follow_starttls() {
    // CVE-2011-0411, CVE-2021-33515
    let config = Arc::new(open());
    let acts = lines(&["a STARTTLS", "b LOGIN alice secret"]);
    for chunk in 1..40 {
        let outcome = run(&config, &acts, chunk, &mut yes);
        assert_eq!(
            outcome.close,
            Some(Close::Violate(Violation::PlaintextAfterStartTls))
        );
        assert_eq!(outcome.events, [Event::Connected]);
    }
}

#[test]
fn implicit_tls_says_nothing_before_the_handshake() {
    let config = Config {
        implicit_tls: true,
        allow_plaintext_login: false,
        ..open()
    };
    let now = Instant::now();
    let mut server = Server::new(config, [0; 32]);
    assert!(matches!(
        server.poll_output(now),
        Output::Wait(Wait {
            read: false,
            deadline: Some(_)
        })
    ));
    server.handle_input(now, Input::Upgraded(TlsInfo::default()));
    assert!(matches!(
        server.poll_output(now),
        Output::Event(Event::Connected)
    ));
    server.greet().unwrap();
    let Output::Transmit(greeting) = server.poll_output(now) else {
        panic!()
    };
    let greeting = String::from_utf8_lossy(&greeting).into_owned();
    assert!(
        greeting.contains("AUTH=PLAIN") && !greeting.contains("STARTTLS"),
        "{greeting}"
    );
}

#[test]
fn who_is_let_in_is_who_was_asked_about() {
    // Full-width letters are the same name as plain ones, and a soft hyphen is nothing.
    for command in [
        "a LOGIN {11+}\r\n\u{ff41}nn\u{ad}@x.y secret",
        "a AUTHENTICATE PLAIN AO+9gW5uwq1AeC55AHNlY3JldA==",
    ] {
        let outcome = every_chunk(open(), &lines(&[command]), &mut yes);
        let names: Vec<&str> = outcome
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Auth(sasl::Ask::Password { authcid, .. }) => Some(authcid.as_str()),
                Event::LoggedIn(identity) => Some(identity.authzid.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(
            names,
            ["ann@x.y", "ann@x.y"],
            "{command}: {:?}",
            outcome.text()
        );
    }
}
