//! What is kept of a message that travels to one next hop.

use std::fmt;
use std::str::FromStr;

use axigen_proto::smtp::reply::EnhancedCode;
use axigen_store::BlobRef;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Error, Result};

/// Names an entry of the queue: the message's number, and which of its entries.
/// Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The message's number in this queue.
    pub message: u64,
    /// One entry for each next hop.
    pub part: u16,
}

impl EntryId {
    /// Its length in keys.
    pub(super) const LENGTH: usize = 10;
    /// Before all others.
    pub(super) const FIRST: EntryId = EntryId {
        message: 0,
        part: 0,
    };

    pub(super) fn encode(self) -> [u8; EntryId::LENGTH] {
        let mut bytes = [0; EntryId::LENGTH];
        let (message, part) = bytes.split_at_mut(8);
        message.copy_from_slice(&self.message.to_be_bytes());
        part.copy_from_slice(&self.part.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; EntryId::LENGTH]) -> Option<EntryId> {
        let (message, part) = bytes.split_first_chunk::<8>()?;
        Some(EntryId {
            message: u64::from_be_bytes(*message),
            part: u16::from_be_bytes(*part.first_chunk::<2>()?),
        })
    }
}

/// As people see and type it: `1042-0`.
impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.message, self.part)
    }
}

impl FromStr for EntryId {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<EntryId, String> {
        let parsed = text.split_once('-').and_then(|(message, part)| {
            Some(EntryId {
                message: message.parse().ok()?,
                part: part.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| format!("{text:?} is no entry of the queue, as 1042-0 is"))
    }
}

/// One message on its way to one next hop, with all recipients that are reached
/// by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Our id of the message, as in log lines and `Received`.
    pub mail: String,
    /// Where notices go; empty for a message nobody is to be told of.
    pub sender: String,
    /// Which way it goes: a lane of the queue, see [`route`](super::route).
    pub lane: String,
    /// Who has not got it yet.
    pub recipients: Vec<Recipient>,
    /// The message as it was stored.
    #[serde(with = "blob")]
    pub content: BlobRef,
    /// So many bytes at its beginning do not travel: the `Return-Path` that
    /// local mailboxes show (RFC 5321 §4.4 lets only the last server add one).
    #[serde(default)]
    pub skip: u32,
    /// When it came.
    pub came: Timestamp,
    /// When it is given up.
    pub expires: Timestamp,
    /// When it is looked at next.
    pub due: Timestamp,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// What became of the last try.
    #[serde(default)]
    pub last: Option<Attempt>,
    /// Not to be tried until somebody releases it.
    #[serde(default)]
    pub held: bool,
    /// When the sender is told that it takes longer; `None` if that is done, or
    /// is not to be.
    #[serde(default)]
    pub tell: Option<Timestamp>,
    /// What kind of bytes it has.
    #[serde(default)]
    pub body: Body,
    /// Its headers hold UTF-8, or it was declared to need SMTPUTF8 (RFC 6531).
    #[serde(default)]
    pub utf8: bool,
    /// How its sender wants notices (RFC 3461).
    #[serde(default)]
    pub notices: Notices,
    /// Who submitted it.
    #[serde(default)]
    pub user: Option<String>,
    /// It may travel under TLS only (RFC 8689).
    #[serde(default)]
    pub require_tls: bool,
    /// Its sender rather has it arrive than protected: what the domain asks for by
    /// DANE and MTA-STS does not count (RFC 8689 §3).
    #[serde(default)]
    pub tls_optional: bool,
    /// −9 to 9, what is higher goes first (RFC 6710).
    #[serde(default)]
    pub priority: i8,
    /// By when it must be there (RFC 2852).
    #[serde(default)]
    pub by: Option<By>,
    /// For whom it is held, and until when (RFC 4865).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What its sender could not be told yet: the notice was not to be stored.
    #[serde(default)]
    pub owed: Vec<Fate>,
}

/// By when a message must be there
/// ([RFC 2852](https://www.rfc-editor.org/rfc/rfc2852)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// That moment.
    pub at: Timestamp,
    /// Whether it comes back then; otherwise its sender is told that it is late.
    pub returns: bool,
    /// Whether its sender is told of each host that it goes through.
    pub trace: bool,
}

/// A message that a user has held before it goes on
/// ([RFC 4865](https://www.rfc-editor.org/rfc/rfc4865)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The number of the account whose limits it counts for.
    pub account: u64,
    /// When it goes on.
    pub until: Timestamp,
}

