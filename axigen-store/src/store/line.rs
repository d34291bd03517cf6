//! A stage of the group commit: a thread that takes everything that waits,
//! works on it as one group, and answers each.
//!
//! A thread of its own and not a task, because a sync blocks. What it works
//! with may be async all the same: it waits for that where it stands.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::stage::Queue;
use crate::error::{Error, Result};

/// Whether a store still takes writes.
#[derive(Debug, Default)]
pub(super) struct Health {
    poison: OnceLock<String>,
    closed: AtomicBool,
    /// A stage hangs in the backend, which then cannot be closed either.
    hung: AtomicBool,
}

impl Health {
    pub(super) fn poison(&self, why: &str) {
        if self.poison.set(why.to_owned()).is_ok() {
            tracing::error!(
                why,
                "the store takes no more writes until it is opened again"
            );
        }
    }

    /// Marks it closed; says whether it was open.
    pub(super) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// An error if a stage hangs.
    pub(super) fn not_hung(&self) -> Result<()> {
        match self.hung.load(Ordering::Acquire) {
            true => self.unpoisoned(),
            false => Ok(()),
        }
    }

    pub(super) fn readable(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    pub(super) fn writable(&self) -> Result<()> {
        self.readable()?;
        self.unpoisoned()
    }

    fn unpoisoned(&self) -> Result<()> {
        match self.poison.get() {
            Some(why) => Err(Error::Poisoned(why.clone())),
            None => Ok(()),
        }
    }

    /// Why something that was asked got no answer.
    fn gone(&self) -> Error {
        self.unpoisoned().err().unwrap_or(Error::Closed)
    }
}

type Reply<R> = oneshot::Sender<Result<R>>;

/// One stage.
#[derive(Debug)]
pub(super) struct Line<T, R> {
    name: &'static str,
    queue: Queue<(T, Reply<R>)>,
    health: Arc<Health>,
    flight: Mutex<Flight<R>>,
    ended: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The group being worked on.
#[derive(Debug)]
struct Flight<R> {
    since: Option<Instant>,
    replies: Vec<Reply<R>>,
}

impl<T: Send + 'static, R: Send + 'static> Line<T, R> {
    /// Starts the thread. `work` gets the items of a group and gives one
    /// result for each.
    pub(super) fn start(
        name: &'static str,
        health: Arc<Health>,
        mut work: impl FnMut(Vec<T>) -> Vec<Result<R>> + Send + 'static,
    ) -> Result<Arc<Self>> {
        let line = Arc::new(Line {
            name,
            queue: Queue::new(),
            health,
            flight: Mutex::new(Flight {
                since: None,
                replies: Vec::new(),
            }),
            ended: watch::Sender::new(false),
            thread: Mutex::new(None),
        });
        let runtime = tokio::runtime::Handle::try_current().ok();
        let worker = Arc::clone(&line);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // A backend may need the runtime's sockets and clock.
                let _runtime = runtime.as_ref().map(|runtime| runtime.enter());
                let end = End(&worker);
                while let Some(group) = worker.queue.take() {
                    end.0.group(group, &mut work);
                }
            })
            .map_err(|error| Error::io(format!("starting the thread {name}"), error))?;
        *line.thread.lock() = Some(thread);
        Ok(line)
    }

    fn group(&self, group: Vec<(T, Reply<R>)>, work: &mut impl FnMut(Vec<T>) -> Vec<Result<R>>) {
        let (items, replies): (Vec<T>, Vec<_>) = group.into_iter().unzip();
        if let Err(error) = self.health.unpoisoned() {
            return answer(replies, &error);
        }
        let since = Instant::now();
        *self.flight.lock() = Flight {
            since: Some(since),
            replies,
        };
        let results = work(items);
        self.queue.took(since.elapsed());
        let replies = {
            let mut flight = self.flight.lock();
            flight.since = None;
            // Empty if the watchdog has answered already.
            std::mem::take(&mut flight.replies)
        };
        if let Some(fatal) = results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .find(|error| error.is_fatal())
        {
            self.health.poison(&match fatal {
                Error::Poisoned(why) => why.clone(),
                fatal => fatal.to_string(),
            });
        }
        for (reply, result) in replies.into_iter().zip(results) {
            // Whoever asked may have gone away; what it asked is done all the same.
            let _ = reply.send(result);
        }
    }

    /// Has an item worked on. It is, even if the caller stops waiting.
    pub(super) async fn ask(&self, item: T, bytes: usize) -> Result<R> {
        self.push(item, bytes, false).await
    }

    /// The same, of an item that waits a moment for others to be worked on with.
    pub(super) async fn ask_patiently(&self, item: T, bytes: usize) -> Result<R> {
        self.push(item, bytes, true).await
    }

