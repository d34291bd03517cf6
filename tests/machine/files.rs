//! The machine's disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axigen_store::disk::{Disk, DiskFile, Entry};

use super::{Fault, Kind, Machine, Survives, Verdict, broken, full, mix, off};

/// Files and directories, as they are and as they are on the medium.
#[derive(Debug, Default, Clone)]
pub(super) struct Files {
    names: Names,
    durable: Names,
    /// Changes of names that are not durable, in order.
    renamed: Vec<Change>,
    nodes: BTreeMap<u64, Node>,
    last: u64,
}

#[derive(Debug, Default, Clone)]
struct Names {
    files: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Dir(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Change::Link(path, _) | Change::Unlink(path) | Change::Dir(path) => {
                path.parent() == Some(dir)
            }
            Change::Rename(_, to) => to.parent() == Some(dir),
        }
    }
}

impl Names {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link(path, node) => {
                self.files.insert(path.clone(), *node);
            }
            Change::Unlink(path) => {
                self.files.remove(path);
            }
            Change::Dir(path) => {
                self.dirs.insert(path.clone());
            }
            Change::Rename(from, to) => {
                if let Some(node) = self.files.remove(from) {
                    self.files.insert(to.clone(), node);
                }
            }
        }
    }
}

/// The content of a file.
#[derive(Debug, Default, Clone)]
struct Node {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What the next sync brings from the one to the other.
    pending: Vec<Edit>,
    /// What a failed sync left: no sync brings it any more, and it may be on
    /// the medium or not.
    lost: Vec<Edit>,
}

#[derive(Debug, Clone)]
enum Edit {
    Write(u64, Vec<u8>),
    Len(u64),
}

impl Edit {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Edit::Write(at, bytes) => {
                let (at, end) = (*at as usize, *at as usize + bytes.len());
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[at..end].copy_from_slice(bytes);
            }
            Edit::Len(len) => content.resize(*len as usize, 0),
        }
    }

    /// The first half of it.
    fn half(&self) -> Edit {
        match self {
            Edit::Write(at, bytes) => Edit::Write(*at, bytes[..bytes.len() / 2].to_vec()),
            Edit::Len(len) => Edit::Len(*len),
        }
    }
}

impl Node {
    fn edit(&mut self, edit: Edit) {
        edit.apply(&mut self.now);
        self.pending.push(edit);
    }

    fn sync(&mut self) {
        for edit in self.pending.drain(..) {
            edit.apply(&mut self.durable);
        }
    }
}

impl Files {
    /// A directory that was always there.
    pub(super) fn begin(&mut self, dir: &Path) {
        for names in [&mut self.names, &mut self.durable] {
            names.dirs.extend(dir.ancestors().map(Path::to_owned));
        }
    }

    fn rename(&mut self, change: Change) {
        self.names.apply(&change);
        self.renamed.push(change);
    }

    fn sync_dir(&mut self, dir: &Path) {
        let renamed = std::mem::take(&mut self.renamed);
        let (now, later): (Vec<_>, Vec<_>) =
            renamed.into_iter().partition(|change| change.is_in(dir));
        for change in now {
            self.durable.apply(&change);
        }
        self.renamed = later;
    }

