//! METADATA: notes about mailboxes and the server.
//! [RFC 5464](https://www.rfc-editor.org/rfc/rfc5464),
//! [RFC 9590](https://www.rfc-editor.org/rfc/rfc9590)

use std::collections::{BTreeMap, BTreeSet};

use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::metadata::{Depth, EntryName, Metadata, MetadataResponse};
use axigen_proto::imap::response::{Code, Response, Status};
use axigen_proto::imap::types::{MailboxName, SpecialUse as Use};
use axigen_store::AccountId;
use bytes::Bytes;

use super::list::{shown, use_of};
use super::namespace::{lacks, no_permission};
use super::notify::Place;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::annotations::{AnnotationLimits, Annotations};
use crate::mailbox::{Error, MailboxId, MailboxInfo, SpecialUse, Stretch, View};

/// What a mailbox is for, as an entry ([RFC 6154 §4](https://www.rfc-editor.org/rfc/rfc6154#section-4)).
const SPECIAL_USE: &str = "/private/specialuse";
/// A note about the server (RFC 5464 §3.2.1.1).
const COMMENT: &str = "/shared/comment";
/// How to reach the administrator, a URI (RFC 5464 §3.2.1.1).
const ADMIN: &str = "/shared/admin";
/// Changes looked at together.
const STRETCH: usize = 10_000;

/// Of one of these a reader needs the right, besides `l`, to see and set
/// entries (RFC 5464 §3.3).
const ANY: Rights = Rights::READ
    .with(Rights::SEEN)
    .with(Rights::WRITE)
    .with(Rights::INSERT)
    .with(Rights::POST);

/// Entries that were changed, by mailbox; mailbox 0 is the account itself.
pub(super) type Changed = BTreeMap<MailboxId, BTreeSet<EntryName>>;

/// Up to which change a client that has enabled METADATA was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    upto: u64,
    /// What this connection changed itself.
    own: Changed,
}

