//! Blobs: large pieces of bytes, kept once by content address.
//!
//! [`Store::put`](crate::Store::put) hashes and compresses a blob; what comes
//! out is *sealed* ([`seal`]) and goes to a [`BlobStore`], or, when it is
//! short and without a label, into the blob's row. The row ([`BlobRow`]) in the
//! backend says where a blob is and counts the references to it; it is written
//! by the first batch that retains the blob.
//!
//! A blob whose last reference went stays for a while, so that a reader that
//! has just looked it up, or a new reference, still finds it. Then
//! [`Store::sweep`](crate::Store::sweep) removes its row, and the blob store
//! gives its space back.

pub mod dictionary;
pub mod encoding;
pub mod pieces;
mod row;
pub mod seal;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backend::Written;
use crate::error::Result;

pub use dictionary::Dictionaries;
pub use pieces::{Piece, Recipe, Stretch};
pub use row::{BlobRow, Place};

/// A blob in the store: its address and its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// Length of the content in bytes.
    pub len: u64,
}

/// What goes into [`Store::put`](crate::Store::put).
#[derive(Debug, Clone)]
pub struct BlobIn {
    /// The content.
    pub bytes: Bytes,
    /// An opaque label that stands beside the content on disk and lets
    /// `salvage` rebuild what refers to it if the metadata is lost. Of content
    /// that is in the store already, the first label stays, and this one
    /// becomes a [`Note`]. At most [`LABEL`] bytes.
    pub label: Bytes,
    /// Parts of the content that are to be kept once, wherever else they
    /// occur; in order, none overlapping another. At most
    /// [`pieces::MOST`] of them are. Of use from some 10 KB on.
    pub pieces: Vec<Piece>,
}

impl BlobIn {
    /// A blob in one piece.
    pub fn new(bytes: impl Into<Bytes>, label: impl Into<Bytes>) -> Self {
        BlobIn {
            bytes: bytes.into(),
            label: label.into(),
            pieces: Vec::new(),
        }
    }
}

/// Longest label, in bytes.
pub const LABEL: usize = u16::MAX as usize;

/// A blob as it goes to a [`BlobStore`].
#[derive(Debug, Clone)]
pub struct SealedBlob {
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// Length of the content in bytes.
    pub raw_len: u64,
    /// The blobs that it is put together from, each once.
    pub parts: Vec<[u8; 32]>,
    /// See [`BlobIn::label`].
    pub label: Bytes,
    /// The content, [sealed](seal).
    pub bytes: Bytes,
}

/// What became of blobs after they were put: their labels say what was to
/// become of them then. Only `salvage` reads it, so it is opaque to the store,
/// kept as long as one of the blobs is, and need not survive a loss of power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Hashes of the blobs; a note about none is kept for ever.
    pub about: Vec<[u8; 32]>,
    /// What there is to say.
    pub bytes: Bytes,
}

/// Where a [`BlobStore`] put a blob. What the numbers mean is its own matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobLoc {
    /// BLAKE3-256 of the content.
    pub hash: [u8; 32],
    /// Which file, or any number that the blob store likes.
    pub file: u64,
    /// Where in the file.
    pub offset: u64,
    /// Length of the sealed bytes.
    pub len: u64,
    /// What it takes in the file beyond its sealed bytes. The store adds up
    /// `len + extra` of all blobs of a file; see [`LiveSet::by_file`].
    pub extra: u32,
}

/// Keeps sealed bytes.
#[async_trait]
pub trait BlobStore: Debug + Send + Sync + 'static {
    /// Keeps a group of blobs, and says where, in order. All are durable on
    /// `Ok`. After an error none may be counted on; one that
    /// [is fatal](crate::Error::is_fatal) poisons the store.
    ///
    /// The store calls this from one thread of its own, one group at a time,
    /// so it may block.
    async fn put(&self, items: &[SealedBlob]) -> Result<Vec<BlobLoc>>;

    /// Reads a part of the sealed bytes; cut to their length. Whoever reads
    /// them checks their checksums.
    ///
    /// A place that was given up ([`LiveSet::moved`]) may be asked for by a
    /// reader that looked it up before: an error is right then, and the reader
    /// looks again.
    async fn get(&self, loc: &BlobLoc, range: Range<u64>) -> Result<Bytes>;

    /// The rows of these blobs are gone, and nobody will ask for them. Need
    /// not be durable: what remains is found by [`BlobStore::sweep`].
    async fn delete(&self, locs: &[BlobLoc]) -> Result<()>;

    /// Keeps a note. Need not be durable. A blob store that cannot be salvaged
    /// needs none.
    async fn note(&self, note: &Note) -> Result<()> {
        let _ = note;
        Ok(())
    }

    /// Gives space back, also that of blobs that no row ever named. May block;
    /// runs beside everything else, but never twice at a time.
    async fn sweep(&self, live: &dyn LiveSet, options: &SweepOptions) -> Result<SweepReport>;

    /// What is kept, in the order of files and offsets, from a place on: at
    /// most `limit` blobs and notes. For upkeep and rescue; may block.
    async fn list(&self, from: (u64, u64), limit: usize) -> Result<Listing>;

    /// The files that hold what was durable before the call, for a backup:
    /// all of them, each with how much of it is durable.
    ///
    /// The default gives [`Error::Invalid`](crate::Error::Invalid): not every
    /// blob store is in files.
    async fn files(&self) -> Result<Vec<BlobFile>> {
        Err(crate::Error::Invalid(
            "what is not kept in files cannot be backed up as files".into(),
        ))
    }

    /// The dictionaries that blobs are compressed with and read with.
    ///
    /// The default has none but those that are part of the program.
    fn dictionaries(&self) -> Arc<Dictionaries> {
        Arc::default()
    }

    /// Keeps a dictionary, durably, as the [next](Dictionaries::next) of its
    /// [dictionaries](BlobStore::dictionaries), and then adds it to them. Gives
    /// its number. As long as any blob is kept, it must not get lost.
    ///
    /// The default gives [`Error::Invalid`](crate::Error::Invalid): the store
    /// then goes on with what is part of the program.
    async fn keep_dictionary(&self, bytes: Bytes) -> Result<u16> {
        let _ = bytes;
        Err(crate::Error::Invalid(
            "this blob store keeps no dictionaries".into(),
        ))
    }

    /// Bytes held on disk, those that nothing refers to included.
    async fn held(&self) -> Result<u64>;

    /// What was written so far.
    fn stat(&self) -> Written {
        Written::default()
    }

    /// Closes.
    async fn close(&self) -> Result<()>;
}

