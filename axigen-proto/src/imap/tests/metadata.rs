//! METADATA: the examples of RFC 5464 and RFC 9590, and any value there and back.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::values::mailbox;
use crate::imap::command::{Command, List};
use crate::imap::encode::Encoder;
use crate::imap::extensions::metadata::{Depth, EntryName, Metadata, MetadataResponse};
use crate::imap::parse::{self, Grammar};
use crate::imap::response::{Code, Response, Status};

/// Any name of an entry.
pub(super) fn entry() -> impl Strategy<Value = EntryName> {
    "/(private|shared)(/[a-z. \"{]{1,6}){1,3}".prop_map(|name| EntryName::new(&name).unwrap())
}

/// Any command of METADATA.
pub(super) fn command() -> impl Strategy<Value = Command> {
    let depth = prop::sample::select(vec![Depth::Zero, Depth::One, Depth::Infinity]);
    let value = option::of(vec(1u8.., 0..20).prop_map(Bytes::from));
    prop_oneof![
        (
            mailbox(),
            option::of(any::<u32>()),
            depth,
            vec(entry(), 1..4)
        )
            .prop_map(|(mailbox, max_size, depth, entries)| Metadata::Get {
                mailbox,
                max_size,
                depth,
                entries
            }),
        (mailbox(), vec((entry(), value), 1..4))
            .prop_map(|(mailbox, values)| Metadata::Set { mailbox, values }),
    ]
    .prop_map(Command::Metadata)
}

fn name(text: &str) -> EntryName {
    EntryName::new(text).unwrap()
}

fn read(line: &str) -> Command {
    match parse::command(&Grammar::default(), line.as_bytes()) {
        Ok((_, command)) => command,
        Err(error) => panic!("{line}: {error:?}"),
    }
}

