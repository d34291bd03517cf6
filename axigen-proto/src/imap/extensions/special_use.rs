//! CREATE with a special use ([RFC 6154](https://www.rfc-editor.org/rfc/rfc6154)).

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::sequence::preceded;

use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{flag, list0, list1, sp};
use crate::imap::response::{Code, Status};
use crate::imap::types::SpecialUse;

/// ```text
/// "(" create-param *(SP create-param) ")"
/// create-param =/ "USE" SP "(" [use-attr *(SP use-attr)] ")"
/// ```
pub(crate) fn create_params(input: &[u8]) -> Parsed<'_, Vec<SpecialUse>> {
    let (rest, params) = list1(create_param)(input)?;
    Ok((rest, params.concat()))
}

fn create_param(input: &[u8]) -> Parsed<'_, Vec<SpecialUse>> {
    preceded(
        (expect("USE", tag_no_case("USE")), sp),
        list0(use_attribute),
    )
    .parse(input)
}

/// `use-attr = "\All" / "\Archive" / .. / use-attr-ext`
fn use_attribute(input: &[u8]) -> Parsed<'_, SpecialUse> {
    let (rest, attribute) = expect("a special use", flag)(input)?;
    let name = attribute.to_string();
    SpecialUse::EVERY
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(&name))
        .map(|known| (rest, known))
        // RFC 6154 §3: NO with USEATTR.
        .ok_or_else(|| {
            refused(
                input,
                Status::no("This special use is not supported").with(Code::UseAttr),
            )
        })
}
