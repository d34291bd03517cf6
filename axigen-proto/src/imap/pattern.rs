//! Matching mailbox names against the patterns of LIST.

use super::command::ListPattern;
use super::types::MailboxName;

const INBOX: &str = "INBOX";

impl ListPattern {
    /// Whether a name matches this pattern behind `reference`.
    ///
    /// `*` matches anything, `%` anything without `delimiter`
    /// ([RFC 9051 §6.3.9](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.9)). INBOX matches in any case.
    /// All ways through the pattern are followed side by side: the work is at
    /// most the length of the pattern times the length of the name, whatever
    /// the wildcards (no backtracking).
    pub fn matches(&self, reference: &str, name: &MailboxName, delimiter: Option<char>) -> bool {
        // RFC 9051 §5.1: INBOX in any case, also above what is below it.
        let rest = name.as_str().strip_prefix(INBOX);
        let is_inbox = rest.is_some_and(|rest| rest.is_empty() || rest.chars().next() == delimiter);
        let folded = if is_inbox { INBOX.len() } else { 0 };
        let mut pattern: Vec<char> = Vec::with_capacity(reference.len() + self.0.len());
        for c in reference.chars().chain(self.0.chars()) {
            // Neighbouring wildcards are as good as one; the stronger one wins.
            match (pattern.last().copied(), c) {
                (Some('*'), '*' | '%') | (Some('%'), '%') => {}
                (Some('%'), '*') => {
                    if let Some(last) = pattern.last_mut() {
                        *last = '*';
                    }
                }
                _ => pattern.push(c),
            }
        }
        let mut here = vec![false; pattern.len() + 1];
        here[0] = true;
        skip_wildcards(&pattern, &mut here);
        let mut next = vec![false; pattern.len() + 1];
        for (position, c) in name.as_str().chars().enumerate() {
            next.fill(false);
            let mut alive = false;
            for (at, &wanted) in pattern.iter().enumerate() {
                if !here[at] {
                    continue;
                }
                match wanted {
                    '*' => next[at] = true,
                    '%' if Some(c) != delimiter => next[at] = true,
                    '%' => continue,
                    _ if wanted == c => next[at + 1] = true,
                    _ if position < folded && wanted.eq_ignore_ascii_case(&c) => {
                        next[at + 1] = true;
                    }
                    _ => continue,
                }
                alive = true;
            }
            if !alive {
                return false;
            }
            skip_wildcards(&pattern, &mut next);
            std::mem::swap(&mut here, &mut next);
        }
        here[pattern.len()]
    }
}

/// A wildcard also matches nothing: a way that stands before one stands behind it too.
fn skip_wildcards(pattern: &[char], ways: &mut [bool]) {
    for (at, &wanted) in pattern.iter().enumerate() {
        if ways[at] && matches!(wanted, '*' | '%') {
            ways[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        ListPattern(pattern.to_owned()).matches("", &name.into(), Some('/'))
    }

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a*", "a/b/c", true),
            ("*c", "a/b/c", true),
            ("*b%", "a/b/c", false),
            ("%b*", "a/b/c", false),
            ("%*b", "a/b", true),
            ("inbox", "INBOX", true),
            ("in%", "INBOX", true),
            ("inbox", "inbox/x", false),
            ("inbox/%", "INBOX/x", true),
            ("iN*x", "INBOX/x", true),
            ("inbox/X", "INBOX/x", false),
            ("inboxes", "INBOXES", false),
            ("%/inbox", "a/INBOX", false),
            ("foo", "FOO", false),
            ("", "", true),
            ("", "a", false),
            ("ä%", "äö", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
        assert!(ListPattern("%".into()).matches("a/", &"a/b".into(), Some('/')));
        assert!(ListPattern("%".into()).matches("", &"a/b".into(), None));
    }

    #[test]
    fn many_wildcards_cost_little() {
        // CVE-2026-33607: backtracking over such a pattern takes for ever.
        let pattern = "a*%".repeat(300);
        let name = "a".repeat(2000);
        assert!(!matches(&format!("{pattern}b"), &name));
        assert!(matches(&pattern, &name));
    }

    fn plain(pattern: &[char], name: &[char]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some('*'), first) => {
                plain(&pattern[1..], name) || first.is_some() && plain(pattern, &name[1..])
            }
            (Some('%'), first) => {
                plain(&pattern[1..], name)
                    || first.is_some_and(|&c| c != '/') && plain(pattern, &name[1..])
            }
            (Some(p), Some(n)) if p == n => plain(&pattern[1..], &name[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn like_the_plain_definition(pattern in "[ab/*%]{0,8}", name in "[ab/]{0,8}") {
            let p: Vec<char> = pattern.chars().collect();
            let n: Vec<char> = name.chars().collect();
            prop_assert_eq!(matches(&pattern, &name), plain(&p, &n));
        }
    }
}
