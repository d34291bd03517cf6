//! Header fields, their values, their parameters.

use bytes::Bytes;

use super::{PARAMETERS, TEXT};

/// One field of a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'h> {
    /// The name, without the colon.
    pub name: &'h [u8],
    /// The value, folded lines and the line end included.
    pub value: &'h [u8],
    /// All of the field, its line end included.
    pub whole: &'h [u8],
}

/// The fields of a header block, in order. A line that is no field and no
/// continuation counts to the field before it.
pub fn header_fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        loop {
            let end = field_end(rest);
            if end == 0 {
                return None;
            }
            let (whole, after) = rest.split_at(end);
            rest = after;
            if matches!(whole, b"\r\n" | b"\n") {
                return None;
            }
            if let Some(colon) = whole.iter().position(|&b| b == b':') {
                let (name, value) = whole.split_at(colon);
                let name = name.trim_ascii_end();
                if !name.is_empty() && name.iter().all(|&b| b > b' ' && b < 0x7f) {
                    return Some(Field {
                        name,
                        value: value.get(1..).unwrap_or(&[]),
                        whole,
                    });
                }
            }
        }
    })
}

/// Where the first field ends, its continuation lines included.
fn field_end(rest: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let Some(line) = rest.get(end..).filter(|line| !line.is_empty()) else {
            return end;
        };
        if end > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            return end;
        }
        let length = line
            .iter()
            .position(|&b| b == b'\n')
            .map_or(line.len(), |at| at + 1);
        let is_blank = end == 0 && matches!(line.get(..length), Some(b"\r\n" | b"\n"));
        end += length;
        if is_blank {
            return end;
        }
    }
}

impl Field<'_> {
    /// Whether the field has this name, in any case of letters.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value unfolded: line ends gone, white space around it gone (RFC 5322 §2.2.3).
    pub fn unfolded(&self) -> Bytes {
        let value = self
            .value
            .get(..TEXT.min(self.value.len()))
            .unwrap_or(&[])
            .trim_ascii();
        if !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Bytes::copy_from_slice(value);
        }
        value
            .iter()
            .copied()
            .filter(|b| !matches!(b, b'\r' | b'\n' | 0))
            .collect::<Vec<u8>>()
            .into()
    }
}

/// A value and its parameters: `Content-Type`, `Content-Disposition`.
/// Parameters are kept as they were sent (RFC 2231 continuations too), with
/// quotes and backslashes taken away.
pub(super) fn with_params(value: &[u8]) -> (Bytes, Vec<(Bytes, Bytes)>) {
    let mut scan = Scan {
        rest: value,
        last: None,
    };
    let main = scan.until(b";").trim_ascii().to_vec();
    let mut params = Vec::new();
    while !scan.rest.is_empty() && params.len() < PARAMETERS {
        let name = scan.until(b"=;").trim_ascii().to_vec();
        if scan.last != Some(b'=') {
            continue;
        }
        let value = scan.value();
        if !name.is_empty() {
            params.push((Bytes::from(name), Bytes::from(value)));
        }
    }
    (main.into(), params)
}

/// `type/subtype`; `None` if it is not that.
pub(super) fn media_type(value: &Bytes) -> Option<(Bytes, Bytes)> {
    let slash = value.iter().position(|&b| b == b'/')?;
    let token = |bytes: &[u8]| -> Option<Bytes> {
        let bytes = bytes.trim_ascii();
        let good = !bytes.is_empty()
            && bytes
                .iter()
                .all(|&b| b > b' ' && b < 0x7f && !b"()<>@,;:\\\"/[]?=".contains(&b));
        good.then(|| Bytes::copy_from_slice(bytes))
    };
    Some((token(value.get(..slash)?)?, token(value.get(slash + 1..)?)?))
}

/// Walks over a structured value.
struct Scan<'v> {
    rest: &'v [u8],
    /// The byte the last step ended at.
    last: Option<u8>,
}

impl Scan<'_> {
    /// Bytes up to one of `ends` (which is used up), comments left out.
    fn until(&mut self, ends: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.last = None;
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'(' => self.comment(),
                _ if ends.contains(&byte) => {
                    self.last = Some(byte);
                    break;
                }
                _ => out.push(byte),
            }
        }
        out
    }

    /// A parameter's value: a quoted string or a token.
    fn value(&mut self) -> Vec<u8> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.first() != Some(&b'"') {
            return self.until(b";").trim_ascii().to_vec();
        }
        self.rest = self.rest.get(1..).unwrap_or(&[]);
        let mut out = Vec::new();
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'"' => break,
                b'\\' => {
                    if let Some((&next, rest)) = self.rest.split_first() {
                        out.push(next);
                        self.rest = rest;
                    }
                }
                _ => out.push(byte),
            }
        }
        self.until(b";");
        out
    }

    /// The rest of a comment, nested ones included.
    fn comment(&mut self) {
        let mut depth = 1usize;
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => self.rest = self.rest.get(1..).unwrap_or(&[]),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
}
