//! A DNS server that lies: answers that are cut, endless, of somebody else, or hold
//! what is no name. Nobody is sent mail by them, nothing grows, nothing panics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axigen_core::dns::system::Options;
use axigen_core::dns::{Resolver, SystemResolver};
use axigen_core::settings::{DnsSettings, Settings};
use axigen_core::store::Store;
use tokio::net::UdpSocket;

use crate::world::{Sender, noon, until};

/// Makes an answer out of a question: the whole datagram of each.
type Lie = fn(&[u8]) -> Vec<u8>;

const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;

/// A server on a port of its own, which runs as long as the test.
async fn liar(lie: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = vec![0; 4096];
        loop {
            let Ok((n, from)) = socket.recv_from(&mut question).await else {
                return;
            };
            let _ = socket.send_to(&lie(&question[..n]), from).await;
        }
    });
    address
}

fn options(server: SocketAddr) -> Options {
    Options {
        servers: vec![server],
        validate: false,
        timeout: Duration::from_millis(300),
        attempts: 1,
        ..Options::default()
    }
}

/// The type that is asked for, and where the question ends.
fn asked(question: &[u8]) -> (u16, usize) {
    let mut at = 12;
    while question[at] != 0 {
        at += 1 + usize::from(question[at]);
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    (kind, at + 5)
}

/// Header and question as they came, with these counts, and something behind.
fn answer(question: &[u8], answers: u16, rest: &[u8]) -> Vec<u8> {
    let (_, end) = asked(question);
    let mut out = question[..2].to_vec();
    out.extend([0x81, 0x80, 0, 1]);
    out.extend(answers.to_be_bytes());
    out.extend([0; 4]);
    out.extend(&question[12..end]);
    out.extend(rest);
    out
}

/// A record of the name that was asked about.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0, 12];
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 60]);
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

