//! What must not end a message, at the door and on the way out (CVE-2023-51764
//! and its like), and what must not come in or go out inside a value.

use super::peer::{Peer, bare, dialogue};
use super::sender::{Sender, config, job, pair};
use crate::session::Close;
use crate::smtp::client;
use crate::smtp::command::BodyType;
use crate::smtp::server::{BodyPolicy, Config, Role};

/// Everything between two lines that some server once took for the end of the
/// message, and its neighbours.
const ENDS: [&[u8]; 28] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n\x00.\x00\r\n",
    b"\n.\n\n",
    b"\r.\r\r",
    b"\r\r\n.\n",
    b"\r\n.\r\0\n",
    b"\r\0\n.\r\n",
    b"\r\n.\0\n",
    b"\0\n.\n\0",
    b"\r..\r\n",
    b"\r.\n\r\n",
    b"\n\0.\r\n",
    b"\n..\r\n",
    b"\0.\r\n",
    b"\r\n.\r\0\r\n",
    b"\r\0.\r",
    b"\r\n\0.\0\n",
];

const SMUGGLED: &[u8] = b"MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nsmuggled\r\n.\r\n";
const ROLES: [Role; 3] = [Role::Mx, Role::Submission, Role::Lmtp];

/// A server that takes mail without a login, and says nothing of bare line ends.
fn keeping(role: Role) -> Config {
    let mut config = refusing(role);
    config.bare_line_ends = BodyPolicy::Keep;
    config.nul = BodyPolicy::Keep;
    config
}

fn refusing(role: Role) -> Config {
    let mut config = bare(role);
    config.auth_required = false;
    config.auth_tls.clear();
    config
}

/// As far as one recipient, with HELO or LHLO, and how many lines that is.
fn opened(role: Role) -> (&'static [u8], usize) {
    match role {
        Role::Lmtp => (b"LHLO a.test\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", 11),
        _ => (b"HELO a.test\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", 4),
    }
}

#[test]
fn no_form_of_smuggled_end_ends_a_message() {
    for role in ROLES {
        let (start, lines) = opened(role);
        let before = vec!["2…"; lines];
        for end in ENDS {
            let input = [start, b"DATA\r\nbody", end, SMUGGLED, b"QUIT\r\n"].concat();
            let said = ["354…", "550 5.6.11 the message holds…", "221 2.0.0 goodbye"];
            let want = [&before[..], &said].concat();
            let peer = dialogue(&refusing(role), &[&input], &want);
            assert!(peer.app.messages.is_empty(), "{end:?}");
            assert_eq!(peer.app.resets, 1, "{end:?}");

            let want = [&before[..], &["354…", "250 2.0.0 OK", "221 2.0.0 goodbye"]];
            let peer = dialogue(&keeping(role), &[&input], &want.concat());
            let [message] = &peer.app.messages[..] else {
                panic!("{end:?}: {:?}", peer.app.messages);
            };
            assert!(message.body.ends_with(b"smuggled\r\n"), "{end:?}");
        }
    }
}

/// A chunk ends where its size says, whatever it looks like, and what it holds is
/// looked at all the same; the real end of DATA is nothing in it.
#[test]
fn no_end_of_data_ends_a_chunk() {
    for role in ROLES {
        let (start, lines) = opened(role);
        let before = vec!["2…"; lines];
        for end in ENDS.iter().copied().chain([&b"\r\n.\r\n"[..]]) {
            let body = [b"body", end, SMUGGLED].concat();
            for cut in [0, 4, 5, 6, body.len() - 1] {
                let (first, rest) = body.split_at(cut);
                let chunks = [
                    format!("BDAT {}\r\n", first.len()).as_bytes(),
                    first,
                    format!("BDAT {} LAST\r\n", rest.len()).as_bytes(),
                    rest,
                    b"QUIT\r\n",
                ]
                .concat();
                let input = [start, &chunks].concat();
                let mut peer = Peer::new(keeping(role));
                peer.give(&input, 3);
                assert_eq!(peer.lines().len(), before.len() + 3, "{end:?}");
                let [message] = &peer.app.messages[..] else {
                    panic!("{end:?}: {:?}", peer.app.messages);
                };
                assert_eq!(message.body, body, "{end:?} cut at {cut}");
                assert_eq!(peer.close, Some(Close::Finish));

                let mut peer = Peer::new(refusing(role));
                peer.give(&input, 3);
                let fine = end == b"\r\n.\r\n";
                assert_eq!(peer.app.messages.len(), usize::from(fine), "{end:?}");
                assert_eq!(peer.text().contains("\r\n550 5.6.11"), !fine, "{end:?}");
                // Not one of the commands inside was taken.
                assert_eq!(peer.app.mails.len(), 1, "{end:?}");
                assert_eq!(peer.close, Some(Close::Finish), "{end:?}");
            }
        }
    }
}

