//! Typed commands of IMAP4rev1 and IMAP4rev2.

pub(crate) mod name;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::extensions::acl::Acl;
use super::extensions::condstore::{FetchModifiers, ModSeqEntry, SelectParameters};
use super::extensions::metadata::{EntryName, Metadata};
use super::extensions::multiappend::AppendPiece;
use super::extensions::multisearch::MultiSearch;
use super::extensions::notify::Notify;
use super::extensions::objectid::ObjectId;
use super::extensions::partial::PartialRange;
use super::extensions::sort::{Sort, Thread};
use super::extensions::uidbatches::UidBatches;
use super::extensions::urlauth::UrlAuthCommand;
use super::sequence::{SequenceNumber, SequenceSet};
use super::types::{Date, DateTime, Flag, MailboxName, SpecialUse, StatusItem, Tag};

/// A command without its tag.
///
/// Of a [`Server`](super::server::Server), only the commands from `Noop` on
/// reach the application; those before are carried out by the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// CAPABILITY ([RFC 9051 §6.1.1](https://www.rfc-editor.org/rfc/rfc9051#section-6.1.1))
    Capability,
    /// LOGOUT (§6.1.3)
    Logout,
    /// STARTTLS (§6.2.1)
    StartTls,
    /// AUTHENTICATE (§6.2.2)
    Authenticate {
        /// The mechanism's name in capitals.
        mechanism: String,
        /// The initial response, still in base64 (SASL-IR).
        initial: Option<Secret>,
    },
    /// LOGIN (§6.2.3)
    Login {
        /// Who logs in.
        user: String,
        /// The password.
        password: Secret,
    },
    /// ENABLE (§6.3.1): names in capitals. Reaches the application only while
    /// a mailbox is open; what they stand for is enabled already.
    Enable(Vec<String>),
    /// ID ([RFC 2971](https://www.rfc-editor.org/rfc/rfc2971)): fields and values; empty for NIL.
    Id(Vec<(String, Option<String>)>),
    /// APPEND (§6.3.12), REPLACE and UID REPLACE
    /// ([RFC 8508](https://www.rfc-editor.org/rfc/rfc8508)) up to the first message; the session makes
    /// [`Event::AppendStart`](super::server::Event::AppendStart) of it.
    Append(Append),
    /// COMPRESS DEFLATE ([RFC 4978](https://www.rfc-editor.org/rfc/rfc4978))
    Compress,
    /// IDLE (§6.3.13); the session makes
    /// [`Event::IdleStart`](super::server::Event::IdleStart) of it.
    Idle,

    /// UNAUTHENTICATE ([RFC 8437](https://www.rfc-editor.org/rfc/rfc8437)): the
    /// account is to be forgotten.
    Unauthenticate,
    /// NOOP (§6.1.2). Reaches the application once the client has logged in.
    Noop,
    /// SELECT (§6.3.2)
    Select(Select),
    /// EXAMINE (§6.3.3)
    Examine(Select),
    /// CREATE (§6.3.4). A name that ends with the hierarchy separator
    /// declares that children will follow.
    Create {
        /// Which mailbox.
        mailbox: MailboxName,
        /// CREATE-SPECIAL-USE ([RFC 6154 §3](https://www.rfc-editor.org/rfc/rfc6154#section-3)).
        special_use: Vec<SpecialUse>,
    },
    /// DELETE (§6.3.5)
    Delete {
        /// Which mailbox.
        mailbox: MailboxName,
    },
    /// RENAME (§6.3.6)
    Rename {
        /// Old name.
        from: MailboxName,
        /// New name.
        to: MailboxName,
    },
    /// SUBSCRIBE (§6.3.7)
    Subscribe {
        /// Which mailbox.
        mailbox: MailboxName,
    },
    /// UNSUBSCRIBE (§6.3.8)
    Unsubscribe {
        /// Which mailbox.
        mailbox: MailboxName,
    },
    /// LIST (§6.3.9)
    List(List),
    /// LSUB ([RFC 3501 §6.3.9](https://www.rfc-editor.org/rfc/rfc3501#section-6.3.9))
    Lsub {
        /// Reference name, put in front of the pattern.
        reference: String,
        /// The pattern.
        pattern: ListPattern,
    },
    /// NAMESPACE (§6.3.10)
    Namespace,
    /// SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS
    /// ([RFC 4314](https://www.rfc-editor.org/rfc/rfc4314))
    Acl(Acl),
    /// GETMETADATA, SETMETADATA ([RFC 5464](https://www.rfc-editor.org/rfc/rfc5464))
    Metadata(Metadata),
    /// GENURLAUTH, RESETKEY, URLFETCH ([RFC 4467](https://www.rfc-editor.org/rfc/rfc4467))
    UrlAuth(UrlAuthCommand),
    /// GETQUOTA ([RFC 9208](https://www.rfc-editor.org/rfc/rfc9208))
    GetQuota {
        /// The name of a quota root.
        root: String,
    },
    /// GETQUOTAROOT ([RFC 9208](https://www.rfc-editor.org/rfc/rfc9208)). The
    /// mailbox need not be there.
    GetQuotaRoot {
        /// Which mailbox.
        mailbox: MailboxName,
    },
    /// NOTIFY ([RFC 5465](https://www.rfc-editor.org/rfc/rfc5465))
    Notify(Notify),
    /// STATUS (§6.3.11)
    Status {
        /// Which mailbox.
        mailbox: MailboxName,
        /// What is asked for, at least one.
        items: Vec<StatusItem>,
    },
    /// CHECK ([RFC 3501 §6.4.1](https://www.rfc-editor.org/rfc/rfc3501#section-6.4.1))
    Check,
    /// CLOSE (§6.4.1)
    Close,
    /// UNSELECT (§6.4.2)
    Unselect,
    /// EXPUNGE (§6.4.3)
    Expunge,
    /// UID EXPUNGE (§6.4.9)
    UidExpunge {
        /// UIDs.
        set: SequenceSet,
    },
    /// CANCELUPDATE ([RFC 5267 §4.3.5](https://www.rfc-editor.org/rfc/rfc5267#section-4.3.5)):
    /// the results of the commands of these tags are no longer kept up to date.
    CancelUpdate(Vec<Tag>),
    /// UIDBATCHES ([RFC 10022](https://www.rfc-editor.org/rfc/rfc10022))
    UidBatches(UidBatches),
    /// SEARCH, UID SEARCH (§6.4.4)
    Search(Search),
    /// ESEARCH ([RFC 7377](https://www.rfc-editor.org/rfc/rfc7377))
    MultiSearch(MultiSearch),
    /// SORT, UID SORT ([RFC 5256](https://www.rfc-editor.org/rfc/rfc5256))
    Sort(Sort),
    /// THREAD, UID THREAD ([RFC 5256](https://www.rfc-editor.org/rfc/rfc5256))
    Thread(Thread),
    /// FETCH, UID FETCH (§6.4.5)
    Fetch(Fetch),
    /// STORE, UID STORE (§6.4.6)
    Store(Store),
    /// COPY, UID COPY (§6.4.7)
    Copy {
        /// Whether `set` holds UIDs.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
    },
    /// MOVE, UID MOVE (§6.4.8)
    Move {
        /// Whether `set` holds UIDs.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
    },
}