    pub(super) fn stop(&mut self, survives: Survives) {
        let seed = match survives {
            Survives::Process => return,
            Survives::Some(seed) => Some(seed),
            Survives::Synced | Survives::Everything => None,
        };
        let everything = survives == Survives::Everything;
        // A file system that keeps a journal keeps changes of names in order.
        let kept = match seed {
            Some(seed) => (mix(seed, 1) % (self.renamed.len() as u64 + 1)) as usize,
            None if everything => self.renamed.len(),
            None => 0,
        };
        for change in self.renamed.drain(..).take(kept) {
            self.durable.apply(&change);
        }
        self.renamed.clear();
        let dirs = &self.durable.dirs;
        self.durable
            .files
            .retain(|path, _| path.parent().is_some_and(|dir| dirs.contains(dir)));
        self.names = self.durable.clone();
        for (number, node) in &mut self.nodes {
            let edits: Vec<Edit> = node.lost.drain(..).chain(node.pending.drain(..)).collect();
            for (at, edit) in edits.into_iter().enumerate() {
                let chosen = match seed {
                    Some(seed) => mix(seed, number * 1000 + at as u64) % 3,
                    None => 2 * u64::from(everything),
                };
                match chosen {
                    0 => {}
                    1 => edit.half().apply(&mut node.durable),
                    _ => edit.apply(&mut node.durable),
                }
            }
            node.now = node.durable.clone();
        }
        let named: BTreeSet<u64> = self.names.files.values().copied().collect();
        self.nodes.retain(|number, _| named.contains(number));
    }
}

/// The disk of a machine that was started once.
#[derive(Debug)]
pub(super) struct MachineDisk {
    machine: Machine,
    life: u64,
}

impl MachineDisk {
    pub(super) fn of(machine: &Machine) -> Self {
        MachineDisk {
            machine: machine.clone(),
            life: machine.state.lock().life,
        }
    }

    /// A change of names.
    fn change(&self, kind: Kind, change: Change) -> Result<()> {
        let mut state = self.machine.state.lock();
        let verdict = state.step(self.life, kind)?;
        match verdict {
            Verdict::Do => state.files.rename(change),
            Verdict::Fault(Fault::StopsAfter) => {
                state.files.rename(change);
                return Err(off());
            }
            Verdict::Fault(Fault::Full) => return Err(full()),
            Verdict::Fault(Fault::Fails) => return Err(broken()),
            Verdict::Fault(_) => return Err(off()),
        }
        Ok(())
    }

    fn file(&self, node: u64) -> Arc<dyn DiskFile> {
        Arc::new(MachineFile {
            machine: self.machine.clone(),
            life: self.life,
            node,
        })
    }
}

