//! Compression, and the dictionaries it starts from.
//!
//! A short mail has little to compare itself with: the names of its fields,
//! the markup around its text and the words of its language are new each time.
//! A dictionary holds them beforehand. Measured on 793 generated mails under
//! 4 KB, of words that the dictionary does not know and with signatures that
//! nothing can compress: 15 % less than without; on mails like those it was
//! trained on less than half.
//!
//! What was compressed with a dictionary can be read with it only, so each has
//! a number that is stored beside what needs it, and none is ever replaced.
//!
//! | number | dictionary |
//! |---|---|
//! | 0 | none |
//! | 1 | `mail.zdict`, made by `examples/train_dictionary`; part of the program, so that a store that lost a file can still be read |
//! | from 2 | the store's own, [trained](crate::Store::train) on what is in it; kept beside the blobs, twice |
//!
//! New blobs are compressed with the one of the highest number.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use parking_lot::RwLock;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CCtx, DCtx, compress_bound};

use crate::error::{Error, Result};

/// Without a dictionary.
pub const NONE: u16 = 0;
/// Trained on mail.
pub const MAIL: u16 = 1;
/// Longest dictionary of a store, in bytes.
pub const LONGEST: usize = 1 << 20;

static MAIL_BYTES: &[u8] = include_bytes!("mail.zdict");

/// How hard the compressor tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// zstd level 1: somebody waits.
    Quick,
    /// zstd level 9: upkeep, that nobody waits for.
    Thorough,
}

/// A dictionary, made ready for use when it is first used.
struct Dictionary {
    number: u16,
    bytes: Bytes,
    quick: OnceLock<EncoderDictionary<'static>>,
    thorough: OnceLock<EncoderDictionary<'static>>,
    reading: OnceLock<DecoderDictionary<'static>>,
}

impl Dictionary {
    fn new(number: u16, bytes: Bytes) -> Self {
        Dictionary {
            number,
            bytes,
            quick: OnceLock::new(),
            thorough: OnceLock::new(),
            reading: OnceLock::new(),
        }
    }

    fn writing(&self, effort: Effort) -> &EncoderDictionary<'static> {
        let (ready, level) = match effort {
            Effort::Quick => (&self.quick, 1),
            Effort::Thorough => (&self.thorough, 9),
        };
        ready.get_or_init(|| EncoderDictionary::copy(&self.bytes, level))
    }

    fn reading(&self) -> &DecoderDictionary<'static> {
        self.reading
            .get_or_init(|| DecoderDictionary::copy(&self.bytes))
    }

    /// `None` if it fails.
    fn compress(&self, content: &[u8], effort: Effort) -> Option<Vec<u8>> {
        let dictionary = self.writing(effort).as_cdict();
        let mut target = Vec::with_capacity(compress_bound(content.len()));
        WRITING.with_borrow_mut(|context| {
            let context = ready(context, CCtx::try_create)?;
            context
                .compress_using_cdict(&mut target, content, dictionary)
                .ok()
        })?;
        Some(target)
    }
}

static MAIL_DICTIONARY: LazyLock<Arc<Dictionary>> =
    LazyLock::new(|| Arc::new(Dictionary::new(MAIL, Bytes::from_static(MAIL_BYTES))));

thread_local! {
    // A context is half a megabyte: made once for each thread.
    static WRITING: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static READING: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn ready<T>(slot: &mut Option<T>, make: fn() -> Option<T>) -> Option<&mut T> {
    if slot.is_none() {
        *slot = make();
    }
    slot.as_mut()
}

/// The dictionaries that the blobs of a store are compressed with: the ones
/// that are part of the program, and its own.
#[derive(Default)]
pub struct Dictionaries {
    own: RwLock<BTreeMap<u16, Arc<Dictionary>>>,
}

impl fmt::Debug for Dictionaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own: Vec<u16> = self.own.read().keys().copied().collect();
        f.debug_struct("Dictionaries").field("own", &own).finish()
    }
}

