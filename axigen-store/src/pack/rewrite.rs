//! Giving space back: what is still wanted of a pack is copied to a new one,
//! then the old one is removed.
//!
//! The new pack is written under another name and gets its own when all of it
//! is durable, so a crash leaves nothing half. Then the rows are told the new
//! places. Only when no row names the old pack any more, counted and looked
//! up, it goes; so what cannot be read stays where it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{BufMut, Bytes, BytesMut};

use super::record::{FILE_HEADER, Header, Kind, Origin, deleted, file_header, noted};
use super::scan::{CHUNK, records};
use super::{Packs, read};
use crate::blob::dictionary::Effort;
use crate::blob::{BlobLoc, LiveSet, SweepOptions, SweepReport, seal};
use crate::disk::DiskFile;
use crate::error::{Error, Result};

/// Places asked about, or told, at a time.
const BATCH: usize = 512;

/// A record to be copied.
struct Copy {
    from: BlobLoc,
    header: Header,
    label: Bytes,
    payload: Bytes,
}

pub(super) async fn run(
    packs: &Packs,
    live: &dyn LiveSet,
    options: &SweepOptions,
) -> Result<SweepReport> {
    let mut report = SweepReport::default();
    if options.tail {
        packs.seal_tail()?;
    }
    let mut poor = candidates(packs, live, options).await?;
    // What need not be copied makes room for the rest.
    poor.sort_by_key(|(_, live)| *live > 0);
    let mut target = None;
    let mut stopped = None;
    for (number, live_bytes) in &poor {
        if *live_bytes == 0 && remove(packs, *number, live, &mut report).await? {
            continue;
        }
        if let Err(error) = copy(packs, *number, live, options, &mut target, &mut report).await {
            stopped = Some(error);
            break;
        }
    }
    match (target, stopped) {
        (Some(target), None) => target.finish(packs, live, &mut report).await?,
        (Some(target), Some(error)) => {
            target.abandon(packs);
            return Err(error);
        }
        (None, Some(error)) => return Err(error),
        (None, None) => {}
    }
    for (number, _) in poor {
        remove(packs, number, live, &mut report).await?;
    }
    Ok(report)
}

/// Packs of which too little is wanted, and how much that is.
async fn candidates(
    packs: &Packs,
    live: &dyn LiveSet,
    options: &SweepOptions,
) -> Result<Vec<(u64, u64)>> {
    // The pack that is appended to is looked up first: what is not it now
    // will never be it.
    let all = packs.packs.lock().clone();
    let tail = packs.tail_number();
    let wanted = live.by_file().await?;
    let poor = |live: u64, len: u64| {
        u128::from(live) * 100 < u128::from(len) * u128::from(options.percent)
    };
    let mut found = Vec::new();
    for (number, len) in all {
        let mut bytes = wanted.get(&number).copied().unwrap_or(0);
        if Some(number) == tail || !poor(bytes, len) {
            continue;
        }
        bytes = bytes.saturating_add(notes(packs, number, live).await?);
        if poor(bytes, len) {
            found.push((number, bytes));
        }
    }
    Ok(found)
}

