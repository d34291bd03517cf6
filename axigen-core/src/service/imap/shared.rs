//! Mailboxes of others in LIST.

use std::collections::BTreeMap;

use axigen_proto::imap::command::List;
use axigen_proto::imap::extensions::acl::Rights;
use axigen_store::AccountId;

use super::Talk;
use super::list::{DELIMITER, Entry, add_foreign};
use crate::mailbox::{Result, View};

impl Talk<'_> {
    /// Adds the mailboxes that others share with the user, and public ones, as
    /// far as the patterns can mean them.
    pub(super) async fn add_shared(
        &self,
        list: &List,
        all: &mut BTreeMap<String, Entry>,
    ) -> Result<()> {
        self.add_shared_below(&|top| meant(list, top), all).await
    }

    /// Adds those of them whose names can begin so.
    pub(super) async fn add_shared_below(
        &self,
        meant: &(dyn Fn(&str) -> bool + Sync),
        all: &mut BTreeMap<String, Entry>,
    ) -> Result<()> {
        let (other, public) = self.tops();
        if !public.is_empty()
            && meant(&public)
            && let Some(account) = self.public_account().await?
        {
            self.add_account(account, &public, all).await?;
        }
        let Some(user) = &self.user else {
            return Ok(());
        };
        if !other.is_empty() && meant(&other) {
            let mailboxes = &self.context.mailboxes;
            for owner in mailboxes.sharers(user.account).await? {
                let address = self.context.directory.address_of(owner).await;
                // Of an account that is gone there is nothing to show.
                if let Ok(Some(address)) = address {
                    let prefix = format!("{other}{DELIMITER}{address}");
                    if !meant(&prefix) {
                        continue;
                    }
                    self.add_account(owner, &prefix, all).await?;
                }
            }
        }
        Ok(())
    }

    /// Adds those of an account's mailboxes that the user may see.
    pub(super) async fn add_account(
        &self,
        account: AccountId,
        prefix: &str,
        all: &mut BTreeMap<String, Entry>,
    ) -> Result<()> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let mailboxes = &self.context.mailboxes;
        let lists = mailboxes.access_lists(account).await?;
        for (mailbox, list) in lists {
            let view = View {
                account,
                mailbox,
                reader: user.account,
                rights: list.of(user.account),
            };
            // RFC 4314 §4: without `l` it is not listed.
            if !view.rights.has(Rights::LOOKUP) {
                continue;
            }
            let mut info = match mailboxes.info_of(&view).await {
                Ok(info) => info,
                Err(crate::mailbox::Error::NoSuchMailbox) => continue,
                Err(error) => return Err(error),
            };
            info.name = format!("{prefix}{DELIMITER}{}", info.name);
            add_foreign(all, view, info);
        }
        Ok(())
    }
}

/// Whether a pattern can mean a name below `top`.
fn meant(list: &List, top: &str) -> bool {
    list.patterns.iter().any(|pattern| {
        let whole = format!("{}{}", list.reference, pattern.0);
        let literal = whole.split(['*', '%']).next().unwrap_or_default();
        let below = literal.strip_prefix(top);
        top.starts_with(literal)
            || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(DELIMITER))
    })
}
