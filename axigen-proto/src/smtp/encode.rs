//! Commands and replies as bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, BytesMut};
use zeroize::Zeroizing;

use super::command::{Command, Mail, Rcpt, Submitter};
use super::dsn::OriginalRecipient;
use super::future_release::Hold;
use super::reply::{EnhancedCode, Reply};

/// Longest text of one reply line, so that with code, enhanced code and CRLF
/// it stays within 512 bytes (RFC 5321 §4.5.3.1.5).
const MAX_REPLY_TEXT: usize = 480;

/// Writes a command with its CRLF. Whatever a value holds, exactly one line is
/// written: control characters become `?`.
pub fn command(command: &Command, out: &mut BytesMut) {
    let start = out.len();
    match command {
        Command::Hello(hello) => {
            out.put_slice(hello.verb.as_str().as_bytes());
            put_text(out, " ", hello.name.as_str());
        }
        Command::Mail(mail) => put_mail(mail, out),
        Command::Rcpt(rcpt) => put_rcpt(rcpt, out),
        Command::Data => out.put_slice(b"DATA"),
        Command::Bdat { size, last } => {
            let last = if *last { " LAST" } else { "" };
            out.put_slice(format!("BDAT {size}{last}").as_bytes());
        }
        Command::Rset => out.put_slice(b"RSET"),
        Command::Noop => out.put_slice(b"NOOP"),
        Command::Vrfy(text) => put_text(out, "VRFY ", text),
        Command::Expn(text) => put_text(out, "EXPN ", text),
        Command::Etrn(node) => put_text(out, "ETRN ", &node.to_string()),
        Command::Help => out.put_slice(b"HELP"),
        Command::Quit => out.put_slice(b"QUIT"),
        Command::StartTls => out.put_slice(b"STARTTLS"),
        Command::Auth { mechanism, initial } => {
            put_text(out, "AUTH ", mechanism);
            match initial {
                None => {}
                // RFC 4954 §4: an empty initial response is written as "=".
                Some(response) if response.0.is_empty() => out.put_slice(b" ="),
                Some(response) => {
                    out.put_u8(b' ');
                    put_base64(&response.0, out);
                }
            }
        }
    }
    for byte in &mut out[start..] {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
    out.put_slice(b"\r\n");
}

/// Writes a line of an AUTH exchange with its CRLF.
pub fn base64_line(message: &[u8], out: &mut BytesMut) {
    put_base64(message, out);
    out.put_slice(b"\r\n");
}

/// Writes a reply with its CRLF, over several lines where the text has them or
/// is too long for one.
///
/// With `enhanced`, every line of a reply of class 2, 4 or 5 gets the enhanced
/// status code (RFC 2034 §4). Control characters and non-ASCII become `?`, so
/// no text can end the reply early.
pub fn reply(reply: &Reply, enhanced: bool, out: &mut BytesMut) {
    let code = reply.code.clamp(200, 599);
    let class = u8::try_from(code / 100).unwrap_or(5);
    let prefix = (enhanced && class != 3).then(|| {
        reply
            .enhanced
            .filter(|enhanced| enhanced.class == class)
            .unwrap_or(EnhancedCode::from((class, 0, 0)))
    });
    let text: String = reply
        .text
        .trim_end()
        .chars()
        .filter(|&c| c != '\r')
        .map(|c| match c {
            '\n' => '\n',
            c if c == ' ' || c.is_ascii_graphic() => c,
            _ => '?',
        })
        .collect();
    let mut lines: Vec<&str> = text.split('\n').flat_map(pieces).collect();
    if text.is_empty() && prefix.is_some() {
        // A code without text confuses clients that look for one.
        lines = vec![if class == 2 { "OK" } else { "refused" }];
    }
    for (n, line) in lines.iter().enumerate() {
        let separator = if n + 1 == lines.len() { ' ' } else { '-' };
        out.put_slice(format!("{code}{separator}").as_bytes());
        if let Some(prefix) = prefix {
            out.put_slice(format!("{prefix} ").as_bytes());
        }
        out.put_slice(line.as_bytes());
        out.put_slice(b"\r\n");
    }
}

/// `text` is ASCII, so it can be cut anywhere.
fn pieces(line: &str) -> Vec<&str> {
    if line.len() <= MAX_REPLY_TEXT {
        return vec![line];
    }
    line.as_bytes()
        .chunks(MAX_REPLY_TEXT)
        .filter_map(|piece| std::str::from_utf8(piece).ok())
        .collect()
}

fn put_mail(mail: &Mail, out: &mut BytesMut) {
    put_text(out, "MAIL FROM:", &mail.from.to_string());
    if let Some(size) = mail.size {
        out.put_slice(format!(" SIZE={size}").as_bytes());
    }
    if let Some(body) = mail.body {
        put_text(out, " BODY=", body.as_str());
    }
    if mail.smtputf8 {
        out.put_slice(b" SMTPUTF8");
    }
    match &mail.auth {
        None => {}
        Some(Submitter::Unknown) => out.put_slice(b" AUTH=<>"),
        Some(Submitter::Mailbox(mailbox)) => {
            put_text(out, " AUTH=", &xtext(&mailbox.to_string()));
        }
    }
    if let Some(ret) = mail.ret {
        put_text(out, " RET=", ret.as_str());
    }
    if let Some(envid) = &mail.envid {
        put_text(out, " ENVID=", &xtext(envid.as_str()));
    }
    if let Some(by) = mail.by {
        put_text(out, " BY=", &by.to_string());
    }
    if let Some(solicit) = &mail.solicit {
        put_text(out, " SOLICIT=", &solicit.to_string());
    }
    if mail.require_tls {
        out.put_slice(b" REQUIRETLS");
    }
    if let Some(priority) = mail.priority {
        put_text(out, " MT-PRIORITY=", &priority.to_string());
    }
    match mail.hold {
        None => {}
        Some(Hold::For(interval)) => put_text(out, " HOLDFOR=", &interval.to_string()),
        Some(Hold::Until(moment)) => put_text(out, " HOLDUNTIL=", &moment.to_string()),
    }
}

fn put_rcpt(rcpt: &Rcpt, out: &mut BytesMut) {
    put_text(out, "RCPT TO:", &rcpt.to.to_string());
    if let Some(notify) = rcpt.notify {
        put_text(out, " NOTIFY=", &notify.to_string());
    }
    if let Some(orcpt) = &rcpt.orcpt {
        // With a path beyond ASCII the command is one of SMTPUTF8 in any case.
        let utf8 = !rcpt.to.is_ascii();
        put_text(out, " ORCPT=", &original_recipient(orcpt, utf8));
    }
}

/// The value of `ORCPT=`, with UTF-8 as it is where SMTPUTF8 is in use.
pub(super) fn original_recipient(orcpt: &OriginalRecipient, utf8: bool) -> String {
    let address = if orcpt.is_utf8() {
        unitext(orcpt.address(), utf8)
    } else {
        xtext(orcpt.address())
    };
    format!("{};{address}", orcpt.kind())
}

/// `utf-8-addr-unitext` with `utf8`, `utf-8-addr-xtext` without (RFC 6533 §3):
/// what may not stand there by itself is written as `\x{HEX}`.
fn unitext(text: &str, utf8: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=');
        if plain || (utf8 && !c.is_ascii()) {
            out.push(c);
        } else {
            out.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
        }
    }
    out
}