#[test]
fn the_commands_of_the_standard() {
    let get = |mailbox: &str, max_size, depth, entries: &[&str]| {
        Command::Metadata(Metadata::Get {
            mailbox: mailbox.into(),
            max_size,
            depth,
            entries: entries.iter().map(|entry| name(entry)).collect(),
        })
    };
    let set = |mailbox: &str, values: &[(&str, Option<&'static str>)]| {
        let values = values.iter();
        Command::Metadata(Metadata::Set {
            mailbox: mailbox.into(),
            values: values
                .map(|(entry, value)| {
                    (
                        name(entry),
                        value.map(|value| Bytes::from_static(value.as_bytes())),
                    )
                })
                .collect(),
        })
    };
    for (line, wanted) in [
        (
            "a GETMETADATA \"\" /shared/comment",
            get("", None, Depth::Zero, &["/shared/comment"]),
        ),
        (
            "a GETMETADATA \"INBOX\" (/shared/comment /private/comment)",
            get(
                "INBOX",
                None,
                Depth::Zero,
                &["/shared/comment", "/private/comment"],
            ),
        ),
        (
            "a GETMETADATA \"INBOX\" (MAXSIZE 1024) (/shared/comment /private/comment)",
            get(
                "INBOX",
                Some(1024),
                Depth::Zero,
                &["/shared/comment", "/private/comment"],
            ),
        ),
        (
            "a GETMETADATA (MAXSIZE 1024 DEPTH 1) \"INBOX\" /private/filters/values",
            get(
                "INBOX",
                Some(1024),
                Depth::One,
                &["/private/filters/values"],
            ),
        ),
        (
            "a GETMETADATA \"INBOX\" (DEPTH infinity) /Private/Filters",
            get("INBOX", None, Depth::Infinity, &["/private/filters"]),
        ),
        (
            "a SETMETADATA INBOX (/private/comment {33}\r\nMy new comment across\r\ntwo lines.)",
            set(
                "INBOX",
                &[(
                    "/private/comment",
                    Some("My new comment across\r\ntwo lines."),
                )],
            ),
        ),
        (
            "a SETMETADATA INBOX (/private/comment NIL)",
            set("INBOX", &[("/private/comment", None)]),
        ),
        (
            "a SETMETADATA INBOX (/private/comment \"My new comment\" /shared/comment ~{9}\r\nThis one!)",
            set(
                "INBOX",
                &[
                    ("/private/comment", Some("My new comment")),
                    ("/shared/comment", Some("This one!")),
                ],
            ),
        ),
    ] {
        assert_eq!(read(line), wanted, "{line}");
    }
    for (line, why) in [
        ("a GETMETADATA INBOX", "a space"),
        ("a GETMETADATA INBOX comment", "begins with"),
        ("a GETMETADATA INBOX ()", "an entry"),
        ("a GETMETADATA INBOX /shared/*", "begins with"),
        ("a GETMETADATA INBOX /shared//x", "begins with"),
        (
            "a GETMETADATA (DEPTH 2) INBOX /shared/x",
            "0, 1 or infinity",
        ),
        ("a GETMETADATA (FOO) INBOX /shared/x", "MAXSIZE or DEPTH"),
        ("a SETMETADATA INBOX (/shared/x)", "a space"),
        ("a SETMETADATA INBOX (/shared/x y)", "a string or NIL"),
        ("a SETMETADATA INBOX (/shared/x ~{1}\r\n\0)", "NUL"),
    ] {
        let error = parse::command(&Grammar::default(), line.as_bytes()).unwrap_err();
        assert!(
            error.status.text.contains(why),
            "{line}: {}",
            error.status.text
        );
    }
    // RFC 9590 §4
    let Command::List(List { returns, .. }) =
        read("A00 LIST \"\" % RETURN (METADATA (\"/shared/vendor/cmu/cyrus-imapd/color\"))")
    else {
        panic!("no LIST");
    };
    assert_eq!(
        returns.metadata,
        [name("/shared/vendor/cmu/cyrus-imapd/color")]
    );
}

#[test]
fn the_responses_of_the_standard() {
    let values =
        |mailbox: &str, values: &[(&str, Option<&'static str>)]| MetadataResponse::Values {
            mailbox: mailbox.into(),
            values: values
                .iter()
                .map(|(entry, value)| {
                    (
                        name(entry),
                        value.map(|value| Bytes::from_static(value.as_bytes())),
                    )
                })
                .collect(),
        };
    for (response, wanted) in [
        (
            values("", &[("/shared/comment", Some("Shared comment"))]),
            "* METADATA \"\" (/shared/comment \"Shared comment\")\r\n",
        ),
        (
            values(
                "INBOX",
                &[("/private/comment", Some("a\r\nb")), ("/shared/x", None)],
            ),
            "* METADATA INBOX (/private/comment {4}\r\na\r\nb /shared/x NIL)\r\n",
        ),
        (
            MetadataResponse::Changed {
                mailbox: "INBOX".into(),
                entries: vec![name("/shared/comment"), name("/private/a b")],
            },
            "* METADATA INBOX /shared/comment \"/private/a b\"\r\n",
        ),
    ] {
        let mut out = BytesMut::new();
        let response = Response::Metadata(response);
        Encoder::new(&mut out, false).response(&response);
        assert_eq!(String::from_utf8_lossy(&out), wanted);
    }
    for (code, wanted) in [
        (
            Code::MetadataLongEntries(2199),
            "* OK [METADATA LONGENTRIES 2199] x\r\n",
        ),
        (
            Code::MetadataMaxSize(1024),
            "* OK [METADATA MAXSIZE 1024] x\r\n",
        ),
        (Code::MetadataTooMany, "* OK [METADATA TOOMANY] x\r\n"),
        (Code::MetadataNoPrivate, "* OK [METADATA NOPRIVATE] x\r\n"),
    ] {
        let mut out = BytesMut::new();
        Encoder::new(&mut out, false).response(&Response::Status(Status::ok("x").with(code)));
        assert_eq!(String::from_utf8_lossy(&out), wanted);
    }
}
