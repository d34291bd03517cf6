//! The mailbox that is open, and what changed in it.
//!
//! A session sees sequence numbers, so it keeps the UIDs in order: four bytes
//! a message. Everything else is read when it is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::enable::Enabled;
use axigen_proto::imap::extensions::urlauth::INTERNAL;
use axigen_proto::imap::response::{Code, FetchItem, ListItem, Response};
use axigen_proto::imap::sequence::{NumberSet, SequenceSet};
use axigen_proto::imap::types::{Flag, MailboxName};
use axigen_store::store::Watcher;

use super::context::{self, Context};
use crate::mailbox::{Flags, MailboxInfo, Mailboxes, Result, Row, View, mailbox_object};

/// The flags every mailbox has.
const SYSTEM: [Flag; 5] = [
    Flag::Answered,
    Flag::Flagged,
    Flag::Deleted,
    Flag::Seen,
    Flag::Draft,
];

/// Messages looked at together for the first unseen one: few at first, as mostly
/// one is near the beginning or none is there.
const PAGES: [usize; 2] = [16, 1000];

/// What the client wants to be told unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing but what its own commands removed.
    Nothing,
    /// What came and went.
    Messages,
    /// That, and flags.
    All,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Update {
    /// In their order.
    pub(super) responses: Vec<Response>,
    /// Whether messages are gone.
    pub(super) expunged: bool,
    /// UIDs of messages that came.
    pub(super) new: Vec<u32>,
    /// What came or changed, where results are kept up to date.
    pub(super) rows: Vec<Row>,
}

/// The mailbox that is open.
#[derive(Debug)]
pub(super) struct Selected {
    /// Whose mailbox it is, and what the user may do with it.
    pub(super) view: View,
    /// Of the account it is in, if that is not the user's.
    pub(super) watcher: Option<Watcher>,
    pub(super) uid_validity: u32,
    pub(super) read_only: bool,
    /// UIDs by sequence number, those that are gone but not yet told included.
    uids: Vec<u32>,
    /// Up to which change of the account the client was told, but for `gone`.
    modseq: u64,
    /// Up to which change of the mailbox the client knows all.
    known: u64,
    /// The highest modification number the client was shown since it was last
    /// told all.
    shown: u64,
    /// UIDs that are gone and not yet told.
    gone: Vec<u32>,
    /// Rows the client was told already, although they are newer than `modseq`.
    told: HashMap<u32, u64>,
    pub(super) recent: NumberSet,
    /// Keywords the client was told of.
    keywords: HashSet<Arc<str>>,
    /// What SEARCH RETURN (SAVE) kept, as UIDs.
    pub(super) saved: NumberSet,
    /// Results that are kept up to date.
    pub(super) contexts: Vec<Context>,
}

