//! Typed responses: a server's application makes them and the encoder writes
//! them; a client reads them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::command::{FetchAttribute, Search, SearchReturn};
use super::extensions::acl::AclResponse;
use super::extensions::context::Shift;
use super::extensions::metadata::MetadataResponse;
use super::extensions::multisearch::FoundIn;
use super::extensions::objectid::ObjectId;
use super::extensions::partial::PartialRange;
use super::extensions::quota::ResourceUse;
use super::extensions::sort::Threads;
use super::sequence::NumberSet;
use super::structure::{BodyStructure, Envelope};
use super::types::{DateTime, Flag, MailboxName, SpecialUse, StatusItem, Tag};

/// An untagged response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// `* OK`, `* NO`, `* BAD`
    Status(Status),
    /// `* FLAGS (..)`: the flags this mailbox may hold.
    Flags(Vec<Flag>),
    /// `* n EXISTS`: number of messages.
    Exists(u32),
    /// `* n RECENT` (RFC 3501); nothing is sent once IMAP4rev2 is enabled.
    Recent(u32),
    /// `* n EXPUNGE`: the message of this sequence number is gone.
    Expunge(u32),
    /// `* n FETCH (..)`; larger data goes through
    /// [`Server::fetch_begin`](super::server::Server::fetch_begin).
    Fetch {
        /// Sequence number.
        seq: u32,
        /// Items.
        items: Vec<FetchItem>,
    },
    /// `* n UIDFETCH (..)` ([RFC 9586 §3.3](https://www.rfc-editor.org/rfc/rfc9586#section-3.3)):
    /// FETCH once UIDONLY is enabled; larger data goes through
    /// [`Server::uid_fetch_begin`](super::server::Server::uid_fetch_begin).
    UidFetch {
        /// UID.
        uid: u32,
        /// Items.
        items: Vec<FetchItem>,
    },
    /// `* LIST`
    List(ListItem),
    /// `* LSUB` (RFC 3501)
    Lsub(ListItem),
    /// `* STATUS`
    MailboxStatus {
        /// Which mailbox.
        mailbox: MailboxName,
        /// The items that were asked for, with their values.
        items: Vec<(StatusItem, u64)>,
        /// MAILBOXID, if it was asked for (RFC 8474).
        id: Option<ObjectId>,
    },
    /// `* VANISHED` ([RFC 7162 §3.2.10](https://www.rfc-editor.org/rfc/rfc7162#section-3.2.10)):
    /// these UIDs are gone. Nothing is sent if there are none.
    Vanished {
        /// Whether they went before the mailbox was opened, or are none the
        /// client counts.
        earlier: bool,
        /// The UIDs.
        uids: NumberSet,
    },
    /// `* ACL`, `* LISTRIGHTS`, `* MYRIGHTS` ([RFC 4314](https://www.rfc-editor.org/rfc/rfc4314))
    Acl(AclResponse),
    /// `* METADATA` ([RFC 5464](https://www.rfc-editor.org/rfc/rfc5464))
    Metadata(MetadataResponse),
    /// `* GENURLAUTH` ([RFC 4467 §9](https://www.rfc-editor.org/rfc/rfc4467#section-9)):
    /// URLs with their tokens.
    GenUrlAuth(Vec<String>),
    /// `* URLFETCH` ([RFC 4467 §9](https://www.rfc-editor.org/rfc/rfc4467#section-9)): URLs
    /// and what they name; `None` for what may not be read, or is not there.
    UrlFetch(Vec<(String, Option<Bytes>)>),
    /// `* QUOTA` ([RFC 9208 §4.2.1](https://www.rfc-editor.org/rfc/rfc9208#section-4.2.1))
    Quota {
        /// The name of the quota root.
        root: String,
        /// What is limited.
        resources: Vec<ResourceUse>,
    },
    /// `* QUOTAROOT` ([RFC 9208 §4.2.2](https://www.rfc-editor.org/rfc/rfc9208#section-4.2.2))
    QuotaRoot {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Names of its quota roots.
        roots: Vec<String>,
    },
    /// `* SEARCH` (RFC 3501). [`Response::found`] chooses between this and ESEARCH.
    Search(Numbers),
    /// `* SORT` ([RFC 5256](https://www.rfc-editor.org/rfc/rfc5256))
    Sort(Numbers),
    /// `* THREAD` ([RFC 5256](https://www.rfc-editor.org/rfc/rfc5256))
    Thread(Threads),
    /// `* ESEARCH` ([RFC 4731](https://www.rfc-editor.org/rfc/rfc4731))
    Esearch(Esearch),
    /// `* UIDBATCHES` ([RFC 10022](https://www.rfc-editor.org/rfc/rfc10022))
    UidBatches {
        /// The tag of the command answered.
        tag: Tag,
        /// The higher UID of each batch before its lower one.
        batches: Vec<(u32, u32)>,
    },
    /// `* NAMESPACE` ([RFC 2342](https://www.rfc-editor.org/rfc/rfc2342)); an empty list is NIL.
    Namespace {
        /// The user's own.
        personal: Vec<Namespace>,
        /// Other users'.
        other: Vec<Namespace>,
        /// Shared ones.
        shared: Vec<Namespace>,
    },
    /// `* CAPABILITY`; the session sends it itself.
    Capability(Vec<Cow<'static, str>>),
    /// `* ENABLED`; the session sends it itself.
    Enabled(Vec<Cow<'static, str>>),
    /// `* ID`; the session sends it itself. Empty is NIL.
    Id(Vec<(String, Option<String>)>),
    /// `* BYE`; the session sends it itself.
    Bye(Status),
    /// `* PREAUTH`: a greeting by which the client has logged in already. No
    /// session of ours sends it.
    Preauth(Status),
    /// What a client does not know, or what its server wrote in a way that the
    /// grammar does not have: without `* ` and the last CRLF, literals as they
    /// came. It is written as it is.
    Other(Bytes),
}

impl Response {
    /// The response that SEARCH asked for: SEARCH, or ESEARCH when RETURN was
    /// given or IMAP4rev2 is enabled, holding what the return options ask for.
    ///
    /// `found` holds sequence numbers or UIDs as `search.uid` says, ascending.
    /// `modseq` holds the highest modification number among those that are told,
    /// if the search asked for it. `None` when nothing is to be sent: `RETURN
    /// (SAVE)` alone.
    pub fn found(
        tag: &Tag,
        search: &Search,
        rev2: bool,
        found: &[u32],
        modseq: Option<u64>,
    ) -> Option<Response> {
        let returns = match search.returns {
            Some(returns) => returns,
            // RFC 9051 §6.4.4: without RETURN, as with RETURN (ALL).
            None if rev2 => SearchReturn {
                all: true,
                ..SearchReturn::default()
            },
            None => {
                return Some(Response::Search(Numbers {
                    numbers: found.to_vec(),
                    modseq,
                }));
            }
        };
        Esearch::new(tag, search.uid, returns, found, modseq).map(Response::Esearch)
    }

    /// An untagged OK with a response code, as SELECT needs several.
    pub fn ok(code: Code, text: impl Into<Cow<'static, str>>) -> Response {
        Response::Status(Status::ok(text).with(code))
    }
}

/// What SEARCH and SORT found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Sequence numbers or UIDs.
    pub numbers: Vec<u32>,
    /// The highest modification number among them, if it was asked for; left
    /// out when nothing was found
    /// ([RFC 7162 §3.1.6](https://www.rfc-editor.org/rfc/rfc7162#section-3.1.6)).
    pub modseq: Option<u64>,
}

