//! The commands of POP3 as values.

use zeroize::Zeroizing;

/// A command with its arguments. Message numbers count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Who logs in (RFC 1939 §7).
    User(String),
    /// The password.
    Pass(Secret),
    /// A login by a SASL mechanism (RFC 5034); without a mechanism, which there are.
    Auth {
        /// The mechanism's name.
        mechanism: Option<String>,
        /// The response that came with the command, in base64.
        initial: Option<Secret>,
    },
    /// APOP, which needs passwords in the clear on the server: never offered.
    Apop,
    /// What the server can do (RFC 2449).
    Capa,
    /// Start TLS (RFC 2595).
    Stls,
    /// UTF-8 in messages (RFC 6856 §2).
    Utf8,
    /// Replies in this language, or which there are (RFC 6856 §3).
    Lang(Option<String>),
    /// How many messages, and their size.
    Stat,
    /// Sizes, of one or all.
    List(Option<u32>),
    /// Unique ids, of one or all.
    Uidl(Option<u32>),
    /// A message.
    Retr(u32),
    /// A message's header and the first lines of its body.
    Top(u32, u64),
    /// Mark a message as deleted.
    Dele(u32),
    /// Nothing.
    Noop,
    /// Unmark all.
    Rset,
    /// Goodbye; what is marked is deleted.
    Quit,
}

/// A text that is not shown in logs and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }
}
