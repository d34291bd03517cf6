//! ACL: the examples of RFC 4314 and RFC 8440, and any value there and back.

use bytes::BytesMut;
use proptest::prelude::*;

use super::values::mailbox;
use crate::imap::command::{Command, List, ListPattern, ListReturn, ListSelect};
use crate::imap::encode::Encoder;
use crate::imap::extensions::acl::{Acl, AclResponse, Change, Rights};
use crate::imap::parse::{self, Grammar};
use crate::imap::response::{Response, StatusKind};

/// Any command of ACL.
pub(super) fn command() -> impl Strategy<Value = Command> {
    let identifier = || "-?[a-zA-Zäß@. \"]{1,20}";
    let rights = (0..=Rights::ALL.bits()).prop_map(Rights::from_bits);
    let change = prop::sample::select(vec![Change::Replace, Change::Add, Change::Remove]);
    prop_oneof![
        (mailbox(), identifier(), change, rights).prop_map(
            |(mailbox, identifier, change, rights)| Acl::Set {
                mailbox,
                identifier,
                change,
                rights,
            }
        ),
        (mailbox(), identifier()).prop_map(|(mailbox, identifier)| Acl::Delete {
            mailbox,
            identifier
        }),
        mailbox().prop_map(|mailbox| Acl::Get { mailbox }),
        (mailbox(), identifier()).prop_map(|(mailbox, identifier)| Acl::ListRights {
            mailbox,
            identifier
        }),
        mailbox().prop_map(|mailbox| Acl::MyRights { mailbox }),
    ]
    .prop_map(Command::Acl)
}

fn read(line: &str) -> Command {
    parse::command(&Grammar::default(), line.as_bytes())
        .unwrap()
        .1
}

fn rights(letters: &str) -> Rights {
    Rights::parse(letters).unwrap()
}

#[test]
fn the_commands_of_the_standard() {
    let set = |mailbox: &str, identifier: &str, change, letters| {
        Command::Acl(Acl::Set {
            mailbox: mailbox.into(),
            identifier: identifier.to_owned(),
            change,
            rights: rights(letters),
        })
    };
    for (line, wanted) in [
        ("A035 SETACL INBOX/Drafts John lrQswicda", None),
        ("A036 SETACL INBOX/Drafts John lrqswicda", None),
        (
            "A035 SETACL INBOX/Drafts John lrswicda",
            Some(set("INBOX/Drafts", "John", Change::Replace, "lrswikxtea")),
        ),
        (
            "A1 SETACL x Fred +i",
            Some(set("x", "Fred", Change::Add, "i")),
        ),
        (
            "A1 SETACL x \"-Fred\" -te",
            Some(set("x", "-Fred", Change::Remove, "te")),
        ),
        (
            "A1 SETACL x Fred \"\"",
            Some(set("x", "Fred", Change::Replace, "")),
        ),
        (
            "B002 DELETEACL INBOX Fred",
            Some(Command::Acl(Acl::Delete {
                mailbox: "INBOX".into(),
                identifier: "Fred".to_owned(),
            })),
        ),
        (
            "A002 GETACL INBOX",
            Some(Command::Acl(Acl::Get {
                mailbox: "INBOX".into(),
            })),
        ),
        (
            "a001 LISTRIGHTS ~/Mail/saved smith",
            Some(Command::Acl(Acl::ListRights {
                mailbox: "~/Mail/saved".into(),
                identifier: "smith".to_owned(),
            })),
        ),
        (
            "A003 MYRIGHTS INBOX",
            Some(Command::Acl(Acl::MyRights {
                mailbox: "INBOX".into(),
            })),
        ),
    ] {
        let understood = parse::command(&Grammar::default(), line.as_bytes());
        match wanted {
            Some(wanted) => assert_eq!(understood.unwrap().1, wanted, "{line}"),
            None => assert_eq!(
                understood.unwrap_err().status.kind,
                StatusKind::Bad,
                "{line}"
            ),
        }
    }
    let long = format!("a GETACL x\r\nb DELETEACL x {}", "y".repeat(600));
    let long = long.lines().nth(1).unwrap();
    assert!(parse::command(&Grammar::default(), long.as_bytes()).is_err());
}

#[test]
fn list_with_rights() {
    // RFC 8440 §4
    assert_eq!(
        read("A01 LIST \"\" % RETURN (MYRIGHTS)"),
        Command::List(List {
            select: ListSelect::default(),
            reference: String::new(),
            patterns: vec![ListPattern("%".into())],
            returns: ListReturn {
                my_rights: true,
                ..ListReturn::default()
            },
            extended: true,
        })
    );
}

#[test]
fn the_responses_of_the_standard() {
    for (response, wanted) in [
        (
            AclResponse::Acl {
                mailbox: "INBOX".into(),
                entries: vec![
                    ("Fred".to_owned(), rights("rwipslxetad")),
                    ("-Joe".to_owned(), rights("wetd")),
                ],
            },
            "* ACL INBOX \"Fred\" \"lrswipxteacd\" \"-Joe\" \"wted\"\r\n",
        ),
        (
            AclResponse::ListRights {
                mailbox: "~/Mail/saved".into(),
                identifier: "smith".to_owned(),
                required: rights("la"),
                optional: vec![rights("r"), rights("swikxte")],
            },
            "* LISTRIGHTS \"~/Mail/saved\" \"smith\" \"la\" \"r\" \"swikxtecd\"\r\n",
        ),
        // §2.1.1: k, x, t and e by themselves, and some of them tied
        (
            AclResponse::ListRights {
                mailbox: "archive/imap".into(),
                identifier: "anyone".to_owned(),
                required: Rights::NONE,
                optional: "lr s w i p k x t".split(' ').map(rights).collect(),
            },
            "* LISTRIGHTS archive/imap \"anyone\" \"\" \"lr\" \"s\" \"w\" \"i\" \"p\" \"k\" \"x\" \"t\" \"c\" \"d\"\r\n",
        ),
        (
            AclResponse::ListRights {
                mailbox: "archive/imap".into(),
                identifier: "anyone".to_owned(),
                required: Rights::NONE,
                optional: "lr swte i p k x".split(' ').map(rights).collect(),
            },
            "* LISTRIGHTS archive/imap \"anyone\" \"\" \"lr\" \"swted\" \"i\" \"p\" \"k\" \"x\" \"c\"\r\n",
        ),
        (
            AclResponse::ListRights {
                mailbox: "x".into(),
                identifier: "anyone".to_owned(),
                required: Rights::NONE,
                optional: Vec::new(),
            },
            "* LISTRIGHTS x \"anyone\" \"\"\r\n",
        ),
        (
            AclResponse::MyRights {
                mailbox: "INBOX".into(),
                rights: rights("rwiptsldaex"),
            },
            "* MYRIGHTS INBOX \"lrswipxteacd\"\r\n",
        ),
    ] {
        let mut out = BytesMut::new();
        Encoder::new(&mut out, false).response(&Response::Acl(response));
        assert_eq!(String::from_utf8_lossy(&out), wanted);
    }
}
