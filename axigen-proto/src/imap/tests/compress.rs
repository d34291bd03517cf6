//! COMPRESS and UNAUTHENTICATE: what changes below and behind a session.

use super::drive::{Act, every_chunk, lines, open, run, yes};
use crate::imap::server::Config;
use crate::session::Upgrade;

#[test]
fn compression_begins_behind_its_answer() {
    let script = [
        lines(&["a LOGIN x secret", "b COMPRESS LZMA", "c COMPRESS DEFLATE"]),
        lines(&["d CAPABILITY", "e COMPRESS DEFLATE", "f LOGOUT"]),
    ]
    .concat();
    let outcome = every_chunk(open(), &script, &mut yes);
    let answers = outcome.answers();
    assert!(answers[0].contains(" COMPRESS=DEFLATE]"));
    assert_eq!(
        answers[1..3],
        [
            "b NO The only algorithm of compression is DEFLATE",
            "c OK All that follows is compressed",
        ]
    );
    assert!(!answers[3].contains("COMPRESS"), "{}", answers[3]);
    assert_eq!(
        answers[5],
        "e NO [COMPRESSIONACTIVE] Compression is active already"
    );
    assert_eq!(outcome.upgrades, [Upgrade::Deflate]);
}

#[test]
fn no_compression_before_the_login_or_where_it_is_not_wanted() {
    let outcome = every_chunk(open(), &lines(&["a COMPRESS DEFLATE"]), &mut yes);
    assert_eq!(outcome.answers(), ["a BAD You have to log in first"]);
    let config = Config {
        compress: false,
        ..open()
    };
    let script = lines(&["a LOGIN x secret", "b COMPRESS DEFLATE"]);
    let outcome = every_chunk(config, &script, &mut yes);
    assert!(!outcome.text().contains("COMPRESS="));
    assert_eq!(outcome.answers()[1], "b NO Compression is not available");
    assert!(outcome.upgrades.is_empty());
}

#[test]
fn what_follows_at_once_is_neither() {
    let script = lines(&["a LOGIN x secret", "b COMPRESS DEFLATE", "c NOOP"]);
    let [Act::Send(bytes)] = script.as_slice() else {
        panic!("one piece");
    };
    let outcome = run(&open().into(), &script, bytes.len(), &mut yes);
    assert_eq!(
        outcome.answers()[1..],
        [
            "b BAD Nothing may follow COMPRESS before its answer",
            "c OK Done",
        ]
    );
    assert!(outcome.upgrades.is_empty());
}

/// The example of RFC 8437 §3.
#[test]
fn unauthenticate_forgets_the_login() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "0 UNAUTHENTICATE",
            "1 LOGIN x secret",
            "2 ENABLE IMAP4rev2 QRESYNC",
            "3 SELECT INBOX",
            "4 UNAUTHENTICATE",
            "5 SELECT INBOX",
            "6 LOGIN y secret",
            "7 SELECT INBOX (QRESYNC (1 1))",
            "8 ENABLE IMAP4rev2",
            "9 SELECT INBOX",
        ]),
        &mut yes,
    );
    let answers = outcome.answers();
    assert_eq!(answers[0], "0 BAD You have to log in first");
    assert_eq!(answers[2], "* ENABLED IMAP4rev2 QRESYNC");
    assert!(answers[5].starts_with("4 OK [CAPABILITY IMAP4rev1 "));
    assert!(answers[5].contains("AUTH=PLAIN"), "{}", answers[5]);
    assert_eq!(answers[6], "5 BAD You have to log in first");
    assert!(answers[7].starts_with("6 OK"));
    assert_eq!(answers[8], "7 BAD This needs ENABLE QRESYNC before it");
    assert_eq!(answers[9], "* ENABLED IMAP4rev2");
    assert!(answers[11].starts_with("9 OK [READ-WRITE]"));
}
