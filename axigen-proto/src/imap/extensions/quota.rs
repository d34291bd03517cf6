//! QUOTA ([RFC 9208](https://www.rfc-editor.org/rfc/rfc9208)): what there is
//! room for. Limits are set by the administrator, so there is no QUOTASET.

use nom::Parser;
use nom::combinator::map;
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{astring_text, mailbox, sp};

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// STORAGE: bytes of all messages, in units of 1024 bytes.
    Storage,
    /// MESSAGE: how many messages.
    Message,
    /// MAILBOX: how many mailboxes.
    Mailbox,
}

impl Resource {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Resource::Storage => "STORAGE",
            Resource::Message => "MESSAGE",
            Resource::Mailbox => "MAILBOX",
        }
    }
}

/// `quota-resource = resource-name SP resource-usage SP resource-limit`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceUse {
    /// What is counted.
    pub resource: Resource,
    /// How much of it is used.
    pub used: u64,
    /// How much there may be.
    pub limit: u64,
}

/// `getquota = "GETQUOTA" SP quota-root-name`
pub(crate) fn get_quota(input: &[u8]) -> Parsed<'_, Command> {
    map(
        preceded(sp, expect("the name of a quota root", astring_text)),
        |root| Command::GetQuota { root },
    )
    .parse(input)
}

/// `getquotaroot = "GETQUOTAROOT" SP mailbox`
pub(crate) fn get_quota_root<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(preceded(sp, |i| mailbox(grammar, i)), |mailbox| {
        Command::GetQuotaRoot { mailbox }
    })
    .parse(input)
}