impl Talk<'_> {
    pub(super) async fn metadata(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        command: Metadata,
    ) -> Done<Status> {
        match command {
            Metadata::Get {
                mailbox,
                max_size,
                depth,
                entries,
            } => {
                let all = match self.entries_of(account, mailbox.as_str()).await {
                    Ok(all) => all,
                    Err(status) => return Ok(status),
                };
                let (values, left_out) = chosen(&all, max_size, depth, &entries);
                if !values.is_empty() {
                    let values = MetadataResponse::Values { mailbox, values };
                    conn.session().untagged(&Response::Metadata(values))?;
                }
                let done = Status::ok("done");
                Ok(match left_out {
                    // §4.2.1: how large the largest of those is that were left out.
                    Some(size) => done.with(Code::MetadataLongEntries(size)),
                    None => done,
                })
            }
            Metadata::Set { mailbox, values } => {
                Ok(match self.set(account, mailbox.as_str(), &values).await {
                    Ok(()) => Status::ok("done"),
                    Err(status) => status,
                })
            }
        }
    }

    /// All entries that the user may see of a mailbox, or of the server.
    async fn entries_of(&self, account: AccountId, name: &str) -> Result<Annotations, Status> {
        let mailboxes = &self.context.mailboxes;
        let of_store = |error: Error| status::of(&error, false);
        if name.is_empty() {
            let mut all = mailboxes
                .account_annotations(account)
                .await
                .map_err(of_store)?;
            let settings = self.context.settings.load();
            for (entry, value) in [
                (COMMENT, &settings.imap.comment),
                (ADMIN, &settings.imap.admin),
            ] {
                let entry = EntryName::new(entry).filter(|_| !value.is_empty());
                all.extend(entry.map(|entry| (entry, Bytes::from(value.clone()))));
            }
            return Ok(all);
        }
        let (view, info) = self.mailbox_for(name, Rights::NONE, false).await?;
        self.entries_for(&view, &info)
            .await
            .map_err(of_store)?
            .ok_or_else(|| lacks(&view, false))
    }

    /// The entries of a mailbox that was found; `None` without the rights.
    pub(super) async fn entries_for(
        &self,
        view: &View,
        info: &MailboxInfo,
    ) -> Result<Option<Annotations>, Error> {
        if !view.rights.has(Rights::LOOKUP) || !view.rights.has_any(ANY) {
            return Ok(None);
        }
        let mut all = self.context.mailboxes.annotations(view).await?;
        let entry = EntryName::new(SPECIAL_USE).zip(info.special_use);
        all.extend(entry.map(|(entry, special)| (entry, Bytes::from(shown(special).as_str()))));
        Ok(Some(all))
    }

    async fn set(
        &mut self,
        account: AccountId,
        name: &str,
        values: &[(EntryName, Option<Bytes>)],
    ) -> Result<(), Status> {
        let limits = self.limits();
        let mailboxes = self.context.mailboxes.clone();
        if name.is_empty() {
            if values.iter().any(|(entry, _)| !entry.is_private()) {
                // They are the administrator's.
                return Err(no_permission());
            }
            let done = mailboxes.annotate_account(account, values, limits).await;
            done.map_err(|error| failed(&error))?;
            self.changed_itself((account, MailboxId(0)), values);
            return Ok(());
        }
        let (view, _) = self.mailbox_for(name, Rights::NONE, false).await?;
        let shares = values.iter().any(|(entry, _)| !entry.is_private());
        let may = view.rights.has(Rights::LOOKUP)
            && view.rights.has_any(ANY)
            // What all see is changed only by one who may change flags for all.
            && (!shares || view.rights.has(Rights::WRITE));
        if !may {
            return Err(lacks(&view, false));
        }
        let (uses, values): (Vec<_>, Vec<_>) = values
            .iter()
            .cloned()
            .partition(|(entry, _)| entry.as_str() == SPECIAL_USE);
        // Everything that can be refused is before what is done.
        let special = match uses.last() {
            Some(_) if view.guest().is_some() => {
                return Err(Status::no("a use is for mailboxes of one's own").with(Code::UseAttr));
            }
            Some((_, value)) => Some(special_use(value.as_deref())?),
            None => None,
        };
        if !values.is_empty() {
            let done = mailboxes.annotate(&view, &values, limits).await;
            done.map_err(|error| failed(&error))?;
            self.changed_itself((view.account, view.mailbox), &values);
        }
        if let Some(special) = special {
            let set = mailboxes.set_special_use(view.account, view.mailbox, special);
            set.await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn limits(&self) -> AnnotationLimits {
        let settings = self.context.settings.load();
        AnnotationLimits {
            size: settings.imap.annotation_size.0,
            entries: settings.imap.annotations,
        }
    }

    /// What this connection changed itself is no news for it.
    fn changed_itself(&mut self, place: Place, values: &[(EntryName, Option<Bytes>)]) {
        let entries = || values.iter().map(|(entry, _)| entry.clone());
        let user = self.user.as_ref().map(|user| user.account);
        if let Some(told) = &mut self.metadata_told
            && Some(place.0) == user
        {
            told.own.entry(place.1).or_default().extend(entries());
        }
        if let Some(notify) = &mut self.notify {
            notify.annotated(place, entries());
        }
    }

    /// Tells a client that has enabled METADATA which entries of its own
    /// mailboxes others changed (§4.2.2, §4.4.2). What was before it was enabled
    /// is not told.
    pub(super) async fn tell_metadata(&mut self, conn: &mut ImapConn) -> Done {
        let Some(account) = self.user.as_ref().map(|user| user.account) else {
            return Ok(());
        };
        if !conn.session().enabled().metadata {
            return Ok(());
        }
        let mailboxes = &self.context.mailboxes;
        let Some(mut told) = self.metadata_told.take() else {
            let upto = mailboxes.last_change(account).await.unwrap_or(0);
            let own = Changed::new();
            self.metadata_told = Some(Told { upto, own });
            return Ok(());
        };
        loop {
            let stretch = match mailboxes.follow(account, told.upto, STRETCH).await {
                Ok(Some(stretch)) => stretch,
                Ok(None) => {
                    told.upto = mailboxes.last_change(account).await.unwrap_or(0);
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "changes could not be read");
                    break;
                }
            };
            told.upto = stretch.upto;
            let changed = news(account, &stretch, &mut told.own);
            self.announce(conn, account, "", changed).await?;
            if !stretch.more {
                break;
            }
        }
        told.own.clear();
        self.metadata_told = Some(told);
        Ok(())
    }

    /// A METADATA response for each mailbox; `prefix` stands before its name.
    pub(super) async fn announce(
        &self,
        conn: &mut ImapConn,
        account: AccountId,
        prefix: &str,
        changed: Changed,
    ) -> Done {
        for (id, entries) in changed {
            let name = match id {
                MailboxId(0) => String::new(),
                id => match self.context.mailboxes.info(account, id).await {
                    Ok(info) => format!("{prefix}{}", info.name),
                    Err(_) => continue,
                },
            };
            let changed = MetadataResponse::Changed {
                mailbox: MailboxName::new(name),
                entries: entries.into_iter().collect(),
            };
            conn.session().untagged(&Response::Metadata(changed))?;
        }
        Ok(())
    }
}

