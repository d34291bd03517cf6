//! Other settings while everything runs.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::runtime::Handle;

use super::listening::{Listener, Place, Ready, Running, bind_one, way};
use super::{Engine, SMTP_OUT, Sending};
use crate::error::Error;
use crate::net::Socket;
use crate::net::listener::Way;
use crate::service::Service;
use crate::settings::{ListenAddress, ListenerSettings, Settings};

impl Engine {
    /// Other settings from now on, while everything runs.
    ///
    /// Rules, limits, certificates, proxies and whatever else is set for a
    /// listener hold for the next connection; those that are open stay as they
    /// are. New listeners are bound, those that are gone are closed, and whoever
    /// is connected through them stays. Where an address covers another with the
    /// same port (`0.0.0.0:25` and `192.0.2.1:25`), the listener that goes is
    /// closed before the new one is bound. Services that the settings enable now
    /// are started, those they enabled before and do not any more are stopped.
    ///
    /// Where `smtp_out`, `dns` or `hostname` have changed, SMTP Outgoing finishes
    /// what it is sending and begins again by the new ones.
    ///
    /// What is read only when an engine is built may not change: `directory`,
    /// `threads`, `store`, `mailboxes`, `search`, `control`, and the `threads` of
    /// services that stay.
    ///
    /// # Errors
    /// [`Error::Settings`] with all that is wrong, or cannot be changed;
    /// [`Error::Bind`] naming service and address; [`Error::Tls`];
    /// [`Error::Service`]. Nothing has changed then. [`Error::Io`] if the runtime
    /// cannot take a socket that is bound; that listener is missing then.
    pub async fn apply(&self, settings: Settings) -> Result<(), Error> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let mut problems = settings.problems_with(inner.given.is_some());
        let old = self.settings();
        problems.extend(old.unchangeable(&settings));
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let base = inner.certificates(&settings)?;
        let mut plan = self.plan(&settings, &base)?;
        let sending = self.plan_sending(&old, &settings)?;
        self.make_way(&mut plan).await?;
        // From here on nothing is taken back. What is being sent is settled, and told,
        // by the settings it was sent with.
        if sending.is_some() {
            let running = inner.running.lock().remove(SMTP_OUT);
            if let Some(running) = running {
                running.end().await;
            }
        }
        inner.context.settings.store(Arc::new(settings.clone()));
        inner.context.delivery.adopt(&settings);
        inner.context.in_flight.change(settings.in_flight.0);
        inner.tls.store(base.clone());
        self.change_doors(&settings, plan.ways);
        let mut sockets = HashMap::new();
        let mut ending = Vec::new();
        for (name, addresses, whole) in plan.close {
            let ended = match whole {
                true => inner.running.lock().remove(name),
                false => None,
            };
            let (gone, ended) = match ended {
                Some(mut entry) => (entry.take(|_| true), Some(entry)),
                None => (self.take(name, &addresses), None),
            };
            for listener in gone {
                let address = listener.place.address.clone();
                if let Some(socket) = close(name, listener).await {
                    sockets.insert(address, socket);
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
                    New::HandedOver => sockets.remove(&way.settings.address),
                    // Every one of them is bound by now.
                    New::InTheWay => None,
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
        if let Some(Some(sending)) = sending {
            self.start_sending(sending)?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// What becomes of SMTP Outgoing; nothing if nothing has changed for it.
    fn plan_sending(
        &self,
        old: &Settings,
        new: &Settings,
    ) -> Result<Option<Option<Sending>>, Error> {
        let same = old.smtp_out == new.smtp_out && old.dns == new.dns;
        if same && old.hostname == new.hostname {
            return Ok(None);
        }
        let runs = self.inner.running.lock().contains_key(SMTP_OUT);
        let starts = new.smtp_out.enable && (runs || !old.smtp_out.enable);
        match (starts, runs) {
            (true, _) => Ok(Some(Some(self.sending(new)?))),
            (false, true) => Ok(Some(None)),
            // It was stopped by name, or never started: so it stays.
            (false, false) => Ok(None),
        }
    }

    /// Takes listeners of a service out.
    fn take(&self, name: &str, addresses: &[ListenAddress]) -> Vec<Listener> {
        let mut running = self.inner.running.lock();
        match running.get_mut(name) {
            Some(entry) => entry.take(|listener| addresses.contains(&listener.place.address)),
            None => Vec::new(),
        }
    }

    /// Closes the listeners that new ones cannot be bound beside, and binds these.
    ///
    /// # Errors
    /// [`Error::Bind`]; those that were closed listen again then.
    async fn make_way(&self, plan: &mut Plan) -> Result<(), Error> {
        let mut closed: Vec<(&'static str, Place)> = Vec::new();
        for (name, addresses, _) in &plan.close {
            let all = plan.open.iter().flat_map(|opening| &opening.listeners);
            let waiting: Vec<&ListenAddress> = all
                .filter(|(new, _)| matches!(new, New::InTheWay))
                .map(|(_, way)| &way.settings.address)
                .collect();
            let stands = |at: &&ListenAddress| waiting.iter().any(|new| overlap(at, new));
            let in_the_way: Vec<ListenAddress> = addresses.iter().filter(stands).cloned().collect();
            for Listener { place, closer } in self.take(name, &in_the_way) {
                tracing::info!(service = name, address = %place.address, "not listening any more");
                drop(closer.close().await);
                closed.push((name, place));
            }
        }
        let mut failed = None;
        for opening in &mut plan.open {
            let name = opening.service.name();
            for (new, way) in &mut opening.listeners {
                if matches!(new, New::InTheWay) && failed.is_none() {
                    match bind_one(name, &way.settings) {
                        Ok(socket) => *new = New::Bound(socket),
                        Err(error) => failed = Some(error),
                    }
                }
            }
        }
        let Some(error) = failed else { return Ok(()) };
        // Those that could be bound stand in the way of the old ones.
        plan.open.clear();
        for (name, place) in closed {
            if let Err(error) = self.listen_again(name, place) {
                tracing::error!(service = name, %error, "a listener is missing that was closed for another");
            }
        }
        Err(error)
    }

    /// A listener that was closed comes back.
    fn listen_again(&self, name: &'static str, place: Place) -> Result<(), Error> {
        let shared = Handle::try_current().map_err(std::io::Error::other)?;
        let mut running = self.inner.running.lock();
        // It was stopped in between.
        let Some(entry) = running.get_mut(name) else {
            return Ok(());
        };
        let Some(service) = entry.service() else {
            return Ok(());
        };
        let of = ListenerSettings {
            // Where the system has chosen the port, it is the same again.
            address: place.address.clone(),
            ..(*place.door.settings()).clone()
        };
        let socket = bind_one(name, &of)?;
        let runtime = match &entry.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => shared,
        };
        let _here = runtime.enter();
        Ok(self.open(entry, service, socket, place, &runtime)?)
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
                entry
                    .listeners
                    .iter()
                    .filter(|l| l.place.configured)
                    .collect()
            });
            let mut missing = Vec::new();
            for of in &common.listeners {
                let same = there
                    .iter()
                    .position(|listener| listener.place.door.settings().address == of.address);
                match same {
                    Some(at) => {
                        let listener = there.remove(at);
                        let way =
                            way(new, base.clone(), name, &listener.place.address, of.clone())?;
                        plan.ways.push((name, listener.place.address.clone(), way));
                    }
                    None => missing.push(of),
                }
            }
            let gone = there
                .into_iter()
                .map(|listener| listener.place.address.clone());
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
                let mut closing = plan.close.iter().flat_map(|(_, gone, _)| gone);
                let way = way(new, base.clone(), name, &of.address, of.clone())?;
                let socket = if closing.clone().any(|gone| *gone == of.address) {
                    New::HandedOver
                } else if closing.any(|gone| overlap(gone, &of.address)) {
                    New::InTheWay
                } else {
                    New::Bound(bind_one(name, of)?)
                };
                listeners.push((socket, way));
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
                all.find(|listener| listener.place.address == address)
            });
            if let Some(listener) = there {
                set_mode(&listener.place.door.settings(), &way.settings);
                listener.place.door.change(way);
            }
        }
        for (name, entry) in running.iter() {
            for listener in &entry.listeners {
                let of = listener.place.door.settings();
                let limits = settings.limits_of(name, &of);
                let gate = &listener.place.door.gate;
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
    HandedOver,
    /// It cannot be bound before a listener is closed that covers its address, or
    /// that it covers.
    InTheWay,
}

/// Whether two addresses cannot be bound side by side, though they are not the
/// same: one is every address of the family.
fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else {
        return false;
    };
    let every = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same = one.is_ipv4() == other.is_ipv4() && one.port() == other.port();
    every && same && one.ip() != other.ip() && one.port() != 0
}

/// Closes a listener; its socket listens until it is dropped.
async fn close(name: &str, listener: Listener) -> Option<Socket> {
    let Listener { place, closer } = listener;
    tracing::info!(service = name, address = %place.address, "not listening any more");
    closer.close().await
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