impl Command {
    /// Whether it is allowed only once QRESYNC is enabled
    /// ([RFC 7162 §3.2.3](https://www.rfc-editor.org/rfc/rfc7162#section-3.2.3)).
    pub fn needs_qresync(&self) -> bool {
        match self {
            Command::Select(select) | Command::Examine(select) => {
                select.parameters.qresync.is_some()
            }
            Command::Fetch(fetch) => fetch.modifiers.vanished,
            _ => false,
        }
    }

    /// Whether the client shows by this command that it wants modification
    /// numbers from now on
    /// ([RFC 7162 §3.1](https://www.rfc-editor.org/rfc/rfc7162#section-3.1)).
    pub fn enables_condstore(&self) -> bool {
        let asked = |keys: &[SearchKey]| keys.iter().any(SearchKey::asks_modseq);
        match self {
            Command::Select(select) | Command::Examine(select) => {
                select.parameters.condstore || select.parameters.qresync.is_some()
            }
            Command::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
            Command::List(list) => list.returns.status.contains(&StatusItem::HighestModSeq),
            Command::Fetch(fetch) => {
                fetch.modifiers.changed_since.is_some()
                    || fetch.attributes.contains(&FetchAttribute::ModSeq)
            }
            Command::Store(store) => store.unchanged_since.is_some(),
            Command::Search(search) => asked(&search.keys),
            Command::MultiSearch(search) => asked(&search.keys),
            Command::Sort(sort) => asked(&sort.keys),
            Command::Thread(thread) => asked(&thread.keys),
            _ => false,
        }
    }
}

