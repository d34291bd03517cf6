//! A dictionary of the store's own.

use std::sync::Arc;

use super::line::wait;
use super::{Shared, Store};
use crate::blob::{BlobRef, dictionary};
use crate::error::{Error, Result};

/// Of so many samples one is not trained on, but shows what the dictionary is
/// worth.
const APART: usize = 5;

/// How a dictionary is trained.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Length of the dictionary, in bytes: at most
    /// [`LONGEST`](dictionary::LONGEST). 64 KB.
    pub length: usize,
    /// Most blobs that samples are taken of; of more, chance decides. 10,000.
    pub samples: usize,
    /// With fewer blobs than this none is trained. 500.
    pub fewest: usize,
    /// How much of the beginning of each blob is a sample, in bytes. 8 KB.
    pub sample: u64,
    /// It is kept only if it saves this many percent of what the samples take
    /// with the current one. 3.
    pub gain: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            length: 64 << 10,
            samples: 10_000,
            fewest: 500,
            sample: 8 << 10,
            gain: 3,
        }
    }
}

/// What training came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trained {
    /// Samples that it was trained on, and tried with.
    pub samples: u64,
    /// What the samples that it was tried with take with the dictionary that
    /// was current, in bytes.
    pub before: u64,
    /// What they take with the new one. 0 if none was made: the samples are too
    /// few, or have too little in common.
    pub with: u64,
    /// Its number, if it is kept: new blobs are compressed with it from now on,
    /// and what is rewritten.
    pub kept: Option<u16>,
}

impl Store {
    /// Trains a dictionary on what is in the store, and keeps it if it is worth
    /// it. Mail that is like other mail in the store then takes less. Blobs
    /// stay as they are until a sweep rewrites them. Beside everything else;
    /// reads the rows of all blobs, and some blobs.
    ///
    /// Parts of blobs that were typical stay in the dictionary when the blobs
    /// themselves are gone.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a blob store that keeps no dictionaries, or a
    /// length beyond [`LONGEST`](dictionary::LONGEST); [`Error::Full`]; those
    /// of the backend and the blob store.
    pub async fn train(&self, options: TrainOptions) -> Result<Trained> {
        let shared = Arc::clone(&self.inner.shared);
        shared.health.writable()?;
        if options.length == 0 || options.length > dictionary::LONGEST {
            return Err(Error::Invalid(format!(
                "a dictionary of {} bytes, 1 to {} are allowed",
                options.length,
                dictionary::LONGEST
            )));
        }
        tokio::task::spawn_blocking(move || train(&shared, &options))
            .await
            .map_err(|error| Error::io("training a dictionary", std::io::Error::other(error)))?
    }
}

