//! The commands in the examples of RFC 3501 §6, RFC 9051 §6 and the extensions.

use crate::imap::command::{
    Command, Fetch, FetchAttribute, List, ListPattern, ListReturn, ListSelect, Partial, Search,
    SearchKey, SearchReturn, Section, SectionText, Select, Store, StoreAction,
};
use crate::imap::extensions::condstore::{
    EntryType, FetchModifiers, ModSeqEntry, Resync, SelectParameters,
};
use crate::imap::extensions::sort::{Sort, SortBy, SortCriterion, Thread, ThreadAlgorithm};
use crate::imap::parse::{self, Grammar};
use crate::imap::response::{Code, StatusKind};
use crate::imap::sequence::SequenceSet;
use crate::imap::types::{Date, Flag, SpecialUse, StatusItem};

fn read(line: &str) -> Command {
    match parse::command(&Grammar::default(), line.as_bytes()) {
        Ok((_, command)) => command,
        Err(error) => panic!("{line}: {error:?}"),
    }
}

fn refused(line: &[u8]) -> (StatusKind, Option<Code>, String) {
    let error = parse::command(&Grammar::default(), line)
        .map(|found| format!("{found:?}"))
        .expect_err(&line.escape_ascii().to_string());
    (
        error.status.kind,
        error.status.code,
        error.status.text.into(),
    )
}

fn set(text: &str) -> SequenceSet {
    SequenceSet::parse(text.as_bytes()).unwrap()
}

