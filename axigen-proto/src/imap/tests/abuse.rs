//! What hostile or broken clients send: answered, bounded, survived.

use std::sync::Arc;

use proptest::prelude::*;

use super::drive::{Act, every_chunk, lines, open, run, yes};
use super::round_trip::written;
use super::values;
use crate::imap::server::{Config, Event};
use crate::session::{Close, Violation};

fn small() -> Config {
    let mut config = open();
    config.limits.command = 100;
    config.limits.command_before_login = 60;
    config.limits.literal = 40;
    config.limits.literals = 3;
    config.limits.message_size = 200;
    config.limits.errors = 50;
    config
}

#[test]
fn too_long_and_bare_lf() {
    let outcome = every_chunk(
        small(),
        &[
            Act::Send(format!("a NOOP{}\r\n", " ".repeat(100)).into_bytes()),
            Act::Send(b"b NOOP\nc NOOP\r\n\r\n\nd NOOP\r\n".to_vec()),
            Act::Send(b"e LOGIN alice secret\r\n".to_vec()),
            Act::Send(format!("f NOOP{}\r\n", " ".repeat(90)).into_bytes()),
            Act::Send(format!("g NOOP{}\r\n", " ".repeat(93)).into_bytes()),
            Act::Send(b"h N\rOOP\r\ni NOOP\r\r\n".to_vec()),
        ],
        &mut yes,
    );
    let answers = outcome.answers();
    assert_eq!(
        answers[..6],
        [
            "a BAD [TOOBIG] The command is too long",
            "b BAD A line has to end with CRLF, not with LF alone",
            "c OK NOOP completed",
            "* BAD Expected a command, found an empty line",
            "* BAD A line has to end with CRLF, not with LF alone",
            "d OK NOOP completed",
        ]
    );
    assert_eq!(
        answers[7..],
        [
            "f BAD Expected the end of the command at column 7",
            "g BAD [TOOBIG] The command is too long",
            "h BAD Unknown command",
            "i BAD Expected the end of the command at column 7",
        ]
    );
}

