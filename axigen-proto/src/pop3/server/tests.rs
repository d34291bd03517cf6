#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::sasl::{Answer, Refusal};
use proptest::prelude::*;

const MAIL: &[u8] = b"Subject: x\r\n\r\n.dot\r\nline 2\r\nline 3\r\n";

/// An application with one user and two messages.
fn drive(config: Config, input: &[u8], chunk: usize) -> (String, Option<Close>, Vec<usize>) {
    let mut session = Server::new(config, [7; 32]);
    let now = Instant::now();
    let (mut out, mut close, mut removed) = (Vec::new(), None, Vec::new());
    let mut pieces = input.chunks(chunk.max(1));
    let mut ended = false;
    while close.is_none() {
        match session.poll_output(now) {
            Output::Transmit(bytes) => out.extend_from_slice(&bytes),
            Output::Event(event) => match event {
                Event::Connected => session.greet().unwrap(),
                Event::Auth(Ask::Password {
                    password, authcid, ..
                }) => session
                    .answer(match authcid == "alice" && password.as_str() == "demo" {
                        true => Answer::Accept,
                        false => Answer::Refuse(Refusal::BadCredentials),
                    })
                    .unwrap(),
                Event::Auth(Ask::Keys { .. }) => session.answer(Answer::Keys(None)).unwrap(),
                // A wrong proof is refused whatever is said.
                Event::Auth(_) => session.answer(Answer::Accept).unwrap(),
                Event::LoggedIn(_) => session
                    .open(
                        vec![
                            Message {
                                size: MAIL.len() as u64,
                                uid: "1.1".into(),
                            },
                            Message {
                                size: 10,
                                uid: "1.2".into(),
                            },
                        ],
                        Expire::Days(30),
                    )
                    .unwrap(),
                Event::Retrieve { index: 0, .. } => {
                    session.begin(MAIL.len() as u64).unwrap();
                    for piece in MAIL.chunks(5) {
                        if !session.body(&Bytes::from_static(piece)).unwrap() {
                            break;
                        }
                    }
                    session.end_message().unwrap();
                }
                Event::Retrieve { .. } => {
                    session.fail(Failure::Temporary, Text::MessageGone).unwrap()
                }
                Event::Quit { deleted, .. } => {
                    removed = deleted;
                    session.finish(Ok(())).unwrap();
                }
            },
            Output::Upgrade(_) => session.handle_input(now, Input::Upgraded(TlsInfo::default())),
            Output::Wait(wait) => {
                assert!(wait.read, "everything was answered");
                match pieces.next() {
                    Some(piece) => session.handle_input(now, Input::Bytes(piece.into())),
                    None if !ended => {
                        ended = true;
                        session.handle_input(now, Input::Eof);
                    }
                    None => break,
                }
            }
            Output::Close(why) => close = Some(why),
        }
        assert!(session.input.len() <= 12_288 + 2 + chunk);
    }
    (String::from_utf8_lossy(&out).into_owned(), close, removed)
}

fn plain() -> Config {
    Config {
        allow_plaintext_login: true,
        ..Config::default()
    }
}

fn check(config: &Config, input: &str, want: &str, close: Close, removed: &[usize]) {
    for chunk in 1..=input.len() {
        let (out, closed, gone) = drive(config.clone(), input.as_bytes(), chunk);
        assert_eq!(out, want.replace('\n', "\r\n"), "in pieces of {chunk}");
        assert_eq!(closed, Some(close));
        assert_eq!(gone, removed);
    }
}

#[test]
fn a_session() {
    check(
        &plain(),
        "USER alice\r\nPASS demo\r\nSTAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nRETR 1\r\nTOP 1 1\r\nRETR 2\r\nDELE 2\r\nDELE 2\r\nSTAT\r\nLIST\r\nRSET\r\nDELE 1\r\nNOOP\r\nQUIT\r\n",
        "+OK localhost POP3 server ready\n+OK now the password\n+OK 2 messages\n+OK 2 46\n+OK\n1 36\n2 10\n.\n+OK 2 10\n+OK\n1 1.1\n2 1.2\n.\n+OK 36 octets\nSubject: x\n\n..dot\nline 2\nline 3\n.\n+OK top of the message follows\nSubject: x\n\n..dot\n.\n-ERR [SYS/TEMP] the message is gone\n+OK marked\n-ERR the message is marked as deleted\n+OK 1 36\n+OK\n1 36\n.\n+OK\n+OK marked\n+OK\n+OK goodbye\n",
        Close::Finish,
        &[0],
    );
}