    async fn push(&self, item: T, bytes: usize, patient: bool) -> Result<R> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .push((item, reply), bytes, patient)
            .map_err(|_| self.health.gone())?;
        answer.await.unwrap_or_else(|_| Err(self.health.gone()))
    }

    /// Ends it once everything that waits is done, or is known to hang.
    pub(super) async fn finish(&self) {
        self.queue.close();
        // The sender lives in self, so this cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

impl<T, R> Line<T, R> {
    /// Ends it like [`Line::finish`], but waits for the thread where it stands,
    /// unless that hangs.
    pub(super) fn stop(&self) {
        self.queue.close();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && self.health.not_hung().is_ok()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }

    /// Gives up all that waits.
    fn abandon(&self) {
        let error = self.health.gone();
        let replies = std::mem::take(&mut self.flight.lock().replies);
        answer(replies, &error);
        let waiting = self.queue.kill();
        answer(waiting.into_iter().map(|(_, reply)| reply), &error);
    }
}

fn answer<R>(replies: impl IntoIterator<Item = Reply<R>>, error: &Error) {
    for reply in replies {
        let _ = reply.send(Err(error.clone()));
    }
}

/// Whatever ends the thread, nobody is left waiting for it.
struct End<'a, T, R>(&'a Line<T, R>);

impl<T, R> Drop for End<'_, T, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.health.poison(&format!("{} panicked", self.0.name));
        }
        self.0.abandon();
        self.0.ended.send_replace(true);
    }
}

/// Something the watchdog looks at.
pub(super) trait Watched: Send + Sync {
    /// Poisons the store and answers everybody if a group takes longer than
    /// this.
    fn look(&self, most: Duration);
}

impl<T: Send, R: Send> Watched for Line<T, R> {
    fn look(&self, most: Duration) {
        let since = self.flight.lock().since;
        if since.is_some_and(|since| since.elapsed() > most) {
            self.health.poison(&format!(
                "a group of {} has not come to an end in {} s; whether it is on disk is not known",
                self.name,
                most.as_secs_f32()
            ));
            self.health.hung.store(true, Ordering::Release);
            self.abandon();
            self.ended.send_replace(true);
        }
    }
}

/// Looks at the lines now and then, from a thread of its own.
#[derive(Debug)]
pub(super) struct Watchdog(Arc<(Mutex<bool>, Condvar)>);

impl Watchdog {
    pub(super) fn start(lines: Vec<Weak<dyn Watched>>, most: Duration) -> Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("store watchdog".into())
            .spawn(move || {
                let (stopped, wake) = &*stopped;
                let mut stopped = stopped.lock();
                while !*stopped {
                    wake.wait_for(&mut stopped, most / 4);
                    for line in lines.iter().filter_map(Weak::upgrade) {
                        line.look(most);
                    }
                }
            })
            .map_err(|error| Error::io("starting the store's watchdog", error))?;
        Ok(Watchdog(stop))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

/// Waits for a future where it stands.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(
        work: impl FnMut(Vec<u32>) -> Vec<Result<u32>> + Send + 'static,
    ) -> Arc<Line<u32, u32>> {
        Line::start("a test", Arc::default(), work).unwrap()
    }

    fn same(items: Vec<u32>) -> Vec<Result<u32>> {
        items.into_iter().map(Ok).collect()
    }

    #[tokio::test]
    async fn answers_each_and_finishes_what_waits() {
        let line = line(|items| {
            std::thread::sleep(Duration::from_millis(100));
            same(items)
        });
        let asked: Vec<_> = (0..100)
            .map(|n| {
                let line = Arc::clone(&line);
                tokio::spawn(async move { line.ask(n, 1).await })
            })
            .collect();
        // So that all have asked.
        tokio::time::sleep(Duration::from_millis(50)).await;
        line.finish().await;
        for (n, task) in asked.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap(), n as u32);
        }
        assert!(matches!(line.ask(1, 1).await, Err(Error::Closed)));
    }

    #[tokio::test]
    async fn a_fatal_error_poisons() {
        let line = line(|items| {
            let full = std::io::Error::other("the disk went away");
            vec![Err(Error::io("syncing", full)); items.len()]
        });
        assert!(matches!(line.ask(1, 1).await, Err(Error::Io { .. })));
        let again = line.ask(2, 1).await;
        assert!(matches!(again, Err(Error::Poisoned(why)) if why.contains("went away")));
    }

    #[tokio::test]
    async fn a_panic_leaves_nobody_waiting() {
        let line = line(|_| std::panic::resume_unwind(Box::new("a bug")));
        assert!(matches!(line.ask(1, 1).await, Err(Error::Poisoned(_))));
        assert!(matches!(line.ask(2, 1).await, Err(Error::Poisoned(_))));
        line.finish().await;
    }

    #[tokio::test]
    async fn the_watchdog_reports_a_group_that_hangs() {
        let line = line(|items| {
            std::thread::sleep(Duration::from_secs(2));
            same(items)
        });
        let watched: Arc<dyn Watched> = line.clone();
        let most = Duration::from_millis(100);
        let _dog = Watchdog::start(vec![Arc::downgrade(&watched)], most).unwrap();
        let before = Instant::now();
        assert!(matches!(line.ask(1, 1).await, Err(Error::Poisoned(_))));
        assert!(before.elapsed() < Duration::from_secs(1));
        assert!(matches!(line.ask(2, 1).await, Err(Error::Poisoned(_))));
    }
}
