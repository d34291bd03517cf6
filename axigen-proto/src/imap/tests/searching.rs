//! UIDONLY, UIDBATCHES, CONTEXT, FUZZY, MULTISEARCH and INPROGRESS: lines as the standards show them, read and written.

use bytes::BytesMut;

use crate::imap::command::{Command, FetchAttribute, SearchKey, SearchReturn, SectionText};
use crate::imap::encode::Encoder;
use crate::imap::extensions::context::Shift;
use crate::imap::extensions::multisearch::{FoundIn, MultiSearch};
use crate::imap::extensions::notify::NotifyMailboxes;
use crate::imap::extensions::uidbatches::UidBatches;
use crate::imap::parse::response::{Reply, ResponseGrammar, response as read_response};
use crate::imap::parse::{self, Grammar};
use crate::imap::response::{Code, Esearch, FetchItem, Response, Status, StatusKind};
use crate::imap::types::{Flag, Tag};

fn read(line: &str) -> Command {
    let found = parse::command(&Grammar::default(), line.as_bytes());
    found.unwrap_or_else(|why| panic!("{line}: {why:?}")).1
}

fn refused(line: &str) -> Status {
    let found = parse::command(&Grammar::default(), line.as_bytes());
    found.expect_err(line).status
}

/// Written as it stands there, and read again.
#[track_caller]
fn both_ways(response: &Response, line: &str) {
    let mut out = BytesMut::new();
    Encoder::new(&mut out, false).response(response);
    assert_eq!(out, format!("{line}\r\n").as_bytes());
    let read = read_response(&ResponseGrammar::default(), line.as_bytes());
    assert_eq!(read, Ok(Reply::Untagged(response.clone())), "{line}");
}

#[test]
fn uidbatches() {
    let batches = |size, range| Command::UidBatches(UidBatches { size, range });
    assert_eq!(read("A143 UIDBATCHES 2000"), batches(2000, None));
    assert_eq!(
        read("A302 uidbatches 2000 10:20"),
        batches(2000, Some((10, 20)))
    );
    let status = refused("A302 UIDBATCHES 500 20:10");
    assert_eq!(
        (status.kind, status.code),
        (StatusKind::Bad, Some(Code::ClientBug))
    );
    for line in [
        "a UIDBATCHES",
        "a UIDBATCHES 0",
        "a UIDBATCHES abc",
        "a UIDBATCHES 500 10",
        "a UIDBATCHES 500 0:10",
        "a UIDBATCHES 500 1:*",
        "a UIDBATCHES 500 1:2,3:4",
        "a UIDBATCHES 4294967296",
        "a UID UIDBATCHES 500",
    ] {
        assert_eq!(refused(line).kind, StatusKind::Bad, "{line}");
    }
    let response = |tag: &str, batches: &[(u32, u32)]| Response::UidBatches {
        tag: Tag::new(tag).unwrap(),
        batches: batches.to_vec(),
    };
    both_ways(
        &response(
            "A143",
            &[
                (215_295, 99_696),
                (99_695, 20_351),
                (20_350, 7830),
                (7829, 1),
            ],
        ),
        "* UIDBATCHES (TAG \"A143\") 215295:99696,99695:20351,20350:7830,7829:1",
    );
    both_ways(&response("A1", &[]), "* UIDBATCHES (TAG \"A1\")");
    both_ways(
        &Response::Status(Status::no("small").with(Code::TooFew)),
        "* NO [TOOFEW] small",
    );
    both_ways(
        &Response::Status(Status::no("many").with(Code::TooMany)),
        "* NO [TOOMANY] many",
    );
}

#[test]
fn uidfetch() {
    both_ways(
        &Response::UidFetch {
            uid: 25_996,
            items: vec![FetchItem::Flags(vec![Flag::Seen])],
        },
        "* 25996 UIDFETCH (FLAGS (\\Seen))",
    );
    both_ways(
        &Response::Status(Status::bad("no").with(Code::UidRequired)),
        "* BAD [UIDREQUIRED] no",
    );
}

