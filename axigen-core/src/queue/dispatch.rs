//! What is ready to be sent, by lane: a window of the queue, of bounded size.
//!
//! The schedule is read in order of time, each row once: a cursor says how far.
//! What comes in the meantime is handed over in memory. Only when the window was
//! full is the schedule read again from its beginning, once half of the window
//! is done, so that rows met twice are paid for by rows that went.
//!
//! What a lane cannot take now is parked: its row moves from the schedule to
//! the lane's own range, and comes back by the page when the lane has room. In
//! the schedule stays only the time at which the sender must be told.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axigen_store::{AccountId, Key, Op};
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::entry::{Entry, EntryId};
use super::lane::{Lane, LaneLimits, Trouble};
use super::schedule::{self, later};
use super::{Claim, FRESH_BYTES, Queue, Result, keys, millis};

/// Most entries in the window.
pub(crate) const WINDOW: usize = 20_000;
/// Most entries of one lane in the window.
pub(crate) const LANE: usize = 1_000;
/// Most lanes that are remembered.
const LANES: usize = 50_000;
/// Rows read, or moved, at a time.
const PAGE: usize = 500;
/// Most pages of the schedule that are read before what is ready has its turn.
const PAGES: usize = 20;
/// What could not be dealt with is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(60);
/// The schedule is read from its beginning at least this often: the clock may
/// have been set back.
pub(crate) const BEGIN_AGAIN: Duration = Duration::from_secs(600);

/// An entry that may be tried now.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) id: EntryId,
    /// The message as it was stored, if it came a moment ago.
    pub(crate) raw: Option<Bytes>,
    lane: Arc<str>,
    due: i64,
    deadline: i64,
    priority: i8,
}

impl Ready {
    /// What it holds of its message.
    fn bytes(&self) -> usize {
        self.raw.as_ref().map_or(0, Bytes::len)
    }

    pub(super) fn fresh(id: EntryId, entry: Entry, raw: Option<Bytes>) -> Ready {
        Ready {
            id,
            raw,
            due: millis(entry.due),
            deadline: millis(schedule::deadline(&entry)),
            priority: entry.priority,
            lane: entry.lane.into(),
        }
    }
}

/// What a session does next.
#[derive(Debug)]
pub(crate) enum Work {
    /// Try this.
    Try(Ready, Claim),
    /// Nothing before this time: the lane has a pace.
    Later(Timestamp),
    /// Nothing now; woken by this when there is.
    Nothing(Arc<Notify>),
    /// Nothing, and the lane rests: the session may end.
    Rest,
}

/// How lanes behave.
pub(crate) trait Lanes: Send + Sync {
    /// The limits of a lane.
    fn limits(&self, lane: &str) -> LaneLimits;
    /// How long a lane rests after so many failures in a row.
    fn rest(&self, lane: &str, failures: u32) -> Duration;
}

impl<T: Lanes + ?Sized> Lanes for Arc<T> {
    fn limits(&self, lane: &str) -> LaneLimits {
        (**self).limits(lane)
    }
    fn rest(&self, lane: &str, failures: u32) -> Duration {
        (**self).rest(lane, failures)
    }
}

