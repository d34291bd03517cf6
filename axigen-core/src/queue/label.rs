//! What stands beside queued messages for the day the metadata is lost, and the
//! queue made anew of it.
//!
//! The label of a message says with which envelopes it was queued, notes say who
//! has got it since ([`label`](crate::mailbox::label)). Notes are written some
//! at a time, a moment later, so that no message waits for one; what was sent in
//! the last moments before a crash may therefore look as if it waited still. So
//! salvage brings entries back *held*: nothing is sent twice unless somebody
//! says so.

use std::time::Duration;

use axigen_store::{BlobIn, BlobRef, Store};
use bytes::Bytes;
use jiff::Timestamp;

use super::entry::{Entry, EntryId};
use super::{Error, Queue, Result, Settled};
use crate::mailbox::label::{self, Event, Label};

/// Most bytes of envelopes in one label; the store takes little more.
const MOST: usize = 50_000;
/// Recipients of one envelope in a label; what has more stands there in parts.
const RECIPIENTS: usize = 30;
/// How long notes of what left are collected.
const COLLECT: Duration = Duration::from_secs(1);
/// Recipients of which one note tells, about.
const TOGETHER: usize = 200;
/// A place for a content that is not known yet.
const NOWHERE: BlobRef = BlobRef {
    hash: [0; 32],
    len: 0,
};

/// Messages that recipients got, or will not get, and which of them: what is not
/// noted yet.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    messages: Vec<([u8; 32], String, Vec<String>)>,
    /// Somebody will write them.
    begun: bool,
}

/// The labels of a message with these entries, at least one.
pub(super) fn labels(entries: &[Entry]) -> Result<Vec<Bytes>> {
    let label = |entries| Bytes::from(Label::now(Event::Queued { entries }).encode());
    let (mut labels, mut some, mut bytes) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        for recipients in entry.recipients.chunks(RECIPIENTS) {
            let part = Entry {
                recipients: recipients.to_vec(),
                content: NOWHERE,
                owed: Vec::new(),
                ..entry.clone()
            };
            let part = part.encode()?;
            if bytes + part.len() > MOST && !some.is_empty() {
                labels.push(label(std::mem::take(&mut some)));
                bytes = 0;
            }
            bytes += part.len();
            some.push(part);
        }
    }
    if !some.is_empty() || labels.is_empty() {
        labels.push(label(some));
    }
    // One that is too long after all would keep the message out.
    labels.retain(|label| label.len() <= axigen_store::blob::LABEL);
    Ok(labels)
}

impl Queue {
    /// Puts the message of these entries into the store, with what stands beside
    /// it.
    pub(super) async fn put(&self, raw: &Bytes, entries: &[Entry]) -> Result<BlobRef> {
        // Further labels of the same content become notes.
        let mut blobs: Vec<BlobIn> = labels(entries)?
            .into_iter()
            .map(|label| BlobIn::new(raw.clone(), label))
            .collect();
        if blobs.is_empty() {
            blobs.push(BlobIn::new(raw.clone(), Bytes::new()));
        }
        let stored = self.inner.store.put(blobs).await?;
        let missing = || Error::Corrupt("an answer of the store".into(), "no blob".into());
        stored.into_iter().next().ok_or_else(missing)
    }

    /// Notes that a message which went into mailboxes too is queued.
    pub(crate) async fn note_queued(&self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let labels = match labels(entries) {
            Ok(labels) => labels,
            Err(error) => {
                tracing::warn!(%error, "a note for salvage was not written");
                return;
            }
        };
        for label in labels {
            if let Some(Label { event, .. }) = Label::decode(&label) {
                label::note(&self.inner.store, event, vec![first.content.hash]).await;
            }
        }
    }

