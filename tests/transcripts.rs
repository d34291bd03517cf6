//! The dialogues in `transcripts/` against the server in this process: over a
//! pipe that carries a few bytes at a time, over TCP and over TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axigen_core::engine::Engine;
use axigen_core::login::{TokenChecker, TokenError};
use axigen_core::net::conn::{HANDSHAKE_TIMEOUT, WRITE_TIMEOUT};
use axigen_core::net::{Stream, tls};
use axigen_core::service::imap::Imap;
use axigen_core::service::pop3::Pop3;
use axigen_core::service::smtp_in::SmtpIn;
use axigen_core::service::{Context, Peer, Service};
use axigen_core::settings::{self, ListenerSettings, Settings, TlsMode};
use axigen_store::Store;
use axigen_tests::any_certificate::any_certificate;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Bytes that the pipe holds, in both directions: one, so that nothing comes whole; two,
/// which a CRLF or a character of two bytes fits into or not; some; everything at once.
/// (The sessions by themselves are given their dialogues at every size there is, in the
/// tests of `axigen-proto`; here the driver and the services are.)
const CHUNKS: [usize; 4] = [1, 2, 7, 1024 * 1024];
/// Longest time in which not a single byte moves, in either direction.
const PATIENCE: Duration = Duration::from_secs(60);
/// Transcripts that are replayed at the same time: each has a server of its own, and
/// all of them at once would only wait for one another.
const AT_ONCE: usize = 8;

/// How the bytes travel.
#[derive(Debug, Clone, Copy)]
enum Way {
    Pipe(usize),
    Tcp,
    Tls,
}

/// One dialogue.
#[derive(Debug)]
struct Transcript {
    service: String,
    name: String,
    /// What is set for the server, as in its file.
    settings: Settings,
    steps: Vec<Line>,
}

/// What a line of the file asks for.
#[derive(Debug, Clone)]
struct Line {
    /// Where it stands in the file.
    number: usize,
    /// Which client it is about; there is more than one where changes are told to others.
    client: usize,
    step: Step,
}

#[derive(Debug, Clone)]
enum Step {
    /// The client sends this, all of it in one go.
    Send(Vec<Sent>),
    /// The server sends a line that matches.
    Line(Pattern),
    /// The server sends lines that match, until one fits the next step.
    Lines(Pattern),
    /// The server closes the connection.
    Close,
}

/// A line of the client.
#[derive(Debug, Clone)]
struct Sent {
    text: String,
    ends: bool,
}

/// What the names in a transcript stand for, as soon as the server has said it.
type Names = BTreeMap<String, String>;

/// A line of the server.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, String> {
        // Whatever is wrong is told when the file is read.
        unescape(&filled(text, &Names::new())?.replace(['…', '‹', '›'], ""))?;
        Ok(Pattern {
            text: text.to_owned(),
        })
    }

    /// Whether the line fits; if so, names that were not known yet are known then.
    fn matches(&self, line: &[u8], names: &mut Names) -> bool {
        let Ok(text) = filled(&self.text, names) else {
            return false;
        };
        // Literal text and what stands between: anything, or a name.
        let mut literals = vec![String::new()];
        let mut between: Vec<Option<String>> = Vec::new();
        let mut name: Option<String> = None;
        for c in text.chars() {
            match (c, &mut name) {
                ('›', Some(read)) => {
                    between.push(Some(std::mem::take(read)));
                    literals.push(String::new());
                    name = None;
                }
                (c, Some(read)) => read.push(c),
                ('‹', None) => name = Some(String::new()),
                ('…', None) => {
                    between.push(None);
                    literals.push(String::new());
                }
                (c, None) => literals.last_mut().unwrap().push(c),
            }
        }
        let literals: Vec<Vec<u8>> = literals.iter().map(|l| unescape(l).unwrap()).collect();
        let Some(mut rest) = line.strip_prefix(literals[0].as_slice()) else {
            return false;
        };
        let mut learned = Vec::new();
        for (at, name) in between.iter().enumerate() {
            let literal = &literals[at + 1];
            let found = if at + 1 == between.len() {
                rest.ends_with(literal).then(|| rest.len() - literal.len())
            } else {
                find(rest, literal)
            };
            let Some(found) = found else { return false };
            if let Some(name) = name {
                let value = String::from_utf8_lossy(&rest[..found]).into_owned();
                if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return false;
                }
                learned.push((name.clone(), value));
            }
            rest = &rest[found + literal.len()..];
        }
        names.extend(learned);
        rest.is_empty()
    }
}

