//! The services that run and their listeners: started, changed while they run,
//! stopped.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::runtime::{Builder as RuntimeBuilder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Engine, Inner};
use crate::error::Error;
use crate::net::listener::{Closer, Door, House, Listening, Way};
use crate::net::rules::Gate;
use crate::net::{Socket, tls};
use crate::service::Service;
use crate::settings::{Common, ListenAddress, ListenerSettings, Settings, TlsMode};

/// A service that runs. Dropped, it stops: its connections are given the time
/// a shutdown has, if the runtime they are on lives that long.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) stop: watch::Sender<bool>,
    pub(super) tasks: Vec<JoinHandle<()>>,
    /// What makes its connections; nothing for what listens nowhere.
    service: Option<Arc<dyn Service>>,
    pub(super) listeners: Vec<Listener>,
    /// Of listeners that are closed; somebody may still be connected.
    leaving: Vec<Gate>,
    /// Threads of its own, if it has them.
    pub(super) runtime: Option<Runtime>,
}

/// Where a service listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) place: Place,
    pub(super) closer: Closer,
}

/// What a listener is, apart from its socket.
#[derive(Debug)]
pub(super) struct Place {
    /// As it is bound.
    pub(super) address: ListenAddress,
    pub(super) door: Arc<Door>,
    /// Whether the settings name it; otherwise the application did.
    pub(super) configured: bool,
}

/// A listener that can be started: nothing about it can fail any more.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) socket: Socket,
    pub(super) way: Way,
}

impl Running {
    pub(super) fn new(name: &str, threads: usize) -> std::io::Result<Running> {
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
            service: None,
            listeners: Vec::new(),
            leaving: Vec::new(),
            runtime,
        })
    }

    /// No new connections; those that are open finish what they do.
    pub(super) async fn end(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }

    pub(super) fn service(&self) -> Option<Arc<dyn Service>> {
        self.service.clone()
    }

    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        let all = self.listeners.iter();
        all.map(|listener| listener.place.address.clone()).collect()
    }

    pub(super) fn connections(&self) -> u32 {
        let gates = self
            .listeners
            .iter()
            .map(|listener| &listener.place.door.gate);
        gates.chain(&self.leaving).map(Gate::open).sum()
    }

    /// Takes the listeners out that are not wanted.
    pub(super) fn take(&mut self, unwanted: impl Fn(&Listener) -> bool) -> Vec<Listener> {
        let all = std::mem::take(&mut self.listeners);
        let (gone, kept) = all.into_iter().partition(|listener| unwanted(listener));
        self.listeners = kept;
        let gone: Vec<Listener> = gone;
        self.leaving.retain(|gate| gate.open() > 0);
        self.tasks.retain(|task| !task.is_finished());
        let gates = gone.iter().map(|listener| listener.place.door.gate.clone());
        self.leaving.extend(gates);
        gone
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
    /// Starts a service, perhaps one of the application's own, on sockets that
    /// are bound. Must be called inside a tokio runtime, which the service uses
    /// if its settings give it no threads of its own.
    ///
    /// # Errors
    /// [`Error::Service`] for a listener that would take passwords without TLS
    /// from other machines, or that begins with TLS when there is no
    /// certificate; [`Error::Tls`] for certificates or authorities that cannot be
    /// read; [`Error::Io`]. Nothing is started then.
    pub fn run(
        &self,
        service: Arc<dyn Service>,
        sockets: Vec<(impl Into<Socket>, ListenerSettings)>,
    ) -> Result<(), Error> {
        let sockets = sockets
            .into_iter()
            .map(|(socket, of)| (socket.into(), of))
            .collect();
        self.run_on(service, sockets, false)
    }

    pub(super) fn run_on(
        &self,
        service: Arc<dyn Service>,
        sockets: Vec<(Socket, ListenerSettings)>,
        configured: bool,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let base = self.inner.tls.load_full();
        let ready = sockets
            .into_iter()
            .map(|(socket, of)| {
                let address = socket.address()?;
                let way = way(&settings, base.clone(), service.name(), &address, of)?;
                Ok(Ready { socket, way })
            })
            .collect::<Result<Vec<Ready>, Error>>()?;
        let fresh = match self.inner.running.lock().contains_key(service.name()) {
            true => None,
            false => Some(Running::new(
                service.name(),
                threads(&settings, service.name()),
            )?),
        };
        self.add(service, ready, fresh, configured)
    }

    /// Starts one listener of a service that runs, in the runtime this is called in.
    pub(super) fn open(
        &self,
        entry: &mut Running,
        service: Arc<dyn Service>,
        socket: Socket,
        place: Place,
        runtime: &Handle,
    ) -> std::io::Result<()> {
        let name = service.name();
        let house = House {
            service,
            bans: self.inner.context.bans.clone(),
            clock: self.inner.clock.clone(),
            stop: entry.stop.subscribe(),
            grace: self.settings().shutdown_timeout.0,
        };
        let (listening, closer) = Listening::new(socket, place.door.clone(), house)?;
        entry.tasks.push(runtime.spawn(listening.run()));
        tracing::info!(service = name, address = %place.address, "listening");
        entry.listeners.push(Listener { place, closer });
        Ok(())
    }

    /// Starts listeners of a service that runs, or of `fresh` if it does not.
    pub(super) fn add(
        &self,
        service: Arc<dyn Service>,
        ready: Vec<Ready>,
        fresh: Option<Running>,
        configured: bool,
    ) -> Result<(), Error> {
        let shared = Handle::try_current().map_err(std::io::Error::other)?;
        self.feed();
        let inner = &self.inner;
        let bans = inner.context.bans.clone();
        shared.spawn(async move {
            if let Err(error) = bans.load().await {
                tracing::error!(%error, "the bans of before cannot be read");
            }
        });
        let settings = self.settings();
        let name = service.name();
        let mut running = inner.running.lock();
        let entry = match (running.entry(name), fresh) {
            (std::collections::hash_map::Entry::Occupied(entry), _) => entry.into_mut(),
            (std::collections::hash_map::Entry::Vacant(entry), Some(fresh)) => entry.insert(fresh),
            // It was stopped in between.
            (std::collections::hash_map::Entry::Vacant(_), None) => return Ok(()),
        };
        let runtime = match &entry.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => shared,
        };
        let _here = runtime.enter();
        entry.service.get_or_insert_with(|| service.clone());
        for Ready { socket, way } in ready {
            let address = socket.address()?;
            let of = way.settings.clone();
            let gate = Gate::new(&settings.rules_of(name, &of), settings.limits_of(name, &of));
            let door = Arc::new(Door::new(gate, way));
            let place = Place {
                address,
                door,
                configured,
            };
            self.open(entry, service.clone(), socket, place, &runtime)?;
        }
        Ok(())
    }
}

