//! One index on disk: documents of messages, and how far each account's change
//! log was followed.
//!
//! A message's document has its keys (account; account and mailbox; account,
//! mailbox and UID: any of them removes it), its terms, and mailbox and UID as
//! a number. A term begins with the account, so that one account's words are
//! one stretch of the dictionary, and looking for a string costs what the
//! account holds, not what the shard holds.
//!
//! An account's cursor is a document too, and goes in with the messages it
//! stands for in one commit. So whatever is killed when, the index and its
//! cursors agree.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axigen_store::AccountId;
use tantivy::columnar::Column;
use tantivy::fastfield::AliveBitSet;
use tantivy::index::SegmentComponent;
use tantivy::indexer::IndexWriterOptions;
use tantivy::schema::{BytesOptions, Field, NumericOptions, Schema};
use tantivy::{
    DocId, Index, IndexReader, IndexSettings, IndexWriter, InvertedIndexReader, ReloadPolicy,
    SegmentReader, TantivyDocument, Term,
};

use super::files::Files;
use super::words::{is_cut_up, threes, words};
use crate::mailbox::search::{Part, each_text};
use crate::mailbox::structure::Structure;
use crate::mailbox::{ItemId, MailboxId};

/// What the file VERSION begins with; the epoch of the mail follows. Another text means an index that is built
/// anew: change it with everything that changes what is in a document.
const VERSION: &str = "axigen search index, layout 3";
/// The most different terms of a message; one that has more is a candidate
/// always.
const TERMS: usize = 200_000;
/// The key that all cursors have.
const CURSORS: &[u8] = b"cursor";
const MIB: u64 = 1 << 20;
/// The files of a segment.
const FILES: [SegmentComponent; 7] = [
    SegmentComponent::Postings,
    SegmentComponent::Positions,
    SegmentComponent::Terms,
    SegmentComponent::Store,
    SegmentComponent::FastFields,
    SegmentComponent::FieldNorms,
    SegmentComponent::Delete,
];
/// The files of an index that belong to no segment.
const OTHERS: [&str; 3] = ["meta.json", ".managed.json", "VERSION"];

/// The least memory tantivy works with.
pub(super) const LEAST_MEMORY: u64 = 15 * MIB;
/// The most.
pub(super) const MOST_MEMORY: u64 = 2048 * MIB;

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It is not as it was written, or of another version.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    /// The files.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What tantivy says.
    #[error("{0}")]
    Tantivy(#[from] tantivy::TantivyError),
}

/// How far an account's mail is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// All changes up to this one.
    pub(super) seq: u64,
    /// What was there before the log was followed is being read: what comes
    /// after this place is not in yet. `None`: all of it is in.
    pub(super) scanned: Option<Place>,
}

/// What tells this mail from other mail, see [`Mailboxes::epoch`](crate::mailbox::Mailboxes::epoch).
pub(super) type Epoch = [u8; 16];

fn version_of(epoch: Epoch) -> String {
    format!("{VERSION}, {:032x}\n", u128::from_be_bytes(epoch))
}

/// Mailbox and UID.
pub(super) type Place = (MailboxId, u32);

impl Cursor {
    /// Whether a message that came before `seq` is in.
    pub(super) fn reaches(&self, place: Place) -> bool {
        self.scanned.is_none_or(|scanned| place <= scanned)
    }
}

const DONE: u64 = u64::MAX;

fn pack((mailbox, uid): Place) -> u64 {
    u64::from(mailbox.0) << 32 | u64::from(uid)
}

fn unpack(place: u64) -> Place {
    (MailboxId((place >> 32) as u32), place as u32)
}

/// An open index.
pub(super) struct Shard {
    dir: PathBuf,
    index: Index,
    reader: IndexReader,
    fields: Fields,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shard({})", self.dir.display())
    }
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    key: Field,
    word: Field,
    place: Field,
    account: Field,
    seq: Field,
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let bytes = BytesOptions::default().set_indexed();
    let number = NumericOptions::default().set_fast();
    let fields = Fields {
        key: schema.add_bytes_field("key", bytes.clone()),
        word: schema.add_bytes_field("word", bytes),
        place: schema.add_u64_field("place", number.clone()),
        account: schema.add_u64_field("account", number.clone()),
        seq: schema.add_u64_field("seq", number),
    };
    (schema.build(), fields)
}