#[test]
fn what_names_sequence_numbers() {
    for line in [
        "a FETCH 1 FLAGS",
        "a FETCH $ FLAGS",
        "a STORE 1 FLAGS (\\Seen)",
        "a COPY 1 x",
        "a MOVE 1 x",
        "a SEARCH ALL",
        "a SORT (DATE) UTF-8 ALL",
        "a THREAD REFERENCES UTF-8 ALL",
        "a UID SEARCH 1:5",
        "a ESEARCH IN (personal) 1:5",
        "a UID SEARCH OR SEEN NOT (FLAGGED 7)",
        "a UID SORT (DATE) UTF-8 1:*",
        "a UID THREAD REFERENCES UTF-8 2",
        "a SELECT INBOX (QRESYNC (1 2 1:9 (1,3 4,8)))",
    ] {
        assert!(read(line).uses_sequence_numbers(), "{line}");
    }
    for line in [
        "a UID FETCH 1 FLAGS",
        "a UID STORE 1 FLAGS (\\Seen)",
        "a UID COPY 1 x",
        "a UID MOVE $ x",
        "a UID SEARCH UID 1:5 $",
        "a ESEARCH IN (personal) UID 1:5",
        "a UID SORT (DATE) UTF-8 ALL",
        "a UID EXPUNGE 1",
        "a EXPUNGE",
        "a SELECT INBOX (QRESYNC (1 2 1:9))",
        "a UIDBATCHES 500",
    ] {
        assert!(!read(line).uses_sequence_numbers(), "{line}");
    }
}

#[test]
fn contexts() {
    let returns = |line: &str| match read(line) {
        Command::Search(search) => search.returns.unwrap(),
        Command::Sort(sort) => sort.returns.unwrap(),
        other => panic!("{line}: {other:?}"),
    };
    let update = SearchReturn {
        update: true,
        count: true,
        ..SearchReturn::default()
    };
    assert_eq!(
        returns("A01 UID SEARCH RETURN (UPDATE COUNT) DELETED KEYWORD $Junk"),
        update
    );
    let context = SearchReturn {
        context: true,
        ..update
    };
    assert_eq!(
        returns("A02 SORT RETURN (UPDATE CONTEXT COUNT) (ARRIVAL) UTF-8 UNDELETED"),
        context
    );
    let tag = |text: &str| Tag::new(text).unwrap();
    assert_eq!(
        read("B04 CANCELUPDATE \"B01\" \"B02\""),
        Command::CancelUpdate(vec![tag("B01"), tag("B02")])
    );
    for line in [
        "a CANCELUPDATE",
        "a CANCELUPDATE B01",
        "a CANCELUPDATE \"\"",
        "a CANCELUPDATE (\"B01\")",
    ] {
        assert_eq!(refused(line).kind, StatusKind::Bad, "{line}");
    }
    let shift = |position, numbers: &[u32]| Shift {
        position,
        numbers: numbers.to_vec(),
    };
    let esearch = |remove_from: &[Shift], add_to: &[Shift]| {
        Response::Esearch(Esearch {
            tag: Some(tag("B01")),
            uid: true,
            remove_from: remove_from.to_vec(),
            add_to: add_to.to_vec(),
            ..Esearch::default()
        })
    };
    both_ways(
        &esearch(&[], &[shift(0, &[32_768, 32_769])]),
        "* ESEARCH (TAG \"B01\") UID ADDTO (0 32768:32769)",
    );
    both_ways(
        &esearch(
            &[],
            &[shift(1, &[2733]), shift(1, &[2732]), shift(1, &[2731])],
        ),
        "* ESEARCH (TAG \"B01\") UID ADDTO (1 2733 1 2732 1 2731)",
    );
    both_ways(
        &esearch(&[shift(0, &[32_768])], &[]),
        "* ESEARCH (TAG \"B01\") UID REMOVEFROM (0 32768)",
    );
    both_ways(
        &esearch(&[shift(3, &[9, 8])], &[shift(1, &[9])]),
        "* ESEARCH (TAG \"B01\") UID REMOVEFROM (3 9,8) ADDTO (1 9)",
    );
    both_ways(
        &Response::Status(Status::no("Too many contexts").with(Code::NoUpdate(tag("B02")))),
        "* NO [NOUPDATE \"B02\"] Too many contexts",
    );
}

#[test]
fn in_progress() {
    let status = |tag: Option<&str>, done, goal| {
        let code = Code::InProgress {
            tag: tag.and_then(Tag::new),
            done,
            goal,
        };
        Response::ok(code, "Hang in there...")
    };
    for (tag, done, goal, shown) in [
        (None, None, None, "[INPROGRESS]"),
        (Some("A001"), None, None, "[INPROGRESS (\"A001\" NIL NIL)]"),
        (
            Some("A001"),
            Some(175),
            None,
            "[INPROGRESS (\"A001\" 175 NIL)]",
        ),
        (
            Some("A001"),
            Some(175),
            Some(1000),
            "[INPROGRESS (\"A001\" 175 1000)]",
        ),
        (None, Some(0), Some(1), "[INPROGRESS (NIL 0 1)]"),
    ] {
        both_ways(
            &status(tag, done, goal),
            &format!("* OK {shown} Hang in there..."),
        );
    }
    // A tag that cannot stand in a code, and a goal of nothing.
    let mut out = BytesMut::new();
    Encoder::new(&mut out, false).response(&status(Some("a]"), Some(1), Some(0)));
    assert_eq!(
        out,
        &b"* OK [INPROGRESS (NIL 1 NIL)] Hang in there...\r\n"[..]
    );
}