/// The entries of a stretch of the log that an account sees, without what the
/// connection changed itself.
pub(super) fn news(account: AccountId, stretch: &Stretch, own: &mut Changed) -> Changed {
    let mut changed = Changed::new();
    for (mailbox, reader, name) in &stretch.annotated {
        if !matches!(*reader, AccountId(0)) && *reader != account {
            continue;
        }
        let Some(entry) = EntryName::new(name) else {
            continue;
        };
        if !own.get_mut(mailbox).is_some_and(|own| own.remove(&entry)) {
            changed.entry(*mailbox).or_default().insert(entry);
        }
    }
    changed
}

/// Those of the entries that are asked for, and the size of the largest that
/// was left out.
#[allow(clippy::type_complexity)]
pub(super) fn chosen(
    all: &Annotations,
    max_size: Option<u32>,
    depth: Depth,
    wanted: &[EntryName],
) -> (Vec<(EntryName, Option<Bytes>)>, Option<u64>) {
    let mut values: BTreeMap<EntryName, Option<Bytes>> = BTreeMap::new();
    let mut left_out = None;
    for of in wanted {
        if depth == Depth::Zero && !all.contains_key(of) {
            // One that was asked for by name and is not there.
            values.insert(of.clone(), None);
        }
        for (entry, value) in all.iter().filter(|(entry, _)| depth.covers(of, entry)) {
            match max_size {
                Some(most) if value.len() as u64 > u64::from(most) => {
                    left_out = left_out.max(Some(value.len() as u64));
                }
                _ => drop(values.insert(entry.clone(), Some(value.clone()))),
            }
        }
    }
    (values.into_iter().collect(), left_out)
}

/// What a value of `/private/specialuse` means.
fn special_use(value: Option<&[u8]>) -> Result<Option<SpecialUse>, Status> {
    let refused = |why: &'static str| Err(Status::no(why).with(Code::UseAttr));
    let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => refused("a mailbox has one use"),
        (Some(word), None) => {
            let known = Use::EVERY
                .iter()
                .find(|known| known.as_str().eq_ignore_ascii_case(word));
            match known {
                Some(Use::All | Use::Flagged) => refused("no mailbox can have that use"),
                Some(known) => Ok(Some(use_of(*known))),
                None => refused("there is no such use"),
            }
        }
    }
}

fn failed(error: &Error) -> Status {
    match error {
        // RFC 5464 §4.3, §5
        Error::TooMany(_) => Status::no(error.to_string()).with(Code::MetadataTooMany),
        Error::AnnotationTooLarge(most) => {
            Status::no(error.to_string()).with(Code::MetadataMaxSize(*most))
        }
        error => status::of(error, false),
    }
}