/// Lines of the RFCs' examples; each has to be understood.
const EXAMPLES: &[&str] = &[
    "abcd CAPABILITY",
    // RFC 5256 §3 and RFC 5957 §4
    "A282 SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994",
    "A283 SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
    "A284 SORT (SUBJECT) US-ASCII TEXT \"not in mailbox\"",
    "A283 THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000",
    "A284 THREAD REFERENCES US-ASCII TEXT \"gewp\"",
    "a UID THREAD REFERENCES UTF-8 ALL",
    // RFC 5032 §4
    "a1 SEARCH UNSEEN YOUNGER 259200",
    "a UID SEARCH OR OLDER 1 YOUNGER 4294967295",
    "a UID SORT (REVERSE DISPLAYFROM DISPLAYTO) UTF-8 ALL",
    "a002 NOOP",
    "A023 LOGOUT",
    "a002 STARTTLS",
    "a001 AUTHENTICATE GSSAPI",
    "A01 AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
    "a001 LOGIN SMITH SESAME",
    "A142 SELECT INBOX",
    "A932 EXAMINE blurdybloop",
    "A003 CREATE owatagusiam/",
    "A004 CREATE owatagusiam/blurdybloop",
    "A682 LIST \"\" *",
    "A683 DELETE blurdybloop",
    "A684 DELETE foo",
    "A683 RENAME blurdybloop sarasoop",
    "Z433 RENAME INBOX old-mail",
    "A002 SUBSCRIBE #news.comp.mail.mime",
    "A002 UNSUBSCRIBE #news.comp.mail.mime",
    "A101 LIST \"\" \"\"",
    "A102 LIST #news.comp.mail.misc \"\"",
    "A103 LIST /usr/staff/jones \"\"",
    "A202 LIST ~/Mail/ %",
    "A002 LSUB \"#news.\" \"comp.mail.*\"",
    "A042 STATUS blurdybloop (UIDNEXT MESSAGES)",
    "A044 STATUS INBOX (DELETED SIZE)",
    "FXXZ CHECK",
    "A341 CLOSE",
    "A342 UNSELECT",
    "A202 EXPUNGE",
    "A282 SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
    "A283 SEARCH TEXT \"string not in mailbox\"",
    "A284 SEARCH CHARSET UTF-8 TEXT {6}\r\n\u{43c}\u{430}\u{442}",
    "A282 SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
    "A283 SEARCH RETURN () FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
    "A301 SEARCH RETURN (SAVE) CHARSET UTF-8 (OR $ 1,3000:3021) TEXT {8+}\r\n\u{442}\u{435}\u{441}\u{442}",
    "E282 SEARCH RETURN (SAVE) NOT SUBJECT {11+}\r\nspecial set",
    "E283 FETCH $ (UID)",
    "A303 UID SEARCH UID $ SMALLER 4096",
    "A654 FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
    "A003 STORE 2:4 +FLAGS (\\Deleted)",
    "A003 COPY 2:4 MEETING",
    "a UID MOVE 42:69 foo",
    "A999 UID FETCH 4827313:4828442 FLAGS",
    "A003 UID EXPUNGE 3000:3002",
    "t1 ENABLE CONDSTORE IMAP4rev2",
    "a023 ID (\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" \"Pink Floyd Music Limited\")",
    "a042 ID NIL",
    "A001 NAMESPACE",
    "A002 IDLE",
    "t1 CREATE MySpecial (USE (\\Drafts \\Sent))",
    "t2 LIST \"\" \"%\" RETURN (SPECIAL-USE)",
    "t3 LIST (SPECIAL-USE) \"\" \"*\"",
    "A02 LIST (SUBSCRIBED) \"\" \"*\"",
    "A03 LIST () \"\" \"%\" RETURN (CHILDREN)",
    "A04 LIST (REMOTE) \"\" \"%\" RETURN (CHILDREN)",
    "A05 LIST (REMOTE SUBSCRIBED) \"\" \"*\"",
    "A06 LIST (REMOTE) \"\" \"*\" RETURN (SUBSCRIBED)",
    "BBB LIST \"\" (\"INBOX\" \"Drafts\" \"Sent/%\")",
    "C01 LIST (RECURSIVEMATCH SUBSCRIBED) \"\" \"%\"",
    "A01 LIST \"\" % RETURN (STATUS (MESSAGES UNSEEN))",
    // RFC 4978, RFC 7889, RFC 8437
    "b COMPRESS DEFLATE",
    "t1 STATUS INBOX (APPENDLIMIT)",
    "t2 LIST \"\" % RETURN (STATUS (APPENDLIMIT))",
    "4 UNAUTHENTICATE",
    // RFC 5267 §3.3, RFC 9394
    "E01 UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED UNKEYWORD $Junk",
    "E02 SORT RETURN (MIN MAX COUNT PARTIAL 500:400) (SIZE) UTF-8 ALL",
    "A01 UID SEARCH RETURN (PARTIAL -1:-100) UNDELETED UNKEYWORD $Junk",
    "A02 UID SEARCH RETURN (PARTIAL 23500:24000) UNDELETED UNKEYWORD $Junk",
    "10 UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-3)",
    "101 UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-30 CHANGEDSINCE 98305)",
    // RFC 8474
    "7 STATUS foo (MAILBOXID)",
    "27 FETCH 1:* (UID EMAILID THREADID)",
    "28 SEARCH EMAILID M6d99ac3275bb4e",
    "29 SEARCH OR EMAILID M6d99ac3275bb4e THREADID T64b478a75b7ea9",
    "1 LIST \"\" \"*\" RETURN (STATUS (MAILBOXID))",
    // RFC 8970
    "A1 FETCH 1 (RFC822.SIZE PREVIEW)",
    "B1 FETCH 1:4 (UID PREVIEW (LAZY))",
    // RFC 9208
    "G0001 GETQUOTA \"!partition/sda4\"",
    "G0002 GETQUOTAROOT INBOX",
    "S0003 STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)",
    // RFC 5465
    "b notify set status (selected (MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge)) (subtree Lists NONE)",
    "a notify set (mailboxes INBOX (Messagenew messageExpunge)) (personal (SubscriptionChange))",
    "a notify set (selected (Messagenew (uid flags) messageExpunge)) (personal (MessageNew FlagChange MessageExpunge))",
    "e NOTIFY NONE",
    "f NOTIFY SET (selected-delayed NONE) (inboxes (MailboxName)) (subscribed NONE) (mailboxes (a \"b c\") NONE)",
    // RFC 7162
    "a103 UID STORE 6,4,8 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
    "a104 STORE * (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted $Processed)",
    "c101 STORE 50 (UNCHANGEDSINCE 12121230045) -FLAGS.SILENT (\\Deleted)",
    "a102 STORE 12 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)",
    "B001 STORE 1:7 (UNCHANGEDSINCE 320172338) +FLAGS (\\SEEN)",
    "e105 STORE 7,3:9 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
    "A150 STORE 1:2 (UNCHANGEDSINCE 96) +FLAGS.SILENT \\Seen",
    "s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)",
    "s100 UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
    "a FETCH 1:3 (MODSEQ)",
    "a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338",
    "t SEARCH OR NOT MODSEQ 720162338 LARGER 50000",
    "a SEARCH RETURN (ALL) MODSEQ 1234",
    "A042 STATUS blurdybloop (UIDNEXT MESSAGES HIGHESTMODSEQ)",
    "A142 SELECT INBOX (CONDSTORE)",
    "A02 SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
    "A03 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))",
    "B04 SELECT INBOX (QRESYNC (67890007 90060115194045000 1:29997 (5000,7500,9000,9990:9999 15000,22500,27000,29970,29973,29976,29979,29982,29985,29988,29991,29994,29997)))",
    "a1 FETCH 1 (BINARY.PEEK[1.2] BINARY.SIZE[3] BINARY[]<0.100>)",
];

