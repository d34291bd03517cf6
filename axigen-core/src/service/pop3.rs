//! POP3 over a mailbox: what is deleted goes at QUIT, and so does what may not
//! stay any longer.
//!
//! | file | what it is |
//! |---|---|
//! | this | the service and its loop, logins |
//! | `maildrop` | the mailbox while a session has it |

mod maildrop;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axigen_proto::Misuse;
use axigen_proto::pop3::server::{Config, Event, Expire, Failure, Message, Server};
use axigen_proto::pop3::text::Text;
use axigen_proto::sasl::{Answer, Ask, Refusal};
use axigen_store::AccountId;
use parking_lot::Mutex;

use super::counted::{Connections, Counted};
use super::guesses::Guesses;
use super::{Context, Peer, Service, nonce};
use crate::directory::Login;
use crate::directory::{Error, normalise};
use crate::net::rules::Denied;
use crate::net::{Conn, Stream};
use crate::settings::{Effective, Pop3Lock, Retention, TlsMode};

use maildrop::{Locks, Maildrop};

/// Most accounts whose last login is remembered before those are forgotten that
/// may log in again.
const REMEMBERED_LOGINS: usize = 10_000;

/// POP3.
#[derive(Debug)]
pub struct Pop3 {
    context: Context,
    /// Maildrops that a session has for itself.
    locks: Locks,
    /// Connections by account.
    open: Connections,
    /// When accounts were let in last, as long as it matters for LOGIN-DELAY.
    last: Mutex<HashMap<AccountId, Instant>>,
}

impl Pop3 {
    /// The service.
    pub fn new(context: Context) -> Pop3 {
        Pop3 {
            context,
            locks: Locks::default(),
            open: Connections::default(),
            last: Mutex::default(),
        }
    }

    /// RFC 2449 §6.5: whether the last login was long enough ago.
    fn may_log_in(&self, account: AccountId, delay: Duration) -> bool {
        let last = self.last.lock();
        last.get(&account)
            .is_none_or(|last| last.elapsed() >= delay)
    }