#[test]
fn literals_within_limits() {
    let forty = "x".repeat(40);
    let fifty = "y".repeat(50);
    let outcome = every_chunk(
        small(),
        &lines(&[
            "a LOGIN {41}",
            "b FROB {1}",
            "c SELECT {1}",
            "d {3}",
            "e LOGIN ~{3}",
            "f LOGIN {5}",
            "alice {6}",
            "secret",
            "g CREATE {40}",
            &forty,
            "h CREATE {41}",
            "i CREATE {50+}",
            &fifty,
            "j RENAME {30+}",
            "012345678901234567890123456789 {11}",
            "k SEARCH {1+}",
            "a {1+}",
            "b {1+}",
            "c {1+}",
            "d",
            "l CREATE ~{3+}",
            "abc",
            "m NOOP",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert_eq!(
        answers[..7],
        [
            "a BAD [TOOBIG] The literal is too large",
            "b BAD Unknown command",
            "c BAD You have to log in first",
            "d BAD Expected the name of a command",
            "e BAD A literal8 is not allowed here",
            "+ Go on",
            "+ Go on",
        ]
    );
    assert_eq!(
        answers[8..],
        [
            "+ Go on",
            "g OK Done",
            "h BAD [TOOBIG] The literal is too large",
            "i BAD [TOOBIG] The literal is too large",
            "j BAD [TOOBIG] The literal is too large",
            "k BAD No mailbox is selected",
            "l BAD A literal8 is not allowed here",
            "m OK Done",
        ]
    );
}

#[test]
fn too_many_literals() {
    let outcome = every_chunk(
        small(),
        &lines(&[
            "a LOGIN x secret",
            "b SELECT x",
            "c SEARCH TEXT {1+}",
            "a TEXT {1+}",
            "b TEXT {1+}",
            "c TEXT {1+}",
            "d",
            "e NOOP",
        ]),
        &mut yes,
    );
    assert_eq!(
        outcome.answers()[2..],
        [
            "c BAD [TOOBIG] The command holds too many literals",
            "e OK Done"
        ]
    );
}

#[test]
fn literal_minus() {
    let config = || Config {
        literal_plus: false,
        ..open()
    };
    let big = "x".repeat(4097);
    let fits = "y".repeat(4096);
    let outcome = every_chunk(
        config(),
        &lines(&[
            "a LOGIN x secret",
            "b APPEND INBOX {4097+}",
            &big,
            "c APPEND INBOX {4096+}",
            &fits,
            "d APPEND INBOX {4097}",
            &big,
            "e CREATE {4097+}",
            &big,
            "f NOOP",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert!(answers[0].contains(" LITERAL- "), "{}", answers[0]);
    assert_eq!(
        answers[1..],
        [
            "b BAD [TOOBIG] A non-synchronising literal may have at most 4096 bytes",
            "c OK Done",
            "+ Ready for the message",
            "d OK Done",
            "e BAD [TOOBIG] A non-synchronising literal may have at most 4096 bytes",
            "f OK Done",
        ]
    );
}

#[test]
fn giant_literals_before_login_end_the_session() {
    for line in [
        "a LOGIN {4294967295+}",
        "a LOGIN {18446744073709551616+}",
        "a APPEND INBOX {100000000+}",
        "a FROB {17000+}",
    ] {
        let outcome = every_chunk(open(), &lines(&[line, "x", "b NOOP"]), &mut yes);
        assert_eq!(outcome.close, Some(Close::Violate(Violation::TooLarge)));
        assert_eq!(outcome.events, [Event::Connected]);
    }
    // The client that asks is only told no.
    let outcome = every_chunk(
        open(),
        &lines(&["a LOGIN {4294967295}", "b NOOP"]),
        &mut yes,
    );
    assert_eq!(outcome.answers()[1], "b OK NOOP completed");
}

/// Beginnings of every command that takes a string, and of some that take none.
const BEFORE_A_STRING: [&str; 40] = [
    "LOGIN ",
    "LOGIN x ",
    "AUTHENTICATE ",
    "ID (",
    "ID (x ",
    "ENABLE ",
    "SELECT ",
    "EXAMINE ",
    "CREATE ",
    "DELETE ",
    "RENAME ",
    "RENAME a ",
    "SUBSCRIBE ",
    "UNSUBSCRIBE ",
    "LIST ",
    "LIST \"\" ",
    "LIST (",
    "LSUB \"\" ",
    "STATUS ",
    "COPY 1 ",
    "MOVE 1 ",
    "UID COPY 1 ",
    "SEARCH TEXT ",
    "SEARCH HEADER ",
    "SEARCH CHARSET ",
    "UID SEARCH FROM ",
    "FETCH 1 BODY[HEADER.FIELDS (",
    "SORT (DATE) ",
    "THREAD REFERENCES UTF-8 SUBJECT ",
    "GETACL ",
    "SETACL a ",
    "LISTRIGHTS a ",
    "MYRIGHTS ",
    "GETMETADATA ",
    "SETMETADATA a (/b ",
    "GETQUOTA ",
    "GETQUOTAROOT ",
    "NOOP ",
    "FROB ",
    "",
];

#[test]
fn a_literal_announced_in_any_command_is_not_waited_for() {
    // CVE-2025-61600, CVE-2024-34055. What is held is asserted by the driver.
    for login in [
        &b""[..],
        b"z LOGIN x secret\r\n",
        b"z LOGIN x secret\r\ny SELECT x\r\n",
    ] {
        for command in BEFORE_A_STRING {
            for size in [
                "2147483648",
                "4294967295",
                "18446744073709551615",
                "99999999999999999999",
            ] {
                let acts = [
                    Act::Send([login, format!("a {command}{{{size}}}\r\n").as_bytes()].concat()),
                    Act::Send(b"b NOOP\r\n".to_vec()),
                ];
                let outcome = run(&Arc::new(open()), &acts, usize::MAX, &mut yes);
                let answers = outcome.answers();
                let [.., refused, last] = answers.as_slice() else {
                    panic!("{command}{size}: {answers:?}");
                };
                assert!(refused.starts_with("a BAD "), "{command}{size}: {refused}");
                assert!(last.starts_with("b OK "), "{command}{size}: {last}");
                // Sent without asking: it cannot be told from commands, or is thrown away.
                let acts = [
                    Act::Send([login, format!("a {command}{{{size}+}}\r\n").as_bytes()].concat()),
                    Act::Send(b"b NOOP\r\n".repeat(1000)),
                ];
                let outcome = run(&Arc::new(open()), &acts, usize::MAX, &mut yes);
                assert!(!outcome.text().contains("b OK"), "{command}{size}");
            }
        }
    }
}

#[test]
fn id_with_very_many_pairs() {
    // CVE-2026-42391
    for login in [&b""[..], b"z LOGIN x secret\r\n"] {
        for pairs in [
            "a NIL ".repeat(30) + "a NIL",
            "\"a\" \"b\" ".repeat(1800) + "a b",
            "\"a\" \"b\" ".repeat(100_000) + "a b",
            "{1+}\r\na NIL ".repeat(31) + "a NIL",
            "{1+}\r\na {1+}\r\nb ".repeat(1000) + "a NIL",
            format!("a \"{}\"", "v".repeat(1025)),
            format!("\"{}\" NIL", "n".repeat(31)),
            "(".repeat(10_000),
        ] {
            let acts = [Act::Send(
                [login, format!("a ID ({pairs})\r\nb NOOP\r\n").as_bytes()].concat(),
            )];
            let outcome = run(&Arc::new(open()), &acts, 4096, &mut yes);
            let text = outcome.text();
            assert!(text.contains("a BAD ") || outcome.close.is_some(), "{text}");
            assert!(!text.contains("a OK"), "{text}");
            let told = outcome
                .events
                .iter()
                .any(|event| matches!(event, Event::ClientId(_)));
            assert!(!told, "the application hears of none of it");
        }
    }
}

#[test]
fn bytes_in_credentials_cross_no_border() {
    // CVE-2026-33603, CVE-2026-42395: a tab, a NUL or a line end in a name or a
    // password is no separator of anything; nobody is asked about such a name.
    use crate::sasl::encode_line as base64;
    for name in [
        "a\tb",
        "a\tuser=root",
        "a\rb",
        "a\nb",
        "a\u{1}b",
        "a\u{7f}b",
        "\ta",
        "a\t",
    ] {
        for (authzid, authcid, password) in
            [("", name, "secret"), (name, "a", "secret"), ("", "a", name)]
        {
            let plain = base64(format!("{authzid}\0{authcid}\0{password}").as_bytes());
            let outcome = every_chunk(
                open(),
                &lines(&[&format!("a AUTHENTICATE PLAIN {plain}"), "b NOOP"]),
                &mut yes,
            );
            let answers = outcome.answers();
            assert!(
                answers[0].starts_with("a BAD No login: "),
                "{name:?}: {answers:?}"
            );
            assert_eq!(answers[1], "b OK NOOP completed");
            assert_eq!(outcome.events, [Event::Connected]);
        }
    }
    for many in ["\0a\0b\0", "\0a\0b\0c", "a\0b", "\0\0", "\0\0\0\0"] {
        let plain = base64(many.as_bytes());
        let outcome = every_chunk(
            open(),
            &lines(&[&format!("a AUTHENTICATE PLAIN {plain}")]),
            &mut yes,
        );
        assert!(
            outcome.answers()[0].starts_with("a BAD No login: "),
            "{many:?}"
        );
        assert_eq!(outcome.events, [Event::Connected]);
    }
}

#[test]
fn bad_base64_is_refused_and_nothing_else_changes() {
    // CVE-2025-59028
    for bad in [
        "!",
        "A",
        "AA",
        "AAA",
        "AA=A",
        "A===",
        "=AAA",
        "AAAA=",
        "AAAA====",
        "AA==AA==",
        "QUFB QUFB",
        "-_-_",
        "AGFsaWNlAHNlY3JldB==",
        "\u{e4}",
    ] {
        let outcome = every_chunk(
            open(),
            &lines(&["a AUTHENTICATE PLAIN", bad, "b LOGIN alice secret"]),
            &mut yes,
        );
        let answers = outcome.answers();
        assert_eq!(
            answers[1], "a BAD The response is not valid base64",
            "{bad}"
        );
        assert!(answers[2].starts_with("b OK"), "{bad}: {answers:?}");
    }
}

#[test]
fn parentheses_before_login_cost_nothing() {
    // CVE-2026-27857
    let outcome = every_chunk(
        open(),
        &[Act::Send(
            format!("a SEARCH {}\r\nb NOOP\r\n", "(".repeat(3000)).into_bytes(),
        )],
        &mut yes,
    );
    assert_eq!(
        outcome.answers(),
        ["a BAD You have to log in first", "b OK NOOP completed"]
    );
}

#[test]
fn too_many_errors_and_failures() {
    let many: Vec<&str> = vec!["a FROB"; 60];
    let outcome = every_chunk(open(), &lines(&many), &mut yes);
    let answers = outcome.answers();
    assert_eq!(answers.len(), 51);
    assert_eq!(answers[50], "* BYE Too many errors");
    assert_eq!(
        outcome.close,
        Some(Close::Violate(Violation::TooManyErrors))
    );

    let many: Vec<&str> = vec!["a LOGIN x wrong"; 9];
    let outcome = every_chunk(open(), &lines(&many), &mut yes);
    assert_eq!(outcome.answers().len(), 6);
    assert_eq!(
        outcome.close,
        Some(Close::Violate(Violation::TooManyAuthFailures))
    );
}

#[test]
fn browsers_are_sent_away() {
    let outcome = every_chunk(
        open(),
        &lines(&["POST / HTTP/1.1", "Host: x", "", "a LOGIN alice secret"]),
        &mut yes,
    );
    assert_eq!(
        outcome.close,
        Some(Close::Violate(Violation::NotThisProtocol))
    );
    assert_eq!(outcome.events, [Event::Connected]);
}

#[test]
fn twenty_thousand_pipelined() {
    let mut all = b"a LOGIN x secret\r\n".to_vec();
    for _ in 0..20_000 {
        all.extend_from_slice(b"b NOOP\r\n");
    }
    let outcome = run(&Arc::new(open()), &[Act::Send(all)], 4096, &mut yes);
    assert_eq!(outcome.answers().len(), 20_001);
}

#[test]
fn odd_login_names() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN \"\" \"\"",
            "b LOGIN {2+}",
            "\u{0}x secret",
            &format!("c LOGIN {} x", "u".repeat(513)),
            "d LOGIN {2+}",
            "x\u{7} secret",
            "e LOGIN alice \"\"",
        ]),
        &mut yes,
    );
    assert_eq!(
        outcome.answers(),
        [
            "a BAD No login: the user name is empty",
            "b BAD A literal holds a NUL byte",
            "c BAD No login: the user name is too long",
            "d BAD No login: the user name has a control character, or another that is prohibited",
            "e NO [AUTHENTICATIONFAILED] The user name or the password is wrong",
        ]
    );
    assert_eq!(
        outcome.events,
        [Event::Connected],
        "nothing of it is asked about"
    );
}

#[test]
fn what_a_client_sends_behind_a_lost_line_is_no_command() {
    let long = "x".repeat(100);
    let acts = [
        Act::Send(b"a LOGIN alice secret\r\n".to_vec()),
        Act::Send(format!("b APPEND {long} {{10+}}\r\nc LOGOUT\r\n\r\n").into_bytes()),
        Act::Send(b"d APPEND x {10+}\ne LOGOUT\r\n\r\n".to_vec()),
        // Not this one: the client asks first.
        Act::Send(format!("f APPEND {long} {{10}}\r\n").into_bytes()),
        // More of them behind what is thrown away.
        Act::Send(format!("g FROB {{1+}}\r\ng{long} {{10+}}\r\nh LOGOUT\r\n\r\n").into_bytes()),
        Act::Send(b"i NOOP\r\n".to_vec()),
    ];
    let outcome = every_chunk(small(), &acts, &mut yes);
    assert_eq!(
        outcome.answers()[1..],
        [
            "b BAD [TOOBIG] The command is too long",
            "d BAD A line has to end with CRLF, not with LF alone",
            "f BAD [TOOBIG] The command is too long",
            "g BAD Unknown command",
            "i OK Done",
        ]
    );
}

#[test]
fn a_literal_in_idle_ends_the_session() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a LOGIN x secret",
            "b IDLE",
            "c APPEND x {10+}",
            "d LOGOUT\r\n",
        ]),
        &mut yes,
    );
    assert_eq!(outcome.close, Some(Close::Violate(Violation::LostSync)));
    assert!(
        outcome
            .text()
            .ends_with("* BYE Expected DONE to end IDLE\r\n")
    );
}