/// Copies what is wanted of a pack.
async fn copy(
    packs: &Packs,
    number: u64,
    live: &dyn LiveSet,
    options: &SweepOptions,
    target: &mut Option<Target>,
    report: &mut SweepReport,
) -> Result<()> {
    let file = packs.file(number)?;
    let mut head = [0; FILE_HEADER as usize];
    let again =
        file.read_at(&mut head, 0).is_ok() && head == file_header(number, Origin::Rewritten);
    let mut damaged = false;
    for chunk in records(packs, number)?.chunks(BATCH) {
        let locs: Vec<BlobLoc> = chunk
            .iter()
            .map(|(at, header)| header.loc(number, *at))
            .collect();
        let wanted = live.live(&locs).await?;
        for (((at, header), from), wanted) in chunk.iter().zip(locs).zip(wanted) {
            let wanted = match header.kind {
                Kind::Blob => wanted,
                Kind::Deletion | Kind::Note => true,
            };
            if !wanted {
                continue;
            }
            let end = at + header.payload_at() + header.payload;
            let body = read(&*file, number, at + super::record::HEADER as u64..end)?;
            live.pace(body.len() as u64).await?;
            if crc32c::crc32c(&body) != header.body {
                damaged = true;
                tracing::error!(
                    pack = number,
                    offset = at,
                    "a damaged record is left where it is"
                );
                continue;
            }
            let label = body.slice(..usize::from(header.label));
            let payload = body.slice(usize::from(header.label)..);
            let mut item = Copy {
                from,
                header: header.clone(),
                label,
                payload,
            };
            match item.header.kind {
                Kind::Blob => {
                    if options.recompress && !again {
                        item = harder(packs, item);
                    }
                }
                // A deletion is of use as long as what it names is there.
                Kind::Deletion => match deleted(&item.payload) {
                    Some((file, _)) if file != number && packs.packs.lock().contains_key(&file) => {
                    }
                    _ => continue,
                },
                Kind::Note => {
                    if !wanted_note(&item.header, &item.payload, live).await? {
                        continue;
                    }
                }
            }
            if target
                .as_ref()
                .is_some_and(|target| !target.fits(&item, packs.limit))
                && let Some(full) = target.take()
            {
                full.finish(packs, live, report).await?;
            }
            let target = match target {
                Some(target) => target,
                None => target.insert(Target::begin(packs)?),
            };
            target.push(packs, item)?;
        }
    }
    report.damaged += u64::from(damaged);
    Ok(())
}

/// A note is of use as long as one of its blobs is there.
async fn wanted_note(header: &Header, payload: &Bytes, live: &dyn LiveSet) -> Result<bool> {
    let Some(note) = noted(header, payload) else {
        return Ok(false);
    };
    Ok(note.about.is_empty() || live.known(&note.about).await?.contains(&true))
}

/// Bytes of a pack's records that are notes of use.
async fn notes(packs: &Packs, number: u64, live: &dyn LiveSet) -> Result<u64> {
    let mut bytes = 0;
    let mut file = None;
    for (at, header) in records(packs, number)? {
        if header.kind != Kind::Note {
            continue;
        }
        let file = match &file {
            Some(file) => file,
            None => file.insert(packs.file(number)?),
        };
        let payload = at + header.payload_at();
        let payload = read(&**file, number, payload..payload + header.payload)?;
        live.pace(payload.len() as u64).await?;
        if crc32c::crc32c(&payload) == header.body && wanted_note(&header, &payload, live).await? {
            bytes += header.record_len();
        }
    }
    Ok(bytes)
}

/// Compresses it anew, if that makes it shorter.
fn harder(packs: &Packs, item: Copy) -> Copy {
    let dictionaries = &*packs.dictionaries;
    // What a later version wrote is copied as it is.
    let Ok((kind, bytes)) = seal::unseal(&item.payload, &item.header.hash, dictionaries) else {
        return item;
    };
    let hash = &item.header.hash;
    let payload = seal::seal(kind, &bytes, hash, dictionaries, Effort::Thorough);
    if payload.len() >= item.payload.len() {
        return item;
    }
    let header = Header {
        payload: payload.len() as u64,
        body: crc32c::crc32c_append(crc32c::crc32c(&item.label), &payload),
        ..item.header
    };
    Copy {
        header,
        payload,
        ..item
    }
}

