//! A message taken apart, line by line: headers, bodies, what stands between
//! them ([RFC 2046 §5.1](https://www.rfc-editor.org/rfc/rfc2046#section-5.1)).

use super::{DEPTH, Error, HEADER};

/// A longer line is handed on in pieces; it is no delimiter.
const LINE: usize = 4096;
/// Longest boundary, in bytes (RFC 2046 §5.1.1).
const BOUNDARY: usize = 70;

/// One thing after the other.
#[derive(Debug)]
pub(super) enum Step<'s> {
    /// A header with the empty line behind it.
    Header(Entity<'s>),
    /// A piece of a line of a part's body.
    Body {
        /// As it stands there.
        bytes: &'s [u8],
        /// A line ends behind it.
        ends: bool,
    },
    /// Before the first part or behind the last one.
    Between {
        /// As it stands there.
        bytes: &'s [u8],
        /// Inside `multipart/signed`.
        signed: bool,
    },
    /// A line with a boundary.
    Delimiter(&'s [u8]),
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `7bit`, or nothing is said.
    Plain,
    /// `8bit` or `binary`.
    Eight,
    /// Base64, quoted-printable or something that is not known.
    Done,
}

/// A message or a part, as its header says.
#[derive(Debug)]
pub(super) struct Entity<'e> {
    /// The whole header and the empty line.
    pub(super) header: &'e [u8],
    pub(super) encoding: Encoding,
    /// Its body is made of others.
    pub(super) composite: bool,
    /// Its body is text.
    pub(super) text: bool,
    /// It stands inside `multipart/signed`.
    pub(super) signed: bool,
    /// It is a message, not a part.
    pub(super) message: bool,
}

impl Entity<'_> {
    /// Whether the empty line stands behind it.
    pub(super) fn is_whole(&self) -> bool {
        let rest = self.header.strip_suffix(b"\n");
        let rest = rest.map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(b"\n"))
    }

    /// Its fields, folded lines and line ends included.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        fields(self.header)
    }
}

fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = rest.get(end..)?;
            let length = line
                .iter()
                .position(|&b| b == b'\n')
                .map_or(line.len(), |at| at + 1);
            end += length;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) || length == 0 {
                break;
            }
        }
        let (field, later) = rest.split_at_checked(end)?;
        rest = later;
        let is_end = field.is_empty() || field == b"\r\n" || field == b"\n";
        (!is_end).then_some(field)
    })
}

/// Whether a field has this name, given in lower case.
pub(super) fn is_named(field: &[u8], name: &[u8]) -> bool {
    let end = field.iter().position(|&b| b == b':').unwrap_or(0);
    let given = field.get(..end).unwrap_or_default();
    given.trim_ascii_end().eq_ignore_ascii_case(name)
}

/// A multipart that is open.
#[derive(Debug)]
struct Open {
    boundary: Vec<u8>,
    digest: bool,
    signed: bool,
    /// Messages inside messages around it.
    nested: usize,
}

/// Where in the message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Header { message: bool },
    Body,
    Between,
}

#[derive(Debug)]
pub(super) struct Walker {
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The beginning of the line was handed on already.
    torn: bool,
    header: Vec<u8>,
    at: At,
    open: Vec<Open>,
    /// Messages inside messages.
    nested: usize,
    /// Open multiparts that are signed.
    signed: usize,
}

impl Default for Walker {
    fn default() -> Walker {
        Walker {
            line: Vec::new(),
            torn: false,
            header: Vec::new(),
            at: At::Header { message: true },
            open: Vec::new(),
            nested: 0,
            signed: 0,
        }
    }
}

type Sink<'s> = dyn FnMut(Step<'_>) -> Result<(), Error> + 's;

