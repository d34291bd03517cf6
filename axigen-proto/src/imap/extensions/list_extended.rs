//! LIST with options ([RFC 5258](https://www.rfc-editor.org/rfc/rfc5258)), with
//! STATUS ([RFC 5819](https://www.rfc-editor.org/rfc/rfc5819)), SPECIAL-USE (RFC 6154) and
//! MYRIGHTS ([RFC 8440](https://www.rfc-editor.org/rfc/rfc8440)).

use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::{cut, map, opt};
use nom::sequence::{preceded, terminated};

use crate::imap::command::{Command, List, ListPattern, ListReturn, ListSelect};
use crate::imap::extensions::metadata::{EntryName, entries};
use crate::imap::parse::fault::{Parsed, expect, expected, refused};
use crate::imap::parse::values::{list_mailbox, list0, list1, reference, sp, word};
use crate::imap::parse::{Grammar, status_item};
use crate::imap::response::{Code, Status};
use crate::imap::types::StatusItem;

/// Most patterns of one LIST: each is held against every mailbox.
const PATTERNS: usize = 64;

/// ```text
/// list        = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
/// mbox-or-pat = list-mailbox / patterns
/// patterns    = "(" list-mailbox *(SP list-mailbox) ")"
/// ```
pub(crate) fn list<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, ()) = sp(input)?;
    let (rest, select) = opt(terminated(select_options, sp)).parse(rest)?;
    let (rest, reference) = reference(grammar, rest)?;
    let (rest, ()) = sp(rest)?;
    let pattern = |i| list_mailbox(grammar, i);
    let many = rest.first() == Some(&b'(');
    let (after, patterns): (_, Vec<ListPattern>) = if many {
        list1(pattern)(rest)?
    } else {
        map(pattern, |pattern| vec![pattern]).parse(rest)?
    };
    if patterns.len() > PATTERNS {
        return Err(refused(
            rest,
            Status::bad("LIST holds more than 64 patterns").with(Code::Limit),
        ));
    }
    let (rest, returns) = opt(preceded(sp, return_options)).parse(after)?;
    let extended = many || select.is_some() || returns.is_some();
    let select = select.unwrap_or_default();
    let mut returns = returns.unwrap_or_default();
    // RFC 9051 §6.3.9.1: the selection option implies the return option.
    returns.subscribed |= select.subscribed;
    returns.special_use |= select.special_use;
    Ok((
        rest,
        Command::List(List {
            select,
            reference,
            patterns,
            returns,
            extended,
        }),
    ))
}

/// ```text
/// list-select-opts = "(" [(*(list-select-opt SP) list-select-base-opt *(SP list-select-opt)) /
///                    (list-select-independent-opt *(SP list-select-independent-opt))] ")"
/// ```
fn select_options(input: &[u8]) -> Parsed<'_, ListSelect> {
    let (rest, names) = list0(expect("a selection option", word))(input)?;
    let mut options = ListSelect::default();
    for name in &names {
        *match name.as_str() {
            "SUBSCRIBED" => &mut options.subscribed,
            "REMOTE" => &mut options.remote,
            "RECURSIVEMATCH" => &mut options.recursive_match,
            "SPECIAL-USE" => &mut options.special_use,
            _ => {
                return Err(refused(
                    input,
                    Status::bad("Unknown selection option of LIST"),
                ));
            }
        } = true;
    }
    // RFC 9051 §6.3.9.1: RECURSIVEMATCH alone, or with REMOTE alone, is an error.
    if options.recursive_match && !(options.subscribed || options.special_use) {
        return Err(refused(
            input,
            Status::bad("RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE"),
        ));
    }
    Ok((rest, options))
}

enum ReturnOption {
    Subscribed,
    Children,
    MyRights,
    Metadata(Vec<EntryName>),
    SpecialUse,
    Status(Vec<StatusItem>),
}

/// `list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"`
fn return_options(input: &[u8]) -> Parsed<'_, ListReturn> {
    let (rest, _) = expect("RETURN", tag_no_case("RETURN"))(input)?;
    let (rest, chosen) = cut(preceded(sp, list0(return_option))).parse(rest)?;
    let mut options = ListReturn::default();
    for option in chosen {
        match option {
            ReturnOption::Subscribed => options.subscribed = true,
            ReturnOption::Children => options.children = true,
            ReturnOption::Metadata(entries) => options.metadata = entries,
            ReturnOption::MyRights => options.my_rights = true,
            ReturnOption::SpecialUse => options.special_use = true,
            ReturnOption::Status(items) => options.status = items,
        }
    }
    Ok((rest, options))
}

/// ```text
/// return-option = "SUBSCRIBED" / "CHILDREN" / "METADATA" SP entries / "MYRIGHTS" / "SPECIAL-USE" / status-option
/// status-option = "STATUS" SP "(" status-att *(SP status-att) ")"
/// ```
fn return_option(input: &[u8]) -> Parsed<'_, ReturnOption> {
    let (rest, name) = expect("a return option", word)(input)?;
    let option = match name.as_str() {
        "SUBSCRIBED" => ReturnOption::Subscribed,
        "CHILDREN" => ReturnOption::Children,
        // RFC 9590 §3: "METADATA" SP entries
        "METADATA" => {
            return map(preceded(sp, entries), ReturnOption::Metadata).parse(rest);
        }
        // RFC 8440 §3
        "MYRIGHTS" => ReturnOption::MyRights,
        "SPECIAL-USE" => ReturnOption::SpecialUse,
        "STATUS" => {
            return map(preceded(sp, list1(status_item)), ReturnOption::Status).parse(rest);
        }
        _ => return Err(expected(input, "a known return option")),
    };
    Ok((rest, option))
}
