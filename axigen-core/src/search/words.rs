//! Words: how text is cut for the index, and strings for asking it.
//!
//! Both are cut at the same places, which depend on nothing but the character
//! itself. So wherever a string stands in a text, its inner words are words of
//! that text, its first word is the end of one, its last the beginning of one,
//! and a string without a boundary is inside one.
//!
//! Words that nobody reads, as of signatures, identifiers and links, would fill
//! the dictionary, one line each. They go in as their runs of three characters
//! instead: of these there are few, and a string is found in them by asking for
//! all of its own.

use unicode_normalization::char::is_combining_mark;

/// What a character is in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of no word.
    Gap,
    /// Part of a word.
    Letter,
    /// A word by itself: of a script that is written without spaces.
    Alone,
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c.is_ascii_alphanumeric() {
            true => Class::Letter,
            false => Class::Gap,
        };
    }
    match c {
        // Thai and Lao, Myanmar, Khmer; radicals to Yi with kana and Han; Han.
        '\u{0e00}'..='\u{0eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
            if c.is_alphanumeric() =>
        {
            Class::Alone
        }
        // Folded letters are decomposed: the marks are of the word.
        _ if c.is_alphanumeric() || is_combining_mark(c) => Class::Letter,
        _ => Class::Gap,
    }
}

/// A word of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'t> {
    /// Its characters.
    pub(super) text: &'t str,
    /// Whether something stands before it.
    pub(super) begins: bool,
    /// Whether something stands behind it.
    pub(super) ends: bool,
}

impl Word<'_> {
    /// Whether it cannot be the part of a longer word.
    pub(super) fn is_whole(&self) -> bool {
        self.begins && self.ends
    }
}

/// The words of a folded text, in order.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let mut chars = rest.char_indices();
        let (skipped, first) = chars.find(|(_, c)| class(*c) != Class::Gap)?;
        let alone = class(first) == Class::Alone;
        let length = match alone {
            true => first.len_utf8(),
            false => chars
                .find(|(_, c)| class(*c) != Class::Letter)
                .map_or(rest.len(), |(end, _)| end)
                .saturating_sub(skipped),
        };
        let start = at + skipped;
        at = start + length;
        Some(Word {
            text: text.get(start..at)?,
            begins: alone || start > 0,
            ends: alone || at < text.len(),
        })
    })
}

/// The most characters of a word that stands in the dictionary.
const LONGEST: usize = 20;

/// Whether a word goes in as its runs of three characters. Every word that
/// contains one that does, does too; none has less than four characters.
pub(super) fn is_cut_up(word: &str) -> bool {
    // Short in bytes is short in characters.
    let digit = || word.bytes().any(|b| b.is_ascii_digit());
    (word.len() > LONGEST && word.chars().nth(LONGEST).is_some())
        || (word.len() > 3 && digit() && word.chars().nth(3).is_some())
}

/// The runs of three characters of a word; none of a shorter one.
pub(super) fn threes(word: &str) -> impl Iterator<Item = &str> {
    let ends = word
        .char_indices()
        .map(|(at, _)| at)
        .skip(3)
        .chain([word.len()]);
    let enough = word.chars().nth(2).is_some();
    word.char_indices()
        .zip(ends)
        .filter(move |_| enough)
        .filter_map(|((start, _), end)| word.get(start..end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str) -> Vec<(&str, bool, bool)> {
        words(text)
            .map(|word| (word.text, word.begins, word.ends))
            .collect()
    }

    #[test]
    fn texts_are_cut_at_what_is_no_letter() {
        assert_eq!(
            cut("für müller-söhne, 42"),
            [
                ("für", false, true),
                ("müller", true, true),
                ("söhne", true, true),
                ("42", true, false)
            ]
        );
        assert_eq!(cut(" a "), [("a", true, true)]);
        assert_eq!(cut("…!?"), []);
        assert_eq!(cut(""), []);
        assert_eq!(
            cut("ab日本c"),
            [
                ("ab", false, true),
                ("日", true, true),
                ("本", true, true),
                ("c", true, false)
            ]
        );
    }

    #[test]
    fn threes_are_runs_of_three_characters() {
        let all = |word| threes(word).collect::<Vec<_>>();
        assert_eq!(all("abcde"), ["abc", "bcd", "cde"]);
        assert_eq!(all("äöü"), ["äöü"]);
        assert_eq!(all("ab"), Vec::<&str>::new());
        assert_eq!(all(""), Vec::<&str>::new());
    }

    proptest! {
        /// What the index relies on: see the head of this file.
        #[test]
        fn a_string_in_a_text_has_its_words_there(
            before in "[a-c1 ü\u{308}日-]{0,6}",
            inner in "[a-c1 ü\u{308}日-]{0,30}",
            after in "[a-c1 ü\u{308}日-]{0,6}",
        ) {
            let text = format!("{before}{inner}{after}");
            let of_text: Vec<&str> = words(&text).map(|word| word.text).collect();
            for word in words(&inner) {
                let fits = of_text.iter().any(|whole| match (word.begins, word.ends) {
                    (true, true) => *whole == word.text,
                    (true, false) => whole.starts_with(word.text),
                    (false, true) => whole.ends_with(word.text),
                    (false, false) => whole.contains(word.text),
                });
                prop_assert!(fits, "{word:?} of {inner:?} in {text:?}");
            }
        }

        #[test]
        fn longer_words_are_cut_up_if_their_parts_are(
            before in "[a-z1ü]{0,30}", word in "[a-z1ü]{0,30}", after in "[a-z1ü]{0,30}",
        ) {
            let whole = format!("{before}{word}{after}");
            if is_cut_up(&word) {
                prop_assert!(is_cut_up(&whole));
                prop_assert!(word.chars().count() > 3);
                let of_whole: Vec<&str> = threes(&whole).collect();
                prop_assert!(threes(&word).all(|three| of_whole.contains(&three)));
            }
        }
    }
}
