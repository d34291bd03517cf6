//! Making the metadata anew from the packs alone.
//!
//! The rows of blobs can be made from the blobs. What refers to them cannot:
//! that is for the caller, who reads their labels and notes
//! ([`Store::list_blobs`]) and retains what he finds. The new rows grow in a
//! directory beside the old ones and take their place when all is done, so a
//! salvage that was broken off is begun again, and nothing is lost by it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::adopt;
use super::line::wait;
use super::open::Root;
use super::{Options, Store, clock, engine};
use crate::backend::{Request, Upkeep, key};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::pack::Packs;

/// Rows written in one batch.
const BATCH: usize = 500;
/// Where the new rows grow, beside the old ones.
const NEW: &str = "salvage";

/// A store whose metadata is being made anew.
#[derive(Debug)]
pub struct Salvage {
    store: Store,
    dir: PathBuf,
    _root: Root,
    report: SalvageReport,
}

/// What was found in the packs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Blobs that were found whole.
    pub blobs: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Blobs that are lost, and why, in sentences.
    pub lost: Vec<String>,
}

impl Store {
    /// Opens the packs of a directory with new metadata: rows of all blobs,
    /// nothing else. `progress` is called with the blobs done, and their
    /// number.
    ///
    /// # Errors
    /// [`Error::Locked`]; [`Error::Invalid`] if the directory has no packs;
    /// [`Error::Io`].
    pub async fn salvage(
        dir: &Path,
        mut options: Options,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Salvage> {
        // Nothing of what is found may go before it is referred to.
        options.upkeep = Duration::ZERO;
        let dir = dir.to_owned();
        let work = move || {
            let root = Root::for_salvage(&dir, options.engine)?;
            let new = engine::beside(root.engine(), &dir, NEW);
            engine::remove(&new)?;
            let packs = Packs::open(&dir.join("packs"), options.pack, options.reserve)?;
            let backend = root.engine().open(&new, &options)?;
            let store = wait(Store::start(backend, Arc::new(packs), options, None))?;
            let report = fill(&store, progress)?;
            Ok(Salvage {
                store,
                dir,
                _root: root,
                report,
            })
        };
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let _runtime = runtime.enter();
            work()
        })
        .await
        .map_err(|error| Error::io("salvaging", std::io::Error::other(error)))?
    }
}

impl Salvage {
    /// The store, to be filled.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was found.
    pub fn report(&self) -> &SalvageReport {
        &self.report
    }

    /// Puts the new metadata in its place. The old, if there is some, is kept
    /// under another name, which is given back.
    ///
    /// # Errors
    /// Those of closing the store, and [`Error::Io`].
    pub async fn finish(self) -> Result<Option<PathBuf>> {
        self.store.close().await?;
        let (dir, meta) = (&self.dir, self._root.rows());
        let new = engine::beside(self._root.engine(), dir, NEW);
        let swap = || {
            let mut old = None;
            if meta.exists() {
                let aside = format!("before-salvage-{}", clock());
                let aside = engine::beside(self._root.engine(), dir, &aside);
                std::fs::rename(&meta, &aside)?;
                old = Some(aside);
            }
            std::fs::rename(&new, &meta)?;
            std::fs::File::open(dir)?.sync_all()?;
            Ok(old)
        };
        let old = swap()
            .map_err(|error| Error::io(format!("replacing {}", self.dir.display()), error))?;
        self._root.made(dir)?;
        Ok(old)
    }
}

fn fill(store: &Store, mut progress: impl FnMut(u64, u64)) -> Result<SalvageReport> {
    let shared = &store.inner.shared;
    let mut report = SalvageReport::default();
    let places = shared.places(|_| true)?;
    // In the order of the disk.
    let mut order: Vec<_> = places.iter().collect();
    order.sort_unstable_by_key(|(_, places)| places.last().map(|(loc, _)| (loc.file, loc.offset)));
    let total = order.len() as u64;
    let mut rows = HashMap::with_capacity(order.len());
    for (done, (hash, places)) in order.iter().enumerate() {
        progress(done as u64, total);
        match shared.find(hash, places)? {
            Ok(row) => {
                rows.insert(**hash, row);
            }
            Err(damage) => report.lost.push(damage.join("; ")),
        }
    }
    // What is put together from something lost is lost; a part has a reference
    // for each blob that is put together from it.
    let mut references: HashMap<[u8; 32], u64> = HashMap::new();
    let lost: Vec<[u8; 32]> = rows
        .iter()
        .filter(|(_, row)| row.parts.iter().any(|part| !rows.contains_key(part)))
        .map(|(hash, _)| *hash)
        .collect();
    for hash in lost {
        rows.remove(&hash);
        report
            .lost
            .push("a part of the blob is missing or damaged".into());
    }
    for part in rows.values().flat_map(|row| &row.parts) {
        *references.entry(*part).or_default() += 1;
    }
    let now = clock();
    let mut files: HashMap<u64, i64> = HashMap::new();
    let mut upkeep = Vec::new();
    for (hash, mut row) in rows {
        row.refs = references.get(&hash).copied().unwrap_or(0);
        row.zero_since = if row.refs == 0 { now } else { 0 };
        report.blobs += 1;
        if let Some((file, bytes)) = row.place.held() {
            report.bytes += bytes;
            *files.entry(file).or_default() += bytes as i64;
        }
        upkeep.extend(adopt::write(&hash, &row));
        if upkeep.len() >= BATCH {
            commit(store, std::mem::take(&mut upkeep))?;
        }
    }
    upkeep.extend(files.into_iter().map(|(file, bytes)| Upkeep::Mend {
        key: key::file(file),
        from: None,
        to: Some(bytes::Bytes::copy_from_slice(&bytes.to_be_bytes())),
    }));
    commit(store, upkeep)?;
    progress(total, total);
    Ok(report)
}

pub(super) fn commit(store: &Store, upkeep: Vec<Upkeep>) -> Result<()> {
    if upkeep.is_empty() {
        return Ok(());
    }
    let bytes = upkeep.len() * 200;
    let request = Request {
        upkeep,
        ..Request::from(Batch::default())
    };
    wait(store.inner.commits.ask(request, bytes))?;
    Ok(())
}
