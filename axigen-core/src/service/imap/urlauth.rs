//! URLAUTH: URLs that carry the right to read what they name.
//! [RFC 4467](https://www.rfc-editor.org/rfc/rfc4467)
//!
//! A token is an HMAC over the URL in front of it, by a key that the user who
//! made it has for the mailbox. It gives away what that user may read, no more:
//! when the URL is used, the mailbox is looked up with that user's rights as they
//! are then. Why a URL gives nothing is told to nobody.

use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::urlauth::{INTERNAL, UrlAuthCommand};
use axigen_proto::imap::response::{Code, Response, Status};
use axigen_proto::imap::separator::Separator;
use axigen_proto::imap::url::{Access, ImapUrl};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::catenate::Named;
use super::data::Data;
use super::{Done, ImapConn, Talk, status};
use crate::mailbox::{AccessKey, Error, View};

/// How a token is made: its first byte, so that another way can come later.
const HMAC_SHA256: u8 = 1;

impl Talk<'_> {
    pub(super) async fn urlauth(
        &mut self,
        conn: &mut ImapConn,
        command: UrlAuthCommand,
    ) -> Done<Status> {
        let separator = conn.session().config().separator;
        let most = self.context.settings.load().imap.urls;
        let count = match &command {
            UrlAuthCommand::Generate(urls) => urls.len(),
            UrlAuthCommand::Fetch(urls) => urls.len(),
            UrlAuthCommand::Reset { .. } => 0,
        };
        if count > most {
            let status = Status::no("there are too many URLs in the command");
            return Ok(status.with(Code::Limit));
        }
        match command {
            UrlAuthCommand::Generate(urls) => {
                let mut made = Vec::with_capacity(urls.len());
                for (url, mechanism) in urls {
                    match self.generate(separator, &url, &mechanism).await {
                        Ok(url) => made.push(url),
                        Err(status) => return Ok(status),
                    }
                }
                conn.session().untagged(&Response::GenUrlAuth(made))?;
                Ok(Status::ok("made"))
            }
            UrlAuthCommand::Reset {
                mailbox,
                mechanisms,
            } => {
                let name = mailbox.as_ref().map(|name| name.as_str());
                Ok(self.reset_keys(name, &mechanisms).await)
            }
            UrlAuthCommand::Fetch(urls) => {
                for url in urls {
                    self.fetch_url(conn, separator, &url).await?;
                }
                Ok(Status::ok("fetched"))
            }
        }
    }

    /// A URL with its token. RFC 4467 §7: it has to name a message that the user
    /// may read, on this server, and the user itself.
    async fn generate(
        &self,
        separator: Separator,
        text: &str,
        mechanism: &str,
    ) -> Result<String, Status> {
        let bad = |why: &'static str| Status::no(why).with(Code::BadUrl(text.to_owned()));
        if mechanism != INTERNAL {
            return Err(Status::bad("the only mechanism is INTERNAL"));
        }
        let url = ImapUrl::parse(text).map_err(Status::bad)?;
        let auth = url.urlauth.as_ref();
        let auth = auth.ok_or_else(|| Status::bad("the URL lacks URLAUTH"))?;
        if auth.verifier.is_some() {
            return Err(Status::bad("the URL has a token already"));
        }
        let Some(server) = &url.server else {
            return Err(bad("the URL names no server"));
        };
        self.is_here(server).map_err(bad)?;
        if server.user.is_none() {
            return Err(bad("the URL names no user"));
        }
        if auth.expires().is_some_and(|at| at <= now()) {
            return Err(bad("the URL has expired"));
        }
        let user = self.user.as_ref();
        let user = user.ok_or_else(|| bad("nobody has logged in"))?;
        let name = url.mailbox.as_deref().unwrap_or_default();
        let found = self
            .mailbox_for(&separator.swap(name), Rights::READ, false)
            .await;
        let (view, info) = found.map_err(|_| bad("there is no such mailbox"))?;
        if url.uid_validity.is_some_and(|at| at != info.uid_validity) {
            return Err(bad("the mailbox has other UIDs by now"));
        }
        let mailboxes = &self.context.mailboxes;
        let key = mailboxes
            .make_access_key(user.account, view.account, view.mailbox)
            .await;
        let key = key.map_err(|error| status::of(&error, false))?;
        Ok(format!("{text}:{INTERNAL}:{}", token(&key, text)))
    }

    /// What was made for a mailbox, or for all, is worth nothing any more.
    async fn reset_keys(&self, name: Option<&str>, mechanisms: &[String]) -> Status {
        if mechanisms.iter().any(|mechanism| mechanism != INTERNAL) {
            return Status::bad("the only mechanism is INTERNAL");
        }
        let Some(user) = &self.user else {
            return Status::no("nobody has logged in");
        };
        let only = match name {
            None => None,
            Some(name) => match self.mailbox_for(name, Rights::READ, false).await {
                Ok((view, _)) => Some((view.account, view.mailbox)),
                Err(status) => return status,
            },
        };
        let mailboxes = &self.context.mailboxes;
        match mailboxes.forget_access_keys(user.account, only).await {
            Ok(()) if only.is_some() => {
                let code = Code::UrlMech(vec![INTERNAL.into()]);
                Status::ok("the URLs of this mailbox are worth nothing now").with(code)
            }
            Ok(()) => Status::ok("all URLs are worth nothing now"),
            Err(error) => status::of(&error, false),
        }
    }

    /// What a URL names, or NIL.
    async fn fetch_url(&self, conn: &mut ImapConn, separator: Separator, url: &str) -> Done {
        let opened = match self.authorised(separator, url).await {
            Ok(Some((view, named))) => {
                let source = named.source(&self.context.mailboxes, &view);
                source
                    .open(&named.attribute)
                    .await
                    .map(|data| (view, named, data))
            }
            Ok(None) => Err(Error::NoSuchMessage),
            Err(error) => Err(error),
        };
        match opened {
            Ok((view, named, Data::Range(range))) => {
                conn.session().url_begin(url, range.end - range.start)?;
                let source = named.source(&self.context.mailboxes, &view);
                if !source.stream(conn, range).await? {
                    // In the middle of announced bytes there is no way to say so.
                    conn.session().abort();
                    return Ok(());
                }
                conn.session().url_end()?;
            }
            Ok((_, _, Data::Bytes(bytes))) => {
                conn.session().url_begin(url, bytes.len() as u64)?;
                conn.session().body(bytes)?;
                conn.session().url_end()?;
            }
            Ok(_) | Err(_) => {
                let nothing = vec![(url.to_owned(), None)];
                conn.session().untagged(&Response::UrlFetch(nothing))?;
            }
        }
        Ok(())
    }

    /// The message of a URL that the user may use.
    async fn authorised(
        &self,
        separator: Separator,
        text: &str,
    ) -> Result<Option<(View, Named)>, Error> {
        let Ok(url) = ImapUrl::parse(text) else {
            return Ok(None);
        };
        let (Some(server), Some(auth), Some(name)) = (&url.server, &url.urlauth, &url.mailbox)
        else {
            return Ok(None);
        };
        let (Some((mechanism, given)), Some(maker)) = (&auth.verifier, self.user_of(server)) else {
            return Ok(None);
        };
        let settings = self.context.settings.load();
        let domain = maker.rsplit_once('@').map(|(_, domain)| domain);
        let here = [Some(settings.hostname.as_str()), domain];
        let here = here.into_iter().flatten();
        let here = here
            .into_iter()
            .any(|name| server.host.eq_ignore_ascii_case(name));
        let expired = auth.expires().is_some_and(|at| at <= now());
        if mechanism != INTERNAL || !here || expired || !self.may_use(&auth.access) {
            return Ok(None);
        }
        let Ok(maker) = self.context.directory.account(&maker).await else {
            return Ok(None);
        };
        if !maker.enabled {
            return Ok(None);
        }
        let found = self
            .seen_by((maker.id, &maker.address), &separator.swap(name))
            .await;
        let (view, info) = match found {
            Ok(found) => found,
            Err(Error::NoSuchMailbox) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mailboxes = &self.context.mailboxes;
        let key = mailboxes
            .access_key(maker.id, view.account, view.mailbox)
            .await?;
        let valid = key.is_some_and(|key| is_token(&key, url.rump(text), given));
        if !valid
            || !view.rights.has(Rights::READ)
            || url.uid_validity.is_some_and(|at| at != info.uid_validity)
        {
            return Ok(None);
        }
        let named = self.named(&view, &url).await?;
        Ok(named.map(|named| (view, named)))
    }

    /// RFC 4467 §2.3: whether who has logged in is one for whom the URL was made.
    fn may_use(&self, access: &Access) -> bool {
        let Some(user) = &self.user else {
            return false;
        };
        match access {
            Access::Anonymous | Access::AuthUser => true,
            Access::User(name) => name.eq_ignore_ascii_case(&user.address),
            // Only a submission server may ask, for whom it likes.
            Access::Submit(_) => {
                let settings = self.context.settings.load();
                let trusted = &settings.imap.url_submitters;
                trusted
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&user.address))
            }
        }
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn mac(key: &AccessKey, rump: &str) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(&[HMAC_SHA256]);
    mac.update(rump.as_bytes());
    Some(mac)
}

/// RFC 4467 §2.4.2: the token of INTERNAL, in hexadecimal digits.
fn token(key: &AccessKey, rump: &str) -> String {
    let sum = mac(key, rump).map(|mac| mac.finalize().into_bytes());
    let mut token = format!("{HMAC_SHA256:02x}");
    for byte in sum.into_iter().flatten() {
        token.push_str(&format!("{byte:02x}"));
    }
    token
}

/// Compares in constant time.
fn is_token(key: &AccessKey, rump: &str, given: &str) -> bool {
    use subtle::ConstantTimeEq;
    let given = given.to_ascii_lowercase();
    token(key, rump).as_bytes().ct_eq(given.as_bytes()).into()
}