fn train(shared: &Arc<Shared>, options: &TrainOptions) -> Result<Trained> {
    let chosen = wait(shared.choose(options.samples))?;
    let mut none = Trained {
        samples: 0,
        before: 0,
        with: 0,
        kept: None,
    };
    let (mut samples, mut apart) = (Vec::new(), Vec::new());
    for (at, blob) in chosen.iter().enumerate() {
        shared.health.writable()?;
        match wait(shared.read(blob, 0..options.sample)) {
            Ok(sample) if at % APART == 0 => apart.push(sample),
            Ok(sample) => samples.push(sample),
            // It may have been forgotten meanwhile. What is damaged is for
            // the scrub to report.
            Err(Error::NotFound | Error::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    none.samples = (samples.len() + apart.len()) as u64;
    if (none.samples as usize) < options.fewest {
        return Ok(none);
    }
    let made = dictionary::train(&shared.dictionaries, &samples, &apart, options.length);
    let Some((bytes, with, before)) = made else {
        return Ok(none);
    };
    let worth =
        u128::from(with) * 100 <= u128::from(before) * u128::from(100 - options.gain.min(100));
    let kept = match worth {
        true => Some(wait(shared.blobs.keep_dictionary(bytes))?),
        false => None,
    };
    tracing::info!(?kept, before, with, "trained a dictionary");
    Ok(Trained {
        before,
        with,
        kept,
        ..none
    })
}

impl Shared {
    /// At most so many blobs, each with the same chance; none that are parts
    /// of others, which are mostly not text.
    async fn choose(&self, most: usize) -> Result<Vec<BlobRef>> {
        let mut chosen: Vec<BlobRef> = Vec::new();
        let mut seen: u64 = 0;
        let mut parts = std::collections::HashSet::new();
        let snapshot = self.backend.snapshot().await?;
        self.each_blob(&snapshot, |hash, row| {
            parts.extend(row.parts.iter().copied());
            if row.refs == 0 || row.raw_len == 0 {
                return Ok(());
            }
            let len = row.raw_len;
            seen += 1;
            if chosen.len() < most {
                chosen.push(BlobRef { hash, len });
                return Ok(());
            }
            // A hash is as good as a number by chance; its end, since its
            // beginning is the order of the rows.
            let chance = hash
                .last_chunk::<8>()
                .map_or(0, |end| u64::from_be_bytes(*end))
                % seen;
            if let Some(place) = usize::try_from(chance)
                .ok()
                .and_then(|at| chosen.get_mut(at))
            {
                *place = BlobRef { hash, len };
            }
            Ok(())
        })
        .await?;
        chosen.retain(|blob| !parts.contains(&blob.hash));
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::blob::{BlobIn, SweepOptions};
    use crate::store::{BackupOptions, Options, RestoreOptions, Salvage};
    use crate::{AccountId, Batch, Op, Part};

    use bytes::Bytes;

    const WORDS: [&str; 8] = [
        "zeppelin", "quartz", "oyster", "lantern", "meadow", "violin", "granite", "tundra",
    ];

    /// Short texts that have much in common with each other, and nothing with
    /// mail.
    fn text(n: usize) -> Bytes {
        let line = |salt: usize| -> String {
            let words = (0..12).map(|at| WORDS[(n / 3 * salt + at * at * salt) % WORDS.len()]);
            words.collect::<Vec<_>>().join("::")
        };
        Bytes::from(format!("#{n:06}#{}#{}#{}", line(3), line(5), line(7)))
    }

    async fn fill(store: &Store, numbers: std::ops::Range<usize>) -> Vec<BlobRef> {
        let blobs = numbers.map(|n| BlobIn::new(text(n), "a label")).collect();
        let refs = store.put(blobs).await.unwrap();
        let part = Part {
            account: AccountId(1),
            ops: refs.iter().cloned().map(Op::Retain).collect(),
            ..Part::default()
        };
        store.commit(Batch { parts: vec![part] }).await.unwrap();
        refs
    }

    async fn all_there(store: &Store, refs: &[BlobRef]) {
        for (n, blob) in refs.iter().enumerate() {
            assert_eq!(store.read(blob, 0..u64::MAX).await.unwrap(), text(n), "{n}");
        }
    }

    fn options() -> Options {
        Options {
            upkeep: Duration::ZERO,
            reserve: 0,
            ..Options::default()
        }
    }

    async fn open(dir: &Path) -> Store {
        Store::open_with(dir, options()).await.unwrap()
    }

    /// Everything is rewritten.
    fn rewrite() -> SweepOptions {
        SweepOptions {
            percent: 101,
            tail: true,
            ..SweepOptions::default()
        }
    }

    #[tokio::test]
    async fn what_is_trained_is_used_and_outlives_everything() {
        let dir = tempfile::TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let store = open(&at("store")).await;
        let few = store.train(TrainOptions::default()).await.unwrap();
        assert_eq!((few.samples, few.kept), (0, None));
        let mut refs = fill(&store, 0..1000).await;
        let before = store.space().await.unwrap().live;
        let trained = store.train(TrainOptions::default()).await.unwrap();
        assert_eq!(trained.kept, Some(2), "{trained:?}");
        assert!(trained.with * 10 < trained.before * 9, "{trained:?}");
        // The same again is not worth another.
        let again = store.train(TrainOptions::default()).await.unwrap();
        assert_eq!(again.kept, None, "{again:?}");
        // New ones use it, old ones when they are rewritten.
        refs.extend(fill(&store, 1000..2000).await);
        store.close().await.unwrap();
        let after = {
            let store = open(&at("store")).await;
            all_there(&store, &refs).await;
            let half = store.space().await.unwrap().live - before;
            assert!(half * 10 < before * 9, "{half} {before}");
            half
        };
        assert!(after > 0);
        // One of its two files may go at any time.
        std::fs::remove_file(at("store").join("packs/dict/0002.zdict")).unwrap();
        let store = reopen(&at("store")).await;
        all_there(&store, &refs).await;
        assert!(at("store").join("packs/dict/0002.zdict").exists());
        let swept = store.sweep(rewrite()).await.unwrap();
        assert_eq!((swept.moved, swept.removed), (2000, 1), "{swept:?}");
        all_there(&store, &refs).await;
        let all = store.space().await.unwrap().live;
        assert!(all <= 2 * after, "{all} {after}");
        // It is in a backup, and in what is made of one.
        let backup = at("backup");
        let how = BackupOptions {
            reserve: 0,
            ..BackupOptions::default()
        };
        store.backup(&backup, how, |_| {}).await.unwrap();
        store.close().await.unwrap();
        let checked = Store::check_backup(&backup, RestoreOptions::default(), |_| {}).await;
        assert_eq!(checked.unwrap().damaged, Vec::<String>::new());
        let restored = at("restored");
        Store::restore(&backup, &restored, RestoreOptions::default(), |_| {})
            .await
            .unwrap();
        let again = open(&restored).await;
        all_there(&again, &refs).await;
        again.close().await.unwrap();
        // And with nothing but the packs.
        std::fs::remove_dir_all(restored.join("meta")).unwrap();
        let salvage: Salvage = Store::salvage(&restored, options(), |_, _| {})
            .await
            .unwrap();
        assert_eq!(salvage.report().lost, Vec::<String>::new());
        all_there(salvage.store(), &refs).await;
        salvage.finish().await.unwrap();
    }

    async fn reopen(dir: &Path) -> Store {
        // The directory is unlocked when the last clone is gone.
        for _ in 0..100 {
            match Store::open_with(dir, options()).await {
                Err(Error::Locked(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                opened => return opened.unwrap(),
            }
        }
        panic!("it stays locked");
    }

    #[tokio::test]
    async fn without_it_nothing_wrong_is_read() {
        let dir = tempfile::TempDir::new().unwrap();
        let store = open(dir.path()).await;
        fill(&store, 0..1000).await;
        store.train(TrainOptions::default()).await.unwrap();
        let refs = fill(&store, 1000..1010).await;
        store.close().await.unwrap();
        for name in ["0002.zdict", "0002.copy"] {
            std::fs::remove_file(dir.path().join("packs/dict").join(name)).unwrap();
        }
        let store = open(dir.path()).await;
        for blob in &refs {
            let read = store.read(blob, 0..u64::MAX).await;
            let Err(Error::Corrupt(why)) = read else {
                panic!("{read:?}");
            };
            assert!(why.contains("dictionary 2"), "{why}");
        }
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_too_long_or_worth_nothing_is_not_kept() {
        let store = Store::memory().await.unwrap();
        let options = TrainOptions {
            length: dictionary::LONGEST + 1,
            ..TrainOptions::default()
        };
        assert!(matches!(store.train(options).await, Err(Error::Invalid(_))));
        // Noise has nothing in common.
        let noise = |n: u32| {
            let mut bytes = vec![0; 600];
            let mut hasher = blake3::Hasher::new();
            hasher.update(&n.to_be_bytes());
            hasher.finalize_xof().fill(&mut bytes);
            BlobIn::new(bytes, "a label")
        };
        let refs = store.put((0..1000).map(noise).collect()).await.unwrap();
        let part = Part {
            account: AccountId(1),
            ops: refs.into_iter().map(Op::Retain).collect(),
            ..Part::default()
        };
        store.commit(Batch { parts: vec![part] }).await.unwrap();
        let trained = store.train(TrainOptions::default()).await.unwrap();
        assert_eq!((trained.samples, trained.kept), (1000, None), "{trained:?}");
    }
}
