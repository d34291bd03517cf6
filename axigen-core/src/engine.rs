//! The engine: services over one store, started and stopped by name.
//!
//! Nothing is global. An application may run several engines; it may bind the
//! sockets itself and hand them in.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axigen_store::Store;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::runtime::{Builder as RuntimeBuilder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::control::server::ControlServer;
use crate::control::{self, Registry};
use crate::delivery::{Delivery, Outgoing};
use crate::directory::Directory;
use crate::dns::{Resolver, SystemResolver};
use crate::error::Error;
use crate::filter::{Chain, Filter, Level};
use crate::login::{CertificateMapper, Logins, TokenChecker};
use crate::mailbox::Mailboxes;
use crate::net::Https;
use crate::net::listener;
use crate::net::rules::Gate;
use crate::queue::Queue;
use crate::queue::route::Routes;
use crate::search::SearchIndex;
use crate::search::feed::{Feeder, Feeding};
use crate::service::imap::Imap;
use crate::service::pop3::Pop3;
use crate::service::smtp_in::SmtpIn;
use crate::service::smtp_out::SmtpOut;
use crate::service::{Context, InFlight, Service};
use crate::settings::{Common, ListenerSettings, Settings, TlsMode};

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

    /// The clock that the queue goes by, instead of the system's; for tests.
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
        let files = &self.settings.tls;
        let tls = match (self.tls, files.certificate.as_os_str().is_empty()) {
            (Some(tls), _) => Some(tls),
            (None, false) => Some(crate::net::tls::from_files(
                &files.certificate,
                &files.key,
                files.minimum,
            )?),
            (None, true) => None,
        };
        let mailboxes =
            Mailboxes::with_options(self.store.clone(), self.settings.mailboxes.options());
        let directory = Directory::new(self.store.clone(), mailboxes.clone())?;
        let defaults = self.settings.accounts.clone();
        let mut delivery = Delivery::new(
            mailboxes.clone(),
            directory.clone(),
            self.filters.clone(),
            defaults,
        );
        let (smtp_out, hostname) = (&self.settings.smtp_out, &self.settings.hostname);
        let outgoing = Outgoing {
            queue: Queue::new(self.store.clone(), self.clock),
            routes: Arc::new(ArcSwap::from_pointee(Routes::new(
                smtp_out.clone(),
                hostname,
            ))),
            hostname: hostname.as_str().into(),
        };
        if smtp_out.enable {
            delivery = delivery.with_outgoing(outgoing.clone());
        }
        if !smtp_out.tls_reports.receive.is_empty() {
            delivery = delivery.with_reports_to(&smtp_out.tls_reports.receive);
        }
        let search = match self.store.directory() {
            Some(dir) => SearchIndex::open(&dir.join("search"), self.settings.search.clone()),
            None => SearchIndex::off(),
        };
        let context = Context {
            search,
            mailboxes,
            directory,
            delivery,
            filters: self.filters,
            in_flight: InFlight::new(self.settings.in_flight.0),
            settings: Arc::new(ArcSwap::from_pointee(self.settings)),
            tls,
            logins: self.logins,
        };
        Ok(Engine {
            inner: Arc::new(Inner {
                store: self.store,
                context,
                outgoing,
                resolver: self.resolver,
                https: self.https,
                running: Mutex::default(),
                feeding: Mutex::default(),
                control: Mutex::default(),
            }),
        })
    }
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
    running: Mutex<HashMap<&'static str, Running>>,
    /// What keeps the search index up to date, from the first service on.
    feeding: Mutex<Option<Feeding>>,
    control: Mutex<Option<ControlServer>>,
}

/// A service that runs. Dropped, it stops: its connections are given the time
/// a shutdown has, if the runtime they are on lives that long.
#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    gates: Vec<Gate>,
    /// Threads of its own, if it has them.
    runtime: Option<Runtime>,
}

impl Running {
    fn new(name: &str, threads: usize) -> std::io::Result<Running> {
        let runtime = match threads {
            0 => None,
            threads => Some(
                RuntimeBuilder::new_multi_thread()
                    .worker_threads(threads)
                    .thread_name(name)
                    .enable_all()
                    .build()?,
            ),
        };
        Ok(Running {
            stop: watch::channel(false).0,
            tasks: Vec::new(),
            addresses: Vec::new(),
            gates: Vec::new(),
            runtime,
        })
    }

