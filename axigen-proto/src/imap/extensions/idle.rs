//! IDLE ([RFC 2177](https://www.rfc-editor.org/rfc/rfc2177)).

/// `DONE`, the line that ends IDLE, in any case.
pub(crate) fn is_done(line: &[u8]) -> bool {
    line.eq_ignore_ascii_case(b"DONE")
}