impl Shard {
    /// Whether there is an index, good or bad.
    pub(super) fn exists(dir: &Path) -> bool {
        dir.exists()
    }

    /// A new index.
    pub(super) fn create(dir: &Path, epoch: Epoch) -> Result<Shard, Fault> {
        fs::create_dir_all(dir)?;
        let (schema, fields) = schema();
        let index = Index::create(Files::new(dir), schema, IndexSettings::default())?;
        let shard = Shard::with(dir, index, fields)?;
        let mut version = fs::File::create(dir.join("VERSION"))?;
        version.write_all(version_of(epoch).as_bytes())?;
        version.sync_all()?;
        fs::File::open(dir)?.sync_all()?;
        Ok(shard)
    }

    /// An index that is there. Every file of it is read and compared with its
    /// checksum.
    pub(super) fn open(dir: &Path, epoch: Epoch) -> Result<Shard, Fault> {
        let version = fs::read_to_string(dir.join("VERSION")).unwrap_or_default();
        if version != version_of(epoch) {
            return Err(Fault::Damaged(format!(
                "its file VERSION does not say {:?}",
                version_of(epoch)
            )));
        }
        let (schema, fields) = schema();
        let index = Index::open(Files::new(dir))?;
        if index.schema() != schema {
            return Err(Fault::Damaged("it has other fields".into()));
        }
        let segments = index.searchable_segment_metas()?;
        let ids: HashSet<String> = segments.iter().map(|of| of.id().uuid_string()).collect();
        let files: HashSet<PathBuf> = segments
            .iter()
            .flat_map(|segment| FILES.iter().map(|of| segment.relative_path(of.clone())))
            .collect();
        for file in fs::read_dir(dir)? {
            let name = PathBuf::from(file?.file_name());
            let text = name.to_string_lossy();
            let id = text.split('.').next().unwrap_or_default();
            if files.contains(&name) {
                match index.directory().validate_checksum(&name) {
                    Ok(true) => {}
                    Ok(false) => {
                        return Err(Fault::Damaged(format!("the checksum of {text} is wrong")));
                    }
                    Err(error) => return Err(Fault::Damaged(error.to_string())),
                }
            } else if !OTHERS.contains(&&*text) && !ids.contains(id) {
                // Of a segment that was being made, or deleted while it was in
                // use, when the program was killed.
                fs::remove_file(dir.join(&name))?;
            }
        }
        Shard::with(dir, index, fields)
    }

    fn with(dir: &Path, index: Index, fields: Fields) -> Result<Shard, Fault> {
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Shard {
            dir: dir.to_owned(),
            index,
            reader,
            fields,
        })
    }

    /// What was committed last.
    pub(super) fn view(&self) -> Result<View, Fault> {
        self.reader.reload()?;
        let searcher = self.reader.searcher();
        let segments = searcher
            .segment_readers()
            .iter()
            .map(|reader| Segment::new(reader, self.fields))
            .collect::<Result<Vec<_>, Fault>>()?;
        Ok(View { segments })
    }

    /// A writer with this much memory, in bytes. One at a time.
    pub(super) fn writer(&self, memory: u64) -> Result<Writer, Fault> {
        let memory = memory.clamp(LEAST_MEMORY, MOST_MEMORY);
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(usize::try_from(memory).unwrap_or(usize::MAX))
            .build();
        Ok(Writer {
            writer: self.index.writer_with_options(options)?,
            fields: self.fields,
        })
    }
}

/// An index as of one commit.
#[derive(Debug)]
pub(super) struct View {
    pub(super) segments: Vec<Segment>,
}

/// A piece of the index.
pub(super) struct Segment {
    /// Keeps its files.
    reader: SegmentReader,
    pub(super) words: Arc<InvertedIndexReader>,
    place: Column<u64>,
    alive: Option<AliveBitSet>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({:?})", self.reader.segment_id())
    }
}