fn put_text(out: &mut BytesMut, prefix: &str, text: &str) {
    out.put_slice(prefix.as_bytes());
    out.put_slice(text.as_bytes());
}

fn put_base64(message: &[u8], out: &mut BytesMut) {
    out.put_slice(Zeroizing::new(BASE64.encode(message)).as_bytes());
}

/// RFC 3461 §4: whatever is no printable character, and `+` and `=`, in hex.
pub(super) fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("+{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::super::address::{Domain, DomainName, ForwardPath, HelloName, Mailbox, ReversePath};
    use super::super::command::{BodyType, Hello, HelloVerb, InitialResponse, Rcpt};
    use super::super::deliver_by::{ByMode, DeliverBy, MAX_SECONDS};
    use super::super::dsn::{EnvelopeId, Notify, OriginalRecipient, Ret};
    use super::super::future_release::{Interval, Moment};
    use super::super::priority::Priority;
    use super::super::{parse, standard};
    use super::*;

    fn written(value: &Reply, enhanced: bool) -> String {
        let mut out = BytesMut::new();
        reply(value, enhanced, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn replies_on_the_wire() {
        assert_eq!(written(&Reply::ok(), true), "250 2.0.0 OK\r\n");
        assert_eq!(written(&Reply::ok(), false), "250 OK\r\n");
        assert_eq!(
            written(&standard::START_DATA.into(), true),
            "354 end the message with <CRLF>.<CRLF>\r\n"
        );
        assert_eq!(
            written(&Reply::plain(550, "one\ntwo"), true),
            "550-5.0.0 one\r\n550 5.0.0 two\r\n"
        );
        // An enhanced code of another class than the code would be a lie.
        assert_eq!(
            written(&Reply::new(450, (5, 1, 1), "x"), true),
            "450 4.0.0 x\r\n"
        );
        assert_eq!(written(&Reply::plain(250, ""), true), "250 2.0.0 OK\r\n");
        assert_eq!(written(&Reply::plain(250, ""), false), "250 \r\n");
    }

    #[test]
    fn no_text_can_end_a_reply_early() {
        let text = "a\r\n250 2.0.0 forged\rb\0c\u{85}\u{2028}é\n";
        assert_eq!(
            written(&Reply::plain(550, text), true),
            "550-5.0.0 a\r\n550 5.0.0 250 2.0.0 forgedb?c???\r\n"
        );
        let long = written(&Reply::plain(550, "x".repeat(2000)), true);
        assert!(long.split("\r\n").all(|line| line.len() <= 510));
        assert_eq!(long.matches('x').count(), 2000);
    }

    fn mailbox() -> impl Strategy<Value = Mailbox> {
        let domain = prop_oneof![
            "[a-zA-Z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-zA-Z0-9éß]{1,9}){0,3}"
                .prop_map(|name| Domain::Name(DomainName::new(name).unwrap())),
            any::<std::net::IpAddr>().prop_map(Domain::Address),
        ];
        ("[ -~éñ中]{0,20}", domain).prop_map(|(local, domain)| Mailbox::new(local, domain).unwrap())
    }

    fn commands() -> impl Strategy<Value = Command> {
        let mail = (
            prop_oneof![
                Just(ReversePath::Null),
                mailbox().prop_map(ReversePath::Mailbox)
            ],
            any::<Option<u64>>(),
            prop_oneof![
                Just(None),
                Just(Some(BodyType::SevenBit)),
                Just(Some(BodyType::EightBitMime)),
                Just(Some(BodyType::BinaryMime)),
            ],
            any::<bool>(),
            prop_oneof![
                Just(None),
                Just(Some(Submitter::Unknown)),
                mailbox().prop_map(|m| Some(Submitter::Mailbox(m))),
            ],
        )
            .prop_map(|(from, size, body, smtputf8, auth)| {
                let mut mail = Mail::new(from);
                mail.size = size;
                mail.body = body;
                mail.smtputf8 = smtputf8;
                mail.auth = auth;
                mail
            });
        let dsn = (
            prop_oneof![Just(None), Just(Some(Ret::Full)), Just(Some(Ret::Headers))],
            proptest::option::of("[ -~]{1,33}".prop_map(|id| EnvelopeId::new(id).unwrap())),
        );
        let by = prop_oneof![
            (1..=MAX_SECONDS, Just(ByMode::Return), any::<bool>()),
            (
                -MAX_SECONDS..=MAX_SECONDS,
                Just(ByMode::Notify),
                any::<bool>()
            ),
        ]
        .prop_map(|(seconds, mode, trace)| DeliverBy::new(seconds, mode, trace).unwrap());
        let hold = prop_oneof![
            (1u32..=999_999_999).prop_map(|n| Hold::For(Interval::new(n).unwrap())),
            (-62_167_219_200i64..=253_402_300_799)
                .prop_map(|n| Hold::Until(Moment::from_unix(n).unwrap())),
        ];
        let mail = (
            mail,
            dsn,
            proptest::option::of(by),
            proptest::option::of(hold),
            proptest::option::of((-9i8..=9).prop_map(|n| Priority::new(n).unwrap())),
        )
            .prop_map(|(mut mail, (ret, envid), by, hold, priority)| {
                mail.ret = ret;
                mail.envid = envid;
                mail.by = by;
                mail.hold = hold;
                mail.priority = priority;
                mail.solicit =
                    priority.map(|p| format!("net.example:A,b{}", p.get()).parse().unwrap());
                mail.require_tls = priority.is_some_and(|p| p.get() % 2 == 0);
                Command::Mail(mail)
            });
        let to = prop_oneof![
            Just(ForwardPath::Postmaster),
            mailbox().prop_map(ForwardPath::Mailbox)
        ];
        let notify =
            (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(success, failure, delay)| {
                Notify {
                    success,
                    failure,
                    delay,
                }
            });
        let orcpt = prop_oneof![
            ("(rfc822|RFC822|x400|a+b{1,3})", "[ -~]{0,60}"),
            (
                "(utf-8|UTF-8)",
                mailbox().prop_map(|mailbox| mailbox.to_string())
            ),
        ]
        .prop_map(|(kind, address)| OriginalRecipient::new(kind, address).unwrap());
        let rcpt = (
            to,
            proptest::option::of(notify),
            proptest::option::of(orcpt),
        )
            .prop_map(|(to, notify, orcpt)| {
                let mut rcpt = Rcpt::new(to);
                rcpt.notify = notify;
                rcpt.orcpt = orcpt;
                Command::Rcpt(rcpt)
            });
        let hello = (
            prop_oneof![
                Just(HelloVerb::Ehlo),
                Just(HelloVerb::Helo),
                Just(HelloVerb::Lhlo)
            ],
            "[!-~]{1,40}",
        )
            .prop_map(|(verb, name)| {
                let name = HelloName::new(name).unwrap();
                Command::Hello(Hello { verb, name })
            });
        let auth =
            ("[A-Z0-9_-]{1,20}", any::<Option<Vec<u8>>>()).prop_map(|(mechanism, initial)| {
                Command::Auth {
                    mechanism,
                    initial: initial.map(|i| InitialResponse(Zeroizing::new(i))),
                }
            });
        prop_oneof![
            mail,
            rcpt,
            hello,
            auth,
            Just(Command::Data),
            Just(Command::Rset),
            Just(Command::Noop),
            Just(Command::Help),
            Just(Command::Quit),
            Just(Command::StartTls),
            (any::<u64>(), any::<bool>()).prop_map(|(size, last)| Command::Bdat { size, last }),
            "[!-~é]([ -~]{0,20}[!-~])?".prop_map(Command::Vrfy),
            "(@?[a-z]{1,5}(\\.[a-z0-9]{1,5}){0,2}|#[!-~]{1,9})"
                .prop_map(|node| Command::Etrn(node.parse().unwrap())),
            "[!-~é]([ -~]{0,20}[!-~])?".prop_map(Command::Expn),
        ]
    }

    proptest! {
        #[test]
        fn commands_come_back(value in commands()) {
            let mut out = BytesMut::new();
            command(&value, &mut out);
            let line = out.strip_suffix(b"\r\n").unwrap();
            prop_assert_eq!(parse::command(line).unwrap(), value);
        }

        #[test]
        fn a_command_is_always_one_line(text in any::<String>()) {
            let mut out = BytesMut::new();
            command(&Command::Vrfy(text), &mut out);
            let line = out.strip_suffix(b"\r\n").unwrap();
            prop_assert!(!line.iter().any(|b| b.is_ascii_control()));
        }

        #[test]
        fn replies_come_back(code in 200u16..600, text in any::<String>(), enhanced in any::<bool>()) {
            let mut out = BytesMut::new();
            reply(&Reply::plain(code, text), enhanced, &mut out);
            let lines: Vec<&str> = std::str::from_utf8(&out).unwrap()
                .strip_suffix("\r\n").unwrap().split("\r\n").collect();
            for (n, line) in lines.iter().enumerate() {
                let parsed = parse::reply_line(line).unwrap();
                prop_assert_eq!(parsed.code, code);
                prop_assert_eq!(parsed.last, n + 1 == lines.len());
                prop_assert!(line.len() <= 510);
                if enhanced && code / 100 != 3 {
                    prop_assert!(parse::enhanced_code(parsed.text).is_some());
                }
            }
        }

        #[test]
        fn no_bytes_break_the_parsers(line in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = parse::command(&line);
            let _ = parse::command(text.as_bytes());
            let _ = parse::command(format!("MAIL FROM:<{text}>").as_bytes());
            let _ = parse::reply_line(&text);
            let _ = parse::enhanced_code(&text);
            let _ = text.parse::<Mailbox>();
        }
    }
}
