//! A client says and tells the same however a server's input is cut, never panics, and holds no
//! more than its limits.
#![no_main]

use std::time::Instant;

use axigen_proto::imap::client::{Client, Config, Event, StartTls};
use axigen_proto::imap::command::{Append, Command};
use axigen_proto::sasl::Mechanism;
use axigen_proto::sasl::client::Credentials;
use axigen_proto::{Close, Input, Output, Session, TlsInfo, Upgrade};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

fn config(switches: u8) -> Config {
    let mut config = Config {
        starttls: match switches & 3 {
            0 => StartTls::Required,
            1 => StartTls::IfOffered,
            _ => StartTls::Never,
        },
        credentials: (switches & 4 != 0).then(|| Credentials::new("ann", "s\u{e4}").expect("fine")),
        plaintext_password: switches & 8 != 0,
        compress: switches & 16 != 0,
        ..Config::default()
    };
    if switches & 32 != 0 {
        // SCRAM costs thousands of rounds for each input.
        config.mechanisms = vec![Mechanism::Plain, Mechanism::Login];
    }
    config.limits.response = 300;
    config.limits.literal = 50;
    config.limits.items = 20;
    config.limits.numbers = 20;
    config.limits.nesting = 5;
    config
}

/// What was sent, what was told, and how it ended.
type Outcome = (Vec<u8>, Vec<String>, Option<Close>);

fn run(switches: u8, input: &[u8], chunk: usize) -> Outcome {
    let now = Instant::now();
    let mut client = Client::new(config(switches), [1; 32]);
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    let mut pieces = input.chunks(chunk);
    let mut body = Vec::new();
    let mut ended = 0;
    loop {
        match client.poll_output(now) {
            Output::Transmit(bytes) => sent.extend_from_slice(&bytes),
            Output::Event(Event::BodyPart(bytes)) => body.extend_from_slice(&bytes),
            Output::Event(event) => {
                match &event {
                    Event::Ready(_) => {
                        let append = Append {
                            mailbox: "\u{e4}".into(),
                            flags: Vec::new(),
                            date: None,
                            replaces: None,
                            pieces: Vec::new(),
                        };
                        client.send(&Command::Enable(vec!["IMAP4REV2".into()])).expect("ready");
                        client.append(&append, 7, false).expect("ready");
                        client.send(&Command::GetQuota { root: "\r\n".into() }).expect("ready");
                        client.idle().expect("ready");
                    }
                    Event::WantBody { left, .. } => {
                        let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(3);
                        client.body(Bytes::from(vec![b'x'; piece])).expect("wanted");
                    }
                    Event::Idling { .. } => client.done().expect("idle"),
                    Event::Done { .. } => {
                        ended += 1;
                        if ended == 4 {
                            client.logout().expect("ready");
                        }
                    }
                    _ => {}
                }
                told.push(format!("{event:?} {body:?}"));
                body.clear();
            }
            Output::Upgrade(Upgrade::Tls) => {
                client.handle_input(now, Input::Upgraded(TlsInfo::default()));
            }
            Output::Upgrade(Upgrade::Deflate) => {}
            Output::Wait(_) => match pieces.next() {
                Some(piece) => client.handle_input(now, Input::Bytes(BytesMut::from(piece))),
                None => client.handle_input(now, Input::Eof),
            },
            Output::Close(close) => return (sent, told, Some(close)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [switches, input @ ..] = data else {
        return;
    };
    // Inside the answers to STARTTLS and COMPRESS the cut decides what came before the change.
    let greetings: [&[u8]; 2] = [b"", b"* PREAUTH [CAPABILITY LITERAL+] x\r\n"];
    for greeting in greetings {
        let switches = if greeting.is_empty() { *switches } else { *switches | 2 };
        let input = [greeting, input].concat();
        let whole = run(switches, &input, input.len().max(1));
        let one = run(switches, &input, 1);
        let upgrades = switches & 3 < 2 || switches & 16 != 0;
        if !upgrades {
            assert_eq!(whole, one);
            assert_eq!(whole, run(switches, &input, 7));
        }
    }
});
