//! ACL: who may do what with a mailbox.
//! [RFC 4314](https://www.rfc-editor.org/rfc/rfc4314)

use axigen_proto::imap::extensions::acl::{Acl, AclResponse, Change, Rights};
use axigen_proto::imap::response::{Code, Response, Status};
use axigen_proto::imap::types::MailboxName;
use axigen_store::AccountId;

use super::namespace::lacks;
use super::{Done, ImapConn, Talk, status};
use crate::directory;
use crate::mailbox::View;
use crate::mailbox::acl::Who;

/// Rights of which one is needed to be told one's own (§4, MYRIGHTS).
const KNOWN: Rights = Rights::LOOKUP
    .with(Rights::READ)
    .with(Rights::INSERT)
    .with(Rights::CREATE)
    .with(Rights::DELETE)
    .with(Rights::ADMINISTER);

impl Talk<'_> {
    pub(super) async fn acl(&mut self, conn: &mut ImapConn, command: Acl) -> Done<Status> {
        let done = match command {
            Acl::Get { mailbox } => self.get_acl(mailbox).await,
            Acl::MyRights { mailbox } => self.my_rights(mailbox).await,
            Acl::ListRights {
                mailbox,
                identifier,
            } => self.list_rights(mailbox, identifier).await,
            Acl::Set {
                mailbox,
                identifier,
                change,
                rights,
            } => self.set_acl(&mailbox, &identifier, change, rights).await,
            Acl::Delete {
                mailbox,
                identifier,
            } => {
                let change = Change::Replace;
                self.set_acl(&mailbox, &identifier, change, Rights::NONE)
                    .await
            }
        };
        match done {
            Ok(Some(response)) => conn.session().untagged(&Response::Acl(response))?,
            Ok(None) => {}
            Err(status) => return Ok(status),
        }
        Ok(Status::ok("done"))
    }

    async fn get_acl(&self, mailbox: MailboxName) -> Result<Option<AclResponse>, Status> {
        let name = mailbox.as_str();
        let (view, _) = self.mailbox_for(name, Rights::ADMINISTER, false).await?;
        let mailboxes = &self.context.mailboxes;
        let list = mailboxes.access(view.account, view.mailbox).await;
        let list = list.map_err(|error| status::of(&error, false))?;
        let mut entries = Vec::with_capacity(list.entries.len() + 1);
        let owner = self.address_of(view.account).await?;
        entries.extend(owner.map(|owner| (owner, Rights::ALL)));
        for entry in &list.entries {
            // Of an account that is gone there is nothing to say.
            let who = self.context.directory.identifier(entry).await;
            let who = who.map_err(unknown)?;
            entries.extend(who.map(|who| (who, entry.rights)));
        }
        Ok(Some(AclResponse::Acl { mailbox, entries }))
    }

    async fn my_rights(&self, mailbox: MailboxName) -> Result<Option<AclResponse>, Status> {
        let (view, _) = self
            .mailbox_for(mailbox.as_str(), Rights::NONE, false)
            .await?;
        match view.rights.has_any(KNOWN) {
            true => Ok(Some(AclResponse::MyRights {
                mailbox,
                rights: view.rights,
            })),
            false => Err(lacks(&view, false)),
        }
    }

    async fn list_rights(
        &self,
        mailbox: MailboxName,
        identifier: String,
    ) -> Result<Option<AclResponse>, Status> {
        let name = mailbox.as_str();
        let (view, _) = self.mailbox_for(name, Rights::ADMINISTER, false).await?;
        let (who, negative) = self.who(&view, &identifier).await?;
        let is_owner = !negative && who == Who::Account(view.account);
        Ok(Some(AclResponse::ListRights {
            mailbox,
            identifier,
            // The owner has all of them, always; others each by itself.
            required: if is_owner { Rights::ALL } else { Rights::NONE },
            optional: match is_owner {
                true => Vec::new(),
                false => Rights::each().collect(),
            },
        }))
    }

    async fn set_acl(
        &self,
        mailbox: &MailboxName,
        identifier: &str,
        change: Change,
        rights: Rights,
    ) -> Result<Option<AclResponse>, Status> {
        let name = mailbox.as_str();
        let (view, _) = self.mailbox_for(name, Rights::ADMINISTER, false).await?;
        let (who, negative) = self.who(&view, identifier).await?;
        if who == Who::Account(view.account) {
            let all = change != Change::Remove && rights == Rights::ALL && !negative;
            return match all {
                true => Ok(None),
                false => Err(Status::no("the owner always has all rights").with(Code::Cannot)),
            };
        }
        let gives = !negative && change != Change::Remove && !rights.is_empty();
        if gives {
            self.may_share(&view, who).await?;
        }
        let mailboxes = &self.context.mailboxes;
        mailboxes
            .set_access(view.account, view.mailbox, (who, negative), change, rights)
            .await
            .map_err(|error| status::of(&error, false))?;
        tracing::info!(
            service = "imap",
            account = view.account.0,
            mailbox = name,
            identifier,
            %rights,
            ?change,
            "rights changed"
        );
        Ok(None)
    }

    /// Whether rights may be given to these at all. What is shared with
    /// everyone lands in everyone's list, which is the administrator's to allow.
    async fn may_share(&self, view: &View, who: Who) -> Result<(), Status> {
        let settings = self.context.settings.load();
        let Who::Account(guest) = who else {
            return match settings.imap.share_with_anyone {
                true => Ok(()),
                false => {
                    Err(Status::no("mailboxes are not shared with everyone here")
                        .with(Code::NoPerm))
                }
            };
        };
        match settings.imap.share_across_domains || self.is_of_domain(view, guest).await? {
            true => Ok(()),
            false => Err(no_user()),
        }
    }

    /// Whether an account is of the domain that a mailbox is of.
    async fn is_of_domain(&self, view: &View, guest: AccountId) -> Result<bool, Status> {
        let owner = match self.address_of(view.account).await? {
            Some(owner) => Some(owner),
            // A public folder, which is the domain's.
            None => self.user.as_ref().map(|user| user.address.clone()),
        };
        let guest = self.address_of(guest).await?;
        let domain = |address: &Option<String>| {
            let address = address.as_deref().unwrap_or_default();
            address
                .rsplit_once('@')
                .map(|(_, domain)| domain.to_owned())
        };
        Ok(domain(&owner) == domain(&guest))
    }

    /// Who an identifier means, and whether it takes rights away. Whether there
    /// is such a user in another domain is told only where mailboxes are shared
    /// with it, or the user is in the list already.
    async fn who(&self, view: &View, identifier: &str) -> Result<(Who, bool), Status> {
        let own = self.user.as_ref().map_or("", |user| user.address.as_str());
        let home = own.rsplit_once('@').map_or("", |(_, domain)| domain);
        let found = self.context.directory.identify(identifier, home).await;
        let found = found.map_err(unknown)?;
        let across = self.context.settings.load().imap.share_across_domains;
        if let Who::Account(guest) = found.0
            && !across
            && !self.is_of_domain(view, guest).await?
        {
            let list = self.context.mailboxes.access(view.account, view.mailbox);
            let list = list.await.map_err(|error| status::of(&error, false))?;
            if !list.entries.iter().any(|entry| entry.who == found.0) {
                return Err(no_user());
            }
        }
        Ok(found)
    }

    pub(super) async fn address_of(&self, account: AccountId) -> Result<Option<String>, Status> {
        match self.context.directory.address_of(account).await {
            Ok(address) => Ok(address),
            Err(error @ directory::Error::Store(_)) => Err(unknown(error)),
            Err(_) => Ok(None),
        }
    }
}

fn unknown(error: directory::Error) -> Status {
    match error {
        directory::Error::Store(error) => status::of(&error.into(), false),
        _ => no_user(),
    }
}

fn no_user() -> Status {
    Status::no("there is no such user").with(Code::NonExistent)
}
