//! NOTIFY of the real server: who hears of what, and when. RFC 5465.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use axigen_tests::demo::{Demo, Port};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";
const MAIL: &str = "Subject: news\r\nFrom: a@b.test\r\n\r\ny\r\n";
const QUIET: Duration = Duration::from_millis(300);

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

#[track_caller]
fn bring(imap: &mut Wire, mailbox: &str) {
    let said = imap.append(mailbox, "", MAIL);
    assert!(said.contains("T OK"), "{said}");
}

/// What comes without asking, line by line.
#[track_caller]
fn hears(imap: &mut Wire, wanted: &[&str]) {
    for want in wanted {
        let mut line = imap.line();
        // Whoever looks first gets \\Recent.
        if line.contains(" RECENT") {
            line = imap.line();
        }
        assert_eq!(line.trim_end(), *want);
    }
    while !imap.is_silent(QUIET) {
        let line = imap.line();
        assert!(line.contains(" RECENT"), "{line}");
    }
}

#[test]
fn of_the_open_mailbox_at_once() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    bring(&mut other, "INBOX");
    bring(&mut other, "INBOX");
    assert!(one.ok("CAPABILITY").contains(" NOTIFY "));
    one.ok("SELECT INBOX");
    other.ok("SELECT INBOX");
    one.ok(
        "NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) \
         MessageExpunge FlagChange))",
    );
    bring(&mut other, "INBOX");
    hears(
        &mut one,
        &[
            "* 3 EXISTS",
            "* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)] {17}",
            "Subject: news",
            "",
            ")",
        ],
    );
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    assert!(one.line().starts_with("* 1 FETCH (UID 1 FLAGS (\\Deleted"));
    other.ok("EXPUNGE");
    hears(&mut one, &["* 1 EXPUNGE"]);
    // What this client brings itself is not shown to it.
    let said = one.append("INBOX", "", MAIL);
    assert!(
        said.contains("* 3 EXISTS") && !said.contains("FETCH"),
        "{said}"
    );
    // With QRESYNC it is VANISHED.
    let mut third = login(&demo);
    third.ok("ENABLE QRESYNC");
    third.ok("SELECT INBOX");
    third.ok("NOTIFY SET (selected (MessageNew MessageExpunge))");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    assert!(third.is_silent(QUIET), "flags were not asked for");
    other.ok("EXPUNGE");
    hears(&mut third, &["* VANISHED 2"]);
}

#[test]
fn expunge_may_wait_for_a_command() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    for _ in 0..3 {
        bring(&mut other, "INBOX");
    }
    one.ok("SELECT INBOX");
    other.ok("SELECT INBOX");
    one.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))");
    other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    bring(&mut other, "INBOX");
    hears(&mut one, &["* 4 EXISTS"]);
    assert!(
        one.ok("FETCH 3 UID")
            .starts_with("* 3 FETCH (UID 3)\r\nT OK")
    );
    assert!(one.ok("NOOP").starts_with("* 2 EXPUNGE\r\n"));
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    assert!(one.is_silent(QUIET));
    // IDLE is such a command, and tells the same events.
    one.send("T IDLE\r\n");
    let said = [one.line(), one.line()].concat();
    assert!(said.contains("* 1 EXPUNGE"), "{said}");
    other.ok("STORE 1 +FLAGS.SILENT (\\Answered)");
    assert!(one.is_silent(QUIET), "flags were not asked for");
    one.send("DONE\r\n");
    one.imap_until("T ");
}

#[test]
fn nothing_is_nothing_but_for_ones_own_doing() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    for _ in 0..4 {
        bring(&mut other, "INBOX");
    }
    one.ok("SELECT INBOX");
    other.ok("SELECT INBOX");
    one.ok("NOTIFY NONE");
    other.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("UID EXPUNGE 1");
    bring(&mut other, "INBOX");
    assert!(one.is_silent(QUIET));
    assert_eq!(one.ok("NOOP"), "T OK done\r\n");
    // A snapshot: 1 is still counted.
    one.ok("UID STORE 3 +FLAGS.SILENT (\\Deleted)");
    assert!(one.ok("EXPUNGE").starts_with("* 3 EXPUNGE\r\nT OK"));
    one.ok("CREATE Kept");
    let said = one.ok("UID MOVE 4 Kept");
    assert!(said.contains("* 3 EXPUNGE\r\nT OK"), "{said}");
    // Asking again tells all that was kept back.
    let said = one.ok("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))");
    assert!(said.contains("* 1 EXPUNGE\r\n* 2 EXISTS\r\n"), "{said}");
}

