//! IMAP4rev1 and IMAP4rev2: one event loop over the session and the mailbox API.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | connections, logins, which command goes where |
//! | `selected` | the mailbox that is open, and what changed in it |
//! | `shared` | mailboxes of others in LIST |
//! | `limit` | MESSAGELIMIT: how many messages one command may be about |
//! | `list` | LIST, LSUB, STATUS, NAMESPACE, and mailboxes made and removed |
//! | `resync` | what a client missed since it was here last |
//! | `old_name` | names that are kept in another spelling than they came in |
//! | `notify` | NOTIFY: what is told of other mailboxes |
//! | `quota` | QUOTA |
//! | `namespace` | whose mailbox a name means, and what the user may do with it |
//! | `acl` | ACL |
//! | `metadata` | METADATA |
//! | `fetch`, `data` | FETCH |
//! | `search` | SEARCH |
//! | `multisearch` | ESEARCH: several mailboxes |
//! | `context` | results that are kept up to date |
//! | `progress` | INPROGRESS |
//! | `change` | STORE, COPY, MOVE, EXPUNGE |
//! | `append` | APPEND, REPLACE |
//! | `catenate` | what the URLs of CATENATE name |
//! | `status` | errors as responses |

mod acl;
mod append;
mod catenate;
mod change;
mod context;
mod data;
mod fetch;
mod limit;
mod list;
mod metadata;
mod multisearch;
mod namespace;
mod notify;
mod old_name;
mod progress;
mod quota;
mod resync;
mod search;
mod selected;
mod shared;
mod sort;
mod status;
mod urlauth;

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use axigen_proto::Misuse;
use axigen_proto::imap::command::{Command, Fetch, FetchAttribute, SearchKey, Select};
use axigen_proto::imap::extensions::acl::Rights;
use axigen_proto::imap::extensions::condstore::FetchModifiers;
use axigen_proto::imap::extensions::messagelimit::MessageLimit;
use axigen_proto::imap::response::{Code, Response, Status, StatusKind};
use axigen_proto::imap::separator::Separator;
use axigen_proto::imap::sequence::{NumberSet, SequenceNumber, SequenceRange, SequenceSet};
use axigen_proto::imap::server::{AccountLimits, Config, Event, Server};
use axigen_proto::imap::types::Tag;
use axigen_proto::sasl::{Answer, Refusal};
use axigen_store::AccountId;
use axigen_store::store::Watcher;
use parking_lot::Mutex;

use super::counted::{Connections, Counted};
use super::guesses::Guesses;
use super::{Context, Peer, Service, nonce};
use crate::directory::Login;
use crate::net::rules::Denied;
use crate::net::{Conn, Stream};
use crate::settings::{Effective, ListenerSettings, Settings, TlsMode};

use append::Appending;
use notify::Notify;
use progress::Progress;
use selected::{Selected, Told};

/// IMAP.
#[derive(Debug)]
pub struct Imap {
    context: Context,
    /// Connections by account.
    open: Connections,
    /// What sessions may do, once for all of a listener.
    configs: Mutex<Vec<Prepared>>,
}

/// A session's configuration, and what it was made of.
#[derive(Debug)]
struct Prepared {
    settings: Arc<Settings>,
    listener: Arc<ListenerSettings>,
    /// Whether there is a certificate.
    tls: bool,
    config: Arc<Config>,
}

impl Imap {
    /// The service.
    pub fn new(context: Context) -> Imap {
        Imap {
            context,
            open: Connections::default(),
            configs: Mutex::default(),
        }
    }