#[test]
fn all_examples_are_understood() {
    for line in EXAMPLES {
        read(line);
    }
}

#[test]
fn what_they_mean() {
    assert_eq!(
        read("A282 SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\""),
        Command::Search(Search {
            uid: false,
            returns: None,
            update_items: vec![],
            keys: vec![
                SearchKey::Flagged,
                SearchKey::Since(Date::new(1994, 2, 1).unwrap()),
                SearchKey::Not(Box::new(SearchKey::From("Smith".into()))),
            ],
        })
    );
    assert_eq!(
        read("a uid sort (reverse date subject) utf-8 1:3 SEEN"),
        Command::Sort(Sort {
            uid: true,
            returns: None,
            update_items: vec![],
            criteria: vec![
                SortCriterion {
                    reverse: true,
                    by: SortBy::Date,
                },
                SortCriterion {
                    reverse: false,
                    by: SortBy::Subject,
                },
            ],
            keys: vec![SearchKey::Sequence(set("1:3")), SearchKey::Seen],
        })
    );
    assert_eq!(
        read("a THREAD REFERENCES US-ASCII ALL"),
        Command::Thread(Thread {
            uid: false,
            algorithm: ThreadAlgorithm::References,
            keys: vec![SearchKey::All],
        })
    );
    assert_eq!(
        read("a UID SEARCH RETURN (MAX SAVE) OR (1:3 SEEN) UID 7:*"),
        Command::Search(Search {
            uid: true,
            returns: Some(SearchReturn {
                max: true,
                save: true,
                ..SearchReturn::default()
            }),
            update_items: vec![],
            keys: vec![SearchKey::Or(
                Box::new(SearchKey::And(vec![
                    SearchKey::Sequence(set("1:3")),
                    SearchKey::Seen,
                ])),
                Box::new(SearchKey::Uid(set("7:*"))),
            )],
        })
    );
    assert_eq!(
        read(
            "a fetch 1:5 (uid body.peek[1.2.header.fields (Subject \"x-y\")]<10.20> binary.size[2])"
        ),
        Command::Fetch(Fetch {
            uid: false,
            set: set("1:5"),
            modifiers: FetchModifiers::default(),
            attributes: vec![
                FetchAttribute::Uid,
                FetchAttribute::BodySection {
                    section: Section {
                        part: vec![1, 2],
                        text: SectionText::HeaderFields(vec!["Subject".into(), "x-y".into()]),
                    },
                    partial: Some(Partial {
                        offset: 10,
                        length: 20,
                    }),
                    peek: true,
                },
                FetchAttribute::BinarySize { part: vec![2] },
            ],
        })
    );
    assert_eq!(
        read("a FETCH 1 FULL"),
        read("a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)")
    );
    assert_eq!(
        read("a UID STORE 4:* -flags.silent \\seen $Junk"),
        Command::Store(Store {
            uid: true,
            set: set("4:*"),
            unchanged_since: None,
            action: StoreAction::Remove,
            silent: true,
            flags: vec![Flag::Seen, Flag::Keyword("$Junk".into())],
        })
    );
    assert_eq!(
        read(
            "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (foo* \"&AOQ-%\") RETURN (CHILDREN STATUS (UNSEEN SIZE))"
        ),
        Command::List(List {
            select: ListSelect {
                subscribed: true,
                recursive_match: true,
                ..ListSelect::default()
            },
            reference: String::new(),
            patterns: vec![ListPattern("foo*".into()), ListPattern("ä%".into())],
            returns: ListReturn {
                subscribed: true,
                children: true,
                my_rights: false,
                metadata: Vec::new(),
                special_use: false,
                status: vec![StatusItem::Unseen, StatusItem::Size],
            },
            extended: true,
        })
    );
    assert_eq!(
        read("a CREATE x (USE (\\archive))"),
        Command::Create {
            mailbox: "x".into(),
            special_use: vec![SpecialUse::Archive],
        }
    );
    assert_eq!(
        read("a SELECT \"InBoX\""),
        Command::Select(Select {
            mailbox: "INBOX".into(),
            parameters: SelectParameters::default(),
        })
    );
}

