//! QUOTA: one quota root, the account.
//! [RFC 9208](https://www.rfc-editor.org/rfc/rfc9208)

use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::quota::{Resource, ResourceUse};
use axigen_proto::imap::response::{Code, Response, Status};
use axigen_proto::imap::types::MailboxName;
use axigen_store::AccountId;

use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{Error, names};

/// The name of the quota root that all mailboxes of an account share.
const ROOT: &str = "";
/// Bytes of a unit of STORAGE.
const UNIT: u64 = 1024;

impl Talk<'_> {
    pub(super) async fn get_quota(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        root: &str,
    ) -> Done<Status> {
        if root != ROOT {
            return Ok(Status::no("there is no such quota root").with(Code::NonExistent));
        }
        match self.quota_of(account).await {
            Ok(response) => conn.session().untagged(&response)?,
            Err(error) => return Ok(status::of(&error, false)),
        }
        Ok(Status::ok("done"))
    }

    pub(super) async fn get_quota_root(
        &mut self,
        conn: &mut ImapConn,
        account: AccountId,
        mailbox: MailboxName,
    ) -> Done<Status> {
        // RFC 9208 §4.1.2: it need not be there, but it must be one that can be.
        if let Err(why) = names::normalise(mailbox.as_str()) {
            return Ok(status::of(&why, false));
        }
        if self.is_foreign(mailbox.as_str()) {
            let found = self.mailbox_for(mailbox.as_str(), Rights::READ, false);
            if let Err(status) = found.await {
                return Ok(status);
            }
            // How much others may hold is theirs to know.
            let roots = Vec::new();
            conn.session()
                .untagged(&Response::QuotaRoot { mailbox, roots })?;
            return Ok(Status::ok("done"));
        }
        let quota = match self.quota_of(account).await {
            Ok(response) => response,
            Err(error) => return Ok(status::of(&error, false)),
        };
        let roots = vec![ROOT.to_owned()];
        conn.session()
            .untagged(&Response::QuotaRoot { mailbox, roots })?;
        conn.session().untagged(&quota)?;
        Ok(Status::ok("done"))
    }

    async fn quota_of(&self, account: AccountId) -> Result<Response, Error> {
        let mailboxes = &self.context.mailboxes;
        let (bytes, messages) = mailboxes.usage(account).await?;
        let quota = self.user.as_ref().map(|user| user.settings.quota);
        let quota = quota.unwrap_or_default();
        let storage = quota.bytes.map(|limit| ResourceUse {
            resource: Resource::Storage,
            used: units(bytes),
            limit: limit / UNIT,
        });
        let message = quota.messages.map(|limit| ResourceUse {
            resource: Resource::Message,
            used: messages,
            limit,
        });
        let mailbox = ResourceUse {
            resource: Resource::Mailbox,
            used: u64::from(mailboxes.count(account).await?),
            limit: u64::from(mailboxes.options().mailboxes),
        };
        Ok(Response::Quota {
            root: ROOT.to_owned(),
            resources: [storage, message, Some(mailbox)]
                .into_iter()
                .flatten()
                .collect(),
        })
    }
}

/// Units of STORAGE that these bytes take.
pub(super) fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT)
}