/// What became of a message for a recipient
/// ([RFC 3464 §2.3.3](https://www.rfc-editor.org/rfc/rfc3464#section-2.3.3)); what
/// is worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// An alias made several of it.
    Expanded,
    /// It arrived in a mailbox.
    Delivered,
    /// It went to a host that sends no notices of success.
    Relayed,
    /// It has not arrived yet; it is tried on.
    Delayed,
    /// It will not arrive.
    Failed,
}

/// What the sender may be told about a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// Who was to get it.
    pub recipient: Recipient,
    /// What became of it.
    pub action: Action,
    /// In words, and as a code.
    pub said: Said,
    /// The host that it was about.
    #[serde(default)]
    pub host: Option<String>,
}

impl Fate {
    /// Whether the sender wants to know (RFC 3461 §4.1).
    pub fn is_wanted(&self) -> bool {
        match self.action {
            Action::Failed => self.recipient.wants_failure(),
            Action::Delayed => self.recipient.wants_delay(),
            Action::Expanded | Action::Delivered | Action::Relayed => {
                self.recipient.wants_success()
            }
        }
    }
}

/// Somebody who has not got the message yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recipient {
    /// The address, as MAIL and RCPT write it.
    pub address: String,
    /// Which notices are wanted; `None` leaves it to the servers (RFC 3461 §4.1).
    #[serde(default)]
    pub notify: Option<Notify>,
    /// The address the sender used, `type;address` (RFC 3461 §4.2).
    #[serde(default)]
    pub original: Option<String>,
    /// What the last try said, if it was about this recipient.
    #[serde(default)]
    pub last: Option<Said>,
}

impl Recipient {
    /// A recipient without parameters.
    pub fn new(address: impl Into<String>) -> Recipient {
        Recipient {
            address: address.into(),
            ..Recipient::default()
        }
    }

    /// Whether the sender is to be told of a failure.
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// Whether the sender is to be told of a delay.
    pub fn wants_delay(&self) -> bool {
        self.notify.is_none_or(|notify| notify.delay)
    }

    /// Whether the sender is to be told of success.
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }
}

/// The notices asked for; none of them is `NEVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    /// `SUCCESS`
    pub success: bool,
    /// `FAILURE`
    pub failure: bool,
    /// `DELAY`
    pub delay: bool,
}

/// What the sender asks of all notices of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notices {
    /// `ENVID`: what the sender calls the message, decoded.
    #[serde(default)]
    pub envelope_id: Option<String>,
    /// `RET`: the whole message or its header only; `None` leaves it to us.
    #[serde(default)]
    pub full: Option<bool>,
}

/// What kind of bytes a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// ASCII in lines.
    #[default]
    Seven,
    /// Bytes beyond ASCII in lines (RFC 6152).
    Eight,
    /// Bytes that need not be in lines (RFC 3030).
    Binary,
}

/// A try to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// To which host; `None` if none was reached.
    #[serde(default)]
    pub host: Option<String>,
    /// What became of it, in words.
    pub what: String,
}

/// What was said about a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The enhanced status code, `4.2.2`.
    #[serde(with = "status")]
    pub status: EnhancedCode,
    /// The other host's own words, code included; or ours.
    pub words: String,
    /// Whether these are the words of another host.
    pub remote: bool,
}

impl Entry {
    /// The message's length as it travels.
    pub fn size(&self) -> u64 {
        self.content.len.saturating_sub(self.skip.into())
    }

    pub(super) fn encode(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|error| Error::Corrupt("a new entry".into(), error.to_string()))
    }

    pub(super) fn decode(id: EntryId, bytes: &[u8]) -> Result<Entry> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::Corrupt(format!("entry {id}"), error.to_string()))
    }
}

