//! Reading blobs.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::Shared;
use super::line::wait;
use super::places::Located;
use crate::backend::key;
use crate::blob::pieces::{self, Segment, Stretch};
use crate::blob::{BlobRef, BlobRow, Place, Recipe, seal};
use crate::error::{Error, Result};

/// Content up to this length, one frame, is read where the caller stands: a page
/// that is in the cache and 100 us of inflating cost less than a change of threads.
pub(super) const SHORT: u64 = seal::FRAME;
/// Read at first of a long blob: the table of up to 128 MB.
const HEAD: u64 = 4096;
/// Memory taken at once for what is put together; more as it comes.
const RESERVED: u64 = 1 << 20;
/// Deepest pieces within pieces.
const NESTED: usize = 4;

impl Shared {
    /// The row of a blob that is in the store or pending.
    pub(super) async fn row(&self, hash: &[u8; 32]) -> Result<Option<BlobRow>> {
        // The pending table first: a row moves from there to the backend, so
        // in this order it cannot be missed.
        if let Some(row) = self.pending.get(hash) {
            return Ok(Some(row));
        }
        let rows = self.backend.get(&[key::blob(hash)]).await?;
        match rows.into_iter().next().flatten() {
            Some(row) => BlobRow::decode(&row).map(Some),
            None => Ok(None),
        }
    }

    /// Where a blob's bytes are, as far as is known.
    pub(super) async fn located(&self, hash: &[u8; 32]) -> Result<Option<Located>> {
        match self.places.get(hash) {
            Some(located) => Ok(Some(located)),
            None => self.located_now(hash).await,
        }
    }

    /// Where they are, as its row says.
    async fn located_now(&self, hash: &[u8; 32]) -> Result<Option<Located>> {
        let located = self.row(hash).await?.map(Located::from);
        match &located {
            Some(located) => self.places.put(*hash, located),
            None => self.places.forget(hash),
        }
        Ok(located)
    }

    pub(super) async fn read(
        self: &std::sync::Arc<Self>,
        blob: &BlobRef,
        range: Range<u64>,
    ) -> Result<Bytes> {
        Ok(joined(self.read_as(blob, range, As::Content).await?))
    }

    /// Reads a range, in the form that is asked for.
    pub(super) async fn read_as(
        self: &std::sync::Arc<Self>,
        blob: &BlobRef,
        range: Range<u64>,
        form: As,
    ) -> Result<Vec<Stretch>> {
        let row = self.located(&blob.hash).await?.ok_or(Error::NotFound)?;
        let range = range.start.min(row.raw_len)..range.end.min(row.raw_len);
        let mut held = Held::default();
        if range.end.saturating_sub(range.start) <= SHORT {
            return self
                .settled(blob.hash, row, range, form, &mut held, 0)
                .await;
        }
        let shared = self.clone();
        let hash = blob.hash;
        let long = move || wait(shared.settled(hash, row, range, form, &mut held, 0));
        tokio::task::spawn_blocking(long)
            .await
            .map_err(|error| Error::io("reading a blob", std::io::Error::other(error)))?
    }

    /// Reads; and should the blob have been moved since it was located, reads
    /// where it is now.
    pub(super) async fn settled(
        &self,
        hash: [u8; 32],
        mut row: Located,
        range: Range<u64>,
        form: As,
        held: &mut Held,
        depth: usize,
    ) -> Result<Vec<Stretch>> {
        loop {
            let read = self.part(hash, &row, range.clone(), form, held, depth);
            let failed = match read.await {
                Ok(stretches) => return Ok(stretches),
                Err(error) => error,
            };
            *held = Held::default();
            match self.located_now(&hash).await? {
                Some(now) if now.place != row.place => row = now,
                Some(_) => return Err(failed),
                None => return Err(Error::NotFound),
            }
        }
    }

