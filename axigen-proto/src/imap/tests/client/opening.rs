//! Until the session is ready: capabilities, TLS, logins, compression.

use super::*;

#[test]
fn capabilities_are_asked_for_where_they_are_not_told() {
    let config = Config {
        mechanisms: vec![Mechanism::Plain],
        ..config()
    };
    let user = script(
        &config,
        &[],
        &nothing,
        &[
            ("* OK hello\r\n", "A1 CAPABILITY\r\n"),
            (
                "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nA1 OK\r\n",
                "A2 AUTHENTICATE PLAIN\r\n",
            ),
            ("+\r\n", "AGFubgBzZWNyZXQ=\r\n"),
            ("A2 OK in\r\n", "A3 CAPABILITY\r\n"),
            ("* CAPABILITY IMAP4rev1 IDLE\r\nA3 OK\r\n", ""),
        ],
    );
    assert!(user.client.capabilities().has("IDLE"));
    assert!(user.is_ready());
    // Told in the greeting and by the login: nothing is asked.
    let user = script(
        &config,
        &[],
        &nothing,
        &[
            (
                "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n",
                "A1 AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n",
            ),
            ("A1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\n", ""),
        ],
    );
    assert!(user.is_ready());
    // Told while the login runs, as others do.
    script(
        &config,
        &[],
        &nothing,
        &[
            (
                "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n",
                "A1 AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n",
            ),
            ("* CAPABILITY IMAP4rev1\r\nA1 OK in\r\n", ""),
        ],
    );
    // A server that never says.
    let user = script(
        &config,
        &[],
        &nothing,
        &[("* OK hello\r\n", "A1 CAPABILITY\r\n"), ("A1 OK\r\n", "")],
    );
    assert_eq!(
        user.failure(),
        Some(&Failure::NoCapabilities(Status::ok("")))
    );
}

#[test]
fn the_command_login_is_the_last_resort() {
    let user = script(
        &config(),
        &[],
        &nothing,
        &[
            (
                "* OK [CAPABILITY IMAP4rev1] hello\r\n",
                "A1 LOGIN \"ann\" \"secret\"\r\n",
            ),
            ("A1 NO [AUTHENTICATIONFAILED] wrong\r\n", "A2 LOGOUT\r\n"),
        ],
    );
    assert!(matches!(user.failure(), Some(Failure::AuthRefused(_))));
    assert_eq!(user.close, Some(Close::Finish));
    // A literal for which the server is asked.
    let odd = Config {
        credentials: Some(Credentials::new("ann", "se\u{e4}cret").unwrap()),
        ..config()
    };
    script(
        &odd,
        &[],
        &nothing,
        &[
            (
                "* OK [CAPABILITY IMAP4rev1] hello\r\n",
                "A1 LOGIN \"ann\" {8}\r\n",
            ),
            ("+ go on\r\n", "se\u{e4}cret\r\n"),
            ("A1 OK [CAPABILITY IMAP4rev1] in\r\n", ""),
        ],
    );
    let user = script(
        &config(),
        &[],
        &nothing,
        &[(
            "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hello\r\n",
            "A1 LOGOUT\r\n",
        )],
    );
    assert_eq!(user.failure(), Some(&Failure::NoMechanism));
}

/// With STARTTLS required there is no way around it.
#[test]
fn passwords_only_inside_tls() {
    let required = Config {
        starttls: StartTls::Required,
        plaintext_password: false,
        ..config()
    };
    let user = script(
        &required,
        &[],
        &nothing,
        &[
            (
                "* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n",
                "A1 STARTTLS\r\n",
            ),
            ("A1 OK begin\r\n", "A2 CAPABILITY\r\n"),
            (
                "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\nA2 OK\r\n",
                "A3 AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n",
            ),
            ("A3 OK [CAPABILITY IMAP4rev1] in\r\n", ""),
        ],
    );
    assert!(user.is_ready());
    assert_eq!(user.upgrades, [Upgrade::Tls]);
    for (turns, failure) in [
        (
            vec![("* OK [CAPABILITY IMAP4rev1] hello\r\n", "A1 LOGOUT\r\n")],
            Failure::TlsNotOffered,
        ),
        (
            vec![
                (
                    "* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n",
                    "A1 STARTTLS\r\n",
                ),
                ("A1 NO not now\r\n", "A2 LOGOUT\r\n"),
            ],
            Failure::TlsRefused(Status::no("not now")),
        ),
        (
            // The greeting after which there is no STARTTLS.
            vec![("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n", "")],
            Failure::PreauthWithoutTls,
        ),
    ] {
        let user = script(&required, &[], &nothing, &turns);
        assert_eq!(user.failure(), Some(&failure));
        assert_eq!(user.close, Some(Close::Finish));
        assert!(!user.is_ready());
    }
    // Where it is only wanted, no password goes out in the clear all the same.
    let wanted = Config {
        starttls: StartTls::IfOffered,
        ..required
    };
    let user = script(
        &wanted,
        &[],
        &nothing,
        &[(
            "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN] hello\r\n",
            "A1 LOGOUT\r\n",
        )],
    );
    assert_eq!(user.failure(), Some(&Failure::NoMechanism));
}

