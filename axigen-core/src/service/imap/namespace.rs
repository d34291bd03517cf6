//! Whose mailbox a name means: the user's own, another user's, a public one.
//! [RFC 2342](https://www.rfc-editor.org/rfc/rfc2342)
//!
//! ```text
//! Work                              the user's own
//! Other Users/ann@example.org/Work  Ann's, if she shares it
//! Public/News                       the domain's
//! ```
//! Rights are asked for here and nowhere else. Of a mailbox that a user has no
//! right to nothing is told, not even whether it is there
//! ([RFC 4314 §6](https://www.rfc-editor.org/rfc/rfc4314#section-6)).

use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::response::{Code, Namespace, Response, Status};
use axigen_store::AccountId;

use super::list::DELIMITER;
use super::{Done, ImapConn, Talk, status};
use crate::directory;
use crate::mailbox::{Error, MailboxInfo, Quota, View, names};

/// A name and the account it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) account: AccountId,
    /// The name inside that account.
    pub(super) name: String,
    /// What stands before it, for the user.
    pub(super) prefix: String,
}

impl Located {
    /// A name of the same account as the user writes it.
    pub(super) fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// A user for whom names mean something: account and address.
pub(super) type Reader<'r> = (AccountId, &'r str);

/// What of a name lies below a prefix.
fn below<'n>(name: &'n str, top: &str) -> Option<&'n str> {
    if top.is_empty() {
        return None;
    }
    name.strip_prefix(top)?.strip_prefix(DELIMITER)
}

/// What it means that the directory does not know a name.
fn of_directory(error: directory::Error) -> Error {
    match error {
        directory::Error::Store(error) => Error::Store(error),
        directory::Error::Mailbox(error) => error,
        _ => Error::NoSuchMailbox,
    }
}

