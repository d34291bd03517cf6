//! Responses as they stand in the RFCs, and as another program reads them.

use bytes::{Bytes, BytesMut};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use proptest::prelude::*;

use super::drive::bytes;
use super::sample::sample_body;
use super::values;
use crate::imap::command::{
    FetchAttribute, Partial, Search, SearchKey, SearchReturn, Section, SectionText,
};
use crate::imap::encode::Encoder;
use crate::imap::extensions::objectid::ObjectId;
use crate::imap::extensions::partial::PartialRange;
use crate::imap::extensions::quota::{Resource, ResourceUse};
use crate::imap::extensions::sort::{ThreadNode, Threads};
use crate::imap::response::{
    Code, Esearch, FetchItem, ListItem, MailboxAttribute, Namespace, Numbers, Response, Status,
};
use crate::imap::sequence::NumberSet;
use crate::imap::structure::{
    Address, BodyStructure, Envelope, Extension, Multipart, NString, Part, PartKind,
};
use crate::imap::types::{DateTime, Flag, MailboxName, SpecialUse, StatusItem, Tag};

fn wire(rev2: bool, response: &Response) -> String {
    let mut out = BytesMut::new();
    Encoder::new(&mut out, rev2).response(response);
    String::from_utf8_lossy(&out).into_owned()
}

fn list(name: &str) -> ListItem {
    ListItem {
        attributes: vec![MailboxAttribute::NonExistent, MailboxAttribute::HasChildren],
        delimiter: Some('/'),
        name: name.into(),
        child_subscribed: false,
        old_name: None,
    }
}

/// Nodes by number (0: not there) and children; roots.
fn threads(nodes: &[(u32, &[usize])], roots: &[usize]) -> Response {
    let nodes = nodes.iter().map(|(number, children)| ThreadNode {
        number: Some(*number).filter(|number| *number > 0),
        children: children.to_vec(),
    });
    Response::Thread(Threads {
        nodes: nodes.collect(),
        roots: roots.to_vec(),
    })
}

/// Any trees: each node below one that was before it, or a root.
fn forest(above: Vec<(prop::sample::Index, bool)>) -> Response {
    let mut threads = Threads::default();
    for (at, (index, root)) in above.into_iter().enumerate() {
        threads.nodes.push(ThreadNode {
            number: Some(at as u32 + 1),
            children: Vec::new(),
        });
        match root || at == 0 {
            true => threads.roots.push(at),
            false => threads.nodes[index.index(at)].children.push(at),
        }
    }
    // A root that holds several need not be there itself.
    for &root in &threads.roots {
        if threads.nodes[root].children.len() > 1 {
            threads.nodes[root].number = None;
        }
    }
    Response::Thread(threads)
}

fn partial(from: u32, to: u32, from_end: bool) -> PartialRange {
    PartialRange { from, to, from_end }
}

fn numbers(found: &[u32], modseq: Option<u64>) -> Numbers {
    Numbers {
        numbers: found.to_vec(),
        modseq,
    }
}