    /// Reads and checks what a range needs. The checksums of the frames tell of
    /// damage, and that of their table, which the address is in, of another
    /// blob's bytes; the hash of all is for those who verify and scrub.
    async fn part(
        &self,
        hash: [u8; 32],
        row: &Located,
        range: Range<u64>,
        form: As,
        held: &mut Held,
        depth: usize,
    ) -> Result<Vec<Stretch>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let source = Source {
            shared: self,
            hash,
            place: &row.place,
        };
        // It may have been moved since, and compressed anew.
        let same = |opened: &Opened| opened.hash == hash && opened.place == row.place;
        if !held.opened.as_ref().is_some_and(same) {
            let whole = range == (0..row.raw_len);
            held.opened = Some(source.open(whole && !row.has_parts).await?);
        }
        let Held {
            opened: Some(opened),
            inner,
        } = held
        else {
            return Err(Error::NotFound);
        };
        match opened.table.kind() {
            seal::Kind::Content if opened.table.content_len() == row.raw_len => {
                let start = range.start;
                let bytes = opened.held(&source, range).await?;
                Ok(vec![Stretch::plain(start, bytes)])
            }
            seal::Kind::Content => Err(Error::Corrupt("the length of a blob".into())),
            seal::Kind::Pieces => {
                // Pieces are not put together themselves. Two writers at the
                // very same moment may bring about one that is; never many.
                if depth > NESTED {
                    return Err(Error::Corrupt("pieces within pieces".into()));
                }
                let inner = inner.get_or_insert_default();
                let together = Together {
                    source: &source,
                    opened,
                    inner,
                    depth,
                };
                Box::pin(self.put_together(together, row.raw_len, range, form)).await
            }
        }
    }

    async fn put_together(
        &self,
        together: Together<'_>,
        raw_len: u64,
        range: Range<u64>,
        form: As,
    ) -> Result<Vec<Stretch>> {
        let Together {
            source,
            opened,
            inner,
            depth,
        } = together;
        if opened.list.is_none() {
            let first = opened.table.content_len().min(seal::FRAME);
            let held = opened.held(source, 0..first).await?;
            opened.list = Some(pieces::decode(&held)?);
        }
        let Some((segments, list)) = opened.list.clone() else {
            return Err(Error::NotFound);
        };
        let corrupt = || Error::Corrupt("the pieces of a blob".into());
        // The own bytes that are wanted lie one behind the other.
        let mut wanted = Vec::new();
        let (mut at, mut own) = (0u64, list);
        let mut span: Option<Range<u64>> = None;
        for segment in segments {
            let end = at.checked_add(segment.len()).ok_or_else(corrupt)?;
            let (from, to) = (range.start.max(at), range.end.min(end));
            let after = own.checked_add(segment.own()).ok_or_else(corrupt)?;
            if from < to {
                let within = from - at..to - at;
                let needs = match &segment {
                    Segment::Own(_) => own + within.start..own + within.end,
                    Segment::Within { kept, recipe, .. } => {
                        let needs = recipe.needs(&within, *kept);
                        own + needs.start..own + needs.end
                    }
                    Segment::Made { .. } => own..own,
                };
                if !needs.is_empty() {
                    let start = span.map_or(needs.start, |span| span.start);
                    span = Some(start..needs.end);
                }
                wanted.push((segment, within, needs));
            }
            (at, own) = (end, after);
        }
        if at != raw_len {
            return Err(corrupt());
        }
        let span = span.unwrap_or(list..list);
        let held = opened.held(source, span.clone()).await?;
        let length = range.end - range.start;
        let mut stretches = Vec::new();
        let mut content = BytesMut::with_capacity(length.min(RESERVED) as usize);
        // Where `content` begins, and where it ends.
        let (mut start, mut at) = (range.start, range.start);
        for (segment, within, needs) in wanted {
            let own = || {
                let start = needs.start.checked_sub(span.start)? as usize;
                let end = needs.end.checked_sub(span.start)? as usize;
                (start <= end && end <= held.len()).then(|| held.slice(start..end))
            };
            let len = within.end - within.start;
            let (kept, of, recipe) = match &segment {
                Segment::Own(_) => (own().ok_or_else(corrupt)?, len, Recipe::Plain),
                Segment::Within { kept, recipe, .. } => {
                    (own().ok_or_else(corrupt)?, *kept, *recipe)
                }
                Segment::Made { from, recipe, .. } => {
                    let kept = self.kept(from, recipe, &within, inner, depth).await?;
                    (kept, from.len, *recipe)
                }
            };
            let whole = len == segment.len() && kept.len() as u64 == of;
            if form == As::Kept && recipe != Recipe::Plain && whole {
                if recipe.made_len(of) != len {
                    return Err(corrupt());
                }
                if !content.is_empty() {
                    stretches.push(Stretch::plain(start, content.split().freeze()));
                }
                stretches.push(Stretch {
                    start: at,
                    len,
                    bytes: kept,
                    recipe,
                });
                start = at + len;
            } else {
                let before = content.len();
                recipe.make_into(&within, &kept, of, &mut content);
                if (content.len() - before) as u64 != len {
                    return Err(corrupt());
                }
            }
            at += len;
        }
        if at != range.end {
            return Err(corrupt());
        }
        if !content.is_empty() {
            stretches.push(Stretch::plain(start, content.freeze()));
        }
        Ok(stretches)
    }

    /// The bytes of a blob that a recipe makes a range from.
    async fn kept(
        &self,
        from: &BlobRef,
        recipe: &Recipe,
        wanted: &Range<u64>,
        held: &mut Held,
        depth: usize,
    ) -> Result<Bytes> {
        let row = self.located(&from.hash).await?;
        let row = row.filter(|row| row.raw_len == from.len);
        let row = row.ok_or_else(|| Error::Corrupt("a piece of a blob is missing".into()))?;
        let needs = recipe.needs(wanted, from.len);
        let stretches = self.settled(from.hash, row, needs, As::Content, held, depth + 1);
        Ok(joined(stretches.await?))
    }
}