impl Disk for MachineDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let state = self.machine.state.lock();
        state.on(self.life)?;
        let node = state.files.names.files.get(path).copied();
        drop(state);
        node.map(|node| self.file(node))
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let node = {
            let mut state = self.machine.state.lock();
            state.on(self.life)?;
            let parent = path.parent().unwrap_or(path);
            if !state.files.names.dirs.contains(parent) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if let Some(node) = state.files.names.files.get(path).copied() {
                drop(state);
                let file = self.file(node);
                file.set_len(0)?;
                return Ok(file);
            }
            state.files.last += 1;
            let node = state.files.last;
            state.files.nodes.insert(node, Node::default());
            node
        };
        self.change(Kind::Create, Change::Link(path.to_owned(), node))?;
        Ok(self.file(node))
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        let state = self.machine.state.lock();
        state.on(self.life)?;
        let files = &state.files;
        if !files.names.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        let dirs = files.names.dirs.iter().filter(inside).map(|path| Entry {
            name: name(path),
            is_dir: true,
            len: 0,
        });
        let entries = files.names.files.iter();
        let entries = entries
            .filter(|(path, _)| inside(path))
            .map(|(path, node)| Entry {
                name: name(path),
                is_dir: false,
                len: files.nodes.get(node).map_or(0, |node| node.now.len()) as u64,
            });
        Ok(dirs.chain(entries).collect())
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        let missing: Vec<PathBuf> = {
            let state = self.machine.state.lock();
            state.on(self.life)?;
            let missing = dir
                .ancestors()
                .filter(|dir| !state.files.names.dirs.contains(*dir));
            missing.map(Path::to_owned).collect()
        };
        for dir in missing.into_iter().rev() {
            self.change(Kind::MakeDir, Change::Dir(dir))?;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let mut state = self.machine.state.lock();
        match state.step(self.life, Kind::SyncDir)? {
            Verdict::Do => state.files.sync_dir(dir),
            Verdict::Fault(Fault::Lies) => {}
            Verdict::Fault(Fault::StopsAfter) => {
                state.files.sync_dir(dir);
                return Err(off());
            }
            Verdict::Fault(Fault::Fails) => return Err(broken()),
            Verdict::Fault(_) => return Err(off()),
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let state = self.machine.state.lock();
        state.on(self.life)?;
        let there = state.files.names.files.contains_key(from);
        drop(state);
        if !there {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = Change::Rename(from.to_owned(), to.to_owned());
        self.change(Kind::Rename, change)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let state = self.machine.state.lock();
        state.on(self.life)?;
        let files = &state.files.names.files;
        let (node, taken) = (files.get(from).copied(), files.contains_key(to));
        drop(state);
        match (node, taken) {
            (None, _) => Err(io::ErrorKind::NotFound.into()),
            (_, true) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(node), false) => self.change(Kind::Link, Change::Link(to.to_owned(), node)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let state = self.machine.state.lock();
        state.on(self.life)?;
        let there = state.files.names.files.contains_key(path);
        drop(state);
        if !there {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Kind::Remove, Change::Unlink(path.to_owned()))
    }

    fn room(&self, _dir: &Path) -> Result<u64> {
        self.machine.state.lock().on(self.life)?;
        Ok(1 << 40)
    }
}

#[derive(Debug)]
struct MachineFile {
    machine: Machine,
    life: u64,
    node: u64,
}

impl MachineFile {
    fn node<T>(&self, run: impl FnOnce(&mut Node) -> Result<T>) -> Result<T> {
        let mut state = self.machine.state.lock();
        state.on(self.life)?;
        run(state.files.nodes.entry(self.node).or_default())
    }

    fn edit(&self, kind: Kind, edit: Edit) -> Result<()> {
        let mut state = self.machine.state.lock();
        let verdict = state.step(self.life, kind)?;
        let node = state.files.nodes.entry(self.node).or_default();
        match verdict {
            Verdict::Do => {
                node.edit(edit);
                Ok(())
            }
            Verdict::Fault(Fault::StopsAfter) => {
                node.edit(edit);
                Err(off())
            }
            Verdict::Fault(Fault::StopsAmid) => {
                node.edit(edit.half());
                Err(off())
            }
            Verdict::Fault(Fault::Short) => {
                node.edit(edit.half());
                Err(full())
            }
            Verdict::Fault(Fault::Full) => Err(full()),
            Verdict::Fault(Fault::StopsBefore) => Err(off()),
            Verdict::Fault(_) => Err(broken()),
        }
    }
}

impl DiskFile for MachineFile {
    fn size(&self) -> Result<u64> {
        self.node(|node| Ok(node.now.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.node(|node| {
            let at = offset as usize;
            let bytes = at
                .checked_add(buffer.len())
                .and_then(|end| node.now.get(at..end))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.edit(Kind::Write, Edit::Write(offset, bytes.to_vec()))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.edit(Kind::Cut, Edit::Len(len))
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.machine.state.lock();
        let verdict = state.step(self.life, Kind::Sync)?;
        let node = state.files.nodes.entry(self.node).or_default();
        match verdict {
            Verdict::Do => {
                node.sync();
                Ok(())
            }
            Verdict::Fault(Fault::Lies) => Ok(()),
            Verdict::Fault(Fault::StopsAfter) => {
                node.sync();
                Err(off())
            }
            Verdict::Fault(Fault::StopsAmid) => {
                let half = node.pending.len().div_ceil(2);
                for edit in node.pending.drain(..half) {
                    edit.half().apply(&mut node.durable);
                }
                Err(off())
            }
            Verdict::Fault(Fault::StopsBefore) => Err(off()),
            Verdict::Fault(fault) => {
                // The kernel thinks that these are written.
                node.lost.append(&mut node.pending);
                Err(if fault == Fault::Full {
                    full()
                } else {
                    broken()
                })
            }
        }
    }
}