#[test]
fn as_in_the_standards() {
    for (response, want) in [
        (Response::Exists(23), "* 23 EXISTS\r\n"),
        (
            Response::Search(numbers(&[2, 84, 882], None)),
            "* SEARCH 2 84 882\r\n",
        ),
        (Response::Search(numbers(&[], Some(7))), "* SEARCH\r\n"),
        (Response::Sort(numbers(&[84, 2], None)), "* SORT 84 2\r\n"),
        (Response::Sort(numbers(&[], None)), "* SORT\r\n"),
        // RFC 7162
        (
            Response::Search(numbers(&[2, 5], Some(917_162_500))),
            "* SEARCH 2 5 (MODSEQ 917162500)\r\n",
        ),
        (
            Response::Sort(numbers(&[5, 2], Some(17))),
            "* SORT 5 2 (MODSEQ 17)\r\n",
        ),
        // RFC 5267, RFC 9394: in their order, and ranges only where they ascend
        (
            Response::Esearch(Esearch {
                tag: Tag::new("E01"),
                uid: true,
                all: vec![23765, 23764, 23763, 23761, 7, 8, 9],
                ..Esearch::default()
            }),
            "* ESEARCH (TAG \"E01\") UID ALL 23765,23764,23763,23761,7:9\r\n",
        ),
        (
            Response::Esearch(Esearch {
                tag: Tag::new("A01"),
                partial: Some((partial(1, 100, true), vec![4, 5, 9])),
                ..Esearch::default()
            }),
            "* ESEARCH (TAG \"A01\") PARTIAL (-1:-100 4:5,9)\r\n",
        ),
        (
            Response::Esearch(Esearch {
                tag: Tag::new("A04"),
                uid: true,
                partial: Some((partial(24000, 24500, false), Vec::new())),
                ..Esearch::default()
            }),
            "* ESEARCH (TAG \"A04\") UID PARTIAL (24000:24500 NIL)\r\n",
        ),
        // RFC 8474, RFC 8970
        (
            Response::MailboxStatus {
                mailbox: "foo".into(),
                items: vec![(StatusItem::Messages, 2)],
                id: ObjectId::new("F2212ea87-6097"),
            },
            "* STATUS foo (MESSAGES 2 MAILBOXID (F2212ea87-6097))\r\n",
        ),
        (
            Response::MailboxStatus {
                mailbox: "foo".into(),
                items: Vec::new(),
                id: ObjectId::new("F1"),
            },
            "* STATUS foo (MAILBOXID (F1))\r\n",
        ),
        (
            Response::ok(Code::MailboxId(ObjectId::new("F1").unwrap()), "Ok"),
            "* OK [MAILBOXID (F1)] Ok\r\n",
        ),
        (
            Response::Fetch {
                seq: 3,
                items: vec![
                    FetchItem::EmailId(ObjectId::new("M5fdc09b49ea703").unwrap()),
                    FetchItem::ThreadId(ObjectId::new("T11863d02dd95b5")),
                    FetchItem::ThreadId(None),
                    FetchItem::Preview(Some("Hi \"you\"".to_owned())),
                    FetchItem::Preview(None),
                    FetchItem::SaveDate(Some(DateTime {
                        unix: 1_136_214_245,
                        zone: 0,
                    })),
                    FetchItem::SaveDate(None),
                ],
            },
            "* 3 FETCH (EMAILID (M5fdc09b49ea703) THREADID (T11863d02dd95b5) THREADID NIL PREVIEW \"Hi \\\"you\\\"\" PREVIEW NIL SAVEDATE \" 2-Jan-2006 15:04:05 +0000\" SAVEDATE NIL)\r\n",
        ),
        // RFC 9208
        (
            Response::Quota {
                root: "#user/alice".to_owned(),
                resources: vec![
                    ResourceUse {
                        resource: Resource::Storage,
                        used: 54,
                        limit: 111,
                    },
                    ResourceUse {
                        resource: Resource::Message,
                        used: 42,
                        limit: 1000,
                    },
                ],
            },
            "* QUOTA \"#user/alice\" (STORAGE 54 111 MESSAGE 42 1000)\r\n",
        ),
        (
            Response::Quota {
                root: String::new(),
                resources: Vec::new(),
            },
            "* QUOTA \"\" ()\r\n",
        ),
        (
            Response::QuotaRoot {
                mailbox: "INBOX".into(),
                roots: vec!["#user/alice".to_owned(), String::new()],
            },
            "* QUOTAROOT INBOX \"#user/alice\" \"\"\r\n",
        ),
        (
            Response::Vanished {
                earlier: true,
                uids: [41, 43, 44].into_iter().collect(),
            },
            "* VANISHED (EARLIER) 41,43:44\r\n",
        ),
        (
            Response::Vanished {
                earlier: false,
                uids: [405].into_iter().collect(),
            },
            "* VANISHED 405\r\n",
        ),
        (
            Response::Vanished {
                earlier: false,
                uids: NumberSet::new(),
            },
            "",
        ),
        (
            Response::ok(Code::HighestModSeq(715_194_045_007), "x"),
            "* OK [HIGHESTMODSEQ 715194045007] x\r\n",
        ),
        (
            Response::ok(Code::Modified([7, 9].into_iter().collect()), "x"),
            "* OK [MODIFIED 7,9] x\r\n",
        ),
        (
            Response::Fetch {
                seq: 7,
                items: vec![FetchItem::Uid(8), FetchItem::ModSeq(2_121_231_000)],
            },
            "* 7 FETCH (UID 8 MODSEQ (2121231000))\r\n",
        ),
        (Response::Thread(Threads::default()), "* THREAD\r\n"),
        (
            // RFC 5256 §4
            threads(
                &[
                    (2, &[]),
                    (3, &[2]),
                    (6, &[3, 5]),
                    (4, &[4]),
                    (23, &[]),
                    (44, &[6]),
                    (7, &[7]),
                    (96, &[]),
                ],
                &[0, 1],
            ),
            "* THREAD (2)(3 6 (4 23)(44 7 96))\r\n",
        ),
        (
            threads(&[(0, &[1, 2]), (3, &[]), (5, &[])], &[0]),
            "* THREAD ((3)(5))\r\n",
        ),
        (
            Response::List(ListItem {
                attributes: vec![
                    MailboxAttribute::SpecialUse(SpecialUse::Drafts),
                    MailboxAttribute::Subscribed,
                ],
                delimiter: None,
                name: "a \"b\" & ü".into(),
                child_subscribed: false,
                old_name: None,
            }),
            "* LIST (\\Drafts \\Subscribed) NIL \"a \\\"b\\\" &- &APw-\"\r\n",
        ),
        (
            Response::List(ListItem {
                child_subscribed: true,
                old_name: Some("old".into()),
                ..list("Foo")
            }),
            "* LIST (\\NonExistent \\HasChildren) \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\") \"OLDNAME\" (old))\r\n",
        ),
        (
            Response::List(ListItem {
                delimiter: Some('\\'),
                ..list("NIL")
            }),
            "* LIST (\\NonExistent \\HasChildren) \"\\\\\" \"NIL\"\r\n",
        ),
        (
            Response::MailboxStatus {
                mailbox: "blurdybloop".into(),
                items: vec![(StatusItem::Messages, 231), (StatusItem::UidNext, 44292)],
                id: None,
            },
            "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n",
        ),
        (
            Response::Namespace {
                personal: vec![Namespace {
                    prefix: String::new(),
                    delimiter: Some('/'),
                }],
                other: vec![],
                shared: vec![Namespace {
                    prefix: "Gemeinsam & ö/".to_owned(),
                    delimiter: None,
                }],
            },
            "* NAMESPACE ((\"\" \"/\")) NIL ((\"Gemeinsam &- &APY-/\" NIL))\r\n",
        ),
        (
            Response::Esearch(Esearch {
                tag: Tag::new("A282"),
                uid: true,
                min: Some(2),
                max: Some(47),
                all: vec![2, 10, 11],
                partial: None,
                count: Some(3),
                modseq: Some(1236),
                ..Esearch::default()
            }),
            "* ESEARCH (TAG \"A282\") UID MIN 2 MAX 47 ALL 2,10:11 COUNT 3 MODSEQ 1236\r\n",
        ),
        (
            Response::ok(
                Code::CopyUid {
                    uid_validity: 38505,
                    from: [304, 319, 320].into_iter().collect(),
                    to: [3956, 3957, 3958].into_iter().collect(),
                },
                "Done",
            ),
            "* OK [COPYUID 38505 304,319:320 3956:3958] Done\r\n",
        ),
        (
            Response::ok(
                Code::CopyUid {
                    uid_validity: 1,
                    from: NumberSet::new(),
                    to: NumberSet::new(),
                },
                "Nothing was copied",
            ),
            "* OK Nothing was copied\r\n",
        ),
        (
            Response::Status(Status::no("[x] two\r\nlines\0 \u{e4}")),
            "* NO - [x] two  lines  ?\r\n",
        ),
        (
            Response::Fetch {
                seq: 1,
                items: vec![
                    FetchItem::BinarySize {
                        part: vec![1, 2],
                        size: 7,
                    },
                    FetchItem::Data {
                        attribute: FetchAttribute::Binary {
                            part: vec![],
                            partial: Some(Partial {
                                offset: 5,
                                length: 9,
                            }),
                            peek: true,
                        },
                        data: Some(bytes("\0a")),
                    },
                    FetchItem::Data {
                        attribute: FetchAttribute::BodySection {
                            section: Section {
                                part: vec![3],
                                text: SectionText::HeaderFieldsNot(vec!["to".into(), "x y".into()]),
                            },
                            partial: None,
                            peek: true,
                        },
                        data: None,
                    },
                ],
            },
            "* 1 FETCH (BINARY.SIZE[1.2] 7 BINARY[]<5> ~{2}\r\n\0a BODY[3.HEADER.FIELDS.NOT (TO \"X Y\")] NIL)\r\n",
        ),
    ] {
        assert_eq!(wire(false, &response), want);
    }
}

