//! Messages with bytes beyond ASCII for servers that take none
//! ([RFC 6152 §3](https://www.rfc-editor.org/rfc/rfc6152#section-3)): parts that hold
//! such bytes are written in quoted-printable or base64, all others stay as they
//! are.
//!
//! A message goes through twice, in pieces of any size: a [`Survey`] finds which
//! parts are to be written anew, and whether it can be done at all; a [`Writer`]
//! does it. Memory is bounded by the header of a part and the number of parts.
//!
//! What cannot be converted: headers beyond ASCII (they need SMTPUTF8), anything
//! inside `multipart/signed`, which would not be what was signed any more
//! ([RFC 1847 §2.1](https://www.rfc-editor.org/rfc/rfc1847#section-2.1)), parts whose
//! encoding is broken already, and messages beyond the bounds. A signature of the
//! whole message (DKIM) is no obstacle, and does not hold afterwards.
//!
//! | file | what it is |
//! |---|---|
//! | this | [`Survey`] and [`Writer`] |
//! | `walk` | a message taken apart, line by line |
//! | `encode` | quoted-printable and base64, a piece at a time |

mod encode;
mod walk;

use encode::{Base64, QuotedPrintable};
use walk::{Encoding, Entity, Step, Walker};

/// Most parts of a message that is converted.
pub const PARTS: usize = 10_000;
/// Deepest nesting.
pub const DEPTH: usize = 100;
/// Longest header of a part, in bytes.
pub const HEADER: usize = 256 * 1024;

/// Why a message cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A header holds bytes beyond ASCII.
    #[error("its header is not ASCII")]
    Header,
    /// Something inside `multipart/signed` would have to be changed.
    #[error("what would be converted is signed")]
    Signed,
    /// A part in base64 or quoted-printable holds bytes beyond ASCII.
    #[error("the encoding of a part is broken")]
    Encoding,
    /// It has more parts, deeper nesting or longer headers than are looked at.
    #[error("it has too many parts, or too long headers")]
    Bounds,
}

/// What a [`Survey`] found: which parts are to be written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Of each part, in order, whether it holds bytes beyond ASCII.
    eight: Vec<bool>,
}

/// The first look at a message.
#[derive(Debug, Default)]
pub struct Survey {
    walker: Walker,
    eight: Vec<bool>,
    /// The encoding of the part that is read, and whether it is signed.
    part: Option<(Encoding, bool)>,
}

impl Survey {
    /// Takes a piece of the message.
    ///
    /// # Errors
    /// [`Error`]; then the message cannot be converted.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        let Survey {
            walker,
            eight,
            part,
        } = self;
        walker.push(piece, &mut |step| look(step, eight, part))
    }

    /// The message has ended.
    ///
    /// # Errors
    /// [`Error`].
    pub fn finish(mut self) -> Result<Plan, Error> {
        let Survey {
            walker,
            eight,
            part,
        } = &mut self;
        walker.finish(&mut |step| look(step, eight, part))?;
        Ok(Plan { eight: self.eight })
    }
}

fn look(
    step: Step<'_>,
    eight: &mut Vec<bool>,
    part: &mut Option<(Encoding, bool)>,
) -> Result<(), Error> {
    match step {
        Step::Header(entity) => {
            if !entity.header.is_ascii() {
                return Err(Error::Header);
            }
            *part = None;
            if !entity.composite {
                if eight.len() >= PARTS {
                    return Err(Error::Bounds);
                }
                eight.push(false);
                *part = Some((entity.encoding, entity.signed));
            }
        }
        Step::Body { bytes, .. } if !bytes.is_ascii() => match *part {
            Some((_, true)) => return Err(Error::Signed),
            Some((Encoding::Done, false)) => return Err(Error::Encoding),
            Some((Encoding::Plain | Encoding::Eight, false)) => {
                if let Some(last) = eight.last_mut() {
                    *last = true;
                }
            }
            None => {}
        },
        // What stands between parts is for nobody, unless it is signed.
        Step::Between { bytes, signed } if signed && !bytes.is_ascii() => {
            return Err(Error::Signed);
        }
        Step::Body { .. } | Step::Between { .. } | Step::Delimiter(_) => {}
    }
    Ok(())
}

/// Writes a message by its [`Plan`].
#[derive(Debug)]
pub struct Writer {
    walker: Walker,
    state: Writing,
}