#[test]
fn what_condstore_and_qresync_mean() {
    let numbers = |text: &str| set(text).resolve(0);
    assert_eq!(
        read("A SELECT INBOX (condstore QRESYNC (67890007 20050715 41,43:211 (1,5:6 2,8:9)))"),
        Command::Select(Select {
            mailbox: "INBOX".into(),
            parameters: SelectParameters {
                condstore: true,
                qresync: Some(Resync {
                    uid_validity: 67_890_007,
                    modseq: 20_050_715,
                    known: Some(numbers("41,43:211")),
                    matched: Some((numbers("1,5:6"), numbers("2,8:9"))),
                }),
            },
        })
    );
    assert_eq!(
        read("A EXAMINE INBOX (QRESYNC (1 2 (3 4)))"),
        Command::Examine(Select {
            mailbox: "INBOX".into(),
            parameters: SelectParameters {
                condstore: false,
                qresync: Some(Resync {
                    uid_validity: 1,
                    modseq: 2,
                    known: None,
                    matched: Some((numbers("3"), numbers("4"))),
                }),
            },
        })
    );
    assert_eq!(
        read("s UID FETCH 300:500 FLAGS (VANISHED CHANGEDSINCE 12345)"),
        Command::Fetch(Fetch {
            uid: true,
            set: set("300:500"),
            attributes: vec![FetchAttribute::Flags],
            modifiers: FetchModifiers {
                changed_since: Some(12345),
                vanished: true,
                partial: None,
            },
        })
    );
    assert_eq!(
        read("a STORE 7 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)"),
        Command::Store(Store {
            uid: false,
            set: set("7"),
            unchanged_since: Some(0),
            action: StoreAction::Add,
            silent: true,
            flags: vec![Flag::Keyword("$MDNSent".into())],
        })
    );
    assert_eq!(
        read("a SEARCH NOT MODSEQ \"/flags/\\\\draft\" all 620162338"),
        Command::Search(Search {
            uid: false,
            returns: None,
            update_items: vec![],
            keys: vec![SearchKey::Not(Box::new(SearchKey::ModSeq {
                entry: Some(ModSeqEntry {
                    flag: Flag::Draft,
                    kind: EntryType::All,
                }),
                since: 620_162_338,
            }))],
        })
    );
}

#[test]
fn what_enables_condstore() {
    for line in [
        "a SELECT x (CONDSTORE)",
        "a EXAMINE x (CONDSTORE)",
        "a SELECT x (QRESYNC (1 1))",
        "a STATUS x (MESSAGES HIGHESTMODSEQ)",
        "a LIST \"\" * RETURN (STATUS (HIGHESTMODSEQ))",
        "a FETCH 1 MODSEQ",
        "a FETCH 1 FLAGS (CHANGEDSINCE 1)",
        "a STORE 1 (UNCHANGEDSINCE 1) FLAGS ()",
        "a SEARCH OR NOT (SEEN MODSEQ 1) ALL",
        "a SORT (DATE) UTF-8 MODSEQ 1",
        "a THREAD REFERENCES UTF-8 MODSEQ 1",
    ] {
        assert!(read(line).enables_condstore(), "{line}");
    }
    for line in [
        "a SELECT x",
        "a STATUS x (MESSAGES)",
        "a FETCH 1 FLAGS",
        "a STORE 1 FLAGS ()",
        "a SEARCH ALL",
    ] {
        assert!(!read(line).enables_condstore(), "{line}");
    }
}