impl Segment {
    fn new(reader: &SegmentReader, fields: Fields) -> Result<Segment, Fault> {
        let place = reader.fast_fields().column_opt("place")?;
        Ok(Segment {
            words: reader.inverted_index(fields.word)?,
            place: place.unwrap_or_else(|| Column::build_empty_column(reader.max_doc())),
            alive: reader.alive_bitset().cloned(),
            reader: reader.clone(),
        })
    }

    /// How many documents, removed ones included.
    pub(super) fn documents(&self) -> u32 {
        self.reader.max_doc()
    }

    /// Where the message of a document is; `None` if it was removed.
    pub(super) fn place(&self, document: DocId) -> Option<Place> {
        let alive = self.alive.as_ref();
        if alive.is_some_and(|alive| alive.is_deleted(document)) {
            return None;
        }
        self.place.first(document).map(unpack)
    }
}

impl View {
    /// How many documents: messages and cursors.
    pub(super) fn documents(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| u64::from(segment.reader.num_docs()))
            .sum()
    }

    /// All cursors.
    pub(super) fn cursors(&self, shard: &Shard) -> Result<HashMap<AccountId, Cursor>, Fault> {
        let term = Term::from_field_bytes(shard.fields.key, CURSORS);
        let mut cursors = HashMap::new();
        for segment in &self.segments {
            let keys = segment.reader.inverted_index(shard.fields.key)?;
            let Some(info) = keys.get_term_info(&term)? else {
                continue;
            };
            let numbers = segment.reader.fast_fields();
            let (account, seq) = (numbers.u64("account")?, numbers.u64("seq")?);
            for document in documents_of(&keys, &info)? {
                let Some(place) = segment.place(document) else {
                    continue;
                };
                let (Some(account), Some(seq)) = (account.first(document), seq.first(document))
                else {
                    return Err(Fault::Damaged("a cursor without a number".into()));
                };
                let scanned = (pack(place) != DONE).then_some(place);
                cursors.insert(AccountId(account), Cursor { seq, scanned });
            }
        }
        Ok(cursors)
    }
}

/// The documents of a term, ascending.
pub(super) fn documents_of(
    index: &InvertedIndexReader,
    info: &tantivy::postings::TermInfo,
) -> std::io::Result<Vec<DocId>> {
    let mut documents = Vec::with_capacity(info.doc_freq as usize);
    let basic = tantivy::schema::IndexRecordOption::Basic;
    let mut block = index.read_block_postings_from_terminfo(info, basic)?;
    loop {
        match block.docs() {
            [] => return Ok(documents),
            some => documents.extend_from_slice(some),
        }
        block.advance();
    }
}

