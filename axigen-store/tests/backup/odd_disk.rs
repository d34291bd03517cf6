//! A disk that is full, or has no links.
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use axigen_store::disk::{Disk, DiskFile, Entry, RealDisk};
use axigen_store::store::{Engine, RestoreOptions};
use axigen_store::{Error, Store};
use tempfile::TempDir;

use super::world::*;

/// The operating system's disk, without links, and full after so many bytes.
#[derive(Debug, Clone)]
pub(crate) struct Odd {
    pub left: Arc<AtomicU64>,
    pub room: u64,
}

impl Default for Odd {
    fn default() -> Self {
        Odd {
            left: Arc::new(AtomicU64::new(u64::MAX)),
            room: u64::MAX,
        }
    }
}

#[derive(Debug)]
struct OddFile(Arc<dyn DiskFile>, Odd);

impl Disk for Odd {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OddFile(RealDisk.open(path)?, self.clone())))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OddFile(RealDisk.create(path)?, self.clone())))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn room(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.room)
    }
}

impl DiskFile for OddFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let takes = bytes.len() as u64;
        let fits = |left: u64| left.checked_sub(takes);
        match self.1.left.fetch_update(SeqCst, SeqCst, fits) {
            Ok(_) => self.0.write_at(bytes, offset),
            Err(_) => Err(ErrorKind::StorageFull.into()),
        }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_harms_nobody() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let store = filled(&at("store"), Engine::Fjall, 30).await;
    let with = |left: u64| {
        let mut options = fast();
        let left = Arc::new(AtomicU64::new(left));
        options.disk = Arc::new(Odd {
            left,
            room: u64::MAX,
        });
        options
    };
    let needs = store
        .backup(&at("whole"), with(1 << 40), |_| {})
        .await
        .unwrap();
    let mut rounds = 0;
    for left in (0..needs.written + 300).step_by(needs.written as usize / 25) {
        let full = store.backup(&at("backup"), with(left), |_| {}).await;
        assert!(matches!(full, Err(Error::Full)), "{left}: {full:?}");
        refused(check(&at("backup")).await, "broken off");
        // What was written is gone, so that there is room.
        let bytes: usize = files(&at("backup")).values().map(Vec::len).sum();
        assert_eq!(bytes, 0, "{left}");
        let name = format!("full/1/{left}");
        let blob = put(&store, &name).await;
        store.commit(batch(1, &name, blob.clone())).await.unwrap();
        store.commit(removal(1, &name, blob)).await.unwrap();
        rounds += 1;
    }
    assert!(rounds > 20);
    // The store needs what is left.
    let mut tight = with(1 << 40);
    tight.disk = Arc::new(Odd {
        room: 1 << 20,
        ..Odd::default()
    });
    let full = store.backup(&at("backup"), tight, |_| {}).await;
    assert!(matches!(full, Err(Error::Full)));
    consistent(&store).await;
    store.backup(&at("backup"), fast(), |_| {}).await.unwrap();
    store.close().await.unwrap();
    // Restoring to a full disk.
    for left in (0..needs.written / 2).step_by(needs.written as usize / 10) {
        let mut options = RestoreOptions::default();
        let left = Arc::new(AtomicU64::new(left));
        options.disk = Arc::new(Odd { left, room: 0 });
        let full = Store::restore(&at("backup"), &at("again"), options, |_| {}).await;
        assert!(matches!(full, Err(Error::Full)), "{full:?}");
        refused(Store::open(&at("again")).await, "broken off");
    }
    restores(&at("backup"), &at("again")).await;
}
