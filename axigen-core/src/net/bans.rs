//! What peers did wrong, and which of them are banned for it.
//!
//! Bans are kept in the store, so that a restart does not lift them; faults that
//! led to none are only in memory. In the system's range this module owns the
//! keys that begin with 0x40:
//!
//! | key | value |
//! |---|---|
//! | `40 peer` | a ban: since and until (8 bytes each, seconds since 1970), how often the peer was banned (4), its faults (4) |
//!
//! A peer is 16 bytes: an IPv6 network of 64 bits, or an IPv4 address as
//! `::ffff:192.0.2.1`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axigen_store::{AccountId, Batch, Key, Op, Part, Store};
use bytes::Bytes;
use ipnet::IpNet;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::rules::network;
use crate::clock::Clock;
use crate::settings::{FaultSettings, Settings};

const TAG: u8 = 0x40;
const ROW: usize = 24;
/// Rows that are removed in one batch.
const PAGE: usize = 1000;

/// Faults and bans of all peers. Cheap to clone; all clones are one table.
#[derive(Debug, Clone)]
pub struct Bans {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    settings: Arc<ArcSwap<Settings>>,
    store: Store,
    table: Mutex<HashMap<IpAddr, Record>>,
    /// Held while rows are written, so that the last one to write knows the most.
    writing: tokio::sync::Mutex<()>,
    loaded: AtomicBool,
}

/// A ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// The address, or the network of 64 bits.
    pub peer: IpNet,
    /// When it began.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// The how many-th of this peer it is, of those that are remembered.
    pub times: u32,
    /// The faults that led to it.
    pub faults: u32,
}

/// What is known of a peer.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Since the last ban.
    faults: u32,
    /// When the last of them was.
    last: Timestamp,
    ban: Option<Sentence>,
}

/// A ban that runs or ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sentence {
    since: Timestamp,
    until: Timestamp,
    times: u32,
    faults: u32,
}