#[test]
fn utf8_names_only_once_enabled() {
    let rev2 = Grammar {
        rev2: true,
        ..Grammar::default()
    };
    let utf8_accept = Grammar {
        utf8_accept: true,
        ..Grammar::default()
    };
    for line in [
        "a SELECT \"Entwürfe & mehr\"",
        "a SELECT {16}\r\nEntwürfe & mehr",
    ] {
        for grammar in [rev2, utf8_accept] {
            let (_, command) = parse::command(&grammar, line.as_bytes()).unwrap();
            assert_eq!(
                command,
                Command::Select(Select {
                    mailbox: "Entwürfe & mehr".into(),
                    parameters: SelectParameters::default(),
                })
            );
        }
    }
    for line in [
        "a SELECT \"Entwürfe & mehr\"",
        "a SELECT {16}\r\nEntwürfe & mehr",
    ] {
        let (kind, code, _) = refused(line.as_bytes());
        assert_eq!((kind, code), (StatusKind::No, Some(Code::Cannot)));
    }
}

#[test]
fn utf8_in_strings_before_anything_is_enabled() {
    for good in [
        "a SEARCH SUBJECT {2}\r\nä",
        "a SEARCH SUBJECT {4+}\r\n\r\nä TO x",
        "a SEARCH CHARSET UTF-8 SUBJECT \"ä\" TO \"ä\"",
        "a LOGIN {2}\r\nä {2}\r\nö",
        "a LOGIN \"jörg\" \"ä\"",
    ] {
        read(good);
    }
    let (kind, _, text) = refused("a SEARCH SUBJECT {2}\r\nä ä".as_bytes());
    assert_eq!(kind, StatusKind::Bad, "{text}");
}

#[test]
fn what_is_not_utf8_is_bad_once_enabled() {
    let grammar = Grammar {
        utf8_accept: true,
        ..Grammar::default()
    };
    // RFC 9755 §3, RFC 3629 §3: overlong, a surrogate, beyond Unicode, cut off, alone.
    for bytes in [
        &b"\xc0\xaf"[..],
        b"\xe0\x80\xaf",
        b"\xed\xa0\xbd",
        b"\xf4\x90\x80\x80",
        b"\xc3",
        b"\xbf",
        b"\xff",
    ] {
        for before in ["a SEARCH TEXT \"", "a SELECT \"", "a LIST \"\" \""] {
            let line = [before.as_bytes(), bytes, b"\""].concat();
            let status = parse::command(&grammar, &line).unwrap_err().status;
            assert_eq!(status.kind, StatusKind::Bad, "{}", line.escape_ascii());
            assert!(status.text.contains("valid UTF-8"), "{}", status.text);
        }
    }
}

#[test]
fn utf8_accept_forbids_the_charset_of_search_alone() {
    let grammar = Grammar {
        utf8_accept: true,
        ..Grammar::default()
    };
    let answer = |line: &str| parse::command(&grammar, line.as_bytes());
    for bad in [
        "a SEARCH CHARSET UTF-8 ALL",
        "a UID SEARCH RETURN (ALL) CHARSET UTF-8 ALL",
        "a SEARCH CHARSET US-ASCII ALL",
    ] {
        let status = answer(bad).unwrap_err().status;
        assert_eq!(status.kind, StatusKind::Bad, "{bad}");
        assert!(status.text.contains("CHARSET"), "{}", status.text);
    }
    for good in [
        "a SEARCH SUBJECT \"ä\"",
        "a UID SEARCH RETURN (ALL) ALL",
        // RFC 5256 §5: these have no form without one.
        "a SORT (DATE) UTF-8 ALL",
        "a THREAD REFERENCES UTF-8 ALL",
    ] {
        assert!(answer(good).is_ok(), "{good}");
    }
}