impl Walker {
    pub(super) fn push(&mut self, mut piece: &[u8], sink: &mut Sink<'_>) -> Result<(), Error> {
        while !piece.is_empty() {
            let room = LINE - self.line.len();
            let window = piece.get(..room.min(piece.len())).unwrap_or(piece);
            let end = window.iter().position(|&b| b == b'\n').map(|at| at + 1);
            let (now, later) = piece.split_at(end.unwrap_or(window.len()));
            self.line.extend_from_slice(now);
            piece = later;
            if end.is_some() || self.line.len() >= LINE {
                self.take(end.is_some(), sink)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if !self.line.is_empty() {
            self.take(false, sink)?;
        }
        // A header without a body.
        if matches!(self.at, At::Header { .. }) && !self.header.is_empty() {
            self.entity(sink)?;
        }
        Ok(())
    }

    /// A line, or a piece of one.
    fn take(&mut self, ends: bool, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut line = std::mem::take(&mut self.line);
        // A CR whose LF is not here yet stays with it.
        let cr = !ends && line.last() == Some(&b'\r') && line.len() >= LINE;
        if cr {
            line.pop();
        }
        let begins = !std::mem::replace(&mut self.torn, !ends);
        let done = self.hand_on(&line, begins, ends, sink);
        line.clear();
        if cr {
            line.push(b'\r');
        }
        self.line = line;
        done
    }

    fn hand_on(
        &mut self,
        line: &[u8],
        begins: bool,
        ends: bool,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if begins && self.delimiter(line, sink)? {
            return Ok(());
        }
        match self.at {
            At::Header { .. } => {
                if self.header.len() + line.len() > HEADER {
                    return Err(Error::Bounds);
                }
                self.header.extend_from_slice(line);
                if begins && matches!(line, b"\r\n" | b"\n") {
                    self.entity(sink)?;
                }
                Ok(())
            }
            At::Body => sink(Step::Body { bytes: line, ends }),
            At::Between => sink(Step::Between {
                bytes: line,
                signed: self.signed > 0,
            }),
        }
    }

    /// Whether a line is a delimiter of an open multipart; ends what it ends.
    fn delimiter(&mut self, line: &[u8], sink: &mut Sink<'_>) -> Result<bool, Error> {
        let Some(rest) = line.strip_prefix(b"--") else {
            return Ok(false);
        };
        let rest = rest.trim_ascii_end();
        let fits = |open: &Open| match rest.strip_prefix(open.boundary.as_slice()) {
            Some(b"") => Some(false),
            Some(b"--") => Some(true),
            _ => None,
        };
        let found = self.open.iter().enumerate().rev();
        let found = found
            .filter_map(|(at, open)| Some((at, fits(open)?)))
            .next();
        let Some((at, closes)) = found else {
            return Ok(false);
        };
        // A part that is only a header, or the beginning of one.
        if matches!(self.at, At::Header { .. }) && !self.header.is_empty() {
            self.entity(sink)?;
        }
        self.open.truncate(at + 1);
        self.nested = self.open.last().map_or(0, |open| open.nested);
        sink(Step::Delimiter(line))?;
        if closes {
            self.open.truncate(at);
        }
        self.signed = self.open.iter().filter(|open| open.signed).count();
        self.at = match closes {
            true => At::Between,
            false => At::Header { message: false },
        };
        Ok(true)
    }

    /// A header is complete.
    fn entity(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let message = self.at == At::Header { message: true };
        let header = std::mem::take(&mut self.header);
        let field = |name: &[u8]| {
            let found = fields(&header).find(|field| is_named(field, name))?;
            let value = found.splitn(2, |&byte| byte == b':').nth(1)?;
            Some(value.trim_ascii().to_vec())
        };
        let encoding = match field(b"content-transfer-encoding") {
            None => Encoding::Plain,
            Some(label) => {
                let is = |name: &str| label.eq_ignore_ascii_case(name.as_bytes());
                match () {
                    () if is("7bit") || is("") => Encoding::Plain,
                    () if is("8bit") || is("binary") => Encoding::Eight,
                    () => Encoding::Done,
                }
            }
        };
        let in_digest = !message && self.open.last().is_some_and(|open| open.digest);
        let kind = match field(b"content-type") {
            Some(value) => ContentType::parse(&value),
            None if in_digest => ContentType::of("message/rfc822"),
            None => ContentType::of("text/plain"),
        };
        let inner = matches!(kind.name.as_str(), "message/rfc822" | "message/global");
        let boundary = kind
            .boundary
            .filter(|_| kind.name.starts_with("multipart/"));
        // An encoded message is data for whoever asks for it.
        let composite = encoding != Encoding::Done && (inner || boundary.is_some());
        let entity = Entity {
            header: &header,
            encoding,
            composite,
            text: kind.name.starts_with("text/"),
            signed: self.signed > 0,
            message,
        };
        sink(Step::Header(entity))?;
        self.at = At::Body;
        if composite {
            self.nested += usize::from(inner);
            if self.open.len() + self.nested >= DEPTH {
                return Err(Error::Bounds);
            }
            match boundary {
                Some(boundary) => {
                    let signed = kind.name == "multipart/signed";
                    self.open.push(Open {
                        boundary,
                        digest: kind.name == "multipart/digest",
                        signed,
                        nested: self.nested,
                    });
                    self.signed += usize::from(signed);
                    self.at = At::Between;
                }
                None => self.at = At::Header { message: true },
            }
        }
        Ok(())
    }
}

/// What of a Content-Type is needed here.
struct ContentType {
    /// Type and subtype in lower case.
    name: String,
    boundary: Option<Vec<u8>>,
}

impl ContentType {
    fn of(name: &str) -> ContentType {
        ContentType {
            name: name.to_owned(),
            boundary: None,
        }
    }

    /// RFC 2045 §5.1.
    fn parse(value: &[u8]) -> ContentType {
        let mut parts = split(value).into_iter();
        let name = parts.next().unwrap_or_default();
        let name: Vec<u8> = name
            .into_iter()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let mut kind = ContentType::of(&String::from_utf8_lossy(&name).to_ascii_lowercase());
        for part in parts {
            let Some(at) = part.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let (key, given) = part.split_at(at);
            if key.trim_ascii().eq_ignore_ascii_case(b"boundary") {
                let boundary = unquoted(given.get(1..).unwrap_or_default().trim_ascii());
                let good = (1..=BOUNDARY).contains(&boundary.len());
                kind.boundary = kind.boundary.or(good.then_some(boundary));
            }
        }
        kind
    }
}

/// Cut at semicolons outside quotes.
fn split(value: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let (mut quoted, mut escaped) = (false, false);
    for &byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(byte);
        }
    }
    parts
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(|byte| byte.is_ascii_whitespace());
        return value
            .get(..end.unwrap_or(value.len()))
            .unwrap_or_default()
            .to_vec();
    };
    let mut out = Vec::new();
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    out
}
