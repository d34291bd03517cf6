//! ESEARCH ([RFC 4731](https://www.rfc-editor.org/rfc/rfc4731)) and SEARCHRES
//! ([RFC 5182](https://www.rfc-editor.org/rfc/rfc5182)): what SEARCH returns.

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::{cut, map, opt};
use nom::sequence::preceded;

use super::partial::{PartialRange, partial_range};
use crate::imap::command::{FetchAttribute, SearchKey, SearchReturn};
use crate::imap::parse::fault::{Fault, Parsed, expect, refused};
use crate::imap::parse::fetch::attribute_list;
use crate::imap::parse::values::{list0, sp, word};
use crate::imap::response::Status;

/// ```text
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
/// search-return-opt  = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range /
///                      modifier-update / "CONTEXT" / "RELEVANCY"
/// modifier-update    = "UPDATE" ["(" fetch-att *(SP fetch-att) ")"]
/// ```
/// The second are the attributes behind UPDATE.
pub(crate) fn return_options(input: &[u8]) -> Parsed<'_, (SearchReturn, Vec<FetchAttribute>)> {
    let (rest, _) = (sp, tag_no_case("RETURN")).parse(input)?;
    // From here on it cannot be anything else.
    let (rest, given) = cut(preceded(sp, list0(return_option))).parse(rest)?;
    let mut options = SearchReturn::default();
    let mut update_items = Vec::new();
    let none_given = given.is_empty();
    for option in given {
        match option {
            ReturnOption::Min => options.min = true,
            ReturnOption::Max => options.max = true,
            ReturnOption::All => options.all = true,
            ReturnOption::Count => options.count = true,
            ReturnOption::Save => options.save = true,
            ReturnOption::Relevancy => options.relevancy = true,
            ReturnOption::Update(items) => {
                options.update = true;
                update_items = items;
            }
            ReturnOption::Context => options.context = true,
            ReturnOption::Partial(_) if options.partial.is_some() => {
                return Err(refused(input, Status::bad("PARTIAL stands there twice")));
            }
            ReturnOption::Partial(range) => options.partial = Some(range),
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
    if none_given {
        options.all = true;
    }
    Ok((rest, (options, update_items)))
}

/// `[search-return-opts]`
pub(crate) fn returns(input: &[u8]) -> Parsed<'_, (Option<SearchReturn>, Vec<FetchAttribute>)> {
    let (rest, given) = opt(return_options).parse(input)?;
    Ok((
        rest,
        given.map_or_else(Default::default, |(of, items)| (Some(of), items)),
    ))
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
    /// RFC 5465 §7: what of new messages is told.
    Update(Vec<FetchAttribute>),
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
        "UPDATE" => {
            // RFC 5465 §8 has no space before the list, its example has one.
            let (rest, items) = opt(preceded(opt(sp), attribute_list)).parse(rest)?;
            return Ok((rest, ReturnOption::Update(items.unwrap_or_default())));
        }
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
