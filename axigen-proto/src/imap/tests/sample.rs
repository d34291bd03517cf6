//! The sample connection of RFC 3501 §8, and the same with IMAP4rev2.

use super::drive::{bytes, every_chunk, lines, open};
use crate::imap::command::{Command, Fetch};
use crate::imap::extensions::AFTER_LOGIN;
use crate::imap::response::{Code, FetchItem, Response, Status};
use crate::imap::server::{Event, Server};
use crate::imap::structure::{Address, BodyStructure, Envelope, Extension, Part, PartKind};
use crate::imap::types::{Date, DateTime, Flag};
use crate::session::Close;

const HEADER: &str = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\nSubject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\nCc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: <B27397-0100000@cac.washington.ed>\r\nMIME-Version: 1.0\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n";

fn address(name: Option<&str>, mailbox: &str, host: &str) -> Address {
    Address {
        name: name.map(bytes),
        adl: None,
        mailbox: Some(bytes(mailbox)),
        host: Some(bytes(host)),
    }
}

fn sample_envelope() -> Envelope {
    let terry = vec![address(Some("Terry Gray"), "gray", "cac.washington.edu")];
    Envelope {
        date: Some(bytes("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)")),
        subject: Some(bytes("IMAP4rev2 WG mtg summary and minutes")),
        from: terry.clone(),
        sender: terry.clone(),
        reply_to: terry,
        to: vec![address(None, "imap", "cac.washington.edu")],
        cc: vec![
            address(None, "minutes", "CNRI.Reston.VA.US"),
            address(Some("John Klensin"), "KLENSIN", "MIT.EDU"),
        ],
        bcc: Vec::new(),
        in_reply_to: None,
        message_id: Some(bytes("<B27397-0100000@cac.washington.ed>")),
    }
}

pub(super) fn sample_body() -> BodyStructure {
    BodyStructure::Single(Box::new(Part {
        media_type: bytes("TEXT"),
        subtype: bytes("PLAIN"),
        params: vec![(bytes("CHARSET"), bytes("US-ASCII"))],
        id: None,
        description: None,
        encoding: bytes("7BIT"),
        size: 3028,
        kind: PartKind::Text { lines: 92 },
        md5: None,
        extension: Extension::default(),
    }))
}

/// The server of the sample connection (RFC 9051 §8).
fn sample(server: &mut Server, event: &Event) {
    let Event::Command { tag, command } = event else {
        return;
    };
    let done = match command {
        Command::Select(_) => {
            let flags = vec![
                Flag::Answered,
                Flag::Flagged,
                Flag::Deleted,
                Flag::Seen,
                Flag::Draft,
            ];
            for response in [
                Response::Exists(18),
                Response::Flags(flags.clone()),
                Response::Recent(2),
                Response::ok(Code::Unseen(17), "Message 17 is the first unseen message"),
                Response::ok(Code::UidValidity(3_857_529_045), "UIDs valid"),
                Response::ok(
                    Code::PermanentFlags {
                        flags,
                        keywords: true,
                    },
                    "Limited",
                ),
            ] {
                server.untagged(&response).unwrap();
            }
            "SELECT completed"
        }
        Command::Fetch(Fetch { attributes, .. }) if attributes.len() == 5 => {
            let date = Date::new(1996, 7, 17).unwrap();
            let items = vec![
                FetchItem::Flags(vec![Flag::Seen]),
                FetchItem::InternalDate(DateTime::new(date, 2, 44, 25, -420).unwrap()),
                FetchItem::Rfc822Size(4286),
                FetchItem::Envelope(sample_envelope()),
                FetchItem::Body(sample_body()),
            ];
            server
                .untagged(&Response::Fetch { seq: 12, items })
                .unwrap();
            "FETCH completed"
        }
        Command::Fetch(Fetch { attributes, .. }) => {
            // Streamed, in pieces.
            server.fetch_begin(12).unwrap();
            server
                .fetch_data(&attributes[0], HEADER.len() as u64, false)
                .unwrap();
            for piece in HEADER.as_bytes().chunks(100) {
                server
                    .body(bytes(std::str::from_utf8(piece).unwrap()))
                    .unwrap();
            }
            server.fetch_end().unwrap();
            "FETCH completed"
        }
        Command::Store(_) => {
            let items = vec![FetchItem::Flags(vec![Flag::Seen, Flag::Deleted])];
            server
                .untagged(&Response::Fetch { seq: 12, items })
                .unwrap();
            "+FLAGS completed"
        }
        Command::Enable(_) => "ENABLE completed",
        other => panic!("{other:?}"),
    };
    server.finish(tag, Status::ok(done)).unwrap();
}

#[test]
fn the_sample_connection_of_rfc_3501() {
    let outcome = every_chunk(
        open(),
        &lines(&[
            "a001 login mrc secret",
            "a002 select inbox",
            "a003 fetch 12 full",
            "a004 fetch 12 body[header]",
            "a005 store 12 +flags \\deleted",
            "a006 logout",
        ]),
        &mut sample,
    );
    let text = outcome.text();
    let (greeting, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(
        greeting,
        "* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR STARTTLS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN] imap.example.test IMAP server ready"
    );
    let want = format!(
        "a001 OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ENABLE ID SASL-IR {after} APPENDLIMIT=52428800 COMPRESS=DEFLATE] Logged in\r\n\
         * 18 EXISTS\r\n\
         * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
         * 2 RECENT\r\n\
         * OK [UNSEEN 17] Message 17 is the first unseen message\r\n\
         * OK [UIDVALIDITY 3857529045] UIDs valid\r\n\
         * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Limited\r\n\
         a002 OK [READ-WRITE] SELECT completed\r\n\
         * 12 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.ed>\") BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92))\r\n\
         a003 OK FETCH completed\r\n\
         * 12 FETCH (BODY[HEADER] {{{}}}\r\n{HEADER})\r\n\
         a004 OK FETCH completed\r\n\
         * 12 FETCH (FLAGS (\\Seen \\Deleted))\r\n\
         a005 OK +FLAGS completed\r\n\
         * BYE Logging out\r\n\
         a006 OK LOGOUT completed\r\n",
        HEADER.len(),
        after = AFTER_LOGIN.join(" "),
    );
    assert_eq!(rest, want);
    assert_eq!(outcome.close, Some(Close::Finish));
}

#[test]
fn the_same_with_rev2() {
    // RFC 9051: no RECENT, no UNSEEN once it is enabled.
    let outcome = every_chunk(
        open(),
        &lines(&[
            "1 login mrc secret",
            "2 enable imap4rev2 foo",
            "3 select inbox",
            "4 enable imap4rev2",
        ]),
        &mut sample,
    );
    let answers = outcome.answers();
    assert_eq!(answers[1], "* ENABLED IMAP4rev2");
    assert_eq!(answers[2], "2 OK ENABLE completed");
    assert_eq!(answers[5], "* OK Message 17 is the first unseen message");
    assert!(!outcome.text().contains("RECENT"));
    assert!(outcome.text().contains("* ENABLED\r\n4 OK"));
}
