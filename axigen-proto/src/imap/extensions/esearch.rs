//! ESEARCH ([RFC 4731](https://www.rfc-editor.org/rfc/rfc4731)) and SEARCHRES
//! ([RFC 5182](https://www.rfc-editor.org/rfc/rfc5182)): what SEARCH returns.

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::cut;
use nom::sequence::preceded;

use crate::imap::command::SearchReturn;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{list0, sp, word};
use crate::imap::response::Status;

/// ```text
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
/// search-return-opt  = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE"
/// ```
pub(crate) fn return_options(input: &[u8]) -> Parsed<'_, SearchReturn> {
    let (rest, _) = (sp, tag_no_case("RETURN")).parse(input)?;
    // From here on it cannot be anything else.
    let (rest, names) = cut(preceded(sp, list0(expect("a return option", word)))).parse(rest)?;
    let mut options = SearchReturn::default();
    for name in &names {
        *match name.as_str() {
            "MIN" => &mut options.min,
            "MAX" => &mut options.max,
            "ALL" => &mut options.all,
            "COUNT" => &mut options.count,
            "SAVE" => &mut options.save,
            _ => {
                return Err(refused(
                    input,
                    Status::bad("Unknown return option of SEARCH"),
                ));
            }
        } = true;
    }
    // RFC 4731 §3.1: an empty list is the same as ALL.
    if names.is_empty() {
        options.all = true;
    }
    Ok((rest, options))
}
