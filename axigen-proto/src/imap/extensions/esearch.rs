//! ESEARCH ([RFC 4731](https://www.rfc-editor.org/rfc/rfc4731)) and SEARCHRES
//! ([RFC 5182](https://www.rfc-editor.org/rfc/rfc5182)): what SEARCH returns.

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::{cut, map};
use nom::sequence::preceded;

use super::partial::{PartialRange, partial_range};
use crate::imap::command::{SearchKey, SearchReturn};
use crate::imap::parse::fault::{Fault, Parsed, expect, refused};
use crate::imap::parse::values::{list0, sp, word};
use crate::imap::response::Status;

/// ```text
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
/// search-return-opt  = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range /
///                      "UPDATE" / "CONTEXT" / "RELEVANCY"
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
            ReturnOption::Relevancy => options.relevancy = true,
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

/// RFC 6203 §4, §6: RELEVANCY goes with FUZZY only.
pub(crate) fn check_relevancy<'a>(
    input: &'a [u8],
    returns: Option<SearchReturn>,
    sorted: bool,
    keys: &[SearchKey],
) -> Result<(), nom::Err<Fault<'a>>> {
    let asked = sorted || returns.is_some_and(|returns| returns.relevancy);
    if asked && !keys.iter().any(SearchKey::is_fuzzy) {
        let status = Status::bad("RELEVANCY needs a FUZZY key");
        return Err(refused(input, status));
    }
    Ok(())
}

enum ReturnOption {
    Min,
    Max,
    All,
    Count,
    Save,
    Relevancy,
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
        "RELEVANCY" => ReturnOption::Relevancy,
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
