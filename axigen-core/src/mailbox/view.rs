//! A mailbox as one account sees it: its own, or one of another that is shared
//! with it.

use axigen_proto::imap::extensions::acl::Rights;
use axigen_store::AccountId;

use super::{
    Mailboxes,
    changes::Knows,
    error::Result,
    seen,
    select::ascending,
    types::{Changes, Flags, MailboxId, MailboxInfo, Row, Touched},
};

/// Whose mailbox, which, and who looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The account the mailbox is in.
    pub account: AccountId,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Who looks at it.
    pub reader: AccountId,
    /// What the reader may do.
    pub rights: Rights,
}

/// Flags that may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) system: u8,
    pub(super) keywords: bool,
}

impl View {
    /// A mailbox as its owner sees it.
    pub fn own(account: AccountId, mailbox: MailboxId) -> View {
        View {
            account,
            mailbox,
            reader: account,
            rights: Rights::ALL,
        }
    }

    /// The reader, if that is not the owner.
    pub fn guest(&self) -> Option<AccountId> {
        (self.reader != self.account).then_some(self.reader)
    }

    /// Which flags the reader may set and take off: `s` is for `\Seen`, `t` for
    /// `\Deleted`, `w` for the others
    /// ([RFC 4314 §2.1](https://www.rfc-editor.org/rfc/rfc4314#section-2.1)).
    pub fn flags(&self) -> u8 {
        let mut system = 0;
        for (right, flags) in [
            (Rights::SEEN, Flags::SEEN),
            (Rights::DELETE_MESSAGES, Flags::DELETED),
            (
                Rights::WRITE,
                Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT,
            ),
        ] {
            if self.rights.has(right) {
                system |= flags;
            }
        }
        system
    }

    pub(super) fn allowed(&self) -> Allowed {
        Allowed {
            system: self.flags(),
            keywords: self.rights.has(Rights::WRITE),
        }
    }

    /// Those of these flags that the reader may give a new message.
    #[must_use]
    pub fn cut(&self, flags: &Flags) -> Flags {
        let allowed = self.allowed();
        Flags {
            system: flags.system & allowed.system,
            keywords: match allowed.keywords {
                true => flags.keywords.clone(),
                false => Vec::new(),
            },
        }
    }
}

impl Mailboxes {
    /// [`info`](Mailboxes::info) as the reader sees it.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox), [`Error::Store`](super::Error::Store).
    pub async fn info_of(&self, view: &View) -> Result<MailboxInfo> {
        let mut info = self.info(view.account, view.mailbox).await?;
        if let Some(guest) = view.guest() {
            let seen = self.seen_by(view.account, view.mailbox, guest).await?;
            info.unseen = info.messages.saturating_sub(seen);
            // The owner's.
            info.special_use = None;
            info.subscribed = false;
        }
        Ok(info)
    }

    /// [`rows`](Mailboxes::rows) as the reader sees them.
    ///
    /// # Errors
    /// [`Error::Store`](super::Error::Store).
    pub async fn rows_of(&self, view: &View, uids: &[u32]) -> Result<Vec<Row>> {
        let Some(guest) = view.guest() else {
            return self.rows(view.account, view.mailbox, uids).await;
        };
        let uids = ascending(uids);
        // Before the rows: what comes meanwhile is in the log, too.
        let marks = self.marks(view.account, view.mailbox, guest, &uids).await?;
        let mut rows = self.rows(view.account, view.mailbox, &uids).await?;
        seen::show(&mut rows, &marks);
        Ok(rows)
    }

    /// [`changes`](Mailboxes::changes) as the reader sees them.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox), [`Error::Store`](super::Error::Store).
    pub async fn changes_of(&self, view: &View, modseq: u64) -> Result<Changes> {
        self.changes_untold(view, modseq, &|_, _| false).await
    }

    /// The same without messages whose flags the reader [knows](Knows) of
    /// already: their rows are not read again.
    ///
    /// # Errors
    /// As [`changes_of`](Mailboxes::changes_of).
    pub async fn changes_untold(
        &self,
        view: &View,
        modseq: u64,
        knows: Knows<'_>,
    ) -> Result<Changes> {
        let touched = self
            .touched_by(view.account, view.mailbox, modseq, view.guest(), knows)
            .await?;
        let mut rows = self.rows_of(view, &touched.changed).await?;
        rows.retain(|row| row.modseq > modseq);
        Ok(Changes {
            modseq: touched.modseq,
            rows,
            vanished: touched.vanished,
            highest_modseq: touched.highest_modseq,
        })
    }

    /// [`touched`](Mailboxes::touched) as the reader sees it.
    ///
    /// # Errors
    /// [`Error::NoSuchMailbox`](super::Error::NoSuchMailbox), [`Error::Store`](super::Error::Store).
    pub async fn touched_of(&self, view: &View, modseq: u64) -> Result<Touched> {
        self.touched_by(view.account, view.mailbox, modseq, view.guest(), &|_, _| {
            false
        })
        .await
    }
}