/// The text with the names replaced that are known.
fn filled(text: &str, names: &Names) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('‹') {
        let after = &rest[at + '‹'.len_utf8()..];
        let end = after.find('›').ok_or("‹ without ›")?;
        out.push_str(&rest[..at]);
        match names.get(&after[..end]) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[at..at + '‹'.len_utf8() + end + '›'.len_utf8()]),
        }
        rest = &after[end + '›'.len_utf8()..];
    }
    out.push_str(rest);
    Ok(out)
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    text.windows(piece.len()).position(|w| w == piece)
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let mut after = rest[at + 1..].chars();
        bytes.push(match after.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('0') => 0,
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = after.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).map_err(|e| format!("\\x{digits}: {e}"))?
            }
            other => return Err(format!("there is no escape \\{}", other.unwrap_or(' '))),
        });
        rest = after.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

impl Transcript {
    fn read(path: &Path) -> Transcript {
        let part = |p: Option<&Path>| {
            p.and_then(Path::file_name)
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        let service = part(path.parent());
        let name = format!("{service}/{}", part(Some(path)));
        let text = std::fs::read_to_string(path).unwrap();
        let steps = parse(&text).unwrap_or_else(|why| panic!("{name}:{why}"));
        let set = text.lines().filter_map(|line| line.strip_prefix("set "));
        let set = set.collect::<Vec<_>>().join("\n");
        let settings = settings::parse(&set).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        Transcript {
            service,
            name,
            settings,
            steps,
        }
    }
}

fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut steps: Vec<Line> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |why: String| format!("{number}: {why}");
        if line.is_empty() || line.starts_with('#') || line.starts_with("set ") {
            continue;
        }
        // `C`, `S` or `close`, then which client it is, if not the first.
        let digit = line.find(|c: char| c.is_ascii_digit());
        let (head, client, rest) = match (line.strip_prefix("close"), digit) {
            (Some(""), _) => ("close", 1, ""),
            (Some(n), _) => ("close", n.trim().parse().map_err(|_| wrong(n.into()))?, ""),
            (None, Some(1)) => (
                &line[..1],
                usize::from(line.as_bytes()[1] - b'0'),
                &line[2..],
            ),
            (None, _) => (line.get(..1).unwrap_or(""), 1, line.get(1..).unwrap_or("")),
        };
        let mut rest = rest.chars();
        let kind = rest.next().unwrap_or(' ');
        let rest = rest.as_str();
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let step = match (head, kind) {
            ("close", _) => Step::Close,
            ("C", ':' | '+') => {
                unescape(&filled(rest, &Names::new()).map_err(wrong)?).map_err(wrong)?;
                let sent = Sent {
                    text: rest.to_owned(),
                    ends: kind == ':',
                };
                if let Some(Line {
                    client: before,
                    step: Step::Send(all),
                    ..
                }) = steps.last_mut()
                    && *before == client
                {
                    all.push(sent);
                    continue;
                }
                Step::Send(vec![sent])
            }
            ("S", ':') => Step::Line(Pattern::new(rest).map_err(wrong)?),
            ("S", '*') => Step::Lines(Pattern::new(rest).map_err(wrong)?),
            _ => return Err(wrong(format!("not a line of a transcript: {line}"))),
        };
        // Where the lines end is known by the one that comes next.
        if let Some(Line {
            client: before,
            step: Step::Lines(_),
            ..
        }) = steps.last()
            && (*before != client || !matches!(step, Step::Line(_)))
        {
            return Err(wrong("after S* an S: is needed".into()));
        }
        steps.push(Line {
            number,
            client,
            step,
        });
    }
    match steps.last() {
        None => Err("1: there is nothing in it".into()),
        Some(Line {
            number,
            step: Step::Lines(_),
            ..
        }) => Err(format!("{number}: after S* an S: is needed")),
        Some(_) => Ok(steps),
    }
}