#[test]
fn responses_behind_starttls_are_never_believed() {
    // CVE-2011-0411
    let config = Config {
        starttls: StartTls::Required,
        ..config()
    };
    for injected in ["* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "A2 OK\r\n", "x"] {
        for chunk in 1..80 {
            let mut user = User::new(config.clone());
            user.hear("* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n", 100);
            let answer = format!("A1 OK begin\r\n{injected}");
            for piece in answer.as_bytes().chunks(chunk) {
                user.client
                    .handle_input(user.now, Input::Bytes(BytesMut::from(piece)));
                user.settle();
            }
            assert_eq!(user.failure(), Some(&Failure::PlaintextAfterStartTls));
            assert_eq!(
                user.close,
                Some(Close::Violate(Violation::PlaintextAfterStartTls))
            );
        }
    }
    // What was told before the handshake is forgotten, and what nobody asked for is not told.
    let user = script(
        &Config {
            credentials: None,
            ..config
        },
        &[],
        &nothing,
        &[
            (
                "* OK [CAPABILITY IMAP4rev1 STARTTLS X-EVIL] hi\r\n",
                "A1 STARTTLS\r\n",
            ),
            (
                "* LIST () \"/\" evil\r\n* 1 FETCH (BODY[] {3}\r\nabc)\r\nA1 OK begin\r\n",
                "A2 CAPABILITY\r\n",
            ),
            ("* CAPABILITY IMAP4rev1\r\nA2 OK\r\n", ""),
        ],
    );
    assert!(matches!(&user.events[..], [Event::Ready(offers)] if !offers.has("X-EVIL")));
}

#[test]
fn a_server_that_does_not_prove_itself_is_not_believed() {
    let scram = Config {
        mechanisms: vec![Mechanism::ScramSha256],
        ..config()
    };
    let opening = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256] hello\r\n";
    let mut user = User::new(scram.clone());
    assert!(
        user.hear(opening, 7)
            .starts_with("A1 AUTHENTICATE SCRAM-SHA-256 ")
    );
    user.hear("A1 OK welcome\r\n", 7);
    assert_eq!(
        user.failure(),
        Some(&Failure::Auth(ClientError::ServerNotProved))
    );
    // Nonsense instead of a challenge, and challenges without end.
    for challenge in ["+ !\r\n", "+ eA==\r\n"] {
        let mut user = User::new(scram.clone());
        user.hear(opening, 7);
        assert_eq!(user.hear(challenge, 7), "*\r\n");
        assert!(matches!(user.failure(), Some(Failure::Auth(_))));
    }
    let login = Config {
        mechanisms: vec![Mechanism::Login],
        ..config()
    };
    let mut user = User::new(login);
    user.hear("* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN] hello\r\n", 7);
    assert_eq!(user.hear("+ VXNlcm5hbWU6\r\n", 7), "YW5u\r\n");
    assert_eq!(user.hear("+ UGFzc3dvcmQ6\r\n", 7), "c2VjcmV0\r\n");
    user.hear("+ TW9yZQ==\r\n", 7);
    assert!(matches!(user.failure(), Some(Failure::Auth(_))));
}

#[test]
fn compression_begins_before_the_session_is_ready() {
    let compress = Config {
        compress: true,
        ..config()
    };
    let opening = (
        "* OK [CAPABILITY IMAP4rev1] hello\r\n",
        "A1 LOGIN \"ann\" \"secret\"\r\n",
    );
    let user = script(
        &compress,
        &[],
        &nothing,
        &[
            opening,
            (
                "A1 OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] in\r\n",
                "A2 COMPRESS DEFLATE\r\n",
            ),
            ("A2 OK\r\n", ""),
        ],
    );
    assert!(user.is_ready() && user.client.is_compressed());
    assert_eq!(user.upgrades, [Upgrade::Deflate]);
    let user = script(
        &compress,
        &[],
        &nothing,
        &[
            opening,
            (
                "A1 OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] in\r\n",
                "A2 COMPRESS DEFLATE\r\n",
            ),
            ("A2 NO not today\r\n", ""),
        ],
    );
    assert!(user.is_ready() && !user.client.is_compressed());
}