impl Dictionaries {
    /// Without any of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of the one that new blobs are compressed with.
    pub fn current(&self) -> u16 {
        let own = self.own.read();
        own.last_key_value().map_or(MAIL, |(number, _)| *number)
    }

    /// The number that the next one has.
    ///
    /// # Errors
    /// [`Error::Full`] after 65,534 of them.
    pub fn next(&self) -> Result<u16> {
        self.current().checked_add(1).ok_or(Error::Full)
    }

    /// Knows one more from now on. It must be durable before this is called:
    /// what is written from now on can be read with it only.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a number that is taken, or a dictionary that is
    /// empty or longer than [`LONGEST`].
    pub fn add(&self, number: u16, bytes: Bytes) -> Result<()> {
        let mut own = self.own.write();
        if number <= MAIL || own.contains_key(&number) {
            return Err(Error::Invalid(format!("dictionary {number} is there")));
        }
        if bytes.is_empty() || bytes.len() > LONGEST {
            return Err(Error::Invalid(format!(
                "a dictionary of {} bytes, 1 to {LONGEST} are allowed",
                bytes.len()
            )));
        }
        own.insert(number, Arc::new(Dictionary::new(number, bytes)));
        Ok(())
    }

    /// Compresses with the [current](Dictionaries::current) dictionary, whose
    /// number it gives; `None` if that fails.
    pub(super) fn compress(&self, content: &[u8], effort: Effort) -> Option<(u16, Vec<u8>)> {
        let newest = self.own.read().last_key_value().map(|(_, own)| own.clone());
        let dictionary = newest.unwrap_or_else(|| MAIL_DICTIONARY.clone());
        Some((dictionary.number, dictionary.compress(content, effort)?))
    }

    /// Puts what was compressed, `most` bytes or less, behind what is in `target`,
    /// and says how much it was; `None` if it cannot be read, or the dictionary
    /// is not known.
    pub(super) fn decompress(
        &self,
        number: u16,
        compressed: &[u8],
        most: usize,
        target: &mut Vec<u8>,
    ) -> Option<usize> {
        let dictionary = match number {
            NONE => None,
            MAIL => Some(MAIL_DICTIONARY.clone()),
            own => Some(self.own.read().get(&own)?.clone()),
        };
        READING.with_borrow_mut(|context| {
            let context = ready(context, DCtx::try_create)?;
            let before = target.len();
            target.reserve(most);
            let mut behind = Cursor::new(&mut *target);
            behind.set_position(before as u64);
            let done = match &dictionary {
                None => context.decompress(&mut behind, compressed),
                Some(dictionary) => {
                    let reading = dictionary.reading().as_ddict();
                    context.decompress_using_ddict(&mut behind, compressed, reading)
                }
            };
            // There may be room for more than was asked for.
            done.ok().filter(|length| *length <= most)
        })
    }

    /// Numbers and lengths of the store's own.
    pub(crate) fn lens(&self) -> Vec<(u16, usize)> {
        let own = self.own.read();
        own.iter().map(|(n, own)| (*n, own.bytes.len())).collect()
    }

    /// Whether blobs that name this dictionary can be read.
    pub fn knows(&self, number: u16) -> bool {
        number <= MAIL || self.own.read().contains_key(&number)
    }
}

