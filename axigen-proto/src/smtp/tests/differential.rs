//! Our parsers against those of `smtp-proto`, an independent implementation.
//!
//! Where the two agree that a line is valid, they must agree on what it says.
//! Where only one takes it, the difference is listed in [`Difference`] with
//! the reason, and anything else fails the test.

use proptest::collection::vec;
use proptest::prelude::*;
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::{Error, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_BODY_BINARYMIME, MAIL_SMTPUTF8};
use smtp_proto::{
    MAIL_BY_NOTIFY, MAIL_BY_RETURN, MAIL_BY_TRACE, MAIL_REQUIRETLS, MAIL_RET_FULL, MAIL_RET_HDRS,
};
use smtp_proto::{RCPT_NOTIFY_DELAY, RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_NEVER, RCPT_NOTIFY_SUCCESS};
use smtp_proto::{Request, Response};

use crate::frame::Framer;
use crate::smtp::address::{ForwardPath, Mailbox, ReversePath};
use crate::smtp::command::{BodyType, Command, HelloVerb};
use crate::smtp::data::{Checks, DotReader, Piece};
use crate::smtp::deliver_by::ByMode;
use crate::smtp::dsn::{Notify, Ret};
use crate::smtp::future_release::Hold;
use crate::smtp::parse::{self, SyntaxError};

/// Why one of the two takes a line that the other refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// They take commands and parameters that we do not know (BURL, MTRK, ...)
    /// and answer 502 or 555 to.
    NotOffered,
    /// They skip any white space between words and around colons; RFC 5321
    /// §4.1.1 has exactly one space, and allows spaces at the end only.
    WhiteSpace,
    /// They take control characters and invalid UTF-8 in free text; RFC 5321
    /// §4.1.2 has printable characters only.
    NotText,
    /// They take domains and local parts that are not of the grammar: without
    /// a check of labels, literals or hyphens (RFC 5321 §4.1.2, §4.1.3).
    LooseAddress,
    /// They take parameters that are given twice, or with a value too long.
    LooseParameter,
    /// They take any mechanism name and any initial response; RFC 4954 §8 has
    /// letters, digits, `-` and `_`, and base64.
    LooseAuth,
    /// They ignore arguments of commands that have none.
    SpareArgument,
    /// We take what they refuse: see [`they_are_stricter`].
    TheyAreStricter,
}

fn theirs(line: &[u8]) -> Result<Request<String>, Error> {
    let line = [line, b"\r\n"].concat();
    Request::parse(&mut line.iter()).map(Request::into_owned)
}

/// A mailbox without quotes, as they keep it.
fn plain(mailbox: &Mailbox) -> String {
    format!("{}@{}", mailbox.local(), mailbox.domain())
}