/// `esearch-response`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Esearch {
    /// The tag of the command answered.
    pub tag: Option<Tag>,
    /// The mailbox that was searched, in answers to ESEARCH.
    pub found_in: Option<FoundIn>,
    /// Whether the numbers are UIDs.
    pub uid: bool,
    /// MIN
    pub min: Option<u32>,
    /// MAX
    pub max: Option<u32>,
    /// ALL, in the order of the results; left out when empty.
    pub all: Vec<u32>,
    /// PARTIAL: which results were asked for, and those of them that there are
    /// ([RFC 9394 §3.1](https://www.rfc-editor.org/rfc/rfc9394#section-3.1)).
    pub partial: Option<(PartialRange, Vec<u32>)>,
    /// COUNT
    pub count: Option<u64>,
    /// MODSEQ ([RFC 7162 §3.1.10](https://www.rfc-editor.org/rfc/rfc7162#section-3.1.10))
    pub modseq: Option<u64>,
    /// RELEVANCY of those in ALL and PARTIAL, from 1 to 100
    /// ([RFC 6203 §4](https://www.rfc-editor.org/rfc/rfc6203#section-4)).
    pub relevancy: Option<Vec<u8>>,
    /// REMOVEFROM: what left the results, one after the other.
    pub remove_from: Vec<Shift>,
    /// ADDTO: what came to the results, one after the other.
    pub add_to: Vec<Shift>,
}

