//! A message in brief: what SORT and THREAD compare, worked out once, at arrival.
//!
//! It follows from the message alone, so it never changes. It stands in the
//! item's record, and once the message's row is in a block, in one value with
//! those of the block's other messages, under `1f mailbox uid`, in the order of
//! the UIDs. So ten thousand messages are sorted from twenty values.
//!
//! A brief is: a byte (1: the date is known, 2: the subject is of an answer, 4:
//! there is an identifier), the date in seconds with its sign in the lowest bit,
//! then base subject, first address of From, To and Cc, the first of From and To
//! as they are displayed, each its length and its bytes, the identifier, the
//! references. Numbers are of seven bits a byte. Identifiers are the first 16
//! bytes of their BLAKE3-256. One that would be longer than `MOST` is not kept,
//! and stands as an empty one: it is made from the message when it is needed.

use axigen_proto::imap::structure::Address;
use axigen_store::AccountId;
use bytes::Bytes;

use super::{
    Mailboxes,
    block::{decode_list, put, take, unzigzag, zigzag},
    casemap::casemap,
    error::Result,
    item::Item,
    keys,
    search::{HEADER, decode_words},
    structure::{Structure, header_fields},
    subject::BaseSubject,
    types::{MailboxId, Row},
};

/// Longest one that is kept, in bytes.
const MOST: usize = 1024;
/// Longest text that is compared, in bytes; what comes behind makes no difference
/// to SORT and THREAD. So a mailbox of long subjects is not all in memory.
const TEXT: usize = 2000;
/// Longest list of references that is looked at, in identifiers; the last ones
/// count, since the nearest ancestors stand there.
const REFERENCES: usize = 1000;
/// Messages looked up together.
const PAGE: usize = 2048;
/// Of those that are in no block, items read together.
const ITEMS: usize = 200;

const VERSION: u8 = 1;
const DATED: u8 = 1;
const REPLY: u8 = 2;
const IDENTIFIED: u8 = 4;

/// What a message is known by.
pub(super) type Identifier = [u8; 16];

/// A message in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief<'b> {
    /// By its Date field, in seconds since 1970.
    pub(super) sent: Option<i64>,
    /// Whether its subject is that of an answer.
    pub(super) reply: bool,
    /// Its base subject. Texts are as i;unicode-casemap compares them.
    pub(super) subject: &'b [u8],
    pub(super) from: &'b [u8],
    pub(super) to: &'b [u8],
    pub(super) cc: &'b [u8],
    pub(super) display_from: &'b [u8],
    pub(super) display_to: &'b [u8],
    pub(super) id: Option<&'b Identifier>,
    /// Ancestors, the nearest last.
    pub(super) references: &'b [Identifier],
}

impl<'b> Brief<'b> {
    /// Of bytes that [`encode`] made; `None` of others.
    pub fn decode(bytes: &'b [u8]) -> Option<Brief<'b>> {
        let (&what, mut rest) = bytes.split_first()?;
        let sent = unzigzag(take(&mut rest)?);
        let mut texts = [&b""[..]; 6];
        for text in &mut texts {
            *text = split(&mut rest)?;
        }
        let id = match what & IDENTIFIED {
            0 => None,
            _ => {
                let (id, behind) = rest.split_first_chunk()?;
                rest = behind;
                Some(id)
            }
        };
        let (references, []) = rest.as_chunks() else {
            return None;
        };
        let [subject, from, to, cc, display_from, display_to] = texts;
        Some(Brief {
            sent: (what & DATED != 0).then_some(sent),
            reply: what & REPLY != 0,
            subject,
            from,
            to,
            cc,
            display_from,
            display_to,
            id,
            references,
        })
    }

    /// When it was sent, in seconds since 1970; when it does not say, when it
    /// came. RFC 5256 §2.2
    pub(super) fn sent(&self, row: &Row) -> i64 {
        self.sent.unwrap_or(row.internal_date)
    }
}

/// A message in brief, however long; `header` is its header block.
pub fn encode(structure: &Structure, header: &[u8]) -> Vec<u8> {
    let envelope = structure.envelope();
    let subject = envelope.subject.as_ref();
    let subject = subject.map_or_else(BaseSubject::default, |value| BaseSubject::of(value));
    let id = envelope.message_id.as_ref();
    let id = id.and_then(|id| identifiers(id).next());
    let sent = structure.sent().map(|(seconds, _)| seconds);
    let mut out = Vec::with_capacity(128);
    out.push(
        if sent.is_some() { DATED } else { 0 }
            | if subject.reply { REPLY } else { 0 }
            | if id.is_some() { IDENTIFIED } else { 0 },
    );
    put(zigzag(sent.unwrap_or(0)), &mut out);
    let first = |list: &[Address], shown: fn(&Address) -> String| {
        list.first().map(shown).unwrap_or_default()
    };
    for text in [
        subject.text,
        first(&envelope.from, mailbox),
        first(&envelope.to, mailbox),
        first(&envelope.cc, mailbox),
        first(&envelope.from, display),
        first(&envelope.to, display),
    ] {
        let end = text.floor_char_boundary(TEXT);
        let text = text.get(..end).unwrap_or_default();
        put(text.len() as u64, &mut out);
        out.extend_from_slice(text.as_bytes());
    }
    out.extend(id.into_iter().flatten());
    let fields = header_fields(header).filter(|field| field.is("References"));
    let mut references: Vec<Identifier> =
        fields.flat_map(|field| identifiers(field.value)).collect();
    // RFC 5256 §3: without references, the first identifier of In-Reply-To.
    if references.is_empty() {
        let reply = envelope.in_reply_to.as_ref();
        references.extend(reply.and_then(|reply| identifiers(reply).next()));
    }
    references.drain(..references.len().saturating_sub(REFERENCES));
    out.extend(references.into_iter().flatten());
    out
}

/// As it is kept: empty if it is too long for that.
pub(super) fn kept(structure: &Structure, raw: &[u8]) -> Bytes {
    let header = structure.header();
    let header = raw.get(header.start as usize..header.end as usize);
    let mut brief = encode(structure, header.unwrap_or_default());
    if brief.len() > MOST {
        brief.clear();
    }
    brief.into()
}

fn mailbox(address: &Address) -> String {
    let mailbox = address.mailbox.as_ref();
    mailbox.map_or(String::new(), |mailbox| casemap(&decode_words(mailbox)))
}

/// RFC 5957 §3: the display name, else `mailbox@host`; of a group its name.
fn display(address: &Address) -> String {
    let name = address
        .name
        .as_ref()
        .map(|name| casemap(&decode_words(name)));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return name;
    }
    match &address.host {
        Some(host) => format!("{}@{}", mailbox(address), casemap(&decode_words(host))),
        None => mailbox(address),
    }
}