    /// What a session may do. Ten thousand connections that idle have it once.
    fn config(&self, peer: &Peer) -> Arc<Config> {
        let settings = self.context.settings.load_full();
        let tls = peer.tls.is_some();
        let mut configs = self.configs.lock();
        // Those of settings that are no longer in force, and of listeners that nobody else has
        // any more, are of no use to who comes now.
        configs.retain(|prepared| {
            Arc::ptr_eq(&prepared.settings, &settings) && Arc::strong_count(&prepared.listener) > 1
        });
        let known = configs.iter().find(|prepared| {
            Arc::ptr_eq(&prepared.listener, &peer.listener) && prepared.tls == tls
        });
        if let Some(prepared) = known {
            return prepared.config.clone();
        }
        let mut limits = settings.imap.session_limits();
        limits.idle_timeout = peer.idle_timeout(limits.idle_timeout);
        limits.login_timeout = peer.idle_timeout(limits.login_timeout);
        let config = Arc::new(Config {
            hostname: settings.hostname.clone(),
            limits,
            implicit_tls: peer.implicit_tls(),
            starttls: peer.listener.tls == TlsMode::Starttls && tls,
            allow_plaintext_login: peer.listener.plaintext_login,
            compress: settings.imap.compress,
            message_limit: settings.imap.limit_of_messages(),
            separator: Separator::new(settings.imap.separator).unwrap_or_default(),
            mechanisms: self.context.logins.mechanisms(),
            id: vec![
                ("name".into(), "Axigen in Rust".into()),
                ("version".into(), env!("CARGO_PKG_VERSION").into()),
            ],
            ..Config::default()
        });
        configs.push(Prepared {
            settings,
            listener: peer.listener.clone(),
            tls,
            config: config.clone(),
        });
        config
    }
}

/// Rights of which one makes a mailbox more than readable: to change what
/// others see of it too. `\Seen` is everybody's own.
const CHANGING: Rights = Rights::INSERT
    .with(Rights::EXPUNGE)
    .with(Rights::DELETE_MESSAGES)
    .with(Rights::WRITE);

/// Why a connection cannot go on.
#[derive(Debug)]
enum Broken {
    /// The stream failed.
    Io(io::Error),
    /// A bug of this service.
    Misuse(Misuse),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

impl From<Misuse> for Broken {
    fn from(misuse: Misuse) -> Broken {
        Broken::Misuse(misuse)
    }
}

type Done<T = ()> = Result<T, Broken>;
type ImapConn = Conn<Server>;

#[async_trait]
impl Service for Imap {
    fn name(&self) -> &'static str {
        "imap"
    }

    /// RFC 9051 §7.1.5: BYE as the greeting.
    fn refusal(&self, denied: Denied) -> &'static str {
        match denied {
            Denied::Rule => "* BYE you may not connect here\r\n",
            // RFC 5530 §3.
            Denied::Banned => "* BYE [UNAVAILABLE] too many faults, try again later\r\n",
            _ => "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
        }
    }

    async fn serve(&self, stream: Stream, mut peer: Peer) {
        let Some(nonce) = nonce() else { return };
        let config = self.config(&peer);
        let message_limit = config.message_limit;
        let session = Server::new(config, nonce);
        let Some(mut conn) = peer.connection(stream, session) else {
            return;
        };
        let mut talk = Talk {
            service: self,
            context: &self.context,
            login: None,
            user: None,
            selected: None,
            appending: None,
            idle: false,
            condstore: false,
            notify: None,
            metadata_told: None,
            progress: Progress::default(),
            guesses: Guesses::of(peer.addr.ip()),
            message_limit,
            limited: None,
        };
        let mut stopping = false;
        loop {
            let event = tokio::select! {
                biased;
                event = conn.next() => event,
                () = changed(&mut talk.user, &mut talk.selected, &mut talk.notify), if talk.listens(&mut conn) => {
                    // Boxed, as everything a session does: one that idles holds none of it.
                    match Box::pin(talk.tell(&mut conn)).await {
                        Ok(()) => continue,
                        Err(broken) => return end(&peer, broken),
                    }
                }
                () = peer.stopped(), if !stopping => {
                    stopping = true;
                    conn.unwatched();
                    if conn.session().is_idle() {
                        conn.session().bye(Status::ok("the server is shutting down"));
                    }
                    continue;
                }
            };
            let done = match event {
                Ok(Some(event)) => Box::pin(talk.event(&mut conn, event)).await,
                Ok(None) => {
                    tracing::debug!(service = "imap", peer = %peer.addr, why = ?conn.close_reason(), "closed");
                    return;
                }
                Err(error) => Err(Broken::Io(error)),
            };
            if let Err(broken) = done {
                return end(&peer, broken);
            }
            if stopping && conn.session().is_idle() {
                conn.session()
                    .bye(Status::ok("the server is shutting down"));
            }
        }
    }
}