/// A secret text: wiped when dropped, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }
}

/// SELECT or EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// CONDSTORE and QRESYNC.
    pub parameters: SelectParameters,
}

/// FETCH or UID FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whether `set` holds UIDs. RFC 9051 §6.4.9: the UID item is then to be
    /// sent even if it was not asked for.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What is asked for; macros are expanded.
    pub attributes: Vec<FetchAttribute>,
    /// What limits it.
    pub modifiers: FetchModifiers,
}

/// STORE or UID STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Whether `set` holds UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// UNCHANGEDSINCE: only messages that have not changed after this number.
    pub unchanged_since: Option<u64>,
    /// What is done with the flags.
    pub action: StoreAction,
    /// Whether no FETCH responses are wanted (`.SILENT`).
    pub silent: bool,
    /// The flags.
    pub flags: Vec<Flag>,
}

/// APPEND or REPLACE without messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The message of the selected mailbox that is replaced, for REPLACE
    /// ([RFC 8508](https://www.rfc-editor.org/rfc/rfc8508)).
    pub replaces: Option<Replaced>,
    /// Flags the first message begins with.
    pub flags: Vec<Flag>,
    /// Its internal date; absent means now.
    pub date: Option<DateTime>,
    /// What follows, up to the first literal that belongs to a message, or to
    /// the end. The session takes it: in its events it is empty.
    pub pieces: Vec<AppendPiece>,
}

/// The message that REPLACE replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Whether `number` is a UID.
    pub uid: bool,
    /// Which message.
    pub number: SequenceNumber,
}

/// LIST, basic and extended ([RFC 5258](https://www.rfc-editor.org/rfc/rfc5258)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Selection options.
    pub select: ListSelect,
    /// Reference name, put in front of each pattern.
    pub reference: String,
    /// The patterns, at least one.
    pub patterns: Vec<ListPattern>,
    /// Return options.
    pub returns: ListReturn,
    /// Whether the extended syntax was used (selection options, return
    /// options, or patterns in parentheses). RFC 9051 §6.3.9: an empty pattern
    /// asks for the hierarchy separator only in the basic syntax.
    pub extended: bool,
}

/// `list-select-opts`: what limits the mailboxes listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSelect {
    /// SUBSCRIBED: only subscribed ones, also those that are gone.
    pub subscribed: bool,
    /// REMOTE: remote ones as well.
    pub remote: bool,
    /// RECURSIVEMATCH: also parents of what matches.
    pub recursive_match: bool,
    /// SPECIAL-USE: only those with a special use (RFC 6154).
    pub special_use: bool,
}