#[test]
fn fuzzy() {
    let keys = |line: &str| match read(line) {
        Command::Search(search) => search.keys,
        other => panic!("{line}: {other:?}"),
    };
    let subject = |text: &str| SearchKey::Subject(text.to_owned());
    assert_eq!(
        keys("A1 SEARCH FUZZY (SUBJECT \"IMAP break\")"),
        [SearchKey::Fuzzy(Box::new(SearchKey::And(vec![subject(
            "IMAP break"
        )])))]
    );
    assert_eq!(
        keys("A2 SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT x NOT FUZZY SUBJECT y"),
        [
            SearchKey::Fuzzy(Box::new(subject("x"))),
            SearchKey::Not(Box::new(SearchKey::Fuzzy(Box::new(subject("y"))))),
        ]
    );
    assert!(read("A3 SORT (RELEVANCY) UTF-8 FUZZY SUBJECT x") != read("a NOOP"));
    // RELEVANCY needs something that may be inexact.
    for line in [
        "a SEARCH RETURN (RELEVANCY ALL) SUBJECT x",
        "a SORT (RELEVANCY) UTF-8 SUBJECT x",
        "a SORT RETURN (RELEVANCY) (DATE) UTF-8 SUBJECT x",
        "a SEARCH FUZZY",
    ] {
        assert_eq!(refused(line).kind, StatusKind::Bad, "{line}");
    }
    let deep = format!("a SEARCH {}ALL", "FUZZY ".repeat(70));
    assert_eq!(refused(&deep).code, Some(Code::Limit));
    both_ways(
        &Response::Esearch(Esearch {
            tag: Tag::new("B1"),
            all: vec![1, 5, 10],
            relevancy: Some(vec![4, 99, 42]),
            ..Esearch::default()
        }),
        "* ESEARCH (TAG \"B1\") ALL 1,5,10 RELEVANCY (4 99 42)",
    );
}

/// RFC 5465 §7: its example has a space that its grammar has not.
#[test]
fn items_of_update() {
    for text in [
        "a00 SEARCH RETURN (COUNT UPDATE (UID BODY[HEADER.FIELDS (TO FROM)])) FROM \"boss\"",
        "a00 SEARCH RETURN (update(uid body[header.fields (to from)]) count) FROM boss",
    ] {
        let Command::Search(search) = read(text) else {
            panic!("{text}")
        };
        let returns = search.returns.unwrap();
        assert!(returns.update && returns.count && !returns.all, "{text}");
        let [
            FetchAttribute::Uid,
            FetchAttribute::BodySection { section, .. },
        ] = &search.update_items[..]
        else {
            panic!("{:?}", search.update_items)
        };
        assert!(
            matches!(&section.text, SectionText::HeaderFields(named) if named.len() == 2),
            "{section:?}"
        );
    }
    for text in [
        "a SEARCH RETURN (UPDATE ()) ALL",
        "a SEARCH RETURN (UPDATE (FOO)) ALL",
        "a SEARCH RETURN (UPDATE UID) ALL",
        "a SEARCH RETURN ((UID)) ALL",
    ] {
        assert_eq!(refused(text).kind, StatusKind::Bad, "{text}");
    }
}