#[test]
fn a_connection_that_breaks_deletes_nothing() {
    let (_, close, removed) = drive(plain(), b"USER alice\r\nPASS demo\r\nDELE 1\r\n", 3);
    assert_eq!((close, removed), (Some(Close::PeerGone), vec![]));
}

#[test]
fn wrong_order() {
    check(
        &plain(),
        "STAT\r\nPASS demo\r\nUSER alice\r\nPASS wrong\r\nAPOP x y\r\nUSER alice\r\nPASS demo\r\nUSER alice\r\nRETR 9\r\nFROB\r\nSTAT\nQUIT\r\n",
        "+OK localhost POP3 server ready\n-ERR log in first\n-ERR say USER first\n+OK now the password\n-ERR [AUTH] user or password is wrong\n-ERR APOP is not offered: it needs the password in the clear on the server\n+OK now the password\n+OK 2 messages\n-ERR you are logged in already\n-ERR there is no such message\n-ERR unknown command\n-ERR a line has to end with CRLF, not with LF alone\n+OK goodbye\n",
        Close::Finish,
        &[],
    );
}

#[test]
fn auth() {
    check(
        &plain(),
        "AUTH\r\nAUTH PLAIN\r\n*\r\nAUTH PLAIN\r\nx\r\nAUTH GSSAPI\r\nAUTH PLAIN AGFsaWNlAGRlbW8=\r\nQUIT\r\n",
        "+OK localhost POP3 server ready\n+OK mechanisms\nSCRAM-SHA-256\nPLAIN\n.\n+ \n-ERR the authentication was cancelled\n+ \n-ERR that is not valid base64\n-ERR this mechanism is not offered\n+OK 2 messages\n+OK goodbye\n",
        Close::Finish,
        &[],
    );
}

#[test]
fn without_tls_no_password() {
    let config = Config {
        stls: true,
        implementation: "x".into(),
        ..Config::default()
    };
    check(
        &config,
        "CAPA\r\nUSER alice\r\nAUTH PLAIN AGFsaWNlAGRlbW8=\r\nQUIT\r\n",
        "+OK localhost POP3 server ready\n+OK capabilities\nTOP\nUIDL\nRESP-CODES\nAUTH-RESP-CODE\nPIPELINING\nUTF8 USER\nLANG\nSASL SCRAM-SHA-256\nSTLS\nEXPIRE NEVER\nIMPLEMENTATION x\n.\n-ERR start TLS first (STLS)\n-ERR start TLS first (STLS)\n+OK goodbye\n",
        Close::Finish,
        &[],
    );
}

#[test]
fn what_comes_behind_stls_is_never_executed() {
    let config = Config {
        stls: true,
        ..Config::default()
    };
    let (out, close, _) = drive(config, b"STLS\r\nCAPA\r\n", 100);
    assert!(!out.contains("capabilities"), "{out}");
    assert_eq!(
        close,
        Some(Close::Violate(Violation::PlaintextAfterStartTls))
    );
}

/// However the bytes behind STLS reach the session, before its answer is out
/// or after, they did not come inside TLS.
#[test]
fn what_comes_after_the_answer_to_stls_and_before_the_handshake() {
    let config = Config {
        stls: true,
        ..Config::default()
    };
    let now = Instant::now();
    for polls in 0..4 {
        let mut session = Server::new(config.clone(), [0; 32]);
        assert!(matches!(session.poll_output(now), Output::Event(_)));
        session.greet().unwrap();
        session.handle_input(now, Input::Bytes(b"STLS\r\n"[..].into()));
        let mut out = Vec::new();
        let mut poll = |session: &mut Server| match session.poll_output(now) {
            Output::Transmit(bytes) => {
                out.extend_from_slice(&bytes);
                None
            }
            Output::Close(close) => Some(close),
            Output::Wait(_) | Output::Upgrade(_) => None,
            Output::Event(event) => panic!("{event:?}"),
        };
        for _ in 0..polls {
            assert_eq!(poll(&mut session), None);
        }
        session.handle_input(now, Input::Bytes(b"CAPA\r\n"[..].into()));
        session.handle_input(now, Input::Upgraded(TlsInfo::default()));
        let close = (0..9).find_map(|_| poll(&mut session));
        assert_eq!(
            close,
            Some(Close::Violate(Violation::PlaintextAfterStartTls))
        );
        assert!(!String::from_utf8_lossy(&out).contains("capabilities"));
    }
}