    /// No new connections; those that are open finish what they do.
    async fn end(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its threads would block, which asynchronous code may not.
            runtime.shutdown_background();
        }
    }
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
        let settings = self.settings();
        let mut bound = Vec::new();
        for (name, common) in settings.services() {
            if common.enable {
                self.may_start(name)?;
                bound.push((self.service(name)?, bind(name, common)?));
            }
        }
        let sending = match settings.smtp_out.enable {
            true => Some(self.sending()?),
            false => None,
        };
        if settings.control.enable && self.inner.store.directory().is_some() {
            self.start_control()?;
        }
        for (service, sockets) in bound {
            self.run(service, sockets)?;
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
        let grace = settings.shutdown_timeout.0;
        let started = ControlServer::start(&path, registry, &settings.control, grace);
        *control = Some(started.map_err(Error::Control)?);
        Ok(())
    }

    /// SMTP Outgoing, ready to be started.
    fn sending(&self) -> Result<SmtpOut, Error> {
        self.may_start(SMTP_OUT)?;
        let inner = &self.inner;
        let settings = self.settings();
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
        SmtpOut::new(
            &inner.outgoing,
            context.delivery.clone(),
            context.filters.clone(),
            resolver,
            inner.https.clone(),
        )
    }

    fn start_sending(&self, service: SmtpOut) -> Result<(), Error> {
        let settings = self.settings();
        let shared = Handle::try_current().map_err(std::io::Error::other)?;
        let mut entry = Running::new(SMTP_OUT, settings.smtp_out.threads)?;
        let runtime = match &entry.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => shared,
        };
        let stop = entry.stop.subscribe();
        let grace = settings.shutdown_timeout.0;
        entry.tasks.push(runtime.spawn(service.run(stop, grace)));
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
        if name == SMTP_OUT {
            let sending = self.sending()?;
            return self.start_sending(sending);
        }
        let settings = self.settings();
        let service = self.service(name)?;
        self.may_start(name)?;
        let services = settings.services();
        let common = services.iter().find(|(known, _)| *known == name);
        let sockets = match common {
            Some((name, common)) => bind(name, common)?,
            None => Vec::new(),
        };
        self.run(service, sockets)
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
        self.run(self.service(name)?, vec![(socket, settings)])?;
        Ok(address)
    }

    /// Starts a service, perhaps one of the application's own, on sockets that
    /// are bound. Must be called inside a tokio runtime, which the service uses
    /// if its settings give it no threads of its own.
    ///
    /// # Errors
    /// [`Error::Service`] for a listener that would take passwords without TLS
    /// from other machines, or that begins with TLS when there is no
    /// certificate; [`Error::Tls`] for authorities that cannot be read;
    /// [`Error::Io`]. Nothing is started then.
    pub fn run(
        &self,
        service: Arc<dyn Service>,
        sockets: Vec<(TcpListener, ListenerSettings)>,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let name = service.name();
        let mut checked = Vec::with_capacity(sockets.len());
        for (socket, of) in sockets {
            self.check(name, socket.local_addr()?, &of)?;
            let tls = self.tls_of(&of)?;
            checked.push((socket, of, tls));
        }
        let shared = Handle::try_current().map_err(std::io::Error::other)?;
        self.feed();
        let threads = settings
            .services()
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, common)| common.threads);
        let mut running = self.inner.running.lock();
        let entry = match running.entry(name) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Running::new(name, threads)?)
            }
        };
        let runtime = match &entry.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => shared,
        };
        let _here = runtime.enter();
        for (socket, of, tls) in checked {
            let address = socket.local_addr()?;
            socket.set_nonblocking(true)?;
            let socket = tokio::net::TcpListener::from_std(socket)?;
            let gate = Gate::new(&of.rules, settings.limits_of(name, &of));
            entry.gates.push(gate.clone());
            entry.addresses.push(address);
            entry.tasks.push(runtime.spawn(listener::run(
                socket,
                Arc::new(of),
                tls,
                gate,
                service.clone(),
                entry.stop.subscribe(),
                settings.shutdown_timeout.0,
            )));
            tracing::info!(service = name, %address, "listening");
        }
        Ok(())
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

    /// TLS as a listener wants it.
    fn tls_of(&self, of: &ListenerSettings) -> Result<Option<Arc<ServerConfig>>, Error> {
        let authorities = &of.client_authorities;
        match &self.inner.context.tls {
            Some(tls) if !authorities.as_os_str().is_empty() && of.tls != TlsMode::None => {
                let minimum = self.settings().tls.minimum;
                let asking = crate::net::tls::asking_clients(tls, authorities, minimum)?;
                Ok(Some(asking))
            }
            tls => Ok(tls.clone()),
        }
    }

    /// What no listener may do, whoever made its settings.
    fn check(&self, name: &str, address: SocketAddr, of: &ListenerSettings) -> Result<(), Error> {
        if of.plaintext_login && !address.ip().is_loopback() {
            return Err(Error::Service(format!(
                "{name} may not take logins without TLS on {address}: that is for loopback addresses only"
            )));
        }
        if of.tls == TlsMode::Implicit && self.inner.context.tls.is_none() {
            return Err(Error::Service(format!(
                "{name} cannot begin with TLS on {address}: there is no certificate"
            )));
        }
        Ok(())
    }

    /// Names of the services that run.
    pub fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.inner.running.lock().keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Where a service listens.
    pub fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        self.inner
            .running
            .lock()
            .get(name)
            .map(|running| running.addresses.clone())
            .unwrap_or_default()
    }

    /// How many connections a service has open now.
    pub fn connections(&self, name: &str) -> u32 {
        let running = self.inner.running.lock();
        let gates = running.get(name).map(|running| running.gates.as_slice());
        gates.unwrap_or_default().iter().map(Gate::open).sum()
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

/// The sockets of a service, by its settings.
fn bind(
    name: &'static str,
    common: &Common,
) -> Result<Vec<(TcpListener, ListenerSettings)>, Error> {
    let bound = common.listeners.iter().map(|of| {
        let socket = listener::bind(of.address).map_err(|source| Error::Bind {
            service: name,
            address: of.address,
            source,
        })?;
        Ok((socket, of.clone()))
    });
    bound.collect()
}

#[cfg(test)]
mod tests;