/// What the rows say of blobs; what a [`BlobStore`] asks while it sweeps.
#[async_trait]
pub trait LiveSet: Send + Sync {
    /// Bytes (`len + extra`) that are wanted, by file: those that rows name,
    /// and those that were put and wait for their rows. Not those that
    /// [`BlobStore::put`] is writing at this moment: their places are known
    /// to the blob store alone.
    async fn by_file(&self) -> Result<BTreeMap<u64, u64>>;

    /// Which of these places are wanted: a row names them, a blob that was put
    /// waits there for its row, or [`BlobStore::put`] has not yet returned.
    async fn live(&self, locs: &[BlobLoc]) -> Result<Vec<bool>>;

    /// Which of these blobs have a row, or wait for one.
    async fn known(&self, hashes: &[[u8; 32]]) -> Result<Vec<bool>>;

    /// The blobs of the first places are, durably, also at the second ones:
    /// from now on the rows name those. A row that names another place stays.
    async fn moved(&self, moves: Vec<(BlobLoc, BlobLoc)>) -> Result<()>;

    /// Whether files whose blobs are all elsewhere may go now. Not while a
    /// backup copies them.
    fn may_remove(&self) -> bool;

    /// Waits as long as it takes to keep to the rate, so many bytes having
    /// been read or written; an error when the store is being closed.
    async fn pace(&self, bytes: u64) -> Result<()>;
}

/// How a sweep is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SweepOptions {
    /// How long a blob stays after its last reference went. Until then it can
    /// be referred to again, and who has just looked it up can read it. Must
    /// not be shorter than the time between a put and the batch that retains
    /// what was put. 24 h.
    pub grace: Duration,
    /// Most bytes read and written in a second. 32 MB.
    pub rate: u64,
    /// A file of which less than this many percent are wanted is rewritten.
    /// 60.
    pub percent: u64,
    /// Whether what is rewritten is compressed anew, harder. Yes.
    pub recompress: bool,
    /// Whether the file that is appended to may be rewritten too: another is
    /// begun for what comes. No.
    pub tail: bool,
}

impl Default for SweepOptions {
    fn default() -> Self {
        SweepOptions {
            grace: Duration::from_secs(24 * 3600),
            rate: 32 << 20,
            percent: 60,
            recompress: true,
            tail: false,
        }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Rows of blobs removed, as nothing referred to them any more.
    pub forgotten: u64,
    /// Blobs copied elsewhere.
    pub moved: u64,
    /// Bytes they took there.
    pub written: u64,
    /// Files removed.
    pub removed: u64,
    /// Bytes of these files.
    pub freed: u64,
    /// Files that should have been rewritten and were left alone, as they are
    /// damaged.
    pub damaged: u64,
}

/// A file of a [`BlobStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobFile {
    /// Its name within the blob store: names of letters, digits, `.`, `-` and
    /// `_`, with slashes between them.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How much of it is durable, in bytes.
    pub len: u64,
    /// Whether it stays as it is until it is removed.
    pub sealed: bool,
}

/// A part of what a [`BlobStore`] keeps.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The blobs.
    pub blobs: Vec<Listed>,
    /// Places that were given up by [`BlobStore::delete`]: file and offset.
    pub deleted: Vec<(u64, u64)>,
    /// Notes.
    pub notes: Vec<Note>,
    /// Where to go on; `None` at the end.
    pub next: Option<(u64, u64)>,
}

/// A blob that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where.
    pub loc: BlobLoc,
    /// Length of the content in bytes.
    pub raw_len: u64,
    /// Its label.
    pub label: Bytes,
}