impl Bans {
    /// The table of a store, empty until it is [loaded](Bans::load).
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        settings: Arc<ArcSwap<Settings>>,
    ) -> Bans {
        Bans {
            inner: Arc::new(Inner {
                clock,
                settings,
                store,
                table: Mutex::default(),
                writing: tokio::sync::Mutex::default(),
                loaded: AtomicBool::new(false),
            }),
        }
    }

    /// Takes the bans from the store, the first time it is called.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn load(&self) -> Result<(), axigen_store::Error> {
        let _writing = self.inner.writing.lock().await;
        if self.inner.loaded.load(Ordering::Acquire) {
            return Ok(());
        }
        let settings = self.inner.settings.load_full();
        let now = self.inner.clock.now();
        let mut stale = Vec::new();
        for (key, row) in self.rows().await? {
            let (Some(peer), Some(ban)) = (peer_of(&key), Sentence::decode(&row)) else {
                stale.push(key);
                continue;
            };
            let mut table = self.inner.table.lock();
            if ban.is_forgotten(&settings.faults, now) || table.len() >= settings.faults.remembered
            {
                stale.push(key);
                continue;
            }
            let record = table.entry(peer).or_insert(Record {
                faults: 0,
                last: ban.since,
                ban: None,
            });
            record.ban = record.ban.or(Some(ban));
        }
        self.remove(&stale).await?;
        self.inner.loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// A peer has done so many things wrong. Whether it is banned now.
    pub fn fault(&self, peer: IpAddr, count: u32) -> bool {
        let settings = self.inner.settings.load();
        let settings = &settings.faults;
        if settings.ban_after == 0 || count == 0 || is_trusted(peer, settings) {
            return false;
        }
        let peer = network(peer);
        let now = self.inner.clock.now();
        let mut table = self.inner.table.lock();
        let dropped = match table.contains_key(&peer) {
            true => Vec::new(),
            false => make_room(&mut table, settings, now),
        };
        let record = table.entry(peer).or_insert(Record {
            faults: 0,
            last: now,
            ban: None,
        });
        if age(record.last, now) >= settings.interval.0 {
            record.faults = 0;
        }
        record.faults = record.faults.saturating_add(count);
        record.last = now;
        let runs = record.ban.is_some_and(|ban| ban.runs(now));
        let banned = record.faults >= settings.ban_after && !runs;
        if banned {
            let before = record.ban.filter(|ban| !ban.is_forgotten(settings, now));
            let ban = Sentence::new(record.faults, before, settings, now);
            tracing::warn!(%peer, until = %ban.until, times = ban.times, faults = ban.faults, "a peer was banned");
            record.ban = Some(ban);
            record.faults = 0;
        }
        drop(table);
        let changed: Vec<IpAddr> = dropped.into_iter().chain(banned.then_some(peer)).collect();
        self.write_later(changed);
        banned || runs
    }

    /// Whether a peer is banned at this time.
    pub fn is_banned(&self, peer: IpAddr) -> bool {
        let table = self.inner.table.lock();
        if table.is_empty() {
            return false;
        }
        let Some(ban) = table.get(&network(peer)).and_then(|record| record.ban) else {
            return false;
        };
        drop(table);
        ban.runs(self.inner.clock.now()) && !is_trusted(peer, &self.inner.settings.load().faults)
    }

    /// How long a connection waits after its so many-th fault.
    pub(crate) fn wait(&self, peer: IpAddr, faults: u32) -> Duration {
        let settings = self.inner.settings.load();
        let settings = &settings.faults;
        match faults.checked_sub(settings.free.saturating_add(1)) {
            Some(beyond) if !is_trusted(peer, settings) => {
                let factor = 2u32.saturating_pow(beyond);
                let wait = settings.wait.0.saturating_mul(factor);
                wait.min(settings.longest_wait.0)
            }
            _ => Duration::ZERO,
        }
    }

    /// The bans that run, those that end last first.
    pub fn list(&self) -> Vec<Ban> {
        let now = self.inner.clock.now();
        let settings = self.inner.settings.load();
        let table = self.inner.table.lock();
        let of_peer = |(peer, record): (&IpAddr, &Record)| {
            let ban = record.ban.filter(|ban| ban.runs(now))?;
            Some(Ban {
                peer: shown(*peer),
                since: ban.since,
                until: ban.until,
                times: ban.times,
                faults: ban.faults,
            })
        };
        let mut bans: Vec<Ban> = table.iter().filter_map(of_peer).collect();
        drop(table);
        bans.retain(|ban| !is_trusted(ban.peer.addr(), &settings.faults));
        bans.sort_by_key(|ban| (std::cmp::Reverse(ban.until), ban.peer));
        bans
    }

    /// Forgets the faults and bans of one peer. Whether it was banned.
    ///
    /// # Errors
    /// Of the store; the peer may connect, but after a restart it may be banned
    /// again.
    pub async fn lift(&self, peer: IpAddr) -> Result<bool, axigen_store::Error> {
        self.load().await?;
        let peer = network(peer);
        let now = self.inner.clock.now();
        let record = self.inner.table.lock().remove(&peer);
        self.write(&[peer]).await?;
        Ok(record
            .and_then(|record| record.ban)
            .is_some_and(|ban| ban.runs(now)))
    }

    /// Forgets the faults and bans of all peers. How many were banned.
    ///
    /// # Errors
    /// As [`lift`](Bans::lift).
    pub async fn clear(&self) -> Result<usize, axigen_store::Error> {
        self.load().await?;
        let now = self.inner.clock.now();
        let all = std::mem::take(&mut *self.inner.table.lock());
        let bans = all.values().filter_map(|record| record.ban);
        let banned = bans.filter(|ban| ban.runs(now)).count();
        let peers: Vec<IpAddr> = all.into_keys().collect();
        for some in peers.chunks(PAGE) {
            self.write(some).await?;
        }
        Ok(banned)
    }

    async fn rows(&self) -> Result<Vec<(Key, Bytes)>, axigen_store::Error> {
        let (from, to) = (Key::from_static(&[TAG]), Key::from_static(&[TAG + 1]));
        self.inner.store.scan(AccountId::SYSTEM, from, to).await
    }

    /// Writes what is known of these peers, in the background: who is banned
    /// stays out whether it is on disk or not.
    fn write_later(&self, peers: Vec<IpAddr>) {
        if peers.is_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let bans = self.clone();
        runtime.spawn(async move {
            if let Err(error) = bans.write(&peers).await {
                tracing::error!(%error, "bans could not be noted: a restart will not know them");
            }
        });
    }

    /// Makes the rows of these peers what the table says now.
    async fn write(&self, peers: &[IpAddr]) -> Result<(), axigen_store::Error> {
        let _writing = self.inner.writing.lock().await;
        let ops: Vec<Op> = {
            let table = self.inner.table.lock();
            let of_peer = |peer: &IpAddr| {
                let key = key(*peer);
                match table.get(peer).and_then(|record| record.ban) {
                    Some(ban) => Op::Set {
                        key: key.into(),
                        val: ban.encode().into(),
                    },
                    None => Op::Delete(key),
                }
            };
            peers.iter().map(of_peer).collect()
        };
        self.commit(ops).await
    }

    async fn remove(&self, keys: &[Key]) -> Result<(), axigen_store::Error> {
        for some in keys.chunks(PAGE) {
            let delete = |key: &Key| Op::Delete(key.clone());
            self.commit(some.iter().map(delete).collect()).await?;
        }
        Ok(())
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), axigen_store::Error> {
        let part = Part {
            account: AccountId::SYSTEM,
            asserts: Vec::new(),
            ops,
            advance: false,
        };
        self.inner.store.commit(Batch { parts: vec![part] }).await?;
        Ok(())
    }
}

