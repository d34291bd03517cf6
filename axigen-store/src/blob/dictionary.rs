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
//! They are part of the program and not of the store: a store that lost a file
//! can still be read.
//!
//! | number | dictionary |
//! |---|---|
//! | 0 | none |
//! | 1 | `mail.zdict`, made by `examples/train_dictionary` |

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Without a dictionary.
pub const NONE: u16 = 0;
/// Trained on mail.
pub const MAIL: u16 = 1;
/// What new blobs are compressed with.
pub const CURRENT: u16 = MAIL;

static MAIL_BYTES: &[u8] = include_bytes!("mail.zdict");

/// How hard the compressor tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// zstd level 1: somebody waits.
    Quick,
    /// zstd level 9: upkeep, that nobody waits for.
    Thorough,
}

static QUICK: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(MAIL_BYTES, 1));
static THOROUGH: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(MAIL_BYTES, 9));
static READING: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(MAIL_BYTES));

thread_local! {
    // A context is half a megabyte: made once for each thread.
    static COMPRESS: RefCell<[Option<Compressor<'static>>; 2]> = const { RefCell::new([None, None]) };
    static PLAIN: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static MAIL_CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses with the [current](CURRENT) dictionary; `None` if that fails.
pub(super) fn compress(content: &[u8], effort: Effort) -> Option<Vec<u8>> {
    COMPRESS.with_borrow_mut(|contexts| {
        let (slot, dictionary) = match effort {
            Effort::Quick => (&mut contexts[0], &*QUICK),
            Effort::Thorough => (&mut contexts[1], &*THOROUGH),
        };
        if slot.is_none() {
            *slot = Compressor::with_prepared_dictionary(dictionary).ok();
        }
        slot.as_mut()?.compress(content).ok()
    })
}

/// Fills `target` with what was compressed, and says how much it was; `None`
/// if it cannot be read, or the dictionary is not known.
pub(super) fn decompress(dictionary: u16, compressed: &[u8], target: &mut [u8]) -> Option<usize> {
    let mut run = |slot: &mut Option<Decompressor<'static>>,
                   make: fn() -> Option<Decompressor<'static>>| {
        if slot.is_none() {
            *slot = make();
        }
        slot.as_mut()?.decompress_to_buffer(compressed, target).ok()
    };
    match dictionary {
        NONE => PLAIN.with_borrow_mut(|slot| run(slot, || Decompressor::new().ok())),
        MAIL => MAIL_CONTEXT.with_borrow_mut(|slot| {
            run(slot, || {
                Decompressor::with_prepared_dictionary(&READING).ok()
            })
        }),
        _ => None,
    }
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

    #[test]
    fn a_short_mail_becomes_much_shorter() {
        for effort in [Effort::Quick, Effort::Thorough] {
            let small = compress(MAIL_TEXT, effort).unwrap();
            assert!(small.len() < MAIL_TEXT.len() / 2, "{}", small.len());
            let mut back = vec![0; MAIL_TEXT.len()];
            assert_eq!(decompress(MAIL, &small, &mut back), Some(back.len()));
            assert_eq!(back, MAIL_TEXT);
            assert_eq!(decompress(NONE, &small, &mut back), None);
            assert_eq!(decompress(7, &small, &mut back), None);
        }
        let plain = zstd::bulk::compress(MAIL_TEXT, 3).unwrap();
        let mut back = vec![0; MAIL_TEXT.len()];
        assert_eq!(decompress(NONE, &plain, &mut back), Some(back.len()));
    }
}