/// `list-return-opts`: what is told about each mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReturn {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// CHILDREN
    pub children: bool,
    /// SPECIAL-USE (RFC 6154)
    pub special_use: bool,
    /// MYRIGHTS: a MYRIGHTS response for each ([RFC 8440](https://www.rfc-editor.org/rfc/rfc8440))
    pub my_rights: bool,
    /// METADATA: these entries of each ([RFC 9590](https://www.rfc-editor.org/rfc/rfc9590));
    /// empty when not asked for.
    pub metadata: Vec<EntryName>,
    /// STATUS: a STATUS response for each (RFC 5819); empty when not asked for.
    pub status: Vec<StatusItem>,
}

/// A pattern of LIST or LSUB in UTF-8: `*` matches anything, `%` anything but
/// the hierarchy separator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPattern(pub String);

/// SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Whether UIDs are to be returned.
    pub uid: bool,
    /// RETURN options ([RFC 4731](https://www.rfc-editor.org/rfc/rfc4731)); `None` when RETURN was not given.
    pub returns: Option<SearchReturn>,
    /// What of new messages among the results is told, with UPDATE
    /// ([RFC 5465 §7](https://www.rfc-editor.org/rfc/rfc5465#section-7)).
    pub update_items: Vec<FetchAttribute>,
    /// What to look for; several keys all have to match. Texts are UTF-8
    /// whatever charset was named (US-ASCII or UTF-8, others are refused).
    pub keys: Vec<SearchKey>,
}

/// `search-return-opts`. `RETURN ()` means ALL and comes out so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchReturn {
    /// MIN
    pub min: bool,
    /// MAX
    pub max: bool,
    /// ALL
    pub all: bool,
    /// COUNT
    pub count: bool,
    /// SAVE: keep the result for `$`.
    pub save: bool,
    /// RELEVANCY: how well each result told by ALL or PARTIAL answers FUZZY
    /// ([RFC 6203 §4](https://www.rfc-editor.org/rfc/rfc6203#section-4)).
    pub relevancy: bool,
    /// UPDATE: what changes in the results is told
    /// ([RFC 5267 §4.3](https://www.rfc-editor.org/rfc/rfc5267#section-4.3)).
    pub update: bool,
    /// CONTEXT: the client will ask for more of the same results
    /// ([RFC 5267 §4.2](https://www.rfc-editor.org/rfc/rfc5267#section-4.2)).
    pub context: bool,
    /// PARTIAL: only these results
    /// ([RFC 9394](https://www.rfc-editor.org/rfc/rfc9394)).
    pub partial: Option<PartialRange>,
}

impl SearchReturn {
    /// The scores that go with ALL or PARTIAL, of those of all results.
    pub fn scores(&self, all: &[u8]) -> Option<Vec<u8>> {
        let told = match self.partial {
            Some(range) => all.get(range.of(all.len())).unwrap_or_default(),
            None if self.all => all,
            None => &[],
        };
        self.relevancy.then(|| told.to_vec())
    }

    /// Which of so many results are told, or kept by SAVE
    /// ([RFC 5182 §2.4](https://www.rfc-editor.org/rfc/rfc5182#section-2.4),
    /// [RFC 9394 §3.2](https://www.rfc-editor.org/rfc/rfc9394#section-3.2)).
    /// They may overlap.
    pub fn told(&self, count: usize) -> Vec<Range<usize>> {
        let some = self.min || self.max || self.partial.is_some();
        if self.all || self.count || !some {
            return std::iter::once(0..count).collect();
        }
        let first = self.min.then_some(0..count.min(1));
        let last = self.max.then_some(count.saturating_sub(1)..count);
        let partial = self.partial.map(|range| range.of(count));
        [first, last, partial].into_iter().flatten().collect()
    }
}