/// How many messages the most careless reader sees in what was sent behind DATA:
/// any CR, LF or CRLF ends a line, NUL is nothing, and a line of one dot ends the
/// message.
fn messages_for_the_careless(sent: &[u8]) -> usize {
    let text: Vec<u8> = sent.iter().copied().filter(|&byte| byte != 0).collect();
    let text = String::from_utf8(text).unwrap();
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.split('\n').filter(|line| *line == ".").count()
}

/// What a server with lax policies took, by DATA, BDAT or as binary, is handed on:
/// the way out makes one message of it for every reader.
#[test]
fn what_is_handed_on_ends_once_for_every_reader() {
    for end in ENDS.iter().copied().chain([&b"\r\n.\r\n"[..]]) {
        let body = [b"Subject: x\r\n\r\nbody", end, SMUGGLED].concat();
        let size = body.len();
        let data = [b"DATA\r\n", &body[..], b"\r\n.\r\nQUIT\r\n"].concat();
        let bdat = [
            format!("BDAT {size} LAST\r\n").as_bytes(),
            &body,
            b"QUIT\r\n",
        ]
        .concat();
        for (parameter, transfer) in [("", data), ("", bdat.clone()), (" BODY=BINARYMIME", bdat)] {
            if end == b"\r\n.\r\n" && transfer.starts_with(b"DATA") {
                continue; // There it is the end.
            }
            let mut peer = Peer::new(keeping(Role::Mx));
            let start = format!("EHLO a\r\nMAIL FROM:<a@b>{parameter}\r\nRCPT TO:<c@d>\r\n");
            peer.give(&[start.as_bytes(), &transfer].concat(), 1000);
            let taken = peer.app.messages.remove(0).body;
            for role in [client::Role::Smtp, client::Role::Lmtp] {
                for piece in [1, 2, 7, 1000] {
                    let mut job = job(&["c@d"], &taken);
                    job.piece = piece;
                    let mut sender = Sender::new(config(role), job);
                    let next = match role {
                        client::Role::Smtp => Role::Mx,
                        client::Role::Lmtp => Role::Lmtp,
                    };
                    // The next server refuses what is not clean.
                    let mut peer = Peer::new(refusing(next));
                    pair(&mut sender, &mut peer, 1000, 1000);
                    assert_eq!(peer.app.messages.len(), 1, "{end:?}: {}", peer.text());
                    let at = sender
                        .said
                        .windows(6)
                        .position(|w| w == b"DATA\r\n")
                        .unwrap();
                    let sent = sender.said[at + 6..].strip_suffix(b"QUIT\r\n").unwrap();
                    assert!(sent.ends_with(b"\r\n.\r\n"));
                    assert_eq!(messages_for_the_careless(sent), 1, "{end:?} by {piece}");
                }
            }
            // As chunks: nothing but the counted bytes, and no bare line ends either.
            let mut chunking = config(client::Role::Smtp);
            chunking.chunking = true;
            let mut sender = Sender::new(chunking, job(&["c@d"], &taken));
            let mut peer = Peer::new(refusing(Role::Mx));
            pair(&mut sender, &mut peer, 1000, 1000);
            assert_eq!(peer.app.messages.len(), 1, "{end:?}");
            assert!(sender.said.windows(5).any(|w| w == b"BDAT "));
        }
    }
}