/// Removes a pack that nobody wants anything of; says whether it is gone.
async fn remove(
    packs: &Packs,
    number: u64,
    live: &dyn LiveSet,
    report: &mut SweepReport,
) -> Result<bool> {
    let Some(len) = packs.packs.lock().get(&number).copied() else {
        return Ok(true);
    };
    for chunk in records(packs, number)?.chunks(BATCH) {
        let blobs = chunk.iter().filter(|(_, header)| header.kind == Kind::Blob);
        let locs: Vec<BlobLoc> = blobs.map(|(at, header)| header.loc(number, *at)).collect();
        if live.live(&locs).await?.contains(&true) {
            return Ok(false);
        }
    }
    // Counted last: whoever waited for its row a moment ago has it now. And
    // counted besides: a row may name a record whose header is damaged.
    if live.by_file().await?.get(&number).copied().unwrap_or(0) != 0 {
        return Ok(false);
    }
    let path = packs.path(number);
    {
        // A backup that begins now finds it gone, or keeps it.
        let mut all = packs.packs.lock();
        if !live.may_remove() {
            return Ok(false);
        }
        all.remove(&number);
    }
    packs.files.write().remove(&number);
    // Should one of these come back after a crash, it is removed again.
    let _ = packs.disk.remove(&path.with_extension("idx"));
    packs
        .disk
        .remove(&path)
        .map_err(|error| Error::io(format!("removing {}", path.display()), error))?;
    report.removed += 1;
    report.freed += len;
    Ok(true)
}

/// The pack that is being written.
struct Target {
    number: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    written: u64,
    buffer: BytesMut,
    moves: Vec<(BlobLoc, BlobLoc)>,
}

impl Target {
    fn begin(packs: &Packs) -> Result<Self> {
        if packs.room()? < packs.reserve {
            return Err(Error::Full);
        }
        let number = {
            let mut tail = packs.tail.lock();
            tail.next += 1;
            tail.next - 1
        };
        let path = packs.path(number).with_extension("pack.new");
        let create = || {
            packs.directory_of(number)?;
            packs.disk.create(&path)
        };
        let file =
            create().map_err(|error| Error::io(format!("creating {}", path.display()), error))?;
        Ok(Target {
            number,
            path,
            file,
            written: 0,
            buffer: BytesMut::from(&file_header(number, Origin::Rewritten)[..]),
            moves: Vec::new(),
        })
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn fits(&self, item: &Copy, limit: u64) -> bool {
        self.end() == FILE_HEADER || self.end().saturating_add(item.header.record_len()) <= limit
    }

    fn push(&mut self, packs: &Packs, item: Copy) -> Result<()> {
        let at = self.end();
        item.header.write(self.number, at, &mut self.buffer);
        self.buffer.put_slice(&item.label);
        self.buffer.put_slice(&item.payload);
        self.buffer.put_bytes(0, item.header.padding());
        if item.header.kind == Kind::Blob {
            self.moves
                .push((item.from, item.header.loc(self.number, at)));
        }
        if self.buffer.len() >= CHUNK {
            self.flush(packs)?;
        }
        Ok(())
    }

    fn flush(&mut self, packs: &Packs) -> Result<()> {
        self.file
            .write_at(&self.buffer, self.written)
            .map_err(|error| Error::io(format!("writing {}", self.path.display()), error))?;
        self.written += self.buffer.len() as u64;
        packs.bytes.fetch_add(self.buffer.len() as u64, Relaxed);
        self.buffer.clear();
        Ok(())
    }

    /// Makes it durable, gives it its name, and tells the rows.
    async fn finish(
        mut self,
        packs: &Packs,
        live: &dyn LiveSet,
        report: &mut SweepReport,
    ) -> Result<()> {
        let path = packs.path(self.number);
        let done = self.flush(packs).and_then(|()| {
            let run = || {
                self.file.sync()?;
                packs.disk.rename(&self.path, &path)?;
                packs.disk.sync_dir(path.parent().unwrap_or(&packs.dir))
            };
            run().map_err(|error| Error::io(format!("completing {}", path.display()), error))
        });
        if let Err(error) = done {
            self.abandon(packs);
            return Err(error);
        }
        packs.packs.lock().insert(self.number, self.written);
        packs.syncs.fetch_add(1, Relaxed);
        report.written += self.written;
        report.moved += self.moves.len() as u64;
        while !self.moves.is_empty() {
            let rest = self.moves.split_off(self.moves.len().min(BATCH));
            live.moved(std::mem::replace(&mut self.moves, rest)).await?;
        }
        Ok(())
    }

    /// Nobody was told of it. If removing fails, the next opening does it.
    fn abandon(self, packs: &Packs) {
        let _ = packs.disk.remove(&self.path);
    }
}
