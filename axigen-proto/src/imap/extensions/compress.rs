//! COMPRESS ([RFC 4978](https://www.rfc-editor.org/rfc/rfc4978)).

use nom::Parser;
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{atom, sp};
use crate::imap::response::Status;

/// ```text
/// compress  = "COMPRESS" SP algorithm
/// algorithm = "DEFLATE"
/// ```
pub(crate) fn compress(input: &[u8]) -> Parsed<'_, Command> {
    let (rest, name) = preceded(sp, expect("an algorithm", atom)).parse(input)?;
    match name.eq_ignore_ascii_case("DEFLATE") {
        true => Ok((rest, Command::Compress)),
        false => Err(refused(
            input,
            Status::no("The only algorithm of compression is DEFLATE"),
        )),
    }
}
