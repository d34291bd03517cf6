//! The UIDs of mailboxes that were listed lately, so that who opens one again
//! does not walk over its rows.
//!
//! A list belongs to the mailbox's modification number: every batch that adds or
//! removes messages gives the mailbox a new one, in the same batch. So a list is
//! right exactly as long as the number is the same, whoever changes it. Folding
//! changes neither.

use std::collections::HashMap;
use std::sync::Arc;

use axigen_store::AccountId;
use parking_lot::Mutex;

use super::types::MailboxId;

/// Most UIDs in one generation: 2 MB. There are two.
const MOST: usize = 512 * 1024;

type Place = (AccountId, MailboxId);

/// A list, and the modification number it belongs to.
#[derive(Debug, Clone)]
struct List {
    modseq: u64,
    uids: Arc<[u32]>,
}

/// Of all mailboxes of a store.
#[derive(Debug, Default)]
pub(super) struct Listed {
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// What was used lately goes in here; when it is full, it becomes `old`, and
    /// what was in `old` is forgotten.
    young: HashMap<Place, List>,
    old: HashMap<Place, List>,
    /// UIDs in `young`.
    held: usize,
}

impl Listed {
    /// The UIDs that the mailbox had at this modification number.
    pub(super) fn get(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        modseq: u64,
    ) -> Option<Arc<[u32]>> {
        let place = (account, mailbox);
        let mut lists = self.lists.lock();
        if let Some(list) = lists.young.get(&place) {
            return (list.modseq == modseq).then(|| list.uids.clone());
        }
        let list = lists.old.remove(&place)?;
        let uids = (list.modseq == modseq).then(|| list.uids.clone())?;
        lists.put(place, list);
        Some(uids)
    }

    /// The mailbox has these at this modification number.
    pub(super) fn put(&self, account: AccountId, mailbox: MailboxId, modseq: u64, uids: &[u32]) {
        // One that would drive out all others is listed fast for its length.
        if uids.len() > MOST / 4 {
            return;
        }
        let list = List {
            modseq,
            uids: uids.into(),
        };
        self.lists.lock().put((account, mailbox), list);
    }

    /// Nothing is known of an account any more: its rows are being mended.
    pub(super) fn forget(&self, account: AccountId) {
        let mut lists = self.lists.lock();
        lists.young.retain(|(of, _), _| *of != account);
        lists.old.retain(|(of, _), _| *of != account);
    }
}

impl Lists {
    fn put(&mut self, place: Place, list: List) {
        // What an entry itself takes counts, too.
        self.held += list.uids.len() + 32;
        if self.held > MOST {
            self.old = std::mem::take(&mut self.young);
            self.held = list.uids.len() + 32;
        }
        self.old.remove(&place);
        self.young.insert(place, list);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: AccountId = AccountId(1);
    const TWO: AccountId = AccountId(2);

    #[test]
    fn a_list_is_of_its_modification_number_only() {
        let listed = Listed::default();
        let inbox = MailboxId(1);
        listed.put(ONE, inbox, 7, &[1, 2, 9]);
        assert_eq!(&*listed.get(ONE, inbox, 7).unwrap(), [1, 2, 9]);
        assert_eq!(listed.get(ONE, inbox, 6), None);
        assert_eq!(listed.get(ONE, inbox, 8), None);
        assert_eq!(listed.get(TWO, inbox, 7), None);
        listed.put(ONE, inbox, 8, &[1]);
        assert_eq!(listed.get(ONE, inbox, 7), None);
        assert_eq!(&*listed.get(ONE, inbox, 8).unwrap(), [1]);
        listed.put(TWO, inbox, 8, &[]);
        listed.forget(ONE);
        assert_eq!(listed.get(ONE, inbox, 8), None);
        assert!(listed.get(TWO, inbox, 8).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_used_is_forgotten_and_little_is_held() {
        let listed = Listed::default();
        let uids: Vec<u32> = (0..1000).collect();
        for number in 0..10_000 {
            listed.put(ONE, MailboxId(number), 1, &uids);
            assert!(listed.get(ONE, MailboxId(0), 1).is_some(), "{number}");
        }
        assert_eq!(listed.get(ONE, MailboxId(1), 1), None);
        let lists = listed.lists.lock();
        let held = lists.young.values().chain(lists.old.values());
        assert!(held.map(|list| list.uids.len()).sum::<usize>() <= 2 * MOST);
        drop(lists);
        listed.put(TWO, MailboxId(1), 1, &vec![0; MOST]);
        assert_eq!(listed.get(TWO, MailboxId(1), 1), None);
    }
}
