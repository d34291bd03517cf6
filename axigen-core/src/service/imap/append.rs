//! APPEND: a message the client brings.

use axigen_proto::imap::command::Append;
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::response::{Code, Status};
use axigen_proto::imap::types::Tag;
use bytes::{Bytes, BytesMut};

use super::selected::kept;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{FlagChange, Flags, NewMessage, Place, Quota, Target, View};
use crate::service::Share;

/// A message that is coming.
#[derive(Debug)]
pub(super) struct Appending {
    tag: Tag,
    view: View,
    flags: Flags,
    internal_date: i64,
    internal_zone: i16,
    raw: BytesMut,
    share: Share,
    quota: Quota,
}

impl Talk<'_> {
    pub(super) async fn append_start(
        &mut self,
        conn: &mut ImapConn,
        tag: Tag,
        append: Append,
        size: u64,
    ) -> Done {
        match self.prepare(&tag, append, size).await {
            Ok(appending) => {
                self.appending = Some(appending);
                conn.session().proceed()?;
            }
            Err(status) => conn.session().finish(&tag, status)?,
        }
        Ok(())
    }

    /// Everything that can be refused before the message comes.
    async fn prepare(&self, tag: &Tag, append: Append, size: u64) -> Result<Appending, Status> {
        let Some(user) = &self.user else {
            return Err(Status::bad("log in first"));
        };
        let Some(flags) = kept(&append.flags) else {
            return Err(Status::bad("there is no such system flag"));
        };
        let mailboxes = &self.context.mailboxes;
        let name = append.mailbox.as_str();
        let (view, _) = self.mailbox_for(name, Rights::INSERT, true).await?;
        if user.settings.message_size.is_some_and(|most| size > most) {
            return Err(
                Status::no("the message is larger than this account may append").with(Code::TooBig),
            );
        }
        let quota = self.quota_for(&view).await?;
        if quota != Quota::NONE {
            let held = mailboxes
                .usage(view.account)
                .await
                .map_err(|error| status::of(&error, true))?;
            if !quota.admits(held, (size, 1)) {
                return Err(Status::no("the account is over its quota").with(Code::OverQuota));
            }
        }
        let mut share = self.context.in_flight.share();
        if !self.context.in_flight.grow(&mut share, size) {
            return Err(
                Status::no("too many messages at the same time, try again").with(Code::Unavailable)
            );
        }
        let (internal_date, internal_zone) = match append.date {
            Some(date) => (date.unix, date.zone),
            None => (jiff::Timestamp::now().as_second(), 0),
        };
        Ok(Appending {
            tag: tag.clone(),
            view,
            flags,
            internal_date,
            internal_zone,
            raw: BytesMut::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 20)),
            share,
            quota,
        })
    }

    /// A guest's own mark of messages it has brought. They are there already:
    /// that they are not marked is no reason to fail.
    async fn see(&self, view: &View, uids: &[u32]) {
        let seen = FlagChange::Add(Flags::from(Flags::SEEN));
        let mailboxes = &self.context.mailboxes;
        if let Err(error) = mailboxes.store_flags_of(view, uids, &seen, None).await {
            tracing::warn!(%error, "a message was appended without \\Seen");
        }
    }

    pub(super) fn append_body(&mut self, conn: &mut ImapConn, bytes: Bytes) -> Done {
        let Some(appending) = &mut self.appending else {
            return Ok(());
        };
        // RFC 9051 §4.3.1: a literal of a message has no NUL. RFC 3516 §4.4: a literal8 may, and
        // this code says that it is not kept.
        if bytes.contains(&0) {
            let tag = appending.tag.clone();
            self.appending = None;
            let status = Status::no("the message has a NUL").with(Code::UnknownCte);
            conn.session().finish(&tag, status)?;
            return Ok(());
        }
        appending.raw.extend_from_slice(&bytes);
        Ok(())
    }

    pub(super) async fn append_end(&mut self, conn: &mut ImapConn, tag: Tag) -> Done {
        let Some(appending) = self.appending.take() else {
            conn.session().finish(
                &tag,
                Status::no("the message was not taken").with(Code::ServerBug),
            )?;
            return Ok(());
        };
        let Appending {
            view,
            flags,
            internal_date,
            internal_zone,
            raw,
            share,
            quota,
            ..
        } = appending;
        let message = NewMessage {
            raw: raw.freeze(),
            internal_date,
            internal_zone,
        };
        // RFC 4314 §4: flags that the user may not set are left out.
        let mut flags = view.cut(&flags);
        let seen = view.guest().is_some() && flags.has(Flags::SEEN);
        if seen {
            flags.system &= !Flags::SEEN;
        }
        let target = Target {
            account: view.account,
            mailbox: Place::Id(view.mailbox),
            flags,
            quota,
        };
        let status = match self.context.mailboxes.append(message, &[target]).await {
            Ok(appended) => {
                let uids: Vec<u32> = appended.iter().map(|at| at.uid).collect();
                self.brought(&view, uids.iter().copied());
                if seen {
                    self.see(&view, &uids).await;
                }
                match appended.first() {
                    Some(at) => Status::ok("appended").with(Code::AppendUid {
                        uid_validity: at.uid_validity,
                        uid: at.uid,
                    }),
                    None => Status::ok("appended"),
                }
            }
            Err(error) => status::of(&error, true),
        };
        drop(share);
        self.update(conn, true).await?;
        self.tell_others(conn).await?;
        conn.session().finish(&tag, status)?;
        Ok(())
    }
}
