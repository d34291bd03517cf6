//! The engine: services over one store, started and stopped by name.
//!
//! Nothing is global. An application may run several engines; it may bind the
//! sockets itself and hand them in.

mod changes;
mod listening;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axigen_store::Store;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::runtime::Handle;

use crate::clock::{Clock, SystemClock};
use crate::control::server::ControlServer;
use crate::control::{self, Registry};
use crate::delivery::{Delivery, Outgoing, Transport};
use crate::directory::Directory;
use crate::dns::{Resolver, SystemResolver};
use crate::error::Error;
use crate::filter::{Chain, Filter, Level};
use crate::login::{CertificateMapper, Logins, TokenChecker};
use crate::mailbox::Mailboxes;
use crate::net::Https;
use crate::net::bans::{Ban, Bans};
use crate::queue::Queue;
use crate::queue::route::Routes;
use crate::search::SearchIndex;
use crate::search::feed::{Feeder, Feeding};
use crate::service::imap::Imap;
use crate::service::pop3::Pop3;
use crate::service::smtp_in::SmtpIn;
use crate::service::smtp_out::{Prepared, SmtpOut};
use crate::service::{Context, InFlight, Service};
use crate::settings::{ListenAddress, ListenerSettings, Settings, TlsMode};

use listening::{Running, bind};

/// The services there are.
pub const SERVICES: [&str; 6] = ["smtp_in", "submission", "smtp_out", "lmtp", "imap", "pop3"];
/// The one that listens nowhere: it takes mail to other hosts.
const SMTP_OUT: &str = "smtp_out";

/// Puts an engine together.
#[derive(Debug)]
pub struct Builder {
    store: Store,
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    filters: Chain,
    logins: Logins,
    resolver: Option<Arc<dyn Resolver>>,
    https: Option<Arc<dyn Https>>,
    transports: Vec<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
}

impl Builder {
    /// Settings instead of the defaults.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Builder {
        self.settings = settings;
        self
    }

    /// TLS by this configuration, instead of the files the settings name.
    #[must_use]
    pub fn tls(mut self, tls: Arc<ServerConfig>) -> Builder {
        self.tls = Some(tls);
        self
    }

    /// Asks this one about names, instead of the system's DNS servers.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver) -> Builder {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Fetches policies and sends reports with this client, instead of the
    /// server's own.
    #[must_use]
    pub fn https(mut self, https: impl Https) -> Builder {
        self.https = Some(Arc::new(https));
        self
    }

    /// The clock that the queue, limits in an interval and bans go by, instead of
    /// the system's; for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Builder {
        self.clock = Arc::new(clock);
        self
    }

    /// Lets people log in with bearer tokens (OAUTHBEARER, XOAUTH2) that this
    /// checker finds good. Without one these mechanisms are not offered.
    #[must_use]
    pub fn tokens(mut self, checker: impl TokenChecker) -> Builder {
        self.logins.check_tokens(Arc::new(checker));
        self
    }

    /// Carries the mail of routes that lead to it (`to = "transport:NAME"`),
    /// instead of another host.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Builder {
        self.transports.push(Arc::new(transport));
        self
    }

    /// Which accounts a client certificate stands for (EXTERNAL), instead of the
    /// mail addresses that stand in it. Certificates are asked for where a
    /// listener's `client_authorities` says so.
    #[must_use]
    pub fn certificates(mut self, mapper: impl CertificateMapper) -> Builder {
        self.logins.map_certificates(Arc::new(mapper));
        self
    }

    /// A filter for all mail. The lower priority runs first.
    #[must_use]
    pub fn filter(self, priority: u16, filter: impl Filter) -> Builder {
        self.filter_at(Level::Server, priority, filter)
    }

    /// A filter for all mail, one domain or one account.
    #[must_use]
    pub fn filter_at(mut self, level: Level, priority: u16, filter: impl Filter) -> Builder {
        self.filters.add(level, priority, Arc::new(filter));
        self
    }

    /// The engine; nothing listens yet.
    ///
    /// # Errors
    /// [`Error::Tls`] for certificates that cannot be used.
    pub fn build(self) -> Result<Engine, Error> {
        let given = self.tls;
        let tls = match &given {
            Some(given) => Some(given.clone()),
            None => listening::from_settings(&self.settings)?,
        };
        let mailboxes =
            Mailboxes::with_options(self.store.clone(), self.settings.mailboxes.options());
        let directory = Directory::new(self.store.clone(), mailboxes.clone())?;
        let outgoing = Outgoing {
            queue: Queue::new(self.store.clone(), self.clock.clone()),
            routes: Arc::new(ArcSwap::from_pointee(Routes::of(&self.settings))),
        };
        let delivery = Delivery::new(
            mailboxes.clone(),
            directory.clone(),
            self.filters.clone(),
            self.settings.accounts.clone(),
        )
        .with_clock(self.clock.clone())
        .with_outgoing(outgoing.clone());
        delivery.adopt(&self.settings);
        let search = match self.store.directory() {
            Some(dir) => SearchIndex::open(&dir.join("search"), self.settings.search.clone()),
            None => SearchIndex::off(),
        };
        let in_flight = InFlight::new(self.settings.in_flight.0);
        let settings = Arc::new(ArcSwap::from_pointee(self.settings));
        let bans = Bans::new(self.store.clone(), self.clock.clone(), settings.clone());
        let context = Context {
            search,
            mailboxes,
            directory,
            delivery,
            filters: self.filters,
            in_flight,
            settings,
            logins: self.logins,
            bans,
        };
        Ok(Engine {
            inner: Arc::new(Inner {
                store: self.store,
                context,
                outgoing,
                resolver: self.resolver,
                https: self.https,
                transports: self.transports,
                clock: self.clock,
                given,
                tls: ArcSwapOption::new(tls),
                running: Mutex::default(),
                changing: tokio::sync::Mutex::default(),
                feeding: Mutex::default(),
                control: Mutex::default(),
            }),
        })
    }
}