/// A condition of SEARCH. Nested at most as deep as the limits allow.
/// [RFC 9051 §6.4.4](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.4)
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SearchKey {
    /// All of these: a list in parentheses.
    And(Vec<SearchKey>),
    Not(Box<SearchKey>),
    /// What is nearly so, too ([RFC 6203](https://www.rfc-editor.org/rfc/rfc6203)).
    Fuzzy(Box<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Messages of these sequence numbers.
    Sequence(SequenceSet),
    /// Messages of these UIDs.
    Uid(SequenceSet),
    All,
    Answered,
    Deleted,
    Draft,
    Flagged,
    Seen,
    Unanswered,
    Undeleted,
    Undraft,
    Unflagged,
    Unseen,
    /// RFC 3501 only: recent and unseen.
    New,
    /// RFC 3501 only: not recent.
    Old,
    /// RFC 3501 only.
    Recent,
    Keyword(Flag),
    Unkeyword(Flag),
    /// Of a larger UID ([RFC 9738 §3.2](https://www.rfc-editor.org/rfc/rfc9738#section-3.2)).
    UidAfter(u32),
    /// Of a smaller UID ([RFC 9738 §3.2](https://www.rfc-editor.org/rfc/rfc9738#section-3.2)).
    UidBefore(u32),
    /// Arrived at most so many seconds ago ([RFC 5032](https://www.rfc-editor.org/rfc/rfc5032)).
    Younger(u32),
    /// Arrived at least so many seconds ago ([RFC 5032](https://www.rfc-editor.org/rfc/rfc5032)).
    Older(u32),
    Bcc(String),
    Body(String),
    Cc(String),
    From(String),
    Subject(String),
    Text(String),
    To(String),
    /// A header field and what it contains; empty matches any that has the field.
    Header(String, String),
    /// Internal date, zone ignored.
    Before(Date),
    On(Date),
    Since(Date),
    /// The message's own Date field, zone ignored.
    SentBefore(Date),
    SentOn(Date),
    SentSince(Date),
    /// The day the message came into the mailbox, in UTC
    /// ([RFC 8514](https://www.rfc-editor.org/rfc/rfc8514)).
    SavedBefore(Date),
    SavedOn(Date),
    SavedSince(Date),
    /// All messages, if the mailbox keeps save dates, else none.
    SaveDateSupported,
    /// More bytes than this.
    Larger(u64),
    /// Fewer bytes than this.
    Smaller(u64),
    /// The message of this identifier
    /// ([RFC 8474](https://www.rfc-editor.org/rfc/rfc8474)).
    EmailId(ObjectId),
    /// Messages of the thread of this identifier
    /// ([RFC 8474](https://www.rfc-editor.org/rfc/rfc8474)).
    ThreadId(ObjectId),
    /// Changed at this modification number or later
    /// ([RFC 7162](https://www.rfc-editor.org/rfc/rfc7162)).
    ModSeq {
        entry: Option<ModSeqEntry>,
        since: u64,
    },
}

impl SearchKey {
    /// Whether this key, or one inside it, is such a one.
    pub fn any(&self, such: &impl Fn(&SearchKey) -> bool) -> bool {
        such(self)
            || match self {
                SearchKey::And(keys) => keys.iter().any(|key| key.any(such)),
                SearchKey::Not(key) | SearchKey::Fuzzy(key) => key.any(such),
                SearchKey::Or(a, b) => a.any(such) || b.any(such),
                _ => false,
            }
    }

    /// Whether modification numbers are asked for.
    pub fn asks_modseq(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::ModSeq { .. }))
    }

    /// Whether something in it may be inexact.
    pub fn is_fuzzy(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Fuzzy(_)))
    }

    /// Whether sequence numbers are named.
    pub fn names_sequence(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Sequence(_)))
    }
}

