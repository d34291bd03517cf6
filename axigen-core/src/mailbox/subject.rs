//! The base subject: what is left of a subject without "Re:" and the like.
//! [RFC 5256 §2.1](https://www.rfc-editor.org/rfc/rfc5256#section-2.1)

use super::casemap::casemap;
use super::search::decode_words;

/// A subject as SORT and THREAD compare it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BaseSubject {
    /// What is left, as i;unicode-casemap compares it.
    pub(super) text: String,
    /// Whether something was removed that answers and forwarded mails have.
    pub(super) reply: bool,
}

impl BaseSubject {
    /// Of the value of a Subject field; encoded words are decoded.
    pub(super) fn of(value: &[u8]) -> BaseSubject {
        // Step 1: encoded words, tabs, folds and runs of spaces.
        let decoded = decode_words(value);
        let words: Vec<&str> = decoded.split([' ', '\t', '\r', '\n']).collect();
        let mut spaced = String::with_capacity(decoded.len());
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            if !spaced.is_empty() {
                spaced.push(' ');
            }
            spaced.push_str(word);
        }
        // ASCII letters only, so that every index stays where it is.
        let lower = spaced.to_ascii_lowercase();
        let (mut text, mut reply) = (&lower[..], false);
        loop {
            // Step 2: subj-trailer.
            loop {
                let trimmed = text.trim_end_matches(' ');
                match trimmed.strip_suffix("(fwd)") {
                    Some(before) => (text, reply) = (before, true),
                    None => {
                        text = trimmed;
                        break;
                    }
                }
            }
            // Steps 3 to 5: subj-leader, and a subj-blob that is not all there is.
            loop {
                text = text.trim_start_matches(' ');
                let (last, behind) = blobs(text);
                match refwd(behind) {
                    Some(rest) => (text, reply) = (rest, true),
                    // No leader is behind any of these blobs, so all go at once:
                    // a long row of them is not looked at again for each.
                    None => {
                        text = if behind.is_empty() { last } else { behind };
                        break;
                    }
                }
            }
            // Step 6: subj-fwd.
            match text
                .strip_prefix("[fwd:")
                .and_then(|inner| inner.strip_suffix(']'))
            {
                Some(inner) => (text, reply) = (inner, true),
                None => break,
            }
        }
        let text = casemap(text);
        BaseSubject { text, reply }
    }
}

/// Where the last of `*subj-blob` begins, and what follows it; of none the text.
fn blobs(text: &str) -> (&str, &str) {
    let (mut last, mut behind) = (text, text);
    while let Some(rest) = blob(behind) {
        (last, behind) = (behind, rest);
    }
    (last, behind)
}

/// What follows `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`.
fn refwd(text: &str) -> Option<&str> {
    let rest = ["re", "fwd", "fw"]
        .iter()
        .find_map(|name| text.strip_prefix(name))?;
    let rest = rest.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// What follows `subj-blob = "[" *BLOBCHAR "]" *WSP`.
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let rest = inner.get(end..)?.strip_prefix(']')?;
    Some(rest.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        for (subject, left, reply) in [
            ("Hello", "hello", false),
            ("Re: Hello", "hello", true),
            ("RE : Hello", "hello", true),
            ("re[2]: Hello", "hello", true),
            ("Re: Fwd: FW: Hello (fwd) (FWD) ", "hello", true),
            ("[list] Re: [list] Hello", "hello", true),
            ("[list] Hello", "hello", false),
            ("[list]", "[list]", false),
            ("[a] [b]", "[b]", false),
            ("[Fwd: Re: Hello]", "hello", true),
            ("[fwd: [fwd: a] (fwd)]", "a", true),
            ("Re:", "", true),
            ("(fwd)", "", true),
            ("  a \t b\r\n c  ", "a b c", false),
            ("Regarding: this", "regarding: this", false),
            ("=?utf-8?q?Re=3A_Gr=C3=BC=C3=9FE?=", "grüße", true),
            ("", "", false),
            ("[unclosed", "[unclosed", false),
            ("Réponse: Ä", "réponse: ä", false),
        ] {
            let base = BaseSubject::of(subject.as_bytes());
            assert_eq!((base.text, base.reply), (casemap(left), reply), "{subject}");
        }
    }

    #[test]
    fn long_rows_of_what_is_taken_away_cost_no_square() {
        // With a square each of these is minutes; a second is a thousand times
        // what they need.
        let many = 200_000;
        let begun = std::time::Instant::now();
        for (subject, left) in [
            ("[]".repeat(many) + "x", "X"),
            ("[a] ".repeat(many), "[A]"),
            ("[]".repeat(many) + "re:x", "X"),
            ("re:".repeat(many) + "x", "X"),
            ("re[a]:[b]".repeat(many) + "x", "X"),
            ("x".to_owned() + &"(fwd) ".repeat(many), "X"),
            ("[fwd:".repeat(many) + "x" + &"]".repeat(many), "X"),
            ("[fwd:[]".repeat(many) + "x" + &"]".repeat(many), "X"),
        ] {
            assert_eq!(BaseSubject::of(subject.as_bytes()).text, left);
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    }
}
