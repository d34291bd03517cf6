//! Settings of mailboxes, whatever service reaches them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Size;
use crate::mailbox::{Options, names};

/// Limits of mailboxes. They are read when the server starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MailboxSettings {
    /// Most mailboxes of an account.
    pub count: u32,
    /// Longest name of a new mailbox, all its levels together; at most 1000
    /// bytes.
    pub name_size: Size,
    /// Longest level of the name of a new mailbox.
    pub level_size: Size,
    /// Most levels of the name of a new mailbox, 1 to 32.
    pub levels: u32,
}

impl Default for MailboxSettings {
    fn default() -> MailboxSettings {
        let options = Options::default();
        MailboxSettings {
            count: options.mailboxes,
            name_size: Size(options.names.bytes as u64),
            level_size: Size(options.names.level_bytes as u64),
            levels: u32::try_from(options.names.levels).unwrap_or(u32::MAX),
        }
    }
}

impl MailboxSettings {
    /// The same for [`Mailboxes`](crate::mailbox::Mailboxes).
    pub fn options(&self) -> Options {
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        Options {
            mailboxes: self.count,
            names: names::Limits {
                bytes: bytes(self.name_size),
                level_bytes: bytes(self.level_size),
                levels: self.levels as usize,
            },
            ..Options::default()
        }
    }
}
