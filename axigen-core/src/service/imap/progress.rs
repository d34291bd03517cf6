//! INPROGRESS: a client that waits is told that its command is worked on.
//! [RFC 9585](https://www.rfc-editor.org/rfc/rfc9585)

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axigen_proto::imap::response::{Code, Response};
use axigen_proto::imap::types::Tag;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Done, ImapConn, Talk};

/// So many messages are looked at before others have their turn.
const TURN: u32 = 64;

/// How far a command is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU32,
    goal: AtomicU32,
}

impl Progress {
    /// A command begins that will look at so many messages; 0 if that is not
    /// known.
    pub(super) fn begin(&self, goal: usize) {
        self.done.store(0, Ordering::Relaxed);
        let goal = u32::try_from(goal).unwrap_or(u32::MAX);
        self.goal.store(goal, Ordering::Relaxed);
    }

    /// How much there is to do from here on is not known.
    pub(super) fn without_goal(&self) {
        self.goal.store(0, Ordering::Relaxed);
    }

    /// Another message was looked at. Now and then the thread is left to others,
    /// also to what tells the client.
    pub(super) async fn step(&self) {
        let before = self.done.fetch_add(1, Ordering::Relaxed);
        if before % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }

    fn code(&self, tag: &Tag) -> Code {
        let some = |number: &AtomicU32| Some(number.load(Ordering::Relaxed));
        let (done, goal) = (some(&self.done), some(&self.goal));
        Code::InProgress {
            tag: Some(tag.clone()),
            done: done.filter(|_| goal > Some(0) || done > Some(0)),
            goal: goal.filter(|goal| *goal > 0),
        }
    }
}

/// Works for a client, which is told so each time this long has passed; never
/// if that is no time at all.
async fn working<T>(
    conn: &mut ImapConn,
    tag: &Tag,
    every: Duration,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> Done<T> {
    let mut work = pin!(work);
    if every.is_zero() {
        return Ok(work.await);
    }
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            _ = ticks.tick() => {}
        }
        let response = Response::ok(progress.code(tag), "still at work");
        conn.session().untagged(&response)?;
        conn.flush_all().await?;
    }
}

impl Talk<'_> {
    /// [`working`], as the settings have it.
    pub(super) async fn work<T>(
        &self,
        conn: &mut ImapConn,
        tag: &Tag,
        work: impl Future<Output = T>,
    ) -> Done<T> {
        let every = self.context.settings.load().imap.progress_interval.0;
        working(conn, tag, every, &self.progress, work).await
    }
}
