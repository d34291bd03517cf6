//! APPEND and REPLACE: messages the client brings, one or several, whole or in
//! parts. They are held until the command is complete, since all of them come
//! in one batch or none.

use axigen_proto::imap::command::{Append, Replaced};
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::response::{Code, Response, Status};
use axigen_proto::imap::sequence::{SequenceRange, SequenceSet};
use axigen_proto::imap::types::{DateTime, Flag, Tag};
use bytes::{Bytes, BytesMut};

use super::namespace::no_permission;
use super::selected::kept;
use super::{Done, ImapConn, Talk, limit, status};
use crate::mailbox::structure::{header_end, without_nul};
use crate::mailbox::{
    Appended, FlagChange, Flags, NewMessage, Place, Quota, Replaces, Target, View,
};
use crate::service::{InFlight, Share};

/// Messages that are coming.
#[derive(Debug)]
pub(super) struct Appending {
    view: View,
    quota: Quota,
    /// Bytes and messages the account holds, without what is replaced.
    held: (u64, u64),
    limits: Limits,
    replaces: Option<Replaces>,
    /// Those that are complete.
    messages: Vec<Coming>,
    /// The one that comes.
    coming: Coming,
    /// Bytes of all of them, those announced included.
    total: u64,
    /// Parts of all of them.
    parts: usize,
    share: Share,
}

/// One message.
#[derive(Debug)]
struct Coming {
    flags: Flags,
    internal_date: i64,
    internal_zone: i16,
    raw: BytesMut,
    /// Its bytes, those announced included.
    size: u64,
}

/// What one command may bring.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes of a message.
    message: u64,
    messages: usize,
    /// Of MESSAGELIMIT and SAVELIMIT.
    saves: Option<u32>,
    /// Bytes of all messages.
    total: u64,
    parts: usize,
}

impl Coming {
    fn new(flags: &[Flag], date: Option<DateTime>) -> Result<Coming, Status> {
        let Some(flags) = kept(flags) else {
            return Err(Status::bad("there is no such system flag"));
        };
        let (internal_date, internal_zone) = match date {
            Some(date) => (date.unix, date.zone),
            None => (jiff::Timestamp::now().as_second(), 0),
        };
        Ok(Coming {
            flags,
            internal_date,
            internal_zone,
            raw: BytesMut::new(),
            size: 0,
        })
    }

    /// Whether its header holds what RFC 5322 has not. A client may bring that once
    /// it has enabled UTF-8
    /// ([RFC 9755 §4](https://www.rfc-editor.org/rfc/rfc9755#section-4)).
    fn has_utf8_header(&self) -> bool {
        let end = header_end(&self.raw);
        !self.raw.get(..end).unwrap_or_default().is_ascii()
    }

    fn message(self) -> (NewMessage, Flags) {
        let message = NewMessage {
            raw: self.raw.freeze(),
            internal_date: self.internal_date,
            internal_zone: self.internal_zone,
        };
        (message, self.flags)
    }
}