/// Whether a command asks for messages of the open mailbox.
fn looks(command: &Command) -> bool {
    matches!(
        command,
        Command::Search(_)
            | Command::Sort(_)
            | Command::Thread(_)
            | Command::Fetch(_)
            | Command::UidBatches(_)
    )
}

/// RFC 9051 §7.5.1: no EXPUNGE while a command with sequence numbers runs.
fn expunge_allowed(command: &Command) -> bool {
    let by_uid = |uid: bool, keys: &[SearchKey]| {
        // RFC 7162 §3.2.10.2: nor where only its keys name them.
        uid && !keys.iter().any(SearchKey::names_sequence)
    };
    match command {
        Command::Fetch(fetch) => fetch.uid,
        Command::Store(store) => store.uid,
        Command::Search(search) => by_uid(search.uid, &search.keys),
        Command::MultiSearch(search) => by_uid(true, &search.keys),
        Command::Sort(sort) => by_uid(sort.uid, &sort.keys),
        Command::Thread(thread) => by_uid(thread.uid, &thread.keys),
        _ => true,
    }
}

/// What an account has narrower than the service.
fn account_limits(settings: &Effective) -> AccountLimits {
    let bytes = |size: Option<u64>| size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    AccountLimits {
        command: bytes(settings.imap_command_size),
        literal: bytes(settings.imap_literal_size),
        idle_timeout: settings.imap_idle_timeout,
    }
}

/// Waits for a change of the account, of the one that the open mailbox is in, or
/// of one that NOTIFY watches.
async fn changed(
    user: &mut Option<User>,
    selected: &mut Option<Selected>,
    notify: &mut Option<Notify>,
) {
    let Some(user) = user else {
        return std::future::pending().await;
    };
    let of_open = async {
        match selected.as_mut().and_then(|open| open.watcher.as_mut()) {
            Some(watcher) => drop(watcher.changed().await),
            None => std::future::pending().await,
        }
    };
    let of_others = async {
        match notify.as_mut().and_then(Notify::watcher) {
            Some(watcher) => watcher.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = user.watcher.changed() => {}
        () = of_open => {}
        () = of_others => {}
    }
}

fn end(peer: &Peer, broken: Broken) {
    match broken {
        Broken::Io(error) => {
            tracing::debug!(service = "imap", peer = %peer.addr, %error, "the connection failed")
        }
        Broken::Misuse(misuse) => {
            tracing::error!(service = "imap", peer = %peer.addr, %misuse, "a bug in the service: the connection is closed");
        }
    }
}

/// One connection.
struct Talk<'c> {
    service: &'c Imap,
    context: &'c Context,
    /// A login the directory has accepted and the session not yet announced.
    login: Option<Login>,
    user: Option<User>,
    selected: Option<Selected>,
    appending: Option<Appending>,
    idle: bool,
    /// Whether the client is known to want modification numbers.
    condstore: bool,
    /// What NOTIFY asked for, once it was used.
    notify: Option<Notify>,
    /// Up to where changes of METADATA were told.
    metadata_told: Option<metadata::Told>,
    /// How far the command is that is worked on.
    progress: Progress,
    guesses: Guesses,
    /// How many messages a command may be about, as the client was told.
    message_limit: MessageLimit,
    /// What the command that is worked on left, to be told at its end.
    limited: Option<Code>,
}

/// Who has logged in.
#[derive(Debug)]
struct User {
    account: AccountId,
    address: String,
    settings: Effective,
    watcher: Watcher,
    _counted: Counted,
}

