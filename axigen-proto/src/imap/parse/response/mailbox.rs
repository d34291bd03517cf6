//! The grammar of responses about mailboxes: LIST, LSUB, STATUS, NAMESPACE,
//! quotas, rights, and what URLs name.

use nom::Parser;

use super::status::{in_parentheses, object_id};
use super::strings::{
    any_value, astring_text, atom_text, close, decoded, is_nil, mailbox, nstring, open, spaces,
    string,
};
use super::{Counted, trailing};
use crate::imap::extensions::acl::{AclResponse, Rights};
use crate::imap::extensions::metadata::{self, MetadataResponse};
use crate::imap::extensions::quota::{Resource, ResourceUse};
use crate::imap::parse::fault::{Fault, Parsed, expected};
use crate::imap::parse::values::{number64, sp};
use crate::imap::response::{ListItem, MailboxAttribute, Namespace, Response};
use crate::imap::types::{SpecialUse, StatusItem};

/// The response of this name, behind it.
pub(super) fn response<'a>(
    counted: &Counted<'_>,
    name: &str,
    input: &'a [u8],
) -> Parsed<'a, Response> {
    let (rest, ()) = sp(input)?;
    let (rest, response) = match name {
        "LIST" => list(counted, rest).map(|(rest, item)| (rest, Response::List(item)))?,
        "LSUB" => list(counted, rest).map(|(rest, item)| (rest, Response::Lsub(item)))?,
        "STATUS" => status(counted, rest)?,
        "NAMESPACE" => namespace(counted, rest)?,
        "GENURLAUTH" => generated(counted, rest)?,
        "URLFETCH" => url_fetch(counted, rest)?,
        "QUOTA" => quota(counted, rest)?,
        "QUOTAROOT" => quota_root(counted, rest)?,
        "METADATA" => metadata(counted, rest)?,
        "ACL" => acl(counted, rest)?,
        "LISTRIGHTS" => list_rights(counted, rest)?,
        "MYRIGHTS" => {
            let (rest, (mailbox, (), rights)) =
                (|i| mailbox(counted, i), sp, rights).parse(rest)?;
            (
                rest,
                Response::Acl(AclResponse::MyRights { mailbox, rights }),
            )
        }
        _ => return Err(expected(input, "a known response")),
    };
    Ok((trailing(rest), response))
}

/// ```text
/// mailbox-list       = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
///                      [SP mbox-list-extended]
/// mbox-list-extended = "(" [mbox-list-extended-item *(SP mbox-list-extended-item)] ")"
/// ```
fn list<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, ListItem> {
    let (rest, attributes) = in_parentheses(counted, input, atom_text)?;
    let attributes = attributes.iter().map(|name| attribute(name)).collect();
    let (rest, ()) = sp(rest)?;
    let (rest, delimiter) = delimiter(rest)?;
    let (rest, ()) = sp(rest)?;
    let (rest, name) = mailbox(counted, rest)?;
    let mut item = ListItem {
        attributes,
        delimiter,
        name,
        child_subscribed: false,
        old_name: None,
    };
    match rest.strip_prefix(b" (") {
        None => Ok((rest, item)),
        Some(inside) => extended(counted, inside, &mut item).map(|rest| (rest, item)),
    }
}

/// The items behind `(`; those that are unknown are skipped.
fn extended<'a>(
    counted: &Counted<'_>,
    input: &'a [u8],
    item: &mut ListItem,
) -> Result<&'a [u8], nom::Err<Fault<'a>>> {
    let mut rest = input;
    loop {
        rest = spaces(rest);
        if let Some(behind) = rest.strip_prefix(b")") {
            return Ok(behind);
        }
        counted.item(rest)?;
        let (value, (name, ())) = (astring_text, sp).parse(rest)?;
        rest = match name.to_ascii_uppercase().as_str() {
            // RFC 5258 §3.5
            "CHILDINFO" => {
                let (behind, names) = in_parentheses(counted, value, astring_text)?;
                let subscribed = |name: &String| name.eq_ignore_ascii_case("SUBSCRIBED");
                item.child_subscribed = names.iter().any(subscribed);
                behind
            }
            // RFC 9051 §6.3.9.7
            "OLDNAME" => {
                let (behind, old) = mailbox(counted, open(value)?)?;
                item.old_name = Some(old);
                close(behind)?
            }
            _ => any_value(value)?.0,
        };
    }
}

/// `DQUOTE QUOTED-CHAR DQUOTE / nil`
fn delimiter(input: &[u8]) -> Parsed<'_, Option<char>> {
    if is_nil(input) {
        return Ok((&input[3..], None));
    }
    let (rest, text) = string(input)?;
    Ok((rest, String::from_utf8_lossy(&text).chars().next()))
}