/// Message identifiers in a field; a quoted local part is the same as one
/// without its quotes.
fn identifiers(value: &[u8]) -> impl Iterator<Item = Identifier> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|&byte| byte == b'<')?;
            let from = rest.get(start + 1..)?;
            let length = from.iter().position(|&byte| matches!(byte, b'<' | b'>'))?;
            rest = from.get(length..)?;
            let inside = from.get(..length)?;
            if !rest.starts_with(b">") || !inside.contains(&b'@') {
                continue;
            }
            let kept = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\\');
            let inside: Vec<u8> = inside.iter().copied().filter(kept).collect();
            return blake3::hash(&inside).as_bytes().first_chunk().copied();
        }
    })
}

fn split<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

/// Those of a block, in the order of its UIDs.
pub(super) fn encode_block<'b>(briefs: impl Iterator<Item = &'b [u8]>) -> Bytes {
    let mut bytes = vec![VERSION];
    for brief in briefs {
        put(brief.len() as u64, &mut bytes);
        bytes.extend_from_slice(brief);
    }
    bytes.into()
}

/// Those of a block of `count` messages; `None` of other bytes.
pub(super) fn decode_block(bytes: &Bytes, count: usize) -> Option<Vec<Bytes>> {
    let (&version, mut rest) = bytes.split_first()?;
    if version != VERSION || count > rest.len() {
        return None;
    }
    let briefs = (0..count).map(|_| split(&mut rest).map(|brief| bytes.slice_ref(brief)));
    let briefs = briefs.collect::<Option<Vec<Bytes>>>()?;
    rest.is_empty().then_some(briefs)
}

