//! One lane's messages, one after the other over one connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::timeout;

use super::SmtpOut;
use super::connect::Link;
use super::hosts::NoHost;
use super::outcome::{Host, Tried};
use super::security::Wish;
use super::transaction::{Ended, Source, send};
use crate::filter::{Disposition, Message, NextHop};
use crate::queue::entry::{Entry, EntryId};
use crate::queue::route::{HERE, Hop, Route};
use crate::queue::{self, Ready, Trouble, Work};
use crate::settings::RouteTarget;

/// Why a message waits though no host said so.
const FILTER: &str = "a filter of this server wants it later";
const NO_TRANSPORT: &str = "this server has no transport of the name that the route gives";
/// How long a message waits for a transport.
const NO_TRANSPORT_WAIT: Duration = Duration::from_secs(300);
const UNREAD: &str = "this server could not read it";

/// What filters made of a message.
enum Filtered<'f> {
    /// It is sent, from here.
    Send(Source<'f>, Option<SemaphorePermit<'f>>),
    /// It is not.
    Tried(Tried),
}

/// Gives the session back to its lane, however it ends.
struct Open<'o> {
    service: &'o SmtpOut,
    lane: Arc<str>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.service.dispatcher.ended(&self.lane);
    }
}

/// Gives an entry back to the window, however its try ends.
struct Known<'k> {
    service: &'k SmtpOut,
    id: EntryId,
    settled: bool,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.service.dispatcher.unsettled(self.id);
        }
    }
}

impl SmtpOut {
    /// Serves a lane until it has nothing to do for a while.
    pub(super) async fn session(self: Arc<Self>, lane: Arc<str>, mut stop: watch::Receiver<bool>) {
        let open = Open {
            service: &self,
            lane: lane.clone(),
        };
        let idle = self.routes.settings().idle_timeout.0;
        let mut link: Option<Link> = None;
        while !*stop.borrow() {
            match self.dispatcher.next(&lane) {
                Work::Try(ready, claim) => {
                    let id = ready.id;
                    let mut known = Known {
                        service: &self,
                        id,
                        settled: false,
                    };
                    match self.attempt(&lane, &mut link, ready).await {
                        Ok(due) => {
                            known.settled = true;
                            drop(claim);
                            self.dispatcher.settled(id, due);
                        }
                        Err(error) => {
                            tracing::error!(entry = %id, %error, "an entry of the queue could not be settled");
                            drop(claim);
                            tokio::time::sleep(super::STORE_PAUSE).await;
                        }
                    }
                    let most = self.routes.settings().session_messages;
                    if link.as_ref().is_some_and(|link| link.sent >= most)
                        && let Some(link) = link.take()
                    {
                        link.quit().await;
                    }
                }
                Work::Later(until) => {
                    tokio::select! {
                        () = self.queue.clock().sleep_until(until) => {}
                        _ = stop.wait_for(|stop| *stop) => {}
                    }
                }
                Work::Nothing(more) if link.is_some() => {
                    self.dispatcher.idle(&lane, true);
                    let woken = tokio::select! {
                        woken = timeout(idle, more.notified()) => woken.is_ok(),
                        _ = stop.wait_for(|stop| *stop) => false,
                    };
                    self.dispatcher.idle(&lane, false);
                    if !woken {
                        break;
                    }
                }
                Work::Nothing(_) | Work::Rest => break,
            }
        }
        drop(open);
        if let Some(link) = link {
            link.quit().await;
        }
    }