/// The form that a range is read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// As it was put: at most one stretch, which is plain.
    Content,
    /// What is kept decoded stays so.
    Kept,
}

pub(super) fn joined(mut stretches: Vec<Stretch>) -> Bytes {
    match stretches.pop() {
        Some(only) if stretches.is_empty() => only.bytes,
        last => {
            let mut content = BytesMut::new();
            for stretch in stretches.into_iter().chain(last) {
                content.extend_from_slice(&stretch.content());
            }
            content.freeze()
        }
    }
}

/// What is at hand of a blob, and of the last one that it is put together from:
/// who reads it piece by piece opens nothing twice.
#[derive(Debug, Default)]
pub(super) struct Held {
    opened: Option<Opened>,
    inner: Option<Box<Held>>,
}

/// A blob that is put together.
struct Together<'a> {
    source: &'a Source<'a>,
    opened: &'a mut Opened,
    /// Of its pieces.
    inner: &'a mut Held,
    depth: usize,
}

/// A blob whose table was read.
#[derive(Debug)]
struct Opened {
    hash: [u8; 32],
    place: Place,
    table: seal::Table,
    /// The beginning of the sealed bytes, or all; nothing once that is not needed
    /// any more.
    head: Bytes,
    /// Its list of pieces, and how long that is, if it has one and it was read.
    list: Option<(Vec<Segment>, u64)>,
    /// The frame that was read last, and what it holds. The next piece begins in
    /// it, mostly.
    last: Option<(usize, Bytes)>,
}

impl Opened {
    /// A range of what the frames hold.
    async fn held(&mut self, source: &Source<'_>, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let dictionaries = &source.shared.dictionaries;
        let mut frames = self.table.frames(&range);
        let first = frames.start as u64 * seal::FRAME;
        let mut cut = range.start.saturating_sub(first) as usize..(range.end - first) as usize;
        let beyond = || Error::Corrupt("the length of a blob".into());
        let mut before = Bytes::new();
        if let Some((_, frame)) = self.last.as_ref().filter(|(at, _)| *at == frames.start) {
            if frames.len() == 1 {
                return match frame.get(cut.clone()) {
                    Some(_) => Ok(frame.slice(cut)),
                    None => Err(beyond()),
                };
            }
            before = frame.slice(cut.start.min(frame.len())..);
            cut = 0..(range.end - range.start) as usize;
            frames.start += 1;
        }
        let span = self.table.span(&frames);
        let stored = match self.head.get(span.start as usize..span.end as usize) {
            Some(stored) => self.head.slice_ref(stored),
            None => source.get(span).await?,
        };
        let content = self
            .table
            .open_behind(&before, &frames, &stored, dictionaries)?;
        if cut.end > content.len() {
            return Err(beyond());
        }
        // Of one that was read to its end nothing is read again, but of one that has
        // a list of pieces all was read for the list.
        let whole = range.end == self.table.content_len();
        if !whole || self.table.kind() == seal::Kind::Pieces {
            let at = frames.end.saturating_sub(1);
            let lies = (at - frames.start) * seal::FRAME as usize + before.len();
            let frame = content.slice(lies.min(content.len())..);
            self.last = Some((at, frame));
            if at == 0 && self.table.content_len() <= seal::FRAME {
                self.head = Bytes::new();
            }
        }
        Ok(content.slice(cut))
    }
}

/// The sealed bytes of one blob.
struct Source<'a> {
    shared: &'a Shared,
    hash: [u8; 32],
    place: &'a Place,
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self.place {
            Place::Inline { bytes, .. } => bytes.len() as u64,
            Place::Stored { len, .. } => *len,
        }
    }

    /// Reads the table, and more if it is of use.
    async fn open(&self, whole: bool) -> Result<Opened> {
        let len = self.len();
        // One read is enough when all is wanted or there is not much.
        let at_once = whole || len <= seal::FRAME;
        let mut head = self.get(0..if at_once { len } else { HEAD }).await?;
        let table_len = seal::table_len(&head, len)?;
        if table_len > head.len() as u64 {
            head = self.get(0..table_len).await?;
        }
        let table = seal::Table::read(&head, &self.hash, len)?;
        Ok(Opened {
            hash: self.hash,
            place: self.place.clone(),
            table,
            head,
            list: None,
            last: None,
        })
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        if let Place::Inline { bytes, .. } = self.place {
            let end = range.end.min(self.len());
            return Ok(bytes.slice(range.start.min(end) as usize..end as usize));
        }
        match self.place.loc(&self.hash) {
            Some(loc) => self.shared.blobs.get(&loc, range).await,
            None => Err(Error::NotFound),
        }
    }
}