/// Bytes that look a little like IMAP.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => values::command().prop_map(|command| {
            let mut wire = written(false, &command);
            wire.extend_from_slice(b"\r\n");
            wire
        }),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::sample::select(vec![
            &b"a LOGIN x secret\r\n"[..], b"b SELECT x\r\n", b"{5}\r\n", b"{3+}\r\n", b"~{7+}\r\n",
            b"\r\n", b"\n", b"DONE\r\n", b"c APPEND x {4+}\r\n", b"*\r\n", b"d AUTHENTICATE PLAIN\r\n",
            b"e IDLE\r\n", b" {99999999999+}\r\n", b"(((((((", b"\"",
        ]).prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_bytes_make_the_session_panic_or_grow(bytes in noise(), chunk in 1usize..50, login in any::<bool>()) {
        let mut all = if login { b"z LOGIN x secret\r\ny SELECT x\r\n".to_vec() } else { Vec::new() };
        all.extend_from_slice(&bytes);
        let config = Arc::new(small());
        // The two commands after which pieces of input matter.
        let text = String::from_utf8_lossy(&all).to_ascii_uppercase();
        prop_assume!(!text.contains("STARTTLS") && !text.contains("COMPRESS"));
        let acts = [Act::Send(all), Act::Eof];
        let whole = run(&config, &acts, usize::MAX, &mut yes);
        let cut = run(&config, &acts, chunk, &mut yes);
        prop_assert_eq!(whole.text(), cut.text());
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn pure_noise(bytes in prop::collection::vec(any::<u8>(), 0..600), chunk in 1usize..50) {
        let config = Arc::new(small());
        let acts = [Act::Send(bytes), Act::Eof];
        prop_assert_eq!(
            run(&config, &acts, usize::MAX, &mut yes),
            run(&config, &acts, chunk, &mut yes)
        );
    }
}