    /// Tries an entry, and settles it; says when it is due again, if it is.
    async fn attempt(
        &self,
        lane: &Arc<str>,
        link: &mut Option<Link>,
        ready: Ready,
    ) -> queue::Result<Option<jiff::Timestamp>> {
        let (entry, row) = match self.queue.read(ready.id).await {
            Ok(read) => read,
            Err(queue::Error::NotFound(_)) => return Ok(None),
            // It stays where it is, for whoever looks after the store.
            Err(error) if error.is_damage() => {
                tracing::error!(entry = %ready.id, %error, "an entry of the queue is damaged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // Somebody has changed it since it was ready.
        if entry.held || entry.due > self.queue.clock().now() {
            return Ok((!entry.held).then_some(entry.due));
        }
        let tried = |tried| self.settle(ready.id, &entry, &row, tried);
        if entry.recipients.is_empty() {
            return tried(Tried::Told).await;
        }
        if entry.lane == HERE {
            return self.arrive(ready.id, &entry, &row).await;
        }
        let Some(route) = self.route(&entry) else {
            return self.detour(ready.id, &entry, &row).await;
        };
        let fresh = ready.raw.as_ref();
        let fresh = fresh.map(|raw| raw.slice((entry.skip as usize).min(raw.len())..));
        let host = link.as_ref().map(|link| link.host.clone());
        let (source, _room) = match self.filtered(&entry, fresh, host).await? {
            Filtered::Send(source, room) => (source, room),
            Filtered::Tried(how) => return tried(how).await,
        };
        if let Hop::Fixed(RouteTarget::Transport(name)) = &route.to {
            let Some(transport) = self.transports.iter().find(|of| of.name() == name) else {
                return tried(Tried::Deferred(NO_TRANSPORT_WAIT, NO_TRANSPORT)).await;
            };
            let transport = transport.as_ref();
            return self.carry(transport, ready.id, &entry, &row, &source).await;
        }
        let wish = Wish::of(&entry);
        if let Some(kept) = link.take_if(|link| !link.serves(wish)) {
            kept.quit().await;
        }
        if wish == Wish::Usual
            && link.is_none()
            && let Some((host, status, why)) = self.refusal(lane)
        {
            return tried(Tried::Unfit(host, status, why)).await;
        }
        // A connection that was kept may have been closed at the other end.
        let kept = link.is_some();
        for fresh in [false, true] {
            if fresh && !kept {
                break;
            }
            let mut ready_link = match link.take() {
                Some(link) if !fresh => link,
                _ => match self.connect(&route, wish).await {
                    Ok(link) => link,
                    Err((host, NoHost::Never(status, why))) => {
                        return tried(Tried::NoHost(host, status, why)).await;
                    }
                    Err((host, NoHost::Unfit(status, why))) => {
                        if wish == Wish::Usual {
                            self.refuse(lane, host.clone(), status, why.clone());
                        }
                        return tried(Tried::Unfit(host, status, why)).await;
                    }
                    Err((host, NoHost::NotNow(why))) => {
                        return self.trouble(lane, &entry, ready.id, &row, host, why).await;
                    }
                },
            };
            let host = ready_link.host.clone();
            let lmtp = ready_link.lmtp;
            let tls = ready_link.tls.clone();
            match send(&mut ready_link, &entry, &source, self.queue.clock().now()).await {
                Ended::Answered(answers, notifies) => {
                    *link = Some(ready_link);
                    self.dispatcher.worked(lane);
                    let by = Host {
                        name: host,
                        lmtp,
                        notifies,
                        tls,
                    };
                    return tried(Tried::Answered(by, answers)).await;
                }
                Ended::TooMany(most) => {
                    *link = Some(ready_link);
                    return self.part(ready.id, &entry, &row, most).await;
                }
                Ended::Unheard(why) if kept && !fresh => {
                    tracing::debug!(host, why, "a connection that was kept is of no use");
                }
                Ended::Unheard(why) => {
                    return self
                        .trouble(lane, &entry, ready.id, &row, Some(host), why)
                        .await;
                }
                Ended::Broken(why) => return tried(Tried::Broken(host, why)).await,
                Ended::Unread(why, hope) => {
                    tracing::error!(id = entry.mail, entry = %ready.id, why, "a message cannot be read");
                    let how = match hope {
                        true => Tried::Deferred(super::STORE_PAUSE, UNREAD),
                        false => Tried::Damaged,
                    };
                    return tried(how).await;
                }
            }
        }
        tried(Tried::Broken(String::new(), "no connection".into())).await
    }

    /// What filters make of a message on its way out, and where it is read from
    /// then. What they change is held in memory, with the room it takes.
    async fn filtered<'s>(
        &'s self,
        entry: &Entry,
        fresh: Option<Bytes>,
        host: Option<String>,
    ) -> queue::Result<Filtered<'s>> {
        if self.filters.is_empty() {
            let source = fresh.map_or(Source::Stored(&self.queue), Source::Whole);
            return Ok(Filtered::Send(source, None));
        }
        // One that is larger than all the room goes when there is no other.
        let kilobytes = u32::try_from(entry.size() / 1024).unwrap_or(u32::MAX);
        let wanted = kilobytes.saturating_add(1).min(self.room_size);
        let room = self.room.acquire_many(wanted).await.ok();
        let raw = match fresh {
            Some(raw) => raw,
            None => match self.queue.message(entry).await {
                Ok(raw) => raw,
                Err(error) if error.is_damage() => return Ok(Filtered::Tried(Tried::Damaged)),
                Err(error) => return Err(error),
            },
        };
        let mut message = Message::new(raw.clone());
        let mut hop = NextHop {
            domain: entry.lane.clone(),
            host,
        };
        let tried = match self.filters.pre_send(&mut message, &mut hop).await {
            Disposition::Continue => None,
            Disposition::Discard => Some(Tried::Discarded),
            Disposition::Bounce(reply) => Some(Tried::Refused(reply)),
            Disposition::Defer(wait) => Some(Tried::Deferred(wait, FILTER)),
            other @ (Disposition::FileInto(_) | Disposition::Redirect(_)) => {
                tracing::warn!(?other, "a filter wants what cannot be done on the way out");
                None
            }
        };
        Ok(match tried {
            Some(how) => Filtered::Tried(how),
            None => Filtered::Send(Source::Whole(message.raw().clone()), room),
        })
    }

    /// The whole lane has trouble: it rests, and the entry with it.
    async fn trouble(
        &self,
        lane: &Arc<str>,
        entry: &Entry,
        id: EntryId,
        row: &bytes::Bytes,
        host: Option<String>,
        what: String,
    ) -> queue::Result<Option<jiff::Timestamp>> {
        let trouble = Trouble { host, what };
        self.dispatcher.failed(lane, trouble.clone());
        self.settle(id, entry, row, Tried::Unreached(trouble)).await
    }

    /// Where the entry's lane leads now, if its recipients still go there.
    fn route(&self, entry: &Entry) -> Option<Route> {
        let same = entry.recipients.iter().all(|recipient| {
            let domain = recipient.address.rsplit_once('@').map(|(_, domain)| domain);
            domain.is_some_and(|domain| {
                self.routes
                    .lane(domain)
                    .is_ok_and(|lane| lane == entry.lane)
            })
        });
        match same {
            true => self.routes.route(&entry.lane),
            false => None,
        }
    }
}
