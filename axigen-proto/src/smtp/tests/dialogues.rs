//! Dialogues with the server, at every chunk size: sequence, syntax, limits, ends.

use std::time::Duration;

use bytes::BytesMut;

use super::peer::{App, Peer, bare, dialogue, mx};
use crate::sasl::Mechanism;
use crate::session::{Close, Input, Misuse, Session, Violation};
use crate::smtp::reply::Reply;
use crate::smtp::server::{Config, Role, Server, StartTls};
use crate::smtp::standard;

const GREETING: &str = "220 mx.test ESMTP ready";

/// What comes before every wrong sequence: HELO has a one-line answer.
fn after_helo(commands: &[u8], want: &[&str]) -> Peer {
    let input = [b"HELO a.test\r\n", commands].concat();
    let all = [&[GREETING, "250 mx.test"], want].concat();
    dialogue(&mx(), &[&input], &all)
}

#[test]
fn each_role_greets_and_offers_what_works() {
    dialogue(
        &mx(),
        &[b"EHLO a.test\r\nQUIT\r\n"],
        &[
            GREETING,
            "250-mx.test",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-CHUNKING",
            "250-BINARYMIME",
            "250-ENHANCEDSTATUSCODES",
            "250 SIZE 52428800",
            "221 2.0.0 goodbye",
        ],
    );
    let lmtp = bare(Role::Lmtp);
    let peer = dialogue(
        &lmtp,
        &[b"EHLO a\r\nHELO a\r\nLHLO a\r\nQUIT\r\n"],
        &[
            "220 mx.test LMTP ready",
            "500 5.5.1 this is LMTP: say LHLO",
            "500 5.5.1 this is LMTP: say LHLO",
            "250-mx.test",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-CHUNKING",
            "250-BINARYMIME",
            "250-ENHANCEDSTATUSCODES",
            "250 SIZE 52428800",
            "221 2.0.0 goodbye",
        ],
    );
    assert_eq!(peer.close, Some(Close::Finish));
    let mut config = mx();
    config.extensions.chunking = false;
    config.extensions.pipelining = false;
    config.extensions.smtputf8 = false;
    config.extensions.enhanced_status_codes = false;
    config.limits.message_size = 0;
    dialogue(
        &config,
        &[
            b"EHLO a.test\r\nMAIL FROM:<a@b> SMTPUTF8\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nBDAT 3\r\nxyzQUIT\r\n",
        ],
        &[
            GREETING,
            "250-mx.test",
            "250-8BITMIME",
            "250 SIZE 0",
            "555 unknown parameter",
            "555 unknown parameter",
            "502 command not implemented",
            "221 goodbye",
        ],
    );
}

#[test]
fn a_typical_transaction() {
    let peer = after_helo(
        b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<nobody@d.test>\r\nRCPT TO:<@x,@y:e@d.test>\r\nDATA\r\n\
          Subject: x\r\n\r\n..dot\r\n...\r\n.\r\n\
          MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n.\r\nQUIT\r\nNOOP\r\n",
        &[
            "250 2.1.0 sender OK",
            "250 2.1.5 recipient OK",
            "550 5.1.1 no such user here",
            "250 2.1.5 recipient OK",
            "354 end the message with <CRLF>.<CRLF>",
            "250 2.0.0 OK",
            "250 2.1.0 sender OK",
            "250 2.1.5 recipient OK",
            "354 end the message with <CRLF>.<CRLF>",
            "250 2.0.0 OK",
            "221 2.0.0 goodbye",
        ],
    );
    assert_eq!(peer.close, Some(Close::Finish));
    let [first, second] = &peer.app.messages[..] else {
        panic!("{:?}", peer.app.messages);
    };
    assert_eq!(first.to, ["<c@d.test>", "<e@d.test>"]);
    assert_eq!(first.body, b"Subject: x\r\n\r\n.dot\r\n..\r\n");
    assert_eq!((second.from.as_str(), &second.body[..]), ("<>", &b""[..]));
    assert_eq!(second.to, ["<Postmaster>"]);
}