impl Selected {
    /// Opens a mailbox, with what SELECT tells of it.
    pub(super) async fn open(
        mailboxes: &Mailboxes,
        view: View,
        info: MailboxInfo,
        read_only: bool,
        rev2: bool,
    ) -> Result<(Selected, Vec<Response>)> {
        let account = view.account;
        // Before anything is read, so that nothing is missed.
        let watcher = view.guest().map(|_| mailboxes.watch(account));
        // EXAMINE takes \Recent from nobody (RFC 3501 §6.3.2).
        let floor = mailboxes.recent(account, info.id, !read_only).await?;
        let (uids, modseq) = mailboxes.uids(account, info.id).await?;
        let recent: NumberSet = uids.iter().copied().filter(|&uid| uid >= floor).collect();
        let keywords = mailboxes.keywords(account).await?;
        let mut flags = SYSTEM.to_vec();
        flags.extend(keywords.iter().cloned().map(Flag::Keyword));
        let uid_next = uids
            .last()
            .map_or(info.uid_next, |last| info.uid_next.max(last + 1));
        let mut selected = Selected {
            view,
            watcher,
            uid_validity: info.uid_validity,
            read_only,
            uids,
            modseq,
            // Read before the UIDs: whatever it counts, they show.
            known: info.highest_modseq,
            shown: 0,
            gone: Vec::new(),
            told: HashMap::new(),
            recent,
            keywords: keywords.into_iter().collect(),
            saved: NumberSet::new(),
            contexts: Vec::new(),
        };
        let mut responses = vec![
            Response::Flags(flags.clone()),
            Response::Exists(selected.count()),
        ];
        if !rev2 {
            responses.push(Response::Recent(
                u32::try_from(selected.recent.count()).unwrap_or(u32::MAX),
            ));
            if info.unseen > 0
                && let Some(seq) = selected.first_unseen(mailboxes).await?
            {
                responses.push(Response::ok(
                    Code::Unseen(seq),
                    "is the first unseen message",
                ));
            }
        }
        responses.push(Response::ok(
            Code::UidValidity(info.uid_validity),
            "UIDs are valid",
        ));
        responses.push(Response::ok(Code::UidNext(uid_next), "is the next UID"));
        let highest = Code::HighestModSeq(selected.highest_modseq());
        responses.push(Response::ok(highest, "is the last change"));
        if let Some(id) = mailbox_object(account, info.id) {
            // RFC 8474 §4.2
            responses.push(Response::ok(Code::MailboxId(id), "is its identifier"));
        }
        // RFC 4467 §8: the mechanisms for URLs into it.
        let mechanisms = Code::UrlMech(vec![INTERNAL.into()]);
        responses.push(Response::ok(mechanisms, "is how URLs are authorised"));
        responses.push(Response::ok(
            selected.permanent(flags),
            "these flags are kept",
        ));
        if rev2 {
            // RFC 9051 §6.3.2: the name as it is kept.
            responses.push(Response::List(ListItem {
                attributes: Vec::new(),
                delimiter: Some('/'),
                name: MailboxName::new(info.name.clone()),
                child_subscribed: false,
                old_name: None,
            }));
        }
        Ok((selected, responses))
    }

    async fn first_unseen(&mut self, mailboxes: &Mailboxes) -> Result<Option<u32>> {
        let [first, other] = PAGES;
        let (begin, rest) = self.uids.split_at(first.min(self.uids.len()));
        for page in std::iter::once(begin).chain(rest.chunks(other)) {
            let rows = mailboxes.rows_of(&self.view, page).await?;
            if let Some(row) = rows.iter().find(|row| !row.flags.has(Flags::SEEN)) {
                return Ok(self.seq(row.uid));
            }
        }
        Ok(None)
    }

    /// How many messages the client knows of.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    /// The largest UID, 0 if there is none.
    pub(super) fn largest_uid(&self) -> u32 {
        self.uids.last().copied().unwrap_or(0)
    }

    /// The sequence number of a UID.
    pub(super) fn seq(&self, uid: u32) -> Option<u32> {
        self.uids
            .binary_search(&uid)
            .ok()
            .and_then(|at| u32::try_from(at + 1).ok())
    }

    /// All UIDs, ascending.
    pub(super) fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// The UIDs a set names, ascending; `None` if a sequence number is beyond
    /// the mailbox, which is the client's fault.
    pub(super) fn resolve(&self, set: &SequenceSet, uid: bool) -> Option<Vec<u32>> {
        if matches!(set, SequenceSet::Saved) {
            return Some(
                self.uids
                    .iter()
                    .copied()
                    .filter(|uid| self.saved.contains(*uid))
                    .collect(),
            );
        }
        if uid {
            let wanted = set.resolve(self.largest_uid());
            let mut uids = Vec::new();
            for (low, high) in wanted.ranges() {
                let from = self.uids.partition_point(|&uid| uid < low);
                let to = self.uids.partition_point(|&uid| uid <= high);
                uids.extend_from_slice(self.uids.get(from..to).unwrap_or(&[]));
            }
            return Some(uids);
        }
        // RFC 9051 §9: a number beyond the mailbox is an error; `*` alone in an
        // empty mailbox names nothing.
        if set.beyond(self.count()) && self.count() > 0
            || self.count() == 0 && !set.resolve(0).is_empty()
        {
            return None;
        }
        let mut uids = Vec::new();
        for (low, high) in set.resolve(self.count()).ranges() {
            let range = (low as usize).saturating_sub(1)..high as usize;
            uids.extend_from_slice(self.uids.get(range).unwrap_or(&[]));
        }
        Some(uids)
    }

