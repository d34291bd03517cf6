//! NOTIFY of the real server: who hears of what, and when. RFC 5465.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use axigen_tests::demo::{Demo, Port};
use axigen_tests::served::{House, IMAP, PLAIN};
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

const WORK: &str = "Other Users/ann@example.test/Work";

/// Ann, who shares, and others.
fn house(more: &str) -> House {
    let text = PLAIN.replace("[imap]\n", &format!("[imap]\n{more}\n"));
    let house = House::with(&text);
    for user in ["ann", "bob"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    house
}

fn of_house(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), &format!("{user}@example.test"), "demo")
}

#[test]
fn of_what_others_share() {
    let house = house("");
    let _served = house.serve();
    let (mut ann, mut bob) = (of_house(&house, "ann"), of_house(&house, "bob"));
    ann.ok("CREATE Work");
    ann.ok("CREATE Secret");
    ann.ok("SETACL Work bob@example.test lrswite");
    bring(&mut ann, "Work");
    bob.ok(&format!("SUBSCRIBE \"{WORK}\""));
    // Each of the filters that can mean a mailbox of another; one's own mailboxes
    // are none of them.
    for filter in [
        "subscribed".to_owned(),
        "subtree \"Other Users\"".to_owned(),
        "subtree \"Other Users/ann@example.test\"".to_owned(),
        format!("subtree \"{WORK}\""),
        format!("mailboxes (\"{WORK}\" \"Other Users/ann@example.test/Secret\")"),
    ] {
        let said = bob.ok(&format!(
            "NOTIFY SET STATUS ({filter} (MessageNew MessageExpunge FlagChange))"
        ));
        let told: Vec<&str> = said.lines().filter(|line| line.contains("Other")).collect();
        assert_eq!(told.len(), 1, "{filter}: {said}");
        assert!(
            told[0].starts_with(&format!("* STATUS \"{WORK}\" (MESSAGES ")),
            "{filter}: {said}"
        );
        let start = Instant::now();
        bring(&mut ann, "Work");
        let line = bob.line();
        // A wake, not a poll: far less than a second even on a busy machine.
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(
            line.starts_with(&format!("* STATUS \"{WORK}\" (UIDNEXT ")),
            "{filter}: {line}"
        );
        bring(&mut ann, "Secret");
        assert!(bob.is_silent(QUIET), "{filter}");
    }
    // What one's own filters mean is one's own.
    bob.ok("NOTIFY SET (personal (MessageNew MessageExpunge))");
    bring(&mut ann, "Work");
    assert!(bob.is_silent(QUIET));
    // Another session of the same reader: what it has seen is news.
    let mut again = of_house(&house, "bob");
    bob.ok(&format!(
        "NOTIFY SET (mailboxes \"{WORK}\" (MessageNew MessageExpunge FlagChange))"
    ));
    again.ok(&format!("SELECT \"{WORK}\""));
    again.ok("STORE 1 +FLAGS.SILENT (\\Seen)");
    let line = bob.line();
    assert!(line.contains("(UNSEEN 6 UIDVALIDITY "), "{line}");
    // What the owner has seen is not.
    ann.ok("SELECT Work");
    ann.ok("STORE 2 +FLAGS.SILENT (\\Seen)");
    assert!(bob.is_silent(QUIET));
    ann.ok("STORE 2 +FLAGS.SILENT (\\Deleted)");
    ann.ok("EXPUNGE");
    let line = bob.line();
    assert!(line.contains("MESSAGES 6"), "{line}");
    // Once it is open it is told as the open one.
    bob.ok("NOTIFY SET (selected (MessageNew MessageExpunge)) (subscribed (MessageNew MessageExpunge))");
    bob.ok(&format!("SELECT \"{WORK}\""));
    bring(&mut ann, "Work");
    hears(&mut bob, &["* 7 EXISTS"]);
    bob.ok("SELECT INBOX");
    bring(&mut ann, "Work");
    hears(
        &mut bob,
        &[&format!("* STATUS \"{WORK}\" (UIDNEXT 10 MESSAGES 8)")],
    );
    // IDLE tells the same.
    bob.send("T IDLE\r\n");
    assert!(bob.line().starts_with('+'));
    bring(&mut ann, "Work");
    hears(
        &mut bob,
        &[&format!("* STATUS \"{WORK}\" (UIDNEXT 11 MESSAGES 9)")],
    );
    bob.send("DONE\r\n");
    bob.imap_until("T ");
}

