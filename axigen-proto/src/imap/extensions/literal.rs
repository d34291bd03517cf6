//! Literals: synchronising, LITERAL+ and LITERAL-
//! ([RFC 7888](https://www.rfc-editor.org/rfc/rfc7888)), and literal8 (RFC 3516).

/// Largest non-synchronising literal of LITERAL- (RFC 7888 §5).
pub(crate) const LITERAL_MINUS: u64 = 4096;

/// A literal that a line announces at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Literal {
    /// Size in bytes; one beyond all bounds is `u64::MAX`.
    pub(crate) size: u64,
    /// Whether the client waits for our permission.
    pub(crate) synchronising: bool,
    /// Whether it is a literal8.
    pub(crate) binary: bool,
    /// Length of the announcement: `~{n+}`.
    pub(crate) length: usize,
}

/// Finds the announcement at the end of a line.
///
/// ```text
/// literal  = "{" number64 ["+"] "}" CRLF *CHAR8
/// literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
/// ```
/// A quoted string ends with a quote and no atom holds `{`, so the end of a
/// line is never mistaken.
pub(crate) fn announced(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, synchronising) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let digits = inner
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let (before, digits) = inner.split_at(inner.len() - digits);
    let before = before.strip_suffix(b"{")?;
    if digits.is_empty() {
        return None;
    }
    let size = digits.iter().fold(0u64, |size, digit| {
        size.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    let before_tilde = before.strip_suffix(b"~");
    Some(Literal {
        size,
        synchronising,
        binary: before_tilde.is_some(),
        length: line.len() - before_tilde.unwrap_or(before).len(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn announcements() {
        let found = announced(b"a LOGIN {5}").unwrap();
        assert!(found.synchronising && !found.binary);
        assert_eq!((found.size, found.length), (5, 3));
        let found = announced(b"a APPEND x ~{12+}").unwrap();
        assert!(!found.synchronising && found.binary);
        assert_eq!((found.size, found.length), (12, 6));
        assert_eq!(
            announced(b"{99999999999999999999999}").unwrap().size,
            u64::MAX
        );
        for none in [
            &b""[..],
            b"}",
            b"{}",
            b"{+}",
            b"a {5} ",
            b"{5-}",
            b"{5++}",
            b"\"{5}\"",
            b"5}",
        ] {
            assert_eq!(announced(none), None, "{}", none.escape_ascii());
        }
    }
}