/// A data item of FETCH.
/// [RFC 9051 §6.4.5](https://www.rfc-editor.org/rfc/rfc9051#section-6.4.5)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchAttribute {
    /// BODY: the structure without extension data.
    Body,
    /// BODY[...] and BODY.PEEK[...]
    BodySection {
        /// Which bytes.
        section: Section,
        /// Only this part of them.
        partial: Option<Partial>,
        /// Whether `\Seen` stays as it is.
        peek: bool,
    },
    /// BODYSTRUCTURE
    BodyStructure,
    /// BINARY[...] and BINARY.PEEK[...]: a part with its transfer encoding removed
    /// ([RFC 3516](https://www.rfc-editor.org/rfc/rfc3516)).
    Binary {
        /// Part numbers; empty is the whole message.
        part: Vec<u32>,
        /// Only this part of the decoded bytes.
        partial: Option<Partial>,
        /// Whether `\Seen` stays as it is.
        peek: bool,
    },
    /// BINARY.SIZE[...]
    BinarySize {
        /// Part numbers; empty is the whole message.
        part: Vec<u32>,
    },
    /// ENVELOPE
    Envelope,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// SAVEDATE ([RFC 8514](https://www.rfc-editor.org/rfc/rfc8514))
    SaveDate,
    /// MODSEQ ([RFC 7162](https://www.rfc-editor.org/rfc/rfc7162))
    ModSeq,
    /// EMAILID ([RFC 8474](https://www.rfc-editor.org/rfc/rfc8474))
    EmailId,
    /// THREADID ([RFC 8474](https://www.rfc-editor.org/rfc/rfc8474))
    ThreadId,
    /// PREVIEW ([RFC 8970](https://www.rfc-editor.org/rfc/rfc8970))
    Preview {
        /// Only if it is at hand.
        lazy: bool,
    },
    /// RFC822 (RFC 3501): as `BODY[]`.
    Rfc822,
    /// RFC822.HEADER (RFC 3501): as `BODY.PEEK[HEADER]`.
    Rfc822Header,
    /// RFC822.SIZE
    Rfc822Size,
    /// RFC822.TEXT (RFC 3501): as `BODY[TEXT]`.
    Rfc822Text,
    /// UID
    Uid,
}

impl FetchAttribute {
    /// Whether fetching this sets `\Seen`.
    pub fn sets_seen(&self) -> bool {
        match self {
            FetchAttribute::BodySection { peek, .. } | FetchAttribute::Binary { peek, .. } => !peek,
            FetchAttribute::Rfc822 | FetchAttribute::Rfc822Text => true,
            _ => false,
        }
    }
}

/// Which bytes of a message BODY[...] means.
///
/// ```text
/// section       = "[" [section-spec] "]"
/// section-spec  = section-msgtext / (section-part ["." section-text])
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Part numbers, from 1; empty means the message itself.
    pub part: Vec<u32>,
    /// What of that part.
    pub text: SectionText,
}

/// What of a part is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SectionText {
    /// The part's content; of the message itself, header and text.
    #[default]
    Full,
    /// HEADER: of the message, or of the message/rfc822 in that part.
    Header,
    /// HEADER.FIELDS: only these fields, names as the client wrote them (sent
    /// back in capitals).
    HeaderFields(Vec<String>),
    /// HEADER.FIELDS.NOT: all fields but these.
    HeaderFieldsNot(Vec<String>),
    /// TEXT: without the header.
    Text,
    /// MIME: the part's own MIME header; only with part numbers.
    Mime,
}

/// `partial = "<" number64 "." nz-number64 ">"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First byte wanted, from 0.
    pub offset: u64,
    /// At most so many bytes, never 0.
    pub length: u64,
}

impl Partial {
    /// Cuts this part out of `data`: empty when it begins beyond its end.
    pub fn of(self, data: &Bytes) -> Bytes {
        let start = usize::try_from(self.offset)
            .unwrap_or(usize::MAX)
            .min(data.len());
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        data.slice(start..start.saturating_add(length).min(data.len()))
    }
}

/// What STORE does with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// FLAGS: exactly these.
    Replace,
    /// +FLAGS: these as well.
    Add,
    /// -FLAGS: without these.
    Remove,
}
