//! ESEARCH: several mailboxes are searched, one after the other.
//! [RFC 7377](https://www.rfc-editor.org/rfc/rfc7377)
//!
//! What is found in one is on its way before the next is looked at, so that no
//! more is held than one mailbox gives. Of mailboxes that are not there, or that
//! the user may not read, nothing is told (§2.2, §5).

use std::collections::{BTreeMap, HashSet};

use axigen_proto::imap::command::SearchKey;
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::multisearch::{FoundIn, MultiSearch};
use axigen_proto::imap::extensions::notify::NotifyMailboxes;
use axigen_proto::imap::response::{Code, Esearch, Response, Status};
use axigen_proto::imap::sequence::NumberSet;
use axigen_proto::imap::types::{MailboxName, Tag};
use axigen_store::AccountId;

use super::context::Asked;
use super::list::DELIMITER;
use super::search::{Found, Place, now};
use super::{Done, ImapConn, Talk, limit, status};
use crate::mailbox::search::Context;
use crate::mailbox::{Error, MailboxId, MailboxInfo, View};

/// A mailbox that is to be searched.
#[derive(Debug)]
struct Source {
    view: View,
    of: FoundIn,
}

/// Those that are to be searched, each once.
#[derive(Debug, Default)]
struct Sources {
    known: HashSet<(AccountId, MailboxId)>,
    all: Vec<Source>,
}

impl Sources {
    /// Takes a mailbox, under the name the user knows, if it has all of these
    /// rights.
    fn take(&mut self, view: View, info: &MailboxInfo, needs: Rights) {
        if !view.rights.has(needs) || !self.known.insert((view.account, view.mailbox)) {
            return;
        }
        self.all.push(Source {
            view,
            of: FoundIn {
                mailbox: MailboxName::new(info.name.clone()),
                uid_validity: info.uid_validity,
            },
        });
    }
}

/// RFC 7377 §2.2: `r` for what is named, and `l` besides for what is not.
const NAMED: Rights = Rights::READ;
const LISTED: Rights = Rights::READ.with(Rights::LOOKUP);

/// What of a name lies below another.
fn below<'n>(name: &'n str, top: &str) -> Option<&'n str> {
    name.strip_prefix(top)?.strip_prefix(DELIMITER)
}