impl Inner {
    /// TLS for listeners that have no certificates of their own.
    pub(super) fn certificates(
        &self,
        settings: &Settings,
    ) -> Result<Option<Arc<ServerConfig>>, Error> {
        match &self.given {
            Some(given) => Ok(Some(given.clone())),
            None => Ok(from_settings(settings)?),
        }
    }
}

/// TLS by the files that the settings name.
pub(super) fn from_settings(settings: &Settings) -> Result<Option<Arc<ServerConfig>>, tls::Error> {
    let of = &settings.tls;
    if of.certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    tls::by_name((&of.certificate, &of.key), &of.certificates, of.versions()).map(Some)
}

fn threads(settings: &Settings, name: &str) -> usize {
    let services = settings.services();
    let common = services.iter().find(|(known, _)| *known == name);
    common.map_or(0, |(_, common)| common.threads)
}

/// How a listener takes connections, and what no listener may do, whoever made
/// its settings.
pub(super) fn way(
    settings: &Settings,
    base: Option<Arc<ServerConfig>>,
    name: &str,
    address: &ListenAddress,
    of: ListenerSettings,
) -> Result<Way, Error> {
    if of.plaintext_login && !address.is_local() {
        return Err(Error::Service(format!(
            "{name} may not take logins without TLS on {address}: that is for loopback addresses only"
        )));
    }
    let versions = of.tls_versions(&settings.tls);
    let own = of.tls_minimum.is_some() || of.tls_maximum.is_some();
    let authorities = Some(of.client_authorities.as_path());
    let authorities = authorities.filter(|path| !path.as_os_str().is_empty());
    let tls = match tls::of_list(&of.certificates, versions)?.or(base) {
        Some(tls) if of.tls != TlsMode::None && (authorities.is_some() || own) => {
            Some(tls::of_listener(&tls, versions, authorities)?)
        }
        tls => tls,
    };
    if of.tls == TlsMode::Implicit && tls.is_none() {
        return Err(Error::Service(format!(
            "{name} cannot begin with TLS on {address}: there is no certificate"
        )));
    }
    let write_timeout = of.write_timeout.unwrap_or(settings.write_timeout).0;
    Ok(Way {
        settings: Arc::new(of),
        tls,
        handshake_timeout: settings.tls.handshake_timeout.0,
        write_timeout,
    })
}

/// The sockets of a service, by its settings.
pub(super) fn bind(
    name: &'static str,
    common: &Common,
) -> Result<Vec<(Socket, ListenerSettings)>, Error> {
    let bound = common.listeners.iter();
    let bound = bound.map(|of| Ok((bind_one(name, of)?, of.clone())));
    bound.collect()
}

pub(super) fn bind_one(name: &'static str, of: &ListenerSettings) -> Result<Socket, Error> {
    Socket::bind(&of.address, of.socket_mode).map_err(|source| Error::Bind {
        service: name,
        address: of.address.clone(),
        source,
    })
}
