//! SMTP and IMAP: parsers, and whole sessions without a network, on one core.
//!
//! `cargo bench -p axigen-benches --bench protocol`
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use axigen_proto::imap::command::Command;
use axigen_proto::imap::parse::Grammar;
use axigen_proto::imap::response::{FetchItem, Status};
use axigen_proto::imap::structure::{Address, Envelope};
use axigen_proto::imap::types::{DateTime, Flag};
use axigen_proto::sasl::Answer;
use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::server::Role;
use axigen_proto::{Input, Output, Session, imap, smtp};
use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// What a socket gives at a time.
const PIECE: usize = 16 * 1024;

fn grammar(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("smtp RCPT", |b| {
        b.iter(|| {
            smtp::parse::command(black_box(b"RCPT TO:<alice+lists@mail.example.test>")).unwrap()
        });
    });
    group.bench_function("smtp MAIL with parameters", |b| {
        b.iter(|| {
            smtp::parse::command(black_box(
                b"MAIL FROM:<bob@example.test> SIZE=10240 BODY=8BITMIME SMTPUTF8",
            ))
            .unwrap()
        });
    });
    let grammar = Grammar::default();
    for (name, line) in [
        ("imap NOOP", &b"a1 NOOP"[..]),
        ("imap UID FETCH", b"a2 UID FETCH 1:500,700,900:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[HEADER.FIELDS (References List-Id)])"),
        ("imap SEARCH", b"a3 UID SEARCH RETURN (MIN MAX COUNT) UNSEEN SINCE 1-Feb-2026 OR FROM \"alice\" SUBJECT \"report\" NOT DELETED"),
    ] {
        group.bench_function(name, |b| b.iter(|| imap::parse::command(&grammar, black_box(line)).unwrap()));
    }
    group.finish();
}

/// One SMTP session with `count` messages of `size` bytes as the client sends them.
fn smtp_input(count: usize, size: usize) -> Vec<u8> {
    let mut input = b"EHLO client.test\r\n".to_vec();
    for _ in 0..count {
        input.extend_from_slice(b"MAIL FROM:<a@client.test> SIZE=");
        input.extend_from_slice(size.to_string().as_bytes());
        input
            .extend_from_slice(b"\r\nRCPT TO:<b@example.test>\r\nDATA\r\nSubject: measure\r\n\r\n");
        let end = input.len() + size;
        while input.len() < end {
            input.extend_from_slice(
                b"The quick brown fox jumps over the lazy dog and comes back again.\r\n",
            );
        }
        input.extend_from_slice(b".\r\n");
    }
    input.extend_from_slice(b"QUIT\r\n");
    input
}

/// Everybody is welcome; the bytes of the bodies are counted.
fn smtp_session(input: &[u8]) -> usize {
    let now = Instant::now();
    let config = smtp::server::Config::new(Role::Mx, "mx.example.test");
    let mut server = smtp::server::Server::new(config, [0; 32]);
    let mut pieces = input.chunks(PIECE);
    let mut body = 0;
    loop {
        match server.poll_output(now) {
            Output::Transmit(bytes) => drop(black_box(bytes)),
            Output::Event(smtp::server::Event::Body(bytes)) => body += bytes.len(),
            Output::Event(smtp::server::Event::Reset) => {}
            Output::Event(_) => server.reply(Reply::ok()).unwrap(),
            Output::Wait(_) => match pieces.next() {
                Some(piece) => server.handle_input(now, Input::Bytes(BytesMut::from(piece))),
                None => server.handle_input(now, Input::Eof),
            },
            Output::Upgrade(_) => return body,
            Output::Close(_) => return body,
        }
    }
}

