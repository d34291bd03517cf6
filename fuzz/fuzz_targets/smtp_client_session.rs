//! No server breaks a client session, and what the client sends ends a message once only.
//! The first byte chooses switches, the second the size of the pieces.
#![no_main]

use std::time::Instant;

use axigen_proto::sasl::client::Credentials;
use axigen_proto::smtp::address::{ForwardPath, HelloName, ReversePath};
use axigen_proto::smtp::client::{Client, Config, Envelope, Event, Role, StartTls};
use axigen_proto::smtp::command::BodyType;
use axigen_proto::smtp::deliver_by::{ByMode, DeliverBy};
use axigen_proto::smtp::dsn::{EnvelopeId, Notify, OriginalRecipient, Ret};
use axigen_proto::smtp::priority::Priority;
use axigen_proto::{Input, Output, Session, TlsInfo};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

fn config(switches: u8) -> Config {
    let role = if switches & 1 == 0 { Role::Smtp } else { Role::Lmtp };
    let mut config = Config::new(role, HelloName::new("client.test").expect("a name"));
    config.chunking = switches & 2 != 0;
    config.pipelining = switches & 4 == 0;
    if switches & 8 != 0 {
        config.starttls = StartTls::Required;
    }
    if switches & 16 != 0 {
        config.credentials = Some(Credentials::new("user", "password").expect("credentials"));
        config.plaintext_password = true;
    }
    config.limits.reply_line = 256;
    config.limits.reply_lines = 16;
    config
}

fuzz_target!(|data: &[u8]| {
    let [switches, chunk, input @ ..] = data else {
        return;
    };
    let mut client = Client::new(config(*switches), [0; 32]);
    let now = Instant::now();
    let mut pieces = input.chunks(usize::from(*chunk).max(1));
    let mut said = Vec::new();
    // An envelope can be refused without a word to the server, so the output does not bound this.
    let mut envelopes = 0;
    loop {
        match client.poll_output(now) {
            Output::Transmit(bytes) => said.extend_from_slice(&bytes),
            Output::Event(Event::Ready(_) | Event::Refused { .. } | Event::Sent { .. }) => {
                let to = vec![ForwardPath::Postmaster, ForwardPath::Mailbox("\"a b\"@c.test".parse().expect("a mailbox"))];
                let mut envelope = Envelope::new(ReversePath::Null, to);
                if switches & 128 != 0 {
                    envelope.ret = Some(Ret::Headers);
                    envelope.envid = EnvelopeId::new("a =b").ok();
                    envelope.by = DeliverBy::new(60, ByMode::Notify, true).ok();
                    envelope.priority = Priority::new(-3).ok();
                    envelope.solicit = "net.example:ADV".parse().ok();
                    for rcpt in &mut envelope.recipients {
                        rcpt.notify = Some(Notify::NEVER);
                        rcpt.orcpt = OriginalRecipient::new("utf-8", "jörg@b.test").ok();
                    }
                }
                envelope.body = (switches & 32 != 0).then_some(BodyType::EightBitMime);
                if switches & 64 == 0 && envelopes < 20 {
                    envelopes += 1;
                    client.send(envelope).expect("ready");
                } else {
                    client.quit().expect("ready");
                }
            }
            Output::Event(Event::WantBody) => {
                for piece in [&b"x\n.\r"[..], b"\n..\r", b".y\n.", b"\n\0.\r\n"] {
                    client.body(Bytes::from_static(piece)).expect("wanted");
                }
                client.finish().expect("wanted");
            }
            Output::Event(_) => {}
            Output::Upgrade(_) => client.handle_input(now, Input::Upgraded(TlsInfo::default())),
            Output::Wait(_) => match pieces.next() {
                Some(piece) => client.handle_input(now, Input::Bytes(BytesMut::from(piece))),
                None => client.handle_input(now, Input::Eof),
            },
            Output::Close(_) => break,
        }
    }
    // Whatever the server says, only CRLF ends a line.
    for (n, byte) in said.iter().enumerate() {
        match byte {
            b'\n' => assert!(n > 0 && said[n - 1] == b'\r'),
            0 => panic!("a NUL went out"),
            b'\r' => assert_eq!(said.get(n + 1), Some(&b'\n')),
            _ => {}
        }
    }
});
