//! POP3 over INBOX: the maildrop is locked while a session has it, and what is
//! deleted goes in one batch at QUIT.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use axigen_proto::Misuse;
use axigen_proto::pop3::server::{Config, Event, Failure, Message, Server};
use axigen_proto::sasl::{Answer, Refusal};
use axigen_store::AccountId;
use parking_lot::Mutex;

use super::guesses::Guesses;
use super::{Context, Peer, Service, nonce};
use crate::directory::Login;
use crate::mailbox::{Error, ItemId, MailboxId};
use crate::net::conn::UNSENT_LOW;
use crate::net::rules::Denied;
use crate::net::{Conn, Stream};
use crate::settings::TlsMode;

/// Bytes of a message read and sent at a time.
const PIECE: u64 = 256 * 1024;
/// Bytes read at a time for TOP, which seldom wants more than the header.
const TOP_PIECE: u64 = 32 * 1024;
/// Messages whose rows are read at a time when a maildrop is opened.
const ROWS: usize = 4096;

/// POP3.
#[derive(Debug)]
pub struct Pop3 {
    context: Context,
    /// Maildrops that a session has.
    locked: Arc<Mutex<HashSet<AccountId>>>,
}

impl Pop3 {
    /// The service.
    pub fn new(context: Context) -> Pop3 {
        Pop3 {
            context,
            locked: Arc::default(),
        }
    }
}

/// A maildrop this session has; given back when dropped.
#[derive(Debug)]
struct Lock {
    account: AccountId,
    locked: Arc<Mutex<HashSet<AccountId>>>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locked.lock().remove(&self.account);
    }
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

#[async_trait]
impl Service for Pop3 {
    fn name(&self) -> &'static str {
        "pop3"
    }

    /// RFC 2449 §8.1.2 and RFC 3206 §4: what passes by itself is temporary.
    fn refusal(&self, denied: Denied) -> &'static str {
        match denied {
            Denied::Rule => "-ERR you may not connect here\r\n",
            _ => "-ERR [SYS/TEMP] too many connections, try again later\r\n",
        }
    }

    async fn serve(&self, stream: Stream, mut peer: Peer) {
        let Some(nonce) = nonce() else { return };
        let settings = self.context.settings.load_full();
        let config = Config {
            hostname: settings.hostname.clone(),
            limits: settings.pop3.session_limits(),
            implicit_tls: peer.implicit_tls(),
            stls: peer.listener.tls == TlsMode::Starttls && peer.tls.is_some(),
            allow_plaintext_login: peer.listener.plaintext_login,
            mechanisms: self.context.logins.mechanisms(),
            implementation: "Axigen-in-Rust".into(),
        };
        let session = Server::new(config, nonce);
        let mut conn = match (peer.implicit_tls(), peer.tls.clone()) {
            (true, Some(tls)) => Conn::server_tls(stream, session, tls),
            (true, None) => return,
            (false, tls) => Conn::server(stream, session, tls),
        };
        let mut talk = Talk {
            service: self,
            login: None,
            drop: None,
            guesses: Guesses::of(peer.addr.ip()),
        };
        let mut stopping = false;
        loop {
            let event = tokio::select! {
                biased;
                event = conn.next() => event,
                () = peer.stopped(), if !stopping => {
                    stopping = true;
                    if conn.session().is_idle() {
                        conn.session().shut_down();
                    }
                    continue;
                }
            };
            let done = match event {
                Ok(Some(event)) => talk.event(&mut conn, event).await,
                Ok(None) => {
                    tracing::debug!(service = "pop3", peer = %peer.addr, why = ?conn.close_reason(), "closed");
                    return;
                }
                Err(error) => Err(error.into()),
            };
            match done {
                Ok(()) => {}
                Err(Broken::Io(error)) => {
                    tracing::debug!(service = "pop3", peer = %peer.addr, %error, "the connection failed");
                    return;
                }
                Err(Broken::Misuse(misuse)) => {
                    tracing::error!(service = "pop3", peer = %peer.addr, %misuse, "a bug in the service: the connection is closed");
                    return;
                }
            }
            if stopping && conn.session().is_idle() {
                conn.session().shut_down();
            }
        }
    }
}

/// One connection.
struct Talk<'c> {
    service: &'c Pop3,
    login: Option<Login>,
    drop: Option<Maildrop>,
    guesses: Guesses,
}

/// An open maildrop.
struct Maildrop {
    account: AccountId,
    mailbox: MailboxId,
    entries: Vec<Entry>,
    _lock: Lock,
}

/// What is kept of a message while the maildrop is open.
#[derive(Debug)]
struct Entry {
    uid: u32,
    item: ItemId,
    size: u64,
}