#[test]
fn capabilities_by_state() {
    let config = Config {
        stls: true,
        ..plain()
    };
    let (out, ..) = drive(
        config,
        b"CAPA\r\nUSER alice\r\nPASS demo\r\nCAPA\r\nQUIT\r\n",
        7,
    );
    let both: Vec<&str> = out.split("+OK capabilities\r\n").skip(1).collect();
    let [before, after] = both[..] else {
        panic!("{out}")
    };
    assert!(before.contains("\r\nSTLS\r\n"), "{before}");
    assert!(!after.contains("STLS"), "{after}");
    for both in ["USER", "SASL SCRAM-SHA-256 PLAIN", "TOP", "UIDL"] {
        assert!(
            before.contains(both) && after.contains(both),
            "RFC 2449 §6: {both} in both states: {out}"
        );
    }
}

/// A listing is made while it is sent, never as a whole.
#[test]
fn a_long_listing_is_made_in_pieces() {
    let mut session = Server::new(plain(), [0; 32]);
    let now = Instant::now();
    let messages = 50_000;
    let (mut out, mut most) = (Vec::new(), 0);
    let commands = b"USER alice\r\nPASS demo\r\nLIST\r\nUIDL\r\nSTAT\r\n";
    session.handle_input(now, Input::Bytes(commands[..].into()));
    loop {
        match session.poll_output(now) {
            Output::Transmit(bytes) => out.extend_from_slice(&bytes),
            Output::Event(Event::Connected) => session.greet().unwrap(),
            Output::Event(Event::Auth(_)) => session.answer(Answer::Accept).unwrap(),
            Output::Event(Event::LoggedIn(_)) => {
                let message = |n| Message {
                    size: 1000,
                    uid: format!("1.{n}"),
                };
                let messages = (0..messages).map(message).collect();
                session.open(messages, Expire::Never).unwrap();
            }
            Output::Wait(_) => break,
            other => panic!("{other:?}"),
        }
        most = most.max(session.pending_output());
    }
    assert!(most < 2 * FLUSH, "{most}");
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("50000 1.49999\r\n.\r\n+OK 50000 50000000\r\n"));
    assert_eq!(text.matches("\r\n").count(), 2 * messages + 8);
}

#[test]
fn names_and_passwords_follow_the_rules_of_the_mechanisms() {
    let long = "x".repeat(sasl::PASSWORD_LIMIT + 1);
    let mut config = plain();
    config.limits.command_line = 4096;
    for (user, password) in [
        ("alice", long.as_str()),
        (&long, "demo"),
        ("\u{200b}", "demo"),
        ("alice", "\u{202e}omed"),
    ] {
        let input = format!("USER {user}\r\nPASS {password}\r\nSTAT\r\n");
        let (out, ..) = drive(config.clone(), input.as_bytes(), 100);
        assert_eq!(out.matches("-ERR").count(), 2, "{out}");
        assert!(!out.contains("[AUTH]"), "never asked: {out}");
    }
    let wide = "USER alice\r\nPASS \u{ff44}emo\r\nSTAT\r\n";
    let (out, ..) = drive(config, wide.as_bytes(), 100);
    assert!(out.ends_with("+OK 2 46\r\n"), "{out}");
}