/// A blob as `length hash`.
mod blob {
    use super::{BlobRef, Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(blob: &BlobRef, to: S) -> Result<S::Ok, S::Error> {
        let mut text = format!("{} ", blob.len);
        for byte in blob.hash {
            text.push_str(&format!("{byte:02x}"));
        }
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BlobRef, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        read(&text).ok_or_else(|| de::Error::custom("not the address of a blob"))
    }

    fn read(text: &str) -> Option<BlobRef> {
        let (len, hex) = text.split_once(' ')?;
        let mut hash = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(BlobRef {
            hash,
            len: len.parse().ok()?,
        })
    }
}

/// An enhanced status code as people write it.
mod status {
    use super::{Deserialize, Deserializer, EnhancedCode, Serializer, de};

    pub(super) fn serialize<S: Serializer>(code: &EnhancedCode, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(code)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<EnhancedCode, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        let mut numbers = text.split('.').map(str::parse::<u16>);
        let mut next = || numbers.next().and_then(std::result::Result::ok);
        match (next(), next(), next()) {
            (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail)) => {
                Ok(EnhancedCode::from((class as u8, subject, detail)))
            }
            _ => Err(de::Error::custom("not an enhanced status code")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(crate) fn entry() -> Entry {
        let came: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        Entry {
            mail: "65ab".into(),
            sender: "ann@here.test".into(),
            lane: "there.test".into(),
            recipients: vec![Recipient::new("bob@there.test")],
            content: BlobRef {
                hash: [7; 32],
                len: 100,
            },
            skip: 20,
            came,
            expires: came + std::time::Duration::from_secs(5 * 86_400),
            due: came,
            attempts: 0,
            last: None,
            held: false,
            tell: None,
            body: Body::Eight,
            utf8: false,
            notices: Notices::default(),
            user: None,
            require_tls: false,
            tls_optional: false,
            priority: 0,
            by: None,
            hold: None,
            owed: Vec::new(),
        }
    }

    #[test]
    fn entries_survive_and_others_are_corrupt() {
        let mut entry = entry();
        entry.last = Some(Attempt {
            at: entry.came,
            host: Some("mx.there.test".into()),
            what: "the server did not answer in time".into(),
        });
        entry.recipients.push(Recipient {
            notify: Some(Notify {
                success: true,
                ..Notify::default()
            }),
            original: Some("rfc822;eve@elsewhere.test".into()),
            last: Some(Said {
                status: (4, 2, 2).into(),
                words: "452 4.2.2 the mailbox is full".into(),
                remote: true,
            }),
            ..Recipient::new("eve@there.test")
        });
        let id = EntryId {
            message: 5,
            part: 1,
        };
        let bytes = entry.encode().unwrap();
        assert_eq!(Entry::decode(id, &bytes).unwrap(), entry);
        assert_eq!(entry.size(), 80);
        for cut in 0..bytes.len() {
            assert!(Entry::decode(id, &bytes[..cut]).is_err());
        }
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        for (good, bad) in [("100 07", "100 0g"), ("100 07", "x 07"), ("4.2.2", "3.2.2")] {
            assert!(Entry::decode(id, text.replacen(good, bad, 1).as_bytes()).is_err());
        }
    }

    #[test]
    fn ids_are_read_and_written() {
        let id = EntryId {
            message: 1042,
            part: 3,
        };
        assert_eq!(id.to_string(), "1042-3");
        assert_eq!("1042-3".parse(), Ok(id));
        for bad in ["", "1042", "-", "1-65536", "x-1", "1-1-1"] {
            assert!(bad.parse::<EntryId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_asks_for_nothing_hears_of_failures() {
        let plain = Recipient::new("a@b.test");
        assert!(plain.wants_failure() && plain.wants_delay() && !plain.wants_success());
        let never = Recipient {
            notify: Some(Notify::default()),
            ..plain
        };
        assert!(!never.wants_failure() && !never.wants_delay() && !never.wants_success());
    }
}