#[test]
fn utf8_after_enable_only() {
    let response = Response::List(list("Entwürfe"));
    assert!(wire(false, &response).ends_with("\"Entw&APw-rfe\"\r\n"));
    assert!(wire(true, &response).ends_with("\"Entwürfe\"\r\n"));
    let envelope = Envelope {
        subject: Some(bytes("grün")),
        ..Envelope::default()
    };
    let response = Response::Fetch {
        seq: 1,
        items: vec![FetchItem::Envelope(envelope)],
    };
    assert!(wire(false, &response).contains("(NIL {5}\r\ngrün NIL"));
    assert!(wire(true, &response).contains("(NIL \"grün\" NIL"));
    assert_eq!(wire(true, &Response::Recent(1)), "");
    assert_eq!(
        wire(true, &Response::Flags(vec![Flag::Recent, Flag::Seen])),
        "* FLAGS (\\Seen)\r\n"
    );
}

/// RFC 9051 Appendix E: `\Recent` and RECENT are gone.
#[test]
fn nothing_recent_after_enable() {
    let flags = || vec![Flag::Recent, Flag::Seen];
    let status = |items: &[StatusItem]| Response::MailboxStatus {
        mailbox: "x".into(),
        items: items.iter().map(|&item| (item, 7)).collect(),
        id: None,
    };
    let permanent = Code::PermanentFlags {
        flags: vec![Flag::Recent],
        keywords: true,
    };
    for (response, rev1, rev2) in [
        (Response::Recent(3), "* 3 RECENT\r\n", ""),
        (
            Response::Flags(flags()),
            "* FLAGS (\\Recent \\Seen)\r\n",
            "* FLAGS (\\Seen)\r\n",
        ),
        (
            Response::Fetch {
                seq: 1,
                items: vec![FetchItem::Flags(flags())],
            },
            "* 1 FETCH (FLAGS (\\Recent \\Seen))\r\n",
            "* 1 FETCH (FLAGS (\\Seen))\r\n",
        ),
        (
            Response::ok(permanent, "kept"),
            "* OK [PERMANENTFLAGS (\\Recent \\*)] kept\r\n",
            "* OK [PERMANENTFLAGS (\\*)] kept\r\n",
        ),
        (
            status(&[
                StatusItem::Recent,
                StatusItem::Messages,
                StatusItem::Recent,
                StatusItem::Size,
            ]),
            "* STATUS x (RECENT 7 MESSAGES 7 RECENT 7 SIZE 7)\r\n",
            "* STATUS x (MESSAGES 7 SIZE 7)\r\n",
        ),
        (
            status(&[StatusItem::Recent]),
            "* STATUS x (RECENT 7)\r\n",
            "* STATUS x ()\r\n",
        ),
    ] {
        assert_eq!(wire(false, &response), rev1);
        assert_eq!(wire(true, &response), rev2);
    }
}