impl Talk<'_> {
    pub(super) async fn multi_search(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        tag: &Tag,
        command: &MultiSearch,
    ) -> Done<Status> {
        let returns = command.returns;
        if self.tag_is_taken(tag, Some(returns)) {
            return Ok(Status::bad("results are kept under that tag"));
        }
        let sources = match self.sources(account, &command.sources).await {
            Ok(sources) => sources.all,
            Err(error) => return Ok(self.search_failed(command, &error)),
        };
        let most = self.context.settings.load().imap.search_mailboxes as usize;
        if sources.len() > most {
            let text = format!("more than {most} mailboxes cannot be searched by one command");
            return Ok(Status::no(text).with(Code::Limit));
        }
        let alone = sources.len() == 1;
        self.progress.begin(0);
        let open = self.selected.as_ref().map(|open| open.view);
        let is_open = |view: &View| {
            open.is_some_and(|open| (open.account, open.mailbox) == (view.account, view.mailbox))
        };
        let mut kept = false;
        for Source { view, of } in sources {
            let is_open = is_open(&view);
            let looking = self.found_in(&view, is_open, command);
            let found = match self.work(conn, tag, looking).await? {
                Ok(found) => found,
                // It went meanwhile, or is no longer shared.
                Err(Error::NoSuchMailbox) => continue,
                Err(error) => return Ok(self.search_failed(command, &error)),
            };
            // RFC 9738 knows of one mailbox. Of several no UID tells how far a
            // search came.
            if let (Some(limit), Some(_)) = (self.message_limit.of_messages(), found.lowest)
                && !alone
            {
                return Ok(limit::too_many(limit, None));
            }
            self.went_down_to(found.lowest);
            if returns.save
                && let Some(selected) = &mut self.selected
            {
                selected.saved = found.saved(returns);
            }
            let modseq = found.modseq(returns);
            let scores = returns.scores(&found.relevancies);
            // RFC 7377 §2.1: where nothing was found, nothing is said, not even COUNT 0.
            if !found.uids.is_empty()
                && let Some(esearch) = Esearch::new(tag, true, returns, &found.uids, modseq)
            {
                conn.session().untagged(&Response::Esearch(Esearch {
                    found_in: Some(of.clone()),
                    relevancy: scores,
                    ..esearch
                }))?;
                conn.flush().await?;
            }
            // RFC 7377 §2.2: UPDATE is about the open mailbox only.
            if returns.update && is_open {
                let asked = Asked {
                    tag,
                    uid: true,
                    keys: &command.keys,
                    criteria: None,
                    found_in: Some(of),
                    items: &command.update_items,
                    whole: found.lowest.is_none(),
                };
                self.keep(conn, asked, found.uids)?;
                kept = true;
            }
        }
        if returns.update && !kept {
            let status = Status::no("the open mailbox was not searched");
            let status = status.with(Code::NoUpdate(tag.clone()));
            conn.session().untagged(&Response::Status(status))?;
        }
        Ok(Status::ok("searched"))
    }

    fn search_failed(&mut self, command: &MultiSearch, error: &Error) -> Status {
        self.forget_saved(Some(command.returns));
        status::of(error, false)
    }

    /// What of one mailbox matches.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`] if it is gone or may no longer be read, [`Error::Store`].
    async fn found_in(
        &self,
        view: &View,
        is_open: bool,
        command: &MultiSearch,
    ) -> Result<Found, Error> {
        let mut found = Found::for_what(&command.keys, command.returns);
        let see = |row, relevancy| found.note(&row, relevancy);
        let limit = self.message_limit.of_messages();
        if is_open && let Some(mut place) = self.searched_place() {
            // As this session sees it.
            place.limit = limit;
            found.lowest = self.find_in(&place, &command.keys, false, see).await?;
            return Ok(found);
        }
        let mailboxes = &self.context.mailboxes;
        // What was searched before may have taken long.
        let rights = mailboxes.rights(view.account, view.mailbox, view.reader);
        if !rights.await?.has(Rights::READ) {
            return Err(Error::NoSuchMailbox);
        }
        let (uids, _) = mailboxes.uids(view.account, view.mailbox).await?;
        let asks_recent =
            |key: &SearchKey| matches!(key, SearchKey::Recent | SearchKey::New | SearchKey::Old);
        let recent: NumberSet = match command.keys.iter().any(|key| key.any(&asks_recent)) {
            true => {
                let floor = mailboxes.recent(view.account, view.mailbox, false).await?;
                uids.iter().copied().filter(|&uid| uid >= floor).collect()
            }
            false => NumberSet::new(),
        };
        let place = Place {
            view,
            uids: &uids,
            context: Context {
                messages: u32::try_from(uids.len()).unwrap_or(u32::MAX),
                largest_uid: uids.last().copied().unwrap_or(0),
                now: now(),
                saved: &NumberSet::new(),
                recent: &recent,
            },
            limit,
        };
        found.lowest = self.find_in(&place, &command.keys, false, see).await?;
        Ok(found)
    }

    /// Which mailboxes are meant, in the order in which they are named.
    async fn sources(
        &self,
        account: AccountId,
        asked: &[NotifyMailboxes],
    ) -> Result<Sources, Error> {
        let mut sources = Sources::default();
        for source in asked {
            match source {
                NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed => {
                    self.add_open(&mut sources).await?;
                }
                // Mail can be filed into any mailbox.
                NotifyMailboxes::Inboxes | NotifyMailboxes::Personal => {
                    for info in self.context.mailboxes.list(account).await? {
                        sources.take(View::own(account, info.id), &info, LISTED);
                    }
                }
                NotifyMailboxes::Subscribed => {
                    for name in self.context.mailboxes.subscriptions(account).await? {
                        self.add_named(&mut sources, &name, LISTED).await?;
                    }
                }
                NotifyMailboxes::Mailboxes(names) => {
                    for name in names {
                        self.add_named(&mut sources, name.as_str(), NAMED).await?;
                    }
                }
                NotifyMailboxes::Subtree(tops) => {
                    for top in tops {
                        self.add_tree(&mut sources, account, top.as_str(), false)
                            .await?;
                    }
                }
                NotifyMailboxes::SubtreeOne(tops) => {
                    for top in tops {
                        self.add_tree(&mut sources, account, top.as_str(), true)
                            .await?;
                    }
                }
            }
        }
        Ok(sources)
    }

    /// The open mailbox, by the name it has now.
    async fn add_open(&self, sources: &mut Sources) -> Result<(), Error> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        let view = selected.view;
        let named = self.name_of(&view).await;
        match named {
            Ok(info) => sources.take(view, &info, NAMED),
            Err(Error::NoSuchMailbox) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A mailbox by name, unless there is none, or none that the user may see.
    async fn add_named(
        &self,
        sources: &mut Sources,
        name: &str,
        needs: Rights,
    ) -> Result<(), Error> {
        match self.seen_by_user(name).await {
            Ok((view, info)) => sources.take(view, &info, needs),
            Err(Error::NoSuchMailbox) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A mailbox and those below it; only those one level below it if `one`.
    async fn add_tree(
        &self,
        sources: &mut Sources,
        account: AccountId,
        top: &str,
        one: bool,
    ) -> Result<(), Error> {
        self.add_named(sources, top, NAMED).await?;
        // As names are kept. What is only a level above others stays as it is.
        let top = match self.locate(top).await {
            Ok(located) => {
                let name = crate::mailbox::names::normalise(&located.name);
                name.map_or_else(|_| top.to_owned(), |name| located.shown(&name))
            }
            Err(Error::NoSuchMailbox) => top.to_owned(),
            Err(error) => return Err(error),
        };
        let is_meant =
            |name: &str| below(name, &top).is_some_and(|rest| !one || !rest.contains(DELIMITER));
        let mut of_others = BTreeMap::new();
        let own = match self.is_foreign(&top) || self.is_top(&top) {
            // Whoever can have a mailbox below it.
            true => {
                let meant = |prefix: &str| {
                    prefix == top || below(prefix, &top).is_some() || below(&top, prefix).is_some()
                };
                self.add_shared_below(&meant, &mut of_others).await?;
                Vec::new()
            }
            false => self.context.mailboxes.list(account).await?,
        };
        for info in own.iter().filter(|info| is_meant(&info.name)) {
            sources.take(View::own(account, info.id), info, LISTED);
        }
        for (name, entry) in &of_others {
            if let (Some(view), Some(info)) = (entry.view, &entry.info)
                && is_meant(name)
            {
                sources.take(view, info, LISTED);
            }
        }
        Ok(())
    }
}