impl Appending {
    /// Whether so many more bytes may come.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), Status> {
        let size = self.coming.size.saturating_add(bytes);
        let total = self.total.saturating_add(bytes);
        if size > self.limits.message {
            // RFC 7889 §5; RFC 4469 §4 for one in parts.
            let text = "the message is larger than this account may append";
            return Err(Status::no(text).with(Code::TooBig));
        }
        // One message may always be as large as a message may be.
        if total > self.limits.total.max(self.limits.message) {
            let text = "the messages of one command are too large together";
            return Err(Status::no(text).with(Code::TooBig));
        }
        let count = self.messages.len() as u64 + 1;
        if !self.quota.admits(self.held, (total, count)) {
            return Err(Status::no("the account is over its quota").with(Code::OverQuota));
        }
        Ok(())
    }

    /// So many more bytes come: everything that can be refused before they do.
    fn announce(&mut self, in_flight: &InFlight, bytes: u64) -> Result<(), Status> {
        self.has_room(bytes)?;
        if !in_flight.grow(&mut self.share, bytes) {
            let text = "too many messages at the same time, try again";
            return Err(Status::no(text).with(Code::Unavailable));
        }
        let room = usize::try_from(bytes).unwrap_or(0).min(1 << 20);
        self.coming.raw.reserve(room);
        self.coming.size = self.coming.size.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        Ok(())
    }

    /// Parts that hold NUL, which a literal8 may bring, are kept in base64
    /// ([RFC 3516 §4.4](https://www.rfc-editor.org/rfc/rfc3516#section-4.4)): FETCH can show
    /// them to every client. The larger message must fit too.
    fn encode_nul(&mut self, in_flight: &InFlight) -> Result<(), Status> {
        for coming in self.messages.iter_mut().chain([&mut self.coming]) {
            let encoded = without_nul(&coming.raw).map_err(|_| {
                let text = "a NUL stands where no transfer encoding can hold it";
                Status::no(text).with(Code::UnknownCte)
            })?;
            let Some(encoded) = encoded else { continue };
            let growth = (encoded.len() as u64).saturating_sub(coming.raw.len() as u64);
            coming.size = coming.size.saturating_add(growth);
            self.total = self.total.saturating_add(growth);
            if coming.size > self.limits.message
                || self.total > self.limits.total.max(self.limits.message)
            {
                let text = "in base64, as it is kept, the message is too large";
                return Err(Status::no(text).with(Code::TooBig));
            }
            if !in_flight.grow(&mut self.share, growth) {
                let text = "too many messages at the same time, try again";
                return Err(Status::no(text).with(Code::Unavailable));
            }
            coming.raw = encoded.as_slice().into();
        }
        Ok(())
    }

    /// Another message begins.
    fn begin(&mut self, coming: Coming) -> Result<(), Status> {
        let saves = self.limits.saves;
        // RFC 9738 §3.1: they come together or not at all.
        if let Some(limit) = saves.filter(|&limit| self.messages.len() + 1 >= limit as usize) {
            return Err(limit::too_many(limit, None));
        }
        if self.messages.len() + 1 >= self.limits.messages {
            let text = "too many messages in one command";
            return Err(Status::no(text).with(Code::Limit));
        }
        let complete = std::mem::replace(&mut self.coming, coming);
        self.messages.push(complete);
        Ok(())
    }

    /// Another part of the message begins.
    fn part(&mut self) -> Result<(), Status> {
        self.parts += 1;
        match self.parts > self.limits.parts {
            true => Err(Status::no("too many parts in one command").with(Code::Limit)),
            false => Ok(()),
        }
    }
}