#[test]
fn the_body_structure_of_rfc_9051() {
    // RFC 9051 §7.5.2: a text and an attachment.
    let attachment = Part {
        media_type: bytes("TEXT"),
        subtype: bytes("PLAIN"),
        params: vec![
            (bytes("CHARSET"), bytes("US-ASCII")),
            (bytes("NAME"), bytes("cc.diff")),
        ],
        id: Some(bytes("<960723163407.20117h@cac.washington.edu>")),
        description: Some(bytes("Compiler diff")),
        encoding: bytes("BASE64"),
        size: 4554,
        kind: PartKind::Text { lines: 73 },
        md5: None,
        extension: Extension {
            disposition: Some((bytes("attachment"), vec![])),
            language: vec![bytes("en"), bytes("de")],
            location: None,
        },
    };
    let body = BodyStructure::Multipart(Multipart {
        parts: vec![sample_body(), BodyStructure::Single(Box::new(attachment))],
        subtype: bytes("MIXED"),
        params: vec![(bytes("BOUNDARY"), bytes("d3438gr7324"))],
        extension: Extension::default(),
    });
    let fetch = |item| {
        wire(
            false,
            &Response::Fetch {
                seq: 2,
                items: vec![item],
            },
        )
    };
    assert_eq!(
        fetch(FetchItem::Body(body.clone())),
        "* 2 FETCH (BODY ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92)(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\"))\r\n"
    );
    assert_eq!(
        fetch(FetchItem::BodyStructure(body)),
        "* 2 FETCH (BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92 NIL NIL NIL NIL)(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \"Compiler diff\" \"BASE64\" 4554 73 NIL (\"attachment\" NIL) (\"en\" \"de\") NIL) \"MIXED\" (\"BOUNDARY\" \"d3438gr7324\") NIL NIL NIL))\r\n"
    );
}

