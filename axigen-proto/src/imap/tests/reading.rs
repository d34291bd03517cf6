//! What our encoder writes our client reads, every response and every code; and
//! what other servers write besides.

use bytes::{Bytes, BytesMut};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder as _;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::drive::bytes;
use super::responses::{body, envelope, nstring, response};
use super::values;
use crate::imap::command::FetchAttribute;
use crate::imap::encode::Encoder;
use crate::imap::extensions::acl::{AclResponse, Rights};
use crate::imap::extensions::metadata::{EntryName, MetadataResponse};
use crate::imap::extensions::multisearch::FoundIn;
use crate::imap::extensions::quota::{Resource, ResourceUse};
use crate::imap::parse::response::{Reply, ResponseGrammar, response as read};
use crate::imap::response::{
    Code, Esearch, FetchItem, ListItem, MailboxAttribute, Namespace, Numbers, Response, Status,
    StatusKind,
};
use crate::imap::sequence::NumberSet;
use crate::imap::structure::{BodyStructure, Extension, PartKind};
use crate::imap::types::{Flag, SpecialUse, StatusItem, Tag};
use crate::session::Violation;

fn written(rev2: bool, response: &Response) -> Vec<u8> {
    let mut out = BytesMut::new();
    Encoder::new(&mut out, rev2).response(response);
    out.strip_suffix(b"\r\n").unwrap_or(&out).to_vec()
}

fn reply(rev2: bool, wire: &[u8]) -> Reply {
    let grammar = ResponseGrammar {
        utf8: rev2,
        ..ResponseGrammar::default()
    };
    read(&grammar, wire).unwrap()
}

fn untagged(rev2: bool, wire: &[u8]) -> Response {
    match reply(rev2, wire) {
        Reply::Untagged(response) => response,
        other => panic!("{}: {other:?}", wire.escape_ascii()),
    }
}

fn text(wire: &str) -> Response {
    untagged(false, wire.as_bytes())
}

/// BODY leaves out what BODYSTRUCTURE tells.
fn without_extensions(body: &mut BodyStructure) {
    match body {
        BodyStructure::Single(part) => {
            part.md5 = None;
            part.extension = Extension::default();
            if let PartKind::Message { body, .. } = &mut part.kind {
                without_extensions(body);
            }
        }
        BodyStructure::Multipart(multipart) => {
            multipart.params = Vec::new();
            multipart.extension = Extension::default();
            multipart.parts.iter_mut().for_each(without_extensions);
        }
    }
}

/// The value as it can be told.
fn told(rev2: bool, mut response: Response) -> Response {
    if let Response::Fetch { items, .. } | Response::UidFetch { items, .. } = &mut response {
        for item in items {
            match item {
                FetchItem::Body(body) => without_extensions(body),
                FetchItem::Flags(flags) => flags.retain(|flag| !(rev2 && *flag == Flag::Recent)),
                FetchItem::Data { attribute, data } => {
                    let length = data.as_ref().map_or(0, |data| data.len() as u64);
                    if let FetchAttribute::BodySection { partial, peek, .. }
                    | FetchAttribute::Binary { partial, peek, .. } = attribute
                    {
                        *peek = false;
                        if let Some(partial) = partial {
                            partial.length = length;
                        }
                    }
                }
                _ => {}
            }
        }
    }
    response
}

fn word() -> impl Strategy<Value = String> {
    "[A-Z][A-Z0-9=-]{0,9}"
}