    fn logged_in(&self, account: AccountId, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        let mut last = self.last.lock();
        if last.len() >= REMEMBERED_LOGINS {
            last.retain(|_, last| last.elapsed() < delay);
        }
        last.insert(account, Instant::now());
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
            Denied::Banned => "-ERR [SYS/TEMP] too many faults, try again later\r\n",
            _ => "-ERR [SYS/TEMP] too many connections, try again later\r\n",
        }
    }

    async fn serve(&self, stream: Stream, mut peer: Peer) {
        let Some(nonce) = nonce() else { return };
        let settings = self.context.settings.load_full();
        let varies = settings.pop3.expire_varies;
        let mut limits = settings.pop3.session_limits();
        limits.idle_timeout = peer.idle_timeout(limits.idle_timeout);
        limits.login_timeout = peer.idle_timeout(limits.login_timeout);
        let config = Config {
            hostname: settings.hostname.clone(),
            limits,
            implicit_tls: peer.implicit_tls(),
            stls: peer.listener.tls == TlsMode::Starttls && peer.tls.is_some(),
            allow_plaintext_login: peer.listener.plaintext_login,
            mechanisms: self.context.logins.mechanisms(),
            implementation: "Axigen-in-Rust".into(),
            // RFC 2449 §6.7: the least that anybody has, and nobody can have less than nothing.
            expire: match varies {
                true => Expire::Days(0),
                false => expire(settings.accounts.pop3_expire.unwrap_or_default()),
            },
            expire_varies: varies,
            login_delay: u32::try_from(settings.pop3.login_delay.0.as_secs()).unwrap_or(u32::MAX),
            language: settings.pop3.language.into(),
        };
        let session = Server::new(config, nonce);
        let Some(mut conn) = peer.connection(stream, session) else {
            return;
        };
        let mut talk = Talk {
            service: self,
            entering: None,
            drop: None,
            _counted: None,
            guesses: Guesses::of(peer.addr.ip()),
        };
        let mut stopping = false;
        loop {
            let event = tokio::select! {
                biased;
                event = conn.next() => event,
                () = peer.stopped(), if !stopping => {
                    stopping = true;
                    conn.unwatched();
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
    /// Who was let in, until the maildrop is open.
    entering: Option<Entering>,
    drop: Option<Maildrop>,
    guesses: Guesses,
    _counted: Option<Counted>,
}

/// A login that the directory has accepted.
#[derive(Debug)]
struct Entering {
    login: Login,
    settings: Effective,
    /// The folder that stands behind the plus of the name.
    folder: Option<String>,
    counted: Counted,
}

impl Talk<'_> {
    async fn event(&mut self, conn: &mut Conn<Server>, event: Event) -> Result<(), Broken> {
        match event {
            Event::Connected => conn.session().greet()?,
            Event::Auth(mut ask) => {
                conn.flush_all().await?;
                let context = &self.service.context;
                let folder = match self.take_folder(&mut ask).await {
                    Ok(folder) => folder,
                    Err(error) => {
                        tracing::error!(%error, "the directory could not be asked");
                        conn.session()
                            .answer(Answer::Refuse(Refusal::Unavailable))?;
                        return Ok(());
                    }
                };
                let tls = conn.tls_info();
                let (answer, login) = self.guesses.answer(context, tls, &ask).await;
                let answer = match login {
                    Some(login) => self.admit(login, folder, answer).await,
                    None => answer,
                };
                self.guesses.decided(context, &ask, &answer).await;
                conn.session().answer(answer)?;
            }
            Event::LoggedIn(_) => match self.open().await {
                Ok((messages, expire)) => conn.session().open(messages, expire)?,
                Err((failure, text)) => conn.session().refuse(failure, text)?,
            },
            Event::Retrieve { index, top } => {
                let context = &self.service.context;
                match &self.drop {
                    Some(drop) => drop.retrieve(context, conn, index, top).await?,
                    None => conn
                        .session()
                        .fail(Failure::Temporary, Text::NoSuchMessage)?,
                }
            }
            Event::Quit { deleted, fetched } => {
                let context = &self.service.context;
                // The next session may have the maildrop before this one is gone.
                let done = match self.drop.take() {
                    Some(drop) => drop.update(context, &deleted, &fetched).await,
                    None => Ok(()),
                };
                conn.session().finish(done)?;
            }
        }
        Ok(())
    }

    /// Takes the folder out of the name that logs in: `ann+Lists@example.test` is
    /// `ann@example.test` and its mailbox `Lists`, unless there is an account of
    /// the whole name.
    async fn take_folder(&self, ask: &mut Ask) -> Result<Option<String>, Error> {
        let directory = &self.service.context.directory;
        let (authzid, authcid) = match ask {
            Ask::Password {
                authzid, authcid, ..
            }
            | Ask::Authorize { authzid, authcid } => (Some(authzid), Some(authcid)),
            Ask::Keys { authcid } | Ask::WrongProof { authcid } => (None, Some(authcid)),
            Ask::Token { authzid, .. } | Ask::External { authzid } => (Some(authzid), None),
        };
        let mut folder = None;
        for name in [authzid, authcid].into_iter().flatten() {
            let Some((plain, detail)) = without_detail(name) else {
                continue;
            };
            match directory.account(name).await {
                Ok(_) => continue,
                Err(Error::NotFound(_) | Error::BadAddress(_)) => {}
                Err(error) => return Err(error),
            }
            *name = plain;
            folder = Some(detail);
        }
        Ok(folder)
    }

    /// The directory knows the user; may this account use POP3, here and now?
    async fn admit(&mut self, login: Login, folder: Option<String>, yes: Answer) -> Answer {
        let context = &self.service.context;
        let address = &login.account.address;
        let settings = match context.directory.account_settings(address).await {
            Ok(settings) => settings.effective(&context.settings.load().accounts),
            Err(error) => {
                tracing::error!(%error, "the settings of an account could not be read");
                return Answer::Refuse(Refusal::Unavailable);
            }
        };
        if !settings.pop3 {
            return Answer::Refuse(Refusal::NotAuthorized);
        }
        let open = &self.service.open;
        let Some(counted) = open.one_more(login.account.id, settings.pop3_connections) else {
            return Answer::Refuse(Refusal::TooMany);
        };
        self.entering = Some(Entering {
            login,
            settings,
            folder,
            counted,
        });
        yes
    }

    async fn open(&mut self) -> Result<(Vec<Message>, Expire), (Failure, Text)> {
        let Some(entering) = self.entering.take() else {
            return Err((Failure::Temporary, Text::LogInAgain));
        };
        let Entering {
            login,
            settings,
            folder,
            counted,
        } = entering;
        let account = login.account.id;
        let all = self.service.context.settings.load_full();
        let delay = all.pop3.login_delay.0;
        if !self.service.may_log_in(account, delay) {
            return Err((Failure::LoginDelay, Text::LoginDelay));
        }
        let policy = maildrop::Policy {
            retention: match all.pop3.expire_varies {
                true => settings.pop3_expire,
                false => all.accounts.pop3_expire.unwrap_or_default(),
            },
            seen: settings.pop3_seen,
        };
        let name = match &folder {
            Some(folder) if settings.pop3_folders => folder,
            // There is no such login.
            Some(_) => return Err((Failure::Permanent, Text::NoMailbox)),
            None => &settings.pop3_mailbox,
        };
        let lock = match settings.pop3_lock {
            Pop3Lock::Exclusive => Some(&self.service.locks),
            Pop3Lock::Shared => None,
        };
        let mailboxes = &self.service.context.mailboxes;
        let (drop, messages) = Maildrop::open(mailboxes, account, name, lock, policy).await?;
        self.service.logged_in(account, delay);
        tracing::info!(
            service = "pop3",
            user = login.account.address,
            mailbox = name,
            messages = messages.len(),
            "logged in"
        );
        self.drop = Some(drop);
        self._counted = Some(counted);
        Ok((messages, expire(policy.retention)))
    }
}

/// What the session announces.
fn expire(retention: Retention) -> Expire {
    match retention {
        Retention::Never => Expire::Never,
        Retention::Days(days) => Expire::Days(days),
    }
}

/// `local+detail@domain` as `local@domain` and `detail`.
fn without_detail(name: &str) -> Option<(String, String)> {
    normalise(name).ok()?;
    let (local, domain) = name.rsplit_once('@')?;
    let (local, detail) = local.split_once('+')?;
    let both = !local.is_empty() && !detail.is_empty();
    both.then(|| (format!("{local}@{domain}"), detail.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_folder() {
        for (name, want) in [
            ("ann+Lists@b.test", Some(("ann@b.test", "Lists"))),
            ("ann+a+b@b.test", Some(("ann@b.test", "a+b"))),
            ("ann+Lists/Rust@b.test", Some(("ann@b.test", "Lists/Rust"))),
            ("ann@b.test", None),
            ("ann+@b.test", None),
            ("+x@b.test", None),
            ("ann+x", None),
        ] {
            let want = want.map(|(name, detail)| (name.to_owned(), detail.to_owned()));
            assert_eq!(without_detail(name), want, "{name}");
        }
    }
}
