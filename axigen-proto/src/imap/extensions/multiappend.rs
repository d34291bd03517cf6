//! What stands behind the mailbox of APPEND: several messages in one command,
//! MULTIAPPEND ([RFC 3502](https://www.rfc-editor.org/rfc/rfc3502)), and the
//! forms in which the data of each can come.
//!
//! A command is read in pieces, since its messages stream past: each literal
//! ends a stretch of text, and `Inside` says what may follow behind it.

use nom::Parser;
use nom::bytes::complete::{tag, tag_no_case};
use nom::combinator::opt;
use nom::sequence::preceded;

use super::catenate;
use crate::imap::command::{Append, Replaced};
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect, expected};
use crate::imap::parse::values::{date_time, flag_list, mailbox, sp};
use crate::imap::types::{DateTime, Flag};

/// A piece of APPEND or REPLACE behind the options of its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendPiece {
    /// The message, as a literal, which follows.
    Literal,
    /// The message, as `UTF8 (literal8)`
    /// ([RFC 6855 §4](https://www.rfc-editor.org/rfc/rfc6855#section-4)). The
    /// literal follows, and [`AppendPiece::End`] behind it. Also a part of CATENATE.
    Utf8,
    /// `CATENATE (`: the message consists of parts
    /// ([RFC 4469](https://www.rfc-editor.org/rfc/rfc4469)).
    Catenate,
    /// A part of CATENATE that is on the server already.
    Url(String),
    /// A part of CATENATE as a literal, which follows.
    Text,
    /// `)`
    End,
    /// Another message begins ([RFC 3502](https://www.rfc-editor.org/rfc/rfc3502)).
    Message {
        /// Flags it begins with.
        flags: Vec<Flag>,
        /// Its internal date; absent means now.
        date: Option<DateTime>,
    },
}

impl AppendPiece {
    /// Whether a literal follows.
    pub fn awaits_literal(&self) -> bool {
        matches!(
            self,
            AppendPiece::Literal | AppendPiece::Utf8 | AppendPiece::Text
        )
    }
}

/// Where in a command the text goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// A message is complete.
    Message,
    /// In the parts of CATENATE.
    Catenate { first: bool },
    /// Behind the literal of UTF8, itself a part of CATENATE or a message.
    Utf8 { catenate: bool },
}

impl Inside {
    /// Where the text goes on behind these pieces.
    pub(crate) fn behind(pieces: &[AppendPiece]) -> Inside {
        pieces.iter().fold(Inside::Message, Inside::then)
    }

    pub(crate) fn then(self, piece: &AppendPiece) -> Inside {
        match piece {
            AppendPiece::Literal | AppendPiece::Message { .. } => Inside::Message,
            AppendPiece::Catenate => Inside::Catenate { first: true },
            AppendPiece::Url(_) | AppendPiece::Text => Inside::Catenate { first: false },
            AppendPiece::Utf8 => Inside::Utf8 {
                catenate: matches!(self, Inside::Catenate { .. }),
            },
            AppendPiece::End => match self {
                Inside::Utf8 { catenate: true } => Inside::Catenate { first: false },
                _ => Inside::Message,
            },
        }
    }
}

/// ```text
/// append         = "APPEND" SP mailbox 1*append-message
/// append-message = append-opts SP append-data
/// append-opts    = [SP flag-list] [SP date-time]
/// append-data    = literal / literal8 / utf8-literal / "CATENATE" SP "(" cat-part *(SP cat-part) ")"
/// utf8-literal   = "UTF8" SP "(" literal8 ")"
/// ```
/// Read up to the first literal that is (part of) a message, which has been cut off.
pub(crate) fn append<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Append> {
    append_message(grammar, None, input)
}

/// What APPEND and REPLACE have in common.
pub(crate) fn append_message<'a>(
    grammar: &Grammar,
    replaces: Option<Replaced>,
    input: &'a [u8],
) -> Parsed<'a, Append> {
    let (rest, mailbox) = preceded(sp, |i| mailbox(grammar, i)).parse(input)?;
    let (rest, (flags, date)) = options(rest)?;
    let (rest, piece) = data(rest)?;
    let mut pieces = vec![piece];
    let mut rest = rest;
    if !pieces.iter().any(AppendPiece::awaits_literal) {
        let inside = Inside::behind(&pieces);
        let (behind, more) = follow(inside, replaces.is_some(), rest)?;
        pieces.extend(more);
        rest = behind;
    }
    Ok((
        rest,
        Append {
            mailbox,
            replaces,
            flags,
            date,
            pieces,
        },
    ))
}

/// The text up to the next literal of a message, or to the end of the command.
/// `single` where no other message may follow.
pub(crate) fn follow(
    mut inside: Inside,
    single: bool,
    input: &[u8],
) -> Parsed<'_, Vec<AppendPiece>> {
    let (mut rest, mut pieces) = (input, Vec::new());
    // A piece that awaits its literal ends the text.
    if input.is_empty() && inside == Inside::Message {
        return Ok((rest, pieces));
    }
    loop {
        let (behind, piece) = match inside {
            Inside::Message if single => return Err(expected(rest, "the end of the command")),
            Inside::Message => {
                let (behind, (flags, date)) = options(rest)?;
                pieces.push(AppendPiece::Message { flags, date });
                data(behind)?
            }
            Inside::Catenate { first } => catenate::part(first, rest)?,
            Inside::Utf8 { .. } => {
                let (behind, _) = expect(") behind the literal of UTF8", tag(")")).parse(rest)?;
                (behind, AppendPiece::End)
            }
        };
        let literal = piece.awaits_literal();
        inside = inside.then(&piece);
        pieces.push(piece);
        rest = behind;
        if literal || rest.is_empty() && inside == Inside::Message {
            return Ok((rest, pieces));
        }
    }
}

/// `append-opts = [SP flag-list] [SP date-time]`
fn options(input: &[u8]) -> Parsed<'_, (Vec<Flag>, Option<DateTime>)> {
    let (rest, (flags, date)) =
        (opt(preceded(sp, flag_list)), opt(preceded(sp, date_time))).parse(input)?;
    Ok((rest, (flags.unwrap_or_default(), date)))
}

/// `append-data`, up to its literal.
fn data(input: &[u8]) -> Parsed<'_, AppendPiece> {
    let (rest, ()) = expect("a space and the message as a literal", sp).parse(input)?;
    if rest.is_empty() {
        return Ok((rest, AppendPiece::Literal));
    }
    if let Ok((rest, _)) = catenate::open(rest) {
        return Ok((rest, AppendPiece::Catenate));
    }
    utf8_literal(rest)
}

/// `utf8-literal = "UTF8" SP "(" literal8 ")"`, up to its literal.
pub(crate) fn utf8_literal(input: &[u8]) -> Parsed<'_, AppendPiece> {
    let (rest, _) = expect("the message as a literal", tag_no_case("UTF8 (")).parse(input)?;
    match rest {
        b"" => Ok((rest, AppendPiece::Utf8)),
        _ => Err(expected(rest, "a literal8")),
    }
}