fn plain_code() -> impl Strategy<Value = Code> {
    prop::sample::select(vec![
        Code::Alert,
        Code::AlreadyExists,
        Code::AuthenticationFailed,
        Code::AuthorizationFailed,
        Code::BadEvent,
        Code::Cannot,
        Code::ClientBug,
        Code::Closed,
        Code::CompressionActive,
        Code::ContactAdmin,
        Code::Corruption,
        Code::Expired,
        Code::ExpungeIssued,
        Code::HasChildren,
        Code::InUse,
        Code::Limit,
        Code::NonExistent,
        Code::NoPerm,
        Code::NotificationOverflow,
        Code::NotSaved,
        Code::OverQuota,
        Code::Parse,
        Code::PrivacyRequired,
        Code::ReadOnly,
        Code::ReadWrite,
        Code::ServerBug,
        Code::TooBig,
        Code::TooFew,
        Code::MessageLimit {
            limit: 1000,
            lowest: None,
        },
        Code::MessageLimit {
            limit: 1000,
            lowest: Some(23_221),
        },
        Code::TooMany,
        Code::MetadataTooMany,
        Code::MetadataNoPrivate,
        Code::TryCreate,
        Code::UidNotSticky,
        Code::UidRequired,
        Code::Unavailable,
        Code::UnknownCte,
        Code::UseAttr,
    ])
}