#[derive(Debug)]
struct Writing {
    plan: Plan,
    /// Parts that were met.
    parts: usize,
    part: Part,
    out: Vec<u8>,
}

/// How the part that is read is written.
#[derive(Debug)]
enum Part {
    AsItIs,
    Quoted(QuotedPrintable),
    Base64(Base64),
}

impl Writer {
    /// A writer for a message that was surveyed.
    pub fn new(plan: Plan) -> Writer {
        Writer {
            walker: Walker::default(),
            state: Writing {
                plan,
                parts: 0,
                part: Part::AsItIs,
                out: Vec::new(),
            },
        }
    }

    /// Takes a piece of the message, and gives what there is to be sent now.
    ///
    /// # Errors
    /// [`Error`], which the survey of the same message would have found.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, Error> {
        let Writer { walker, state } = self;
        walker.push(piece, &mut |step| state.step(step))?;
        Ok(std::mem::take(&mut state.out))
    }

    /// The message has ended: the rest of it.
    ///
    /// # Errors
    /// As [`push`](Writer::push).
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        let Writer { walker, state } = &mut self;
        walker.finish(&mut |step| state.step(step))?;
        state.end(false);
        Ok(self.state.out)
    }
}

impl Writing {
    fn step(&mut self, step: Step<'_>) -> Result<(), Error> {
        match step {
            Step::Header(entity) => self.header(&entity),
            Step::Body { bytes, ends } => match &mut self.part {
                Part::AsItIs => self.out.extend_from_slice(bytes),
                Part::Quoted(quoted) => quoted.push(without_end(bytes), ends, &mut self.out),
                Part::Base64(base64) => base64.push(without_end(bytes), ends, &mut self.out),
            },
            Step::Between { bytes, .. } => {
                let ascii = |&byte: &u8| if byte.is_ascii() { byte } else { b'?' };
                self.out.extend(bytes.iter().map(ascii));
            }
            Step::Delimiter(line) => {
                self.end(true);
                self.out.extend_from_slice(line);
            }
        }
        Ok(())
    }

    /// The part has ended; the line end before a delimiter belongs to that.
    fn end(&mut self, delimiter: bool) {
        match std::mem::replace(&mut self.part, Part::AsItIs) {
            Part::AsItIs => {}
            Part::Quoted(quoted) => quoted.finish(&mut self.out),
            Part::Base64(base64) => base64.finish(delimiter, &mut self.out),
        }
    }

    fn header(&mut self, entity: &Entity<'_>) {
        self.part = Part::AsItIs;
        let mut eight = false;
        if !entity.composite {
            eight = self.plan.eight.get(self.parts).copied().unwrap_or_default();
            self.parts += 1;
        }
        let relabelled = match (eight, entity.encoding, entity.text) {
            _ if entity.signed => None,
            // A header without the empty line has no body, and with one it might.
            _ if !entity.is_whole() => None,
            (true, _, true) => Some("quoted-printable"),
            (true, _, false) => Some("base64"),
            (false, Encoding::Eight, _) => Some("7bit"),
            (false, Encoding::Plain | Encoding::Done, _) => None,
        };
        let Some(label) = relabelled else {
            self.out.extend_from_slice(entity.header);
            return;
        };
        for field in entity.fields() {
            if !walk::is_named(field, b"content-transfer-encoding") {
                self.out.extend_from_slice(field);
                if !field.ends_with(b"\n") {
                    self.out.extend_from_slice(b"\r\n");
                }
            }
        }
        let has = |name: &[u8]| entity.fields().any(|field| walk::is_named(field, name));
        if entity.message && !has(b"mime-version") {
            self.out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        // RFC 1428 §3: what was never said cannot be known now.
        if eight && !has(b"content-type") {
            self.out
                .extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
        let line = format!("Content-Transfer-Encoding: {label}\r\n\r\n");
        self.out.extend_from_slice(line.as_bytes());
        self.part = match label {
            "quoted-printable" => Part::Quoted(QuotedPrintable::default()),
            "base64" => Part::Base64(Base64::default()),
            _ => Part::AsItIs,
        };
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let rest = line.strip_suffix(b"\n");
    rest.map_or(line, |rest| rest.strip_suffix(b"\r").unwrap_or(rest))
}

#[cfg(test)]
mod tests;
