//! The engine: services over one store, started and stopped by name.
//!
//! Nothing is global. An application may run several engines; it may bind the
//! sockets itself and hand them in.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axigen_store::Store;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::delivery::Delivery;
use crate::directory::Directory;
use crate::error::Error;
use crate::filter::{Chain, Filter, Level};
use crate::mailbox::Mailboxes;
use crate::net::listener;
use crate::net::rules::Gate;
use crate::service::imap::Imap;
use crate::service::pop3::Pop3;
use crate::service::smtp_in::SmtpIn;
use crate::service::{Context, InFlight, Service};
use crate::settings::{ListenerSettings, Settings, TlsMode};

/// The services there are.
pub const SERVICES: [&str; 5] = ["smtp_in", "submission", "lmtp", "imap", "pop3"];

/// Puts an engine together.
#[derive(Debug)]
pub struct Builder {
    store: Store,
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    filters: Chain,
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
            (None, false) => Some(crate::net::tls::from_files(&files.certificate, &files.key)?),
            (None, true) => None,
        };
        let mailboxes = Mailboxes::new(self.store.clone());
        let directory = Directory::new(self.store.clone(), mailboxes.clone())?;
        let defaults = self.settings.accounts.clone();
        let delivery = Delivery::new(
            mailboxes.clone(),
            directory.clone(),
            self.filters.clone(),
            defaults,
        );
        let context = Context {
            mailboxes,
            directory,
            delivery,
            filters: self.filters,
            in_flight: InFlight::new(self.settings.in_flight.0),
            settings: Arc::new(ArcSwap::from_pointee(self.settings)),
            tls,
        };
        Ok(Engine {
            inner: Arc::new(Inner {
                store: self.store,
                context,
                running: Mutex::default(),
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
    running: Mutex<HashMap<&'static str, Running>>,
}

/// A service that runs.
#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
    addresses: Vec<SocketAddr>,
    /// Threads of its own, if it has them.
    runtime: Option<Runtime>,
}

impl Engine {
    /// Begins an engine over a store.
    pub fn builder(store: Store) -> Builder {
        Builder {
            store,
            settings: Settings::default(),
            tls: None,
            filters: Chain::new(),
        }
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

    /// What services work with, for one that is not in this crate.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// Starts every service that the settings enable, on their listeners.
    /// All sockets are bound before any service starts.
    ///
    /// # Errors
    /// [`Error::Bind`] naming service and address; nothing runs then.
    pub async fn start(&self) -> Result<(), Error> {
        let settings = self.settings();
        let mut bound = Vec::new();
        for (name, common) in settings
            .services()
            .into_iter()
            .filter(|(_, common)| common.enable)
        {
            let mut sockets = Vec::new();
            for of in &common.listeners {
                let socket = listener::bind(of.address).map_err(|source| Error::Bind {
                    service: name,
                    address: of.address,
                    source,
                })?;
                sockets.push((socket, of.clone()));
            }
            bound.push((name, sockets));
        }
        for (name, sockets) in bound {
            self.run(self.service(name)?, sockets)?;
        }
        Ok(())
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

    /// Starts a service of the application's own on sockets it has bound.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn run(
        &self,
        service: Arc<dyn Service>,
        sockets: Vec<(TcpListener, ListenerSettings)>,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let name = service.name();
        let threads = settings
            .services()
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, common)| common.threads);
        let mut running = self.inner.running.lock();
        let entry = match running.entry(name) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Running {
                stop: watch::channel(false).0,
                tasks: Vec::new(),
                addresses: Vec::new(),
                runtime: match threads {
                    0 => None,
                    threads => Some(
                        RuntimeBuilder::new_multi_thread()
                            .worker_threads(threads)
                            .thread_name(name)
                            .enable_all()
                            .build()?,
                    ),
                },
            }),
        };
        for (socket, of) in sockets {
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            let gate = Gate::new(&of.rules, settings.limits_of(name, &of));
            let task = listener::run(
                socket,
                Arc::new(of),
                gate,
                service.clone(),
                entry.stop.subscribe(),
                settings.shutdown_timeout.0,
            );
            let task = match &entry.runtime {
                Some(runtime) => runtime.spawn(task),
                None => tokio::spawn(task),
            };
            tracing::info!(service = name, %address, "listening");
            entry.tasks.push(task);
            entry.addresses.push(address);
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

    /// Stops a service: no new connections, commands in flight are finished,
    /// then the rest is closed.
    ///
    /// # Errors
    /// [`Error::Service`] if it does not run.
    pub async fn stop(&self, name: &str) -> Result<(), Error> {
        let running = self.inner.running.lock().remove(name);
        let Some(running) = running else {
            return Err(Error::Service(format!("the service {name} does not run")));
        };
        end(running).await;
        Ok(())
    }

    /// Stops all services and closes the store.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn shutdown(&self) -> Result<(), Error> {
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
            end(running).await;
        }
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
            _ => {
                return Err(Error::Service(format!(
                    "there is no service {name}; there are {}",
                    SERVICES.join(", ")
                )));
            }
        })
    }
}

async fn end(running: Running) {
    running.stop.send_replace(true);
    for task in running.tasks {
        let _ = task.await;
    }
    if let Some(runtime) = running.runtime {
        runtime.shutdown_timeout(Duration::from_millis(100));
    }
}