fn code() -> impl Strategy<Value = Code> {
    prop_oneof![
        5 => plain_code(),
        1 => (1u32.., 1u32..1000, 1u32..5).prop_map(|(uid_validity, uid, count)| Code::AppendUid {
            uid_validity,
            uids: (uid..uid + count).collect(),
        }),
        1 => "[!-\\\\^-~]{1,12}".prop_map(Code::BadUrl),
        1 => Just(Code::UrlMech(vec!["INTERNAL".into(), "XSAMPLE=P34O".into()])),
        1 => (1u32.., 1usize..5)
            .prop_flat_map(|(validity, count)| (
                Just(validity),
                values::numbers(count),
                values::numbers(count)
            ))
            .prop_map(|(uid_validity, from, to)| Code::CopyUid { uid_validity, from, to }),
        1 => vec(word(), 1..3)
            .prop_map(|names| Code::BadCharset(names.into_iter().map(Into::into).collect())),
        1 => vec(word(), 1..4)
            .prop_map(|names| Code::Capability(names.into_iter().map(Into::into).collect())),
        1 => (1..1u64 << 63).prop_map(Code::HighestModSeq),
        1 => (0..1u64 << 63).prop_map(Code::MetadataLongEntries),
        1 => (0..1u64 << 63).prop_map(Code::MetadataMaxSize),
        1 => values::object_id().prop_map(Code::MailboxId),
        1 => values::numbers(4).prop_map(Code::Modified),
        1 => (vec(values::flag(), 0..4), any::<bool>())
            .prop_map(|(flags, keywords)| Code::PermanentFlags { flags, keywords }),
        1 => (1u32..).prop_map(Code::UidNext),
        1 => (1u32..).prop_map(Code::UidValidity),
        1 => (1u32..).prop_map(Code::Unseen),
        1 => "X-[A-Z]{1,5}( [ -Z^-~]{1,9})?".prop_map(Code::Other),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    let kind = prop::sample::select(vec![StatusKind::Ok, StatusKind::No, StatusKind::Bad]);
    (kind, option::of(code()), "[A-Za-z][ -Z^-~]{0,20}").prop_map(|(kind, code, text)| Status {
        kind,
        code,
        text: text.into(),
    })
}

fn list_item() -> impl Strategy<Value = ListItem> {
    let mut attributes = vec![
        MailboxAttribute::HasChildren,
        MailboxAttribute::HasNoChildren,
        MailboxAttribute::Marked,
        MailboxAttribute::NoAccess,
        MailboxAttribute::NoInferiors,
        MailboxAttribute::NonExistent,
        MailboxAttribute::NoSelect,
        MailboxAttribute::Remote,
        MailboxAttribute::Subscribed,
        MailboxAttribute::Unmarked,
        MailboxAttribute::Other("\\Important".into()),
    ];
    attributes.extend(SpecialUse::EVERY.map(MailboxAttribute::SpecialUse));
    let delimiter = prop::sample::select(vec!['/', '.', '\\', '"', ':']);
    (
        vec(prop::sample::select(attributes), 0..4),
        option::of(delimiter),
        values::mailbox(),
        any::<bool>(),
        option::of(values::mailbox()),
    )
        .prop_map(
            |(attributes, delimiter, name, child_subscribed, old_name)| ListItem {
                attributes,
                delimiter,
                name,
                child_subscribed,
                old_name,
            },
        )
}

fn acl() -> impl Strategy<Value = AclResponse> {
    let rights = || {
        // Those that came of two old ones are shown with them, so they stand together.
        prop::sample::select(Rights::each().collect::<Vec<_>>())
    };
    prop_oneof![
        (values::mailbox(), vec((values::text(), rights()), 0..3))
            .prop_map(|(mailbox, entries)| AclResponse::Acl { mailbox, entries }),
        (
            values::mailbox(),
            values::text(),
            rights(),
            vec(rights(), 0..4)
        )
            .prop_map(|(mailbox, identifier, required, optional)| {
                AclResponse::ListRights {
                    mailbox,
                    identifier,
                    required,
                    optional,
                }
            }),
        (values::mailbox(), rights())
            .prop_map(|(mailbox, rights)| AclResponse::MyRights { mailbox, rights }),
    ]
}

fn metadata() -> impl Strategy<Value = MetadataResponse> {
    let entry = || {
        "/(shared|private)/[a-z ./-]{0,5}[a-z]"
            .prop_filter_map("a name", |name| EntryName::new(&name))
    };
    prop_oneof![
        (values::mailbox(), vec((entry(), nstring()), 1..4))
            .prop_map(|(mailbox, values)| MetadataResponse::Values { mailbox, values }),
        (values::mailbox(), vec(entry(), 1..4))
            .prop_map(|(mailbox, entries)| MetadataResponse::Changed { mailbox, entries }),
    ]
}

fn of_mailboxes() -> impl Strategy<Value = Response> {
    let namespace = || {
        let one = (values::text(), option::of(Just('/')))
            .prop_map(|(prefix, delimiter)| Namespace { prefix, delimiter });
        vec(one, 0..3)
    };
    let resource = (
        prop::sample::select(vec![
            Resource::Storage,
            Resource::Message,
            Resource::Mailbox,
        ]),
        0..1u64 << 63,
        0..1u64 << 63,
    )
        .prop_map(|(resource, used, limit)| ResourceUse {
            resource,
            used,
            limit,
        });
    let status_item = (
        values::status_items(),
        0..1u64 << 63,
        option::of(values::object_id()),
    );
    prop_oneof![
        list_item().prop_map(Response::List),
        list_item().prop_map(Response::Lsub),
        (values::mailbox(), status_item).prop_map(|(mailbox, (items, n, id))| {
            Response::MailboxStatus {
                mailbox,
                items: items
                    .into_iter()
                    .filter(|item| *item != StatusItem::MailboxId)
                    .map(|item| (item, n))
                    .collect(),
                id,
            }
        }),
        (values::text(), vec(resource, 0..4))
            .prop_map(|(root, resources)| Response::Quota { root, resources }),
        vec(values::text(), 1..3).prop_map(Response::GenUrlAuth),
        vec((values::text(), option::of("[ -~\\r\\n]{0,30}")), 1..3).prop_map(|found| {
            let bytes = |(url, data): (String, Option<String>)| (url, data.map(Bytes::from));
            Response::UrlFetch(found.into_iter().map(bytes).collect())
        }),
        (values::mailbox(), vec(values::text(), 0..3))
            .prop_map(|(mailbox, roots)| Response::QuotaRoot { mailbox, roots }),
        (namespace(), namespace(), namespace()).prop_map(|(personal, other, shared)| {
            Response::Namespace {
                personal,
                other,
                shared,
            }
        }),
        acl().prop_map(Response::Acl),
        metadata().prop_map(Response::Metadata),
    ]
}

fn of_searches() -> impl Strategy<Value = Response> {
    let found = || {
        (vec(1u32.., 1..6), option::of(1..1u64 << 63))
            .prop_map(|(numbers, modseq)| Numbers { numbers, modseq })
    };
    let esearch = (
        any::<bool>(),
        (option::of(1u32..), option::of(1u32..)),
        vec(1u32..20, 0..8),
        option::of((values::partial_range(), vec(1u32..20, 0..8))),
        option::of(0..1u64 << 63),
        option::of(0..1u64 << 63),
        option::of((values::mailbox(), 1u32..)),
    )
        .prop_map(
            |(uid, (min, max), all, partial, count, modseq, of)| Esearch {
                tag: Tag::new("A1").filter(|_| uid),
                found_in: of.map(|(mailbox, uid_validity)| FoundIn {
                    mailbox,
                    uid_validity,
                }),
                uid,
                min,
                max,
                all,
                partial,
                count,
                modseq,
                ..Esearch::default()
            },
        );
    prop_oneof![
        found().prop_map(Response::Search),
        found().prop_map(Response::Sort),
        esearch.prop_map(Response::Esearch),
        vec((1u32..50, 50u32..100), 0..4).prop_map(|batches| Response::UidBatches {
            tag: Tag::new("A1").unwrap(),
            batches: batches.into_iter().map(|(low, high)| (high, low)).collect(),
        }),
        (any::<bool>(), values::numbers(5))
            .prop_map(|(earlier, uids)| Response::Vanished { earlier, uids }),
    ]
}

fn item() -> impl Strategy<Value = FetchItem> {
    let data = prop_oneof![
        values::attribute(),
        Just(FetchAttribute::Rfc822),
        Just(FetchAttribute::Rfc822Header),
        Just(FetchAttribute::Rfc822Text),
    ]
    .prop_filter("is data", |attribute| {
        matches!(
            attribute,
            FetchAttribute::BodySection { .. }
                | FetchAttribute::Binary { .. }
                | FetchAttribute::Rfc822
                | FetchAttribute::Rfc822Header
                | FetchAttribute::Rfc822Text
        )
    });
    prop_oneof![
        vec(values::flag(), 0..4).prop_map(FetchItem::Flags),
        (1u32..).prop_map(FetchItem::Uid),
        values::date_time().prop_map(FetchItem::InternalDate),
        option::of(values::date_time()).prop_map(FetchItem::SaveDate),
        (1..1u64 << 63).prop_map(FetchItem::ModSeq),
        values::object_id().prop_map(FetchItem::EmailId),
        option::of(values::object_id()).prop_map(FetchItem::ThreadId),
        option::of(values::text()).prop_map(FetchItem::Preview),
        (0..1u64 << 63).prop_map(FetchItem::Rfc822Size),
        envelope().prop_map(FetchItem::Envelope),
        body().prop_map(FetchItem::Body),
        body().prop_map(FetchItem::BodyStructure),
        (vec(1u32.., 0..3), 0..1u64 << 63)
            .prop_map(|(part, size)| FetchItem::BinarySize { part, size }),
        (data, nstring()).prop_map(|(attribute, data)| FetchItem::Data { attribute, data }),
        Just(FetchItem::Other {
            name: "X-GM-LABELS".to_owned(),
            value: bytes("(\"\\\\Sent\" (a {3}\r\n(() b) NIL)"),
        }),
    ]
}

/// Every response that our encoder can write.
pub(super) fn every() -> impl Strategy<Value = Response> {
    prop_oneof![
        2 => status().prop_map(Response::Status),
        1 => status().prop_map(|status| Response::Bye(Status { kind: StatusKind::Ok, ..status })),
        1 => status().prop_map(|status| Response::Preauth(Status { kind: StatusKind::Ok, ..status })),
        1 => vec(values::flag(), 0..4).prop_map(Response::Flags),
        1 => any::<u32>().prop_map(Response::Exists),
        1 => any::<u32>().prop_map(Response::Recent),
        1 => (1u32..).prop_map(Response::Expunge),
        4 => (1u32.., vec(item(), 1..4)).prop_map(|(seq, items)| Response::Fetch { seq, items }),
        1 => (1u32.., vec(item(), 1..4)).prop_map(|(uid, items)| Response::UidFetch { uid, items }),
        4 => of_mailboxes(),
        3 => of_searches(),
        1 => vec(word(), 0..5).prop_map(|names| Response::Capability(names.into_iter().map(Into::into).collect())),
        1 => vec(word(), 0..5).prop_map(|names| Response::Enabled(names.into_iter().map(Into::into).collect())),
        1 => vec((values::text(), option::of(values::text())), 0..3).prop_map(Response::Id),
        1 => "X[A-Z]{1,9} [ -z]{0,20}".prop_map(|text| Response::Other(text.into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The very value that was written.
    #[test]
    fn every_response(response in every(), rev2 in any::<bool>()) {
        // What IMAP4rev2 leaves out cannot be read.
        let left_out = match &response {
            Response::Recent(_) => rev2,
            Response::Status(status) | Response::Bye(status) | Response::Preauth(status) =>
                rev2 && matches!(status.code, Some(Code::Unseen(_))),
            Response::MailboxStatus { items, .. } =>
                rev2 && items.iter().any(|(item, _)| *item == StatusItem::Recent),
            _ => false,
        };
        prop_assume!(!left_out);
        let wire = written(rev2, &response);
        let read = untagged(rev2, &wire);
        prop_assert_eq!(read, told(rev2, response), "{}", wire.escape_ascii());
    }

    /// The same for what holds trees, and texts of any kind: written again it is
    /// the same.
    #[test]
    fn written_again(response in response(), rev2 in any::<bool>()) {
        let wire = written(rev2, &response);
        let again = written(rev2, &untagged(rev2, &wire));
        prop_assert_eq!(again.escape_ascii().to_string(), wire.escape_ascii().to_string());
    }

    /// What another program reads and writes in its own way means the same to us.
    #[test]
    fn others_write_the_same(response in response()) {
        let mut wire = written(false, &response);
        let read = untagged(false, &wire);
        wire.extend_from_slice(b"\r\n");
        let (_, theirs) = ResponseCodec::default().decode(&wire)
            .map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let theirs = ResponseCodec::default().encode(&theirs).dump();
        let theirs = theirs.strip_suffix(b"\r\n").unwrap_or(&theirs);
        // They write the names of media types in capitals.
        let upper = |response: &Response| format!("{response:?}").to_ascii_uppercase();
        let ours = untagged(false, theirs);
        prop_assert_eq!(upper(&ours), upper(&read), "{}", theirs.escape_ascii());
    }

    #[test]
    fn ends_of_commands(status in status()) {
        let mut wire = BytesMut::new();
        let tag = Tag::new("a.1").unwrap();
        Encoder::new(&mut wire, false).tagged(&tag, &status);
        let wire = wire.strip_suffix(b"\r\n").unwrap();
        prop_assert_eq!(reply(false, wire), Reply::Tagged(tag, status));
    }

    /// Whatever comes, there is an answer.
    #[test]
    fn any_bytes(start in prop::sample::select(vec![
        "* ", "", "* 1 FETCH (", "* OK [", "* LIST ", "* 1 FETCH (BODYSTRUCTURE (", "* ESEARCH ",
        "* THREAD ", "* STATUS x (", "* NAMESPACE ", "+ ",
    ]), more in vec(any::<u8>(), 0..40)) {
        let wire = [start.as_bytes(), &more].concat();
        let _ = read(&ResponseGrammar::default(), &wire);
    }
}

#[test]
fn what_other_servers_write() {
    let fetch = |seq, items| Response::Fetch { seq, items };
    for (wire, want) in [
        // Spaces where none should be.
        ("* FLAGS (\\Seen ) ", Response::Flags(vec![Flag::Seen])),
        (
            "* SEARCH 1 2 ",
            Response::Search(Numbers {
                numbers: vec![1, 2],
                modseq: None,
            }),
        ),
        ("* search", Response::Search(Numbers::default())),
        (
            "* CAPABILITY IMAP4rev1 ",
            Response::Capability(vec!["IMAP4rev1".into()]),
        ),
        // No text, an unknown code, a bracket that does not close.
        ("* OK", Response::Status(Status::ok(""))),
        (
            "* NO [X-FOO (a b)] c",
            Response::Status(Status::no("c").with(Code::Other("X-FOO (a b)".into()))),
        ),
        (
            "* OK [UIDNEXT x] y",
            Response::Status(Status::ok("y").with(Code::Other("UIDNEXT x".into()))),
        ),
        ("* OK [alert x", Response::Status(Status::ok("[alert x"))),
        (
            "* OK [alert]",
            Response::Status(Status::ok("").with(Code::Alert)),
        ),
        // Unknown items, and known ones that are not as they should be.
        (
            "* 2 FETCH (X-GM-MSGID 1278455344230334865 uid 3 X-GM-LABELS (\\Inbox \"a)\") INTERNALDATE NIL)",
            fetch(
                2,
                vec![
                    FetchItem::Other {
                        name: "X-GM-MSGID".into(),
                        value: bytes("1278455344230334865"),
                    },
                    FetchItem::Uid(3),
                    FetchItem::Other {
                        name: "X-GM-LABELS".into(),
                        value: bytes("(\\Inbox \"a)\")"),
                    },
                    FetchItem::Other {
                        name: "INTERNALDATE".into(),
                        value: bytes("NIL"),
                    },
                ],
            ),
        ),
        (
            "* 2 FETCH (BODY[HEADER.FIELDS (X Y)] \"a\" BODY[FOO] {2}\r\n)( FLAGS ())",
            fetch(
                2,
                vec![
                    FetchItem::Data {
                        attribute: FetchAttribute::BodySection {
                            section: crate::imap::command::Section {
                                part: vec![],
                                text: crate::imap::command::SectionText::HeaderFields(vec![
                                    "X".into(),
                                    "Y".into(),
                                ]),
                            },
                            partial: None,
                            peek: false,
                        },
                        data: Some(bytes("a")),
                    },
                    FetchItem::Other {
                        name: "BODY[FOO]".into(),
                        value: bytes("{2}\r\n)("),
                    },
                    FetchItem::Flags(vec![]),
                ],
            ),
        ),
        // A flag that is none.
        (
            "* 1 FETCH (FLAGS (\\Seen a]b \\))",
            fetch(1, vec![FetchItem::Flags(vec![Flag::Seen])]),
        ),
        // Names that are not modified UTF-7.
        (
            "* LIST (\\HasNoChildren \\X-y) \"/\" A&B (X (y (z)) CHILDINFO (\"SUBSCRIBED\"))",
            Response::List(ListItem {
                attributes: vec![
                    MailboxAttribute::HasNoChildren,
                    MailboxAttribute::Other("\\X-y".into()),
                ],
                delimiter: Some('/'),
                name: "A&B".into(),
                child_subscribed: true,
                old_name: None,
            }),
        ),
        (
            "* STATUS x (MESSAGES 1 X-GUID 7f APPENDLIMIT NIL UNSEEN 2)",
            Response::MailboxStatus {
                mailbox: "x".into(),
                items: vec![(StatusItem::Messages, 1), (StatusItem::Unseen, 2)],
                id: None,
            },
        ),
        // RFC 2342 §5: an extension of NAMESPACE.
        (
            "* NAMESPACE ((\"\" \"/\" \"X-PARAM\" (\"FLAG1\" \"FLAG2\"))) NIL NIL",
            Response::Namespace {
                personal: vec![Namespace {
                    prefix: String::new(),
                    delimiter: Some('/'),
                }],
                other: vec![],
                shared: vec![],
            },
        ),
        (
            "* ESEARCH (TAG \"a\") X-NEW (1 2) COUNT 3",
            Response::Esearch(Esearch {
                tag: Tag::new("a"),
                count: Some(3),
                ..Esearch::default()
            }),
        ),
        ("* ID NIL", Response::Id(vec![])),
        // RFC 4314 §2.1.1: what is old stands beside what it became.
        (
            "* MYRIGHTS INBOX rwicdkxte",
            Response::Acl(AclResponse::MyRights {
                mailbox: "INBOX".into(),
                rights: Rights::parse("rwikxte").unwrap(),
            }),
        ),
        (
            "* MYRIGHTS INBOX rwicd!",
            Response::Acl(AclResponse::MyRights {
                mailbox: "INBOX".into(),
                rights: Rights::parse("rwikxte").unwrap(),
            }),
        ),
        // What nobody knows.
        ("* XSPECIAL (a", Response::Other(bytes("XSPECIAL (a"))),
        ("* 5 XFOO", Response::Other(bytes("5 XFOO"))),
        ("* LIST nonsense", Response::Other(bytes("LIST nonsense"))),
        ("* 1 FETCH (UID", Response::Other(bytes("1 FETCH (UID"))),
        ("* ", Response::Other(Bytes::new())),
    ] {
        assert_eq!(text(wire), want, "{wire}");
    }
    assert_eq!(reply(false, b"+"), Reply::Continue(String::new()));
    assert_eq!(reply(false, b"+ Y29u"), Reply::Continue("Y29u".into()));
    for no_response in [
        "",
        "*",
        "A1",
        "A1 MAYBE x",
        "HTTP/1.1 200 OK",
        "220 mx ESMTP",
    ] {
        let read = read(&ResponseGrammar::default(), no_response.as_bytes());
        assert_eq!(read, Err(Violation::NotThisProtocol), "{no_response}");
    }
}

/// Body structures that other servers write.
#[test]
fn odd_structures() {
    let part = |wire: &str| match text(&format!("* 1 FETCH (BODYSTRUCTURE {wire})")) {
        Response::Fetch { items, .. } => match items.into_iter().next() {
            Some(FetchItem::BodyStructure(body)) => body,
            other => panic!("{wire}: {other:?}"),
        },
        other => panic!("{wire}: {other:?}"),
    };
    // A message as any other part; a text without lines; NIL as encoding; things to come.
    for (wire, kind) in [
        (
            "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 5)",
            PartKind::Basic,
        ),
        ("(\"text\" \"plain\" NIL NIL NIL NIL 5)", PartKind::Basic),
        (
            "(\"text\" \"plain\" () NIL NIL \"7bit\" 5 1 NIL NIL NIL NIL 7 (\"x\" (1)) \"y\")",
            PartKind::Text { lines: 1 },
        ),
        (
            "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1 NIL (\"inline\" NIL) \"en\")",
            PartKind::Text { lines: 1 },
        ),
    ] {
        let BodyStructure::Single(part) = part(wire) else {
            panic!("{wire}");
        };
        assert_eq!(part.kind, kind, "{wire}");
        assert_eq!(part.size, 5);
    }
    let BodyStructure::Multipart(both) = part(
        "((\"a\" \"b\" NIL NIL NIL \"7bit\" 0) (\"c\" \"d\" NIL NIL NIL \"7bit\" 0) \"mixed\")",
    ) else {
        panic!();
    };
    assert_eq!(both.parts.len(), 2);
}

#[test]
fn everything_large_has_a_bound() {
    let small = ResponseGrammar {
        items: 10,
        numbers: 10,
        nesting: 5,
        utf8: false,
    };
    for many in [
        format!("* SEARCH{}", " 1".repeat(11)),
        format!("* SORT{}", " 1".repeat(11)),
        format!("* THREAD {}", "(1)".repeat(6)),
        format!("* THREAD {}1{}", "(".repeat(11), ")".repeat(11)),
        "* ESEARCH ALL 1:4294967295".to_owned(),
        "* ESEARCH PARTIAL (1:9 1:11)".to_owned(),
        format!("* VANISHED 1{}", ",3".repeat(10)),
        format!("* UIDBATCHES (TAG \"a\") 1{}", ",3".repeat(10)),
        format!("* METADATA x ({})", "/shared/a NIL ".repeat(11)),
        format!("* METADATA x{}", " /shared/a".repeat(11)),
        format!("* CAPABILITY{}", " X".repeat(11)),
        format!("* FLAGS ({})", "a ".repeat(11)),
        format!("* LIST ({}) NIL x", "\\a ".repeat(11)),
        format!("* LIST () NIL x ({})", "a 1 ".repeat(11)),
        format!("* STATUS x ({})", "X 1 ".repeat(11)),
        format!("* NAMESPACE ({}) NIL NIL", "(\"\" NIL)".repeat(11)),
        format!("* QUOTA x ({})", "X 1 1 ".repeat(11)),
        format!("* QUOTAROOT x{}", " y".repeat(11)),
        format!("* ACL x{}", " y r".repeat(11)),
        format!("* LISTRIGHTS x y r{}", " r".repeat(11)),
        format!("* ID ({})", "\"a\" NIL ".repeat(11)),
        format!("* 1 FETCH ({})", "UID 1 ".repeat(11)),
        format!(
            "* 1 FETCH (ENVELOPE (NIL NIL ({}) NIL NIL NIL NIL NIL NIL NIL))",
            "(NIL NIL NIL NIL)".repeat(11)
        ),
        format!(
            "* 1 FETCH (BODY ({} \"mixed\"))",
            "(\"a\" \"b\" NIL NIL NIL \"7bit\" 0)".repeat(11)
        ),
    ] {
        assert_eq!(
            read(&small, many.as_bytes()),
            Err(Violation::TooLarge),
            "{many}"
        );
        let large = read(&ResponseGrammar::default(), many.as_bytes());
        match large {
            Ok(Reply::Untagged(Response::Other(_))) => panic!("{many}"),
            Ok(_) => {}
            Err(_) => assert!(many.contains("4294967295"), "{many}"),
        }
    }
}

/// Depth costs no stack: what is deeper than the limit comes out as it is.
#[test]
fn nesting_without_end() {
    let deep = |depth: usize| {
        let inner = "(\"a\" \"b\" NIL NIL NIL \"7bit\" 0)";
        let body = format!(
            "{}{inner}{}",
            "(".repeat(depth),
            " \"mixed\")".repeat(depth)
        );
        match text(&format!("* 1 FETCH (BODY {body} UID 7)")) {
            Response::Fetch { items, .. } => items,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(
        deep(99)[..],
        [FetchItem::Body(_), FetchItem::Uid(7)]
    ));
    for depth in [100, 100_000] {
        assert!(matches!(
            &deep(depth)[..],
            [FetchItem::Other { name, .. }, FetchItem::Uid(7)] if name == "BODY"
        ));
    }
    let never = format!("* 1 FETCH (BODY {}", "(".repeat(100_000));
    assert!(matches!(text(&never), Response::Other(_)));
    let lists = format!(
        "* LIST () NIL x (y {}1{})",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert!(matches!(text(&lists), Response::List(_)));
    let threads = format!("* THREAD {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(text(&threads), Response::Thread(_)));
}

/// Sets in the order that costs most.
#[test]
fn a_set_backwards() {
    let backwards: Vec<String> = (0..300_000)
        .rev()
        .map(|n| (2 * n + 1).to_string())
        .collect();
    match text(&format!("* VANISHED {}", backwards.join(","))) {
        Response::Vanished { uids, .. } => assert_eq!(uids.count(), 300_000),
        other => panic!("{other:?}"),
    }
    let set: NumberSet = [3, 1, 2].into_iter().collect();
    assert_eq!(
        text("* VANISHED (EARLIER) 3,1:2"),
        Response::Vanished {
            earlier: true,
            uids: set
        }
    );
}