/// SMTP Outgoing, which can be started: nothing about it can fail any more.
struct Sending {
    service: Prepared,
    entry: Running,
}

/// A mail server. Cheap to clone; all clones are one server.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    context: Context,
    outgoing: Outgoing,
    resolver: Option<Arc<dyn Resolver>>,
    https: Option<Arc<dyn Https>>,
    transports: Vec<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    /// TLS that the application has given, instead of files.
    given: Option<Arc<ServerConfig>>,
    /// TLS of listeners that have no certificates of their own.
    tls: ArcSwapOption<ServerConfig>,
    running: Mutex<HashMap<&'static str, Running>>,
    /// Held while services are started or changed: one change at a time.
    changing: tokio::sync::Mutex<()>,
    /// What keeps the search index up to date, from the first service on.
    feeding: Mutex<Option<Feeding>>,
    control: Mutex<Option<ControlServer>>,
}

impl Engine {
    /// Begins an engine over a store.
    pub fn builder(store: Store) -> Builder {
        Builder {
            store,
            settings: Settings::default(),
            tls: None,
            filters: Chain::new(),
            logins: Logins::default(),
            resolver: None,
            https: None,
            transports: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The queue of mail on its way to other hosts.
    pub fn queue(&self) -> &Queue {
        &self.inner.outgoing.queue
    }

    /// Accounts, domains, aliases.
    pub fn directory(&self) -> &Directory {
        &self.inner.context.directory
    }

    /// Mailboxes of all accounts: the in-process API.
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.inner.context.mailboxes
    }

    /// From recipients to mailboxes: the in-process way to deliver a message.
    pub fn delivery(&self) -> &Delivery {
        &self.inner.context.delivery
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.context.settings.load_full()
    }

    /// The search index.
    pub fn search(&self) -> &SearchIndex {
        &self.inner.context.search
    }

    /// TLS of listeners that have no certificates of their own, as it is now.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.inner.tls.load_full()
    }