#[test]
fn every_wrong_sequence_has_its_reply() {
    dialogue(
        &mx(),
        &[b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nSTARTTLS\r\nAUTH PLAIN\r\nNOOP\r\nRSET\r\nHELP\r\nVRFY x\r\nEXPN x\r\n"],
        &[
            GREETING,
            "503 5.5.1 introduce yourself first",
            "503 5.5.1 introduce yourself first",
            "503 5.5.1 introduce yourself first",
            "502 5.5.1 command not implemented",
            "502 5.5.1 command not implemented",
            "250 2.0.0 OK",
            "250 2.0.0 OK",
            "214-2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT",
            "214 2.0.0 see RFC 5321",
            "252 2.5.0 cannot verify…",
            "252 2.5.0 cannot tell…",
        ],
    );
    after_helo(
        b"RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\nRCPT TO:<nobody@b>\r\nDATA\r\n\
          RCPT TO:<c@d>\r\nRSET\r\nRCPT TO:<c@d>\r\nLHLO x\r\nFROB\r\nMAIL FROM:<a@b> SIZE=1\r\nMAIL FROM:<refused@x.test>\r\nRCPT TO:<c@d>\r\n",
        &[
            "503 5.5.1 send MAIL first",
            "503 5.5.1 send MAIL first",
            "250 2.1.0…",
            "503 5.5.1 a transaction is open already; end it or send RSET",
            "503 5.5.1 send RCPT first",
            "550 5.1.1…",
            "503 5.5.1 no valid recipients",
            "250 2.1.5…",
            "250 2.0.0 OK",
            "503 5.5.1 send MAIL first",
            "500 5.5.1 this is SMTP: say EHLO",
            "500 5.5.1 unknown command",
            "555 5.5.4 parameters can be used after EHLO only",
            "550 5.7.1 not you",
            "503 5.5.1 send MAIL first",
        ],
    );
}

#[test]
fn a_second_hello_resets_and_a_refused_one_does_not() {
    let peer = after_helo(
        b"MAIL FROM:<a@b>\r\nHELO spammer\r\nRCPT TO:<a@b>\r\nHELO again\r\nRCPT TO:<a@b>\r\nMAIL FROM:<a@b>\r\nRSET\r\nRSET\r\n",
        &[
            "250 2.1.0…",
            "550 5.7.1 go away",
            "250 2.1.5…",
            "250 mx.test",
            "503 5.5.1 send MAIL first",
            "250 2.1.0…",
            "250 2.0.0 OK",
            "250 2.0.0 OK",
        ],
    );
    assert_eq!(peer.app.resets, 2);
}

#[test]
fn only_crlf_ends_a_command() {
    after_helo(
        b"NOOP\nNOOP\r\nNO\rOP\r\nNOOP\r\r\nNOOP\0\r\nNOOP\x80\r\n\nNOOP \xc3\xa9\r\n\r\n",
        &[
            "500 5.5.2 a command ends with CR LF; a CR or LF by itself is not allowed",
            "250 2.0.0 OK",
            "500 5.5.2 a command ends…",
            "500 5.5.2 a command ends…",
            "500 5.5.2 a command is UTF-8…",
            "500 5.5.2 a command is UTF-8…",
            "500 5.5.2 a command ends…",
            "250 2.0.0 OK",
            "500 5.5.1 unknown command",
        ],
    );
}

#[test]
fn addresses_beyond_ascii_need_smtputf8() {
    let hello = b"EHLO a\r\n".as_slice();
    let mut config = mx();
    config.extensions = crate::smtp::server::Extensions {
        pipelining: false,
        size: false,
        eight_bit_mime: false,
        chunking: false,
        ..config.extensions
    };
    let input = [
        hello,
        "MAIL FROM:<jörg@b>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<jörg@b>\r\nRSET\r\n\
         MAIL FROM:<jörg@b> SMTPUTF8\r\nRCPT TO:<jörg@bücher.test>\r\nDATA\r\n.\r\n"
            .as_bytes(),
    ]
    .concat();
    let peer = dialogue(
        &config,
        &[&input],
        &[
            GREETING,
            "250-mx.test",
            "250-SMTPUTF8",
            "250 ENHANCEDSTATUSCODES",
            "553 5.6.7 this address needs SMTPUTF8",
            "250 2.1.0…",
            "553 5.6.7 this address needs SMTPUTF8",
            "250 2.0.0 OK",
            "250 2.1.0…",
            "250 2.1.5…",
            "354…",
            "250 2.0.0 OK",
        ],
    );
    assert_eq!(peer.app.messages[0].to, ["<jörg@bücher.test>"]);
}

#[test]
fn long_lines_and_many_recipients() {
    let mut config = mx();
    config.limits.command_line = 40;
    config.limits.recipients = 2;
    let long = format!("NOOP {}\r\n", "x".repeat(100));
    let input = format!(
        "HELO a\r\n{long}NOOP {}\r\nNOOP {}\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@b>\r\nRCPT TO:<d@b>\r\nDATA\r\n.\r\n",
        "x".repeat(35),
        "x".repeat(36)
    );
    let peer = dialogue(
        &config,
        &[input.as_bytes()],
        &[
            GREETING,
            "250 mx.test",
            "500 5.5.2 line too long",
            "250 2.0.0 OK",
            "500 5.5.2 line too long",
            "250 2.1.0…",
            "250 2.1.5…",
            "250 2.1.5…",
            "452 4.5.3 too many recipients",
            "354…",
            "250 2.0.0 OK",
        ],
    );
    assert_eq!(peer.app.messages[0].to.len(), 2);
}

#[test]
fn too_many_errors_end_the_session() {
    let mut config = mx();
    config.limits.errors = 3;
    let peer = dialogue(
        &config,
        &[b"FROB\r\nFROB\r\nFROB\r\nFROB\r\nNOOP\r\n"],
        &[
            GREETING,
            "500…",
            "500…",
            "500…",
            "500…",
            "421 4.7.0 too many errors",
        ],
    );
    assert_eq!(peer.close, Some(Close::Violate(Violation::TooManyErrors)));
}

#[test]
fn other_protocols_are_sent_away() {
    for input in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n"[..],
        b"POST / HTTP/1.1\r\n\r\nEHLO x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let peer = dialogue(
            &mx(),
            &[input],
            &[GREETING, "554 5.5.1 this is a mail server"],
        );
        assert_eq!(
            peer.close,
            Some(Close::Violate(Violation::NotThisProtocol)),
            "{input:?}"
        );
    }
}

