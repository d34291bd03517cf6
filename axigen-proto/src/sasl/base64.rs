//! Lines of an authentication exchange: base64 as SMTP, IMAP and POP3 send it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A line that is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is not valid base64")]
pub struct BadBase64;

/// Decodes a client's line. Strict: no white space, padding where it belongs
/// ([RFC 4648 §3.3](https://www.rfc-editor.org/rfc/rfc4648#section-3.3)).
/// A single `=` is an empty response
/// ([RFC 4954 §4](https://www.rfc-editor.org/rfc/rfc4954#section-4)); the caller has looked for `*`
/// (cancel) before.
///
/// # Errors
/// [`BadBase64`].
pub fn decode_line(line: &[u8]) -> Result<Vec<u8>, BadBase64> {
    if line == b"=" {
        return Ok(Vec::new());
    }
    STANDARD.decode(line).map_err(|_| BadBase64)
}

/// Encodes a challenge or a response.
pub fn encode_line(message: &[u8]) -> String {
    STANDARD.encode(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict() {
        assert_eq!(decode_line(b"AGE=").as_deref(), Ok(&b"\0a"[..]));
        assert_eq!(decode_line(b"="), Ok(Vec::new()));
        assert_eq!(decode_line(b""), Ok(Vec::new()));
        for bad in [
            &b"AGE"[..],
            b"AG E",
            b"AGE==",
            b"\tAGE=",
            b"AGF=",
            b"====",
            b"*",
            b"A\0A=",
        ] {
            assert_eq!(decode_line(bad), Err(BadBase64), "{bad:?}");
        }
    }
}