    /// The client was told of this row as it is: it need not be told again.
    pub(super) fn tell(&mut self, row: &Row) {
        if row.modseq > self.modseq {
            self.told.insert(row.uid, row.modseq);
        }
    }

    /// What the client must be told before it sees these rows' flags: there
    /// are keywords it does not know of yet
    /// ([RFC 9051 §7.3.5](https://www.rfc-editor.org/rfc/rfc9051#section-7.3.5)).
    pub(super) fn new_keywords(&mut self, rows: &[Row]) -> Vec<Response> {
        let known = self.keywords.len();
        for word in rows.iter().flat_map(|row| &row.flags.keywords) {
            if !self.keywords.contains(word) {
                self.keywords.insert(word.clone());
            }
        }
        if self.keywords.len() == known {
            return Vec::new();
        }
        let mut keywords: Vec<_> = self.keywords.iter().cloned().collect();
        keywords.sort_unstable();
        let mut flags = SYSTEM.to_vec();
        flags.extend(keywords.into_iter().map(Flag::Keyword));
        let mut responses = vec![Response::Flags(flags.clone())];
        if !self.read_only {
            let code = self.permanent(flags);
            responses.push(Response::ok(code, "these flags are kept"));
        }
        responses
    }

    /// A FETCH response about a message; `None` for one the client does not
    /// know of.
    pub(super) fn fetched(
        &self,
        uid: u32,
        items: Vec<FetchItem>,
        enabled: Enabled,
    ) -> Option<Response> {
        let seq = self.seq(uid)?;
        // RFC 9586 §3.3, §3.6
        Some(match enabled.uidonly {
            true => Response::UidFetch { uid, items },
            false => Response::Fetch { seq, items },
        })
    }

    /// Which of these flags the user can change for good
    /// ([RFC 4314 §5.1.1](https://www.rfc-editor.org/rfc/rfc4314#section-5.1.1)).
    fn permanent(&self, mut flags: Vec<Flag>) -> Code {
        if self.read_only {
            return Code::PermanentFlags {
                flags: Vec::new(),
                keywords: false,
            };
        }
        let kept = kept(&flags).unwrap_or_default();
        let allowed = self.view.cut(&kept).system;
        let keywords = self.view.rights.has(Rights::WRITE);
        flags.retain(|flag| match flag {
            Flag::Keyword(_) => keywords,
            flag => allowed & system_bit(flag) != 0,
        });
        Code::PermanentFlags { flags, keywords }
    }

    /// Up to which change of the account the client was told.
    pub(super) fn told_up_to(&self) -> u64 {
        self.modseq
    }

    /// What the client is told of a message's flags, with its modification
    /// number if it wants that
    /// ([RFC 7162 §3.2.4](https://www.rfc-editor.org/rfc/rfc7162#section-3.2.4)).
    pub(super) fn flags_of(&mut self, row: &Row, enabled: Enabled) -> Vec<FetchItem> {
        let mut items = Vec::with_capacity(3);
        // RFC 9586 §3.3: UIDFETCH names it already.
        if !enabled.uidonly {
            items.push(FetchItem::Uid(row.uid));
        }
        items.push(FetchItem::Flags(self.flags(row, enabled.rev2)));
        if enabled.condstore {
            items.push(self.modseq_of(row));
        }
        items
    }

    /// A message's modification number, which the client then knows.
    pub(super) fn modseq_of(&mut self, row: &Row) -> FetchItem {
        self.shown = self.shown.max(row.modseq);
        FetchItem::ModSeq(row.modseq)
    }

    /// Up to which modification number of the mailbox the client knows all.
    pub(super) fn highest_modseq(&self) -> u64 {
        // RFC 7162 §7: never 0.
        self.known.max(1)
    }