/// All transcripts there are.
fn all() -> Vec<Arc<Transcript>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = |dir: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
    };
    let found: Vec<_> = entries(&root)
        .iter()
        .filter(|path| path.is_dir())
        .flat_map(|dir| entries(dir))
        .map(|path| Arc::new(Transcript::read(&path)))
        .collect();
    for service in ["smtp", "submission", "lmtp", "imap", "pop3"] {
        assert!(
            found.iter().any(|t| t.service == service),
            "no transcript of {service} was found"
        );
    }
    found
}

/// Knows the token of the examples of RFC 7628, which is alice's.
#[derive(Debug)]
struct Tokens;

#[async_trait]
impl TokenChecker for Tokens {
    async fn check(&self, token: &str, _: Option<&str>) -> Result<String, TokenError> {
        match token {
            "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" => Ok("alice@example.test".into()),
            _ => Err(TokenError::Invalid),
        }
    }

    fn scope(&self) -> Option<String> {
        Some("example_scope".into())
    }
}

/// A fresh server with the accounts of the transcripts.
async fn server(settings: Settings) -> Engine {
    static TLS: OnceLock<Arc<rustls::ServerConfig>> = OnceLock::new();
    let tls = TLS.get_or_init(|| tls::self_signed(&["localhost".into()]).unwrap());
    let engine = Engine::builder(Store::memory().await.unwrap())
        .settings(settings)
        .tls(tls.clone())
        .tokens(Tokens)
        .build()
        .unwrap();
    let directory = engine.directory();
    directory.add_domain("example.test").await.unwrap();
    let addresses = ["alice@example.test".to_owned(), "bob@example.test".into()];
    directory.add_accounts("demo", &addresses).await.unwrap();
    engine
}

fn service(folder: &str, context: Context) -> Arc<dyn Service> {
    match folder {
        "smtp" => Arc::new(SmtpIn::mx(context)),
        "submission" => Arc::new(SmtpIn::submission(context)),
        "lmtp" => Arc::new(SmtpIn::lmtp(context)),
        "imap" => Arc::new(Imap::new(context)),
        "pop3" => Arc::new(Pop3::new(context)),
        _ => panic!("there is no service {folder}"),
    }
}

/// One client's connection.
struct Client {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// Always read, so that a server with much to say never waits for us.
    said: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Counts what was read and written, and so tells slow from stuck.
    moved: Arc<AtomicU64>,
    reading: JoinHandle<()>,
    /// The service's task, if it is not the engine's.
    serving: Option<JoinHandle<()>>,
}

impl Client {
    fn new<S>(stream: S, serving: Option<JoinHandle<()>>) -> Client
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        let (lines, said) = mpsc::unbounded_channel();
        let moved = Arc::new(AtomicU64::new(0));
        let counted = moved.clone();
        let reading = tokio::spawn(async move {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            // Whatever comes counts, also of a line that has no end yet.
            while let Ok(bytes) = reader.fill_buf().await {
                if bytes.is_empty() {
                    break;
                }
                let end = bytes.iter().position(|&byte| byte == b'\n');
                let taken = end.map_or(bytes.len(), |end| end + 1);
                line.extend_from_slice(&bytes[..taken]);
                reader.consume(taken);
                counted.fetch_add(1, Ordering::Relaxed);
                if end.is_some() && lines.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
            if !line.is_empty() {
                let _ = lines.send(line);
            }
        });
        Client {
            writer: Box::new(writer),
            said,
            moved,
            reading,
            serving,
        }
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, Stuck> {
        patiently(&self.moved, self.said.recv()).await
    }

    /// Sends bytes, however slowly they are taken.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<std::io::Result<()>, Stuck> {
        while !bytes.is_empty() {
            match patiently(&self.moved, self.writer.write(bytes)).await? {
                Ok(0) => return Ok(Err(std::io::ErrorKind::WriteZero.into())),
                Ok(n) => bytes = &bytes[n..],
                Err(error) => return Ok(Err(error)),
            }
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        patiently(&self.moved, self.writer.flush()).await
    }

    /// Hangs up; the service has to end then.
    async fn end(self) -> Result<(), String> {
        drop(self.writer);
        self.reading.abort();
        let _ = self.reading.await;
        match self.serving {
            None => Ok(()),
            Some(serving) => match timeout(PATIENCE, serving).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(format!("the service panicked: {error}")),
                Err(_) => Err("the service did not end with its connection".into()),
            },
        }
    }
}