/// Adds to an index and removes from it; nothing of it is seen, or survives,
/// before a commit. Dropped without one, it was all for nothing.
pub(super) struct Writer {
    writer: IndexWriter,
    fields: Fields,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    /// Adds a message.
    pub(super) fn add(
        &self,
        account: AccountId,
        (mailbox, uid): Place,
        terms: &Terms,
    ) -> Result<(), Fault> {
        let mut document = TantivyDocument::new();
        for key in [
            key(account, None, None),
            key(account, Some(mailbox), None),
            key(account, Some(mailbox), Some(uid)),
        ] {
            document.add_bytes(self.fields.key, &key);
        }
        terms.each(|term| document.add_bytes(self.fields.word, term));
        document.add_u64(self.fields.place, pack((mailbox, uid)));
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Removes a message, a mailbox or an account, with its cursor.
    pub(super) fn remove(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        uid: Option<u32>,
    ) -> Result<(), Fault> {
        let key = key(account, mailbox, uid);
        self.writer
            .delete_term(Term::from_field_bytes(self.fields.key, &key));
        if mailbox.is_none() {
            self.remove_cursor(account);
        }
        Ok(())
    }

    fn remove_cursor(&self, account: AccountId) {
        let key = cursor_key(account);
        self.writer
            .delete_term(Term::from_field_bytes(self.fields.key, &key));
    }

    /// Notes how far an account is.
    pub(super) fn set_cursor(&self, account: AccountId, cursor: Cursor) -> Result<(), Fault> {
        self.remove_cursor(account);
        let mut document = TantivyDocument::new();
        document.add_bytes(self.fields.key, CURSORS);
        document.add_bytes(self.fields.key, &cursor_key(account));
        document.add_u64(self.fields.account, account.0);
        document.add_u64(self.fields.seq, cursor.seq);
        document.add_u64(self.fields.place, cursor.scanned.map_or(DONE, pack));
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Makes it durable and to be seen by the next view.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        self.writer.commit()?;
        Ok(())
    }

    /// Lets small segments be joined to the end.
    pub(super) fn finish(self) -> Result<(), Fault> {
        Ok(self.writer.wait_merging_threads()?)
    }
}

fn key(account: AccountId, mailbox: Option<MailboxId>, uid: Option<u32>) -> Vec<u8> {
    let mut key = account.0.to_be_bytes().to_vec();
    key.extend(mailbox.iter().flat_map(|mailbox| mailbox.0.to_be_bytes()));
    key.extend(uid.iter().flat_map(|uid| uid.to_be_bytes()));
    key
}

fn cursor_key(account: AccountId) -> Vec<u8> {
    let mut key = account.0.to_be_bytes().to_vec();
    key.push(0xff);
    key
}

/// How a word stands in the dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// As runs of three characters.
    Three,
}

/// What the terms of an account begin with that stand for words of a part in
/// one form.
pub(super) fn head(account: AccountId, part: Part, form: Form) -> Vec<u8> {
    let mut head = account.0.to_be_bytes().to_vec();
    head.push(match part {
        Part::Subject => 1,
        Part::Address => 2,
        Part::Envelope => 6,
        Part::Field => 3,
        Part::Mime => 4,
        Part::Body => 5,
    });
    head.push(match form {
        Form::Plain => b'w',
        Form::Three => b't',
    });
    head
}

/// The term of messages whose words are not known.
pub(super) fn always(account: AccountId) -> Vec<u8> {
    let mut term = account.0.to_be_bytes().to_vec();
    term.push(0);
    term
}

/// The terms of a message.
#[derive(Debug)]
pub(super) struct Terms {
    account: AccountId,
    terms: HashSet<Box<[u8]>>,
    all: bool,
}

impl Terms {
    /// Of a message that cannot be read: it is a candidate always.
    pub(super) fn unknown(account: AccountId) -> Terms {
        Terms {
            account,
            terms: HashSet::new(),
            all: false,
        }
    }

    /// Of a message.
    pub(super) fn of(account: AccountId, structure: &Structure, raw: &[u8]) -> Terms {
        let mut terms = Terms::unknown(account);
        terms.all = true;
        let mut scratch = Vec::with_capacity(64);
        let whole = each_text(structure, raw, |part, text| {
            let heads = [Form::Plain, Form::Three].map(|form| head(account, part, form));
            for word in words(text) {
                if !is_cut_up(word.text) {
                    terms.put(&heads[0], word.text, &mut scratch);
                    continue;
                }
                for three in threes(word.text) {
                    terms.put(&heads[1], three, &mut scratch);
                }
            }
        });
        terms.all &= whole;
        terms
    }

    fn put(&mut self, head: &[u8], text: &str, scratch: &mut Vec<u8>) {
        if self.terms.len() >= TERMS {
            self.all = false;
            return;
        }
        scratch.clear();
        scratch.extend_from_slice(head);
        scratch.extend_from_slice(text.as_bytes());
        if !self.terms.contains(scratch.as_slice()) {
            self.terms.insert(scratch.as_slice().into());
        }
    }

    fn each(&self, mut see: impl FnMut(&[u8])) {
        match self.all {
            true => self.terms.iter().for_each(|term| see(term)),
            false => see(&always(self.account)),
        }
    }
}

/// A message to be put in: where it is, and its item and size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) place: Place,
    pub(super) item: ItemId,
    pub(super) size: u64,
}