    /// What changed since the last time, as responses in the right order:
    /// EXPUNGE or VANISHED (if it is allowed now), EXISTS, RECENT, FETCH.
    pub(super) async fn update(
        &mut self,
        mailboxes: &Mailboxes,
        expunge_allowed: bool,
        enabled: Enabled,
        told: Told,
    ) -> Result<Update> {
        let mut update = Update::default();
        let responses = &mut update.responses;
        if told == Told::Nothing {
            if expunge_allowed && !self.gone.is_empty() {
                self.tell_gone(enabled.vanished(), responses);
                update.expunged = true;
            }
            self.tell_known(responses);
            return Ok(update);
        }
        let may_tell_gone = expunge_allowed && !self.gone.is_empty();
        if !may_tell_gone && mailboxes.last_change(self.view.account).await? == self.modseq {
            // Nothing changed in the whole account, mostly.
            self.tell_known(responses);
            return Ok(update);
        }
        // After a STORE of all messages that is all of them. Results that are kept up
        // to date need every row.
        let knows = |uid: u32, seq: u64| {
            self.contexts.is_empty() && self.told.get(&uid).is_some_and(|told| *told >= seq)
        };
        let changes = mailboxes
            .changes_untold(&self.view, self.modseq, &knows)
            .await?;
        if changes.modseq != self.modseq || may_tell_gone {
            self.modseq = changes.modseq;
            self.gone.extend(
                changes
                    .vanished
                    .iter()
                    .filter(|uid| self.uids.binary_search(uid).is_ok()),
            );
            if expunge_allowed && !self.gone.is_empty() {
                self.tell_gone(enabled.vanished(), responses);
                update.expunged = true;
            }
            let flags = told == Told::All;
            update.new = self
                .tell_changed(mailboxes, &changes.rows, enabled, flags, responses)
                .await?;
            let all = self.modseq;
            self.told.retain(|_, told| *told > all);
            if self.gone.is_empty() {
                self.known = self.known.max(changes.highest_modseq);
            }
            if !self.contexts.is_empty() {
                update.rows = changes.rows;
            }
        }
        self.tell_known(responses);
        Ok(update)
    }

    /// Only what came since the last time: EXISTS and RECENT. The rest waits for
    /// [`update`](Self::update).
    pub(super) async fn arrivals(
        &mut self,
        mailboxes: &Mailboxes,
        enabled: Enabled,
        told: Told,
    ) -> Result<Update> {
        let mut update = Update::default();
        if told == Told::Nothing {
            return Ok(update);
        }
        let largest = self.largest_uid();
        let mut rows = mailboxes.changes_of(&self.view, self.modseq).await?.rows;
        rows.retain(|row| row.uid > largest);
        update.new = rows.iter().map(|row| row.uid).collect();
        self.add(mailboxes, &update.new, enabled, &mut update.responses)
            .await?;
        for row in &rows {
            self.tell(row);
        }
        if !self.contexts.is_empty() {
            update.rows = rows;
        }
        Ok(update)
    }

    /// RFC 7162 §3.2: a client that was shown a higher number than one of a
    /// change not told yet must not go on from there.
    fn tell_known(&mut self, responses: &mut Vec<Response>) {
        if std::mem::take(&mut self.shown) > self.known {
            let code = Code::HighestModSeq(self.highest_modseq());
            responses.push(Response::ok(code, "up to here all changes were told"));
        }
    }

    /// The client's own command removed these.
    pub(super) fn removed(&mut self, uids: &[u32]) {
        let counted = uids
            .iter()
            .filter(|uid| self.uids.binary_search(uid).is_ok());
        self.gone.extend(counted);
    }