impl Talk<'_> {
    async fn event(&mut self, conn: &mut Conn<Server>, event: Event) -> Result<(), Broken> {
        match event {
            Event::Connected => conn.session().greet()?,
            Event::Auth(ask) => {
                conn.flush_all().await?;
                let context = &self.service.context;
                let tls = conn.tls_info();
                let (mut answer, login) = self.guesses.answer(context, tls, &ask).await;
                if let Some(login) = login {
                    match context
                        .directory
                        .account_settings(&login.account.address)
                        .await
                    {
                        Ok(settings)
                            if settings.effective(&context.settings.load().accounts).pop3 =>
                        {
                            self.login = Some(login);
                        }
                        Ok(_) => answer = Answer::Refuse(Refusal::NotAuthorized),
                        Err(_) => answer = Answer::Refuse(Refusal::Unavailable),
                    }
                }
                self.guesses.decided(context, &ask, &answer).await;
                conn.session().answer(answer)?;
            }
            Event::LoggedIn(_) => match self.open().await {
                Ok(messages) => conn.session().open(messages)?,
                Err((failure, text)) => conn.session().refuse(failure, text)?,
            },
            Event::Retrieve { index, top } => self.retrieve(conn, index, top).await?,
            Event::Quit { deleted } => {
                let done = self.delete(&deleted).await;
                // The next session may have the maildrop before this one is gone.
                self.drop = None;
                conn.session().finish(done)?;
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<Vec<Message>, (Failure, &'static str)> {
        let Some(login) = self.login.take() else {
            return Err((Failure::Temporary, "log in again"));
        };
        let account = login.account.id;
        if !self.service.locked.lock().insert(account) {
            return Err((Failure::InUse, "another session has the maildrop"));
        }
        let lock = Lock {
            account,
            locked: self.service.locked.clone(),
        };
        let mailboxes = &self.service.context.mailboxes;
        let opened = async {
            let info = mailboxes.find(account, "INBOX").await?;
            let (uids, _) = mailboxes.uids(account, info.id).await?;
            let mut entries = Vec::with_capacity(uids.len());
            for uids in uids.chunks(ROWS) {
                let rows = mailboxes.rows(account, info.id, uids).await?;
                entries.extend(rows.iter().map(|row| Entry {
                    uid: row.uid,
                    item: row.item,
                    size: row.size,
                }));
            }
            Ok::<_, Error>((info, entries))
        };
        let (info, entries) = opened.await.map_err(|error| {
            tracing::error!(%error, "a maildrop could not be opened");
            (Failure::Temporary, "the maildrop cannot be opened now")
        })?;
        tracing::info!(
            service = "pop3",
            user = login.account.address,
            messages = entries.len(),
            "logged in"
        );
        let messages = entries
            .iter()
            .map(|entry| Message {
                size: entry.size,
                uid: format!("{}.{}", info.uid_validity, entry.uid),
            })
            .collect();
        self.drop = Some(Maildrop {
            account,
            mailbox: info.id,
            entries,
            _lock: lock,
        });
        Ok(messages)
    }

    async fn retrieve(
        &self,
        conn: &mut Conn<Server>,
        index: usize,
        top: bool,
    ) -> Result<(), Broken> {
        let step = if top { TOP_PIECE } else { PIECE };
        let Some((maildrop, entry)) = self
            .drop
            .as_ref()
            .and_then(|drop| Some((drop, drop.entries.get(index)?)))
        else {
            conn.session()
                .fail(Failure::Temporary, "there is no such message")?;
            return Ok(());
        };
        let mailboxes = &self.service.context.mailboxes;
        let mut at = 0;
        let mut begun = false;
        while at < entry.size || !begun {
            let end = entry.size.min(at + step);
            match mailboxes.body(maildrop.account, entry.item, at..end).await {
                Ok(piece) if piece.len() as u64 == end - at => {
                    if !std::mem::replace(&mut begun, true) {
                        conn.session().begin(entry.size)?;
                    }
                    if !conn.session().body(&piece)? {
                        break;
                    }
                }
                Ok(_) | Err(Error::NoSuchMessage) => {
                    conn.session()
                        .fail(Failure::Temporary, "the message is gone")?;
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(%error, "a message cannot be read");
                    conn.session()
                        .fail(Failure::Temporary, "the message cannot be read now")?;
                    return Ok(());
                }
            }
            at = end;
            if conn.session().pending_output() > UNSENT_LOW {
                conn.flush().await?;
            }
        }
        conn.session().end_message()?;
        Ok(())
    }

    async fn delete(&self, deleted: &[usize]) -> Result<(), &'static str> {
        let Some(maildrop) = &self.drop else {
            return Ok(());
        };
        let uids: Vec<u32> = deleted
            .iter()
            .filter_map(|&index| maildrop.entries.get(index))
            .map(|entry| entry.uid)
            .collect();
        if uids.is_empty() {
            return Ok(());
        }
        match self
            .service
            .context
            .mailboxes
            .remove(maildrop.account, maildrop.mailbox, &uids)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "messages could not be deleted");
                Err("the messages could not be deleted")
            }
        }
    }
}