#[test]
fn a_refused_connection_answers_503_until_quit() {
    for (reply, first) in [
        (standard::NO_SERVICE, "554 no service here"),
        (
            standard::TOO_MANY_CONNECTIONS,
            "421 4.7.0 too many connections",
        ),
    ] {
        let app = App {
            connect: Some(reply.into()),
            ..App::default()
        };
        let mut peer = Peer::with_app(mx(), app);
        peer.give(b"EHLO x\r\nBDAT 5\r\nhelloQUIT\r\n", 3);
        let want: &[&str] = if reply.code == 554 {
            &[
                first,
                "503 5.5.1 there is no service for you here; send QUIT",
                "503 5.5.1 there is no service for you here; send QUIT",
                "221 2.0.0 goodbye",
            ]
        } else {
            &[first]
        };
        assert_eq!(peer.lines(), want);
        assert_eq!(peer.close, Some(Close::Finish));
    }
}

#[test]
fn a_421_of_the_application_ends_the_session() {
    let peer = after_helo(
        b"MAIL FROM:<bye@x.test>\r\nNOOP\r\n",
        &["421 4.3.2 the service is shutting down"],
    );
    assert_eq!(peer.close, Some(Close::Finish));
    let mut peer = Peer::new(mx());
    peer.give(b"HELO a\r\n", 1);
    assert!(peer.server.is_idle());
    peer.server.close(&standard::SHUTTING_DOWN.into());
    peer.settle();
    assert!(
        peer.text()
            .ends_with("421 4.3.2 the service is shutting down\r\n")
    );
    assert_eq!(peer.close, Some(Close::Finish));
}

#[test]
fn deadlines() {
    let minute = Duration::from_secs(60);
    // A byte now and then does not keep a command alive.
    let mut peer = Peer::new(mx());
    for _ in 0..4 {
        peer.give(b"N", 1);
        peer.pass(minute);
    }
    assert_eq!(peer.close, None);
    peer.pass(minute);
    assert_eq!(peer.close, Some(Close::TimedOut));
    assert!(
        peer.text()
            .ends_with("421 4.4.2 timed out while waiting for you\r\n")
    );
    // A complete command does.
    let mut peer = Peer::new(mx());
    for _ in 0..10 {
        peer.give(b"NOOP\r\n", 1);
        peer.pass(4 * minute);
    }
    assert_eq!(peer.close, None);
    // A message has a deadline for each piece.
    let mut peer = Peer::new(mx());
    peer.give(b"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n", 7);
    for _ in 0..10 {
        peer.give(b"x", 1);
        peer.pass(2 * minute);
    }
    assert_eq!(peer.close, None);
    peer.pass(minute);
    assert_eq!(peer.close, Some(Close::TimedOut));
    assert!(peer.app.messages.is_empty());
}

