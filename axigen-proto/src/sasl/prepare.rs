//! Names and passwords made comparable.

use unicode_normalization::UnicodeNormalization;

/// The text has a character that no name or password may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a control character or another prohibited character is in it")]
pub struct Prohibited;

/// Prepares a user name or password for comparison, after SASLprep
/// ([RFC 4013](https://www.rfc-editor.org/rfc/rfc4013)). The mechanisms here apply
/// it to what a client sends; a directory must apply it to each password that is
/// set, before hashing. What is ASCII and printable comes out unchanged, and
/// what is prepared already stays as it is.
///
/// What it does: characters that are commonly mapped to nothing are dropped and
/// other spaces become the ASCII space (§2.1), then all is composed and made
/// compatible (NFKC, §2.2), and prohibited characters are refused (§2.3).
///
/// What it leaves: the check of bidirectional text (§2.4), without which a few
/// names and passwords are accepted that a client might refuse to send.
///
/// # Errors
/// [`Prohibited`]: control characters (NUL among them), private use,
/// non-characters, tags, marks that change the direction of text.
pub fn prepare(text: &str) -> Result<String, Prohibited> {
    let mapped = text.chars().filter(|c| !is_mapped_to_nothing(*c));
    let mapped = mapped.map(|c| if is_space(c) { ' ' } else { c });
    let prepared: String = match text.is_ascii() {
        true => mapped.collect(),
        false => mapped.nfkc().collect(),
    };
    match prepared.chars().any(is_prohibited) {
        true => Err(Prohibited),
        false => Ok(prepared),
    }
}

/// RFC 3454 B.1.
fn is_mapped_to_nothing(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{1806}' | '\u{180B}'..='\u{180D}'
        | '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

/// RFC 3454 C.1.2, without U+200B, which B.1 drops.
fn is_space(c: char) -> bool {
    matches!(
        c,
        '\u{00A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
    )
}

/// RFC 3454 C.2.1 to C.9 (surrogates, C.5, cannot be in a `char`).
fn is_prohibited(c: char) -> bool {
    let n = u32::from(c);
    c.is_control()
        || matches!(c,
            // C.2.2
            '\u{06DD}' | '\u{070F}' | '\u{180E}' | '\u{2028}' | '\u{2029}'
            | '\u{2061}'..='\u{2063}' | '\u{206A}'..='\u{206F}'
            | '\u{FFF9}'..='\u{FFFC}' | '\u{1D173}'..='\u{1D17A}'
            // C.3
            | '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFD}'
            // C.4
            | '\u{FDD0}'..='\u{FDEF}'
            // C.6
            | '\u{FFFD}'
            // C.7
            | '\u{2FF0}'..='\u{2FFB}'
            // C.8
            | '\u{0340}' | '\u{0341}' | '\u{200E}' | '\u{200F}'
            | '\u{202A}'..='\u{202E}'
            // C.9
            | '\u{E0001}' | '\u{E0020}'..='\u{E007F}')
        // C.4: the last two of each plane.
        || n & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4013 §3, but for the one of bidirectional text.
    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(prepare("I\u{00AD}X").as_deref(), Ok("IX"));
        assert_eq!(prepare("user").as_deref(), Ok("user"));
        assert_eq!(prepare("USER").as_deref(), Ok("USER"));
        assert_eq!(prepare("\u{00AA}").as_deref(), Ok("a"));
        assert_eq!(prepare("\u{2168}").as_deref(), Ok("IX"));
        assert_eq!(prepare("\u{0007}"), Err(Prohibited));
    }

    #[test]
    fn ascii_is_left_alone() {
        let printable: String = (' '..='~').collect();
        assert_eq!(prepare(&printable), Ok(printable.clone()));
        for c in (0..0x20u8).chain([0x7F]) {
            assert_eq!(prepare(&char::from(c).to_string()), Err(Prohibited));
        }
    }

    #[test]
    fn what_is_not_ascii() {
        assert_eq!(prepare("p\u{00E4}ss").as_deref(), Ok("p\u{00E4}ss"));
        assert_eq!(prepare("pa\u{0308}ss").as_deref(), Ok("p\u{00E4}ss"));
        assert_eq!(prepare("a\u{00A0}b\u{3000}c").as_deref(), Ok("a b c"));
        assert_eq!(prepare("\u{FF41}\u{FF11}\u{FF5E}").as_deref(), Ok("a1~"));
        assert_eq!(prepare("\u{202E}abc"), Err(Prohibited));
        assert_eq!(prepare("\u{E000}"), Err(Prohibited));
        assert_eq!(prepare("\u{1FFFE}"), Err(Prohibited));
        assert_eq!(prepare("\u{10FFFF}"), Err(Prohibited));
        assert_eq!(prepare("\u{1F600}").as_deref(), Ok("\u{1F600}"));
    }
}
