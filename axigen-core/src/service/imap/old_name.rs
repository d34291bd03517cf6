//! OLDNAME: a name that is kept in another spelling than the client's.
//! [RFC 9051 §6.3.9.7](https://www.rfc-editor.org/rfc/rfc9051#section-6.3.9.7)

use axigen_proto::imap::command::Command;
use axigen_proto::imap::response::{ListItem, Response};
use axigen_proto::imap::types::MailboxName;
use axigen_store::AccountId;

use super::list::entry_response;
use super::{Done, ImapConn, Talk};
use crate::mailbox::names;

impl Talk<'_> {
    /// The name a command gives to a mailbox, and the one it has, where these
    /// are two spellings of one text.
    pub(super) async fn given_name(
        &self,
        account: AccountId,
        command: &Command,
    ) -> Option<(MailboxName, String)> {
        let (name, new) = match command {
            Command::Create { mailbox, .. } => (mailbox, true),
            Command::Rename { to, .. } => (to, true),
            Command::Delete { mailbox } => (mailbox, false),
            Command::Select(select) | Command::Examine(select) => (&select.mailbox, false),
            _ => return None,
        };
        let text = name.as_str();
        if text.is_ascii() || self.is_foreign(text) {
            return None;
        }
        let kept = match new {
            true => names::normalise_new(text),
            false => self.context.mailboxes.kept_name(account, text).await,
        };
        let kept = kept.ok()?;
        // That a separator at the end goes, or that INBOX has capitals, is no news.
        let given = text.strip_suffix(names::SEPARATOR).unwrap_or(text);
        let is_other = names::as_given(given).is_ok_and(|given| given != kept);
        is_other.then(|| (name.clone(), kept))
    }

    /// Tells the client how a name that it gave is kept.
    pub(super) async fn tell_kept_name(
        &self,
        conn: &mut ImapConn,
        account: AccountId,
        given: MailboxName,
        kept: &str,
    ) -> Done {
        let all = match self.all(account).await {
            Ok(all) => all,
            Err(error) => {
                tracing::error!(%error, "mailboxes could not be listed");
                return Ok(());
            }
        };
        let item = ListItem {
            old_name: Some(given),
            ..entry_response(kept, all.get(kept))
        };
        conn.session().untagged(&Response::List(item))?;
        Ok(())
    }
}