fn attribute(name: &str) -> MailboxAttribute {
    const KNOWN: [MailboxAttribute; 10] = [
        MailboxAttribute::HasChildren,
        MailboxAttribute::HasNoChildren,
        MailboxAttribute::Marked,
        MailboxAttribute::NoAccess,
        MailboxAttribute::NoInferiors,
        MailboxAttribute::NonExistent,
        MailboxAttribute::NoSelect,
        MailboxAttribute::Remote,
        MailboxAttribute::Subscribed,
        MailboxAttribute::Unmarked,
    ];
    let special = SpecialUse::EVERY.map(MailboxAttribute::SpecialUse);
    let mut known = KNOWN.into_iter().chain(special);
    known
        .find(|known| known.as_str().eq_ignore_ascii_case(name))
        .unwrap_or_else(|| MailboxAttribute::Other(name.into()))
}

/// ```text
/// "STATUS" SP mailbox SP "(" [status-att-list] ")"
/// status-att-list = status-att-val *(SP status-att-val)
/// ```
/// Items that are unknown, or whose value is no number, are skipped.
fn status<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (rest, (mailbox, ())) = (|i| mailbox(counted, i), sp).parse(input)?;
    let mut rest = open(rest)?;
    let (mut items, mut id) = (Vec::new(), None);
    loop {
        rest = spaces(rest);
        if let Some(behind) = rest.strip_prefix(b")") {
            let response = Response::MailboxStatus { mailbox, items, id };
            return Ok((behind, response));
        }
        counted.item(rest)?;
        let (value, (name, ())) = (atom_text, sp).parse(rest)?;
        rest = match crate::imap::parse::status_item(name.as_bytes()) {
            Ok((b"", StatusItem::MailboxId)) => {
                let (behind, found) = object_id(value)?;
                id = Some(found);
                behind
            }
            Ok((b"", item)) if value.first().is_some_and(u8::is_ascii_digit) => {
                let (behind, number) = number64(value)?;
                items.push((item, number));
                behind
            }
            _ => any_value(value)?.0,
        };
    }
}

/// ```text
/// namespace-response = "NAMESPACE" SP namespace SP namespace SP namespace
/// ```
fn namespace<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let one = |i: &'a [u8]| namespaces(counted, i);
    let (rest, personal) = one(input)?;
    let (rest, ()) = sp(rest)?;
    let (rest, other) = one(rest)?;
    let (rest, ()) = sp(rest)?;
    let (rest, shared) = one(rest)?;
    let response = Response::Namespace {
        personal,
        other,
        shared,
    };
    Ok((rest, response))
}

/// ```text
/// namespace       = nil / "(" 1*namespace-descr ")"
/// namespace-descr = "(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil)
///                   [namespace-response-extensions] ")"
/// ```
fn namespaces<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Vec<Namespace>> {
    if is_nil(input) {
        return Ok((&input[3..], Vec::new()));
    }
    in_parentheses(counted, input, |i| {
        let (rest, (prefix, (), delimiter)) = (string, sp, delimiter).parse(open(i)?)?;
        let prefix = decoded(counted, &prefix);
        let mut rest = spaces(rest);
        while rest.first().is_some_and(|&b| b != b')') {
            rest = spaces(any_value(rest)?.0);
        }
        Ok((close(rest)?, Namespace { prefix, delimiter }))
    })
}

/// `genurlauth-data = "GENURLAUTH" 1*(SP url-full)` (RFC 4467 §9)
fn generated<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let mut rest = input;
    let mut urls = Vec::new();
    while !rest.is_empty() {
        counted.item(rest)?;
        let (behind, url) = astring_text(rest)?;
        urls.push(url);
        rest = spaces(behind);
    }
    Ok((rest, Response::GenUrlAuth(urls)))
}

/// `urlfetch-data = "URLFETCH" 1*(SP url-full SP nstring)` (RFC 4467 §9)
fn url_fetch<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let mut rest = input;
    let mut found = Vec::new();
    while !rest.is_empty() {
        counted.item(rest)?;
        let (behind, (url, (), data)) = (astring_text, sp, nstring).parse(rest)?;
        found.push((url, data));
        rest = spaces(behind);
    }
    Ok((rest, Response::UrlFetch(found)))
}

