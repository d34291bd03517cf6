//! What backup and restore do with files.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::error::{Error, Result};

/// Bytes copied at a time.
const STRIDE: u64 = 1 << 20;

/// Keeps to a rate, and looks now and then whether the work may go on.
pub(super) struct Pace<'a> {
    rate: u64,
    stride: u64,
    since: Instant,
    done: u64,
    look: &'a dyn Fn() -> Result<()>,
}

impl<'a> Pace<'a> {
    /// So many bytes a second; `look` is called about every megabyte.
    pub(super) fn new(rate: u64, look: &'a dyn Fn() -> Result<()>) -> Self {
        let rate = rate.max(1);
        Pace {
            rate,
            // A slow one shall not stand still for long.
            stride: rate.clamp(4096, STRIDE),
            since: Instant::now(),
            done: 0,
            look,
        }
    }

    /// So many bytes were read or written: waits as long as it takes.
    pub(super) fn take(&mut self, bytes: u64) -> Result<()> {
        self.done += bytes;
        if self.done < self.stride {
            return Ok(());
        }
        (self.look)()?;
        let wanted = self.done as f64 / self.rate as f64;
        let mut left = wanted - self.since.elapsed().as_secs_f64();
        while left > 0.0 {
            // The thread is the backup's own. A long pause is broken off when
            // the store is closed.
            std::thread::sleep(Duration::from_secs_f64(left.min(1.0)));
            left -= 1.0;
            (self.look)()?;
        }
        self.since = Instant::now();
        self.done = 0;
        Ok(())
    }
}

/// A whole file, which is not expected to be longer than `most`.
pub(super) fn read_all(disk: &dyn Disk, path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.size()?;
    if len > most {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Makes a file of these bytes, durable but for its name.
pub(super) fn write_all(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let run = || {
        let file = disk.create(path)?;
        if !bytes.is_empty() {
            file.write_at(bytes, 0)?;
        }
        file.sync()
    };
    run().map_err(|error| Error::io(format!("writing {}", path.display()), error))
}

/// Copies the first `len` bytes of a file, durably but for its name.
pub(super) fn copy(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    len: u64,
    pace: &mut Pace<'_>,
    mut say: impl FnMut(u64),
) -> Result<()> {
    let reading = |error: io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::Corrupt(format!(
            "{} is shorter than the {len} bytes it should have",
            from.display()
        )),
        _ => Error::io(format!("reading {}", from.display()), error),
    };
    let writing = |error| Error::io(format!("writing {}", to.display()), error);
    let source = disk.open(from).map_err(reading)?;
    let target = disk.create(to).map_err(writing)?;
    let stride = pace.stride;
    let mut chunk = vec![0; stride.min(len) as usize];
    let mut at = 0;
    while at < len {
        let part = chunk
            .get_mut(..stride.min(len - at) as usize)
            .unwrap_or_default();
        source.read_at(part, at).map_err(reading)?;
        target.write_at(part, at).map_err(writing)?;
        at += part.len() as u64;
        pace.take(part.len() as u64)?;
        say(part.len() as u64);
    }
    target.sync().map_err(writing)
}

/// Makes a directory and those above it, all durable.
pub(super) fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let missing =
        |dir: &Path| matches!(disk.list(dir), Err(error) if error.kind() == ErrorKind::NotFound);
    let made: Vec<&Path> = dir.ancestors().take_while(|dir| missing(dir)).collect();
    let run = || {
        disk.create_dir(dir)?;
        // Its own name also if it is there: whoever made it may have been
        // stopped before that was durable.
        let made = match made.is_empty() {
            true => vec![dir],
            false => made.clone(),
        };
        made.into_iter()
            .try_for_each(|made| disk.sync_dir(made.parent().unwrap_or(made)))
    };
    run().map_err(|error| Error::io(format!("creating {}", dir.display()), error))
}

/// Removes the files in a directory and in those below it; it is no error if it
/// is not there. Directories stay.
pub(super) fn clear(disk: &dyn Disk, dir: &Path, spare: &dyn Fn(&Path) -> bool) -> Result<()> {
    let failed = |error| Error::io(format!("clearing {}", dir.display()), error);
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path: PathBuf = dir.join(&entry.name);
        if entry.is_dir {
            clear(disk, &path, spare)?;
        } else if !spare(&path) {
            disk.remove(&path).map_err(failed)?;
        }
    }
    Ok(())
}