fn smtp_sessions(c: &mut Criterion) {
    const MESSAGES: usize = 100;
    for size in [1024, 10 * 1024, 100 * 1024] {
        let input = smtp_input(MESSAGES, size);
        let mut group = c.benchmark_group(format!("smtp session, {} KB messages", size / 1024));
        group.throughput(Throughput::Elements(MESSAGES as u64));
        group.bench_function("messages", |b| b.iter(|| smtp_session(&input)));
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function("bytes", |b| b.iter(|| smtp_session(&input)));
        group.finish();
    }
}

fn envelope() -> Envelope {
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let address = Address {
        name: text("Alice Example"),
        adl: None,
        mailbox: text("alice"),
        host: text("example.test"),
    };
    Envelope {
        date: text("Mon, 23 Nov 2026 10:00:00 +0000"),
        subject: text("A subject of the usual length, with words"),
        from: vec![address.clone()],
        sender: vec![address.clone()],
        reply_to: vec![address.clone()],
        to: vec![address.clone(), address],
        message_id: text("<20261123100000.1234@example.test>"),
        ..Envelope::default()
    }
}

/// Logs in, then asks `commands` times; every FETCH is answered with `rows` rows.
fn imap_session(
    config: &Arc<imap::server::Config>,
    input: &[u8],
    rows: u32,
    envelope: &Envelope,
) -> usize {
    let now = Instant::now();
    let mut server = imap::server::Server::new(Arc::clone(config), [0; 32]);
    let mut pieces = input.chunks(PIECE);
    let mut out = 0;
    loop {
        match server.poll_output(now) {
            Output::Transmit(bytes) => out += bytes.len(),
            Output::Event(event) => match event {
                imap::server::Event::Connected => server.greet().unwrap(),
                imap::server::Event::Auth(_) => server.answer(Answer::Accept).unwrap(),
                imap::server::Event::Command { tag, command } => {
                    if matches!(command, Command::Fetch { .. }) {
                        for seq in 1..=rows {
                            server.fetch_begin(seq).unwrap();
                            for item in [
                                FetchItem::Uid(seq),
                                FetchItem::Flags(vec![Flag::Seen]),
                                FetchItem::InternalDate(DateTime {
                                    unix: 1_795_000_000,
                                    zone: 60,
                                }),
                                FetchItem::Rfc822Size(12_345),
                                FetchItem::Envelope(envelope.clone()),
                            ] {
                                server.fetch_item(&item).unwrap();
                            }
                            server.fetch_end().unwrap();
                        }
                    }
                    server.finish(&tag, Status::ok("done")).unwrap();
                }
                _ => {}
            },
            Output::Wait(_) => match pieces.next() {
                Some(piece) => server.handle_input(now, Input::Bytes(BytesMut::from(piece))),
                None => server.handle_input(now, Input::Eof),
            },
            Output::Upgrade(_) | Output::Close(_) => return out,
        }
    }
}

fn imap_sessions(c: &mut Criterion) {
    let config = Arc::new(imap::server::Config {
        hostname: "imap.example.test".into(),
        allow_plaintext_login: true,
        ..imap::server::Config::default()
    });
    let envelope = envelope();
    let open = "a LOGIN alice demo\r\nb SELECT INBOX\r\n";
    let commands = 1000;
    let small = format!(
        "{open}{}",
        "c STATUS Archive (MESSAGES UIDNEXT UNSEEN)\r\n".repeat(commands)
    )
    .into_bytes();
    let rows = 1000;
    let large =
        format!("{open}c FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)\r\n").into_bytes();
    let mut group = c.benchmark_group("imap session");
    group.throughput(Throughput::Elements(commands as u64));
    group.bench_function("small commands", |b| {
        b.iter(|| imap_session(&config, &small, 0, &envelope));
    });
    group.throughput(Throughput::Elements(u64::from(rows)));
    group.bench_function("rows of FETCH with ENVELOPE", |b| {
        b.iter_batched(
            || (),
            |()| imap_session(&config, &large, rows, &envelope),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, grammar, smtp_sessions, imap_sessions);
criterion_main!(benches);