/// Compares what both take.
fn agree(ours: &Command, theirs: &Request<String>) -> Result<(), ()> {
    let same = match (ours, theirs) {
        (Command::Hello(hello), Request::Ehlo { host }) => {
            hello.verb == HelloVerb::Ehlo && hello.name.as_str() == host
        }
        (Command::Hello(hello), Request::Helo { host }) => {
            hello.verb == HelloVerb::Helo && hello.name.as_str() == host
        }
        (Command::Hello(hello), Request::Lhlo { host }) => {
            hello.verb == HelloVerb::Lhlo && hello.name.as_str() == host
        }
        (Command::Mail(mail), Request::Mail { from }) => {
            let address = match &mail.from {
                ReversePath::Null => String::new(),
                ReversePath::Mailbox(mailbox) => plain(mailbox),
            };
            if address != from.address {
                return Err(());
            }
            let body = match mail.body {
                None => 0,
                Some(BodyType::SevenBit) => MAIL_BODY_7BIT,
                Some(BodyType::EightBitMime) => MAIL_BODY_8BITMIME,
                Some(BodyType::BinaryMime) => MAIL_BODY_BINARYMIME,
            };
            let bodies = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_BODY_BINARYMIME;
            mail.size.unwrap_or(0) == from.size as u64
                && from.flags & bodies == body
                && (from.flags & MAIL_SMTPUTF8 != 0) == mail.smtputf8
                && mail.auth.is_some() == from.auth.is_some()
                && mail.envid.as_ref().map(|id| id.as_str()) == from.env_id.as_deref()
                && mail.priority.map_or(0, |it| i64::from(it.get())) == from.mt_priority
                && (from.flags & MAIL_REQUIRETLS != 0) == mail.require_tls
                && mail.solicit.as_ref().map(ToString::to_string) == from.solicit
                && from.hold_for
                    == match mail.hold {
                        Some(Hold::For(interval)) => u64::from(interval.seconds()),
                        _ => 0,
                    }
                && from.hold_until
                    == match mail.hold {
                        Some(Hold::Until(moment)) => moment.unix() as u64,
                        _ => 0,
                    }
                && mail.by.map_or(0, |by| i64::from(by.seconds())) == from.by
                && (from.flags & MAIL_BY_RETURN != 0)
                    == mail.by.is_some_and(|by| by.mode() == ByMode::Return)
                && (from.flags & MAIL_BY_NOTIFY != 0)
                    == mail.by.is_some_and(|by| by.mode() == ByMode::Notify)
                && (from.flags & MAIL_BY_TRACE != 0) == mail.by.is_some_and(|by| by.trace())
                && (from.flags & MAIL_RET_FULL != 0) == (mail.ret == Some(Ret::Full))
                && (from.flags & MAIL_RET_HDRS != 0) == (mail.ret == Some(Ret::Headers))
        }
        (Command::Rcpt(rcpt), Request::Rcpt { to }) => {
            let address = match &rcpt.to {
                // They have no value of its own for it.
                ForwardPath::Postmaster => String::new(),
                ForwardPath::Mailbox(mailbox) => plain(mailbox),
            };
            if !address.eq_ignore_ascii_case(&to.address) {
                return Err(());
            }
            let notify = match rcpt.notify {
                None => 0,
                Some(Notify::NEVER) => RCPT_NOTIFY_NEVER,
                Some(on) => {
                    let bit = |on: bool, bit: u64| if on { bit } else { 0 };
                    bit(on.success, RCPT_NOTIFY_SUCCESS)
                        | bit(on.failure, RCPT_NOTIFY_FAILURE)
                        | bit(on.delay, RCPT_NOTIFY_DELAY)
                }
            };
            let original = rcpt.orcpt.as_ref().map(|original| original.address());
            to.flags == notify && original == to.orcpt.as_deref()
        }
        (
            Command::Bdat { size, last },
            Request::Bdat {
                chunk_size,
                is_last,
            },
        ) => *size == *chunk_size as u64 && last == is_last,
        (
            Command::Auth { initial, .. },
            Request::Auth {
                initial_response, ..
            },
        ) => initial.is_some() || initial_response.is_empty(),
        // Free text that decides nothing: they take the first word of it.
        (Command::Vrfy(_), Request::Vrfy { .. })
        | (Command::Expn(_), Request::Expn { .. })
        | (Command::Etrn(_), Request::Etrn { .. })
        | (Command::Noop, Request::Noop { .. })
        | (Command::Help, Request::Help { .. })
        | (Command::StartTls, Request::StartTls)
        | (Command::Data, Request::Data)
        | (Command::Rset, Request::Rset)
        | (Command::Quit, Request::Quit) => true,
        _ => false,
    };
    if same { Ok(()) } else { Err(()) }
}

/// Names the difference when they take what we refuse.
fn we_are_stricter(
    line: &[u8],
    error: SyntaxError,
    theirs: &Request<String>,
) -> Option<Difference> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Some(Difference::NotText);
    };
    if text.chars().any(char::is_control) {
        return Some(Difference::NotText);
    }
    let not_offered = matches!(theirs, Request::Atrn { .. } | Request::Burl { .. });
    if not_offered || error.0.code == 555 {
        return Some(Difference::NotOffered);
    }
    if text.starts_with(' ') || text.contains("  ") || text.contains(" :") || text.contains("< ") {
        return Some(Difference::WhiteSpace);
    }
    match (error.0.code, error.0.enhanced, theirs) {
        (501, (5, 1, _), _) => Some(Difference::LooseAddress),
        (501, _, Request::Ehlo { .. } | Request::Helo { .. } | Request::Lhlo { .. }) => {
            Some(Difference::LooseAddress)
        }
        (501, _, Request::Etrn { .. }) => Some(Difference::LooseAddress),
        (501, _, Request::Mail { .. } | Request::Rcpt { .. }) => Some(Difference::LooseParameter),
        (501, _, Request::Auth { .. }) => Some(Difference::LooseAuth),
        (
            501,
            _,
            Request::Data
            | Request::Rset
            | Request::Quit
            | Request::StartTls
            | Request::Bdat { .. },
        ) => Some(Difference::SpareArgument),
        (501, _, Request::Vrfy { value } | Request::Expn { value }) if value.is_empty() => {
            Some(Difference::SpareArgument)
        }
        _ => None,
    }
}

