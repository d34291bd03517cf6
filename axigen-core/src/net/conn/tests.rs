#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::fmt::Write as _;

use axigen_proto::Violation;
use axigen_proto::frame::{Framer, Line};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;

const IDLE: Duration = Duration::from_secs(60);

/// A session in which every line is answered by the session itself, but for
/// `ASK`, which waits for the application.
#[derive(Default)]
struct Lines {
    framer: Framer,
    out: VecDeque<Output<&'static str>>,
    asking: bool,
    deadline: Option<Instant>,
    ended: Option<Close>,
    /// Bytes that were unread when TLS began.
    injected: usize,
}

impl Lines {
    fn say(&mut self, text: impl Into<Bytes>) {
        self.out.push_back(Output::Transmit(text.into()));
    }

    fn answer(&mut self, text: &'static str) {
        self.asking = false;
        self.say(text);
        self.work();
    }

    fn end(&mut self, why: Close) {
        self.ended = Some(why);
    }

    fn work(&mut self) {
        while !self.asking && self.ended.is_none() {
            let Some(Line::Complete(line)) = self.framer.line(100) else {
                return;
            };
            match &*line {
                b"QUIT" => {
                    self.say("bye\r\n");
                    self.end(Close::Finish);
                }
                b"BAD" => {
                    self.say("no more of this\r\n");
                    self.end(Close::Violate(Violation::TooManyErrors));
                }
                b"ASK" => {
                    self.asking = true;
                    self.out.push_back(Output::Event("asked"));
                }
                b"STARTTLS" => {
                    self.injected = self.framer.len();
                    self.framer.clear();
                    self.say("go ahead\r\n");
                    self.out.push_back(Output::Upgrade(Upgrade::Tls));
                }
                line => self.say([line, b" is done, says the server\r\n"].concat()),
            }
        }
    }
}

impl Session for Lines {
    type Event = &'static str;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.deadline = Some(now + IDLE);
        match input {
            Input::Bytes(bytes) => {
                self.framer.push(bytes);
                self.work();
            }
            Input::Eof => self.end(Close::PeerGone),
            Input::Timeout => {
                self.say("too slow\r\n");
                self.end(Close::TimedOut);
            }
            Input::Upgraded(info) => self.say(format!("welcome to {}\r\n", info.version)),
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<&'static str> {
        if let Some(out) = self.out.pop_front() {
            return out;
        }
        match self.ended {
            Some(close) => Output::Close(close),
            None => Output::Wait(Wait {
                read: !self.asking,
                deadline: Some(*self.deadline.get_or_insert(now + IDLE)),
            }),
        }
    }
}

fn pair(buffer: usize) -> (DuplexStream, Conn<Lines>) {
    let (client, server) = duplex(buffer);
    (
        client,
        Conn::server(Stream::new(server), Lines::default(), None),
    )
}

/// Answers every question; how it ended.
async fn run(mut conn: Conn<Lines>) -> (Option<Close>, usize) {
    let mut asked = 0;
    while let Some(event) = conn.next().await.unwrap() {
        assert_eq!(event, "asked");
        asked += 1;
        conn.session().answer("answered\r\n");
    }
    (conn.close_reason(), asked)
}

