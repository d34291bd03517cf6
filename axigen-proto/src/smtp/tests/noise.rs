//! Whatever comes in: no panic, no growth, and the same answer however it is cut.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::peer::{Peer, bare};
use crate::sasl::Mechanism;
use crate::session::{Input, Output, Session, TlsInfo};
use crate::smtp::address::{ForwardPath, HelloName, ReversePath};
use crate::smtp::client::{self, Client, Envelope};
use crate::smtp::future_release::{FutureRelease, Interval};
use crate::smtp::server::{Config, Lookups, Role, StartTls};

/// Pieces of which sessions are made, whole and broken.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&'static [u8]> = vec![
        b"EHLO a.test\r\n",
        b"HELO a\r\n",
        b"LHLO a\r\n",
        b"MAIL FROM:<a@b.test>\r\n",
        b"MAIL FROM:<a@b.test> BODY=BINARYMIME SIZE=10\r\n",
        b"MAIL FROM:<nodata@x.test>\r\n",
        b"RCPT TO:<c@d.test>\r\n",
        b"RCPT TO:<nobody@d.test>\r\n",
        b"RCPT TO:<full@d.test>\r\n",
        b"DATA\r\n",
        b"Subject: x\r\n\r\nbody\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"..x\r\n",
        b"\n.\n",
        b"BDAT 5\r\nhello",
        b"BDAT 5 LAST\r\nhe\r\no",
        b"BDAT 0 LAST\r\n",
        b"BDAT 100\r\n",
        b"BDAT x\r\n",
        b"MAIL FROM:<a@b.test> RET=FULL ENVID=a+20b BY=-5;NT REQUIRETLS\r\n",
        b"MAIL FROM:<a@b.test> HOLDFOR=60 BY=60;R MT-PRIORITY=-3 SOLICIT=a:b\r\n",
        b"RCPT TO:<c@d.test> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\\x{F6}@d\r\n",
        b"VRFY joe\r\n",
        b"EXPN list\r\n",
        b"ETRN @d.test\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"AUTH PLAIN AGFsaWNlAGRlbW8=\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH SCRAM-SHA-256\r\n",
        b"biwsbj1hbGljZSxyPWFiY2RlZg==\r\n",
        b"YWxpY2U=\r\n",
        b"*\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(Just(b'x'), 0..400),
    ]
}

fn config(role: usize) -> Config {
    let role = [Role::Mx, Role::Submission, Role::Lmtp][role];
    let mut config = bare(role);
    config.auth_plaintext = Mechanism::ALL.to_vec();
    config.auth_required = false;
    config.limits.command_line = 128;
    config.limits.auth_line = 128;
    config.limits.message_size = 200;
    config.limits.recipients = 3;
    config.limits.transactions = 9;
    config.limits.recipient_domains = 1;
    config.vrfy = Lookups::Ask;
    config.expn = Lookups::Ask;
    let on = &mut config.extensions;
    on.dsn = true;
    on.deliver_by = Some(5);
    on.mt_priority = Some(None);
    on.requiretls = true;
    on.limits = true;
    on.etrn = true;
    on.future_release = Some(FutureRelease {
        interval: Interval::MAX,
        until: "2030-01-01T00:00:00Z".parse().unwrap(),
    });
    config
}

proptest! {
    #[test]
    fn chunking_changes_nothing(pieces in vec(piece(), 0..25), role in 0usize..3, chunk in 1usize..50) {
        let input = pieces.concat();
        let mut whole = Peer::new(config(role));
        whole.give(&input, input.len());
        let mut cut = Peer::new(config(role));
        cut.give(&input, chunk);
        prop_assert_eq!(String::from_utf8_lossy(&cut.said), String::from_utf8_lossy(&whole.said));
        prop_assert_eq!(&cut.app.messages, &whole.app.messages);
        prop_assert_eq!(cut.app.resets, whole.app.resets);
        prop_assert_eq!(cut.close, whole.close);
        prop_assert!(cut.most_held <= 129, "{} bytes held", cut.most_held);
    }

    #[test]
    fn no_bytes_break_a_server(pieces in vec(prop_oneof![Just(b"STARTTLS\r\n".to_vec()), piece()], 0..25), chunk in 1usize..50) {
        let mut config = config(0);
        config.starttls = StartTls::Offered;
        let mut peer = Peer::new(config);
        peer.give(&pieces.concat(), chunk);
        peer.eof();
        prop_assert!(peer.close.is_some());
        prop_assert!(peer.most_held <= 129);
        // Replies are lines, whatever was asked.
        for line in peer.lines() {
            prop_assert!(line == "<TLS>" || crate::smtp::parse::reply_line(&line).is_some(), "{}", line);
        }
    }

    #[test]
    fn no_bytes_break_a_client(
        replies in vec(prop_oneof![
            8 => proptest::sample::select(vec![
                "220 x\r\n", "250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN SCRAM-SHA-256\r\n",
                "250-x\r\n250-DSN\r\n250-DELIVERBY 9\r\n250-LIMITS RCPTMAX=2 MAILMAX=3\r\n250 NO-SOLICITING a\r\n",
                "250 OK\r\n", "250 2.0.0 OK\r\n", "354 go\r\n", "334 \r\n", "334 cj14LHM9eCxpPTQwOTY=\r\n", "235 ok\r\n",
                "550 5.1.1 no\r\n", "421 bye\r\n", "503 no\r\n", "250-a\r\n", "250", "\r\n", "221 bye\r\n", "500 what\r\n",
            ]).prop_map(|text| text.as_bytes().to_vec()),
            1 => vec(any::<u8>(), 0..40),
        ], 0..30),
        chunk in 1usize..50,
        lmtp in any::<bool>(),
        chunking in any::<bool>(),
        tls in 0usize..3,
        login in any::<bool>(),
    ) {
        let role = if lmtp { client::Role::Lmtp } else { client::Role::Smtp };
        let mut config = client::Config::new(role, HelloName::new("c.test").unwrap());
        config.chunking = chunking;
        config.starttls = [client::StartTls::Never, client::StartTls::IfOffered, client::StartTls::Required][tls];
        config.plaintext_password = true;
        if login {
            config.credentials = Some(crate::sasl::client::Credentials::new("u", "p").unwrap());
        }
        let limit = config.limits.reply_line * config.limits.reply_lines;
        let mut client = Client::new(config, [1; 32]);
        let now = Instant::now();
        let input = replies.concat();
        let mut pieces = input.chunks(chunk);
        let mut closed = false;
        for _ in 0..100_000 {
            match client.poll_output(now) {
                Output::Transmit(_) => {}
                Output::Event(client::Event::Ready(_) | client::Event::Refused { .. } | client::Event::Sent { .. }) => {
                    let to = vec![ForwardPath::Postmaster, ForwardPath::Mailbox("a@b".parse().unwrap())];
                    client.send(Envelope::new(ReversePath::Null, to)).unwrap();
                }
                Output::Event(client::Event::WantBody) => {
                    client.body(Bytes::from_static(b"x\n.\ny")).unwrap();
                    client.finish().unwrap();
                }
                Output::Event(_) => {}
                Output::Upgrade(_) => client.handle_input(now, Input::Upgraded(TlsInfo::default())),
                Output::Wait(_) => {
                    prop_assert!(client.held() <= limit);
                    match pieces.next() {
                        Some(piece) => client.handle_input(now, Input::Bytes(BytesMut::from(piece))),
                        None => client.handle_input(now, Input::Eof),
                    }
                }
                Output::Close(_) => {
                    closed = true;
                    break;
                }
            }
        }
        prop_assert!(closed);
    }
}
