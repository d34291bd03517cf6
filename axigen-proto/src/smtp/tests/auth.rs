//! AUTH on the server, and the three mechanisms between our two sides.

use super::peer::{PASSWORD, Peer, USER, bare, dialogue};
use crate::sasl::client::{Client as Login, Credentials};
use crate::sasl::{Mechanism, encode_line};
use crate::session::{Close, Violation};
use crate::smtp::server::{Config, Extensions, Role, StartTls};

const GREETING: &str = "220 mx.test ESMTP ready";

fn submission() -> Config {
    let mut config = bare(Role::Submission);
    config.auth_plaintext = Mechanism::PASSWORD.to_vec();
    config.extensions = Extensions {
        pipelining: false,
        size: false,
        eight_bit_mime: false,
        chunking: false,
        smtputf8: false,
        ..config.extensions
    };
    config
}

/// Behind the greeting and EHLO.
fn after_ehlo(input: &[u8], want: &[&str]) -> Peer {
    let input = [b"EHLO a.test\r\n", input].concat();
    let before = [
        GREETING,
        "250-mx.test",
        "250-ENHANCEDSTATUSCODES",
        "250 AUTH SCRAM-SHA-256 PLAIN LOGIN",
    ];
    dialogue(&submission(), &[&input], &[&before, want].concat())
}

#[test]
fn submission_needs_a_login() {
    let peer = after_ehlo(
        b"MAIL FROM:<a@b>\r\nAUTH PLAIN AGFsaWNlAGRlbW8=\r\nMAIL FROM:<a@b>\r\nAUTH PLAIN AGFsaWNlAGRlbW8=\r\nRSET\r\nEHLO x\r\n",
        &[
            "530 5.7.0 authentication required",
            "235 2.7.0 authentication succeeded",
            "250 2.1.0…",
            "503 5.5.1 you are logged in already",
            "250 2.0.0 OK",
            "250-mx.test",
            "250 ENHANCEDSTATUSCODES",
        ],
    );
    assert_eq!(peer.server.identity().unwrap().authcid, "alice");
}

#[test]
fn challenges_cancelling_and_nonsense() {
    after_ehlo(
        b"AUTH PLAIN\r\nAGFsaWNlAGRlbW8=\r\n",
        &["334 ", "235 2.7.0 authentication succeeded"],
    );
    after_ehlo(
        b"AUTH LOGIN\r\nYWxpY2U=\r\nZGVtbw==\r\n",
        &[
            "334 VXNlcm5hbWU6",
            "334 UGFzc3dvcmQ6",
            "235 2.7.0 authentication succeeded",
        ],
    );
    after_ehlo(
        b"AUTH PLAIN\r\n*\r\nAUTH PLAIN\r\nnot base64\r\nAUTH PLAIN !\r\nAUTH PLAIN =\r\nAUTH PLAIN AGE=\r\nAUTH PLAIN\r\nAGFsaWNl\nAUTH FROB\r\nAUTH\r\nNOOP\r\n",
        &[
            "334 ",
            "501 5.7.0 authentication cancelled",
            "334 ",
            "501 5.5.2 not valid base64",
            "501 5.5.2 not valid base64",
            "501 5.5.2…",
            "501 5.5.2…",
            "334 ",
            "500 5.5.2 a command ends…",
            "504 5.5.4 no such authentication mechanism here",
            "501 5.5.4…",
            "250 2.0.0 OK",
        ],
    );
}

#[test]
fn a_line_of_an_exchange_has_its_own_limit() {
    let mut config = submission();
    config.limits.command_line = 100;
    config.limits.auth_line = 300;
    let long = "A".repeat(296);
    let too_long = "A".repeat(301);
    let input = format!("EHLO a\r\nAUTH PLAIN\r\n{long}\r\nAUTH PLAIN\r\n{too_long}\r\nNOOP\r\n");
    let mut peer = Peer::new(config);
    peer.give(input.as_bytes(), 7);
    let lines = peer.lines();
    assert!(lines[5].starts_with("501 5.5.2"), "{lines:?}");
    assert_eq!(lines[7], "500 5.5.6 authentication exchange line too long");
    assert_eq!(lines[8], "250 2.0.0 OK");
    // And AUTH itself has it too, however its bytes come.
    let input = format!(
        "EHLO a\r\nauth PLAIN {}\r\nNOOP {}\r\nAUTH PLAIN {too_long}\r\nNOOP\r\n",
        "A".repeat(288),
        "x".repeat(96)
    );
    for chunk in [1, 3, 7, 1000] {
        let mut config = submission();
        config.limits.command_line = 100;
        config.limits.auth_line = 300;
        let mut peer = Peer::new(config);
        peer.give(input.as_bytes(), chunk);
        let lines = peer.lines();
        assert!(lines[4].starts_with("501 5.5.2"), "{lines:?}");
        assert_eq!(lines[5], "500 5.5.2 line too long");
        assert_eq!(lines[6], "500 5.5.2 line too long");
        assert_eq!(lines[7], "250 2.0.0 OK");
    }
}