/// A message that is binary goes nowhere as lines.
#[test]
fn a_binary_message_is_not_made_into_lines() {
    for offers in [true, false] {
        let mut sender = Sender::new(config(client::Role::Smtp), job(&["c@d"], b"a\n.\nb\0"));
        sender.job.envelopes[0].body = Some(BodyType::BinaryMime);
        let mut next = refusing(Role::Mx);
        next.extensions.chunking = offers;
        let mut peer = Peer::new(next);
        pair(&mut sender, &mut peer, 1000, 1000);
        let bodies: Vec<&[u8]> = peer.app.messages.iter().map(|m| &m.body[..]).collect();
        match offers {
            true => assert_eq!(bodies, [b"a\n.\nb\0"]),
            false => assert!(bodies.is_empty(), "{bodies:?}"),
        }
        assert!(!sender.said.windows(6).any(|w| w == b"DATA\r\n"));
    }
}

/// Control characters come into no value, neither as they are nor by an encoding
/// (CVE-2020-28015, CVE-2020-28021).
#[test]
fn no_control_character_comes_in_by_an_encoding() {
    let mut open = refusing(Role::Mx);
    open.extensions.dsn = true;
    open.limits.errors = 1000;
    for byte in (0..0x20u8).chain([0x7f]) {
        let hex = format!("+{byte:02X}");
        for value in [
            format!("MAIL FROM:<a@b> AUTH=x{hex}@b"),
            format!("MAIL FROM:<a@b> AUTH={hex}"),
            format!("MAIL FROM:<a@b> AUTH=\"x{hex}\"@b"),
            format!("MAIL FROM:<a@b> ENVID=x{hex}y"),
            format!("MAIL FROM:<a@b> ENVID={hex}"),
            format!("RCPT TO:<c@d> ORCPT=rfc822;c{hex}@d"),
            format!("RCPT TO:<c@d> ORCPT=rfc822;{hex}"),
            format!("RCPT TO:<c@d> ORCPT=utf-8;c{hex}@d"),
            format!("RCPT TO:<c@d> ORCPT=utf-8;c\\x{{{byte:02X}}}@d"),
        ] {
            let mut peer = Peer::new(open.clone());
            let before = match value.starts_with("RCPT") {
                true => "EHLO a\r\nMAIL FROM:<a@b>\r\n",
                false => "EHLO a\r\n",
            };
            peer.give(format!("{before}{value}\r\nNOOP\r\n").as_bytes(), 1000);
            let lines = peer.lines();
            let [.., refused, noop] = &lines[..] else {
                panic!("{lines:?}")
            };
            assert!(refused.starts_with("501 5.5.4 "), "{value}: {refused}");
            assert_eq!(noop, "250 2.0.0 OK");
            assert!(peer.app.rcpts.is_empty(), "{value}");
        }
        // As it is, quoted or not; CR and LF only where they are no line's end.
        let raw = char::from(byte);
        for value in [
            format!("MAIL FROM:<\"a{raw}b\"@c>"),
            format!("MAIL FROM:<\"a\\{raw}b\"@c>"),
            format!("MAIL FROM:<a@b{raw}>"),
            format!("MAIL FROM:<a@b> ENVID=a{raw}b"),
            format!("EHLO a{raw}b"),
            format!("VRFY a{raw}b"),
        ] {
            let mut peer = Peer::new(open.clone());
            peer.give(format!("EHLO a\r\n{value}\r\nNOOP\r\n").as_bytes(), 1000);
            let lines = peer.lines();
            assert!(
                lines[lines.len() - 2].starts_with("50"),
                "{value:?}: {lines:?}"
            );
            assert!(peer.app.mails.is_empty(), "{value:?}");
        }
    }
}
