//! The services that run and their listeners: started, changed while they run,
//! stopped.

use std::collections::HashMap;
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
    listeners: Vec<Listener>,
    /// Of listeners that are closed; somebody may still be connected.
    leaving: Vec<Gate>,
    /// Threads of its own, if it has them.
    pub(super) runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Listener {
    /// As it is bound.
    address: ListenAddress,
    door: Arc<Door>,
    closer: Closer,
    /// Whether the settings name it; otherwise the application did.
    configured: bool,
}

/// A listener that can be started: nothing about it can fail any more.
#[derive(Debug)]
pub(super) struct Ready {
    socket: Socket,
    way: Way,
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
        all.map(|listener| listener.address.clone()).collect()
    }

    pub(super) fn connections(&self) -> u32 {
        let gates = self.listeners.iter().map(|listener| &listener.door.gate);
        gates.chain(&self.leaving).map(Gate::open).sum()
    }

    /// Takes the listeners out that are not wanted.
    fn take(&mut self, unwanted: impl Fn(&Listener) -> bool) -> Vec<Listener> {
        let all = std::mem::take(&mut self.listeners);
        let (gone, kept) = all.into_iter().partition(|listener| unwanted(listener));
        self.listeners = kept;
        let gone: Vec<Listener> = gone;
        self.leaving.retain(|gate| gate.open() > 0);
        self.tasks.retain(|task| !task.is_finished());
        let gates = gone.iter().map(|listener| listener.door.gate.clone());
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

    /// Starts listeners of a service that runs, or of `fresh` if it does not.
    fn add(
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
            let house = House {
                service: service.clone(),
                bans: inner.context.bans.clone(),
                clock: inner.clock.clone(),
                stop: entry.stop.subscribe(),
                grace: settings.shutdown_timeout.0,
            };
            let door = Arc::new(Door::new(gate, way));
            let (listening, closer) = Listening::new(socket, door.clone(), house)?;
            entry.tasks.push(runtime.spawn(listening.run()));
            tracing::info!(service = name, %address, "listening");
            entry.listeners.push(Listener {
                address,
                door,
                closer,
                configured,
            });
        }
        Ok(())
    }

    /// Other settings from now on, while everything runs.
    ///
    /// Rules, limits, certificates, proxies and whatever else is set for a
    /// listener hold for the next connection; those that are open stay as they
    /// are. New listeners are bound, those that are gone are closed, and whoever
    /// is connected through them stays. Services that the settings enable now are
    /// started, those they enabled before and do not any more are stopped.
    ///
    /// What is read when an engine is built stays as it was until then: `hostname`
    /// and `accounts` of mail that is delivered, `directory`, `store`, `search`,
    /// `smtp_out`, `dns`, `control`, `in_flight`, and the `threads` of services that
    /// run.
    ///
    /// # Errors
    /// [`Error::Settings`] with all that is wrong; [`Error::Bind`] naming service
    /// and address; [`Error::Tls`]. Nothing has changed then. [`Error::Io`] if the
    /// runtime cannot take a socket that is bound; that listener is missing then.
    pub async fn apply(&self, settings: Settings) -> Result<(), Error> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        match settings.problems_with(inner.given.is_some()) {
            problems if problems.is_empty() => {}
            problems => return Err(Error::Settings(problems)),
        }
        let base = inner.certificates(&settings)?;
        let plan = self.plan(&settings, &base)?;
        inner.context.settings.store(Arc::new(settings.clone()));
        inner.tls.store(base.clone());
        self.change_doors(&settings, plan.ways);
        let mut sockets = HashMap::new();
        let mut ending = Vec::new();
        for (name, addresses, whole) in plan.close {
            let (gone, ended) = {
                let mut running = inner.running.lock();
                let Some(entry) = running.get_mut(name) else {
                    continue;
                };
                let gone = entry.take(|listener| addresses.contains(&listener.address));
                (gone, whole.then(|| running.remove(name)).flatten())
            };
            for listener in gone {
                tracing::info!(service = name, address = %listener.address, "not listening any more");
                if let Some(socket) = listener.closer.close().await {
                    sockets.insert(listener.address, socket);
                }
            }
            ending.extend(ended);
        }
        let mut failed = None;
        for opening in plan.open {
            let mut ready = Vec::new();
            for (new, way) in opening.listeners {
                let socket = match new {
                    New::Bound(socket) => Some(socket),
                    New::HandedOver(address) => sockets.remove(&address),
                };
                ready.extend(socket.map(|socket| Ready { socket, way }));
            }
            if let Err(error) = self.add(opening.service, ready, opening.fresh, true) {
                failed = Some(error);
            }
        }
        drop(sockets);
        for running in ending {
            running.end().await;
        }
        failed.map_or(Ok(()), Err)
    }

    /// What has to be done, with everything that can fail done already.
    fn plan(&self, new: &Settings, base: &Option<Arc<ServerConfig>>) -> Result<Plan, Error> {
        let old = self.settings();
        let running = self.inner.running.lock();
        let mut plan = Plan::default();
        let mut wanted = Vec::new();
        let before = old.services();
        for ((name, common), (_, before)) in new.services().into_iter().zip(before) {
            let entry = running.get(name);
            let starts = entry.is_none() && common.enable && !before.enable;
            let stops = entry.is_some() && before.enable && !common.enable;
            if stops && let Some(entry) = entry {
                plan.close.push((name, entry.addresses(), true));
            }
            if stops || (entry.is_none() && !starts) {
                continue;
            }
            let mut there: Vec<&Listener> = entry.map_or(Vec::new(), |entry| {
                entry.listeners.iter().filter(|l| l.configured).collect()
            });
            let mut missing = Vec::new();
            for of in &common.listeners {
                let same = there
                    .iter()
                    .position(|listener| listener.door.settings().address == of.address);
                match same {
                    Some(at) => {
                        let listener = there.remove(at);
                        let way = way(new, base.clone(), name, &listener.address, of.clone())?;
                        plan.ways.push((name, listener.address.clone(), way));
                    }
                    None => missing.push(of),
                }
            }
            let gone = there.into_iter().map(|listener| listener.address.clone());
            let gone: Vec<ListenAddress> = gone.collect();
            if !gone.is_empty() {
                plan.close.push((name, gone, false));
            }
            wanted.push((name, missing, starts.then_some(common.threads)));
        }
        for (name, missing, threads) in wanted {
            let there = running.get(name).and_then(Running::service);
            let service = there.map_or_else(|| self.service(name), Ok)?;
            let mut listeners = Vec::new();
            for of in missing {
                let closing = plan
                    .close
                    .iter()
                    .any(|(_, gone, _)| gone.contains(&of.address));
                let way = way(new, base.clone(), name, &of.address, of.clone())?;
                listeners.push(match closing {
                    true => (New::HandedOver(of.address.clone()), way),
                    false => (New::Bound(bind_one(name, of)?), way),
                });
            }
            let fresh = threads.map(|threads| Running::new(name, threads));
            let fresh = fresh.transpose()?;
            if !listeners.is_empty() || fresh.is_some() {
                plan.open.push(Opening {
                    service,
                    listeners,
                    fresh,
                });
            }
        }
        Ok(plan)
    }

    /// Listeners that stay go by other settings; also those of the application,
    /// for which the server's rules and limits may have changed.
    fn change_doors(&self, settings: &Settings, ways: Vec<(&'static str, ListenAddress, Way)>) {
        let running = self.inner.running.lock();
        for (name, address, way) in ways {
            let there = running.get(name).and_then(|entry| {
                let mut all = entry.listeners.iter();
                all.find(|listener| listener.address == address)
            });
            if let Some(listener) = there {
                set_mode(&listener.door.settings(), &way.settings);
                listener.door.change(way);
            }
        }
        for (name, entry) in running.iter() {
            for listener in &entry.listeners {
                let of = listener.door.settings();
                let limits = settings.limits_of(name, &of);
                let gate = &listener.door.gate;
                gate.change(&settings.rules_of(name, &of), limits);
            }
        }
    }
}