impl Esearch {
    /// What the return options ask for, of results in their order. `None` when
    /// nothing is to be sent: SAVE alone.
    pub fn new(
        tag: &Tag,
        uid: bool,
        returns: SearchReturn,
        found: &[u32],
        modseq: Option<u64>,
    ) -> Option<Esearch> {
        let SearchReturn {
            min,
            max,
            all,
            count,
            partial,
            ..
        } = returns;
        // RFC 5182 §2.1: with SAVE alone no ESEARCH is sent.
        let asked = min || max || all || count || partial.is_some();
        if !(asked || returns.update || returns.context || returns.relevancy) {
            return None;
        }
        let part = |range: PartialRange| found.get(range.of(found.len())).unwrap_or_default();
        Some(Esearch {
            tag: Some(tag.clone()),
            uid,
            min: min.then(|| found.first().copied()).flatten(),
            max: max.then(|| found.last().copied()).flatten(),
            all: if all { found.to_vec() } else { Vec::new() },
            partial: partial.map(|range| (range, part(range).to_vec())),
            count: count.then_some(found.len() as u64),
            modseq: modseq.filter(|_| !found.is_empty()),
            ..Esearch::default()
        })
    }
}

/// A status response: how a command ended, or an untagged remark.
/// [RFC 9051 §7.1](https://www.rfc-editor.org/rfc/rfc9051#section-7.1)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// OK, NO or BAD.
    pub kind: StatusKind,
    /// Response code in brackets.
    pub code: Option<Code>,
    /// Text for a person, on one line.
    pub text: Cow<'static, str>,
}