impl Talk<'_> {
    pub(super) fn namespace(&mut self, conn: &mut ImapConn) -> Done<Status> {
        let space = |top: &str| Namespace {
            prefix: match top {
                "" => String::new(),
                top => format!("{top}{DELIMITER}"),
            },
            delimiter: Some(DELIMITER),
        };
        let (other, public) = self.tops();
        let one = |top: &str| match top {
            "" => Vec::new(),
            top => vec![space(top)],
        };
        conn.session().untagged(&Response::Namespace {
            personal: vec![space("")],
            other: one(&other),
            shared: one(&public),
        })?;
        Ok(Status::ok("done"))
    }

    /// The first levels of other users' names and of public ones; empty where
    /// there are none.
    pub(super) fn tops(&self) -> (String, String) {
        let settings = self.context.settings.load();
        let imap = &settings.imap;
        (imap.other_users.clone(), imap.public_folders.clone())
    }

    /// Whose mailbox a name means. Whether there is one is not asked.
    pub(super) async fn locate(&self, name: &str) -> Result<Located, Error> {
        let Some(user) = &self.user else {
            return Err(Error::NoSuchMailbox);
        };
        self.locate_for((user.account, &user.address), name).await
    }

    /// The same for another user than the one who has logged in.
    async fn locate_for(&self, user: Reader<'_>, name: &str) -> Result<Located, Error> {
        let (other, public) = self.tops();
        if let Some(rest) = below(name, &other) {
            let (address, inner) = rest.split_once(DELIMITER).ok_or(Error::NoSuchMailbox)?;
            let owner = self.context.directory.account(address).await;
            let owner = owner.map_err(of_directory)?;
            return Ok(Located {
                account: owner.id,
                name: names::normalise(inner).map_err(|_| Error::NoSuchMailbox)?,
                prefix: format!("{other}{DELIMITER}{}{DELIMITER}", owner.address),
            });
        }
        if let Some(inner) = below(name, &public) {
            let account = self.public_account_for(user.1).await?;
            let account = account.ok_or(Error::NoSuchMailbox)?;
            return Ok(Located {
                account,
                name: names::normalise(inner).map_err(|_| Error::NoSuchMailbox)?,
                prefix: format!("{public}{DELIMITER}"),
            });
        }
        if self.is_top(name) {
            // What is below it is no mailbox of this account.
            return Err(Error::NoSuchMailbox);
        }
        Ok(Located {
            account: user.0,
            name: name.to_owned(),
            prefix: String::new(),
        })
    }

    /// Whether a name is in another namespace than the user's own.
    pub(super) fn is_foreign(&self, name: &str) -> bool {
        let (other, public) = self.tops();
        below(name, &other).is_some() || below(name, &public).is_some()
    }

    /// Whether a name is the first level of another namespace.
    pub(super) fn is_top(&self, name: &str) -> bool {
        let (other, public) = self.tops();
        !name.is_empty() && (name == other || name == public)
    }

    /// A mailbox as the reader sees it, with the name under which the user
    /// finds it.
    pub(super) async fn name_of(&self, view: &View) -> Result<MailboxInfo, Error> {
        let mut info = self.context.mailboxes.info_of(view).await?;
        if view.guest().is_none() {
            return Ok(info);
        }
        let (other, public) = self.tops();
        let prefix = match self.public_account().await? == Some(view.account) {
            true => public,
            false => {
                let address = self.context.directory.address_of(view.account).await;
                let address = address.map_err(of_directory)?.ok_or(Error::NoSuchMailbox)?;
                format!("{other}{DELIMITER}{address}")
            }
        };
        info.name = format!("{prefix}{DELIMITER}{}", info.name);
        Ok(info)
    }

    /// The account that holds the public folders of the user's domain.
    pub(super) async fn public_account(&self) -> Result<Option<AccountId>, Error> {
        match &self.user {
            Some(user) => self.public_account_for(&user.address).await,
            None => Ok(None),
        }
    }

    async fn public_account_for(&self, address: &str) -> Result<Option<AccountId>, Error> {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let account = self.context.directory.public_folders(domain).await;
        account.map_err(of_directory)
    }

    /// Finds a mailbox for which the user has all of these rights.
    /// `create_helps` is set where making the mailbox first would help.
    pub(super) async fn mailbox_for(
        &self,
        name: &str,
        needs: Rights,
        create_helps: bool,
    ) -> Result<(View, MailboxInfo), Status> {
        let found = self.seen_by_user(name).await;
        let (view, info) = found.map_err(|error| status::of(&error, create_helps))?;
        match view.rights.has(needs) {
            true => Ok((view, info)),
            false => Err(lacks(&view, create_helps)),
        }
    }

    /// Finds a mailbox that the user has any right to.
    pub(super) async fn seen_by_user(&self, name: &str) -> Result<(View, MailboxInfo), Error> {
        let Some(user) = &self.user else {
            return Err(Error::NoSuchMailbox);
        };
        self.seen_by((user.account, &user.address), name).await
    }

    /// Finds a mailbox that any user has any right to, by the name it has for
    /// that user.
    pub(super) async fn seen_by(
        &self,
        user: Reader<'_>,
        name: &str,
    ) -> Result<(View, MailboxInfo), Error> {
        let mailboxes = &self.context.mailboxes;
        let located = self.locate_for(user, name).await?;
        let found = mailboxes.find(located.account, &located.name).await?;
        let rights = mailboxes.rights(located.account, found.id, user.0).await?;
        if rights.is_empty() {
            return Err(Error::NoSuchMailbox);
        }
        let view = View {
            account: located.account,
            mailbox: found.id,
            reader: user.0,
            rights,
        };
        if view.guest().is_none() {
            return Ok((view, found));
        }
        let mut info = mailboxes.info_of(&view).await?;
        info.name = located.shown(&info.name);
        Ok((view, info))
    }

    /// The nearest mailbox above a name of another account, if the user may
    /// make mailboxes there
    /// ([RFC 4314 §4](https://www.rfc-editor.org/rfc/rfc4314#section-4), CREATE).
    pub(super) async fn may_create(&self, located: &Located) -> Result<(), Status> {
        let Some(user) = &self.user else {
            return Err(no_permission());
        };
        if located.account == user.account {
            return Ok(());
        }
        let mailboxes = &self.context.mailboxes;
        let parents: Vec<&str> = names::parents(&located.name).collect();
        for parent in parents.into_iter().rev() {
            let found = match mailboxes.find(located.account, parent).await {
                Ok(found) => found,
                Err(Error::NoSuchMailbox) => continue,
                Err(error) => return Err(status::of(&error, false)),
            };
            let rights = mailboxes.rights(located.account, found.id, user.account);
            let rights = rights.await.map_err(|error| status::of(&error, false))?;
            return match rights.has(Rights::CREATE) {
                true => Ok(()),
                false => Err(no_permission()),
            };
        }
        Err(no_permission())
    }

    /// How much the account that a mailbox is in may hold.
    pub(super) async fn quota_for(&self, view: &View) -> Result<Quota, Status> {
        if view.guest().is_none() {
            let own = self.user.as_ref().map(|user| user.settings.quota);
            return Ok(own.unwrap_or(Quota::NONE));
        }
        let settings = self.context.directory.settings_of_account(view.account);
        match settings.await {
            Ok(settings) => {
                let server = self.context.settings.load();
                Ok(settings.effective(&server.accounts).quota)
            }
            Err(error) => Err(status::of(&of_directory(error), false)),
        }
    }

    /// What the user may do with the open mailbox may have changed. A mailbox
    /// that may no longer be read is left.
    pub(super) async fn ask_rights_again(&mut self, conn: &mut ImapConn) -> Done {
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let view = &mut selected.view;
        if view.guest().is_none() {
            return Ok(());
        }
        let mailboxes = &self.context.mailboxes;
        let rights = mailboxes.rights(view.account, view.mailbox, view.reader);
        view.rights = match rights.await {
            Ok(rights) => rights,
            Err(Error::NoSuchMailbox) => Rights::NONE,
            Err(error) => {
                tracing::error!(%error, "rights could not be read");
                Rights::NONE
            }
        };
        if !view.rights.has(Rights::READ) {
            self.selected = None;
            conn.session().unselect()?;
        }
        Ok(())
    }
}

/// What is said to one who lacks a right to a mailbox. One who may not look it up is
/// told the same as if it were not there
/// ([RFC 4314 §6](https://www.rfc-editor.org/rfc/rfc4314#section-6)).
pub(super) fn lacks(view: &View, create_helps: bool) -> Status {
    match view.rights.has(Rights::LOOKUP) {
        true => no_permission(),
        false => status::of(&Error::NoSuchMailbox, create_helps),
    }
}

/// RFC 5530 §3: NOPERM.
pub(super) fn no_permission() -> Status {
    Status::no("you may not do that with this mailbox").with(Code::NoPerm)
}