#[tokio::test]
async fn many_commands_before_the_first_reply_is_read() {
    // The client writes everything before it reads anything. The replies are
    // forty times what the pipe holds: a driver that sends them before it reads
    // on would wait for ever.
    let (client, conn) = pair(16 * 1024);
    let server = tokio::spawn(run(conn));
    let mut commands = String::new();
    for n in 0..20_000 {
        write!(commands, "{n}\r\n").unwrap();
    }
    commands.push_str("QUIT\r\n");
    let (mut reader, mut writer) = tokio::io::split(client);
    timeout(IDLE, writer.write_all(commands.as_bytes()))
        .await
        .expect("the server reads while nobody reads its replies")
        .unwrap();
    let mut replies = String::new();
    timeout(IDLE, reader.read_to_string(&mut replies))
        .await
        .unwrap()
        .unwrap();
    let mut lines = replies.lines();
    for n in 0..20_000 {
        assert_eq!(
            lines.next(),
            Some(format!("{n} is done, says the server").as_str())
        );
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["bye"]);
    drop((reader, writer));
    assert_eq!(server.await.unwrap().0, Some(Close::Finish));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_not_read_from_for_ever() {
    let (client, mut conn) = pair(4096);
    let (reader, mut writer) = tokio::io::split(client);
    let flood = tokio::spawn(async move {
        let mut sent = 0usize;
        while writer.write_all(b"0123456789\r\n").await.is_ok() {
            sent += 12;
        }
        sent
    });
    let start = tokio::time::Instant::now();
    while conn.next().await.unwrap().is_some() {}
    assert!(matches!(conn.close_reason(), Some(Close::TimedOut)));
    assert!(start.elapsed() < WRITE_TIMEOUT + CLOSE_TIMEOUT + LINGER_TIMEOUT + IDLE);
    drop((conn, reader));
    // Replies are three times as long as commands.
    assert!(flood.await.unwrap() < UNSENT_HIGH);
}

#[tokio::test]
async fn memory_for_unsent_bytes_is_bounded() {
    let (mut client, mut conn) = pair(1024);
    let flood = tokio::spawn(async move {
        let line = [b'x'; 98];
        while client
            .write_all(&[&line[..], b"\r\n"].concat())
            .await
            .is_ok()
        {}
    });
    let _ = timeout(Duration::from_millis(300), conn.next()).await;
    assert!(conn.unsent_bytes > UNSENT_HIGH / 2, "{}", conn.unsent_bytes);
    assert!(
        conn.unsent_bytes < UNSENT_HIGH + 2 * LARGE_READ,
        "{}",
        conn.unsent_bytes
    );
    drop(conn);
    flood.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_ends_by_the_deadline() {
    let (mut client, conn) = pair(4096);
    let server = tokio::spawn(run(conn));
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "too slow\r\n");
    drop(client);
    assert_eq!(server.await.unwrap().0, Some(Close::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_streams_is_not_held_by_a_peer_that_does_not_read() {
    let (_client, mut conn) = pair(4096);
    conn.session().say(vec![b'x'; UNSENT_LOW * 2]);
    let start = tokio::time::Instant::now();
    let error = conn.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= WRITE_TIMEOUT);
    let mut conn = conn.write_timeout(Duration::from_secs(2));
    let start = tokio::time::Instant::now();
    let error = conn.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_large_answer_is_streamed_in_pieces() {
    let (mut client, mut conn) = pair(4096);
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    for n in 0..100u8 {
        conn.session().say(vec![n; 50_000]);
        conn.flush().await.unwrap();
        assert!(conn.unsent_bytes <= UNSENT_LOW);
    }
    conn.flush_all().await.unwrap();
    assert_eq!(conn.unsent_bytes, 0);
    drop(conn);
    let all = reader.await.unwrap();
    assert_eq!(all.len(), 5_000_000);
    assert!(
        all.iter()
            .enumerate()
            .all(|(at, &n)| at / 50_000 == usize::from(n))
    );
}

#[tokio::test]
async fn nothing_is_lost_when_next_is_cancelled() {
    let (client, mut conn) = pair(64);
    let (mut reader, mut writer) = tokio::io::split(client);
    let writing = tokio::spawn(async move {
        for n in 0..300 {
            let line = if n % 3 == 0 { "ASK\r\n" } else { "work\r\n" };
            writer.write_all(line.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        writer.write_all(b"QUIT\r\n").await.unwrap();
        writer
    });
    let reading = tokio::spawn(async move {
        let mut all = String::new();
        reader.read_to_string(&mut all).await.unwrap();
        all
    });
    let (mut asked, mut cancelled) = (0, 0);
    loop {
        let event = tokio::select! {
            biased;
            event = conn.next() => event.unwrap(),
            () = tokio::task::yield_now() => {
                cancelled += 1;
                continue;
            }
        };
        match event {
            Some(_) => {
                asked += 1;
                conn.session().answer("answered\r\n");
            }
            None => break,
        }
    }
    let said = reading.await.unwrap();
    drop(writing.await.unwrap());
    assert_eq!(asked, 100);
    assert!(cancelled > 0);
    assert_eq!(said.matches("answered").count(), 100);
    assert_eq!(said.matches("work is done").count(), 200);
    assert!(said.ends_with("bye\r\n"));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_told_so() {
    let (mut client, mut conn) = pair(4096);
    client.write_all(b"ASK\r\n").await.unwrap();
    assert_eq!(conn.next().await.unwrap(), Some("asked"));
    assert!(conn.next().await.is_err());
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[tokio::test]
async fn starttls_and_bytes_behind_it() {
    let (server_tls, client_tls) = configs();
    for injected in ["", "INJECTED\r\n"] {
        let (mut client, server) = duplex(4096);
        let mut conn = Conn::server(
            Stream::new(server),
            Lines::default(),
            Some(server_tls.clone()),
        );
        let server = tokio::spawn(async move {
            while conn.next().await.unwrap().is_some() {}
            (conn.session().injected, conn.tls_info().cloned())
        });
        client
            .write_all(format!("one\r\nSTARTTLS\r\n{injected}").as_bytes())
            .await
            .unwrap();
        let mut plain = vec![0; "one is done, says the server\r\ngo ahead\r\n".len()];
        client.read_exact(&mut plain).await.unwrap();
        assert!(plain.ends_with(b"go ahead\r\n"));
        let connector = tokio_rustls::TlsConnector::from(client_tls.clone());
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = connector.connect(name, client).await.unwrap();
        client.write_all(b"two\r\nQUIT\r\n").await.unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert_eq!(
            said,
            "welcome to TLSv1.3\r\ntwo is done, says the server\r\nbye\r\n"
        );
        drop(client);
        let (unread, tls) = server.await.unwrap();
        assert_eq!(unread, injected.len());
        let tls = tls.unwrap();
        assert_eq!(tls.server_name.as_deref(), Some("localhost"));
        assert_eq!(tls.exporter.unwrap().len(), 32);
        assert!(tls.cipher.starts_with("TLS_"), "{}", tls.cipher);
    }
}

#[tokio::test]
async fn both_sides_begin_with_tls() {
    let (server_tls, client_tls) = configs();
    let (client, server) = duplex(4096);
    let server = Conn::server_tls(Stream::new(server), Lines::default(), server_tls);
    let server = tokio::spawn(run(server));
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = Conn::client_tls(Stream::new(client), Lines::default(), client_tls, name);
    // Each takes the other's greeting for a command and answers it for ever;
    // the client leaves after the first.
    let _ = timeout(Duration::from_millis(50), client.next()).await;
    assert_eq!(client.tls_info().unwrap().version, "TLSv1.3");
    client.session().say("QUIT\r\n");
    client.flush_all().await.unwrap();
    drop(client);
    assert!(matches!(
        server.await.unwrap().0,
        Some(Close::Finish | Close::PeerGone)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_comes_ends() {
    let (server_tls, _) = configs();
    let (_client, server) = duplex(4096);
    let mut conn = Conn::server_tls(Stream::new(server), Lines::default(), server_tls);
    let error = conn.next().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn starttls_without_a_certificate_is_an_error() {
    let (mut client, mut conn) = pair(4096);
    client.write_all(b"STARTTLS\r\n").await.unwrap();
    assert!(conn.next().await.is_err());
}

/// Over TCP a close with unread bytes is a reset, which would destroy what the
/// peer has not read yet.
#[tokio::test]
async fn last_words_reach_a_peer_that_is_still_sending() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let server = tokio::spawn(run(Conn::server(tcp.into(), Lines::default(), None)));
    client.write_all(b"BAD\r\n").await.unwrap();
    for _ in 0..100 {
        client.write_all(&[b'x'; 1000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "no more of this\r\n");
    drop(client);
    assert!(matches!(server.await.unwrap().0, Some(Close::Violate(_))));
}

#[tokio::test(start_paused = true)]
async fn an_ended_peer_that_stays_is_left() {
    let (mut client, conn) = pair(4096);
    let server = tokio::spawn(run(conn));
    client.write_all(b"BAD\r\n").await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    let start = tokio::time::Instant::now();
    assert!(matches!(server.await.unwrap().0, Some(Close::Violate(_))));
    assert!(start.elapsed() <= LINGER_TIMEOUT + Duration::from_millis(100));
    drop(client);
}

/// The last words go on for as long as they are read, however slowly.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_last_words() {
    let (mut client, conn) = pair(1);
    let server = tokio::spawn(run(conn));
    client.write_all(b"BAD\r\n").await.unwrap();
    let start = tokio::time::Instant::now();
    let mut said = Vec::new();
    let mut byte = [0; 1];
    loop {
        tokio::time::sleep(CLOSE_TIMEOUT - Duration::from_secs(1)).await;
        match client.read(&mut byte).await.unwrap() {
            0 => break,
            _ => said.extend(byte),
        }
    }
    assert_eq!(said, b"no more of this\r\n");
    assert!(start.elapsed() > 10 * CLOSE_TIMEOUT);
    server.await.unwrap();
}

/// Who stops reading is left soon, and who never comes to the end is left in time.
#[tokio::test(start_paused = true)]
async fn last_words_that_are_not_read_have_an_end() {
    let (mut client, conn) = pair(1);
    let server = tokio::spawn(run(conn));
    let start = tokio::time::Instant::now();
    client.write_all(b"BAD\r\n").await.unwrap();
    server.await.unwrap();
    assert!(start.elapsed() < CLOSE_TIMEOUT + LINGER_TIMEOUT + Duration::from_secs(1));

    let (mut client, theirs) = tokio::io::duplex(1);
    let session = Talkative {
        asked: 100,
        eof: true,
        ..Talkative::default()
    };
    let conn = Conn::server(Stream::new(theirs), session, None);
    let start = tokio::time::Instant::now();
    let server = tokio::spawn(async move {
        let mut conn = conn;
        conn.next().await
    });
    let reader = tokio::spawn(async move {
        let mut byte = [0; 1];
        while matches!(client.read(&mut byte).await, Ok(n) if n > 0) {
            tokio::time::sleep(CLOSE_TIMEOUT / 2).await;
        }
    });
    assert!(matches!(server.await.unwrap(), Ok(None)));
    let took = start.elapsed();
    assert!(
        took > WRITE_TIMEOUT / 2 && took < 2 * WRITE_TIMEOUT,
        "{took:?}"
    );
    reader.abort();
}

/// Answers each byte with a kilobyte.
#[derive(Debug, Default)]
struct Talkative {
    asked: usize,
    said: usize,
    eof: bool,
}

impl Session for Talkative {
    type Event = ();

    fn handle_input(&mut self, _now: Instant, input: Input) {
        match input {
            Input::Bytes(bytes) => self.asked += bytes.len(),
            _ => self.eof = true,
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if self.said < self.asked {
            self.said += 1;
            return Output::Transmit(Bytes::from_static(&[b'x'; 1024]));
        }
        if self.eof {
            return Output::Close(Close::PeerGone);
        }
        Output::Wait(Wait {
            read: true,
            deadline: None,
        })
    }
}

/// A peer that is waited for so long when it reads nothing; and how it ended.
fn stuck(wait: Duration) -> (DuplexStream, tokio::task::JoinHandle<Conn<Talkative>>) {
    let (peer, ours) = tokio::io::duplex(4096);
    let conn = Conn::server(Stream::new(ours), Talkative::default(), None);
    let mut conn = conn.write_timeout(wait);
    let serving = tokio::spawn(async move {
        assert_eq!(conn.next().await.unwrap(), None);
        conn
    });
    (peer, serving)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_and_does_not_read_fills_no_memory() {
    let (mut peer, serving) = stuck(WRITE_TIMEOUT);
    let begun = tokio::time::Instant::now();
    // What fits into the pipe is read, and is more than may be answered.
    let asked = timeout(WRITE_TIMEOUT / 2, peer.write_all(&[b'?'; 20_000])).await;
    assert!(asked.is_err(), "no more is read");
    let conn = serving.await.unwrap();
    // Nobody waits until its last words are read.
    let took = begun.elapsed();
    assert!(took < WRITE_TIMEOUT + Duration::from_secs(1), "{took:?}");
    assert_eq!(conn.close_reason(), Some(Close::TimedOut));
    assert!(conn.session.said < conn.session.asked);
    assert_eq!(conn.unsent_bytes, 0);
}

#[tokio::test]
async fn whatever_a_peer_reads_begins_its_time_anew() {
    let wait = Duration::from_millis(400);
    let (mut peer, serving) = stuck(wait);
    let begun = Instant::now();
    let asked = timeout(wait / 2, peer.write_all(&[b'?'; 20_000])).await;
    assert!(asked.is_err(), "no more is read");
    peer.read_exact(&mut [0; 64]).await.unwrap();
    let conn = serving.await.unwrap();
    assert!(begun.elapsed() >= wait * 3 / 2);
    assert_eq!(conn.close_reason(), Some(Close::TimedOut));
}

#[tokio::test]
async fn a_peer_that_reads_late_gets_everything() {
    let (mut peer, ours) = tokio::io::duplex(4096);
    let mut conn = Conn::server(Stream::new(ours), Talkative::default(), None);
    let serving = tokio::spawn(async move { conn.next().await });
    peer.write_all(&[b'?'; 3000]).await.unwrap();
    let mut answers = vec![0; 3000 * 1024];
    peer.read_exact(&mut answers).await.unwrap();
    drop(peer);
    assert_eq!(serving.await.unwrap().unwrap(), None);
}