#[test]
fn a_deadline_that_has_not_passed_is_no_timeout() {
    let mut peer = Peer::new(mx());
    peer.settle();
    peer.server.handle_input(peer.now, Input::Timeout);
    peer.settle();
    assert_eq!(peer.close, None);
}

#[test]
fn what_came_before_the_end_is_answered() {
    let mut peer = Peer::new(mx());
    peer.settle();
    peer.server.handle_input(
        peer.now,
        Input::Bytes(BytesMut::from(
            &b"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nNOOP"[..],
        )),
    );
    peer.server.handle_input(peer.now, Input::Eof);
    peer.settle();
    assert_eq!(peer.app.messages.len(), 1);
    assert_eq!(peer.close, Some(Close::PeerGone));
    assert!(peer.text().ends_with("250 2.0.0 OK\r\n"));
    // A message without an end is none.
    for tail in [
        &b"DATA\r\nx\r\n."[..],
        b"DATA\r\nx\r\n.\r",
        b"BDAT 5 LAST\r\nabc",
        b"BDAT 5\r\nabcde",
    ] {
        let mut peer = Peer::new(mx());
        peer.give(b"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", 99);
        peer.give(tail, 99);
        peer.eof();
        assert!(peer.app.messages.is_empty(), "{tail:?}");
        assert_eq!(peer.close, Some(Close::PeerGone));
        // Nothing is read behind the end (a TLS close_notify inside BDAT).
        peer.server
            .handle_input(peer.now, Input::Bytes(BytesMut::from(&b"de"[..])));
        peer.settle();
        assert!(peer.app.messages.is_empty(), "{tail:?}");
    }
}

fn starttls(policy: StartTls) -> Config {
    let mut config = bare(Role::Mx);
    config.starttls = policy;
    config.extensions = crate::smtp::server::Extensions {
        pipelining: false,
        size: false,
        eight_bit_mime: false,
        chunking: false,
        smtputf8: false,
        ..config.extensions
    };
    config.auth_tls = vec![Mechanism::Plain];
    config
}

#[test]
fn starttls_forgets_what_was_said_before() {
    let peer = dialogue(
        &starttls(StartTls::Offered),
        &[
            b"STARTTLS\r\nEHLO a\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\nRSET\r\nSTARTTLS\r\n",
            b"MAIL FROM:<a@b>\r\nSTARTTLS\r\nEHLO a\r\nMAIL FROM:<a@b>\r\n",
        ],
        &[
            GREETING,
            "503 5.5.1 introduce yourself first",
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 STARTTLS",
            "250 2.1.0…",
            "503 5.5.1 STARTTLS is not allowed inside a transaction",
            "250 2.0.0 OK",
            "220 2.0.0 ready to start TLS",
            "<TLS>",
            "503 5.5.1 introduce yourself first",
            "503 5.5.1 TLS is active already",
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 AUTH PLAIN",
            "250 2.1.0…",
        ],
    );
    assert!(peer.server.tls().is_some());
}

#[test]
fn required_starttls_comes_first() {
    dialogue(
        &starttls(StartTls::Required),
        &[
            b"EHLO a\r\nMAIL FROM:<a@b>\r\nAUTH PLAIN\r\nRSET\r\nBDAT 3\r\nabcNOOP\r\nSTARTTLS\r\n",
            b"HELO a\r\nMAIL FROM:<a@b>\r\n",
        ],
        &[
            GREETING,
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 STARTTLS",
            "530 5.7.0 send STARTTLS first",
            "530 5.7.0 send STARTTLS first",
            "530 5.7.0 send STARTTLS first",
            "530 5.7.0 send STARTTLS first",
            "250 2.0.0 OK",
            "220 2.0.0 ready to start TLS",
            "<TLS>",
            "250 mx.test",
            "250 2.1.0…",
        ],
    );
}

