//! The collation i;unicode-casemap, which SEARCH, SORT and THREAD compare texts by.
//! [RFC 5051 §2](https://www.rfc-editor.org/rfc/rfc5051#section-2)

use unicode_normalization::char::decompose_compatible;

/// A text so that two are equal, or in order, as their bytes are.
pub(super) fn casemap(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    casemap_into(text, &mut out);
    out
}

/// [`casemap`], behind what is in `out`.
pub(super) fn casemap_into(text: &str, out: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|byte| !byte.is_ascii());
        let (run, other) = rest.split_at(ascii.unwrap_or(rest.len()));
        let start = out.len();
        out.push_str(run);
        if let Some(run) = out.get_mut(start..) {
            run.make_ascii_uppercase();
        }
        let mut chars = other.chars();
        rest = chars.as_str();
        while let Some(char) = chars.next().filter(|char| !char.is_ascii()) {
            decompose_compatible(titlecase(char), |part| out.push(part));
            rest = chars.as_str();
        }
    }
}

/// Whether a character that is not ASCII is known to have none in what it is mapped to: letters
/// of other scripts, of which whole texts consist.
pub(super) fn stays_foreign(char: char) -> bool {
    matches!(char,
        // Cyrillic, Hebrew, Arabic.
        '\u{400}'..='\u{52f}' | '\u{5d0}'..='\u{5ea}' | '\u{620}'..='\u{669}'
        // Kana, Han, Hangul.
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// The titlecase letter where there is one (UnicodeData's simple mapping).
fn titlecase(char: char) -> char {
    match char {
        // The only letters whose titlecase and uppercase differ, but for the
        // Georgian ones, which are their own titlecase.
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        'ა'..='ჿ' => char,
        _ => {
            let mut upper = char.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                // Several, as of ß: no simple mapping.
                _ => char,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{casemap, stays_foreign};

    #[test]
    fn foreign_letters_are_mapped_to_foreign_ones() {
        let foreign: Vec<char> = ('\u{80}'..=char::MAX)
            .filter(|char| stays_foreign(*char))
            .collect();
        assert!(foreign.len() > 20_000);
        for char in foreign {
            let mapped = casemap(char.encode_utf8(&mut [0; 4]));
            assert!(
                !mapped.contains(|part: char| part.is_ascii()),
                "{char} {mapped}"
            );
        }
        assert!(!stays_foreign('é') && !stays_foreign('①'));
    }

    proptest::proptest! {
        /// What SEARCH and its index rely on.
        #[test]
        fn a_part_stays_a_part(a in ".*", b in ".*", c in ".*") {
            let whole = casemap(&format!("{a}{b}{c}"));
            let parts = [casemap(&a), casemap(&b), casemap(&c)].concat();
            proptest::prop_assert_eq!(whole, parts);
        }
    }

    #[test]
    fn equal_and_in_order() {
        for (a, b) in [
            ("Hello", "hELLO"),
            ("Über", "u\u{308}BER"),
            ("привет", "ПРИВЕТ"),
            ("Ǆ", "ǆ"),
            ("①", "1"),
        ] {
            assert_eq!(casemap(a), casemap(b), "{a} {b}");
        }
        assert_ne!(casemap("ß"), casemap("ss"));
        // The mapping of letters comes first, so what it has none for stays as it is.
        assert_eq!(casemap("ﬁne"), "fiNE");
        // By capitals: '_' stands behind the letters.
        assert!(casemap("z") < casemap("_"));
        assert!(casemap("ü") < casemap("v") && casemap("u") < casemap("ü"));
    }
}
