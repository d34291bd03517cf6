//! The bytes behind BODY[…], BINARY[…] and RFC822: ranges of the message,
//! read and sent in pieces.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use axigen_proto::imap::command::{FetchAttribute, Partial, SectionText};
use axigen_proto::imap::response::FetchItem;
use axigen_proto::surrogate;
use axigen_store::AccountId;
use axigen_store::store::Reading;
use bytes::Bytes;

use super::{Done, ImapConn};
use crate::mailbox::search::transfer_decoded;
use crate::mailbox::structure::{Section, Structure, header_fields};
use crate::mailbox::{Content, Error, Mailboxes, Result, Row};
use crate::net::conn::STREAMED;

/// Bytes read and sent at a time.
const PIECE: u64 = 128 * 1024;
/// Longest header that single fields are picked from.
const HEADER: u64 = 4 * 1024 * 1024;

/// What a data item consists of.
#[derive(Debug)]
pub(super) enum Data {
    /// A range of the message.
    Range(Range<u64>),
    /// Bytes at hand.
    Bytes(Bytes),
    /// There is no such part.
    Nil,
    /// A size (BINARY.SIZE).
    Size(u64),
    /// BINARY of a part whose encoding is not known.
    UnknownEncoding,
}

/// Where the bytes of one message come from.
pub(super) struct Source<'s> {
    pub(super) mailboxes: &'s Mailboxes,
    pub(super) account: AccountId,
    pub(super) row: &'s Row,
    pub(super) structure: Option<&'s Structure>,
    /// Where its bytes are, if that is known already.
    pub(super) content: Option<&'s Content>,
    /// Whether the client has not said that it knows UTF-8: header blocks are
    /// then shown in ASCII. A whole message is as it is, and as large as
    /// RFC822.SIZE says; RFC 9755 §8 leaves this to the server.
    pub(super) ascii: bool,
}