    /// An entry was settled: who waits for it no more is noted soon.
    pub(crate) fn left(&self, entry: &Entry, settled: &Settled) {
        let waits = match settled {
            Settled::Gone => &[][..],
            Settled::Waits(new) => &new.recipients,
        };
        let gone = entry
            .recipients
            .iter()
            .filter(|old| !waits.iter().any(|new| new.address == old.address));
        let gone: Vec<String> = gone.map(|old| old.address.clone()).collect();
        if gone.is_empty() {
            return;
        }
        let mut leaving = self.inner.leaving.lock();
        for some in gone.chunks(TOGETHER) {
            let message = (entry.content.hash, entry.mail.clone(), some.to_vec());
            leaving.messages.push(message);
        }
        if !std::mem::replace(&mut leaving.begun, true) {
            let queue = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(COLLECT).await;
                queue.note_left().await;
            });
        }
    }

    /// Notes who has left so far.
    pub(crate) async fn note_left(&self) {
        let messages = {
            let mut leaving = self.inner.leaving.lock();
            leaving.begun = false;
            std::mem::take(&mut leaving.messages)
        };
        let (mut about, mut some, mut count) = (Vec::new(), Vec::new(), 0);
        let mut messages = messages.into_iter().peekable();
        while let Some((content, mail, addresses)) = messages.next() {
            count += addresses.len();
            if about.last() != Some(&content) {
                about.push(content);
            }
            some.push((mail, addresses));
            if count >= TOGETHER || messages.peek().is_none() {
                let messages = std::mem::take(&mut some);
                let event = Event::Left { messages };
                // It is of use as long as one of the messages is there.
                label::note(&self.inner.store, event, std::mem::take(&mut about)).await;
                count = 0;
            }
        }
    }
}

/// An envelope of a label, of a message with this content.
pub(crate) fn read(envelope: &[u8], content: &BlobRef) -> Result<Entry> {
    let nobody = EntryId {
        message: 0,
        part: 0,
    };
    let entry = Entry::decode(nobody, envelope)?;
    Ok(Entry {
        content: content.clone(),
        ..entry
    })
}

/// Puts an entry that labels told of back into the queue, held. `false` if its
/// message is lost.
///
/// # Errors
/// Of the store.
pub(crate) async fn restore(queue: &Queue, store: &Store, entry: Entry) -> Result<bool> {
    let raw = match store.read(&entry.content, 0..u64::MAX).await {
        Ok(raw) => raw,
        Err(axigen_store::Error::NotFound | axigen_store::Error::Corrupt(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // Its label is there already.
    let mut stored = store.put(vec![BlobIn::new(raw, Bytes::new())]).await?;
    let missing = || Error::Corrupt("an answer of the store".into(), "no blob".into());
    let entry = Entry {
        content: stored.pop().ok_or_else(missing)?,
        held: true,
        due: Timestamp::now(),
        ..entry
    };
    let ops = queue.additions(std::slice::from_ref(&entry))?;
    queue.commit(ops, Vec::new()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::entry::{Recipient, tests::entry};
    use super::*;

    #[test]
    fn every_recipient_stands_in_a_label_however_many() {
        let recipient = |n: usize| Recipient::new(format!("{}{n}@there.test", "x".repeat(200)));
        let entries = [
            Entry {
                recipients: (0..1000).map(recipient).collect(),
                ..entry()
            },
            entry(),
        ];
        let content = BlobRef {
            hash: [9; 32],
            len: 5,
        };
        let mut seen = Vec::new();
        let labels = labels(&entries).unwrap();
        assert!(labels.len() > 3, "{}", labels.len());
        for label in labels {
            assert!(label.len() <= axigen_store::blob::LABEL);
            let Event::Queued { entries } = Label::decode(&label).unwrap().event else {
                panic!("another event");
            };
            for envelope in entries {
                let read = read(&envelope, &content).unwrap();
                assert_eq!(read.content, content);
                assert_eq!(read.sender, "ann@here.test");
                seen.extend(read.recipients);
            }
        }
        assert_eq!(seen.len(), 1001);
        assert_eq!(seen[..1000], entries[0].recipients[..]);
    }
}
