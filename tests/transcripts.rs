//! The dialogues in `transcripts/` against the server in this process: over a
//! pipe that carries a few bytes at a time, over TCP and over TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axigen_core::engine::Engine;
use axigen_core::net::{Stream, tls};
use axigen_core::service::imap::Imap;
use axigen_core::service::pop3::Pop3;
use axigen_core::service::smtp_in::SmtpIn;
use axigen_core::service::{Context, Peer, Service};
use axigen_core::settings::{ListenerSettings, TlsMode};
use axigen_store::Store;
use axigen_tests::any_certificate::any_certificate;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes that the pipe holds, in both directions; the last is everything at once.
const CHUNKS: [usize; 8] = [1, 2, 3, 5, 7, 11, 13, 1024 * 1024];
/// Longest wait for a line of the server.
const PATIENCE: Duration = Duration::from_secs(30);

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
    steps: Vec<(usize, Step)>,
}

#[derive(Debug, Clone)]
enum Step {
    /// The client sends this, all of it in one go.
    Send(Vec<u8>),
    /// The server sends a line that matches.
    Line(Pattern),
    /// The server sends lines that match, until one fits the next step.
    Lines(Pattern),
    /// The server closes the connection.
    Close,
}

/// A line of the server; between the pieces stands anything.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    pieces: Vec<Vec<u8>>,
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, String> {
        Ok(Pattern {
            text: text.to_owned(),
            pieces: text.split('…').map(unescape).collect::<Result<_, _>>()?,
        })
    }

    fn matches(&self, line: &[u8]) -> bool {
        let Some((first, others)) = self.pieces.split_first() else {
            return false;
        };
        let Some(mut rest) = line.strip_prefix(first.as_slice()) else {
            return false;
        };
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty();
        };
        for piece in middle {
            let Some(at) = find(rest, piece) else {
                return false;
            };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }
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
        Transcript {
            service,
            name,
            steps,
        }
    }
}

fn parse(text: &str) -> Result<Vec<(usize, Step)>, String> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |why: String| format!("{number}: {why}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (kind, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let step = match kind {
            _ if line == "close" => Step::Close,
            "C:" | "C+" => {
                let mut bytes = unescape(rest).map_err(wrong)?;
                if kind == "C:" {
                    bytes.extend_from_slice(b"\r\n");
                }
                if let Some((_, Step::Send(before))) = steps.last_mut() {
                    before.extend(bytes);
                    continue;
                }
                Step::Send(bytes)
            }
            "S:" => Step::Line(Pattern::new(rest).map_err(wrong)?),
            "S*" => Step::Lines(Pattern::new(rest).map_err(wrong)?),
            _ => return Err(wrong(format!("not a line of a transcript: {line}"))),
        };
        // Where the lines end is known by the one that comes next.
        if let (Some((_, Step::Lines(_))), Step::Send(_) | Step::Lines(_) | Step::Close) =
            (steps.last(), &step)
        {
            return Err(wrong("after S* an S: is needed".into()));
        }
        steps.push((number, step));
    }
    match steps.last() {
        None => Err("1: there is nothing in it".into()),
        Some((number, Step::Lines(_))) => Err(format!("{number}: after S* an S: is needed")),
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

/// A fresh server with the accounts of the transcripts.
async fn server() -> Engine {
    static TLS: OnceLock<Arc<rustls::ServerConfig>> = OnceLock::new();
    let tls = TLS.get_or_init(|| tls::self_signed(&["localhost".into()]).unwrap());
    let engine = Engine::builder(Store::memory().await.unwrap())
        .tls(tls.clone())
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

/// Runs a transcript against a fresh server.
async fn replay(transcript: &Transcript, way: Way) -> Result<(), String> {
    let engine = server().await;
    let listen = |mode| {
        let name = match transcript.service.as_str() {
            "smtp" => "smtp_in",
            name => name,
        };
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        engine.serve(name, socket, mode).unwrap()
    };
    let connect = async |address: SocketAddr| {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    };
    let result = match way {
        Way::Pipe(size) => {
            let (ours, theirs) = tokio::io::duplex(size);
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut listener = ListenerSettings::new(address, TlsMode::Starttls);
            listener.plaintext_login = true;
            let (_stop, stopped) = watch::channel(false);
            let peer = Peer {
                tls: engine.context().tls.clone(),
                addr: address,
                local: address,
                listener: Arc::new(listener),
                stop: stopped,
            };
            let service = service(&transcript.service, engine.context().clone());
            let serving =
                tokio::spawn(async move { service.serve(Stream::new(theirs), peer).await });
            let result = talk(transcript, ours).await;
            let ended = timeout(PATIENCE, serving).await;
            result.and(match ended {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(format!("the service panicked: {error}")),
                Err(_) => Err("the service did not end with its connection".into()),
            })
        }
        Way::Tcp => talk(transcript, connect(listen(TlsMode::Starttls)).await).await,
        Way::Tls => {
            let tcp = connect(listen(TlsMode::Implicit)).await;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(any_certificate()));
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            talk(transcript, connector.connect(name, tcp).await.unwrap()).await
        }
    };
    engine.shutdown().await.unwrap();
    result.map_err(|why| format!("{}:{why} [{way:?}]", transcript.name))
}

/// The client's side of a transcript. What is wrong begins with a line number.
async fn talk<S>(transcript: &Transcript, stream: S) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, mut writer) = tokio::io::split(stream);
    // Always read, so that a server with much to say never waits for us.
    let (lines, mut said) = mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
            if lines.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    let result = steps(transcript, &mut writer, &mut said).await;
    drop(writer);
    reading.abort();
    let _ = reading.await;
    result
}

