//! URLAUTH ([RFC 4467](https://www.rfc-editor.org/rfc/rfc4467)): URLs that carry the
//! right to read what they name.

use nom::Parser;
use nom::combinator::{map, opt, verify};
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{astring_text, mailbox, sp};
use crate::imap::types::MailboxName;

/// The one mechanism there is (§5): the server knows by itself what its tokens
/// mean.
pub const INTERNAL: &str = "INTERNAL";

/// A command of URLAUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlAuthCommand {
    /// GENURLAUTH (§7): URLs without their tokens, each with a mechanism in
    /// capitals. At least one.
    Generate(Vec<(String, String)>),
    /// RESETKEY (§6): what was made for the mailbox, or for all of the user's,
    /// is worth nothing any more.
    Reset {
        /// Which mailbox; `None` means all.
        mailbox: Option<MailboxName>,
        /// Mechanisms that are wanted for it, in capitals; none named means all.
        mechanisms: Vec<String>,
    },
    /// URLFETCH (§7): what do these URLs name? At least one.
    Fetch(Vec<String>),
}

/// `genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)`
pub(crate) fn generate(input: &[u8]) -> Parsed<'_, Command> {
    let pair = |input| {
        let (rest, (url, (), mechanism)) = (url, sp, mechanism).parse(input)?;
        Ok((rest, (url, mechanism)))
    };
    map(several(pair), |urls| {
        Command::UrlAuth(UrlAuthCommand::Generate(urls))
    })
    .parse(input)
}

/// `resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]`
pub(crate) fn reset<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, mailbox) = opt(preceded(sp, |i| mailbox(grammar, i))).parse(input)?;
    let (rest, mechanisms) = match mailbox {
        Some(_) if rest.starts_with(b" ") => several(mechanism).parse(rest)?,
        _ => (rest, Vec::new()),
    };
    let reset = UrlAuthCommand::Reset {
        mailbox,
        mechanisms,
    };
    Ok((rest, Command::UrlAuth(reset)))
}

/// `urlfetch = "URLFETCH" 1*(SP url-full)`
pub(crate) fn fetch(input: &[u8]) -> Parsed<'_, Command> {
    map(several(url), |urls| {
        Command::UrlAuth(UrlAuthCommand::Fetch(urls))
    })
    .parse(input)
}

/// `1*(SP item)`
fn several<'a, T>(
    mut item: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, Vec<T>> {
    move |input| {
        let mut items = Vec::new();
        let mut rest = input;
        loop {
            let (behind, one) = preceded(sp, &mut item).parse(rest)?;
            items.push(one);
            if !behind.starts_with(b" ") {
                return Ok((behind, items));
            }
            rest = behind;
        }
    }
}

/// `url-rump = astring`, `url-full = astring`
fn url(input: &[u8]) -> Parsed<'_, String> {
    expect("a URL", astring_text).parse(input)
}

/// `mechanism = "INTERNAL" / 1*(ALPHA / DIGIT / "-" / ".")`
fn mechanism(input: &[u8]) -> Parsed<'_, String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let named = verify(astring_text, move |name: &String| {
        !name.is_empty() && name.bytes().all(letter)
    });
    let name = map(named, |name| name.to_ascii_uppercase());
    expect("the name of a mechanism", name).parse(input)
}
