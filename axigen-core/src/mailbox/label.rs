//! What stands beside the contents on disk, for the day the metadata is lost.
//!
//! A message's label says where it was delivered; notes say what became of it
//! later, and what became of mailboxes and of the directory. The store does not
//! understand them. Read in the order of their times they tell which message
//! was in which mailbox of whom; see [`upkeep`](crate::upkeep).
//!
//! A version byte (2), a byte for the kind, the time in milliseconds since 1970
//! (8 bytes), then the kind's fields; strings and values have their length
//! before them (2 and 4 bytes). Numbers are big-endian.

use axigen_store::{AccountId, Store, blob::Note};
use bytes::Bytes;

const VERSION: u8 = 2;
/// Longest label the store takes, less one place. Recipients beyond it are not
/// named; the content is kept all the same.
const MOST: usize = 60_000;

/// What happened, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

/// What happened. The messages are those whose contents the label or note is
/// about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The message came into mailboxes.
    Delivered {
        /// The internal date, seconds since 1970.
        internal_date: i64,
        /// Its zone, in minutes east of Greenwich.
        internal_zone: i16,
        /// Where; as many as fit into 60 KB.
        places: Vec<Arrival>,
    },
    /// Messages came into a mailbox, from another of the account.
    Copied {
        /// The account.
        account: AccountId,
        /// The mailbox they were and are in.
        from: String,
        /// The mailbox they are in, too.
        to: String,
    },
    /// Messages went from one mailbox to another.
    Moved {
        /// The account.
        account: AccountId,
        /// Where they were.
        from: String,
        /// Where they are.
        to: String,
    },
    /// Messages were removed.
    Removed {
        /// The account.
        account: AccountId,
        /// Where they were.
        from: String,
    },
    /// Mailboxes were made.
    Created {
        /// The account.
        account: AccountId,
        /// Their names.
        names: Vec<String>,
    },
    /// A mailbox, and those below it, got another name.
    Renamed {
        /// The account.
        account: AccountId,
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A mailbox was deleted, with its messages; not those below it.
    Deleted {
        /// The account.
        account: AccountId,
        /// Its name.
        name: String,
    },
    /// All mail of an account was removed, and the account is no more.
    Ended {
        /// The account.
        account: AccountId,
    },
    /// Rows of the directory: set, or removed.
    Directory {
        /// Key and value.
        rows: Vec<(Bytes, Option<Bytes>)>,
    },
    /// The message waits for other hosts.
    Queued {
        /// Its envelopes, as the queue writes them.
        entries: Vec<Bytes>,
    },
    /// Recipients wait for messages no more: they got them, or will not.
    Left {
        /// The queue's id of each message, and the addresses.
        messages: Vec<(String, Vec<String>)>,
    },
}

/// A mailbox that a message was delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The account.
    pub account: AccountId,
    /// The mailbox's name.
    pub mailbox: String,
    /// System flags it came with, see [`Flags`](super::Flags).
    pub flags: u8,
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl Label {
    /// Of something that happens now.
    pub fn now(event: Event) -> Label {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Label {
            at: now.as_millis() as u64,
            event,
        }
    }

    /// The label's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.event {
            Event::Delivered { .. } => 0,
            Event::Copied { .. } => 1,
            Event::Moved { .. } => 2,
            Event::Removed { .. } => 3,
            Event::Created { .. } => 4,
            Event::Renamed { .. } => 5,
            Event::Deleted { .. } => 6,
            Event::Ended { .. } => 7,
            Event::Directory { .. } => 8,
            Event::Queued { .. } => 9,
            Event::Left { .. } => 10,
        };
        let mut out = vec![VERSION, kind];
        out.extend_from_slice(&self.at.to_be_bytes());
        match &self.event {
            Event::Delivered {
                internal_date,
                internal_zone,
                places,
            } => {
                out.extend_from_slice(&internal_date.to_be_bytes());
                out.extend_from_slice(&internal_zone.to_be_bytes());
                for place in places.iter() {
                    if out.len() > MOST {
                        break;
                    }
                    account(&mut out, place.account);
                    out.push(place.flags);
                    text(&mut out, &place.mailbox);
                }
            }
            Event::Copied {
                account: id,
                from,
                to,
            }
            | Event::Moved {
                account: id,
                from,
                to,
            }
            | Event::Renamed {
                account: id,
                from,
                to,
            } => {
                account(&mut out, *id);
                text(&mut out, from);
                text(&mut out, to);
            }
            Event::Removed {
                account: id,
                from: name,
            }
            | Event::Deleted { account: id, name } => {
                account(&mut out, *id);
                text(&mut out, name);
            }
            Event::Created { account: id, names } => {
                account(&mut out, *id);
                names.iter().for_each(|name| text(&mut out, name));
            }
            Event::Ended { account: id } => account(&mut out, *id),
            Event::Directory { rows } => {
                for (key, row) in rows {
                    value(&mut out, key);
                    out.push(u8::from(row.is_some()));
                    value(&mut out, row.as_deref().unwrap_or_default());
                }
            }
            Event::Queued { entries } => entries.iter().for_each(|entry| value(&mut out, entry)),
            Event::Left { messages } => {
                for (mail, addresses) in messages {
                    text(&mut out, mail);
                    out.extend_from_slice(&(addresses.len() as u32).to_be_bytes());
                    addresses.iter().for_each(|address| text(&mut out, address));
                }
            }
        }
        out
    }

    /// Reads a label back; `None` for one this program did not write.
    pub fn decode(bytes: &[u8]) -> Option<Label> {
        let (&[version, kind], rest) = bytes.split_first_chunk::<2>()?;
        let mut rest = Rest(rest);
        let at = u64::from_be_bytes(rest.take()?);
        if version != VERSION {
            return None;
        }
        let event = match kind {
            0 => {
                let internal_date = i64::from_be_bytes(rest.take()?);
                let internal_zone = i16::from_be_bytes(rest.take()?);
                let mut places = Vec::new();
                while !rest.0.is_empty() {
                    places.push(Arrival {
                        account: rest.account()?,
                        flags: rest.take::<1>()?[0],
                        mailbox: rest.text()?,
                    });
                }
                Event::Delivered {
                    internal_date,
                    internal_zone,
                    places,
                }
            }
            1 | 2 | 5 => {
                let (account, from, to) = (rest.account()?, rest.text()?, rest.text()?);
                match kind {
                    1 => Event::Copied { account, from, to },
                    2 => Event::Moved { account, from, to },
                    _ => Event::Renamed { account, from, to },
                }
            }
            4 => {
                let account = rest.account()?;
                let mut names = Vec::new();
                while !rest.0.is_empty() {
                    names.push(rest.text()?);
                }
                Event::Created { account, names }
            }
            3 | 6 => {
                let (account, name) = (rest.account()?, rest.text()?);
                match kind {
                    3 => Event::Removed {
                        account,
                        from: name,
                    },
                    _ => Event::Deleted { account, name },
                }
            }
            7 => Event::Ended {
                account: rest.account()?,
            },
            8 => {
                let mut rows = Vec::new();
                while !rest.0.is_empty() {
                    let key = rest.value()?;
                    let set = rest.take::<1>()?[0] == 1;
                    let row = rest.value()?;
                    rows.push((key, set.then_some(row)));
                }
                Event::Directory { rows }
            }
            9 => {
                let mut entries = Vec::new();
                while !rest.0.is_empty() {
                    entries.push(rest.value()?);
                }
                Event::Queued { entries }
            }
            10 => {
                let mut messages = Vec::new();
                while !rest.0.is_empty() {
                    let mail = rest.text()?;
                    let count = u32::from_be_bytes(rest.take()?);
                    let addresses = (0..count).map(|_| rest.text()).collect::<Option<_>>()?;
                    messages.push((mail, addresses));
                }
                Event::Left { messages }
            }
            _ => return None,
        };
        rest.0.is_empty().then_some(Label { at, event })
    }
}