impl Sentence {
    /// Twice as long as the one before, if that one counts.
    fn new(
        faults: u32,
        before: Option<Sentence>,
        settings: &FaultSettings,
        now: Timestamp,
    ) -> Sentence {
        let before = before.map_or(0, |before| before.times);
        let factor = 2u32.saturating_pow(before);
        let length = settings.ban.0.saturating_mul(factor);
        Sentence {
            since: now,
            until: later(now, length.min(settings.longest_ban.0)),
            times: before.saturating_add(1),
            faults,
        }
    }

    fn runs(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether it ended so long ago that it makes no other ban longer.
    fn is_forgotten(&self, settings: &FaultSettings, now: Timestamp) -> bool {
        !self.runs(now) && age(self.until, now) >= settings.forget.0
    }

    fn encode(&self) -> Bytes {
        let mut row = Vec::with_capacity(ROW);
        row.extend(self.since.as_second().to_be_bytes());
        row.extend(self.until.as_second().to_be_bytes());
        row.extend(self.times.to_be_bytes());
        row.extend(self.faults.to_be_bytes());
        row.into()
    }

    fn decode(row: &[u8]) -> Option<Sentence> {
        let (since, rest) = row.split_first_chunk::<8>()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (times, rest) = rest.split_first_chunk::<4>()?;
        let (faults, rest) = rest.split_first_chunk::<4>()?;
        let time = |bytes: &[u8; 8]| Timestamp::from_second(i64::from_be_bytes(*bytes)).ok();
        rest.is_empty().then_some(Sentence {
            since: time(since)?,
            until: time(until)?,
            times: u32::from_be_bytes(*times),
            faults: u32::from_be_bytes(*faults),
        })
    }
}

/// Makes room for one more: first who is as good as unknown goes, then an eighth
/// of all, those that are not banned and have the fewest faults first. Those
/// whose rows have to go.
fn make_room(
    table: &mut HashMap<IpAddr, Record>,
    settings: &FaultSettings,
    now: Timestamp,
) -> Vec<IpAddr> {
    let most = settings.remembered.max(8);
    let mut dropped = Vec::new();
    if table.len() < most {
        return dropped;
    }
    table.retain(|peer, record| {
        let forgotten = record.ban.is_none_or(|ban| ban.is_forgotten(settings, now));
        let keep = !forgotten || age(record.last, now) < settings.interval.0;
        if !keep && record.ban.is_some() {
            dropped.push(*peer);
        }
        keep
    });
    let keep = most - most / 8;
    if table.len() > keep {
        let rank = |record: &Record| {
            let runs = record.ban.is_some_and(|ban| ban.runs(now));
            let times = record.ban.map_or(0, |ban| ban.times);
            (runs, times, record.faults, record.last)
        };
        let mut order: Vec<_> = table
            .iter()
            .map(|(peer, record)| (rank(record), *peer))
            .collect();
        order.sort_unstable();
        for (_, peer) in order.iter().take(table.len() - keep) {
            if table
                .remove(peer)
                .is_some_and(|record| record.ban.is_some())
            {
                dropped.push(*peer);
            }
        }
    }
    dropped
}

fn is_trusted(peer: IpAddr, settings: &FaultSettings) -> bool {
    settings.trusted.iter().any(|peers| peers.contains(peer))
}

/// How long ago something was; a clock that was set back makes it now.
fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn shown(peer: IpAddr) -> IpNet {
    let net = match peer {
        IpAddr::V4(_) => IpNet::new(peer, 32),
        IpAddr::V6(_) => IpNet::new(peer, 64),
    };
    net.unwrap_or_else(|_| peer.into())
}

fn key(peer: IpAddr) -> Key {
    let bits = match peer {
        IpAddr::V4(peer) => peer.to_ipv6_mapped(),
        IpAddr::V6(peer) => peer,
    };
    [&[TAG][..], &bits.octets()].concat().into()
}

fn peer_of(key: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = key.strip_prefix(&[TAG])?.try_into().ok()?;
    Some(network(Ipv6Addr::from(octets).into()))
}

#[cfg(test)]
mod tests;
