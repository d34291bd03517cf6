//! A machine in memory that fails where it is told to: a disk for packs and
//! rows for metadata, whose every change is a numbered step.
//!
//! A [`Fault`] happens at one step. When the machine is started again
//! ([`Machine::restart`]), what was not synced is forgotten, or kept, or kept
//! in part ([`Survives`]). The disk is as unhelpful as POSIX allows: a file's
//! name is durable only after its directory was synced, and what a failed sync
//! left unwritten no later sync writes.

mod files;
mod rows;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axigen_store::backend::Backend;
use axigen_store::disk::Disk;
use parking_lot::Mutex;

use files::Files;
use rows::Rows;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Write,
    Cut,
    Sync,
    Create,
    MakeDir,
    SyncDir,
    Rename,
    Link,
    Remove,
    Commit,
}

/// What goes wrong at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It gives an error. Whether a commit or a sync did anything is not known.
    Fails,
    /// It finds no space, and does nothing.
    Full,
    /// Half of it is written, and then there is no space.
    Short,
    /// It says that all is durable, and nothing is.
    Lies,
    /// The machine stops before it.
    StopsBefore,
    /// The machine stops when half of it is done.
    StopsAmid,
    /// The machine stops when it is done and nobody was told.
    StopsAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 7] = [
        Fault::Fails,
        Fault::Full,
        Fault::Short,
        Fault::Lies,
        Fault::StopsBefore,
        Fault::StopsAmid,
        Fault::StopsAfter,
    ];

    /// Whether it can happen to such a step.
    pub fn happens_to(self, kind: Kind) -> bool {
        match self {
            Fault::Fails | Fault::StopsBefore | Fault::StopsAfter => true,
            Fault::Full => !matches!(kind, Kind::Cut | Kind::SyncDir | Kind::Remove),
            Fault::Short => kind == Kind::Write,
            Fault::Lies => matches!(kind, Kind::Sync | Kind::SyncDir | Kind::Commit),
            Fault::StopsAmid => matches!(kind, Kind::Write | Kind::Sync | Kind::Commit),
        }
    }

    /// Whether the machine is off after it.
    pub fn stops(self) -> bool {
        matches!(
            self,
            Fault::StopsBefore | Fault::StopsAmid | Fault::StopsAfter
        )
    }
}

/// What is left when the machine starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Survives {
    /// What was synced. The power went.
    Synced,
    /// What was written as well: it happened to be on disk.
    Everything,
    /// Some of what was written, chosen by this number; a write may be torn.
    Some(u64),
    /// What was written, but it is not durable yet: only the process died. If
    /// the power goes later, it may still be forgotten.
    Process,
}

/// See the module. Clones are the same machine; [`Machine::fork`] makes
/// another.
#[derive(Debug, Clone)]
pub struct Machine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default, Clone)]
struct State {
    files: Files,
    rows: Rows,
    steps: Vec<Kind>,
    fault: Option<(usize, Fault)>,
    off: bool,
    /// How often it was started: who still works with an older one is told
    /// that it is off.
    life: u64,
}

/// What is done about a step.
enum Verdict {
    Do,
    Fault(Fault),
}

impl State {
    /// Counts a step; an error if the machine is off.
    fn step(&mut self, life: u64, kind: Kind) -> io::Result<Verdict> {
        self.on(life)?;
        let number = self.steps.len();
        self.steps.push(kind);
        match self.fault {
            Some((at, fault)) if at == number && fault.happens_to(kind) => {
                self.off = fault.stops();
                Ok(Verdict::Fault(fault))
            }
            _ => Ok(Verdict::Do),
        }
    }

    fn on(&self, life: u64) -> io::Result<()> {
        match self.off || life != self.life {
            true => Err(off()),
            false => Ok(()),
        }
    }
}

fn off() -> io::Error {
    io::Error::other("the machine is off")
}

fn broken() -> io::Error {
    io::Error::other("the cable fell out")
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl Machine {
    /// A machine on which this directory is, durably, and nothing else.
    pub fn with_directory(dir: &Path) -> Machine {
        let mut state = State::default();
        state.files.begin(dir);
        Machine {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Another machine with the same content, its steps counted from 0.
    pub fn fork(&self) -> Machine {
        let mut state = self.state.lock().clone();
        state.steps.clear();
        state.fault = None;
        Machine {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Makes a step, counted from 0, go wrong.
    pub fn fail_at(&self, step: usize, fault: Fault) {
        self.state.lock().fault = Some((step, fault));
    }

    /// The steps so far.
    pub fn steps(&self) -> Vec<Kind> {
        self.state.lock().steps.clone()
    }

    /// Whether it has stopped.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Stops it, if it has not stopped, and starts it again. Counts from 0.
    pub fn restart(&self, survives: Survives) {
        let mut state = self.state.lock();
        state.files.stop(survives);
        state.rows.stop(survives);
        state.steps.clear();
        state.fault = None;
        state.off = false;
        state.life += 1;
    }

    /// Its disk.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(files::MachineDisk::of(self))
    }

    /// Its metadata. Opening makes what is found durable, as a journal that is
    /// replayed is.
    pub fn rows(&self) -> Arc<dyn Backend> {
        Arc::new(rows::MachineRows::of(self))
    }
}

/// A number that looks random, of two.
fn mix(seed: u64, salt: u64) -> u64 {
    let mut x = seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for shift in [30, 27, 31] {
        x = (x ^ (x >> shift)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    x ^ (x >> 29)
}
