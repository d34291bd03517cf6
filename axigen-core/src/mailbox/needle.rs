//! A string that is looked for in texts, whatever the case of its letters.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use encoding_rs::Encoding;

use super::casemap::{casemap, casemap_into, stays_foreign};

/// So many times the length of a text may be compared before it is searched in
/// another way.
const TIMES: usize = 8;

/// A string to be found, folded by i;unicode-casemap, and what is known of it
/// before any text is looked at.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    folded: String,
    /// Whether it can be in ASCII: all of it is, and in capitals.
    ascii: bool,
    /// Where in it its rarest byte stands.
    rarest: usize,
    finder: Finder<'static>,
    /// UIDs of messages that it is in, ascending: see [`Needle::knows`].
    sure: Vec<u32>,
}

impl Needle {
    /// Of a string as the client sent it.
    pub(super) fn new(text: &str) -> Needle {
        let folded = casemap(text);
        let rarest = (0..folded.len())
            .max_by_key(|at| folded.as_bytes().get(*at).map(|byte| rarity(*byte)))
            .unwrap_or(0);
        let is_capital = |byte: u8| byte.is_ascii() && !byte.is_ascii_lowercase();
        Needle {
            ascii: folded.bytes().all(is_capital),
            rarest,
            finder: Finder::new(folded.as_bytes()).into_owned(),
            folded,
            sure: Vec::new(),
        }
    }

    /// The string, folded.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    pub(super) fn is_empty(&self) -> bool {
        self.folded.is_empty()
    }

    /// Messages that need not be looked at, as the string is in them; UIDs,
    /// ascending.
    pub(super) fn learn(&mut self, uids: &[u32]) {
        self.sure = uids.to_vec();
    }

    /// Whether the message is known to have it.
    pub(super) fn knows(&self, uid: u32) -> bool {
        self.sure.binary_search(&uid).is_ok()
    }

    /// Whether it is in a text. An empty string is in everything.
    pub(super) fn is_in(&self, text: &str) -> bool {
        // In letters of ASCII among others, too: of no other letter a part is one of them.
        (self.ascii && self.is_in_ascii(text.as_bytes())) || self.is_around(text)
    }

    /// Whether it is in a text so that a character that is not ASCII has a part in it. Only such
    /// characters and what is near them are folded.
    fn is_around(&self, text: &str) -> bool {
        let near = self.folded.len().saturating_sub(1);
        let next = |from: usize| {
            let rest = text.as_bytes().get(from..).unwrap_or_default();
            let found = Encoding::ascii_valid_up_to(rest);
            (found < rest.len()).then_some(from + found)
        };
        let mut folded = String::new();
        let mut after = 0;
        while let Some(first) = next(after) {
            let mut of_use = false;
            let mut at = first;
            // Up to where there is more ASCII than it is long.
            after = loop {
                let rest = text.get(at..).unwrap_or_default();
                let mut chars = rest.chars();
                let others = chars.by_ref().take_while(|char| !char.is_ascii());
                let mut length = 0;
                for char in others {
                    length += char.len_utf8();
                    of_use |= !(self.ascii && stays_foreign(char));
                }
                let end = at + length;
                match next(end) {
                    Some(more) if more - end <= near => at = more,
                    _ => break end,
                }
            };
            if !of_use {
                continue;
            }
            let range = first.saturating_sub(near)..text.len().min(after + near);
            folded.clear();
            casemap_into(text.get(range).unwrap_or_default(), &mut folded);
            if self.finder.find(folded.as_bytes()).is_some() {
                return true;
            }
        }
        self.folded.is_empty()
    }

    /// Without folding the text: most mail is ASCII.
    fn is_in_ascii(&self, text: &[u8]) -> bool {
        let folded = self.folded.as_bytes();
        let Some(&rarest) = folded.get(self.rarest) else {
            return true;
        };
        let lower = rarest.to_ascii_lowercase();
        let mut at = self.rarest;
        // What may be compared in vain. Who wrote the text may know the string.
        let mut room = TIMES * text.len();
        // The byte at `at` is where the rarest one of the string may stand.
        while let Some(rest) = text.get(at..) {
            let found = match lower == rarest {
                true => memchr(rarest, rest),
                false => memchr2(rarest, lower, rest),
            };
            let Some(found) = found else { return false };
            at += found;
            let start = at - self.rarest;
            match text.get(start..start + folded.len()) {
                Some(window) if window.eq_ignore_ascii_case(folded) => return true,
                Some(_) => at += 1,
                None => return false,
            }
            room = match room.checked_sub(folded.len()) {
                Some(room) => room,
                // This one takes a time of the text's length, but begins slowly.
                None => {
                    let rest = text.get(start..).unwrap_or_default().to_ascii_uppercase();
                    return self.finder.find(&rest).is_some();
                }
            }
        }
        false
    }
}

/// How seldom a byte of a folded string is in mail: letters by their frequency,
/// everything else before them but spaces.
fn rarity(byte: u8) -> u8 {
    const FREQUENT: &[u8] = b" ETAOINSRHLDCUMFPGWYBVKXJQZ";
    let at = FREQUENT.iter().position(|known| *known == byte);
    at.map_or(u8::MAX, |at| at as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Needle;
    use crate::mailbox::casemap::casemap;

    #[test]
    fn in_any_case() {
        for (needle, text, is_in) in [
            ("", "", true),
            ("a", "", false),
            ("Zürich", "in zÜRICH", true),
            ("zürich", "in Zurich", false),
            ("1", "①", true),
            ("e-mail", "an E-MAIL", true),
            ("-mailx", "an E-MAIL", false),
            ("fine", "eine ﬁne", false),
            ("ﬁne", "fine", false),
            ("ﬁne", "встреча: ﬁne", true),
            ("cafe", "встреча im Café", true),
            ("e\u{301} x", "Café X", true),
            ("meeting", "встреча MEETing 予定", true),
            ("tre", "встреча", false),
        ] {
            assert_eq!(
                Needle::new(needle).is_in(text),
                is_in,
                "{needle:?} {text:?}"
            );
        }
    }

    #[test]
    fn a_long_string_in_a_text_that_is_almost_it_costs_no_square() {
        // Compared at each place it would be 64,000 times a million.
        let needle = "z".repeat(64_000) + "a" + &"z".repeat(5);
        let text = "Z".repeat(4_000_000);
        let begun = std::time::Instant::now();
        assert!(!Needle::new(&needle).is_in(&text));
        assert!(Needle::new(&needle).is_in(&(text + &needle)));
        assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    }

    proptest! {
        #[test]
        fn as_by_folding_however_often_it_begins(text in "[abAB]{0,200}", needle in "[ab]{1,12}") {
            let folded = casemap(&text).contains(&casemap(&needle));
            prop_assert_eq!(Needle::new(&needle).is_in(&text), folded);
        }

        #[test]
        fn as_by_folding(text in "[a-cA-C \u{e4}①ﬁпУ定-]{0,40}", needle in "[a-cA-C \u{c4}1ﬁп定-]{0,4}") {
            let folded = casemap(&text).contains(&casemap(&needle));
            prop_assert_eq!(Needle::new(&needle).is_in(&text), folded);
        }

        #[test]
        fn as_by_folding_far_from_it(parts in proptest::collection::vec("[abA]{0,9}[ä①定]?", 0..8), needle in "[abA1]{1,6}") {
            let text = parts.concat();
            let folded = casemap(&text).contains(&casemap(&needle));
            prop_assert_eq!(Needle::new(&needle).is_in(&text), folded);
        }
    }
}