/// Names the difference when they refuse what we take: address literals and
/// the empty quoted string, both of the grammar (RFC 5321 §4.1.2, §4.1.3),
/// original recipients of another type than `rfc822`, and a quote that is not
/// closed in the free text of VRFY and EXPN.
fn they_are_stricter(ours: &Command) -> Option<Difference> {
    let mailbox = match ours {
        Command::Mail(mail) => mail.from.mailbox(),
        Command::Rcpt(rcpt) => rcpt.to.mailbox(),
        Command::Vrfy(text) | Command::Expn(text) => {
            return text.contains('"').then_some(Difference::TheyAreStricter);
        }
        _ => None,
    }?;
    let original = match ours {
        Command::Rcpt(rcpt) => rcpt.orcpt.as_ref(),
        _ => None,
    };
    let odd = mailbox.local().is_empty()
        || mailbox.domain().name().is_none()
        || original.is_some_and(|it| it.kind() != "rfc822" || it.address().is_empty());
    odd.then_some(Difference::TheyAreStricter)
}

fn compare(line: &[u8]) -> Result<Option<Difference>, String> {
    match (parse::command(line), theirs(line)) {
        (Ok(ours), Ok(theirs)) => match agree(&ours, &theirs) {
            Ok(()) => Ok(None),

            Err(()) => Err(format!("{ours:?} is not {theirs:?}")),
        },
        (Err(_), Err(_)) => Ok(None),
        (Err(error), Ok(theirs)) => we_are_stricter(line, error, &theirs)
            .map(Some)
            .ok_or_else(|| format!("we refuse with {error}, they take {theirs:?}")),
        (Ok(ours), Err(error)) => they_are_stricter(&ours)
            .map(Some)
            .ok_or_else(|| format!("we take {ours:?}, they say {error:?}")),
    }
}