#[test]
fn commands_behind_starttls_are_never_executed() {
    let violation = Some(Close::Violate(Violation::PlaintextAfterStartTls));
    for role in [Role::Mx, Role::Submission, Role::Lmtp] {
        let hello = match role {
            Role::Lmtp => "LHLO",
            Role::Mx | Role::Submission => "EHLO",
        };
        let injected = format!("{hello} b\r\n");
        for policy in [StartTls::Offered, StartTls::Required] {
            for tail in [injected.as_bytes(), b"x", b"\r\n"] {
                let mut config = starttls(policy);
                config.role = role;
                let mut peer = Peer::new(config);
                let start = format!("{hello} a\r\nSTARTTLS\r\n");
                let input = [start.as_bytes(), tail].concat();
                peer.give(&input, input.len());
                assert_eq!(peer.close, violation);
                assert!(
                    peer.text()
                        .ends_with("554 5.5.1 commands were sent behind STARTTLS\r\n")
                );
            }
        }
    }
    // Bytes that a careless driver passes on during the handshake.
    let mut server = Server::new(starttls(StartTls::Offered), [0; 32]);
    let mut app = App::default();
    let now = std::time::Instant::now();
    let mut upgraded = false;
    server.handle_input(
        now,
        Input::Bytes(BytesMut::from(&b"EHLO a\r\nSTARTTLS\r\n"[..])),
    );
    let close = loop {
        match server.poll_output(now) {
            crate::Output::Event(event) => app.decide(&mut server, &event).unwrap(),
            crate::Output::Upgrade(_) => {
                upgraded = true;
                server.handle_input(now, Input::Bytes(BytesMut::from(&b"EHLO b\r\n"[..])));
            }
            crate::Output::Close(close) => break Some(close),
            crate::Output::Wait(wait) => panic!("{wait:?}"),
            crate::Output::Transmit(_) => {}
        }
    };
    assert!(upgraded);
    assert_eq!(close, violation);
}

#[test]
fn implicit_tls_waits_for_the_handshake() {
    let mut config = starttls(StartTls::Offered);
    config.implicit_tls = true;
    let mut peer = Peer::new(config);
    peer.settle();
    assert!(peer.said.is_empty());
    assert!(!peer.wait.unwrap().read);
    peer.server
        .handle_input(peer.now, Input::Upgraded(crate::TlsInfo::default()));
    peer.give(b"EHLO a\r\n", 3);
    assert_eq!(
        peer.lines(),
        [
            GREETING,
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 AUTH PLAIN"
        ]
    );
}

#[test]
fn an_upgrade_counts_only_where_one_is_due() {
    let mut peer = Peer::new(starttls(StartTls::Offered));
    peer.give(b"EHLO a\r\n", 99);
    peer.server
        .handle_input(peer.now, Input::Upgraded(crate::TlsInfo::default()));
    peer.settle();
    assert!(peer.server.tls().is_none() && peer.server.hello().is_some());
    // Before the greeting it is another way to say that TLS began with the connection; what came
    // before it did not come inside.
    let mut peer = Peer::new(starttls(StartTls::Offered));
    peer.server
        .handle_input(peer.now, Input::Bytes(b"EHLO a\r\n"[..].into()));
    peer.server
        .handle_input(peer.now, Input::Upgraded(crate::TlsInfo::default()));
    peer.settle();
    assert!(peer.server.tls().is_some());
    assert_eq!(peer.lines(), [GREETING]);
}

#[test]
fn help_names_what_is_there() {
    let mut config = starttls(StartTls::Offered);
    config.role = Role::Lmtp;
    config.extensions.chunking = false;
    let mut peer = Peer::new(config);
    peer.give(b"HELP\r\n", 99);
    assert_eq!(
        peer.lines()[1..],
        [
            "214-2.0.0 LHLO MAIL RCPT DATA RSET NOOP VRFY EXPN HELP QUIT STARTTLS AUTH",
            "214 2.0.0 see RFC 5321"
        ]
    );
}

#[test]
fn an_application_that_errs_is_told() {
    let mut peer = Peer::new(mx());
    assert!(matches!(peer.server.reply(Reply::ok()), Err(Misuse(_))));
    assert!(matches!(
        peer.server.answer(crate::sasl::Answer::Accept),
        Err(Misuse(_))
    ));
    // A code that is no decision leaves the event waiting.
    assert!(matches!(
        peer.server.poll_output(peer.now),
        crate::Output::Event(crate::smtp::server::Event::Connected)
    ));
    for code in [0, 100, 199, 334, 354, 600, 65535] {
        assert!(
            peer.server.reply(Reply::plain(code, "x")).is_err(),
            "{code}"
        );
    }
    assert!(peer.server.reply(Reply::ok()).is_ok());
    peer.give(b"NOOP\r\n", 6);
    assert_eq!(peer.lines(), [GREETING, "250 2.0.0 OK"]);
}

#[test]
fn many_pipelined_commands_are_answered_in_pieces() {
    let mut peer = Peer::new(mx());
    let input = b"NOOP\r\n".repeat(20_000);
    peer.give(&input, input.len());
    assert_eq!(peer.lines().len(), 20_001);
    assert!(peer.most_held < 8192);
}
