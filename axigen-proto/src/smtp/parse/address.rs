//! Paths, mailboxes and domains.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while1};
use nom::character::complete::{char, satisfy, space0};
use nom::combinator::{all_consuming, map, map_res, opt, recognize, value};
use nom::multi::{fold_many0, separated_list1};
use nom::sequence::{delimited, preceded, separated_pair, terminated};

use super::{Fault, Parsed};
use crate::smtp::address::{
    AddressError, Domain, DomainName, ForwardPath, Mailbox, ReversePath, is_label_char,
};

pub(in crate::smtp) fn whole_mailbox(text: &str) -> Result<Mailbox, AddressError> {
    whole(
        mailbox,
        text,
        "not an address of the form local-part@domain",
    )
}

pub(in crate::smtp) fn whole_domain(text: &str) -> Result<Domain, AddressError> {
    whole(
        domain_or_literal,
        text,
        "not a domain or an address literal",
    )
}

/// Whether a local part can be written without quotes.
///
/// ```text
/// Dot-string = Atom *("." Atom)
/// Atom       = 1*atext            ; RFC 5321 §4.1.2, with UTF-8 as in RFC 6531 §3.3
/// ```
pub(in crate::smtp) fn is_dot_string(text: &str) -> bool {
    all_consuming(dot_string).parse(text).is_ok()
}

fn whole<'a, T>(
    parser: impl Parser<&'a str, Output = T, Error = Fault>,
    text: &'a str,
    otherwise: &'static str,
) -> Result<T, AddressError> {
    match all_consuming(parser).parse(text) {
        Ok((_, parsed)) => Ok(parsed),
        Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => {
            Err(AddressError(fault.0.unwrap_or(otherwise)))
        }
        Err(nom::Err::Incomplete(_)) => Err(AddressError(otherwise)),
    }
}

/// `Reverse-path = Path / "<>"`
pub(super) fn reverse_path(input: &str) -> Parsed<'_, ReversePath> {
    alt((
        value(ReversePath::Null, (char('<'), space0, char('>'))),
        map(path, ReversePath::Mailbox),
    ))
    .parse(input)
}

/// `Forward-path = Path / "<Postmaster>"`
pub(super) fn forward_path(input: &str) -> Parsed<'_, ForwardPath> {
    alt((
        value(
            ForwardPath::Postmaster,
            (char('<'), tag_no_case("Postmaster"), char('>')),
        ),
        map(path, ForwardPath::Mailbox),
    ))
    .parse(input)
}

/// ```text
/// Path  = "<" [ A-d-l ":" ] Mailbox ">"
/// A-d-l = At-domain *( "," At-domain )    ; dropped, RFC 5321 §C
/// ```
fn path(input: &str) -> Parsed<'_, Mailbox> {
    let route = terminated(
        separated_list1(char(','), preceded(char('@'), domain)),
        char(':'),
    );
    delimited(char('<'), preceded(opt(route), mailbox), char('>')).parse(input)
}

/// `Mailbox = Local-part "@" ( Domain / address-literal )`
fn mailbox(input: &str) -> Parsed<'_, Mailbox> {
    map_res(
        separated_pair(local_part, char('@'), domain_or_literal),
        |(local, domain)| Mailbox::new(local, domain),
    )
    .parse(input)
}

/// `Local-part = Dot-string / Quoted-string`
fn local_part(input: &str) -> Parsed<'_, String> {
    alt((quoted_string, map(dot_string, str::to_owned))).parse(input)
}

/// `Dot-string = Atom *("." Atom)`
fn dot_string(input: &str) -> Parsed<'_, &str> {
    recognize(separated_list1(char('.'), atom)).parse(input)
}

/// ```text
/// Atom  = 1*atext
/// atext = ALPHA / DIGIT / "!#$%&'*+-/=?^_`{|}~" / UTF8-non-ascii   ; RFC 6531 §3.3
/// ```
fn atom(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| {
        if c.is_ascii() {
            c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
        } else {
            !c.is_whitespace() && !c.is_control()
        }
    })
    .parse(input)
}

/// ```text
/// Quoted-string    = DQUOTE *QcontentSMTP DQUOTE
/// QcontentSMTP     = qtextSMTP / quoted-pairSMTP
/// qtextSMTP        = %d32-33 / %d35-91 / %d93-126 / UTF8-non-ascii   ; RFC 6531 §3.3
/// quoted-pairSMTP  = "\" %d32-126
/// ```
fn quoted_string(input: &str) -> Parsed<'_, String> {
    let text = satisfy(|c| !matches!(c, '"' | '\\') && !c.is_control());
    let escaped = preceded(char('\\'), satisfy(|c| c == ' ' || c.is_ascii_graphic()));
    delimited(
        char('"'),
        fold_many0(alt((text, escaped)), String::new, |mut out, c| {
            out.push(c);
            out
        }),
        char('"'),
    )
    .parse(input)
}

/// `Domain / address-literal`
fn domain_or_literal(input: &str) -> Parsed<'_, Domain> {
    alt((address_literal, map(domain, Domain::Name))).parse(input)
}

/// ```text
/// Domain     = sub-domain *("." sub-domain)
/// sub-domain = Let-dig [Ldh-str] / U-label   ; RFC 6531 §3.3
/// ```
fn domain(input: &str) -> Parsed<'_, DomainName> {
    map_res(
        take_while1(|c: char| c == '.' || is_label_char(c)),
        DomainName::new,
    )
    .parse(input)
}

/// ```text
/// address-literal = "[" ( IPv4-address-literal / "IPv6:" IPv6-addr ) "]"
/// ```
/// No other form (General-address-literal) has ever been registered.
fn address_literal(input: &str) -> Parsed<'_, Domain> {
    let text = || take_while1(|c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':'));
    let v6 = map_res(preceded(tag_no_case("IPv6:"), text()), |text: &str| {
        text.parse::<Ipv6Addr>().map(IpAddr::V6)
    });
    let v4 = map_res(text(), |text: &str| {
        text.parse::<Ipv4Addr>().map(IpAddr::V4)
    });
    map(
        delimited(char('['), alt((v6, v4)), char(']')),
        Domain::Address,
    )
    .parse(input)
}