#[test]
fn wrong_ones_are_told_why() {
    for (line, why) in [
        (&b""[..], "an empty line"),
        (b"+ NOOP", "a tag and a command"),
        (b"a", "a space and a command"),
        (b"a ", "name of a command"),
        (b"a  NOOP", "name of a command"),
        (b"a FROB", "Unknown command"),
        (b"a UID NOOP", "Unknown command"),
        (b"a UID", "behind UID"),
        (b"a NOOP ", "the end of the command at column 7"),
        (b"a LOGIN x", "a space at the end"),
        (b"a LOGIN  x y", "a user name at column 9"),
        (b"a LOGIN \"x y", "closing quote"),
        (b"a SELECT", "a space at the end"),
        (b"a SELECT (", "a mailbox name at column 10"),
        (b"a STATUS x ()", "a STATUS item at column 13"),
        (b"a STATUS x (FOO)", "a STATUS item"),
        (b"a FETCH 0 FLAGS", "a message set at column 9"),
        (b"a FETCH 1", "a space at the end"),
        (b"a FETCH 1 ()", "a data item of FETCH"),
        (
            b"a FETCH 1 (FLAGS FOO)",
            "a data item of FETCH at column 18",
        ),
        (b"a FETCH 1 BODY[", "]"),
        (b"a FETCH 1 BODY[MIME]", "]"),
        (b"a FETCH 1 BODY[]<0.0>", "above 0"),
        (b"a FETCH 1 (ALL)", "a data item of FETCH"),
        (b"a STORE 1 FLAGZ x", "FLAGS"),
        (b"a SEARCH", "a space at the end"),
        (b"a SEARCH FOO", "a search key"),
        (b"a SEARCH SINCE 31-Feb-2020", "a date such as"),
        (b"a SEARCH OR SEEN", "a space at the end"),
        (b"a SEARCH ()", "a search key"),
        (b"a SEARCH RETURN (FOO) ALL", "Unknown return option"),
        (b"a SEARCH TEXT \"\xff\"", "not valid UTF-8"),
        (b"a SEARCH TEXT {1}\r\n\0", "NUL"),
        (b"a LIST \"\" \"\" RETURN (FOO)", "a known return option"),
        (b"a LIST (RECURSIVEMATCH) \"\" *", "RECURSIVEMATCH needs"),
        (b"a LIST (FOO) \"\" *", "Unknown selection option"),
        (b"a ID (\"a\")", "a space"),
        (b"a ENABLE", "a space"),
        (b"a SELECT \"a\rb\"", "may hold"),
        (b"a COPY 1:2:3 x", "a space at column 11"),
        (b"a GETQUOTA", "a space"),
        (b"a GETQUOTA (", "a quota root"),
        (b"a SEARCH RETURN (PARTIAL) ALL", "a space"),
        (b"a SEARCH RETURN (PARTIAL 1) ALL", ":"),
        (
            b"a SEARCH RETURN (PARTIAL 0:1) ALL",
            "does not begin with 0",
        ),
        (b"a SEARCH RETURN (PARTIAL 1:-2) ALL", "a number"),
        (b"a SEARCH RETURN (PARTIAL -1:2) ALL", "-"),
        (b"a SEARCH RETURN (PARTIAL 1:*) ALL", "a number"),
        (b"a SEARCH RETURN (ALL PARTIAL 1:2) ALL", "exclude"),
        (b"a SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL", "twice"),
        (
            b"a SORT RETURN (FOO) (DATE) UTF-8 ALL",
            "Unknown return option",
        ),
        (b"a FETCH 1 FLAGS (PARTIAL 1:2)", "UID FETCH only"),
        (b"a SEARCH EMAILID", "a space"),
        (b"a SEARCH EMAILID x.y", "an object identifier"),
        (b"a FETCH 1 (PREVIEW (FOO))", "LAZY"),
        (b"a NOTIFY", "a space"),
        (b"a NOTIFY FOO", "SET or NONE"),
        (b"a NOTIFY SET", "a space"),
        (b"a NOTIFY SET STATUS", "a space"),
        (b"a NOTIFY SET FOO (personal NONE)", "STATUS or a group"),
        (b"a NOTIFY SET (foo NONE)", "Unknown choice"),
        (b"a NOTIFY SET (personal)", "a space"),
        (b"a NOTIFY SET (personal ())", "an event"),
        (b"a NOTIFY SET (personal FOO)", "NONE"),
        (b"a NOTIFY SET (personal (MessageNew))", "go together"),
        (b"a NOTIFY SET (personal (MessageExpunge))", "go together"),
        (b"a NOTIFY SET (personal (FlagChange))", "go together"),
        (b"a NOTIFY SET (selected (MailboxName))", "only messages"),
        (
            b"a NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
            "open mailbox only",
        ),
        (
            b"a NOTIFY SET (selected NONE) (selected-delayed NONE)",
            "only once",
        ),
        (b"a SELECT x ()", "a parameter of SELECT"),
        (b"a SELECT x (FOO)", "CONDSTORE or QRESYNC"),
        (b"a SELECT x (QRESYNC)", "a space"),
        (b"a SELECT x (QRESYNC (1))", "a space"),
        (b"a SELECT x (QRESYNC (0 1))", "a UIDVALIDITY"),
        (b"a SELECT x (QRESYNC (1 0))", "above 0"),
        (b"a SELECT x (QRESYNC (1 9223372036854775808))", "below"),
        (b"a SELECT x (QRESYNC (1 2 3:*))", "without * and $"),
        (b"a SELECT x (QRESYNC (1 2 $))", "without * and $"),
        (b"a SELECT x (QRESYNC (1 2 3 (1 *)))", "without * and $"),
        (b"a SELECT x (QRESYNC (1 2 3 (1:2 4)))", "as many UIDs"),
        (b"a SELECT x (QRESYNC (1 2) QRESYNC (1 2))", "twice"),
        (b"a FETCH 1 FLAGS ()", "CHANGEDSINCE, VANISHED or PARTIAL"),
        (b"a FETCH 1 FLAGS (CHANGEDSINCE)", "a space"),
        (b"a FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)", "twice"),
        (b"a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "UID FETCH"),
        (b"a UID FETCH 1 FLAGS (VANISHED)", "CHANGEDSINCE only"),
        (b"a STORE 1 (FOO 1) FLAGS ()", "UNCHANGEDSINCE"),
        (b"a STORE 1 (UNCHANGEDSINCE -1) FLAGS ()", "a number"),
        (b"a SEARCH MODSEQ \"/flagz/x\" all 1", "/flags/ and a flag"),
        (
            b"a SEARCH MODSEQ \"/flags/x\" some 1",
            "priv, shared or all",
        ),
        (b"a SEARCH MODSEQ x", "a number"),
    ] {
        let (kind, _, text) = refused(line);
        assert_eq!(kind, StatusKind::Bad, "{}", line.escape_ascii());
        assert!(text.contains(why), "{}: {text}", line.escape_ascii());
    }
    for (line, code) in [
        (
            &b"a SEARCH CHARSET KOI8-R TEXT x"[..],
            Code::BadCharset(vec!["US-ASCII".into(), "UTF-8".into()]),
        ),
        (
            b"a NOTIFY SET (personal (MessageNew AnnotationChange))",
            Code::BadEvent,
        ),
        (b"a CREATE x (USE (\\Foo))", Code::UseAttr),
        (b"a SELECT &AGE-", Code::Cannot),
        (b"a SELECT {3}\r\na\nb", Code::Cannot),
    ] {
        let (kind, found, _) = refused(line);
        assert_eq!(kind, StatusKind::No);
        assert_eq!(found, Some(code));
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = |open: &str, close: &str, n: usize| {
        format!("a SEARCH {}SEEN{}", open.repeat(n), close.repeat(n))
    };
    for (open, close) in [("(", ")"), ("NOT ", ""), ("OR SEEN ", ""), ("OR ", " SEEN")] {
        read(&deep(open, close, 64));
        for n in [65, 5000] {
            let (kind, code, text) = refused(deep(open, close, n).as_bytes());
            assert_eq!((kind, code), (StatusKind::Bad, Some(Code::Limit)));
            assert!(text.contains("too deeply"));
        }
    }
}

#[test]
fn lists_are_bounded() {
    let pairs = |n: usize| format!("a ID ({})", vec!["\"a\" \"b\""; n].join(" "));
    read(&pairs(30));
    assert!(refused(pairs(31).as_bytes()).2.contains("more than 30"));
    let long = format!("a ID (\"name\" \"{}\")", "x".repeat(1025));
    assert!(refused(long.as_bytes()).2.contains("too long"));
    let patterns = format!("a LIST \"\" ({})", vec!["x"; 65].join(" "));
    assert!(refused(patterns.as_bytes()).2.contains("more than 64"));
    let pattern = format!("a LIST \"\" {}", "*a".repeat(600));
    assert!(refused(pattern.as_bytes()).2.contains("too long"));
}