impl Talk<'_> {
    async fn event(&mut self, conn: &mut ImapConn, event: Event) -> Done {
        match event {
            Event::Connected => conn.session().greet()?,
            Event::Auth(ask) => {
                // A hash takes a while: what was said before leaves first.
                conn.flush_all().await?;
                let tls = conn.tls_info();
                let (answer, login) = self.guesses.answer(self.context, tls, &ask).await;
                let answer = match login {
                    Some(login) => self.admit(login, answer).await,
                    None => answer,
                };
                let of_account = self
                    .user
                    .as_ref()
                    .and_then(|user| user.settings.message_size);
                if let Some(user) = &self.user {
                    conn.session().limit(account_limits(&user.settings));
                }
                if let Some(bytes) = of_account {
                    conn.session().limit_append(bytes);
                }
                self.guesses.decided(self.context, &ask, &answer).await;
                conn.session().answer(answer)?;
            }
            Event::LoggedIn(_) => {}
            Event::ClientId(fields) => {
                tracing::debug!(service = "imap", client = ?fields, "the client said who made it");
            }
            Event::NothingSaved => {
                if let Some(selected) = &mut self.selected {
                    selected.saved = NumberSet::new();
                }
            }
            Event::Command { tag, command } => self.command(conn, tag, command).await?,
            Event::AppendStart { tag, append, size } => {
                self.append_start(conn, tag, append, size).await?
            }
            Event::AppendNext {
                tag,
                flags,
                date,
                size,
            } => self.append_next(conn, &tag, (flags, date), size)?,
            Event::AppendText { tag, size } => self.append_text(conn, &tag, size)?,
            Event::AppendUrl { tag, url } => self.append_url(conn, &tag, &url).await?,
            Event::AppendBody(bytes) => self.append_body(bytes),
            Event::AppendEnd { tag } => self.append_end(conn, tag).await?,
            Event::AppendAborted => self.appending = None,
            Event::IdleStart { .. } => {
                self.idle = true;
                self.tell(conn).await?;
            }
            Event::IdleEnd { tag } => {
                self.idle = false;
                self.tell(conn).await?;
                conn.session().finish(&tag, Status::ok("IDLE is over"))?;
            }
        }
        Ok(())
    }

    /// The directory knows the user; may this account use IMAP, here and now?
    async fn admit(&mut self, login: Login, yes: Answer) -> Answer {
        let settings = match self
            .context
            .directory
            .account_settings(&login.account.address)
            .await
        {
            Ok(settings) => settings.effective(&self.context.settings.load().accounts),
            Err(error) => {
                tracing::error!(%error, "the settings of an account could not be read");
                return Answer::Refuse(Refusal::Unavailable);
            }
        };
        if !settings.imap {
            return Answer::Refuse(Refusal::NotAuthorized);
        }
        let account = login.account.id;
        let open = &self.service.open;
        let Some(counted) = open.one_more(account, settings.imap_connections) else {
            return Answer::Refuse(Refusal::TooMany);
        };
        tracing::info!(service = "imap", user = login.account.address, "logged in");
        let watcher = self.context.mailboxes.watch(account);
        self.user = Some(User {
            account,
            address: login.account.address.clone(),
            settings,
            watcher,
            _counted: counted,
        });
        self.login = Some(login);
        yes
    }

    async fn command(&mut self, conn: &mut ImapConn, tag: Tag, command: Command) -> Done {
        let Some(account) = self.user.as_ref().map(|user| user.account) else {
            conn.session().finish(&tag, Status::bad("log in first"))?;
            return Ok(());
        };
        self.limited = None;
        // RFC 9051 §7.5.1: no EXPUNGE while a command with sequence numbers runs.
        let expunge_allowed = expunge_allowed(&command);
        let expunges = matches!(
            command,
            Command::Expunge | Command::UidExpunge { .. } | Command::Move { .. }
        );
        let leaves = matches!(
            command,
            Command::Select(_) | Command::Examine(_) | Command::Close | Command::Unselect
        );
        if !leaves {
            self.begin_condstore(conn)?;
            self.ask_rights_again(conn).await?;
        }
        // Messages that came meanwhile are there for who asks now: a client that
        // only ever searches or fetches would see them one command later
        // (RFC 9051 §5.2: the size may be told at any time).
        if looks(&command) {
            self.arrivals(conn).await?;
        }
        // Commands about messages are about the account their mailbox is in.
        let open = self.selected.as_ref().map(|selected| selected.view.account);
        let of_open = open.unwrap_or(account);
        let given = self.given_name(account, &command).await;
        let mut status = match command {
            Command::Noop | Command::Check | Command::Enable(_) => Status::ok("done"),
            Command::Select(select) => self.select(conn, &select, false).await?,
            Command::Examine(select) => self.select(conn, &select, true).await?,
            Command::Close => self.close(true).await,
            Command::Unselect => self.close(false).await,
            Command::Create {
                mailbox,
                special_use,
            } => self.create(mailbox.as_str(), &special_use).await,
            Command::Delete { mailbox } => self.delete(mailbox.as_str()).await,
            Command::Rename { from, to } => self.rename(from.as_str(), to.as_str()).await,
            Command::Subscribe { mailbox } => self.subscribe(account, mailbox.as_str(), true).await,
            Command::Unsubscribe { mailbox } => {
                self.subscribe(account, mailbox.as_str(), false).await
            }
            Command::List(list) => self.list(conn, account, &list).await?,
            Command::Lsub { reference, pattern } => {
                self.lsub(conn, account, &reference, &pattern).await?
            }
            Command::Namespace => self.namespace(conn)?,
            Command::GetQuota { root } => self.get_quota(conn, account, &root).await?,
            Command::GetQuotaRoot { mailbox } => {
                self.get_quota_root(conn, account, mailbox).await?
            }
            Command::Acl(acl) => self.acl(conn, acl).await?,
            Command::Metadata(metadata) => self.metadata(conn, account, metadata).await?,
            Command::UrlAuth(command) => self.urlauth(conn, command).await?,
            Command::Notify(notify) => self.notify(conn, account, &notify).await?,
            Command::Unauthenticate => self.forget(),
            Command::Status { mailbox, items } => {
                self.mailbox_status(conn, mailbox, &items).await?
            }
            Command::CancelUpdate(tags) => self.cancel_update(&tags),
            Command::UidBatches(batches) => self.uid_batches(conn, &tag, batches)?,
            Command::Search(search) => self.search(conn, &tag, &search).await?,
            Command::MultiSearch(search) => self.multi_search(conn, account, &tag, &search).await?,
            Command::Sort(sort) => self.sort(conn, &tag, &sort).await?,
            Command::Thread(thread) => self.thread(conn, &tag, &thread).await?,
            Command::Fetch(fetch) => {
                let limit = self.message_limit.of_messages();
                self.fetch(conn, of_open, &fetch, limit).await?
            }
            Command::Store(store) => self.store(conn, &store).await?,
            Command::Copy { uid, set, mailbox } => {
                self.copy(conn, &tag, uid, &set, mailbox.as_str()).await?
            }
            Command::Move { uid, set, mailbox } => {
                self.move_(conn, &tag, uid, &set, mailbox.as_str()).await?
            }
            Command::Expunge => self.expunge(None).await,
            Command::UidExpunge { set } => self.expunge(Some(&set)).await,
            // The session does these by itself.
            Command::Capability
            | Command::Logout
            | Command::StartTls
            | Command::Authenticate { .. }
            | Command::Login { .. }
            | Command::Id(_)
            | Command::Append(_)
            | Command::Compress
            | Command::Idle => Status::bad("not now"),
        };
        if status.kind == StatusKind::Ok
            && let Some((given, kept)) = given
        {
            self.tell_kept_name(conn, account, given, &kept).await?;
        }
        if !leaves {
            let expunged = self.update(conn, expunge_allowed).await?;
            // RFC 7162 §3.2.7, §3.2.9; RFC 6851 §4.4
            if expunged
                && expunges
                && conn.session().enabled().qresync
                && status.kind == StatusKind::Ok
                && let Some(selected) = &self.selected
            {
                status = status.with(Code::HighestModSeq(selected.highest_modseq()));
            }
        }
        self.tell_others(conn).await?;
        self.tell_metadata(conn).await?;
        let status = self.with_limit(conn, status)?;
        conn.session().finish(&tag, status)?;
        Ok(())
    }

    /// Whether changes are told now, without a command that asks for them.
    fn listens(&self, conn: &mut ImapConn) -> bool {
        self.idle || (self.is_notified() && conn.session().is_idle())
    }

    /// Tells what changed, in IDLE or between commands.
    async fn tell(&mut self, conn: &mut ImapConn) -> Done {
        self.ask_rights_again(conn).await?;
        let immediate = self.notify.as_ref().is_some_and(Notify::is_immediate);
        self.update(conn, self.idle || immediate).await?;
        self.tell_others(conn).await?;
        self.tell_metadata(conn).await
    }

    /// RFC 7162 §3.1: the first command by which a client shows that it wants
    /// modification numbers is told that of the open mailbox.
    fn begin_condstore(&mut self, conn: &mut ImapConn) -> Done {
        let wanted = conn.session().enabled().condstore;
        if wanted
            && !std::mem::replace(&mut self.condstore, true)
            && let Some(selected) = &self.selected
        {
            let code = Code::HighestModSeq(selected.highest_modseq());
            conn.session()
                .untagged(&Response::ok(code, "is the last change"))?;
        }
        Ok(())
    }

    /// Tells the client what changed in the selected mailbox; whether it was
    /// told that messages are gone.
    async fn update(&mut self, conn: &mut ImapConn, expunge_allowed: bool) -> Done<bool> {
        let Some(selected) = &mut self.selected else {
            return Ok(false);
        };
        let enabled = conn.session().enabled();
        let told = self.notify.as_ref().map_or(Told::All, Notify::of_selected);
        match selected
            .update(&self.context.mailboxes, expunge_allowed, enabled, told)
            .await
        {
            Ok(update) => {
                for response in &update.responses {
                    conn.session().untagged(response)?;
                }
                self.tell_items(conn, &update.new).await?;
                self.tell_contexts(conn, &update.rows, &update.new).await?;
                return Ok(update.expunged);
            }
            Err(crate::mailbox::Error::NoSuchMailbox) => {
                // Somebody deleted it; RFC 9051 §7.1: CLOSED.
                self.selected = None;
                conn.session().unselect()?;
            }
            Err(error) => tracing::error!(%error, "changes could not be read"),
        }
        Ok(false)
    }

    /// Tells the client of messages that came into the selected mailbox.
    async fn arrivals(&mut self, conn: &mut ImapConn) -> Done {
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let enabled = conn.session().enabled();
        let told = self.notify.as_ref().map_or(Told::All, Notify::of_selected);
        match selected
            .arrivals(&self.context.mailboxes, enabled, told)
            .await
        {
            Ok(update) => {
                for response in &update.responses {
                    conn.session().untagged(response)?;
                }
                self.tell_items(conn, &update.new).await?;
                self.tell_contexts(conn, &update.rows, &update.new).await
            }
            // What is wrong is said when the command is done.
            Err(_) => Ok(()),
        }
    }

    /// UNAUTHENTICATE (RFC 8437): as if nobody had logged in.
    fn forget(&mut self) -> Status {
        self.selected = None;
        self.login = None;
        self.user = None;
        self.condstore = false;
        self.notify = None;
        self.metadata_told = None;
        Status::ok("log in again")
    }

    /// What NOTIFY wants to be told of each new message.
    async fn tell_items(&mut self, conn: &mut ImapConn, new: &[u32]) -> Done {
        let (Some(notify), Some(selected)) = (&mut self.notify, &self.selected) else {
            return Ok(());
        };
        let open = (selected.view.account, selected.view.mailbox);
        let new = notify.of_others(open, new.to_vec());
        let attributes = notify.items().to_vec();
        self.show(conn, new, &attributes).await
    }

    /// Shows these of messages without having been asked by FETCH.
    async fn show(
        &mut self,
        conn: &mut ImapConn,
        uids: Vec<u32>,
        attributes: &[FetchAttribute],
    ) -> Done {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        if uids.is_empty() || attributes.is_empty() {
            return Ok(());
        }
        let ranges = uids.into_iter().map(|uid| SequenceRange {
            from: SequenceNumber::Number(uid),
            to: SequenceNumber::Number(uid),
        });
        let fetch = Fetch {
            uid: true,
            set: SequenceSet::Ranges(ranges.collect()),
            attributes: attributes.to_vec(),
            modifiers: FetchModifiers::default(),
        };
        let account = selected.view.account;
        let status = self.fetch(conn, account, &fetch, None).await?;
        if status.kind != StatusKind::Ok {
            tracing::debug!(status = %status.text, "a new message could not be shown");
        }
        Ok(())
    }

    async fn select(
        &mut self,
        conn: &mut ImapConn,
        select: &Select,
        examine: bool,
    ) -> Done<Status> {
        // RFC 9051 §6.3.2: the mailbox that was open is left, whatever comes;
        // the session has told the client.
        self.selected = None;
        let rev2 = conn.session().is_rev2();
        self.condstore |= conn.session().enabled().condstore;
        let name = select.mailbox.as_str();
        let (view, info) = match self.mailbox_for(name, Rights::READ, false).await {
            Ok(found) => found,
            Err(status) => return Ok(status),
        };
        // RFC 4314 §5.2: READ-ONLY for one who can change nothing there that is
        // common. What is one's own may still be changed (RFC 3501 §6.3.1).
        let read_only = examine || !view.rights.has_any(CHANGING);
        let examine = examine || !view.rights.has_any(CHANGING.with(Rights::SEEN));
        let mailboxes = &self.context.mailboxes;
        match Selected::open(mailboxes, view, info, examine, rev2).await {
            Ok((selected, responses)) => {
                // RFC 9586 §3: UNSEEN is a sequence number.
                let uidonly = conn.session().enabled().uidonly;
                let numbered = |response: &&Response| {
                    let Response::Status(status) = response else {
                        return false;
                    };
                    matches!(status.code, Some(Code::Unseen(_)))
                };
                for response in responses.iter().filter(|of| !(uidonly && numbered(of))) {
                    conn.session().untagged(response)?;
                }
                self.selected = Some(selected);
                if let Some(client) = &select.parameters.qresync
                    && let Err(error) = self.resync(conn, client).await?
                {
                    self.selected = None;
                    return Ok(status::of(&error, false));
                }
                let code = if read_only {
                    Code::ReadOnly
                } else {
                    Code::ReadWrite
                };
                Ok(Status::ok("the mailbox is open").with(code))
            }
            Err(error) => Ok(status::of(&error, false)),
        }
    }

    async fn close(&mut self, expunge: bool) -> Status {
        let Some(selected) = self.selected.take() else {
            return Status::bad("no mailbox is open");
        };
        if expunge
            && !selected.read_only
            // RFC 4314 §4: without the right to, nothing is expunged.
            && selected.view.rights.has(Rights::EXPUNGE)
        {
            let place = (selected.view.account, selected.view.mailbox);
            let mailboxes = &self.context.mailboxes;
            match mailboxes.expunge(place.0, place.1, None).await {
                Ok(removed) => {
                    if let Some(notify) = &mut self.notify {
                        notify.took(place, &removed);
                    }
                }
                Err(error) => {
                    let status = status::of(&error, false);
                    self.selected = Some(selected);
                    return status;
                }
            }
        }
        Status::ok("the mailbox is closed")
    }
}