/// RFC 5465 §3.1, §5.4, §5.9
#[test]
fn rights_that_come_and_go() {
    let house = house("");
    let _served = house.serve();
    let (mut ann, mut bob) = (of_house(&house, "ann"), of_house(&house, "bob"));
    ann.ok("CREATE Work");
    // Nothing is shared yet, and nothing is told of what is there.
    bob.ok(
        "NOTIFY SET (subtree \"Other Users\" (MessageNew MessageExpunge MailboxName \
         MailboxMetadataChange))",
    );
    bring(&mut ann, "Work");
    assert!(bob.is_silent(QUIET));
    ann.ok("SETACL Work bob@example.test lr");
    hears(
        &mut bob,
        &[
            "* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Other Users/ann@example.test\"",
            &format!("* LIST (\\HasNoChildren) \"/\" \"{WORK}\""),
            &format!("* STATUS \"{WORK}\" (UIDNEXT 2 MESSAGES 1)"),
        ],
    );
    bring(&mut ann, "Work");
    hears(
        &mut bob,
        &[&format!("* STATUS \"{WORK}\" (UIDNEXT 3 MESSAGES 2)")],
    );
    ann.ok("SETMETADATA Work (/shared/comment \"ours\")");
    hears(
        &mut bob,
        &[&format!("* METADATA \"{WORK}\" /shared/comment")],
    );
    // It can still be seen, but not be read.
    ann.ok("SETACL Work bob@example.test l");
    hears(
        &mut bob,
        &[&format!(
            "* LIST (\\HasNoChildren \\NoAccess) \"/\" \"{WORK}\""
        )],
    );
    bring(&mut ann, "Work");
    ann.ok("SETMETADATA Work (/shared/comment \"others\")");
    assert!(bob.is_silent(QUIET));
    let said = bob
        .ok("NOTIFY SET STATUS (subtree \"Other Users\" (MessageNew MessageExpunge MailboxName))");
    assert!(
        said.starts_with(&format!("* LIST (\\NoAccess) \"/\" \"{WORK}\"\r\nT OK")),
        "{said}"
    );
    ann.ok("SETACL Work bob@example.test lr");
    hears(
        &mut bob,
        &[
            &format!("* LIST (\\HasNoChildren) \"/\" \"{WORK}\""),
            &format!("* STATUS \"{WORK}\" (UIDNEXT 4 MESSAGES 3)"),
        ],
    );
    // No longer seen: as if it were gone.
    ann.ok("DELETEACL Work bob@example.test");
    hears(
        &mut bob,
        &[
            "* LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" \"Other Users/ann@example.test\"",
            &format!(
                "* LIST (\\NonExistent \\Noselect \\HasNoChildren \\NoAccess) \"/\" \"{WORK}\""
            ),
        ],
    );
    bring(&mut ann, "Work");
    ann.ok("RENAME Work Hidden");
    assert!(bob.is_silent(QUIET));
    ann.ok("RENAME Hidden Work");
    // Watched again by the same command, and told since it was told as lost.
    let said = bob.ok(&format!(
        "NOTIFY SET STATUS (mailboxes \"{WORK}\" (MessageNew MessageExpunge))"
    ));
    assert!(said.starts_with("T OK"), "{said}");
    ann.ok("SETACL Work bob@example.test lr");
    hears(
        &mut bob,
        &[&format!("* STATUS \"{WORK}\" (UIDNEXT 5 MESSAGES 4)")],
    );
    ann.ok("SETACL Work bob@example.test \"\"");
    hears(
        &mut bob,
        &[&format!(
            "* LIST (\\NonExistent \\Noselect \\HasNoChildren \\NoAccess) \"/\" \"{WORK}\""
        )],
    );
    ann.ok("SETACL Work bob@example.test lr");
    hears(
        &mut bob,
        &[
            &format!("* LIST (\\HasNoChildren) \"/\" \"{WORK}\""),
            &format!("* STATUS \"{WORK}\" (UIDNEXT 5 MESSAGES 4)"),
        ],
    );
    // Renamed and removed by its owner.
    bob.ok("NOTIFY SET (subtree \"Other Users/ann@example.test\" (MessageNew MessageExpunge MailboxName))");
    ann.ok("RENAME Work Play");
    hears(
        &mut bob,
        &[&format!(
            "* LIST (\\HasNoChildren) \"/\" \"Other Users/ann@example.test/Play\" (\"OLDNAME\" (\"{WORK}\"))"
        )],
    );
    ann.ok("DELETE Play");
    let play = "\"Other Users/ann@example.test/Play\"";
    hears(
        &mut bob,
        &[
            "* LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" \"Other Users/ann@example.test\"",
            &format!("* LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" {play}"),
        ],
    );
}

#[test]
fn of_subscriptions_to_what_others_share_and_of_public_folders() {
    let house = house("notify_mailboxes = 4");
    house.run(&["public", "add", "example.test", "News"]).ok();
    house
        .run(&["public", "grant", "example.test", "News", "ann", "+itewk"])
        .ok();
    let _served = house.serve();
    let (mut ann, mut bob) = (of_house(&house, "ann"), of_house(&house, "bob"));
    ann.ok("CREATE Work");
    ann.ok("SETACL Work bob@example.test lri");
    bob.ok("NOTIFY SET (subscribed (MessageNew MessageExpunge SubscriptionChange))");
    bring(&mut ann, "Work");
    bring(&mut ann, "Public/News");
    assert!(bob.is_silent(QUIET));
    // The list is looked at again when it changes (RFC 5465 §6.4).
    let mut again = of_house(&house, "bob");
    again.ok("SUBSCRIBE Public/News");
    hears(
        &mut bob,
        &["* LIST (\\HasNoChildren \\Subscribed) \"/\" Public/News"],
    );
    bring(&mut ann, "Public/News");
    hears(&mut bob, &["* STATUS Public/News (UIDNEXT 3 MESSAGES 2)"]);
    // One's own subscription counts as well, and is no news.
    bob.ok(&format!("SUBSCRIBE \"{WORK}\""));
    assert!(bob.is_silent(QUIET));
    bring(&mut ann, "Work");
    hears(
        &mut bob,
        &[&format!("* STATUS \"{WORK}\" (UIDNEXT 3 MESSAGES 2)")],
    );
    again.ok("UNSUBSCRIBE Public/News");
    hears(&mut bob, &["* LIST (\\HasNoChildren) \"/\" Public/News"]);
    bring(&mut ann, "Public/News");
    assert!(bob.is_silent(QUIET));
    bob.ok("NOTIFY SET (subtree Public (MessageNew MessageExpunge MailboxName))");
    bring(&mut ann, "Public/News");
    hears(&mut bob, &["* STATUS Public/News (UIDNEXT 5 MESSAGES 4)"]);
    ann.ok("CREATE Public/News/Old");
    hears(
        &mut bob,
        &[
            "* LIST (\\HasChildren) \"/\" Public/News",
            "* LIST (\\HasNoChildren) \"/\" Public/News/Old",
        ],
    );
    // What one does oneself in a mailbox of another is no news.
    bob.ok(&format!(
        "NOTIFY SET (mailboxes \"{WORK}\" (MessageNew MessageExpunge FlagChange))"
    ));
    let said = bob.append(WORK, "\\Seen", MAIL);
    assert!(!said.contains("STATUS"), "{said}");
    // There is a limit to what one session may watch.
    for name in ["a", "b", "c", "d"] {
        ann.ok(&format!("CREATE {name}"));
        ann.ok(&format!("SETACL {name} bob@example.test lr"));
    }
    let all = "NOTIFY SET (subtree \"Other Users\" (MessageNew MessageExpunge))";
    let line = bob.imap_until("* OK [NOTIFICATIONOVERFLOW] ");
    assert!(!line.is_empty());
    let said = bob.ask(all);
    assert!(said.starts_with("T NO [NOTIFICATIONOVERFLOW] "), "{said}");
    ann.ok("DELETEACL d bob@example.test");
    bob.ok(all);
    ann.ok("SETACL d bob@example.test lr");
    assert!(bob.line().starts_with("* OK [NOTIFICATIONOVERFLOW] "));
    bring(&mut ann, "Work");
    assert!(bob.is_silent(QUIET));
}

/// RFC 5465 §5: what a client does itself is no news for it, whichever way it
/// is told.
#[test]
fn ones_own_messages() {
    let demo = Demo::start(&["--accounts", "1"]);
    let (mut one, mut other) = (login(&demo), login(&demo));
    one.ok("ENABLE CONDSTORE");
    one.ok("CREATE Kept");
    one.ok(
        "NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) \
         (personal (MessageNew MessageExpunge FlagChange))",
    );
    one.ok("SELECT INBOX");
    // Into another mailbox: nothing is told of it, with CONDSTORE neither.
    let said = one.append("Kept", "", MAIL);
    assert!(!said.contains("STATUS"), "{said}");
    // Into the open one: EXISTS as RFC 9051 §6.3.12 has it, no FETCH.
    let said = one.append("INBOX", "", MAIL);
    assert!(said.contains("* 1 EXISTS"), "{said}");
    assert!(
        !said.contains("FETCH") && !said.contains("STATUS"),
        "{said}"
    );
    let said = one.ok("COPY 1 Kept");
    assert!(!said.contains("STATUS"), "{said}");
    let said = one.ok("COPY 1 INBOX");
    assert!(said.contains("* 2 EXISTS"), "{said}");
    assert!(
        !said.contains("FETCH") && !said.contains("STATUS"),
        "{said}"
    );
    let said = one.ok("UID MOVE 2 Kept");
    assert!(said.contains("* 2 EXPUNGE"), "{said}");
    assert!(!said.contains("STATUS"), "{said}");
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    let said = one.ok("CLOSE");
    assert!(!said.contains("STATUS"), "{said}");
    assert!(one.is_silent(QUIET));
    // What another brought at the same time is told with the whole truth.
    other.append("Kept", "", MAIL);
    hears_status(&mut one, "Kept (UIDNEXT 5 MESSAGES 4 ");
    other.ok("SELECT Kept");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    hears_status(&mut one, "Kept (HIGHESTMODSEQ ");
    other.ok("CLOSE");
    hears_status(&mut one, "Kept (UIDNEXT 5 MESSAGES 3 ");
    assert!(one.is_silent(QUIET));
    // One that is made and filled at once is told with what it holds.
    other.ok("CREATE Fresh");
    bring(&mut other, "Fresh");
    hears_status(&mut one, "Fresh (UIDNEXT 2 MESSAGES 1 ");
}

#[track_caller]
fn hears_status(imap: &mut Wire, start: &str) {
    let line = imap.line();
    assert!(line.starts_with(&format!("* STATUS {start}")), "{line}");
}
