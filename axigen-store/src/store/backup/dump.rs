//! `rows.dump`, see the [module above](super).

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use zstd::bulk::{Compressor, Decompressor};

use super::super::open::LAYOUT;
use super::super::rows::Sum;
use crate::batch::Key;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};

/// Its name in a backup.
pub(super) const NAME: &str = "rows.dump";

const MAGIC: &[u8; 8] = b"AXIGENRD";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const CHUNK: &[u8; 4] = b"AXRC";
const CHUNK_HEAD: usize = 32;
const END: &[u8; 4] = b"AXRE";
const END_LEN: usize = 64;
/// Rows go to the next chunk after this many bytes.
const CUT: usize = 1 << 20;
/// No chunk is longer than this, uncompressed: a single row is not.
const MOST: u32 = 1 << 30;

/// Writes a dump.
pub(super) struct Writer {
    file: Arc<dyn DiskFile>,
    compressor: Compressor<'static>,
    at: u64,
    chunks: u64,
    /// Rows that wait for their chunk, and how many.
    raw: BytesMut,
    waiting: u32,
    last: Option<Key>,
    sum: Sum,
}

impl Writer {
    pub(super) fn create(disk: &dyn Disk, path: &Path, level: i32) -> Result<Self> {
        let failed = |error| Error::io(format!("creating {}", path.display()), error);
        let compressor = Compressor::new(level).map_err(failed)?;
        let file = disk.create(path).map_err(failed)?;
        let mut header = BytesMut::with_capacity(HEADER);
        header.put_slice(MAGIC);
        header.put_u32(VERSION);
        header.put_u32(LAYOUT);
        header.put_bytes(0, 12);
        let crc = crc32c::crc32c(&header);
        header.put_u32(crc);
        let mut writer = Writer {
            file,
            compressor,
            at: 0,
            chunks: 0,
            raw: BytesMut::new(),
            waiting: 0,
            last: None,
            sum: Sum::default(),
        };
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds a row behind all others; says how many bytes were written.
    pub(super) fn push(&mut self, key: &Key, value: &Bytes) -> Result<u64> {
        if self.last.as_ref().is_some_and(|last| last >= key) {
            return Err(Error::Corrupt(
                "the backend gives its rows in no order".into(),
            ));
        }
        let len = 8 + key.len() + value.len();
        if len > MOST as usize {
            return Err(Error::TooLarge("a row for a backup".into()));
        }
        let mut written = 0;
        if self.waiting > 0 && self.raw.len() + len > CUT {
            written = self.flush()?;
        }
        self.raw.put_u32(key.len() as u32);
        self.raw.put_u32(value.len() as u32);
        self.raw.put_slice(key);
        self.raw.put_slice(value);
        self.waiting += 1;
        self.sum.add(key, value);
        self.last = Some(key.clone());
        Ok(written)
    }

    fn flush(&mut self) -> Result<u64> {
        let stored = self
            .compressor
            .compress(&self.raw)
            .map_err(|error| Error::io("compressing rows", error))?;
        let mut chunk = BytesMut::with_capacity(CHUNK_HEAD + stored.len());
        chunk.put_slice(CHUNK);
        chunk.put_u32(0);
        chunk.put_u64(self.chunks);
        chunk.put_u32(self.waiting);
        chunk.put_u32(self.raw.len() as u32);
        chunk.put_u32(stored.len() as u32);
        chunk.put_u32(0);
        chunk.put_slice(&stored);
        seal(&mut chunk);
        self.write(&chunk)?;
        self.chunks += 1;
        self.waiting = 0;
        self.raw.clear();
        Ok(chunk.len() as u64)
    }

    /// Writes the end, durably; gives the length of the file, and what is in it.
    pub(super) fn finish(mut self) -> Result<(u64, Sum)> {
        if self.waiting > 0 {
            self.flush()?;
        }
        let mut end = BytesMut::with_capacity(END_LEN);
        end.put_slice(END);
        end.put_u32(0);
        end.put_u64(self.chunks);
        end.put_u64(self.sum.rows);
        end.put_u64(self.sum.bytes);
        end.put_slice(&self.sum.hash());
        seal(&mut end);
        self.write(&end)?;
        self.file
            .sync()
            .map_err(|error| Error::io(format!("syncing {NAME}"), error))?;
        Ok((self.at, self.sum))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_at(bytes, self.at)
            .map_err(|error| Error::io(format!("writing {NAME}"), error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Puts the checksum of what follows it at its place, behind the magic.
fn seal(record: &mut BytesMut) {
    let crc = crc32c::crc32c(record.get(8..).unwrap_or_default());
    if let Some(place) = record.get_mut(4..8) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
}

/// Reads a dump.
#[derive(Debug)]
pub(super) struct Reader {
    file: Arc<dyn DiskFile>,
    path: String,
    len: u64,
    at: u64,
    chunks: u64,
    last: Option<Key>,
    sum: Sum,
}

impl Reader {
    /// Opens one, and checks its header.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let path_text = path.display().to_string();
        let failed = |error| Error::io(format!("opening {path_text}"), error);
        let file = disk.open(path).map_err(failed)?;
        let len = file.size().map_err(failed)?;
        let mut reader = Reader {
            file,
            path: path_text,
            len,
            at: 0,
            chunks: 0,
            last: None,
            sum: Sum::default(),
        };
        let header = reader.read(HEADER)?;
        let corrupt = || reader.corrupt("the header");
        let (text, crc) = header.split_last_chunk::<4>().ok_or_else(corrupt)?;
        if !text.starts_with(MAGIC) || crc32c::crc32c(text).to_be_bytes() != *crc {
            return Err(corrupt());
        }
        let mut text = text.get(MAGIC.len()..).unwrap_or_default();
        let (version, layout) = (text.get_u32(), text.get_u32());
        if (version, layout) != (VERSION, LAYOUT) {
            return Err(Error::Invalid(format!(
                "{} is of version {version}, of layout {layout}; this program knows version {VERSION} of layout {LAYOUT}",
                reader.path
            )));
        }
        Ok(reader)
    }

    /// The rows of the next chunk; `None` once all were given, and are what
    /// was written.
    pub(super) fn next(&mut self) -> Result<Option<Vec<(Key, Bytes)>>> {
        let number = self.chunks;
        let head = self.read(CHUNK_HEAD)?;
        if head.starts_with(END) {
            let rest = self.read(END_LEN - CHUNK_HEAD)?;
            return self.end(&[&head[..], &rest].concat()).map(|()| None);
        }
        let corrupt = |this: &Self| this.corrupt(&format!("chunk {number}"));
        let mut fields = head.clone();
        let magic = fields.split_to(4);
        let crc = fields.get_u32();
        let (is, rows, raw, stored) = (
            fields.get_u64(),
            fields.get_u32(),
            fields.get_u32(),
            fields.get_u32(),
        );
        if &magic[..] != CHUNK || is != number || raw > MOST {
            return Err(corrupt(self));
        }
        let stored = self.read(stored as usize)?;
        let sum = crc32c::crc32c(head.get(8..).unwrap_or_default());
        if crc32c::crc32c_append(sum, &stored) != crc {
            return Err(corrupt(self));
        }
        let raw_len = raw as usize;
        let raw = Decompressor::new()
            .and_then(|mut zstd| zstd.decompress(&stored, raw_len))
            .map_err(|_| corrupt(self))?;
        if raw.len() != raw_len {
            return Err(corrupt(self));
        }
        let found = self.rows(raw.into()).ok_or_else(|| corrupt(self))?;
        if found.len() != rows as usize {
            return Err(corrupt(self));
        }
        self.chunks += 1;
        Ok(Some(found))
    }

    /// What was read so far; of all when it is at its end.
    pub(super) fn sum(&self) -> &Sum {
        &self.sum
    }

    fn rows(&mut self, mut raw: Bytes) -> Option<Vec<(Key, Bytes)>> {
        let mut rows = Vec::new();
        while !raw.is_empty() {
            let key = raw.try_get_u32().ok()? as usize;
            let value = raw.try_get_u32().ok()? as usize;
            if raw.len() < key.checked_add(value)? {
                return None;
            }
            let (key, value) = (raw.split_to(key), raw.split_to(value));
            if self.last.as_ref().is_some_and(|last| *last >= key) {
                return None;
            }
            self.sum.add(&key, &value);
            self.last = Some(key.clone());
            rows.push((key, value));
        }
        Some(rows)
    }

    fn end(&self, end: &[u8]) -> Result<()> {
        let corrupt = || self.corrupt("the end");
        let (head, mut fields) = end.split_at_checked(8).ok_or_else(corrupt)?;
        if head.get(4..) != Some(&crc32c::crc32c(fields).to_be_bytes()[..]) {
            return Err(corrupt());
        }
        let (chunks, rows, bytes) = (fields.get_u64(), fields.get_u64(), fields.get_u64());
        let is = (self.chunks, self.sum.rows, self.sum.bytes);
        if (chunks, rows, bytes) != is || fields != self.sum.hash() {
            return Err(Error::Corrupt(format!(
                "{} holds {} rows and says that there are {rows}, or they are others",
                self.path, self.sum.rows
            )));
        }
        if self.at != self.len {
            return Err(self.corrupt("what follows the end"));
        }
        Ok(())
    }

    fn read(&mut self, len: usize) -> Result<Bytes> {
        // A damaged length must not ask for more memory than there are bytes.
        if self.len.saturating_sub(self.at) < len as u64 {
            return Err(Error::Corrupt(format!(
                "{} ends before its rows do",
                self.path
            )));
        }
        let mut bytes = BytesMut::zeroed(len);
        match self.file.read_at(&mut bytes, self.at) {
            Ok(()) => {
                self.at += len as u64;
                Ok(bytes.freeze())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Error::Corrupt(format!(
                "{} ends before its rows do",
                self.path
            ))),
            Err(error) => Err(Error::io(format!("reading {}", self.path), error)),
        }
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt(format!("{what} of {} is damaged", self.path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::RealDisk;

    fn read(path: &Path) -> Result<(Vec<(Key, Bytes)>, Sum)> {
        let mut reader = Reader::open(&RealDisk, path)?;
        let mut rows = Vec::new();
        while let Some(chunk) = reader.next()? {
            rows.extend(chunk);
        }
        Ok((rows, reader.sum().clone()))
    }

    #[test]
    fn rows_come_back_and_nothing_damaged_is_believed() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join(NAME);
        // None, one that fills a chunk, and some that need several.
        for lens in [vec![], vec![0, 3, CUT + 1, 5], vec![CUT / 2 - 100; 5]] {
            let rows: Vec<(Key, Bytes)> = lens
                .iter()
                .enumerate()
                .map(|(n, len)| (vec![n as u8; n + 1].into(), vec![n as u8; *len].into()))
                .collect();
            let mut writer = Writer::create(&RealDisk, &path, 3).unwrap();
            for (key, value) in &rows {
                writer.push(key, value).unwrap();
            }
            let (len, sum) = writer.finish().unwrap();
            let (found, read_sum) = read(&path).unwrap();
            assert_eq!(found, rows);
            assert!(sum.is(&read_sum));
            let whole = std::fs::read(&path).unwrap();
            assert_eq!(whole.len() as u64, len);
            for at in 0..whole.len() {
                let mut bad = whole.clone();
                bad[at] ^= 1 << (at % 8);
                std::fs::write(&path, bad).unwrap();
                assert!(read(&path).is_err(), "byte {at}");
                std::fs::write(&path, &whole[..at]).unwrap();
                assert!(read(&path).is_err(), "cut at {at}");
            }
            std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
            assert!(read(&path).is_err());
        }
    }

    #[test]
    fn chunks_are_not_left_out_or_exchanged() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join(NAME);
        let mut writer = Writer::create(&RealDisk, &path, 1).unwrap();
        let (mut starts, mut at) = (vec![HEADER], HEADER);
        for n in 0..4u8 {
            let written = writer.push(&vec![n].into(), &vec![n; CUT - 10].into());
            at += written.unwrap() as usize;
            starts.push(at);
        }
        let last = &Bytes::from_static(b"\x03");
        assert!(writer.push(last, last).is_err(), "twice the same key");
        writer.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let (first, second) = (&whole[HEADER..starts[2]], &whole[starts[2]..starts[3]]);
        let (head, rest) = (&whole[..HEADER], &whole[starts[3]..]);
        for bad in [
            [head, second, first, rest].concat(),
            [head, first, rest].concat(),
            [head, first, first, second, rest].concat(),
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(read(&path), Err(Error::Corrupt(_))));
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path).unwrap().0.len(), 4);
    }

    #[test]
    fn the_layout_is_the_one_that_format_names() {
        let dir = tempfile::TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let store = crate::Store::open(dir.path()).await.unwrap();
            store.close().await.unwrap();
        });
        let format = std::fs::read_to_string(dir.path().join("FORMAT")).unwrap();
        assert!(format.starts_with(&format!("axigen store, layout {LAYOUT}\n")));
    }
}
