//! CATENATE ([RFC 4469](https://www.rfc-editor.org/rfc/rfc4469)): what a URL names
//! becomes a part of a message.

use std::sync::Arc;

use axigen_proto::imap::command::{FetchAttribute, Partial, Section, SectionText};
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::response::{Code, Status};
use axigen_proto::imap::separator::Separator;
use axigen_proto::imap::types::Tag;
use axigen_proto::imap::url::{ImapUrl, Server};
use bytes::Bytes;

use super::data::{Data, Source};
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::structure::Structure;
use crate::mailbox::{Error, Mailboxes, Row, View};

impl Talk<'_> {
    /// A part of the message that is on the server.
    pub(super) async fn append_url(&mut self, conn: &mut ImapConn, tag: &Tag, url: &str) -> Done {
        let separator = conn.session().config().separator;
        let part = self.part_of(url, separator).await;
        let goes_on = match part {
            Ok(part) => self.append_part(&part),
            Err(status) => Some(Err(status)),
        };
        self.decide(conn, tag, goes_on)
    }

    async fn part_of(&self, url: &str, separator: Separator) -> Result<Bytes, Status> {
        let bad = |text: &'static str| Status::no(text).with(Code::BadUrl(url.to_owned()));
        let parsed = ImapUrl::parse(url).map_err(bad)?;
        if let Some(server) = &parsed.server {
            self.is_here(server).map_err(bad)?;
        }
        if parsed.urlauth.is_some() {
            return Err(bad("a URL with URLAUTH is for URLFETCH"));
        }
        // RFC 4469 §3: relative to the mailbox that is open.
        let view = match &parsed.mailbox {
            None => match &self.selected {
                Some(selected) => {
                    if parsed
                        .uid_validity
                        .is_some_and(|at| at != selected.uid_validity)
                    {
                        return Err(bad("the mailbox has other UIDs by now"));
                    }
                    selected.view
                }
                None => return Err(bad("the URL names no mailbox, and none is open")),
            },
            Some(name) => {
                // RFC 5092 §3: the name is as the server shows it.
                let (view, info) = self
                    .mailbox_for(&separator.swap(name), Rights::READ, false)
                    .await
                    .map_err(|_| bad("there is no such mailbox"))?;
                if parsed
                    .uid_validity
                    .is_some_and(|at| at != info.uid_validity)
                {
                    return Err(bad("the mailbox has other UIDs by now"));
                }
                view
            }
        };
        let part = self.bytes_of(&view, &parsed).await;
        part?.ok_or_else(|| bad("there is no such message or part"))
    }

    /// Whether a URL means this server and this user.
    pub(super) fn is_here(&self, server: &Server) -> Result<(), &'static str> {
        let ours = self.user.as_ref().map(|user| user.address.as_str());
        let domain = ours.and_then(|ours| ours.rsplit_once('@')).map(|o| o.1);
        let same = |name: &str| server.host.eq_ignore_ascii_case(name);
        if !same(&self.context.settings.load().hostname) && !domain.is_some_and(same) {
            return Err("the URL is of another server");
        }
        match (self.user_of(server), ours) {
            (Some(user), Some(ours)) if !user.eq_ignore_ascii_case(ours) => {
                Err("the URL is of another user")
            }
            _ => Ok(()),
        }
    }

    /// The address of the user whom a URL names. RFC 5092 §3 leaves names of
    /// users to the server: ours are addresses, and the host is this server or
    /// the domain of the address, which the name then may leave out.
    pub(super) fn user_of(&self, server: &Server) -> Option<String> {
        let user = server.user.as_ref()?;
        let here = &self.context.settings.load().hostname;
        match user.contains('@') || server.host.eq_ignore_ascii_case(here) {
            true => Some(user.clone()),
            false => Some(format!("{user}@{}", server.host)),
        }
    }

    /// The bytes of the message, or part of it, that a URL names in a mailbox.
    async fn bytes_of(&self, view: &View, url: &ImapUrl) -> Result<Option<Bytes>, Status> {
        let failed = |error| status::of(&error, false);
        let named = self.named(view, url).await.map_err(failed)?;
        let Some(named) = named else {
            return Ok(None);
        };
        match named
            .source(&self.context.mailboxes, view)
            .open(&named.attribute)
            .await
        {
            Ok(Data::Range(range)) => {
                // Not read where it could not be taken anyway.
                if let Some(appending) = &self.appending {
                    appending.has_room(range.end - range.start)?;
                }
                let mailboxes = &self.context.mailboxes;
                let bytes = mailboxes.body(view.account, named.row.item, range).await;
                bytes.map(Some).map_err(failed)
            }
            Ok(Data::Bytes(bytes)) => Ok(Some(bytes)),
            Ok(Data::Nil | Data::Size(_) | Data::UnknownEncoding) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The message that a URL names in a mailbox, if it is there.
    pub(super) async fn named(&self, view: &View, url: &ImapUrl) -> Result<Option<Named>, Error> {
        let Some(uid) = url.uid else {
            return Ok(None);
        };
        let mailboxes = &self.context.mailboxes;
        let mut rows = mailboxes.rows_of(view, &[uid]).await?;
        let Some(row) = rows.pop() else {
            return Ok(None);
        };
        let structures = mailboxes.structures(view.account, &[row.item]).await?;
        let whole = Section {
            part: Vec::new(),
            text: SectionText::Full,
        };
        Ok(Some(Named {
            structure: structures.into_iter().next().flatten(),
            row,
            attribute: FetchAttribute::BodySection {
                peek: true,
                section: url.section.clone().unwrap_or(whole),
                partial: url.partial.map(|partial| Partial {
                    offset: partial.offset,
                    length: partial.length.unwrap_or(u64::MAX),
                }),
            },
        }))
    }
}

/// A message that a URL names, and what of it.
pub(super) struct Named {
    row: Row,
    structure: Option<Arc<Structure>>,
    pub(super) attribute: FetchAttribute,
}

impl Named {
    /// Where its bytes come from.
    pub(super) fn source<'s>(&'s self, mailboxes: &'s Mailboxes, view: &View) -> Source<'s> {
        Source {
            mailboxes,
            account: view.account,
            row: &self.row,
            structure: self.structure.as_deref(),
            content: None,
            ascii: false,
        }
    }
}