impl Source<'_> {
    /// Finds what an attribute asks for; reads no more than headers and, for
    /// BINARY, the part.
    pub(super) async fn open(&self, attribute: &FetchAttribute) -> Result<Data> {
        if let Some(partial) = is_whole(attribute) {
            return Ok(Data::Range(cut(0..self.row.size, partial)));
        }
        let Some(structure) = self.structure else {
            return Ok(Data::Nil);
        };
        Ok(match attribute {
            FetchAttribute::Rfc822Header => self.header(structure.header(), None).await?,
            FetchAttribute::Rfc822Text => Data::Range(structure.header().end..self.row.size),
            FetchAttribute::BodySection {
                section, partial, ..
            } => {
                let which = match &section.text {
                    SectionText::Full => Section::Whole,
                    SectionText::Header
                    | SectionText::HeaderFields(_)
                    | SectionText::HeaderFieldsNot(_) => Section::Header,
                    SectionText::Text => Section::Text,
                    SectionText::Mime => Section::Mime,
                };
                let Some(range) = structure.section(&section.part, which) else {
                    return Ok(Data::Nil);
                };
                match &section.text {
                    SectionText::HeaderFields(names) => {
                        let fields = self.fields(range, names, true).await?;
                        cut_bytes(self.shown(fields), *partial)
                    }
                    SectionText::HeaderFieldsNot(names) => {
                        let fields = self.fields(range, names, false).await?;
                        cut_bytes(self.shown(fields), *partial)
                    }
                    SectionText::Header | SectionText::Mime => self.header(range, *partial).await?,
                    _ => Data::Range(cut(range, *partial)),
                }
            }
            // All of it is as it is: its parts keep their encodings.
            FetchAttribute::Binary { part, partial, .. } if part.is_empty() => {
                Data::Range(cut(0..self.row.size, *partial))
            }
            FetchAttribute::BinarySize { part } if part.is_empty() => Data::Size(self.row.size),
            FetchAttribute::Binary { part, partial, .. } => {
                match self.binary(structure, part).await? {
                    Some(bytes) => cut_bytes(bytes, *partial),
                    None if structure.encoding(part).is_none() => Data::Nil,
                    None => Data::UnknownEncoding,
                }
            }
            FetchAttribute::BinarySize { part } => match self.binary(structure, part).await? {
                Some(bytes) => Data::Size(bytes.len() as u64),
                None if structure.encoding(part).is_none() => Data::Size(0),
                None => Data::UnknownEncoding,
            },
            _ => Data::Nil,
        })
    }

    /// A header block, as the client can read it.
    async fn header(&self, range: Range<u64>, partial: Option<Partial>) -> Result<Data> {
        if !self.ascii || range.end.saturating_sub(range.start) > HEADER {
            return Ok(Data::Range(cut(range, partial)));
        }
        let block = self.body(range).await?;
        Ok(cut_bytes(self.shown(block), partial))
    }

    fn shown(&self, block: Bytes) -> Bytes {
        match self.ascii.then(|| surrogate::header(&block)) {
            Some(Cow::Owned(shown)) => shown.into(),
            Some(Cow::Borrowed(_)) | None => block,
        }
    }

    /// Sends a data item; `false` if its bytes cannot be read any more.
    pub(super) async fn send(
        &self,
        conn: &mut ImapConn,
        attribute: &FetchAttribute,
        data: Data,
    ) -> Done<bool> {
        match data {
            Data::Nil | Data::UnknownEncoding => {
                conn.session().fetch_item(&FetchItem::Data {
                    attribute: attribute.clone(),
                    data: None,
                })?;
            }
            Data::Size(size) => {
                let FetchAttribute::BinarySize { part } = attribute else {
                    return Ok(true);
                };
                conn.session().fetch_item(&FetchItem::BinarySize {
                    part: part.clone(),
                    size,
                })?;
            }
            Data::Bytes(bytes) => {
                let nul = memchr::memchr(0, &bytes).is_some();
                conn.session()
                    .fetch_data(attribute, bytes.len() as u64, nul)?;
                conn.session().body(bytes)?;
            }
            Data::Range(range) => {
                conn.session()
                    .fetch_data(attribute, range.end - range.start, true)?;
                return self.stream(conn, range).await;
            }
        }
        Ok(true)
    }

    /// Sends the bytes that were announced, in pieces; `false` if they cannot be
    /// read any more.
    pub(super) async fn stream(&self, conn: &mut ImapConn, range: Range<u64>) -> Done<bool> {
        let mut at = range.start;
        let mut reading = match self.reading().await {
            Ok(reading) => reading,
            Err(error) => {
                tracing::error!(%error, "a message cannot be found");
                return Ok(range.is_empty());
            }
        };
        while at < range.end {
            let end = range.end.min(at + PIECE);
            let piece = match reading.read(at..end).await {
                Ok(piece) if piece.len() as u64 == end - at => piece,
                Ok(_) => return Ok(false),
                Err(error) => {
                    tracing::error!(%error, "a message cannot be read");
                    return Ok(false);
                }
            };
            conn.session().body(piece)?;
            at = end;
            if conn.session().pending_output() > STREAMED {
                conn.flush().await?;
            }
        }
        Ok(true)
    }

    async fn reading(&self) -> Result<Reading> {
        match self.content {
            Some(content) => Ok(self.mailboxes.reading(content)),
            None => {
                let items = [self.row.item];
                let contents = self.mailboxes.content_of(self.account, &items).await?;
                let content = contents.into_iter().flatten().next();
                Ok(self
                    .mailboxes
                    .reading(&content.ok_or(Error::NoSuchMessage)?))
            }
        }
    }

    async fn body(&self, range: Range<u64>) -> Result<Bytes> {
        match self.content {
            Some(content) => self.mailboxes.part(content, range).await,
            None => {
                let body = self.mailboxes.body(self.account, self.row.item, range);
                body.await
            }
        }
    }

    /// The fields of a header that are (not) named, and the blank line.
    async fn fields(&self, range: Range<u64>, names: &[String], named: bool) -> Result<Bytes> {
        let range = range.start..range.end.min(range.start + HEADER);
        let header = self.body(range).await?;
        // Looked up, not compared with each: both lists may be long.
        let names: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let longest = names.iter().map(String::len).max().unwrap_or(0);
        let mut out = Vec::new();
        for field in header_fields(&header) {
            let is_among = field.name.len() <= longest
                && std::str::from_utf8(field.name)
                    .is_ok_and(|name| names.contains(&name.to_ascii_lowercase()));
            if is_among == named {
                out.extend_from_slice(field.whole);
                if !field.whole.ends_with(b"\n") {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(out.into())
    }

    /// A part without its transfer encoding; `None` if there is no such part
    /// or the encoding is not known (RFC 3516 §4.3).
    async fn binary(&self, structure: &Structure, part: &[u32]) -> Result<Option<Bytes>> {
        let Some((encoding, range)) = structure.encoding(part) else {
            return Ok(None);
        };
        let content = self.body(range).await?;
        match transfer_decoded(encoding, &content) {
            Some(Cow::Borrowed(_)) => Ok(Some(content)),
            Some(Cow::Owned(decoded)) => Ok(Some(decoded.into())),
            None => Ok(None),
        }
    }
}

/// Whether all of a message, or a stretch of it, is asked for, whatever its
/// structure is.
pub(super) fn is_whole(attribute: &FetchAttribute) -> Option<Option<Partial>> {
    match attribute {
        FetchAttribute::Rfc822 => Some(None),
        FetchAttribute::BodySection {
            section, partial, ..
        } if section.part.is_empty() && section.text == SectionText::Full => Some(*partial),
        _ => None,
    }
}

/// The part of a range that a partial names; an offset beyond it is empty.
fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.length).min(range.end)
}

fn cut_bytes(bytes: Bytes, partial: Option<Partial>) -> Data {
    Data::Bytes(match partial {
        Some(partial) => partial.of(&bytes),
        None => bytes,
    })
}