/// A name of one label of these bytes, which may be any.
fn mx_of(label: &[u8]) -> Vec<u8> {
    let mut data = vec![0, 10, u8::try_from(label.len()).unwrap()];
    data.extend(label);
    data.push(0);
    record(MX, &data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_none_are_no_answers() {
    let lies: [(&str, Lie); 13] = [
        ("nothing", |_| Vec::new()),
        ("one byte", |_| vec![0]),
        ("noise", |question| {
            let noise = (0..500u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]);
            [&question[..2], &noise.collect::<Vec<u8>>()].concat()
        }),
        ("the question itself", <[u8]>::to_vec),
        ("another identifier", |question| {
            let mut out = answer(question, 1, &mx_of(b"evil"));
            out[1] ^= 1;
            out
        }),
        ("another question", |question| {
            let mut out = answer(question, 1, &mx_of(b"evil"));
            out[13] ^= 1;
            out
        }),
        ("65,535 records that are not there", |question| {
            answer(question, u16::MAX, &[])
        }),
        ("a record that is cut", |question| {
            let whole = mx_of(b"evil");
            answer(question, 1, &whole[..whole.len() - 3])
        }),
        ("data longer than the datagram", |question| {
            let mut one = record(MX, &[0, 10, 1, b'a', 0]);
            one[10..12].copy_from_slice(&[0xff, 0xff]);
            answer(question, 1, &one)
        }),
        ("a name that points at itself", |question| {
            let at = u16::try_from(asked(question).1 + 14).unwrap();
            let data = [&[0, 10][..], &(0xc000 | at).to_be_bytes()].concat();
            answer(question, 1, &record(MX, &data))
        }),
        ("two names that point at each other", |question| {
            let at = u16::try_from(asked(question).1 + 14).unwrap();
            let there = (0xc000 | (at + 2)).to_be_bytes();
            let back = (0xc000 | at).to_be_bytes();
            let data = [&[0, 10][..], &there, &back].concat();
            answer(question, 1, &record(MX, &data))
        }),
        ("an alias of itself", |question| {
            answer(question, 1, &record(CNAME, &[0xc0, 12]))
        }),
        ("a label of a kind there is not", |question| {
            answer(question, 1, &record(MX, &[0, 10, 0x80, 1, 0]))
        }),
    ];
    let tries = lies.map(|(what, lie)| async move {
        let resolver = SystemResolver::new(&options(liar(lie).await)).unwrap();
        let began = Instant::now();
        let mx = resolver.mx("evil.test").await;
        let records = mx.map(|found| found.records).unwrap_or_default();
        assert!(records.is_empty(), "{what}: {records:?}");
        let texts = resolver.texts("evil.test").await;
        let texts = texts.map(|found| found.records).unwrap_or_default();
        assert!(texts.is_empty(), "{what}: {texts:?}");
        let addresses = resolver.addresses("evil.test").await;
        let addresses = addresses.map(|found| found.records).unwrap_or_default();
        assert!(addresses.is_empty(), "{what}: {addresses:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
    });
    let mut running = tokio::task::JoinSet::new();
    for one in tries {
        running.spawn(one);
    }
    running.join_all().await;
}

/// A text may hold any bytes, and many; it stays what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_bytes() {
    let text = b"\r\n.\r\n\0\xff".repeat(20);
    let sent = Arc::new(text.clone());
    let server = liar(move |question| {
        let data = [&[u8::try_from(sent.len()).unwrap()][..], &sent].concat();
        match asked(question).0 {
            TXT => answer(question, 1, &record(TXT, &data)),
            _ => answer(question, 0, &[]),
        }
    })
    .await;
    let resolver = SystemResolver::new(&options(server)).unwrap();
    let found = resolver.texts("evil.test").await.unwrap();
    assert_eq!(found.records, [text]);
}

/// Hosts whose names are commands, paths, lines or other hosts' addresses in disguise:
/// nobody is asked for them, no line of theirs is in what the sender is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_no_names_get_no_mail() {
    let server = liar(|question| match asked(question).0 {
        MX => {
            let labels: [&[u8]; 7] = [
                b"a\r\nRCPT TO:<victim@x>",
                b"evil\0",
                b"../../etc",
                b"a.b c",
                b"127.0.0.1",
                b"\xff\xfe",
                b"%s%n",
            ];
            let records: Vec<Vec<u8>> = labels.iter().map(|label| mx_of(label)).collect();
            answer(question, 7, &records.concat())
        }
        _ => answer(question, 0, &[]),
    })
    .await;
    let resolver = SystemResolver::new(&options(server)).unwrap();
    for mx in resolver.mx("evil.test").await.unwrap().records {
        assert!(
            !mx.host.bytes().any(|byte| byte.is_ascii_control()),
            "{mx:?}"
        );
        assert!(resolver.addresses(&mx.host).await.is_err(), "{mx:?}");
    }
    let sender = tried_once(server).await;
    let said = sender.waits().await;
    assert!(!said.contains(['\r', '\n']), "{said:?}");
    sender.engine.shutdown().await.unwrap();
}

/// More hosts than anybody needs: ten are looked up, each in both families.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_forty_hosts_a_few_are_tried() {
    let questions = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = questions.clone();
    let server = liar(move |question| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match asked(question).0 {
            MX => {
                let records: Vec<Vec<u8>> =
                    (0..40).map(|n| mx_of(format!("h{n}").as_bytes())).collect();
                answer(question, 40, &records.concat())
            }
            _ => answer(question, 0, &[]),
        }
    })
    .await;
    let sender = tried_once(server).await;
    let asked = questions.load(std::sync::atomic::Ordering::Relaxed);
    assert!(
        (20..=50).contains(&asked),
        "{asked} questions for one message"
    );
    sender.engine.shutdown().await.unwrap();
}

/// A host that asks this server, and has tried once to send to `evil.test`.
async fn tried_once(server: SocketAddr) -> Sender {
    let mut settings = Settings {
        hostname: "mail.here.test".into(),
        dns: DnsSettings {
            servers: vec![server],
            validate: false,
            ..DnsSettings::default()
        },
        ..Settings::default()
    };
    settings.smtp_out.enable = true;
    let clock = noon();
    let store = Store::memory().await.unwrap();
    let sender = Sender::start(store, settings, &clock, |builder| builder).await;
    sender.send("bob@evil.test").await;
    until(async || sender.attempts().await == 1).await;
    sender
}