    fn tell_gone(&mut self, vanished: bool, responses: &mut Vec<Response>) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.sort_unstable();
        gone.dedup();
        let uids = &self.uids;
        let seq = |uid: u32| u32::try_from(uids.binary_search(&uid).ok()? + 1).ok();
        responses.extend(context::remove_gone(&mut self.contexts, &gone, seq));
        if vanished {
            responses.push(Response::Vanished {
                earlier: false,
                uids: gone.iter().copied().collect(),
            });
        } else {
            // From the end, so that the numbers before stay as they are.
            for uid in gone.iter().rev() {
                if let Ok(at) = self.uids.binary_search(uid) {
                    responses.push(Response::Expunge(u32::try_from(at + 1).unwrap_or(u32::MAX)));
                }
            }
        }
        let stays = |uid: &u32| gone.binary_search(uid).is_err();
        self.uids.retain(stays);
        for uid in &gone {
            self.told.remove(uid);
        }
        // RFC 9051 §6.4.4.1: what is expunged leaves the saved result.
        self.saved = self.saved.iter().filter(stays).collect();
        self.recent = self.recent.iter().filter(stays).collect();
    }

    async fn tell_changed(
        &mut self,
        mailboxes: &Mailboxes,
        rows: &[Row],
        enabled: Enabled,
        flags: bool,
        responses: &mut Vec<Response>,
    ) -> Result<Vec<u32>> {
        let largest = self.largest_uid();
        let mut fetches = Vec::new();
        let mut new = Vec::new();
        for row in rows {
            let told = self
                .told
                .get(&row.uid)
                .is_some_and(|&modseq| modseq >= row.modseq);
            if row.modseq > self.modseq {
                self.told.insert(row.uid, row.modseq);
            }
            if row.uid > largest {
                new.push(row.uid);
            } else if flags && !told && self.seq(row.uid).is_some() {
                fetches.push(row);
            }
        }
        self.add(mailboxes, &new, enabled, responses).await?;
        if flags {
            responses.extend(self.new_keywords(rows));
        }
        for row in fetches {
            let items = self.flags_of(row, enabled);
            responses.extend(self.fetched(row.uid, items, enabled));
        }
        Ok(new)
    }

    /// Messages that came, with larger UIDs than all others.
    async fn add(
        &mut self,
        mailboxes: &Mailboxes,
        new: &[u32],
        enabled: Enabled,
        responses: &mut Vec<Response>,
    ) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        self.uids.extend_from_slice(new);
        let floor = mailboxes
            .recent(self.view.account, self.view.mailbox, !self.read_only)
            .await?;
        for &uid in new.iter().filter(|&&uid| uid >= floor) {
            self.recent.push(uid);
        }
        responses.push(Response::Exists(self.count()));
        if !enabled.rev2 {
            responses.push(Response::Recent(
                u32::try_from(self.recent.count()).unwrap_or(u32::MAX),
            ));
        }
        Ok(())
    }

    /// A row's flags as the client sees them.
    pub(super) fn flags(&self, row: &Row, rev2: bool) -> Vec<Flag> {
        let system = [
            (Flags::ANSWERED, Flag::Answered),
            (Flags::FLAGGED, Flag::Flagged),
            (Flags::DELETED, Flag::Deleted),
            (Flags::SEEN, Flag::Seen),
            (Flags::DRAFT, Flag::Draft),
        ];
        let mut flags: Vec<Flag> = system
            .into_iter()
            .filter(|(bit, _)| row.flags.has(*bit))
            .map(|(_, flag)| flag)
            .collect();
        if !rev2 && self.recent.contains(row.uid) {
            flags.push(Flag::Recent);
        }
        flags.extend(row.flags.keywords.iter().cloned().map(Flag::Keyword));
        flags
    }
}

/// A system flag as its bit, 0 for others.
fn system_bit(flag: &Flag) -> u8 {
    match flag {
        Flag::Answered => Flags::ANSWERED,
        Flag::Flagged => Flags::FLAGGED,
        Flag::Deleted => Flags::DELETED,
        Flag::Seen => Flags::SEEN,
        Flag::Draft => Flags::DRAFT,
        Flag::Recent | Flag::Keyword(_) | Flag::Extension(_) => 0,
    }
}

/// Flags a client sent, as they are kept. `None` for a system flag that does
/// not exist; `\Recent` is not the client's to change (RFC 3501 §2.3.2).
pub(super) fn kept(flags: &[Flag]) -> Option<Flags> {
    let mut system = 0;
    let mut keywords = Vec::new();
    for flag in flags {
        match flag {
            Flag::Keyword(name) => keywords.push(name.clone()),
            Flag::Extension(_) => return None,
            flag => system |= system_bit(flag),
        }
    }
    Some(Flags::new(system, keywords))
}