#[test]
fn endless_nesting_is_cut() {
    let mut body = sample_body();
    for _ in 0..150 {
        body = BodyStructure::Multipart(Multipart {
            parts: vec![body],
            subtype: bytes("mixed"),
            params: vec![],
            extension: Extension::default(),
        });
    }
    let text = wire(
        false,
        &Response::Fetch {
            seq: 1,
            items: vec![FetchItem::BodyStructure(body)],
        },
    );
    assert!(text.contains("octet-stream") && !text.contains("US-ASCII"));
}

#[test]
fn what_search_returns() {
    let tag = Tag::new("a").unwrap();
    let search = |returns| Search {
        uid: true,
        returns,
        update_items: vec![],
        keys: vec![SearchKey::All],
    };
    let found = [3, 4, 9];
    let some = |returns, rev2, found: &[u32]| {
        Response::found(&tag, &search(returns), rev2, found, None).map(|r| wire(rev2, &r))
    };
    assert_eq!(some(None, false, &found).unwrap(), "* SEARCH 3 4 9\r\n");
    assert_eq!(
        some(None, true, &found).unwrap(),
        "* ESEARCH (TAG \"a\") UID ALL 3:4,9\r\n"
    );
    assert_eq!(
        some(None, true, &[]).unwrap(),
        "* ESEARCH (TAG \"a\") UID\r\n"
    );
    let all = SearchReturn {
        min: true,
        max: true,
        count: true,
        ..SearchReturn::default()
    };
    assert_eq!(
        some(Some(all), false, &found).unwrap(),
        "* ESEARCH (TAG \"a\") UID MIN 3 MAX 9 COUNT 3\r\n"
    );
    assert_eq!(
        some(Some(all), false, &[]).unwrap(),
        "* ESEARCH (TAG \"a\") UID COUNT 0\r\n"
    );
    let save = SearchReturn {
        save: true,
        ..SearchReturn::default()
    };
    assert_eq!(some(Some(save), true, &found), None);
}

