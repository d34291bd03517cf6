//! ESEARCH ([RFC 4731](https://www.rfc-editor.org/rfc/rfc4731)) and SEARCHRES
//! ([RFC 5182](https://www.rfc-editor.org/rfc/rfc5182)): what SEARCH returns.

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::{cut, map};
use nom::sequence::preceded;

use super::partial::{PartialRange, partial_range};
use crate::imap::command::SearchReturn;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{list0, sp, word};
use crate::imap::response::Status;

/// ```text
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
/// search-return-opt  = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range /
///                      "UPDATE" / "CONTEXT"
/// ```
pub(crate) fn return_options(input: &[u8]) -> Parsed<'_, SearchReturn> {
    let (rest, _) = (sp, tag_no_case("RETURN")).parse(input)?;
    // From here on it cannot be anything else.
    let (rest, given) = cut(preceded(sp, list0(return_option))).parse(rest)?;
    let mut options = SearchReturn::default();
    for option in &given {
        match option {
            ReturnOption::Min => options.min = true,
            ReturnOption::Max => options.max = true,
            ReturnOption::All => options.all = true,
            ReturnOption::Count => options.count = true,
            ReturnOption::Save => options.save = true,
            ReturnOption::Update => options.update = true,
            ReturnOption::Context => options.context = true,
            ReturnOption::Partial(_) if options.partial.is_some() => {
                return Err(refused(input, Status::bad("PARTIAL stands there twice")));
            }
            ReturnOption::Partial(range) => options.partial = Some(*range),
        }
    }
    // RFC 9394 §3.1
    if options.all && options.partial.is_some() {
        return Err(refused(
            input,
            Status::bad("ALL and PARTIAL exclude each other"),
        ));
    }
    // RFC 4731 §3.1: an empty list is the same as ALL.
    if given.is_empty() {
        options.all = true;
    }
    Ok((rest, options))
}

enum ReturnOption {
    Min,
    Max,
    All,
    Count,
    Save,
    Update,
    Context,
    Partial(PartialRange),
}

fn return_option(input: &[u8]) -> Parsed<'_, ReturnOption> {
    let (rest, name) = expect("a return option", word)(input)?;
    let option = match name.as_str() {
        "MIN" => ReturnOption::Min,
        "MAX" => ReturnOption::Max,
        "ALL" => ReturnOption::All,
        "COUNT" => ReturnOption::Count,
        "SAVE" => ReturnOption::Save,
        "UPDATE" => ReturnOption::Update,
        "CONTEXT" => ReturnOption::Context,
        "PARTIAL" => return map(partial_range, ReturnOption::Partial).parse(rest),
        _ => {
            return Err(refused(
                input,
                Status::bad("Unknown return option of SEARCH"),
            ));
        }
    };
    Ok((rest, option))
}
