//! How well a text answers a search that may be inexact: FUZZY.
//! [RFC 6203](https://www.rfc-editor.org/rfc/rfc6203)
//!
//! Every word asked for has to be there, as it stands, inside another word, or
//! with a few letters wrong. How good a message is follows from its text alone,
//! so it is the same with an index and without it.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;

use super::search::fold;

/// The best there is: the text as it was asked for.
pub(super) const BEST: u8 = 100;
/// All words, but not beside each other.
const WORDS: u8 = 80;
/// What a wrong letter costs.
const LETTER: u8 = 20;
/// The least a message that matches is worth (RFC 6203 §4: from 1 to 100).
const LEAST: u8 = 1;
/// Longest word that may have wrong letters, in characters.
const LONGEST: usize = 64;
/// Most words of a string that may have wrong letters; longer strings are looked
/// for as they stand.
const MOST: usize = 32;

/// A string to be looked for.
#[derive(Debug)]
pub(super) struct Fuzzy {
    phrase: String,
    words: Vec<Vec<char>>,
}

impl Fuzzy {
    pub(super) fn new(text: &str) -> Fuzzy {
        let phrase = fold(text);
        let mut words: Vec<Vec<char>> = words(&phrase).map(|word| word.chars().collect()).collect();
        if words.len() > MOST {
            words.clear();
        }
        Fuzzy { phrase, words }
    }

    /// How well a text has it: 0 if it has not, else 1 to 100.
    pub(super) fn score(&self, text: &str) -> u8 {
        let text = fold(text);
        if text.contains(self.phrase.as_str()) {
            return BEST;
        }
        if self.words.is_empty() {
            return 0;
        }
        let mut total = 0;
        for wanted in &self.words {
            match best(&text, wanted) {
                0 => return 0,
                score => total += u32::from(score),
            }
        }
        let mean = total / self.words.len() as u32;
        u8::try_from(mean).map_or(WORDS, |mean| mean.clamp(LEAST, WORDS))
    }
}

/// How well the best word of a text is the one that is wanted.
fn best(text: &str, wanted: &[char]) -> u8 {
    let plain: String = wanted.iter().collect();
    if text.contains(&plain) {
        return WORDS;
    }
    // Short words have too many neighbours.
    let allowed = match wanted.len() {
        0..=3 => return 0,
        4..=7 => 1,
        8..=LONGEST => 2,
        _ => return 0,
    };
    let mut least = allowed + 1;
    let mut letters = Vec::new();
    for word in words(text) {
        letters.clear();
        letters.extend(word.chars().take(LONGEST + 1));
        if letters.len().abs_diff(wanted.len()) < least {
            least = least.min(distance(&letters, wanted, least));
        }
    }
    match u8::try_from(least) {
        Ok(wrong) if least <= allowed => WORDS - LETTER * wrong,
        _ => 0,
    }
}

/// Runs of letters with their marks, and of digits.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || is_combining_mark(c)))
        .filter(|word| !word.is_empty())
}

/// How many letters have to be put in, left out or changed, or put the other way
/// round beside each other; `limit` if it is that many or more.
fn distance(a: &[char], b: &[char], limit: usize) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, &letter) in a.iter().enumerate() {
        let mut here = vec![row + 1];
        for (column, &other) in b.iter().enumerate() {
            let of = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(limit);
            let changed = of(&above, column) + usize::from(letter != other);
            let mut cost = changed
                .min(of(&above, column + 1) + 1)
                .min(of(&here, column) + 1);
            let swapped = row > 0
                && column > 0
                && a.get(row - 1) == Some(&other)
                && b.get(column - 1) == Some(&letter);
            if swapped {
                cost = cost.min(of(&before, column - 1) + 1);
            }
            here.push(cost);
        }
        if here.iter().all(|&cost| cost >= limit) {
            return limit;
        }
        before = std::mem::replace(&mut above, here);
    }
    above.last().copied().unwrap_or(limit).min(limit)
}

/// The best score of several texts.
pub(super) fn best_of<'t>(fuzzy: &Fuzzy, texts: impl Iterator<Item = Cow<'t, str>>) -> u8 {
    let mut most = 0;
    for text in texts {
        most = most.max(fuzzy.score(&text));
        if most == BEST {
            break;
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(wanted: &str, text: &str) -> u8 {
        Fuzzy::new(wanted).score(text)
    }

    #[test]
    fn scores() {
        for (wanted, text, is) in [
            ("imap break", "How to IMAP break things", 100),
            ("imap break", "break the imap", 80),
            ("müller", "Herr Mueller", 60),
            ("muller", "Herr Müller", 60),
            ("invoice", "An invoce for you", 60),
            ("invoice", "An invocie for you", 60),
            ("invoice", "An envelope", 0),
            ("conference", "the confernece room", 60),
            ("conference", "the confrense room", 40),
            ("cat", "car", 0),
            ("", "anything", 100),
            ("...", "none of these", 0),
            ("june invoice", "invoice", 0),
        ] {
            assert_eq!(score(wanted, text), is, "{wanted} in {text}");
        }
    }

    #[test]
    fn long_strings_cost_little() {
        let long = "abcdefgh ".repeat(10_000);
        assert_eq!(score(&long, &long), 100);
        assert_eq!(score(&long, "abcdefgh"), 0);
        assert_eq!(score(&"a".repeat(100_000), &"b".repeat(100_000)), 0);
    }

    proptest! {
        #[test]
        fn distances(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let whole = distance(&a, &b, usize::MAX / 2);
            prop_assert_eq!(whole, distance(&b, &a, usize::MAX / 2));
            prop_assert_eq!(whole == 0, a == b);
            prop_assert!(whole >= a.len().abs_diff(b.len()) && whole <= a.len().max(b.len()));
            for limit in 0..4 {
                prop_assert_eq!(distance(&a, &b, limit), whole.min(limit));
            }
        }
    }
}