#[test]
fn of_other_mailboxes_by_status() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    for name in ["Lists", "Lists/Lemonade", "misc", "Listspace"] {
        other.ok(&format!("CREATE {name}"));
    }
    bring(&mut other, "Lists/Lemonade");
    let said = one.ok("NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) \
         (subtree Lists (MessageNew MessageExpunge FlagChange)) (mailboxes (misc nowhere) NONE)");
    let status: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("STATUS"))
        .collect();
    assert_eq!(status.len(), 2, "{said}");
    assert!(said.contains("* STATUS Lists/Lemonade (MESSAGES 1 UIDNEXT 2 UIDVALIDITY "));
    bring(&mut other, "misc");
    bring(&mut other, "Listspace");
    assert!(one.is_silent(QUIET));
    bring(&mut other, "Lists/Lemonade");
    let line = one.line();
    assert!(
        line.starts_with("* STATUS Lists/Lemonade (UIDNEXT 3 MESSAGES 2 UNSEEN 2 UIDVALIDITY "),
        "{line}"
    );
    other.ok("SELECT Lists/Lemonade");
    other.ok("STORE 1 +FLAGS.SILENT (\\Seen)");
    let line = one.line();
    assert!(
        line.starts_with("* STATUS Lists/Lemonade (UNSEEN 1 UIDVALIDITY "),
        "{line}"
    );
    other.ok("STORE 1 +FLAGS.SILENT (\\Flagged)");
    assert!(
        one.is_silent(QUIET),
        "without CONDSTORE that changes nothing one could tell"
    );
    one.ok("ENABLE CONDSTORE");
    other.ok("STORE 1 -FLAGS.SILENT (\\Flagged)");
    let line = one.line();
    assert!(
        line.starts_with("* STATUS Lists/Lemonade (HIGHESTMODSEQ "),
        "{line}"
    );
    other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
    one.line();
    other.ok("EXPUNGE");
    let line = one.line();
    assert!(
        line.starts_with("* STATUS Lists/Lemonade (UIDNEXT 3 MESSAGES 1 HIGHESTMODSEQ "),
        "{line}"
    );
    // What it did itself is no news.
    bring(&mut one, "Lists/Lemonade");
    assert!(one.is_silent(QUIET));
    // Once it is open, it is told as the open one.
    one.ok("SELECT Lists/Lemonade");
    bring(&mut other, "Lists/Lemonade");
    hears(&mut one, &["* 3 EXISTS"]);
}

#[test]
fn of_names_and_subscriptions() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    other.ok("CREATE Top");
    one.ok("NOTIFY SET (personal (MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange))");
    other.ok("CREATE Top/New");
    hears(
        &mut one,
        &[
            "* LIST (\\HasChildren) \"/\" Top",
            "* LIST (\\HasNoChildren) \"/\" Top/New",
        ],
    );
    other.ok("SUBSCRIBE Top/New");
    hears(
        &mut one,
        &["* LIST (\\HasNoChildren \\Subscribed) \"/\" Top/New"],
    );
    other.ok("UNSUBSCRIBE Top/New");
    hears(&mut one, &["* LIST (\\HasNoChildren) \"/\" Top/New"]);
    // Children move with it, and are not mentioned.
    other.ok("RENAME Top Other");
    hears(
        &mut one,
        &["* LIST (\\HasChildren) \"/\" Other (\"OLDNAME\" (Top))"],
    );
    other.ok("DELETE Other/New");
    hears(
        &mut one,
        &[
            "* LIST (\\HasNoChildren) \"/\" Other",
            "* LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" Other/New",
        ],
    );
    // One's own doing is no news.
    one.ok("CREATE Mine");
    one.ok("SUBSCRIBE Mine");
    one.ok("RENAME Mine Yours");
    one.ok("DELETE Yours");
    assert!(one.is_silent(QUIET));
    let said = one.ask("NOTIFY SET (personal (MessageNew MessageExpunge AnnotationChange))");
    assert_eq!(
        said.split("] ").next().unwrap(),
        "T NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)"
    );
    assert!(
        one.ask("NOTIFY SET (personal (FlagChange))")
            .starts_with("T BAD")
    );
}
