//! A host that mail is sent to: it takes what comes, or says why not, and
//! remembers it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::served::House;
use crate::wire::Wire;

/// The user of [`house`], whose password is `secret`.
pub const ANN: &str = "ann@here.test";
/// The port of [`house`] for submission, for [`House::addr`].
pub const SUBMISSION: u16 = 2587;

/// A server that sends everything to a port of this machine. `options` stand in
/// `[smtp_out]`.
pub fn house(sink: u16, options: &str) -> House {
    let house = House::with(&format!(
        r#"
hostname = "mail.here.test"
[submission]
enable = true
[[submission.listeners]]
address = "127.0.0.1:PORT+2587"
tls = "none"
plaintext_login = true
[imap]
enable = true
[[imap.listeners]]
address = "127.0.0.1:PORT+2143"
tls = "none"
plaintext_login = true
[smtp_out]
enable = true
{options}
[[smtp_out.routes]]
domains = ["*"]
to = "smtp://127.0.0.1:{sink}"
tls = "none"
"#
    ));
    house.add(ANN, "secret");
    house
}

/// Submits a message to each of these, over one connection; several recipients
/// of one stand with a space between them. What stands before the first `@` is in
/// its subject.
pub fn submit<'t>(house: &House, to: impl IntoIterator<Item = &'t str>) {
    let mut wire = Wire::connect(&house.addr(SUBMISSION));
    wire.smtp_reply();
    wire.smtp("EHLO client.test");
    // AUTH PLAIN: NUL, the user, NUL, the password, in base64.
    let said = wire.smtp("AUTH PLAIN AGFubkBoZXJlLnRlc3QAc2VjcmV0");
    assert!(said.starts_with("235"), "{said}");
    for to in to {
        let subject = to.split('@').next().unwrap_or_default();
        let all = to.split(' ').map(|to| format!("RCPT TO:<{to}>\r\n"));
        let all: Vec<String> = all.collect();
        wire.send(format!("MAIL FROM:<{ANN}>\r\n{}DATA\r\n", all.concat()));
        for code in ["250"].repeat(1 + all.len()).iter().chain(&["354"]) {
            let said = wire.smtp_reply();
            assert!(said.starts_with(code), "{said}");
        }
        let said = wire.smtp(&format!(
            "From: {ANN}\r\nSubject: to {subject}\r\n\r\nhello\r\n."
        ));
        assert!(said.starts_with("250"), "{said}");
    }
    wire.smtp("QUIT");
}

/// What recipients are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    /// They are taken.
    Takes,
    /// A reply to RCPT, with its code.
    Says(&'static str),
}

/// A message that was answered with 250.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// MAIL FROM.
    pub sender: String,
    /// RCPT TO.
    pub recipients: Vec<String>,
    /// The message with its dots as they came, without the last.
    pub text: String,
    /// Whether the other side went on after the 250: then it knows.
    pub known: bool,
}

/// A host that mail is sent to. Dropped, it listens no more.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    arrived: Mutex<Vec<Arrived>>,
    mood: Mutex<Mood>,
    stop: AtomicBool,
}

impl Sink {
    /// A host at a free port of 127.0.0.1.
    pub fn start() -> Sink {
        Sink::at(0)
    }

    /// A host at this port.
    pub fn at(port: u16) -> Sink {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for the sink");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            arrived: Mutex::default(),
            mood: Mutex::new(Mood::Takes),
            stop: AtomicBool::new(false),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), state) = (stream, shared.clone()) else {
                    continue;
                };
                std::thread::spawn(move || talk(&stream, &state));
            }
        });
        Sink { address, state }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it answers from now on.
    pub fn mood(&self, mood: Mood) {
        *self.state.mood.lock() = mood;
    }

    /// How many messages came.
    pub fn count(&self) -> usize {
        self.state.arrived.lock().len()
    }

    /// What came so far, in the order it came.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.arrived.lock().clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// A session; ends when the other side does.
fn talk(stream: &TcpStream, state: &State) -> Option<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    let _ = stream.set_nodelay(true);
    to.write_all(b"220 sink.test ESMTP\r\n").ok()?;
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    // What came last over this connection.
    let mut last: Option<usize> = None;
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(at) = last.take() {
            state.arrived.lock()[at].known = true;
        }
        let command = line.trim_end();
        let verb = command.split([' ', ':']).next().unwrap_or_default();
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES",
            "MAIL" => {
                sender = address(command);
                recipients.clear();
                "250 2.1.0 ok"
            }
            "RCPT" => match state.mood.lock().clone() {
                Mood::Takes => {
                    recipients.push(address(command));
                    "250 2.1.5 ok"
                }
                Mood::Says(reply) => reply,
            },
            "DATA" if recipients.is_empty() => "554 5.5.1 nobody",
            "DATA" => {
                to.write_all(b"354 go on\r\n").ok()?;
                let mut text = String::new();
                loop {
                    let before = text.len();
                    if from.read_line(&mut text).ok()? == 0 {
                        return None;
                    }
                    if &text[before..] == ".\r\n" {
                        text.truncate(before);
                        break;
                    }
                }
                let mut arrived = state.arrived.lock();
                last = Some(arrived.len());
                arrived.push(Arrived {
                    sender: sender.clone(),
                    recipients: std::mem::take(&mut recipients),
                    text,
                    known: false,
                });
                "250 2.0.0 taken"
            }
            "QUIT" => {
                let _ = to.write_all(b"221 2.0.0 bye\r\n");
                return None;
            }
            _ => "250 2.0.0 ok",
        };
        to.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
    }
}

fn address(command: &str) -> String {
    let inner = command.split(['<', '>']).nth(1);
    inner.unwrap_or_default().to_owned()
}
