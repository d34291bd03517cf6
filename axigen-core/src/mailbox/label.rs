//! The label that stands beside a message's content on disk.
//!
//! The store does not understand it. If the metadata is lost, it says into
//! which mailboxes of which accounts the content was delivered, and when.

use axigen_store::AccountId;

const VERSION: u8 = 1;
/// Longest label the store takes, less one place. Recipients beyond it are not
/// named; the content is kept all the same.
const MOST: usize = 60_000;

/// Where and when a message was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The internal date, seconds since 1970.
    pub internal_date: i64,
    /// Accounts and mailbox names; as many as fit into 60 KB.
    pub places: Vec<(AccountId, String)>,
}

impl Label {
    /// The label's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.internal_date.to_be_bytes());
        for (account, name) in &self.places {
            if bytes.len() > MOST {
                break;
            }
            let Ok(len) = u16::try_from(name.len()) else {
                continue;
            };
            bytes.extend_from_slice(&account.0.to_be_bytes());
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }

    /// Reads a label back; `None` for one this program did not write.
    pub fn decode(bytes: &[u8]) -> Option<Label> {
        let (&version, rest) = bytes.split_first()?;
        let (date, mut rest) = rest.split_first_chunk::<8>()?;
        if version != VERSION {
            return None;
        }
        let mut places = Vec::new();
        while !rest.is_empty() {
            let (account, after) = rest.split_first_chunk::<8>()?;
            let (len, after) = after.split_first_chunk::<2>()?;
            let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            places.push((AccountId(u64::from_be_bytes(*account)), name));
            rest = after;
        }
        Some(Label {
            internal_date: i64::from_be_bytes(*date),
            places,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_and_refuses_other_bytes() {
        let label = Label {
            internal_date: 1_700_000_000,
            places: vec![(AccountId(1), "INBOX".into()), (AccountId(7), "Ü/x".into())],
        };
        let bytes = label.encode();
        assert_eq!(Label::decode(&bytes), Some(label));
        assert_eq!(Label::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Label::decode(b"\x02........"), None);
        assert_eq!(Label::decode(b""), None);
    }

    #[test]
    fn fits_the_store_however_many_recipients() {
        let place = |n| (AccountId(n), "x".repeat(1000));
        let label = Label {
            internal_date: 0,
            places: (0..1000).map(place).collect(),
        };
        let bytes = label.encode();
        assert!(bytes.len() <= 64 * 1024);
        let back = Label::decode(&bytes).map(|label| label.places.len());
        assert!(back.is_some_and(|count| count > 50));
    }
}