/// What a change of settings does to listeners.
#[derive(Debug, Default)]
struct Plan {
    /// Those that stay, by service and address.
    ways: Vec<(&'static str, ListenAddress, Way)>,
    /// Those that are closed, and whether their service ends.
    close: Vec<(&'static str, Vec<ListenAddress>, bool)>,
    /// Those that are new.
    open: Vec<Opening>,
}

/// New listeners of a service.
#[derive(Debug)]
struct Opening {
    service: Arc<dyn Service>,
    listeners: Vec<(New, Way)>,
    /// The service, if it does not run yet.
    fresh: Option<Running>,
}

/// Where the socket of a new listener comes from.
#[derive(Debug)]
enum New {
    Bound(Socket),
    /// From a listener of another service that is closed: in between nobody is
    /// turned away.
    HandedOver(ListenAddress),
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
    tls::by_name((&of.certificate, &of.key), &of.certificates, of.minimum).map(Some)
}

fn threads(settings: &Settings, name: &str) -> usize {
    let services = settings.services();
    let common = services.iter().find(|(known, _)| *known == name);
    common.map_or(0, |(_, common)| common.threads)
}

/// How a listener takes connections, and what no listener may do, whoever made
/// its settings.
fn way(
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
    let minimum = of.tls_minimum.unwrap_or(settings.tls.minimum);
    let authorities = Some(of.client_authorities.as_path());
    let authorities = authorities.filter(|path| !path.as_os_str().is_empty());
    let tls = match tls::of_list(&of.certificates, minimum)?.or(base) {
        Some(tls)
            if of.tls != TlsMode::None && (authorities.is_some() || of.tls_minimum.is_some()) =>
        {
            Some(tls::of_listener(&tls, minimum, authorities)?)
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

/// The permissions of a Unix socket that stays.
fn set_mode(old: &ListenerSettings, new: &ListenerSettings) {
    use std::os::unix::fs::PermissionsExt;
    if let ListenAddress::Unix(path) = &new.address
        && old.socket_mode != new.socket_mode
    {
        let mode = std::fs::Permissions::from_mode(new.socket_mode.0);
        if let Err(error) = std::fs::set_permissions(path, mode) {
            tracing::warn!(path = %path.display(), %error, "the permissions of a socket cannot be set");
        }
    }
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

fn bind_one(name: &'static str, of: &ListenerSettings) -> Result<Socket, Error> {
    Socket::bind(&of.address, of.socket_mode).map_err(|source| Error::Bind {
        service: name,
        address: of.address.clone(),
        source,
    })
}