/// Nothing has moved for [`PATIENCE`].
#[derive(Debug)]
struct Stuck;

/// Waits for something as long as anything moves on the connection.
async fn patiently<T>(moved: &AtomicU64, what: impl Future<Output = T>) -> Result<T, Stuck> {
    let mut what = std::pin::pin!(what);
    loop {
        let before = moved.load(Ordering::Relaxed);
        match timeout(PATIENCE, &mut what).await {
            Ok(done) => return Ok(done),
            Err(_) if moved.load(Ordering::Relaxed) == before => return Err(Stuck),
            Err(_) => {}
        }
    }
}

/// A fresh server of one transcript, and the way to it.
struct Server {
    engine: Engine,
    service: String,
    way: Way,
    /// Where it listens, once a client has come over the network.
    listening: Option<SocketAddr>,
}

impl Server {
    async fn connect(&mut self) -> Client {
        let (engine, way) = (&self.engine, self.way);
        if let Way::Pipe(size) = way {
            let (ours, theirs) = tokio::io::duplex(size);
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut listener = ListenerSettings::new(address, TlsMode::Starttls);
            listener.plaintext_login = true;
            let (stop, stopped) = watch::channel(false);
            let peer = Peer {
                tls: engine.tls(),
                addr: address,
                local: address,
                listener: Arc::new(listener),
                handshake_timeout: HANDSHAKE_TIMEOUT,
                write_timeout: WRITE_TIMEOUT,
                bans: None,
                stop: stopped,
            };
            let service = service(&self.service, engine.context().clone());
            let serving = tokio::spawn(async move {
                service.serve(Stream::new(theirs), peer).await;
                drop(stop);
            });
            return Client::new(ours, Some(serving));
        }
        let address = *self.listening.get_or_insert_with(|| {
            let name = match self.service.as_str() {
                "smtp" => "smtp_in",
                name => name,
            };
            let mode = match way {
                Way::Tls => TlsMode::Implicit,
                _ => TlsMode::Starttls,
            };
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            engine.serve(name, socket, mode).unwrap()
        });
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        if let Way::Tls = way {
            let connector = tokio_rustls::TlsConnector::from(Arc::new(any_certificate()));
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            return Client::new(connector.connect(name, tcp).await.unwrap(), None);
        }
        Client::new(tcp, None)
    }
}

/// Runs a transcript against a fresh server.
async fn replay(transcript: &Transcript, way: Way) -> Result<(), String> {
    let mut server = Server {
        engine: server(transcript.settings.clone()).await,
        service: transcript.service.clone(),
        way,
        listening: None,
    };
    let mut clients = BTreeMap::new();
    let mut result = steps(transcript, &mut server, &mut clients).await;
    for client in clients.into_values() {
        let ended = client.end().await;
        result = result.and(ended);
    }
    server.engine.shutdown().await.unwrap();
    result.map_err(|why| format!("{}:{why} [{way:?}]", transcript.name))
}