/// The window.
pub(crate) struct Dispatcher {
    queue: Queue,
    lanes: Box<dyn Lanes>,
    state: Arc<Mutex<Window>>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Dispatcher")
            .field("known", &state.known.len())
            .field("lanes", &state.lanes.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct Window {
    lanes: HashMap<Arc<str>, Lane>,
    /// Entries in the window: ready, being sent, overdue.
    known: HashSet<EntryId>,
    /// Bytes of messages that the lanes' entries hold.
    bytes: usize,
    /// Lanes that may want another session.
    line: VecDeque<Arc<str>>,
    /// When the rest of which lane ends.
    resting: BTreeSet<(Timestamp, Arc<str>)>,
    /// Lanes that rest and have something ready: it is parked.
    to_park: Vec<Arc<str>>,
    /// Lanes that have room again for what is parked.
    to_load: Vec<Arc<str>>,
    /// Entries whose senders must be told though their lanes rest.
    overdue: VecDeque<EntryId>,
    /// How far the schedule was read.
    cursor: Option<Key>,
    /// There may be rows before the cursor that are not in the window.
    behind: bool,
    /// When the schedule was last read from its beginning.
    begun: Option<Timestamp>,
    /// When what could not be dealt with is looked at again.
    again: Option<Timestamp>,
    /// The first time in the schedule that has not come.
    next_due: Option<Timestamp>,
    /// Where the search for lanes with parked rows goes on.
    discover: Option<Key>,
}

/// A row that is to be parked.
struct Parking {
    id: EntryId,
    lane: Arc<str>,
    due: i64,
    deadline: i64,
}

impl Dispatcher {
    /// A window at its beginning: everything is read from the rows.
    pub(crate) fn new(queue: Queue, lanes: Box<dyn Lanes>) -> Dispatcher {
        {
            let mut fresh = queue.inner.fresh.lock();
            fresh.wanted = true;
            fresh.more = true;
        }
        let state = Arc::new(Mutex::new(Window {
            discover: Some(keys::all(keys::PARKED).0),
            ..Window::default()
        }));
        *queue.inner.window.lock() = Arc::downgrade(&state);
        Dispatcher {
            queue,
            lanes,
            state,
        }
    }

    /// Returns when something may have changed.
    pub(crate) async fn woken(&self) {
        self.queue.inner.wake.notified().await;
    }

    /// Fills the window; says when to come again if nothing happens before.
    ///
    /// # Errors
    /// Of the store; the window is as it was.
    pub(crate) async fn fill(&self) -> Result<Option<Timestamp>> {
        let now = self.queue.now();
        let fresh = {
            let mut fresh = self.queue.inner.fresh.lock();
            let empty = super::Fresh {
                wanted: true,
                ..super::Fresh::default()
            };
            std::mem::replace(&mut *fresh, empty)
        };
        let mut parking = Vec::new();
        {
            let mut state = self.state.lock();
            state.behind |= fresh.more;
            if let Some(next) = fresh.next {
                state.expect(next);
            }
            for lane in fresh.lanes {
                state.wake(&lane);
            }
            if state.again.is_some_and(|again| again <= now) {
                state.again = None;
                state.behind = true;
            }
            if state
                .begun
                .is_none_or(|begun| now < begun || later(begun, BEGIN_AGAIN) <= now)
            {
                state.behind = true;
            }
            state.end_rests(now);
            for ready in fresh.ready {
                self.admit(&mut state, ready, &mut parking);
            }
            for lane in std::mem::take(&mut state.to_park) {
                state.empty(&lane, &mut parking);
            }
        }
        self.park(parking).await?;
        self.read_schedule(now).await?;
        self.discover().await?;
        self.load().await?;
        let state = self.state.lock();
        let rest = state.resting.first().map(|(until, _)| *until);
        let times = [rest, state.next_due, state.again];
        Ok(times.into_iter().flatten().min())
    }

    /// Puts an entry into the window, or on the pile of those to be parked.
    fn admit(&self, state: &mut Window, mut ready: Ready, parking: &mut Vec<Parking>) {
        if state.known.contains(&ready.id) {
            return;
        }
        let new_lane = !state.lanes.contains_key(&ready.lane);
        if state.known.len() >= WINDOW || (new_lane && state.lanes.len() >= LANES) {
            state.behind = true;
            return;
        }
        let name = ready.lane.clone();
        let lane = state
            .lanes
            .entry(name.clone())
            .or_insert_with(|| Lane::new(self.lanes.limits(&name)));
        if lane.rests() || lane.ready.len() >= LANE {
            lane.parked = true;
            parking.push(Parking {
                id: ready.id,
                lane: name,
                due: ready.due,
                deadline: ready.deadline,
            });
            return;
        }
        state.known.insert(ready.id);
        if state.bytes + ready.bytes() > FRESH_BYTES {
            ready.raw = None;
        }
        state.bytes += ready.bytes();
        // RFC 6710 §5.1: what has priority goes first; the others keep their order.
        let before = |other: &Ready| other.priority >= ready.priority;
        match lane.ready.back() {
            Some(last) if last.priority < ready.priority => {
                let at = lane.ready.partition_point(before);
                lane.ready.insert(at, ready);
            }
            _ => lane.ready.push_back(ready),
        }
        state.line_up(&name);
    }

    /// Moves rows from the schedule to their lanes.
    async fn park(&self, mut parking: Vec<Parking>) -> Result<()> {
        while !parking.is_empty() {
            let rest = parking.split_off(parking.len().min(PAGE));
            self.park_some(std::mem::replace(&mut parking, rest))
                .await?;
        }
        Ok(())
    }

    async fn park_some(&self, mut parking: Vec<Parking>) -> Result<()> {
        // Whoever works on an entry moves its rows itself.
        let mut claims = Vec::with_capacity(parking.len());
        parking.retain(|parking| match self.queue.claim(parking.id) {
            Some(claim) => {
                claims.push(claim);
                true
            }
            None => false,
        });
        let ids: Vec<Key> = parking.iter().map(|at| keys::entry(at.id)).collect();
        let there = self.queue.inner.store.get(AccountId::SYSTEM, &ids).await?;
        let mut ops = Vec::with_capacity(parking.len() * 3);
        for (parking, entry) in parking.iter().zip(there) {
            ops.push(Op::Delete(keys::due(parking.due, parking.id)));
            if entry.is_none() {
                continue;
            }
            ops.push(Op::Set {
                key: keys::parked(&parking.lane, parking.id).into(),
                val: Bytes::new().into(),
            });
            let row = schedule::encode(true, parking.deadline, &parking.lane);
            ops.push(Op::Set {
                key: keys::due(parking.deadline, parking.id).into(),
                val: row.into(),
            });
        }
        self.queue.commit(ops, Vec::new()).await?;
        let now = self.queue.now();
        let mut state = self.state.lock();
        for parking in &parking {
            let deadline = at(parking.deadline);
            // Before the cursor, where only a new beginning finds it.
            state.behind |= deadline <= now;
            state.expect(deadline);
        }
        Ok(())
    }

    /// Reads what has become due.
    async fn read_schedule(&self, now: Timestamp) -> Result<()> {
        loop {
            let from = {
                let mut state = self.state.lock();
                let come = state.next_due.is_some_and(|due| due <= now);
                if !state.behind && !come {
                    return Ok(());
                }
                if state.behind {
                    // Half of a full window must have gone before it pays.
                    if state.known.len() > WINDOW / 2 {
                        return Ok(());
                    }
                    state.behind = false;
                    state.cursor = None;
                    state.begun = Some(now);
                }
                state.next_due = None;
                state.cursor.clone()
            };
            if !self.read_from(from, now).await? {
                return Ok(());
            }
        }
    }

    /// Reads the schedule on from a place, up to what is not due yet, or until the
    /// window is full; `false` if there is more, and others have their turn first.
    async fn read_from(&self, from: Option<Key>, now: Timestamp) -> Result<bool> {
        let (start, _) = keys::all(keys::DUE);
        let (_, end) = keys::all(keys::DUE);
        let mut from = from.unwrap_or(start);
        let (time, now) = (now, millis(now));
        for _ in 0..PAGES {
            let page = self.queue.rows(from, end.clone(), PAGE, false).await?;
            let mut parking = Vec::new();
            let mut end_of_due = page.next.is_none();
            {
                let mut state = self.state.lock();
                for (key, value) in &page.rows {
                    let (Some(id), Some(due)) = (keys::id_of(key), keys::time_of(key)) else {
                        continue;
                    };
                    if due > now {
                        state.expect(at(due));
                        end_of_due = true;
                        break;
                    }
                    state.cursor = Some(keys::after(key));
                    let Some(row) = schedule::decode(value) else {
                        tracing::error!(%id, "a row of the schedule cannot be read");
                        continue;
                    };
                    if row.overdue {
                        if state.known.len() >= WINDOW {
                            state.behind = true;
                        } else if state.known.insert(id) {
                            state.overdue.push_back(id);
                        }
                        continue;
                    }
                    let ready = Ready {
                        id,
                        raw: None,
                        lane: row.lane.into(),
                        due,
                        deadline: row.deadline,
                        priority: 0,
                    };
                    self.admit(&mut state, ready, &mut parking);
                }
            }
            let full = self.state.lock().behind;
            self.park(parking).await?;
            match page.next {
                Some(next) if !full && !end_of_due => from = next,
                _ => return Ok(true),
            }
        }
        // The cursor says where to go on, at once.
        self.state.lock().expect(time);
        Ok(false)
    }

    /// Finds lanes that rows are parked for, after a start.
    async fn discover(&self) -> Result<()> {
        let (_, end) = keys::all(keys::PARKED);
        loop {
            let from = {
                let state = self.state.lock();
                match &state.discover {
                    Some(from) if state.lanes.len() < LANES => from.clone(),
                    _ => return Ok(()),
                }
            };
            let page = self.queue.rows(from, end.clone(), 1, true).await?;
            let lane = page.rows.first().and_then(|(key, _)| keys::name_of(key));
            let mut state = self.state.lock();
            let Some(lane) = lane else {
                state.discover = None;
                return Ok(());
            };
            state.discover = Some(keys::parked_in(lane).1);
            let name: Arc<str> = lane.into();
            let known = state
                .lanes
                .entry(name.clone())
                .or_insert_with(|| Lane::new(self.lanes.limits(&name)));
            known.parked = true;
            if !known.rests() {
                state.to_load.push(name);
            }
        }
    }

    /// Brings back what is parked for lanes that have room.
    async fn load(&self) -> Result<()> {
        let lanes = std::mem::take(&mut self.state.lock().to_load);
        for (at, name) in lanes.iter().enumerate() {
            if !self.load_lane(name).await? {
                // The window is full; the others have to wait too.
                let rest = lanes.get(at..).unwrap_or_default();
                self.state.lock().to_load.extend(rest.iter().cloned());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there was room for it.
    async fn load_lane(&self, name: &Arc<str>) -> Result<bool> {
        let (mut from, end) = keys::parked_in(name);
        loop {
            let page = self.queue.rows(from, end.clone(), PAGE, true).await?;
            let mut state = self.state.lock();
            for (key, _) in &page.rows {
                let Some(id) = keys::id_of(key) else { continue };
                if state.known.len() >= WINDOW {
                    return Ok(false);
                }
                let Some(lane) = state.lanes.get_mut(name) else {
                    return Ok(true);
                };
                if lane.rests() || lane.ready.len() >= LANE {
                    return Ok(true);
                }
                if state.known.insert(id) {
                    let ready = Ready {
                        id,
                        raw: None,
                        lane: name.clone(),
                        // Its row is where it is parked.
                        due: i64::MAX,
                        deadline: i64::MAX,
                        priority: 0,
                    };
                    if let Some(lane) = state.lanes.get_mut(name) {
                        lane.ready.push_back(ready);
                    }
                    state.line_up(name);
                }
            }
            match page.next {
                Some(next) => from = next,
                None => {
                    if let Some(lane) = state.lanes.get_mut(name) {
                        lane.parked = false;
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// A lane that another session should be opened for; it counts from now on.
    pub(crate) fn wants_session(&self) -> Option<Arc<str>> {
        let mut state = self.state.lock();
        while let Some(name) = state.line.pop_front() {
            let Some(lane) = state.lanes.get_mut(&name) else {
                continue;
            };
            lane.in_line = false;
            if lane.wants_session() {
                lane.sessions += 1;
                // One after the other, so that no lane takes all sessions.
                state.line_up(&name);
                return Some(name);
            }
        }
        None
    }

    /// What a session of a lane does next.
    pub(crate) fn next(&self, name: &Arc<str>) -> Work {
        let now = self.queue.now();
        let mut state = self.state.lock();
        loop {
            let Some(lane) = state.lanes.get_mut(name) else {
                return Work::Rest;
            };
            if lane.rests() {
                return Work::Rest;
            }
            if lane.ready.is_empty() {
                return Work::Nothing(lane.more.clone());
            }
            if let Some(until) = lane.pace(now) {
                return Work::Later(until);
            }
            let Some(ready) = lane.ready.pop_front() else {
                return Work::Rest;
            };
            let low = lane.ready.is_empty() || lane.ready.len() == LANE / 2;
            let load = lane.parked && low;
            state.bytes = state.bytes.saturating_sub(ready.bytes());
            if load {
                state.to_load.push(name.clone());
                self.queue.inner.wake.notify_one();
            }
            match self.queue.claim(ready.id) {
                Some(claim) => return Work::Try(ready, claim),
                None => {
                    // An administrator has it, and will say when it is due. If they
                    // leave it where it is parked, it is found there again.
                    state.known.remove(&ready.id);
                    if ready.due == i64::MAX
                        && let Some(lane) = state.lanes.get_mut(name)
                        && !lane.parked
                    {
                        lane.parked = true;
                        state.to_load.push(name.clone());
                    }
                }
            }
        }
    }

    /// A session of a lane has nothing to do, or has something again.
    pub(crate) fn idle(&self, name: &Arc<str>, idle: bool) {
        if let Some(lane) = self.state.lock().lanes.get_mut(name) {
            match idle {
                true => lane.idle += 1,
                false => lane.idle = lane.idle.saturating_sub(1),
            }
        }
    }

    /// An entry is settled; `due` is when it is tried again.
    pub(crate) fn settled(&self, id: EntryId, due: Option<Timestamp>) {
        let now = self.queue.now();
        let mut state = self.state.lock();
        state.known.remove(&id);
        if let Some(due) = due {
            state.expect(due);
            // Its row may stand before the cursor.
            state.behind |= due <= now;
        }
        if state.behind && state.known.len() <= WINDOW / 2 || due.is_some() {
            drop(state);
            self.queue.inner.wake.notify_one();
        }
    }

    /// An entry could not be dealt with: its rows are as they were, and it is
    /// looked at again in a while.
    pub(crate) fn unsettled(&self, id: EntryId) {
        let again = later(self.queue.now(), AGAIN);
        let mut state = self.state.lock();
        state.known.remove(&id);
        state.again = Some(state.again.map_or(again, |at| at.min(again)));
        drop(state);
        self.queue.inner.wake.notify_one();
    }

    /// A message arrived by this lane.
    pub(crate) fn worked(&self, name: &Arc<str>) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(name) {
            lane.worked();
        }
        if state.line_up(name) {
            drop(state);
            self.queue.inner.wake.notify_one();
        }
    }

    /// None of the lane's hosts can be reached: it rests.
    pub(crate) fn failed(&self, name: &Arc<str>, trouble: Trouble) {
        let now = self.queue.now();
        let mut state = self.state.lock();
        let Some(lane) = state.lanes.get_mut(name) else {
            return;
        };
        let rested = lane.rests();
        let until = lane.failed(trouble, now, |failures| self.lanes.rest(name, failures));
        if !rested {
            state.resting.insert((until, name.clone()));
            state.to_park.push(name.clone());
            drop(state);
            self.queue.inner.wake.notify_one();
        }
    }

    /// Why a lane rests, if it does.
    pub(crate) fn trouble(&self, name: &str) -> Option<Trouble> {
        self.state.lock().lanes.get(name)?.trouble.clone()
    }

    /// A session of a lane has ended.
    pub(crate) fn ended(&self, name: &Arc<str>) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(name) {
            lane.sessions = lane.sessions.saturating_sub(1);
            if lane.is_over() {
                state.lanes.remove(name);
            } else {
                state.line_up(name);
            }
        }
    }

    /// Entries whose senders must be told though their lanes rest.
    pub(crate) fn overdue(&self) -> Option<(EntryId, Claim)> {
        let mut state = self.state.lock();
        while let Some(id) = state.overdue.pop_front() {
            match self.queue.claim(id) {
                Some(claim) => return Some((id, claim)),
                None => {
                    state.known.remove(&id);
                }
            }
        }
        None
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let mut fresh = self.queue.inner.fresh.lock();
        *fresh = super::Fresh::default();
    }
}

impl Window {
    /// Something is due then.
    fn expect(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// The lane gets its turn for another session, if it wants one.
    fn line_up(&mut self, name: &Arc<str>) -> bool {
        let Some(lane) = self.lanes.get_mut(name) else {
            return false;
        };
        if lane.idle > 0 && !lane.ready.is_empty() {
            lane.more.notify_one();
        }
        let new = lane.wants_session() && !lane.in_line;
        if new {
            lane.in_line = true;
            self.line.push_back(name.clone());
        }
        new
    }

    fn end_rests(&mut self, now: Timestamp) {
        while let Some((until, name)) = self.resting.first().cloned()
            && until <= now
        {
            self.resting.pop_first();
            self.end_rest(&name);
        }
    }

    /// Somebody wants a lane tried now.
    fn wake(&mut self, name: &str) {
        let lane = self.lanes.get_key_value(name);
        let resting = lane.and_then(|(name, lane)| Some((lane.rests_until()?, name.clone())));
        if let Some(resting) = resting {
            self.resting.remove(&resting);
            self.end_rest(&resting.1);
        }
    }

    fn end_rest(&mut self, name: &Arc<str>) {
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.rested();
            if lane.parked {
                self.to_load.push(name.clone());
            } else if lane.ready.is_empty() && lane.sessions == 0 {
                // Nothing waits for it: the trouble is forgotten.
                self.lanes.remove(name);
                return;
            }
            self.line_up(name);
        }
    }

    /// What is ready in a lane that rests is parked.
    fn empty(&mut self, name: &Arc<str>, parking: &mut Vec<Parking>) {
        let Some(lane) = self.lanes.get_mut(name) else {
            return;
        };
        for ready in std::mem::take(&mut lane.ready) {
            lane.parked = true;
            self.known.remove(&ready.id);
            self.bytes = self.bytes.saturating_sub(ready.bytes());
            // What was parked before has its row there already.
            if ready.due != i64::MAX {
                parking.push(Parking {
                    id: ready.id,
                    lane: ready.lane,
                    due: ready.due,
                    deadline: ready.deadline,
                });
            }
        }
    }
}

/// Until when a lane rests, if somebody dispatches and it does.
pub(super) fn resting(queue: &Queue, lane: &str) -> Option<Timestamp> {
    let window = queue.inner.window.lock().upgrade()?;
    let window = window.lock();
    window.lanes.get(lane)?.rests_until()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