impl Talk<'_> {
    pub(super) async fn append_start(
        &mut self,
        conn: &mut ImapConn,
        tag: Tag,
        append: Append,
        size: u64,
    ) -> Done {
        if append.replaces.is_some() {
            // What may be done with the open mailbox counts as it is now.
            self.ask_rights_again(conn).await?;
        }
        let limit = conn.session().append_limit();
        match self.prepare(append, size, limit).await {
            Ok(appending) => {
                self.appending = Some(appending);
                conn.session().proceed()?;
            }
            Err(status) => conn.session().finish(&tag, status)?,
        }
        Ok(())
    }

    /// Everything that can be refused before the first message comes.
    async fn prepare(&self, append: Append, size: u64, message: u64) -> Result<Appending, Status> {
        let coming = Coming::new(&append.flags, append.date)?;
        let mailboxes = &self.context.mailboxes;
        let name = append.mailbox.as_str();
        let (view, _) = self.mailbox_for(name, Rights::INSERT, true).await?;
        let (replaces, freed) = match append.replaces {
            Some(replaced) => {
                let (replaces, size) = self.replaced(replaced).await?;
                let freed = replaces.account == view.account;
                (Some(replaces), if freed { (size, 1) } else { (0, 0) })
            }
            None => (None, (0, 0)),
        };
        let quota = self.quota_for(&view).await?;
        let mut held = (0, 0);
        if quota != Quota::NONE {
            let usage = mailboxes.usage(view.account).await;
            held = usage.map_err(|error| status::of(&error, true))?;
            held = (
                held.0.saturating_sub(freed.0),
                held.1.saturating_sub(freed.1),
            );
        }
        let settings = self.context.settings.load();
        let mut appending = Appending {
            view,
            quota,
            held,
            limits: Limits {
                message,
                messages: settings.imap.append_messages.min(1000),
                saves: self.message_limit.of_saves(),
                total: settings.imap.append_size.0,
                parts: settings.imap.append_parts,
            },
            replaces,
            messages: Vec::new(),
            coming,
            total: 0,
            parts: 0,
            share: self.context.in_flight.share(),
        };
        appending.announce(&self.context.in_flight, size)?;
        Ok(appending)
    }

    /// The message of the open mailbox that REPLACE names, and its size.
    async fn replaced(&self, replaced: Replaced) -> Result<(Replaces, u64), Status> {
        let Some(selected) = &self.selected else {
            return Err(Status::bad("no mailbox is open"));
        };
        // RFC 8508 §4.1: what is replaced is marked and expunged.
        let removing = Rights::DELETE_MESSAGES.with(Rights::EXPUNGE);
        if !selected.view.rights.has(removing) {
            return Err(no_permission());
        }
        let set = SequenceSet::Ranges(vec![SequenceRange {
            from: replaced.number,
            to: replaced.number,
        }]);
        let uids = selected.resolve(&set, replaced.uid);
        let uid = uids.map(|uids| uids.first().copied());
        let uid = match uid {
            None => return Err(Status::bad("there is no message of that number")),
            Some(None) => {
                let text = "there is no such message in this mailbox";
                return Err(Status::no(text).with(Code::NonExistent));
            }
            Some(Some(uid)) => uid,
        };
        let rows = self.context.mailboxes.rows_of(&selected.view, &[uid]).await;
        let rows = rows.map_err(|error| status::of(&error, false))?;
        let Some(row) = rows.first() else {
            let gone = crate::mailbox::Error::NoSuchMessage;
            return Err(status::of(&gone, false));
        };
        let replaces = Replaces {
            account: selected.view.account,
            mailbox: selected.view.mailbox,
            uid,
        };
        Ok((replaces, row.size))
    }

    /// Another message of the same command.
    pub(super) fn append_next(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        (flags, date): (Vec<Flag>, Option<DateTime>),
        size: u64,
    ) -> Done {
        let in_flight = &self.context.in_flight;
        let goes_on = self.appending.as_mut().map(|appending| {
            appending.begin(Coming::new(&flags, date)?)?;
            appending.announce(in_flight, size)
        });
        self.decide(conn, tag, goes_on)
    }

    /// A part of the message as a text.
    pub(super) fn append_text(&mut self, conn: &mut ImapConn, tag: &Tag, size: u64) -> Done {
        let in_flight = &self.context.in_flight;
        let goes_on = self.appending.as_mut().map(|appending| {
            appending.part()?;
            appending.announce(in_flight, size)
        });
        self.decide(conn, tag, goes_on)
    }

    /// A part of the message that was on the server.
    pub(super) fn append_part(&mut self, part: &Bytes) -> Option<Result<(), Status>> {
        let in_flight = &self.context.in_flight;
        self.appending.as_mut().map(|appending| {
            appending.part()?;
            appending.announce(in_flight, part.len() as u64)?;
            appending.coming.raw.extend_from_slice(part);
            Ok(())
        })
    }

    pub(super) fn decide(
        &mut self,
        conn: &mut ImapConn,
        tag: &Tag,
        goes_on: Option<Result<(), Status>>,
    ) -> Done {
        match goes_on {
            Some(Ok(())) => conn.session().proceed()?,
            Some(Err(status)) => {
                self.appending = None;
                conn.session().finish(tag, status)?;
            }
            None => conn.session().finish(tag, not_taken())?,
        }
        Ok(())
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

    pub(super) fn append_body(&mut self, bytes: Bytes) {
        let Some(appending) = &mut self.appending else {
            return;
        };
        appending.coming.raw.extend_from_slice(&bytes);
    }

    pub(super) async fn append_end(&mut self, conn: &mut ImapConn, tag: Tag) -> Done {
        let Some(mut appending) = self.appending.take() else {
            conn.session().finish(&tag, not_taken())?;
            return Ok(());
        };
        if let Err(status) = appending.encode_nul(&self.context.in_flight) {
            conn.session().finish(&tag, status)?;
            return Ok(());
        }
        let Appending {
            view,
            quota,
            replaces,
            mut messages,
            coming,
            share,
            ..
        } = appending;
        messages.push(coming);
        // RFC 3502 §6.3.11: an error, by which a client can take the command back.
        if messages.iter().any(|coming| coming.size == 0) {
            let status = Status::no("a message without content is not appended, so none is");
            conn.session().finish(&tag, status)?;
            return Ok(());
        }
        let ascii = self.context.settings.load().imap.ascii_headers;
        if ascii && !conn.session().enabled().utf8() && messages.iter().any(Coming::has_utf8_header)
        {
            let text = "a header beyond ASCII needs ENABLE UTF8=ACCEPT";
            conn.session().finish(&tag, Status::no(text))?;
            return Ok(());
        }
        let mut seen = Vec::with_capacity(messages.len());
        let messages: Vec<(NewMessage, Target)> = messages
            .into_iter()
            .map(|coming| {
                let (message, flags) = coming.message();
                // RFC 4314 §4: flags that the user may not set are left out.
                let mut flags = view.cut(&flags);
                let is_seen = view.guest().is_some() && flags.has(Flags::SEEN);
                if is_seen {
                    flags.system &= !Flags::SEEN;
                }
                seen.push(is_seen);
                let target = Target {
                    account: view.account,
                    mailbox: Place::Id(view.mailbox),
                    flags,
                    quota,
                };
                (message, target)
            })
            .collect();
        let mailboxes = &self.context.mailboxes;
        let appended = mailboxes.append_all(&messages, replaces.as_ref()).await;
        drop((messages, share));
        let status = match appended {
            Ok(appended) => {
                self.brought(&view, appended.iter().map(|at| at.uid));
                let seen: Vec<u32> = appended
                    .iter()
                    .zip(seen)
                    .filter_map(|(at, seen)| seen.then_some(at.uid))
                    .collect();
                if !seen.is_empty() {
                    self.see(&view, &seen).await;
                }
                match replaces {
                    Some(replaces) => self.tell_replaced(conn, replaces, &appended).await?,
                    None => coded(Status::ok("appended"), &appended),
                }
            }
            Err(error) => status::of(&error, true),
        };
        self.update(conn, true).await?;
        self.tell_others(conn).await?;
        conn.session().finish(&tag, status)?;
        Ok(())
    }

    /// What REPLACE did: where the new message is, then that it is there, then
    /// that the old one is gone
    /// ([RFC 8508 §4.3](https://www.rfc-editor.org/rfc/rfc8508#section-4.3)).
    async fn tell_replaced(
        &mut self,
        conn: &mut ImapConn,
        replaced: Replaces,
        appended: &[Appended],
    ) -> Done<Status> {
        let status = coded(Status::ok("the new message"), appended);
        conn.session().untagged(&Response::Status(status))?;
        if let Some(selected) = &mut self.selected {
            selected.removed(&[replaced.uid]);
        }
        self.update(conn, false).await?;
        self.update(conn, true).await?;
        let status = Status::ok("replaced");
        // RFC 7162 §3.2.7: as for any command that expunges.
        Ok(match &self.selected {
            Some(selected) if conn.session().enabled().qresync => {
                status.with(Code::HighestModSeq(selected.highest_modseq()))
            }
            _ => status,
        })
    }
}

/// RFC 4315 §3, RFC 3502: where the messages are now.
fn coded(status: Status, appended: &[Appended]) -> Status {
    match appended.first() {
        Some(first) => status.with(Code::AppendUid {
            uid_validity: first.uid_validity,
            uids: appended.iter().map(|at| at.uid).collect(),
        }),
        None => status,
    }
}

fn not_taken() -> Status {
    Status::no("the message was not taken").with(Code::ServerBug)
}
