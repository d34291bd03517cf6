//! A small blocking client: lines over TCP or TLS, and the few IMAP commands
//! that tests need to look into a mailbox.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::any_certificate::any_certificate;

/// Longest wait for bytes of the peer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that reads and writes.
pub trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// A connection that is read line by line.
pub struct Wire {
    stream: BufReader<Box<dyn ReadWrite>>,
    tcp: TcpStream,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects without TLS.
    pub fn connect(addr: &str) -> Wire {
        let tcp = TcpStream::connect(addr).unwrap_or_else(|e| panic!("{addr}: {e}"));
        tcp.set_nodelay(true).expect("nodelay");
        tcp.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let stream: Box<dyn ReadWrite> = Box::new(tcp.try_clone().expect("clone"));
        Wire {
            stream: BufReader::new(stream),
            tcp,
        }
    }

    /// Connects with TLS from the first byte; any certificate is taken.
    pub fn connect_tls(addr: &str) -> Wire {
        Wire::connect(addr).start_tls()
    }

    /// Starts TLS on this connection.
    pub fn start_tls(self) -> Wire {
        let name = ServerName::try_from("localhost").expect("a name");
        let session =
            ClientConnection::new(Arc::new(any_certificate()), name).expect("a TLS client");
        let tls = StreamOwned::new(session, self.tcp.try_clone().expect("clone"));
        Wire {
            stream: BufReader::new(Box::new(tls)),
            tcp: self.tcp,
        }
    }

    /// Compresses both directions from now on (RFC 4978).
    pub fn start_deflate(self) -> Wire {
        assert!(self.stream.buffer().is_empty(), "bytes before compression");
        let stream = Deflated {
            stream: DeflateDecoder::new(self.stream.into_inner()),
            deflate: DeflateEncoder::new(Vec::new(), Compression::default()),
        };
        Wire {
            stream: BufReader::new(Box::new(stream)),
            tcp: self.tcp,
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("send");
    }

    /// Sends bytes; an error if the peer is gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())?;
        self.stream.get_mut().flush()
    }