/// RFC 7377 §3, and what goes beside it.
#[test]
fn multisearch() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let all = SearchReturn {
        all: true,
        ..SearchReturn::default()
    };
    let search = |sources, keys| {
        Command::MultiSearch(MultiSearch {
            sources,
            returns: all,
            update_items: vec![],
            keys,
        })
    };
    assert_eq!(
        read("tag1 ESEARCH IN (mailboxes \"folder1\" subtree \"folder2\") unseen"),
        search(
            vec![
                NotifyMailboxes::Mailboxes(names(&["folder1"])),
                NotifyMailboxes::Subtree(names(&["folder2"])),
            ],
            vec![SearchKey::Unseen],
        )
    );
    assert_eq!(
        read("tag2 esearch in (subtree-one (folder2 inbox) PERSONAL) return () subject \"chad\""),
        search(
            vec![
                NotifyMailboxes::SubtreeOne(names(&["folder2", "INBOX"])),
                NotifyMailboxes::Personal,
            ],
            vec![SearchKey::Subject("chad".into())],
        )
    );
    let open = || vec![NotifyMailboxes::Selected];
    assert_eq!(
        read("a ESEARCH CHARSET UTF-8 1:100"),
        search(open(), vec![read_key("1:100")])
    );
    assert_eq!(
        read("a ESEARCH IN (selected) $"),
        search(open(), vec![read_key("$")])
    );
    for line in [
        "a ESEARCH",
        "a ESEARCH IN () ALL",
        "a ESEARCH IN (personal ) ALL",
        "a ESEARCH IN ( personal) ALL",
        "a ESEARCH IN personal ALL",
        "a ESEARCH IN (personal)",
        "a ESEARCH IN (selected-delayed) ALL",
        "a ESEARCH IN (subtree-one) ALL",
        "a ESEARCH IN (subtree-one ()) ALL",
        "a ESEARCH IN (personal (depth 2)) ALL",
        "a ESEARCH IN (personal) RETURN (SAVE) ALL",
        "a ESEARCH IN (selected personal) RETURN (SAVE MIN) ALL",
        "a ESEARCH IN (mailboxes x) OR SEEN $",
        "a ESEARCH IN (mailboxes x) NOT UID $",
        "a ESEARCH IN (personal) RETURN (RELEVANCY) ALL",
        "a ESEARCH RETURN (ALL) IN (personal) ALL",
        "a UID ESEARCH ALL",
        "a NOTIFY SET (subtree-one x (MessageNew MessageExpunge))",
    ] {
        assert_eq!(refused(line).kind, StatusKind::Bad, "{line}");
    }
    let in_banana = FoundIn {
        mailbox: "folder2/banana".into(),
        uid_validity: 503,
    };
    let response = Response::Esearch(Esearch {
        tag: Tag::new("tag1"),
        found_in: Some(in_banana),
        uid: true,
        all: vec![3002, 4004],
        ..Esearch::default()
    });
    both_ways(
        &response,
        "* ESEARCH (TAG \"tag1\" MAILBOX folder2/banana UIDVALIDITY 503) UID ALL 3002,4004",
    );
    // In any order, and with what nobody knows.
    let other = "* ESEARCH (uidvalidity 503 X-NEW (1) MAILBOX \"folder2/banana\" tag tag1) UID ALL 3002,4004";
    let read = read_response(&ResponseGrammar::default(), other.as_bytes());
    assert_eq!(read, Ok(Reply::Untagged(response)));
    for wrong in [
        "* ESEARCH () UID",
        "* ESEARCH (TAG) UID",
        "* ESEARCH (TAG \"a\" ) UID",
        "* ESEARCH (MAILBOX x UIDVALIDITY 0) UID",
        "* ESEARCH (MAILBOX x UIDVALIDITY 1 UID",
    ] {
        let read = read_response(&ResponseGrammar::default(), wrong.as_bytes());
        assert!(
            !matches!(read, Ok(Reply::Untagged(Response::Esearch(_)))),
            "{wrong}: {read:?}"
        );
    }
}

fn read_key(key: &str) -> SearchKey {
    match read(&format!("a SEARCH {key}")) {
        Command::Search(mut search) => search.keys.remove(0),
        other => panic!("{other:?}"),
    }
}

/// RFC 9738
#[test]
fn messagelimit() {
    let limited = |limit, lowest| {
        let code = Code::MessageLimit { limit, lowest };
        Response::Status(Status::ok("not all").with(code))
    };
    both_ways(
        &limited(1000, Some(23_221)),
        "* OK [MESSAGELIMIT 1000 23221] not all",
    );
    both_ways(&limited(1, None), "* OK [MESSAGELIMIT 1] not all");
    assert_eq!(read_key("uidafter 7"), SearchKey::UidAfter(7));
    assert_eq!(
        read_key("UIDBEFORE 4294967295"),
        SearchKey::UidBefore(u32::MAX)
    );
    for wrong in [
        "a SEARCH UIDAFTER",
        "a SEARCH UIDAFTER 0",
        "a SEARCH UIDBEFORE 4294967296",
        "a SEARCH UIDAFTER 1:2",
        "a SEARCH UIDBEFORE *",
    ] {
        assert_eq!(refused(wrong).kind, StatusKind::Bad, "{wrong}");
    }
}