impl Mailboxes {
    /// Shows messages of a mailbox in brief, in the order of `rows`, which must
    /// ascend by UID. Those that are gone are left out.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn briefs<'r>(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        rows: &'r [Row],
        mut see: impl FnMut(&'r Row, &Brief<'_>),
    ) -> Result<()> {
        for page in rows.chunks(PAGE) {
            let mut briefs = self.of_blocks(account, mailbox, page).await?;
            self.of_items(account, page, &mut briefs).await?;
            for (row, brief) in page.iter().zip(&briefs) {
                if let Some(brief) = Brief::decode(brief) {
                    see(row, &brief);
                }
            }
        }
        Ok(())
    }

    /// Those that are in blocks; empty for the others.
    async fn of_blocks(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        rows: &[Row],
    ) -> Result<Vec<Bytes>> {
        let mut briefs = Vec::with_capacity(rows.len());
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(briefs);
        };
        let index = self.block_lists(account, mailbox, first.uid, last.uid);
        let firsts = index.await?.into_iter().map(|(first, _)| first);
        let wanted: Vec<_> = firsts
            .flat_map(|first| {
                [
                    keys::block_uids(mailbox, first),
                    keys::block_briefs(mailbox, first),
                ]
            })
            .collect();
        let got = self.store.get(account, &wanted).await?;
        for pair in got.chunks_exact(2) {
            let [Some(list), Some(bytes)] = pair else {
                continue;
            };
            let uids = decode_list(list)?;
            let of_block = decode_block(bytes, uids.len()).unwrap_or_default();
            for (uid, brief) in uids.into_iter().zip(of_block) {
                while rows.get(briefs.len()).is_some_and(|row| row.uid < uid) {
                    briefs.push(Bytes::new());
                }
                if rows.get(briefs.len()).is_some_and(|row| row.uid == uid) {
                    briefs.push(brief);
                }
            }
        }
        briefs.resize(rows.len(), Bytes::new());
        Ok(briefs)
    }

    /// Fills in those that are empty.
    async fn of_items(&self, account: AccountId, rows: &[Row], briefs: &mut [Bytes]) -> Result<()> {
        let empty = rows
            .iter()
            .zip(briefs)
            .filter(|(_, brief)| brief.is_empty());
        let mut empty: Vec<_> = empty.collect();
        for page in empty.chunks_mut(ITEMS) {
            let keys: Vec<_> = page.iter().map(|(row, _)| keys::item(row.item)).collect();
            let records = self.store.get(account, &keys).await?;
            for ((row, brief), record) in page.iter_mut().zip(records) {
                let Some(record) = record else { continue };
                let kept = Item::decode(&record)?.brief;
                **brief = match kept.is_empty() {
                    false => kept,
                    true => match self.decode_structure(&record).await? {
                        Some(structure) => {
                            let header = structure.header();
                            let header = header.start..header.end.min(header.start + HEADER);
                            match self.body(account, row.item, header).await {
                                Ok(header) => encode(&structure, &header).into(),
                                Err(super::Error::NoSuchMessage) => continue,
                                Err(error) => return Err(error),
                            }
                        }
                        None => continue,
                    },
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_compared() {
        let raw = b"From: =?utf-8?q?J=C3=BCrg?= <j@x.test>\r\nTo: team: b@x, c@x;\r\nCc: Q@x\r\n\
            Subject: Re: [l] Beta\r\nDate: Thu, 01 Jan 1970 00:01:00 +0000\r\n\
            Message-ID: <1@x>\r\nReferences: <a@x> <b\r\n @x>\r\nIn-Reply-To: <c@x>\r\n\r\nbody";
        let structure = Structure::parse(raw);
        let bytes = kept(&structure, raw);
        let brief = Brief::decode(&bytes).unwrap();
        assert_eq!((brief.sent, brief.reply), (Some(60), true));
        assert_eq!(brief.subject, b"BETA");
        assert_eq!(
            (brief.from, brief.to, brief.cc),
            (&b"J"[..], &b"TEAM"[..], &b"Q"[..])
        );
        assert_eq!(brief.display_from, casemap("Jürg").as_bytes());
        assert_eq!(brief.display_to, b"TEAM");
        let id = |text: &[u8]| *blake3::hash(text).as_bytes().first_chunk().unwrap();
        assert_eq!(brief.id, Some(&id(b"1@x")));
        assert_eq!(brief.references, [id(b"a@x"), id(b"b@x")]);
        let nothing = kept(&Structure::parse(b"\r\n"), b"\r\n");
        let brief = Brief::decode(&nothing).unwrap();
        assert_eq!((brief.sent, brief.reply, brief.id), (None, false, None));
    }

    #[test]
    fn a_long_one_is_not_kept() {
        let raw = format!("Subject: {}\r\n\r\n", "x".repeat(2 * MOST));
        let structure = Structure::parse(raw.as_bytes());
        assert!(kept(&structure, raw.as_bytes()).is_empty());
        let brief = encode(&structure, raw.as_bytes());
        assert_eq!(Brief::decode(&brief).unwrap().subject.len(), TEXT);
        // Also where it comes from a header that is no longer than it may be.
        let raw = format!(
            "From: {}@x\r\nSubject: {}\r\n\r\n",
            "ä".repeat(1200),
            "x".repeat(60_000)
        );
        let structure = Structure::parse(raw.as_bytes());
        let brief = encode(&structure, raw.as_bytes());
        let brief = Brief::decode(&brief).unwrap();
        assert!((TEXT - 3..=TEXT).contains(&brief.from.len()));
        assert!(std::str::from_utf8(brief.from).is_ok());
        let raw = format!("References: {}\r\n\r\n", "<a@x> ".repeat(100_000));
        let brief = encode(&Structure::parse(raw.as_bytes()), raw.as_bytes());
        assert_eq!(Brief::decode(&brief).unwrap().references.len(), REFERENCES);
    }

    proptest! {
        #[test]
        fn blocks_come_back(briefs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let bytes = encode_block(briefs.iter().map(|brief| &brief[..]));
            prop_assert_eq!(decode_block(&bytes, briefs.len()).unwrap(), briefs.clone());
            prop_assert_eq!(decode_block(&bytes, briefs.len() + 1), None);
            for cut in 0..bytes.len() {
                prop_assert!(briefs.is_empty() || decode_block(&bytes.slice(..cut), briefs.len()).is_none());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..9) {
            let _ = Brief::decode(&bytes);
            let _ = decode_block(&bytes.into(), count);
        }
    }
}
