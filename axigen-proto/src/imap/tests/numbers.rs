//! Numbers that are too large for what they count, on both sides: never cut short,
//! never wrapped, never a panic (CVE-2020-28017 and its like).

use super::drive::{every_chunk, lines, open, yes};
use crate::imap::parse::response::{Reply, ResponseGrammar, response};
use crate::imap::parse::{self, Grammar};
use crate::imap::response::{Response, StatusKind};
use crate::imap::server::Event;

/// The first numbers that do not fit 32, 63 and 64 bits, and one of forty digits.
const TOO_LARGE: [&str; 4] = [
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "9999999999999999999999999999999999999999",
];

#[test]
fn numbers_of_commands_do_not_wrap() {
    for command in [
        // Counted with 32 bits.
        "FETCH # FLAGS",
        "FETCH 1:# FLAGS",
        "UID FETCH #:* FLAGS",
        "FETCH 1 BODY[#]",
        "FETCH 1 BODY[1.#.TEXT]",
        "FETCH 1 BINARY[#]",
        "STORE # FLAGS (x)",
        "COPY 1,# x",
        "MOVE # x",
        "UID EXPUNGE #",
        "SEARCH #",
        "SEARCH UID 1:#",
        "SEARCH RETURN (PARTIAL 1:#) ALL",
        "SEARCH RETURN (PARTIAL -#:-1) ALL",
        "SEARCH UIDAFTER #",
        "SEARCH OLDER #",
        "UIDBATCHES #",
        "SELECT x (QRESYNC (# 1))",
        "SELECT x (QRESYNC (1 1 1:#))",
    ] {
        refused(command, &TOO_LARGE);
    }
    for command in [
        // Counted with 63 bits.
        "FETCH 1 FLAGS (CHANGEDSINCE #)",
        "STORE 1 (UNCHANGEDSINCE #) FLAGS (x)",
        "SEARCH MODSEQ #",
        "SELECT x (QRESYNC (1 #))",
    ] {
        refused(command, &TOO_LARGE[1..]);
    }
}

fn refused(command: &str, numbers: &[&str]) {
    for number in numbers {
        let line = format!("a {}", command.replace('#', number));
        let status = parse::command(&Grammar::default(), line.as_bytes())
            .expect_err(&line)
            .status;
        assert_eq!(status.kind, StatusKind::Bad, "{line}");
    }
    let fits = format!("a {}", command.replace('#', "1"));
    assert!(
        parse::command(&Grammar::default(), fits.as_bytes()).is_ok(),
        "{fits}"
    );
}

/// In a session the command is refused and the next one answered, at every cut.
#[test]
fn a_session_goes_on_after_numbers_that_are_too_large() {
    for number in TOO_LARGE {
        let (fetch, search) = (
            format!("c FETCH {number} FLAGS"),
            format!("d SEARCH LARGER {number}"),
        );
        let outcome = every_chunk(
            open(),
            &lines(&["a LOGIN x secret", "b SELECT x", &fetch, &search, "e NOOP"]),
            &mut yes,
        );
        let answers = outcome.answers();
        assert!(answers.iter().any(|line| line.starts_with("c BAD ")));
        assert!(answers.iter().any(|line| line.starts_with("e OK ")));
        let fetched = outcome
            .events
            .iter()
            .any(|event| matches!(event, Event::Command { tag, .. } if tag.as_str() == "c"));
        assert!(!fetched, "{number}");
    }
}

/// What a server counts beyond all bounds is no number to the client.
#[test]
fn numbers_of_responses_do_not_wrap() {
    for line in [
        "* # EXISTS",
        "* # RECENT",
        "* # EXPUNGE",
        "* # FETCH (FLAGS ())",
        "* 1 FETCH (UID #)",
        "* SEARCH 1 #",
        "* SORT #",
        "* THREAD (1 #)",
        "* ESEARCH COUNT #",
        "* ESEARCH ALL 1:#",
        "* STATUS x (MESSAGES #)",
        "* STATUS x (UIDNEXT #)",
        "* OK [UIDVALIDITY #] x",
        "* OK [APPENDUID # 1] x",
        "* OK [COPYUID 1 1 #] x",
        "* VANISHED 1:#",
    ] {
        for number in TOO_LARGE {
            let line = line.replace('#', number);
            match response(&ResponseGrammar::default(), line.as_bytes()) {
                Err(_) | Ok(Reply::Untagged(Response::Other(_))) => {}
                // What is not understood is kept as the text it was.
                Ok(other) if format!("{other:?}").contains(number) => {}
                Ok(Reply::Untagged(Response::Status(status))) if status.code.is_none() => {}
                Ok(other) => panic!("{line}: {other:?}"),
            }
        }
    }
}