/// Notes what happened to these contents. It is done already: that salvage may
/// not know of it is no reason to fail.
pub(crate) async fn note(store: &Store, event: Event, about: Vec<[u8; 32]>) {
    let bytes = Label::now(event).encode().into();
    if let Err(error) = store.note(Note { about, bytes }).await {
        tracing::warn!(%error, "a note for salvage was not written");
    }
}

fn account(out: &mut Vec<u8>, account: AccountId) {
    out.extend_from_slice(&account.0.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    // No name is nearly as long.
    let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

struct Rest<'b>(&'b [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn account(&mut self) -> Option<AccountId> {
        self.take().map(u64::from_be_bytes).map(AccountId)
    }

    fn text(&mut self) -> Option<String> {
        let len = u16::from_be_bytes(self.take()?);
        let text = self.bytes(usize::from(len))?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    fn value(&mut self) -> Option<Bytes> {
        let len = u32::from_be_bytes(self.take()?);
        self.bytes(len as usize).map(Bytes::copy_from_slice)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn arrival(account: u64, mailbox: &str) -> Arrival {
        Arrival {
            account: AccountId(account),
            mailbox: mailbox.into(),
            flags: 3,
        }
    }

    #[test]
    fn survives_and_refuses_other_bytes() {
        let (account, from, to) = (AccountId(9), "INBOX".to_owned(), "Ü/x".to_owned());
        let name = to.clone();
        for event in [
            Event::Delivered {
                internal_date: -5,
                internal_zone: -330,
                places: vec![arrival(1, "INBOX"), arrival(7, "Ü/x")],
            },
            Event::Copied {
                account,
                from: from.clone(),
                to: to.clone(),
            },
            Event::Moved {
                account,
                from: from.clone(),
                to: to.clone(),
            },
            Event::Renamed {
                account,
                from: from.clone(),
                to,
            },
            Event::Removed { account, from },
            Event::Created {
                account,
                names: vec![name.clone(), "x".into()],
            },
            Event::Deleted { account, name },
            Event::Ended { account },
            Event::Directory {
                rows: vec![("a".into(), Some("b".into())), ("c".into(), None)],
            },
            Event::Queued {
                entries: vec!["{}".into(), "x".into()],
            },
            Event::Left {
                messages: vec![
                    ("65ab".into(), vec!["a@b.test".into(), "c@d.test".into()]),
                    ("65ac".into(), vec!["a@b.test".into()]),
                ],
            },
        ] {
            let label = Label::now(event);
            let bytes = label.encode();
            assert_eq!(Label::decode(&bytes), Some(label));
            assert_eq!(Label::decode(&bytes[..bytes.len() - 1]), None);
            assert_eq!(Label::decode(&[&bytes[..], b"x"].concat()), None);
        }
        assert_eq!(Label::decode(b"\x01\x00........"), None);
        assert_eq!(Label::decode(b"\x02\x63........"), None);
        assert_eq!(Label::decode(b""), None);
    }

    #[test]
    fn fits_the_store_however_many_recipients() {
        let label = Label::now(Event::Delivered {
            internal_date: 0,
            internal_zone: 0,
            places: (0..1000).map(|n| arrival(n, &"x".repeat(1000))).collect(),
        });
        let bytes = label.encode();
        assert!(bytes.len() <= axigen_store::blob::LABEL);
        match Label::decode(&bytes).unwrap().event {
            Event::Delivered { places, .. } => assert!(places.len() > 50),
            other => panic!("{other:?}"),
        }
    }
}