#[test]
fn refusals_are_counted() {
    let peer = after_ehlo(
        b"AUTH PLAIN AGxvY2tlZAB4\r\nAUTH PLAIN AGJ1c3kAeA==\r\nAUTH PLAIN AGEAYg==\r\nAUTH PLAIN AGEAYg==\r\nAUTH PLAIN AGEAYg==\r\nNOOP\r\n",
        &[
            "535 5.7.13 the account is disabled",
            "454 4.7.0 too many logins, try again later",
            "535 5.7.8 user or password is wrong",
            "535 5.7.8 user or password is wrong",
            "535 5.7.8 user or password is wrong",
            "421 4.7.0 too many failed logins",
        ],
    );
    assert_eq!(
        peer.close,
        Some(Close::Violate(Violation::TooManyAuthFailures))
    );
}

#[test]
fn auth_has_its_place() {
    let mut config = submission();
    config.auth_required = false;
    config.auth_plaintext = vec![Mechanism::ScramSha256];
    config.starttls = StartTls::Offered;
    dialogue(
        &config,
        &[
            b"AUTH PLAIN\r\nHELO a\r\nAUTH PLAIN\r\nEHLO a\r\nAUTH PLAIN\r\nMAIL FROM:<a@b>\r\nAUTH SCRAM-SHA-256\r\nRSET\r\nSTARTTLS\r\n",
            b"EHLO a\r\nAUTH PLAIN AGFsaWNlAGRlbW8=\r\n",
        ],
        &[
            GREETING,
            "503 5.5.1 send EHLO before AUTH",
            "250 mx.test",
            "503 5.5.1 send EHLO before AUTH",
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250-STARTTLS",
            "250 AUTH SCRAM-SHA-256",
            "538 5.7.11 this authentication mechanism needs TLS",
            "250 2.1.0…",
            "503 5.5.1 AUTH is not allowed inside a transaction",
            "250 2.0.0 OK",
            "220 2.0.0 ready to start TLS",
            "<TLS>",
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 AUTH SCRAM-SHA-256 PLAIN LOGIN",
            "235 2.7.0 authentication succeeded",
        ],
    );
}

/// Logs in with our own client side, over the wire format.
fn log_in(mechanism: Mechanism, password: &str, initial: bool) -> Peer {
    let mut peer = Peer::new(submission());
    peer.give(b"EHLO a\r\n", 99);
    let credentials = Credentials::new(USER, password).unwrap();
    let mut login = Login::new(mechanism, credentials, b"client nonce");
    let first = if initial { login.initial() } else { None };
    let first = first.map_or(String::new(), |first| format!(" {}", encode_line(&first)));
    peer.give(format!("AUTH {mechanism}{first}\r\n").as_bytes(), 5);
    loop {
        let last = peer.lines().pop().unwrap();
        let Some(challenge) = last.strip_prefix("334 ") else {
            if last.starts_with("235") {
                login.finish().unwrap();
            }
            return peer;
        };
        let challenge = crate::sasl::decode_line(challenge.as_bytes()).unwrap();
        let response = login.respond(&challenge).unwrap();
        peer.give(format!("{}\r\n", encode_line(&response)).as_bytes(), 5);
    }
}

#[test]
fn each_mechanism_between_our_two_sides() {
    for mechanism in &Mechanism::PASSWORD[1..] {
        let mechanism = *mechanism;
        for initial in [true, false] {
            let peer = log_in(mechanism, PASSWORD, initial);
            assert_eq!(
                peer.server.identity().unwrap().authzid,
                USER,
                "{mechanism} {initial}"
            );
            let peer = log_in(mechanism, "wrong", initial);
            assert!(peer.server.identity().is_none(), "{mechanism} {initial}");
            assert!(peer.text().ends_with("user or password is wrong\r\n"));
        }
    }
}

#[test]
fn the_login_is_gone_after_starttls() {
    let mut config = submission();
    config.starttls = StartTls::Offered;
    let mut peer = Peer::new(config);
    peer.give(b"EHLO a\r\nAUTH PLAIN AGFsaWNlAGRlbW8=\r\n", 99);
    assert!(peer.server.identity().is_some());
    peer.give(b"STARTTLS\r\n", 99);
    assert!(peer.server.identity().is_none());
    peer.give(b"EHLO a\r\nMAIL FROM:<a@b>\r\n", 99);
    assert!(
        peer.text()
            .ends_with("530 5.7.0 authentication required\r\n")
    );
}