/// ```text
/// quota-response = "QUOTA" SP quota-root-name SP quota-list
/// quota-list     = "(" quota-resource *(SP quota-resource) ")"
/// quota-resource = resource-name SP resource-usage SP resource-limit
/// ```
/// Resources that are unknown are skipped.
fn quota<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (rest, (root, ())) = (astring_text, sp).parse(input)?;
    let (rest, resources) = in_parentheses(counted, rest, |i| {
        let (rest, (name, (), used, (), limit)) =
            (atom_text, sp, number64, sp, number64).parse(i)?;
        let known = [Resource::Storage, Resource::Message, Resource::Mailbox];
        let known = known
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(&name));
        let of = known.map(|resource| ResourceUse {
            resource,
            used,
            limit,
        });
        Ok((rest, of))
    })?;
    let resources = resources.into_iter().flatten().collect();
    Ok((rest, Response::Quota { root, resources }))
}

/// ```text
/// metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)
/// entry-values  = "(" entry-value *(SP entry-value) ")"
/// entry-list    = entry *(SP entry)
/// ```
fn metadata<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (rest, (mailbox, ())) = (|i| mailbox(counted, i), sp).parse(input)?;
    if rest.first() != Some(&b'(') {
        let mut entries = Vec::new();
        let mut rest = rest;
        loop {
            counted.item(rest)?;
            let (behind, entry) = metadata::entry(rest)?;
            entries.push(entry);
            rest = match behind.strip_prefix(b" ") {
                Some(more) if !more.is_empty() => more,
                _ => behind,
            };
            if rest.len() == behind.len() {
                let changed = MetadataResponse::Changed { mailbox, entries };
                return Ok((behind, Response::Metadata(changed)));
            }
        }
    }
    let (rest, values) = in_parentheses(counted, rest, |input| {
        let (rest, (entry, (), value)) = (metadata::entry, sp, nstring).parse(input)?;
        Ok((rest, (entry, value)))
    })?;
    let values = MetadataResponse::Values { mailbox, values };
    Ok((rest, Response::Metadata(values)))
}

/// `quotaroot-response = "QUOTAROOT" SP mailbox *(SP quota-root-name)`
fn quota_root<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (mut rest, mailbox) = mailbox(counted, input)?;
    let mut roots = Vec::new();
    loop {
        rest = spaces(rest);
        if rest.is_empty() {
            return Ok((rest, Response::QuotaRoot { mailbox, roots }));
        }
        counted.item(rest)?;
        let (behind, root) = astring_text(rest)?;
        roots.push(root);
        rest = behind;
    }
}

/// `acl-data = "ACL" SP mailbox *(SP identifier SP rights)`
fn acl<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (mut rest, mailbox) = mailbox(counted, input)?;
    let mut entries = Vec::new();
    loop {
        rest = spaces(rest);
        if rest.is_empty() {
            return Ok((rest, Response::Acl(AclResponse::Acl { mailbox, entries })));
        }
        counted.item(rest)?;
        let (behind, (identifier, (), rights)) = (astring_text, sp, rights).parse(rest)?;
        entries.push((identifier, rights));
        rest = behind;
    }
}

/// `listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)`
fn list_rights<'a>(counted: &Counted<'_>, input: &'a [u8]) -> Parsed<'a, Response> {
    let (mut rest, (mailbox, (), identifier, (), required)) =
        (|i| mailbox(counted, i), sp, astring_text, sp, rights).parse(input)?;
    let mut optional: Vec<(&[u8], Rights)> = Vec::new();
    loop {
        rest = spaces(rest);
        if rest.is_empty() {
            // §2.1.1: `c` and `d` by themselves say nothing new beside today's rights.
            let today = optional
                .iter()
                .any(|(text, _)| text.iter().any(|letter| b"kxte".contains(letter)));
            let old = |text: &[u8]| text.iter().all(|letter| b"\"cd".contains(letter));
            optional.retain(|(text, rights)| !today || rights.is_empty() || !old(text));
            let response = AclResponse::ListRights {
                mailbox,
                identifier,
                required,
                optional: optional.into_iter().map(|(_, rights)| rights).collect(),
            };
            return Ok((rest, Response::Acl(response)));
        }
        counted.item(rest)?;
        let (behind, one) = rights(rest)?;
        optional.push((&rest[..rest.len() - behind.len()], one));
        rest = behind;
    }
}

/// `rights = astring`. Letters that are unknown are left out, and so are `c` and
/// `d` where those stand that they were before
/// ([RFC 4314 §2.1.1](https://www.rfc-editor.org/rfc/rfc4314#section-2.1.1)).
fn rights(input: &[u8]) -> Parsed<'_, Rights> {
    let (rest, text) = astring_text(input)?;
    let today = text.contains(['k', 'x', 't', 'e']);
    let letters = text
        .chars()
        .filter(|letter| !(today && matches!(letter, 'c' | 'd')));
    let rights = letters
        .filter_map(|letter| Rights::parse(letter.encode_utf8(&mut [0; 4])))
        .fold(Rights::NONE, Rights::with);
    Ok((rest, rights))
}