async fn steps(
    transcript: &Transcript,
    writer: &mut (impl AsyncWrite + Unpin),
    said: &mut mpsc::UnboundedReceiver<Vec<u8>>,
) -> Result<(), String> {
    let mut many: Option<&Pattern> = None;
    for (number, step) in &transcript.steps {
        match step {
            Step::Send(bytes) => {
                let sent = async {
                    writer.write_all(bytes).await?;
                    writer.flush().await
                };
                match timeout(PATIENCE, sent).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(format!("{number}: cannot send: {error}")),
                    Err(_) => return Err(format!("{number}: the server does not read")),
                }
            }
            Step::Lines(pattern) => many = Some(pattern),
            Step::Line(pattern) => {
                loop {
                    let got = next(said).await;
                    let got = got
                        .map_err(|why| format!("{number}: wanted {:?}, but {why}", pattern.text))?;
                    let line = got
                        .strip_suffix(b"\r\n")
                        .ok_or_else(|| format!("{number}: no CRLF ends {:?}", show(&got)))?;
                    if pattern.matches(line) {
                        break;
                    }
                    if !many.is_some_and(|many| many.matches(line)) {
                        return Err(format!(
                            "{number}: wanted {:?}, got {:?}",
                            pattern.text,
                            show(line)
                        ));
                    }
                }
                many = None;
            }
            Step::Close => match timeout(PATIENCE, said.recv()).await {
                Ok(None) => {}
                Ok(Some(line)) => {
                    return Err(format!("{number}: wanted close, got {:?}", show(&line)));
                }
                Err(_) => return Err(format!("{number}: the server does not close")),
            },
        }
    }
    Ok(())
}

async fn next(said: &mut mpsc::UnboundedReceiver<Vec<u8>>) -> Result<Vec<u8>, &'static str> {
    match timeout(PATIENCE, said.recv()).await {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("the server closed"),
        Err(_) => Err("the server says nothing"),
    }
}

fn show(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Replays every transcript in each of the ways and tells all that went wrong.
async fn replay_all(ways: &[Way]) {
    let mut running = JoinSet::new();
    for transcript in all() {
        let ways = ways.to_vec();
        running.spawn(async move {
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
async fn in_chunks_of_every_size() {
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
    ] {
        let transcript = Transcript {
            service: "smtp".into(),
            name: "wrong".into(),
            steps: parse(text).unwrap(),
        };
        let said = replay(&transcript, Way::Tcp).await.unwrap_err();
        assert!(said.starts_with(&format!("wrong:{why}")), "{said}");
    }
    for text in ["S* 250\nC: x\n", "S* 250\n", "X: y\n", "", "C: \\q\n"] {
        parse(text).unwrap_err();
    }
}