    /// Reads a line, its end included; empty at the end of the stream.
    pub fn try_line(&mut self) -> std::io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut byte = [0u8];
        while line.last() != Some(&b'\n') {
            if self.stream.read(&mut byte)? == 0 {
                break;
            }
            line.push(byte[0]);
        }
        Ok(line)
    }

    /// Reads a line, its end included; empty at the end of the stream.
    pub fn line(&mut self) -> String {
        String::from_utf8_lossy(&self.try_line().expect("a line")).into_owned()
    }

    /// Reads exactly `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes).expect("bytes");
        bytes
    }

    /// Reads until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        bytes
    }

    /// Closes our sending side.
    pub fn shut(&self) {
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
    }

    /// Sends an SMTP command and reads its reply, all lines of it.
    pub fn smtp(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n"));
        self.smtp_reply()
    }

    /// Reads an SMTP reply, all lines of it.
    pub fn smtp_reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line();
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return reply;
            }
        }
    }

    /// Delivers a mail over SMTP; the last reply.
    pub fn deliver(addr: &str, to: &str, text: &str) -> String {
        let mut wire = Wire::connect(addr);
        wire.smtp_reply();
        wire.smtp("EHLO client.test");
        wire.smtp("MAIL FROM:<bob@elsewhere.test>");
        let rcpt = wire.smtp(&format!("RCPT TO:<{to}>"));
        if !rcpt.starts_with("250") {
            return rcpt;
        }
        wire.smtp("DATA");
        wire.smtp(&format!("{text}\r\n."))
    }

    /// Sends an IMAP command and reads up to its tagged response. Literals are
    /// part of the result.
    pub fn imap(&mut self, command: &str) -> Vec<u8> {
        self.send(format!("T {command}\r\n"));
        self.imap_until("T ")
    }

    /// Reads up to a line that begins with `start`, literals included.
    pub fn imap_until(&mut self, start: &str) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let mut line = self.try_line().expect("a line");
            assert!(
                !line.is_empty(),
                "closed after {}",
                String::from_utf8_lossy(&all)
            );
            let first = line.starts_with(start.as_bytes());
            while let Some(n) = literal(&line) {
                line.extend(self.bytes(n));
                line.extend(self.try_line().expect("a line"));
            }
            all.extend_from_slice(&line);
            if first {
                return all;
            }
        }
    }

    /// As [`imap`](Wire::imap), as text.
    pub fn ask(&mut self, command: &str) -> String {
        String::from_utf8_lossy(&self.imap(command)).into_owned()
    }

    /// As [`ask`](Wire::ask), and the answer must be OK.
    #[track_caller]
    pub fn ok(&mut self, command: &str) -> String {
        let said = self.ask(command);
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("T OK"), "{command}: {said}");
        said
    }

    /// Appends a message of any bytes; the answer must be OK.
    #[track_caller]
    pub fn append_bytes(&mut self, mailbox: &str, message: &[u8]) {
        self.send(format!("T APPEND {mailbox} {{{}+}}\r\n", message.len()));
        self.send(message);
        self.send("\r\n");
        let said = String::from_utf8_lossy(&self.imap_until("T ")).into_owned();
        assert!(said.contains("T OK"), "{said}");
    }

    /// Appends a message; the whole answer.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &str) -> String {
        let size = message.len();
        self.ask(&format!(
            "APPEND \"{mailbox}\" ({flags}) {{{size}+}}\r\n{message}"
        ))
    }

    /// Whether the peer says nothing for so long.
    pub fn is_silent(&mut self, length: Duration) -> bool {
        let set = |length| self.tcp.set_read_timeout(Some(length)).expect("timeout");
        set(length);
        let waited = self.stream.fill_buf().map(<[u8]>::len);
        set(PATIENCE);
        match waited {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// An IMAP connection that has logged in.
    pub fn imap_login(addr: &str, user: &str, password: &str) -> Wire {
        let mut wire = Wire::connect(addr);
        assert!(wire.line().starts_with("* OK"), "greeting");
        let said = wire.imap(&format!("LOGIN \"{user}\" \"{password}\""));
        assert!(
            said.windows(4).any(|w| w == b"T OK"),
            "{}",
            String::from_utf8_lossy(&said)
        );
        wire
    }

    /// All messages of a mailbox, with their UIDs.
    pub fn imap_messages(&mut self, mailbox: &str) -> Vec<(u32, Vec<u8>)> {
        let said = self.imap(&format!("EXAMINE \"{mailbox}\""));
        assert!(
            said.windows(4).any(|w| w == b"T OK"),
            "{}",
            String::from_utf8_lossy(&said)
        );
        self.send("T UID FETCH 1:* (BODY.PEEK[])\r\n");
        let mut messages = Vec::new();
        loop {
            let line = self.try_line().expect("a line");
            if line.starts_with(b"T ") {
                assert!(
                    line.starts_with(b"T OK"),
                    "{}",
                    String::from_utf8_lossy(&line)
                );
                return messages;
            }
            let Some(n) = literal(&line) else { continue };
            let text = String::from_utf8_lossy(&line).into_owned();
            let body = self.bytes(n);
            let tail = self.line();
            let uid = format!("{text}{tail}");
            let uid = uid.split("UID ").nth(1).expect("a UID");
            let uid = uid
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>();
            messages.push((uid.parse().expect("a UID"), body));
        }
    }
}

/// A stream that is compressed in both directions.
struct Deflated {
    stream: DeflateDecoder<Box<dyn ReadWrite>>,
    deflate: DeflateEncoder<Vec<u8>>,
}

impl Read for Deflated {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buf)
    }
}

impl Write for Deflated {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.deflate.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.deflate.flush()?;
        let bytes = std::mem::take(self.deflate.get_mut());
        self.stream.get_mut().write_all(&bytes)?;
        self.stream.get_mut().flush()
    }
}

/// The length of the literal a line ends with.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|&b| b == b'{')?;
    std::str::from_utf8(&line[open + 1..])
        .ok()?
        .trim_end_matches('+')
        .parse()
        .ok()
}