#[test]
fn who_is_let_in_is_who_was_asked_about() {
    let now = Instant::now();
    let mut session = Server::new(plain(), [0; 32]);
    let input = "USER \u{ff41}nn\u{ad}\r\nPASS demo\r\n";
    session.handle_input(now, Input::Bytes(BytesMut::from(input)));
    loop {
        match session.poll_output(now) {
            Output::Event(Event::Connected) => session.greet().unwrap(),
            Output::Event(Event::Auth(Ask::Password { authcid, .. })) => {
                assert_eq!(authcid, "ann");
                session.answer(Answer::Accept).unwrap();
            }
            Output::Event(Event::LoggedIn(identity)) => {
                assert_eq!((&*identity.authcid, &*identity.authzid), ("ann", "ann"));
                break;
            }
            Output::Transmit(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What the application does at the wrong moment is said to be its mistake,
/// and changes nothing.
#[test]
fn misuse() {
    let now = Instant::now();
    let mut session = Server::new(plain(), [0; 32]);
    let wrong = |session: &mut Server| {
        assert!(session.answer(Answer::Accept).is_err());
        assert!(session.open(Vec::new(), Expire::Never).is_err());
        assert!(session.begin(1).is_err());
        assert!(session.body(&Bytes::new()).is_err());
        assert!(session.end_message().is_err());
        assert!(session.fail(Failure::Temporary, Text::CannotRead).is_err());
        assert!(session.finish(Ok(())).is_err());
    };
    wrong(&mut session);
    assert!(session.greet().is_err());
    assert!(matches!(session.poll_output(now), Output::Event(_)));
    wrong(&mut session);
    session.greet().unwrap();
    wrong(&mut session);
    session.shut_down();
    assert!(session.answer(Answer::Accept).is_ok(), "it is over");
    let said = session.poll_output(now);
    assert!(matches!(said, Output::Transmit(text) if text.ends_with(b"shutting down\r\n")));
    assert!(matches!(
        session.poll_output(now),
        Output::Close(Close::Finish)
    ));
}

#[test]
fn limits() {
    let long = [b"USER ".as_slice(), &[b'x'; 20_000], b"\r\nQUIT\r\n"].concat();
    let (out, close, _) = drive(plain(), &long, 1000);
    assert!(
        out.ends_with("-ERR the line is too long\r\n+OK goodbye\r\n"),
        "{out}"
    );
    assert_eq!(close, Some(Close::Finish));
    let (_, close, _) = drive(plain(), "FROB\r\n".repeat(30).as_bytes(), 10);
    assert_eq!(close, Some(Close::Violate(Violation::TooManyErrors)));
    let (_, close, _) = drive(plain(), "USER a\r\nPASS b\r\n".repeat(10).as_bytes(), 10);
    assert_eq!(close, Some(Close::Violate(Violation::TooManyAuthFailures)));
}

#[test]
fn deadlines() {
    let mut session = Server::new(plain(), [0; 32]);
    let now = Instant::now();
    assert!(matches!(
        session.poll_output(now),
        Output::Event(Event::Connected)
    ));
    session.greet().unwrap();
    assert!(matches!(session.poll_output(now), Output::Transmit(_)));
    let Output::Wait(wait) = session.poll_output(now) else {
        panic!()
    };
    assert_eq!(
        wait.deadline,
        Some(now + Pop3Limits::default().login_timeout)
    );
    session.handle_input(now, Input::Timeout);
    assert!(
        matches!(session.poll_output(now), Output::Wait(again) if again == wait),
        "the time is not up"
    );
    let end = now + Pop3Limits::default().login_timeout;
    session.handle_input(end, Input::Timeout);
    assert!(matches!(session.poll_output(end), Output::Transmit(_)));
    assert!(matches!(
        session.poll_output(end),
        Output::Close(Close::TimedOut)
    ));
    let mut config = plain();
    config.limits.login_timeout = std::time::Duration::MAX;
    let mut session = Server::new(config, [0; 32]);
    session.poll_output(now);
    session.greet().unwrap();
    session.poll_output(now);
    assert!(matches!(
        session.poll_output(now),
        Output::Wait(Wait { deadline: None, .. })
    ));
}

proptest! {
    #[test]
    fn nothing_panics(input in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..100) {
        drive(plain(), &input, chunk);
    }

    #[test]
    fn any_order_of_commands(picks in proptest::collection::vec(0usize..18, 0..60), chunk in 1usize..40) {
        let words = ["USER alice", "PASS demo", "STAT", "LIST", "UIDL 1", "RETR 1", "TOP 1 2", "DELE 1", "DELE 2", "RSET", "NOOP", "CAPA", "AUTH PLAIN", "*", "QUIT", "STLS", "UTF8", "LANG de"];
        let input: String = picks.into_iter().map(|n| format!("{}\r\n", words[n])).collect();
        let whole = drive(plain(), input.as_bytes(), input.len().max(1));
        prop_assert_eq!(whole, drive(plain(), input.as_bytes(), chunk));
    }
}

/// RFC 6856 §3.3, with the languages there are here.
#[test]
fn languages() {
    let config = Config {
        language: Language::French,
        ..plain()
    };
    check(
        &config,
        "LANG\r\nLANG MUL\r\nLANG de-AT\r\nSTAT\r\nLANG uga\r\nUSER alice\r\nPASS wrong\r\nUSER alice\r\nPASS demo\r\nLANG *\r\nSTAT\r\nRETR 9\r\nRETR 2\r\nFROB\r\nLANG de en\r\nLANG en\r\nQUIT\r\n",
        "+OK localhost POP3 server ready\n+OK languages\nen English\nde Deutsch\nfr Français\n.\n-ERR this language is not spoken here\n+OK de die Sprache ist jetzt Deutsch\n-ERR melden Sie sich zuerst an\n-ERR diese Sprache wird hier nicht gesprochen\n+OK jetzt das Passwort\n-ERR [AUTH] Name oder Passwort ist falsch\n+OK jetzt das Passwort\n+OK 2 Nachrichten\n+OK fr la langue est maintenant le français\n+OK 2 46\n-ERR ce message n'existe pas\n-ERR [SYS/TEMP] le message n'est plus là\n-ERR commande inconnue\n-ERR LANG demande au plus une langue ou *\n+OK en the language is English now\n+OK goodbye\n",
        Close::Finish,
        &[],
    );
}

/// Until the client asks for another language, every reply is ASCII (RFC 1939 §3).
#[test]
fn replies_are_ascii_at_first() {
    let input = "CAPA\r\nUSER j\u{f6}rg\r\nPASS \u{e4}\r\nUSER alice\r\nPASS demo\r\nLIST\r\nUIDL\r\n\u{e4}\r\nAUTH \u{e4}\r\nQUIT\r\n";
    let (out, ..) = drive(plain(), input.as_bytes(), 3);
    assert!(out.is_ascii(), "{out}");
}

#[test]
fn utf8_is_said_before_the_login() {
    check(
        &plain(),
        "UTF8\r\nUSER alice\r\nPASS demo\r\nUTF8\r\nQUIT\r\n",
        "+OK localhost POP3 server ready\n+OK UTF-8 from now on\n+OK now the password\n+OK 2 messages\n-ERR you are logged in already\n+OK goodbye\n",
        Close::Finish,
        &[],
    );
}

/// What somebody in between says before TLS is not what the client said.
#[test]
fn stls_forgets_utf8_and_the_language() {
    let config = Config {
        stls: true,
        ..plain()
    };
    let now = Instant::now();
    let mut session = Server::new(config, [0; 32]);
    session.handle_input(now, Input::Bytes(b"UTF8\r\nLANG de\r\nSTLS\r\n"[..].into()));
    let mut out = String::new();
    loop {
        match session.poll_output(now) {
            Output::Transmit(bytes) => out.push_str(std::str::from_utf8(&bytes).unwrap()),
            Output::Event(Event::Connected) => session.greet().unwrap(),
            Output::Upgrade(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(out.ends_with("+OK TLS kann jetzt beginnen\r\n"), "{out}");
    session.handle_input(now, Input::Upgraded(TlsInfo::default()));
    session.handle_input(now, Input::Bytes(b"STAT\r\n"[..].into()));
    let Output::Transmit(said) = session.poll_output(now) else {
        panic!()
    };
    assert_eq!(&said[..], b"-ERR log in first\r\n");
    assert!(!session.utf8);
}

/// RFC 6856 §2.1: as it is in UTF-8 mode, in ASCII otherwise.
#[test]
fn a_message_with_utf8_in_its_header() {
    let mail = "Subject: Grüße\r\n\r\nä\r\n";
    for (first, want) in [
        ("", "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\nä\r\n.\r\n"),
        ("UTF8\r\n", "Subject: Grüße\r\n\r\nä\r\n.\r\n"),
    ] {
        for command in ["RETR 1", "TOP 1 5"] {
            let now = Instant::now();
            let mut session = Server::new(plain(), [0; 32]);
            let input = format!("{first}USER alice\r\nPASS demo\r\n{command}\r\n");
            session.handle_input(now, Input::Bytes(BytesMut::from(input.as_str())));
            let mut out = Vec::new();
            loop {
                match session.poll_output(now) {
                    Output::Transmit(bytes) => out.extend_from_slice(&bytes),
                    Output::Event(Event::Connected) => session.greet().unwrap(),
                    Output::Event(Event::Auth(_)) => session.answer(Answer::Accept).unwrap(),
                    Output::Event(Event::LoggedIn(_)) => {
                        let message = Message {
                            size: mail.len() as u64,
                            uid: "1.1".into(),
                        };
                        session.open(vec![message], Expire::Never).unwrap();
                    }
                    Output::Event(Event::Retrieve { .. }) => {
                        session.begin(mail.len() as u64).unwrap();
                        for piece in mail.as_bytes().chunks(4) {
                            session.body(&Bytes::copy_from_slice(piece)).unwrap();
                        }
                        session.end_message().unwrap();
                    }
                    Output::Wait(_) => break,
                    other => panic!("{other:?}"),
                }
            }
            let out = String::from_utf8(out).unwrap();
            assert!(out.ends_with(want), "{command}: {out}");
        }
    }
}

/// RFC 2449 §6.5, §6.7
#[test]
fn policies_are_announced() {
    let config = Config {
        expire: Expire::Days(0),
        expire_varies: true,
        login_delay: 60,
        ..plain()
    };
    let input = b"CAPA\r\nUSER alice\r\nPASS demo\r\nCAPA\r\nQUIT\r\n";
    let (out, ..) = drive(config, input, 5);
    let both: Vec<&str> = out.split("+OK capabilities\r\n").skip(1).collect();
    assert!(both[0].contains("\r\nEXPIRE 0 USER\r\n"), "{out}");
    assert!(both[1].contains("\r\nEXPIRE 30\r\n"), "{out}");
    for said in both {
        assert!(said.contains("\r\nLOGIN-DELAY 60\r\n"), "{out}");
    }
}

/// What was fetched as a whole, and not by TOP, is told at QUIT.
#[test]
fn what_was_fetched() {
    let now = Instant::now();
    let mut session = Server::new(plain(), [0; 32]);
    let input = b"USER alice\r\nPASS demo\r\nRETR 1\r\nRETR 2\r\nTOP 3 0\r\nRETR 4\r\nDELE 4\r\nRETR 5\r\nRSET\r\nDELE 4\r\nQUIT\r\n";
    session.handle_input(now, Input::Bytes(input[..].into()));
    let message = |n| Message {
        size: 1,
        uid: format!("1.{n}"),
    };
    loop {
        match session.poll_output(now) {
            Output::Event(Event::Connected) => session.greet().unwrap(),
            Output::Event(Event::Auth(_)) => session.answer(Answer::Accept).unwrap(),
            Output::Event(Event::LoggedIn(_)) => session
                .open((0..6).map(message).collect(), Expire::Never)
                .unwrap(),
            Output::Event(Event::Retrieve { index: 1, .. }) => {
                session.fail(Failure::Temporary, Text::CannotRead).unwrap()
            }
            Output::Event(Event::Retrieve { .. }) => {
                session.begin(1).unwrap();
                session.body(&Bytes::from_static(b"x")).unwrap();
                session.end_message().unwrap();
            }
            Output::Event(Event::Quit { deleted, fetched }) => {
                assert_eq!((deleted, fetched), (vec![3], vec![0, 4]));
                break;
            }
            Output::Transmit(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