    /// What services work with, for one that is not in this crate.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// Starts every service that the settings enable, on their listeners, and the
    /// control socket. All sockets are bound before any service starts.
    ///
    /// # Errors
    /// [`Error::Bind`] naming service and address, [`Error::Control`]; nothing
    /// runs then.
    pub async fn start(&self) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        let settings = self.settings();
        let mut bound = Vec::new();
        for (name, common) in settings.services() {
            if common.enable {
                self.may_start(name)?;
                bound.push((self.service(name)?, bind(name, common)?));
            }
        }
        let sending = match settings.smtp_out.enable {
            true => {
                self.may_start(SMTP_OUT)?;
                Some(self.sending(&settings)?)
            }
            false => None,
        };
        if settings.control.enable && self.inner.store.directory().is_some() {
            self.start_control()?;
        }
        self.inner.context.bans.load().await?;
        for (service, sockets) in bound {
            self.run_on(service, sockets, true)?;
        }
        match sending {
            Some(sending) => self.start_sending(sending),
            None => Ok(()),
        }
    }

    /// Opens the [control socket](crate::control), whether or not the settings
    /// enable it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Control`], also for a store that is in no directory while the
    /// settings name no path.
    pub fn start_control(&self) -> Result<(), Error> {
        let settings = self.settings();
        let mut control = self.inner.control.lock();
        if control.is_some() {
            return Ok(());
        }
        let directory = self.inner.store.directory();
        if directory.is_none() && settings.control.socket.as_os_str().is_empty() {
            return Err(Error::Control(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "the store is in no directory: name a path ([control] socket)",
            )));
        }
        let path = settings.control.path(&directory.unwrap_or_default());
        let mut registry = Registry::default();
        registry.add(control::of_queue(
            &self.inner.outgoing,
            &self.inner.context.delivery,
        ));
        registry.add(crate::control::of_bans(&self.inner.context.bans));
        let grace = settings.shutdown_timeout.0;
        let started = ControlServer::start(&path, registry, &settings.control, grace);
        *control = Some(started.map_err(Error::Control)?);
        Ok(())
    }

    /// SMTP Outgoing by these settings, ready to be started.
    fn sending(&self, settings: &Settings) -> Result<Sending, Error> {
        let inner = &self.inner;
        if !settings.smtp_out.enable {
            return Err(Error::Service(
                "smtp_out is not enabled in the settings: no mail was accepted for it".into(),
            ));
        }
        let resolver = match &inner.resolver {
            Some(resolver) => Arc::clone(resolver),
            None => {
                let asked = SystemResolver::new(&settings.dns.options());
                Arc::new(asked.map_err(|error| Error::Service(error.to_string()))?)
            }
        };
        let context = &inner.context;
        let service = SmtpOut::prepare(
            inner.outgoing.queue.clone(),
            Routes::of(settings),
            context.delivery.clone(),
            context.filters.clone(),
            resolver,
            inner.https.clone(),
            inner.transports.clone(),
        )?;
        Ok(Sending {
            service,
            entry: Running::new(SMTP_OUT, settings.smtp_out.threads)?,
        })
    }

    fn start_sending(&self, sending: Sending) -> Result<(), Error> {
        let settings = self.settings();
        let shared = Handle::try_current().map_err(std::io::Error::other)?;
        let Sending { service, mut entry } = sending;
        let runtime = match &entry.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => shared,
        };
        let stop = entry.stop.subscribe();
        let grace = settings.shutdown_timeout.0;
        let task = service().run(stop, grace);
        entry.tasks.push(runtime.spawn(task));
        self.inner.running.lock().insert(SMTP_OUT, entry);
        tracing::info!(service = SMTP_OUT, "sending");
        Ok(())
    }

    /// Starts one service on the listeners its settings name, also one that
    /// was stopped, or one the settings do not enable.
    ///
    /// # Errors
    /// [`Error::Service`] if it runs already, or for a name that is none of
    /// [`SERVICES`]; [`Error::Bind`].
    pub async fn start_service(&self, name: &str) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        if name == SMTP_OUT {
            self.may_start(SMTP_OUT)?;
            return self.start_sending(self.sending(&self.settings())?);
        }
        self.inner.context.bans.load().await?;
        let settings = self.settings();
        let service = self.service(name)?;
        self.may_start(name)?;
        let services = settings.services();
        let common = services.iter().find(|(known, _)| *known == name);
        let sockets = match common {
            Some((name, common)) => bind(name, common)?,
            None => Vec::new(),
        };
        self.run_on(service, sockets, true)
    }

    fn may_start(&self, name: &str) -> Result<(), Error> {
        match self.inner.running.lock().contains_key(name) {
            true => Err(Error::Service(format!(
                "the service {name} runs already; stop it first"
            ))),
            false => Ok(()),
        }
    }

    /// Starts a service by name on a socket the application has bound. The
    /// same service may be given several sockets before it is stopped.
    ///
    /// # Errors
    /// [`Error::Service`] for a name that is none of [`SERVICES`].
    pub fn serve(
        &self,
        name: &str,
        socket: TcpListener,
        tls: TlsMode,
    ) -> Result<SocketAddr, Error> {
        let address = socket.local_addr()?;
        let mut settings = ListenerSettings::new(address, tls);
        // What is only reachable from this machine may go without TLS.
        settings.plaintext_login = address.ip().is_loopback();
        // Sockets of one service share what it remembers of accounts.
        let running = self
            .inner
            .running
            .lock()
            .get(name)
            .and_then(Running::service);
        let service = running.map_or_else(|| self.service(name), Ok)?;
        self.run(service, vec![(socket, settings)])?;
        Ok(address)
    }

    /// Keeps the search index up to date from now on.
    fn feed(&self) {
        let context = &self.inner.context;
        let mut feeding = self.inner.feeding.lock();
        if feeding.is_none() {
            *feeding = Feeder::start(
                context.search.clone(),
                context.mailboxes.clone(),
                context.directory.clone(),
            );
        }
    }

    /// Names of the services that run.
    pub fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.inner.running.lock().keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Where a service listens for TCP.
    pub fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let all = self.listeners(name);
        all.iter().filter_map(ListenAddress::tcp).collect()
    }

    /// Where a service listens, Unix sockets included.
    pub fn listeners(&self, name: &str) -> Vec<ListenAddress> {
        let running = self.inner.running.lock();
        running
            .get(name)
            .map(Running::addresses)
            .unwrap_or_default()
    }

    /// How many connections a service has open now.
    pub fn connections(&self, name: &str) -> u32 {
        let running = self.inner.running.lock();
        running.get(name).map_or(0, Running::connections)
    }

    /// The peers that are banned for their faults now.
    pub fn bans(&self) -> Vec<Ban> {
        self.inner.context.bans.list()
    }

    /// Lifts the ban of a peer, and forgets its faults. An address stands for its
    /// network of 64 bits, as it does when faults are counted. Whether it was
    /// banned.
    ///
    /// # Errors
    /// [`Error::Store`]: the peer may connect, but after a restart it may be
    /// banned again.
    pub async fn lift_ban(&self, peer: IpAddr) -> Result<bool, Error> {
        Ok(self.inner.context.bans.lift(peer).await?)
    }

    /// Lifts all bans, and forgets all faults. How many bans there were.
    ///
    /// # Errors
    /// As [`lift_ban`](Engine::lift_ban).
    pub async fn clear_bans(&self) -> Result<usize, Error> {
        Ok(self.inner.context.bans.clear().await?)
    }

    /// Stops a service: no new connections, commands in flight are finished,
    /// then the rest is closed, at the latest when the settings'
    /// `shutdown_timeout` is over.
    ///
    /// # Errors
    /// [`Error::Service`] if it does not run.
    pub async fn stop(&self, name: &str) -> Result<(), Error> {
        let running = self.inner.running.lock().remove(name);
        let Some(running) = running else {
            return Err(Error::Service(format!("the service {name} does not run")));
        };
        running.end().await;
        Ok(())
    }

    /// Stops all services and closes the store.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn shutdown(&self) -> Result<(), Error> {
        let control = self.inner.control.lock().take();
        if let Some(control) = control {
            control.end().await;
        }
        let all: Vec<Running> = self
            .inner
            .running
            .lock()
            .drain()
            .map(|(_, running)| running)
            .collect();
        for running in &all {
            running.stop.send_replace(true);
        }
        for running in all {
            running.end().await;
        }
        let feeding = self.inner.feeding.lock().take();
        if let Some(feeding) = feeding {
            feeding.end().await;
        }
        self.inner.outgoing.queue.note_left().await;
        self.inner.store.close().await?;
        Ok(())
    }

    fn service(&self, name: &str) -> Result<Arc<dyn Service>, Error> {
        let context = self.inner.context.clone();
        Ok(match name {
            "smtp_in" => Arc::new(SmtpIn::mx(context)),
            "submission" => Arc::new(SmtpIn::submission(context)),
            "lmtp" => Arc::new(SmtpIn::lmtp(context)),
            "imap" => Arc::new(Imap::new(context)),
            "pop3" => Arc::new(Pop3::new(context)),
            SMTP_OUT => {
                return Err(Error::Service(format!("{name} listens nowhere")));
            }
            _ => {
                return Err(Error::Service(format!(
                    "there is no service {name}; there are {}",
                    SERVICES.join(", ")
                )));
            }
        })
    }
}

#[cfg(test)]
mod tests;