pub(super) fn blob() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        "[ -~]{0,12}".prop_map(Bytes::from),
        prop::collection::vec(1u8.., 0..12).prop_map(Bytes::from),
    ]
}

pub(super) fn nstring() -> impl Strategy<Value = NString> {
    prop::option::of(blob())
}

fn params() -> impl Strategy<Value = Vec<(Bytes, Bytes)>> {
    prop::collection::vec((blob(), blob()), 0..3)
}

pub(super) fn envelope() -> impl Strategy<Value = Envelope> {
    let address = || {
        prop::collection::vec(
            (nstring(), nstring(), nstring(), nstring()).prop_map(|(name, adl, mailbox, host)| {
                Address {
                    name,
                    adl,
                    mailbox,
                    host,
                }
            }),
            0..3,
        )
    };
    (
        (nstring(), nstring(), nstring(), nstring()),
        (
            address(),
            address(),
            address(),
            address(),
            address(),
            address(),
        ),
    )
        .prop_map(
            |((date, subject, in_reply_to, message_id), (from, sender, reply_to, to, cc, bcc))| {
                Envelope {
                    date,
                    subject,
                    from,
                    sender,
                    reply_to,
                    to,
                    cc,
                    bcc,
                    in_reply_to,
                    message_id,
                }
            },
        )
}

fn extension() -> impl Strategy<Value = Extension> {
    (
        prop::option::of((blob(), params())),
        prop::collection::vec(blob(), 0..3),
        nstring(),
    )
        .prop_map(|(disposition, language, location)| Extension {
            disposition,
            language,
            location,
        })
}

pub(super) fn body() -> impl Strategy<Value = BodyStructure> {
    let single = |kind: BoxedStrategy<(&'static str, &'static str, PartKind)>| {
        (
            kind,
            params(),
            (nstring(), nstring(), blob(), nstring()),
            any::<u32>(),
            extension(),
        )
            .prop_map(
                |(
                    (media_type, subtype, kind),
                    params,
                    (id, description, encoding, md5),
                    size,
                    extension,
                )| {
                    BodyStructure::Single(Box::new(Part {
                        media_type: bytes(media_type),
                        subtype: bytes(subtype),
                        params,
                        id,
                        description,
                        encoding,
                        size: size.into(),
                        kind,
                        md5,
                        extension,
                    }))
                },
            )
    };
    let leaf = single(
        prop_oneof![
            Just(("image", "png", PartKind::Basic)),
            any::<u32>().prop_map(|n| ("text", "html", PartKind::Text { lines: n.into() })),
        ]
        .boxed(),
    );
    leaf.prop_recursive(3, 8, 3, move |inner| {
        let message = (envelope(), inner.clone(), any::<u32>())
            .prop_map(|(envelope, body, lines)| {
                (
                    "message",
                    "rfc822",
                    PartKind::Message {
                        envelope: Box::new(envelope),
                        body: Box::new(body),
                        lines: lines.into(),
                    },
                )
            })
            .boxed();
        prop_oneof![
            single(message),
            (
                prop::collection::vec(inner, 1..3),
                blob(),
                params(),
                extension()
            )
                .prop_map(|(parts, subtype, params, extension)| {
                    BodyStructure::Multipart(Multipart {
                        parts,
                        subtype,
                        params,
                        extension,
                    })
                }),
        ]
    })
}