/// The clients' side of a transcript. What is wrong begins with a line number.
async fn steps(
    transcript: &Transcript,
    server: &mut Server,
    clients: &mut BTreeMap<usize, Client>,
) -> Result<(), String> {
    let mut names = Names::new();
    let mut many: Option<&Pattern> = None;
    for Line {
        number,
        client,
        step,
    } in &transcript.steps
    {
        if !clients.contains_key(client) {
            clients.insert(*client, server.connect().await);
        }
        let client = clients.get_mut(client).unwrap();
        match step {
            Step::Send(lines) => {
                let mut bytes = Vec::new();
                for line in lines {
                    let text = filled(&line.text, &names)?;
                    if text.contains('‹') {
                        return Err(format!("{number}: a name is not known yet in {text:?}"));
                    }
                    bytes.extend(unescape(&text)?);
                    if line.ends {
                        bytes.extend_from_slice(b"\r\n");
                    }
                }
                match client.send(&bytes).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(format!("{number}: cannot send: {error}")),
                    Err(Stuck) => return Err(format!("{number}: the server does not read")),
                }
            }
            Step::Lines(pattern) => many = Some(pattern),
            Step::Line(pattern) => {
                loop {
                    let got = next(client).await;
                    let got = got
                        .map_err(|why| format!("{number}: wanted {:?}, but {why}", pattern.text))?;
                    let line = got
                        .strip_suffix(b"\r\n")
                        .ok_or_else(|| format!("{number}: no CRLF ends {:?}", show(&got)))?;
                    if pattern.matches(line, &mut names) {
                        break;
                    }
                    if !many.is_some_and(|many| many.matches(line, &mut names)) {
                        return Err(format!(
                            "{number}: wanted {:?}, got {:?}",
                            pattern.text,
                            show(line)
                        ));
                    }
                }
                many = None;
            }
            Step::Close => match client.line().await {
                Ok(None) => {}
                Ok(Some(line)) => {
                    return Err(format!("{number}: wanted close, got {:?}", show(&line)));
                }
                Err(Stuck) => return Err(format!("{number}: the server does not close")),
            },
        }
    }
    Ok(())
}

async fn next(client: &mut Client) -> Result<Vec<u8>, &'static str> {
    match client.line().await {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("the server closed"),
        Err(Stuck) => Err("the server says nothing"),
    }
}

fn show(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Replays every transcript in each of the ways and tells all that went wrong.
async fn replay_all(ways: &[Way]) {
    let mut running = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for transcript in all() {
        let (ways, places) = (ways.to_vec(), places.clone());
        running.spawn(async move {
            let _place = places.acquire().await;
            for way in ways {
                // One failure a transcript is enough to read.
                replay(&transcript, way).await?;
            }
            Ok::<_, String>(())
        });
    }
    let mut wrong: Vec<String> = running
        .join_all()
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chunks_of_several_sizes() {
    replay_all(&CHUNKS.map(Way::Pipe)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    replay_all(&[Way::Tcp]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls() {
    replay_all(&[Way::Tls]).await;
}

/// The runner itself sees what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_that_is_wrong_fails() {
    for (text, why) in [
        (
            "S: 220 …\nC: NOOP\nS: 999 …\n",
            "3: wanted \"999 …\", got \"250",
        ),
        ("S: 220 …\nC: QUIT\nclose\n", "3: wanted close, got \"221"),
        (
            "S: 220 …\nC: QUIT\nS: 221 …\nS: more\n",
            "4: wanted \"more\", but the server closed",
        ),
        (
            "S: 220 …\nC: EHLO x\nS* 251-…\nS: 250 …\n",
            "4: wanted \"250 …\", got \"250-",
        ),
        (
            "S: 220 …\nS2: 220 …\nC2: NOOP\nC: QUIT\nS2: 250 …\nS: 250 …\n",
            "6: wanted \"250 …\", got \"221",
        ),
        (
            "S: 220 ‹host› …\nC: NOOP\nS: ‹code› …\nC: VRFY ‹other›\n",
            "4: a name is not known yet",
        ),
        ("S: 220‹dash›…\n", "1: wanted \"220‹dash›…\", got \"220 "),
    ] {
        let transcript = Transcript {
            service: "smtp".into(),
            name: "wrong".into(),
            settings: Settings::default(),
            steps: parse(text).unwrap(),
        };
        let said = replay(&transcript, Way::Tcp).await.unwrap_err();
        assert!(said.starts_with(&format!("wrong:{why}")), "{said}");
    }
    for text in [
        "S* 250\nC: x\n",
        "S* 250\n",
        "S* 250\nS2: 250\n",
        "X: y\n",
        "",
        "C: \\q\n",
        "S: ‹x\n",
    ] {
        parse(text).unwrap_err();
    }
}