impl Status {
    /// OK.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Status {
        Self::new(StatusKind::Ok, text)
    }

    /// NO: could not be done.
    pub fn no(text: impl Into<Cow<'static, str>>) -> Status {
        Self::new(StatusKind::No, text)
    }

    /// BAD: the client's command was wrong.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Status {
        Self::new(StatusKind::Bad, text)
    }

    /// The same with a response code.
    #[must_use]
    pub fn with(mut self, code: Code) -> Status {
        self.code = Some(code);
        self
    }

    fn new(kind: StatusKind, text: impl Into<Cow<'static, str>>) -> Status {
        Status {
            kind,
            code: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for Status {
    /// The text for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusKind {
    /// It was done.
    Ok,
    /// It could not be done.
    No,
    /// It was wrong.
    Bad,
}

/// A response code.
/// [RFC 9051 §7.1](https://www.rfc-editor.org/rfc/rfc9051#section-7.1),
/// [RFC 5530](https://www.rfc-editor.org/rfc/rfc5530)
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    Alert,
    AlreadyExists,
    /// APPENDUID of the messages appended (RFC 4315, RFC 3502). Left out when empty.
    AppendUid {
        uid_validity: u32,
        uids: NumberSet,
    },
    AuthenticationFailed,
    AuthorizationFailed,
    /// The events of NOTIFY that are known (RFC 5465).
    BadEvent,
    /// The charsets that are understood.
    BadCharset(Vec<Cow<'static, str>>),
    /// The mechanisms of URLAUTH that a mailbox has (RFC 4467 §8).
    UrlMech(Vec<Cow<'static, str>>),
    /// A URL of CATENATE that names nothing (RFC 4469).
    BadUrl(String),
    Cannot,
    Capability(Vec<Cow<'static, str>>),
    ClientBug,
    /// Sent by the session when SELECT leaves a mailbox.
    Closed,
    /// COMPRESS is active already (RFC 4978).
    CompressionActive,
    ContactAdmin,
    /// COPYUID (RFC 4315): the n-th of `from` became the n-th of `to`. Left out
    /// when empty.
    CopyUid {
        uid_validity: u32,
        from: NumberSet,
        to: NumberSet,
    },
    Corruption,
    Expired,
    ExpungeIssued,
    HasChildren,
    /// Up to this modification number the client knows all changes (RFC 7162).
    HighestModSeq(u64),
    /// A command is worked on ([RFC 9585](https://www.rfc-editor.org/rfc/rfc9585)):
    /// which, how far it is, how far it goes.
    InProgress {
        tag: Option<Tag>,
        done: Option<u32>,
        goal: Option<u32>,
    },
    InUse,
    Limit,
    /// The mailbox's identifier (RFC 8474).
    MailboxId(ObjectId),
    /// A command was about more messages than it may be
    /// ([RFC 9738 §3.1](https://www.rfc-editor.org/rfc/rfc9738#section-3.1)).
    MessageLimit {
        /// How many it may be about.
        limit: u32,
        /// The lowest UID of those that were dealt with.
        lowest: Option<u32>,
    },
    /// A value was left out: the largest is of this size (RFC 5464).
    MetadataLongEntries(u64),
    /// A value is larger than this (RFC 5464).
    MetadataMaxSize(u64),
    /// There are too many entries (RFC 5464).
    MetadataTooMany,
    /// Private entries are not kept (RFC 5464).
    MetadataNoPrivate,
    /// Messages that a conditional STORE left alone (RFC 7162), as sequence
    /// numbers or UIDs.
    Modified(NumberSet),
    NonExistent,
    NoPerm,
    /// The results of this command are not kept up to date (RFC 5267).
    NoUpdate(Tag),
    /// NOTIFY is off from now on (RFC 5465).
    NotificationOverflow,
    NotSaved,
    OverQuota,
    Parse,
    /// The flags a client can change for good; `keywords` adds `\*`.
    PermanentFlags {
        flags: Vec<Flag>,
        keywords: bool,
    },
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    /// The batches are too small (RFC 10022).
    TooFew,
    /// The batches are too many (RFC 10022).
    TooMany,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    /// Sequence numbers are not used (RFC 9586).
    UidRequired,
    UidValidity(u32),
    Unavailable,
    UnknownCte,
    /// Sequence number of the first unseen message (RFC 3501); left out once
    /// IMAP4rev2 is enabled.
    Unseen(u32),
    UseAttr,
    /// What a client does not know: everything between the brackets.
    Other(String),
}

/// A mailbox in LIST or LSUB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListItem {
    /// Its attributes.
    pub attributes: Vec<MailboxAttribute>,
    /// Hierarchy separator; `None` for a flat name.
    pub delimiter: Option<char>,
    /// Its name.
    pub name: MailboxName,
    /// CHILDINFO ("SUBSCRIBED"): children that match were found by RECURSIVEMATCH.
    pub child_subscribed: bool,
    /// OLDNAME: what the client called it (RFC 9051 §6.3.9.7).
    pub old_name: Option<MailboxName>,
}

/// An attribute of a mailbox in LIST.
/// [RFC 9051 §7.3.1](https://www.rfc-editor.org/rfc/rfc9051#section-7.3.1)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MailboxAttribute {
    HasChildren,
    HasNoChildren,
    Marked,
    /// Something that was asked for may not be done with it (RFC 5465 §3.1).
    NoAccess,
    NoInferiors,
    NonExistent,
    NoSelect,
    Remote,
    SpecialUse(SpecialUse),
    Subscribed,
    Unmarked,
    /// One that a client does not know, with its backslash.
    Other(Arc<str>),
}

impl MailboxAttribute {
    /// The attribute's name with its backslash.
    pub fn as_str(&self) -> &str {
        match self {
            MailboxAttribute::HasChildren => "\\HasChildren",
            MailboxAttribute::HasNoChildren => "\\HasNoChildren",
            MailboxAttribute::Marked => "\\Marked",
            MailboxAttribute::NoAccess => "\\NoAccess",
            MailboxAttribute::NoInferiors => "\\Noinferiors",
            MailboxAttribute::NonExistent => "\\NonExistent",
            MailboxAttribute::NoSelect => "\\Noselect",
            MailboxAttribute::Remote => "\\Remote",
            MailboxAttribute::SpecialUse(special) => special.as_str(),
            MailboxAttribute::Subscribed => "\\Subscribed",
            MailboxAttribute::Unmarked => "\\Unmarked",
            MailboxAttribute::Other(name) => name,
        }
    }
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// What names in it begin with, as UTF-8.
    pub prefix: String,
    /// Its hierarchy separator.
    pub delimiter: Option<char>,
}

/// A data item of a FETCH response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// FLAGS
    Flags(Vec<Flag>),
    /// UID
    Uid(u32),
    /// INTERNALDATE
    InternalDate(DateTime),
    /// SAVEDATE (RFC 8514); `None` is NIL.
    SaveDate(Option<DateTime>),
    /// MODSEQ (RFC 7162)
    ModSeq(u64),
    /// EMAILID (RFC 8474)
    EmailId(ObjectId),
    /// THREADID (RFC 8474); `None` is NIL.
    ThreadId(Option<ObjectId>),
    /// PREVIEW (RFC 8970); `None` is NIL.
    Preview(Option<String>),
    /// RFC822.SIZE
    Rfc822Size(u64),
    /// ENVELOPE
    Envelope(Envelope),
    /// BODY: extension data is left out.
    Body(BodyStructure),
    /// BODYSTRUCTURE
    BodyStructure(BodyStructure),
    /// BINARY.SIZE
    BinarySize {
        /// Part numbers.
        part: Vec<u32>,
        /// Decoded size in bytes.
        size: u64,
    },
    /// What a client does not know, or what its server wrote in a way that the
    /// grammar does not have. It is written as it is.
    Other {
        /// The item's name.
        name: String,
        /// Its value, as it came.
        value: Bytes,
    },
    /// BODY[..], BINARY[..], RFC822, RFC822.HEADER or RFC822.TEXT.
    Data {
        /// What was asked for. It is answered by its response name: without
        /// PEEK, and of a partial only its offset. Read by a client, the length
        /// of a partial is that of the data.
        attribute: FetchAttribute,
        /// The bytes, already cut to the partial; `None` is NIL.
        data: Option<Bytes>,
    },
}