pub(super) fn response() -> impl Strategy<Value = Response> {
    let item = prop_oneof![
        prop::collection::vec(values::flag(), 0..4).prop_map(FetchItem::Flags),
        (1u32..).prop_map(FetchItem::Uid),
        (-60_000_000_000i64..250_000_000_000, -1439i16..1440)
            .prop_map(|(unix, zone)| FetchItem::InternalDate(DateTime { unix, zone })),
        any::<u32>().prop_map(|n| FetchItem::Rfc822Size(n.into())),
        (1..1u64 << 63).prop_map(FetchItem::ModSeq),
        envelope().prop_map(FetchItem::Envelope),
        body().prop_map(FetchItem::Body),
        body().prop_map(FetchItem::BodyStructure),
        (nstring(), prop::collection::vec(1u32..9, 0..3)).prop_map(|(data, part)| {
            FetchItem::Data {
                attribute: FetchAttribute::BodySection {
                    section: Section {
                        part,
                        text: SectionText::Text,
                    },
                    partial: None,
                    peek: false,
                },
                data,
            }
        }),
    ];
    let name = values::mailbox;
    prop_oneof![
        4 => (1u32.., prop::collection::vec(item, 1..4))
            .prop_map(|(seq, items)| Response::Fetch { seq, items }),
        1 => (name(), prop::option::of(prop::sample::select(vec!['/', '.', '\\', '"'])), any::<bool>())
            .prop_map(|(name, delimiter, lsub)| {
                let item = ListItem { attributes: vec![MailboxAttribute::HasNoChildren], delimiter, name, child_subscribed: false, old_name: None };
                if lsub { Response::Lsub(item) } else { Response::List(item) }
            }),
        1 => (name(), any::<u32>()).prop_map(|(mailbox, n)| Response::MailboxStatus {
            mailbox, items: vec![(StatusItem::Messages, n.into()), (StatusItem::Unseen, 0)], id: None }),
        1 => (prop::collection::vec(1u32.., 1..5), any::<bool>(), prop::option::of(1..1u64 << 63))
            .prop_map(|(found, sort, modseq)| {
                let found = numbers(&found, modseq);
                if sort { Response::Sort(found) } else { Response::Search(found) }
            }),
        1 => (prop::collection::vec(1u32.., 1..5), any::<bool>()).prop_map(|(mut uids, earlier)| {
            uids.sort_unstable();
            Response::Vanished { earlier, uids: uids.into_iter().collect() }
        }),
        1 => (1..1u64 << 63).prop_map(|n| Response::ok(Code::HighestModSeq(n), "x")),
        1 => prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..12).prop_map(forest),
        1 => any::<String>().prop_map(|text| Response::Status(Status::no(text).with(Code::TryCreate))),
        1 => any::<String>().prop_map(|text| Response::Status(Status::ok(text))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Another program's parser takes what we write, to the last byte.
    #[test]
    fn others_understand(response in response()) {
        let mut out = BytesMut::new();
        Encoder::new(&mut out, false).response(&response);
        match ResponseCodec::default().decode(&out) {
            Ok((rest, _)) => prop_assert!(rest.is_empty(), "{}", out.escape_ascii()),
            Err(error) => prop_assert!(false, "{}: {error:?}", out.escape_ascii()),
        }
    }

    #[test]
    fn nothing_breaks_a_line(text in any::<String>(), rev2 in any::<bool>()) {
        let out = wire(rev2, &Response::Status(Status::bad(text)));
        prop_assert_eq!(out.matches('\r').count(), 1);
        prop_assert_eq!(out.matches('\n').count(), 1);
        prop_assert!(out.ends_with("\r\n"));
    }

    #[test]
    fn names_stay_names(name in any::<String>(), rev2 in any::<bool>()) {
        // Whatever a mailbox is called, it cannot end the response it stands in.
        let mut out = BytesMut::new();
        let name = MailboxName::new(name.replace('\0', ""));
        Encoder::new(&mut out, rev2).mailbox(&name);
        let found = crate::imap::parse::values::astring(&out);
        prop_assert!(matches!(found, Ok((b"", _))), "{}", out.escape_ascii());
    }
}