/// Lines whose verdict is known, so that the list of differences cannot hide
/// a change.
#[test]
fn known_lines() {
    for (line, want) in [
        ("EHLO mx.test", None),
        ("helo [192.0.2.1]", None),
        ("LHLO x", None),
        ("MAIL FROM:<>", None),
        ("MAIL FROM:<a@b.test>", None),
        (
            "mail from:<a@b.test> size=1000 body=8bitmime smtputf8",
            None,
        ),
        ("MAIL FROM:<a@b.test> BODY=BINARYMIME", None),
        ("RCPT TO:<a@b.test>", None),
        ("RCPT TO:<postmaster>", None),
        ("RCPT TO:<@x.test,@y.test:a@b.test>", None),
        ("RCPT TO:<\"a b\"@b.test>", None),
        ("BDAT 1000", None),
        ("BDAT 1000 LAST", None),
        ("NOOP x", None),
        ("FROB", None),
        ("MAIL FROM:a@b.test", None),
        ("RCPT TO:<a@b", None),
        ("MAIL FROM:<a@b> RET=FULL ENVID=a+20b", None),
        ("RCPT TO:<a@b> NOTIFY=NEVER", None),
        (
            "RCPT TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+3Db@c",
            None,
        ),
        (
            "MAIL FROM:<a@b> RET=HDRS RET=HDRS",
            Some(Difference::LooseParameter),
        ),
        ("MAIL FROM:<a@b> MTRK=abc", Some(Difference::NotOffered)),
        (
            "RCPT TO:<a@b> ORCPT=x400;x",
            Some(Difference::TheyAreStricter),
        ),
        ("ETRN x", None),
        ("ATRN x", Some(Difference::NotOffered)),
        ("MAIL FROM:<a@-b->", Some(Difference::LooseAddress)),
        ("DATA x", Some(Difference::SpareArgument)),
        ("AUTH FROBNICATE", None),
        ("RCPT TO:<a@[192.0.2.1]>", Some(Difference::TheyAreStricter)),
        ("RCPT TO:<\"\"@b.test>", Some(Difference::TheyAreStricter)),
        ("MAIL  FROM:<a@b.test>", Some(Difference::WhiteSpace)),
        (
            "MAIL FROM:<> SMTPUTF8 SMTPUTF8",
            Some(Difference::LooseParameter),
        ),
        ("VRFY \"", Some(Difference::TheyAreStricter)),
        ("NOOP \0", Some(Difference::NotText)),
    ] {
        assert_eq!(compare(line.as_bytes()), Ok(want), "{line}");
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let address = prop_oneof![
        "[a-z.+\"@-]{0,12}",
        "[a-z]{1,5}@[a-z0-9.-]{1,12}",
        "\"[ -~]{0,6}\"@[a-z]{1,3}\\.test",
        "@[a-z]{1,3},@[a-z]{1,3}:[a-z]{1,3}@[a-z]{1,3}",
        "[a-zéß]{1,5}@[a-zéß]{1,5}",
        Just("a@[192.0.2.1]".to_owned()),
        Just("a@[IPv6:2001:db8::1]".to_owned()),
    ];
    let parameters = prop_oneof![
        Just(String::new()),
        " SIZE=[0-9]{1,6}",
        " BODY=(7BIT|8BITMIME|BINARYMIME|9BIT)",
        " SMTPUTF8",
        " AUTH=(<>|[a-z]{1,3}@[a-z]{1,3})",
        " RET=(FULL|HDRS|hdrs|X)",
        " ENVID=[a-z+20-9]{1,6}",
        " HOLDFOR=[0-9]{1,6}",
        " HOLDUNTIL=20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|[+-]0[0-9]:[0-5]0)",
        " MT-PRIORITY=[+-]?[0-9]{1,2}",
        " REQUIRETLS",
        " SOLICIT=[a-z:,]{1,5}",
        " BY=[+-]?[0-9]{1,4};(N|R|T|NT|RT|nt)",
        " NOTIFY=(NEVER|SUCCESS|FAILURE|DELAY|delay,SUCCESS|NEVER,DELAY|X)",
        " ORCPT=(rfc822|utf-8|x400);[a-z@+20]{1,8}",
        " [A-Z0-9=]{1,8}",
    ];
    let mail = (
        "(MAIL FROM|RCPT TO|mail from|Rcpt To)",
        address,
        vec(parameters, 0..3),
    )
        .prop_map(|(verb, address, parameters)| {
            format!("{verb}:<{address}>{}", parameters.concat())
        });
    prop_oneof![
        8 => mail.prop_map(String::into_bytes),
        2 => "(EHLO|HELO|LHLO|NOOP|VRFY|EXPN|ETRN|HELP|AUTH|BDAT|DATA|RSET|QUIT|STARTTLS)( [!-~]{1,10}){0,2}".prop_map(String::into_bytes),
        1 => "[ -~]{0,30}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..30).prop_filter("one line", |l| !l.contains(&b'\n') && !l.contains(&b'\r')),
    ]
}

fn their_message(input: &[u8]) -> Option<Vec<u8>> {
    let mut receiver = DataReceiver::new();
    let mut out = Vec::new();
    receiver.ingest(&mut input.iter(), &mut out).then_some(out)
}

fn our_message(input: &[u8]) -> Option<Vec<u8>> {
    let mut framer = Framer::new();
    framer.push(input.into());
    let mut reader = DotReader::new(Checks {
        bare_line_ends: false,
        nul: false,
    });
    let mut out = Vec::new();
    loop {
        match reader.next(&mut framer)? {
            Piece::Body(bytes) => out.extend_from_slice(&bytes),
            Piece::End => return Some(out),
        }
    }
}

proptest! {
    #[test]
    fn commands(line in line()) {
        if let Err(difference) = compare(&line) {
            prop_assert!(false, "{:?}: {}", String::from_utf8_lossy(&line), difference);
        }
    }

    /// Well-formed messages, dot-stuffed: both take the dots off alike, but for the first line,
    /// where their reader leaves it (RFC 5321 §4.5.2 speaks of every line).
    #[test]
    fn messages(lines in vec("[.a]{0,4}", 0..8)) {
        let mut input = "x\r\n".to_owned();
        let mut want = input.clone();
        for line in &lines {
            let dot = if line.starts_with('.') { "." } else { "" };
            input.push_str(&format!("{dot}{line}\r\n"));
            want.push_str(&format!("{line}\r\n"));
        }
        input.push_str(".\r\n");
        prop_assert_eq!(our_message(input.as_bytes()), Some(want.clone().into_bytes()));
        prop_assert_eq!(their_message(input.as_bytes()), Some(want.into_bytes()));
    }

    /// Replies that our server writes are read by their client as we meant them.
    #[test]
    fn replies(class in proptest::sample::select(vec![2u8, 4, 5]), low in 0u16..100, text in "[!-~][ -~]{0,40}") {
        use crate::smtp::{encode, reply::Reply};
        let code = u16::from(class) * 100 + low;
        let mut wire = bytes::BytesMut::new();
        encode::reply(&Reply::new(code, (class, 1, 2), text.trim().to_owned()), true, &mut wire);
        let mut receiver = smtp_proto::response::parser::ResponseReceiver::default();
        let read: Response<String> = receiver.parse(&mut wire.iter()).unwrap();
        prop_assert_eq!(read.code, code);
        prop_assert_eq!(read.esc, [class, 1, 2]);
        prop_assert_eq!(read.message.trim(), text.trim());
    }
}
