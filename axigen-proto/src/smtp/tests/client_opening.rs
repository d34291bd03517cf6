//! The client from the greeting to the login, against a script.

use std::time::Duration;

use super::sender::{EHLO, Job, Sender, config, job, script};
use crate::sasl::Mechanism;
use crate::sasl::client::{ClientError, Credentials};
use crate::session::{Close, Input, Session, Violation};
use crate::smtp::client::{Failure, Role, StartTls};
use crate::smtp::reply::Reply;

#[test]
fn a_server_without_ehlo_is_asked_with_helo() {
    let mut job = job(&["c@d.test"], b"x");
    job.envelopes[0].size = Some(1);
    script(
        &config(Role::Smtp),
        &job,
        &[
            EHLO,
            ("502 what?\r\n", "HELO client.test\r\n"),
            ("250 mx.test\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    let sender = script(
        &config(Role::Lmtp),
        &job,
        &[
            ("220 mx.test\r\n", "LHLO client.test\r\n"),
            ("500 what?\r\n", "QUIT\r\n"),
        ],
    );
    assert_eq!(
        sender.failure(),
        Some(&Failure::Refused(Reply::plain(500, "what?")))
    );
}

#[test]
fn a_session_that_is_refused() {
    for greeting in ["554 5.3.2 no service\r\n", "421 later\r\n"] {
        let sender = script(
            &config(Role::Smtp),
            &job(&["c@d"], b""),
            &[(greeting, "QUIT\r\n")],
        );
        assert!(matches!(sender.failure(), Some(Failure::Refused(_))));
        assert_eq!(sender.close, Some(Close::Finish));
    }
    let turns = [EHLO, ("451 later\r\n", "QUIT\r\n")];
    let sender = script(&config(Role::Smtp), &job(&["c@d"], b""), &turns);
    assert!(matches!(sender.failure(), Some(Failure::Refused(_))));
    // 421 at any time.
    let turns = [
        EHLO,
        ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ("421 bye\r\n", ""),
    ];
    let sender = script(&config(Role::Smtp), &job(&["c@d"], b""), &turns);
    assert_eq!(
        sender.failure(),
        Some(&Failure::Closing(Reply::plain(421, "bye")))
    );
}

#[test]
fn starttls_as_the_policy_says() {
    let mut required = config(Role::Smtp);
    required.starttls = StartTls::Required;
    let job = job(&["c@d"], b"");
    let sender = script(&required, &job, &[EHLO, ("250 mx.test\r\n", "QUIT\r\n")]);
    assert_eq!(sender.failure(), Some(&Failure::TlsNotOffered));
    let offer = "250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    let sender = script(
        &required,
        &job,
        &[EHLO, (offer, "STARTTLS\r\n"), ("454 no\r\n", "QUIT\r\n")],
    );
    assert!(matches!(sender.failure(), Some(Failure::TlsRefused(_))));
    script(
        &config(Role::Smtp),
        &job,
        &[
            EHLO,
            (offer, "STARTTLS\r\n"),
            (
                "454 no\r\n",
                "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
            ),
        ],
    );
    let mut never = config(Role::Smtp);
    never.starttls = StartTls::Never;
    script(
        &never,
        &job,
        &[
            EHLO,
            (offer, "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        ],
    );
    // What was offered before the handshake is forgotten: no pipelining here.
    let sender = script(
        &required,
        &job,
        &[
            EHLO,
            (offer, "STARTTLS\r\n"),
            ("220 go\r\n", "EHLO client.test\r\n"),
            ("250 mx.test\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    assert!(sender.client.tls().is_some());
}

#[test]
fn replies_behind_starttls_are_never_believed() {
    for role in [Role::Smtp, Role::Lmtp] {
        for policy in [StartTls::Required, StartTls::IfOffered] {
            for injected in ["250-x\r\n250 AUTH PLAIN\r\n", "\r\n", "2"] {
                let mut config = config(role);
                config.starttls = policy;
                let mut sender = Sender::new(config, job(&["c@d"], b""));
                sender.hear(b"220 x\r\n", 99);
                sender.hear(b"250-x\r\n250 STARTTLS\r\n", 99);
                sender.hear(format!("220 go\r\n{injected}").as_bytes(), 99);
                assert_eq!(sender.failure(), Some(&Failure::PlaintextAfterStartTls));
                assert_eq!(
                    sender.close,
                    Some(Close::Violate(Violation::PlaintextAfterStartTls))
                );
            }
        }
    }
}

#[test]
fn logins() {
    let credentials = Credentials::new("alice", "demo").unwrap();
    let mut plain = config(Role::Smtp);
    plain.credentials = Some(credentials);
    let job = job(&["c@d"], b"");
    let offer = "250-mx.test\r\n250 AUTH LOGIN PLAIN\r\n";
    let sender = script(&plain, &job, &[EHLO, (offer, "QUIT\r\n")]);
    assert_eq!(sender.failure(), Some(&Failure::NoMechanism));
    plain.plaintext_password = true;
    script(
        &plain,
        &job,
        &[
            EHLO,
            (offer, "AUTH PLAIN AGFsaWNlAGRlbW8=\r\n"),
            ("235 ok\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    let sender = script(
        &plain,
        &job,
        &[
            EHLO,
            (offer, "AUTH PLAIN AGFsaWNlAGRlbW8=\r\n"),
            ("535 5.7.8 no\r\n", "QUIT\r\n"),
        ],
    );
    assert!(matches!(sender.failure(), Some(Failure::AuthRefused(_))));
    plain.mechanisms = vec![Mechanism::Login];
    script(
        &plain,
        &job,
        &[
            EHLO,
            (offer, "AUTH LOGIN\r\n"),
            ("334 VXNlcm5hbWU6\r\n", "YWxpY2U=\r\n"),
            ("334 UGFzc3dvcmQ6\r\n", "ZGVtbw==\r\n"),
            ("235 ok\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    // A server that says yes before it has proved that it knows the password.
    plain.mechanisms = vec![Mechanism::ScramSha256];
    let offer = "250-mx.test\r\n250 AUTH SCRAM-SHA-256\r\n";
    let mut sender = Sender::new(plain.clone(), job.clone());
    sender.hear(b"220 x\r\n", 99);
    sender.hear(offer.as_bytes(), 99);
    sender.hear(b"235 welcome\r\n", 99);
    assert_eq!(
        sender.failure(),
        Some(&Failure::Auth(ClientError::ServerNotProved))
    );
    let mut sender = Sender::new(plain, job);
    sender.hear(b"220 x\r\n", 99);
    sender.hear(offer.as_bytes(), 99);
    sender.hear(b"334 !\r\n", 99);
    assert!(matches!(sender.failure(), Some(Failure::BadReply(_))));
}

#[test]
fn a_long_login_waits_for_the_challenge() {
    let mut config = config(Role::Smtp);
    config.plaintext_password = true;
    config.credentials = Some(Credentials::new("alice", "x".repeat(500)).unwrap());
    let mut sender = Sender::new(config, job(&["c@d"], b""));
    sender.hear(b"220 x\r\n", 99);
    let sent = sender.hear(b"250-x\r\n250 AUTH PLAIN\r\n", 99);
    assert_eq!(sent, b"AUTH PLAIN\r\n");
    let sent = sender.hear(b"334 \r\n", 99);
    assert!(sent.starts_with(b"AGFsaWNlAHh4"));
}

#[test]
fn garbage_from_a_server_is_an_error_in_words() {
    let huge = "250-x\r\n".repeat(300);
    let long = format!("250 {}\r\n", "x".repeat(5000));
    for text in [
        "hello\r\n",
        "\r\n",
        "250\n",
        "250-a\r\n251 b\r\n",
        "250-a\r\nb\r\n",
        "999 x\r\n",
        "\u{16}\u{3}\u{1}\r\n",
        "25\r\n",
        &huge,
        &long,
    ] {
        let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
        sender.hear(b"220 x\r\n", 99);
        sender.hear(text.as_bytes(), 1000);
        assert!(
            matches!(sender.failure(), Some(Failure::BadReply(_))),
            "{text:?}"
        );
        assert_eq!(
            sender.close,
            Some(Close::Violate(Violation::NotThisProtocol))
        );
    }
    // Replies in the wrong place.
    for turns in [
        &[("354 go\r\n", "")][..],
        &[EHLO, ("334 x\r\n", "")],
        &[
            EHLO,
            ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
            ("354 x\r\n", ""),
        ],
        &[(
            "220 x\r\n250 y\r\n250 z\r\n250 z\r\n250 z\r\n250 z\r\n",
            "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
        )],
    ] {
        let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
        for (server, client) in turns {
            let sent = sender.hear(server.as_bytes(), 99);
            assert_eq!(String::from_utf8_lossy(&sent), *client);
        }
        assert!(
            matches!(sender.failure(), Some(Failure::UnexpectedReply(_))),
            "{turns:?} {:?}",
            sender.events
        );
    }
}

#[test]
fn control_characters_of_a_server_are_not_passed_on() {
    let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
    sender.hear(b"554 \x1b[2J\0\xff\r\n", 99);
    let Some(Failure::Refused(reply)) = sender.failure() else {
        panic!("{:?}", sender.events);
    };
    assert_eq!(reply.text, "?[2J?\u{fffd}");
}

#[test]
fn silence_and_hanging_up() {
    let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
    sender.settle();
    assert_eq!(sender.deadline, Some(sender.now + Duration::from_secs(300)));
    // A trickle is no answer.
    sender.hear(b"22", 1);
    sender.now += Duration::from_secs(300);
    sender.client.handle_input(sender.now, Input::Timeout);
    sender.settle();
    assert_eq!(sender.failure(), Some(&Failure::TimedOut));
    assert_eq!(sender.close, Some(Close::TimedOut));
    let mut sender = Sender::new(config(Role::Smtp), job(&["c@d"], b""));
    sender.hear(b"220 x\r\n", 99);
    sender.client.handle_input(sender.now, Input::Eof);
    sender.settle();
    assert_eq!(sender.failure(), Some(&Failure::PeerGone));
    assert_eq!(sender.close, Some(Close::PeerGone));
    // After QUIT that is fine.
    let mut sender = Sender::new(
        config(Role::Smtp),
        Job {
            envelopes: Vec::new(),
            body: Vec::new(),
            piece: 1,
        },
    );
    sender.hear(b"220 x\r\n250 x\r\n", 7);
    sender.client.handle_input(sender.now, Input::Eof);
    sender.settle();
    assert_eq!(sender.failure(), None);
    assert_eq!(sender.close, Some(Close::Finish));
}