/// Makes a dictionary of samples, and says what it is worth: what other samples
/// come to with it, and with the current one, in bytes. `None` if the samples
/// are too few, or have too little in common.
pub(crate) fn train(
    known: &Dictionaries,
    samples: &[Bytes],
    others: &[Bytes],
    length: usize,
) -> Option<(Bytes, u64, u64)> {
    let made = Bytes::from(zstd::dict::from_samples(samples, length).ok()?);
    let dictionary = Dictionary::new(u16::MAX, made.clone());
    let (mut with, mut before) = (0, 0);
    for sample in others {
        with += dictionary.compress(sample, Effort::Quick)?.len() as u64;
        before += known.compress(sample, Effort::Quick)?.1.len() as u64;
    }
    Some((made, with, before))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MAIL_TEXT: &[u8] = b"From: Anna <anna@example.org>\r\nTo: Peter <peter@example.net>\r\n\
        Subject: Meeting tomorrow\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        Please let me know whether this works for you.\r\n";

    #[test]
    fn the_dictionary_is_the_one_that_stores_were_written_with() {
        // A change of one bit would make every store unreadable.
        assert_eq!(MAIL_BYTES.len(), 65536);
        assert_eq!(
            blake3::hash(MAIL_BYTES).to_hex().as_str(),
            "25e9ce8d89319248152816e3851ea1235cbf289d61f5dbd6e6957b3f8654c5e8"
        );
    }

    fn back(known: &Dictionaries, number: u16, small: &[u8], most: usize) -> Option<Vec<u8>> {
        let mut target = b"before".to_vec();
        let length = known.decompress(number, small, most, &mut target)?;
        let behind = target.strip_prefix(b"before").unwrap();
        assert_eq!(behind.len(), length);
        Some(behind.to_vec())
    }

    #[test]
    fn a_short_mail_becomes_much_shorter() {
        let known = Dictionaries::new();
        for effort in [Effort::Quick, Effort::Thorough] {
            let (used, small) = known.compress(MAIL_TEXT, effort).unwrap();
            assert_eq!(used, MAIL);
            assert!(small.len() < MAIL_TEXT.len() / 2, "{}", small.len());
            let length = MAIL_TEXT.len();
            assert_eq!(back(&known, MAIL, &small, length).unwrap(), MAIL_TEXT);
            assert_eq!(back(&known, MAIL, &small, length - 1), None);
            assert_eq!(back(&known, NONE, &small, length), None);
            assert_eq!(back(&known, 7, &small, length), None);
        }
        let plain = zstd::bulk::compress(MAIL_TEXT, 3).unwrap();
        let plain = back(&known, NONE, &plain, MAIL_TEXT.len());
        assert_eq!(plain.unwrap(), MAIL_TEXT);
    }

    #[test]
    fn one_more_is_used_and_the_others_can_be_read_still() {
        let known = Dictionaries::new();
        let (_, old) = known.compress(MAIL_TEXT, Effort::Quick).unwrap();
        let text = |n: usize| {
            let words = [
                "zeppelin", "quartz", "oyster", "lantern", "meadow", "violin",
            ];
            let line: Vec<&str> = (0..60).map(|at| words[(n * 7 + at * at) % 6]).collect();
            Bytes::from(format!("{n} {}", line.join(" ")))
        };
        let samples: Vec<Bytes> = (0..1000).map(text).collect();
        let others: Vec<Bytes> = (1000..1100).map(text).collect();
        let (made, with, before) = train(&known, &samples, &others, 8 << 10).unwrap();
        assert!(with < before, "{with} {before}");
        assert_eq!(known.next().unwrap(), 2);
        known.add(2, made.clone()).unwrap();
        assert!(known.add(2, made.clone()).is_err());
        assert!(known.add(1, made).is_err());
        assert!(known.add(3, Bytes::new()).is_err());
        assert_eq!(known.current(), 2);
        let (used, new) = known.compress(&others[0], Effort::Quick).unwrap();
        assert_eq!(used, 2);
        let length = others[0].len();
        assert_eq!(back(&known, 2, &new, length).unwrap(), others[0]);
        // Where it is not known it cannot be read.
        assert_eq!(back(&Dictionaries::new(), 2, &new, length), None);
        let old = back(&known, MAIL, &old, MAIL_TEXT.len());
        assert_eq!(old.unwrap(), MAIL_TEXT);
    }

    #[test]
    fn of_too_few_samples_none_is_made() {
        let known = Dictionaries::new();
        let samples = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        assert!(train(&known, &samples, &samples, 64 << 10).is_none());
        assert!(train(&known, &[], &[], 64 << 10).is_none());
    }
}
