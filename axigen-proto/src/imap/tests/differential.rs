//! Our grammar against imap-codec's: the same lines are taken and refused, and
//! mean the same. Where the two differ, [`explained()`] says why we keep ours.

mod explained;

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::IntoStatic;
use imap_codec::imap_types::command::{CommandBody, FetchModifier, SelectParameter, StoreModifier};
use imap_codec::imap_types::core::{AString, IString};
use imap_codec::imap_types::datetime::NaiveDate;
use imap_codec::imap_types::extensions::condstore_qresync::EntryTypeReq;
use imap_codec::imap_types::extensions::thread::ThreadingAlgorithm;
use imap_codec::imap_types::fetch::{
    MacroOrMessageDataItemNames, MessageDataItemName, Part, Section as TheirSection,
};
use imap_codec::imap_types::flag::{Flag as TheirFlag, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::search::SearchKey as TheirKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet as TheirSet};
use imap_codec::imap_types::status::StatusDataItemName;
use proptest::prelude::*;

use self::explained::explained;
use super::round_trip::written;
use super::values;
use crate::imap::command::{
    Append, Command, Fetch, FetchAttribute, List, ListPattern, ListReturn, ListSelect, Partial,
    Search, SearchKey, Section, SectionText, Select, Store, StoreAction,
};
use crate::imap::extensions::condstore::{
    EntryType, FetchModifiers, ModSeqEntry, Resync, SelectParameters,
};
use crate::imap::extensions::literal::announced;
use crate::imap::extensions::multiappend::AppendPiece;
use crate::imap::extensions::sort::{Sort, SortBy, SortCriterion, Thread, ThreadAlgorithm};
use crate::imap::parse::{self, Grammar, Rejection};
use crate::imap::response::Status;
use crate::imap::sequence::{NumberSet, SequenceNumber, SequenceRange, SequenceSet};
use crate::imap::types::{Date, DateTime, Flag, MailboxName, StatusItem};
use crate::imap::utf7;

/// Why a value of theirs has no counterpart of ours.
type Different = &'static str;

fn text(string: &AString<'_>) -> Result<String, Different> {
    utf8(string.as_ref())
}

fn utf8(bytes: &[u8]) -> Result<String, Different> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "we take texts that are UTF-8 only")
}

fn name(mailbox: &Mailbox<'_>) -> Result<MailboxName, Different> {
    match mailbox {
        Mailbox::Inbox => Ok("INBOX".into()),
        Mailbox::Other(other) => utf7_text(other.inner().as_ref()).map(MailboxName::new),
    }
}

fn utf7_text(bytes: &[u8]) -> Result<String, Different> {
    let text = utf7::decode(bytes).map_err(|_| "they leave modified UTF-7 undecoded")?;
    if text.contains(['\0', '\r', '\n']) {
        return Err("we take no line breaks in names");
    }
    Ok(text)
}

fn reference(mailbox: &Mailbox<'_>) -> Result<String, Different> {
    match mailbox {
        // Theirs has lost the case.
        Mailbox::Inbox => Ok("INBOX".to_owned()),
        Mailbox::Other(other) => utf7_text(other.inner().as_ref()),
    }
}

fn pattern(pattern: &ListMailbox<'_>) -> Result<ListPattern, Different> {
    let bytes = match pattern {
        ListMailbox::Token(token) => token.as_ref(),
        ListMailbox::String(IString::Literal(literal)) => literal.as_ref(),
        ListMailbox::String(IString::Quoted(quoted)) => quoted.as_ref().as_bytes(),
    };
    utf7_text(bytes).map(ListPattern)
}

fn set(theirs: &TheirSet) -> SequenceSet {
    let number = |n: SeqOrUid| match n {
        SeqOrUid::Value(n) => SequenceNumber::Number(n.get()),
        SeqOrUid::Asterisk => SequenceNumber::Largest,
    };
    SequenceSet::Ranges(
        theirs
            .0
            .as_ref()
            .iter()
            .map(|range| match *range {
                Sequence::Single(n) => SequenceRange {
                    from: number(n),
                    to: number(n),
                },
                Sequence::Range(a, b) => SequenceRange {
                    from: number(a),
                    to: number(b),
                },
            })
            .collect(),
    )
}

fn flag(theirs: &TheirFlag<'_>) -> Flag {
    Flag::new(&theirs.to_string()).unwrap()
}

fn flags(theirs: &[TheirFlag<'_>]) -> Vec<Flag> {
    theirs.iter().map(flag).collect()
}

fn date(theirs: &NaiveDate) -> Date {
    let text = theirs.as_ref().to_string();
    let mut numbers = text.split('-').map(|n| n.parse::<u16>().unwrap());
    let mut next = || numbers.next().unwrap();
    Date::new(next(), next() as u8, next() as u8).unwrap()
}

fn items(theirs: &[StatusDataItemName]) -> Result<Vec<StatusItem>, Different> {
    theirs
        .iter()
        .map(|item| {
            Ok(match item {
                StatusDataItemName::Messages => StatusItem::Messages,
                StatusDataItemName::Recent => StatusItem::Recent,
                StatusDataItemName::UidNext => StatusItem::UidNext,
                StatusDataItemName::UidValidity => StatusItem::UidValidity,
                StatusDataItemName::Unseen => StatusItem::Unseen,
                StatusDataItemName::Deleted => StatusItem::Deleted,
                StatusDataItemName::DeletedStorage => StatusItem::DeletedStorage,
                StatusDataItemName::HighestModSeq => StatusItem::HighestModSeq,
                #[allow(unreachable_patterns)]
                _ => return Err("an extension of theirs"),
            })
        })
        .collect()
}

fn key(theirs: &TheirKey<'_>) -> Result<SearchKey, Different> {
    Ok(match theirs {
        TheirKey::And(keys) => {
            SearchKey::And(keys.as_ref().iter().map(key).collect::<Result<_, _>>()?)
        }
        TheirKey::Not(inner) => SearchKey::Not(Box::new(key(inner)?)),
        TheirKey::Or(a, b) => SearchKey::Or(Box::new(key(a)?), Box::new(key(b)?)),
        TheirKey::SequenceSet(theirs) => SearchKey::Sequence(set(theirs)),
        TheirKey::Uid(theirs) => SearchKey::Uid(set(theirs)),
        TheirKey::All => SearchKey::All,
        TheirKey::Answered => SearchKey::Answered,
        TheirKey::Deleted => SearchKey::Deleted,
        TheirKey::Draft => SearchKey::Draft,
        TheirKey::Flagged => SearchKey::Flagged,
        TheirKey::Seen => SearchKey::Seen,
        TheirKey::Unanswered => SearchKey::Unanswered,
        TheirKey::Undeleted => SearchKey::Undeleted,
        TheirKey::Undraft => SearchKey::Undraft,
        TheirKey::Unflagged => SearchKey::Unflagged,
        TheirKey::Unseen => SearchKey::Unseen,
        TheirKey::New => SearchKey::New,
        TheirKey::Old => SearchKey::Old,
        TheirKey::Recent => SearchKey::Recent,
        TheirKey::Keyword(name) => SearchKey::Keyword(Flag::Keyword(name.as_ref().into())),
        TheirKey::Unkeyword(name) => SearchKey::Unkeyword(Flag::Keyword(name.as_ref().into())),
        TheirKey::Younger(n) => SearchKey::Younger(n.get()),
        TheirKey::Older(n) => SearchKey::Older(n.get()),
        TheirKey::Bcc(string) => SearchKey::Bcc(text(string)?),
        TheirKey::Body(string) => SearchKey::Body(text(string)?),
        TheirKey::Cc(string) => SearchKey::Cc(text(string)?),
        TheirKey::From(string) => SearchKey::From(text(string)?),
        TheirKey::Subject(string) => SearchKey::Subject(text(string)?),
        TheirKey::Text(string) => SearchKey::Text(text(string)?),
        TheirKey::To(string) => SearchKey::To(text(string)?),
        TheirKey::Header(field, string) => SearchKey::Header(text(field)?, text(string)?),
        TheirKey::Before(day) => SearchKey::Before(date(day)),
        TheirKey::On(day) => SearchKey::On(date(day)),
        TheirKey::Since(day) => SearchKey::Since(date(day)),
        TheirKey::SentBefore(day) => SearchKey::SentBefore(date(day)),
        TheirKey::SentOn(day) => SearchKey::SentOn(date(day)),
        TheirKey::SentSince(day) => SearchKey::SentSince(date(day)),
        TheirKey::Larger(size) => SearchKey::Larger((*size).into()),
        TheirKey::Smaller(size) => SearchKey::Smaller((*size).into()),
        TheirKey::ModSequence { entry, modseq } => SearchKey::ModSeq {
            entry: entry.as_ref().map(|(theirs, kind)| ModSeqEntry {
                flag: Flag::new(&theirs.to_string().replace("\\\\", "\\")).unwrap(),
                kind: match kind {
                    EntryTypeReq::Private => EntryType::Private,
                    EntryTypeReq::Shared => EntryType::Shared,
                    EntryTypeReq::All => EntryType::All,
                },
            }),
            since: *modseq,
        },
        #[allow(unreachable_patterns)]
        _ => return Err("an extension of theirs"),
    })
}

fn part(theirs: &Part) -> Vec<u32> {
    theirs.0.as_ref().iter().map(|n| n.get()).collect()
}

fn section(theirs: Option<&TheirSection<'_>>) -> Result<Section, Different> {
    let fields = |names: &[AString<'_>]| names.iter().map(text).collect::<Result<Vec<_>, _>>();
    let (number, what) = match theirs {
        None => (None, SectionText::Full),
        Some(TheirSection::Part(number)) => (Some(number), SectionText::Full),
        Some(TheirSection::Header(number)) => (number.as_ref(), SectionText::Header),
        Some(TheirSection::HeaderFields(number, names)) => (
            number.as_ref(),
            SectionText::HeaderFields(fields(names.as_ref())?),
        ),
        Some(TheirSection::HeaderFieldsNot(number, names)) => (
            number.as_ref(),
            SectionText::HeaderFieldsNot(fields(names.as_ref())?),
        ),
        Some(TheirSection::Text(number)) => (number.as_ref(), SectionText::Text),
        Some(TheirSection::Mime(number)) => (Some(number), SectionText::Mime),
    };
    Ok(Section {
        part: number.map(part).unwrap_or_default(),
        text: what,
    })
}

fn attribute(theirs: &MessageDataItemName<'_>) -> Result<FetchAttribute, Different> {
    let whole = |theirs: &[std::num::NonZeroU32]| theirs.iter().map(|n| n.get()).collect();
    let partial = |theirs: Option<(u32, std::num::NonZeroU32)>| {
        theirs.map(|(offset, length)| Partial {
            offset: offset.into(),
            length: length.get().into(),
        })
    };
    Ok(match theirs {
        MessageDataItemName::Body => FetchAttribute::Body,
        MessageDataItemName::BodyExt {
            section: theirs,
            partial: cut,
            peek,
        } => FetchAttribute::BodySection {
            section: section(theirs.as_ref())?,
            partial: partial(*cut),
            peek: *peek,
        },
        MessageDataItemName::BodyStructure => FetchAttribute::BodyStructure,
        MessageDataItemName::Envelope => FetchAttribute::Envelope,
        MessageDataItemName::Flags => FetchAttribute::Flags,
        MessageDataItemName::InternalDate => FetchAttribute::InternalDate,
        MessageDataItemName::ModSeq => FetchAttribute::ModSeq,
        MessageDataItemName::Rfc822 => FetchAttribute::Rfc822,
        MessageDataItemName::Rfc822Header => FetchAttribute::Rfc822Header,
        MessageDataItemName::Rfc822Size => FetchAttribute::Rfc822Size,
        MessageDataItemName::Rfc822Text => FetchAttribute::Rfc822Text,
        MessageDataItemName::Uid => FetchAttribute::Uid,
        MessageDataItemName::Binary {
            section,
            partial: cut,
            peek,
        } => FetchAttribute::Binary {
            part: whole(section),
            partial: partial(*cut),
            peek: *peek,
        },
        MessageDataItemName::BinarySize { section } => FetchAttribute::BinarySize {
            part: whole(section),
        },
        #[allow(unreachable_patterns)]
        _ => return Err("an extension of theirs"),
    })
}

fn known(theirs: &TheirSet) -> Result<NumberSet, Different> {
    let set = set(theirs);
    match format!("{set}").contains('*') {
        true => Err("RFC 7162: no * here"),
        false => Ok(set.resolve(0)),
    }
}

fn parameters(theirs: &[SelectParameter]) -> Result<SelectParameters, Different> {
    let mut parameters = SelectParameters::default();
    for one in theirs {
        match one {
            SelectParameter::CondStore => parameters.condstore = true,
            SelectParameter::QResync { .. } if parameters.qresync.is_some() => {
                return Err("they take QRESYNC twice");
            }
            SelectParameter::QResync {
                uid_validity,
                mod_sequence_value,
                known_uids,
                seq_match_data,
            } => {
                let matched = seq_match_data
                    .as_ref()
                    .map(|(numbers, uids)| Ok::<_, Different>((known(numbers)?, known(uids)?)))
                    .transpose()?;
                if matched
                    .as_ref()
                    .is_some_and(|(numbers, uids)| numbers.count() != uids.count())
                {
                    return Err("they do not compare how many there are");
                }
                parameters.qresync = Some(Resync {
                    uid_validity: uid_validity.get(),
                    modseq: mod_sequence_value.get(),
                    known: known_uids.as_ref().map(known).transpose()?,
                    matched,
                });
            }
        }
    }
    Ok(parameters)
}

fn modifiers(uid: bool, theirs: &[FetchModifier]) -> Result<FetchModifiers, Different> {
    let mut modifiers = FetchModifiers::default();
    for one in theirs {
        let twice = match one {
            FetchModifier::ChangedSince(since) => {
                modifiers.changed_since.replace(since.get()).is_some()
            }
            FetchModifier::Vanished => std::mem::replace(&mut modifiers.vanished, true),
        };
        if twice {
            return Err("they take a modifier twice");
        }
    }
    if modifiers.vanished && (!uid || modifiers.changed_since.is_none()) {
        return Err("RFC 7162: VANISHED goes with UID FETCH and CHANGEDSINCE");
    }
    Ok(modifiers)
}

/// Their command as ours.
fn ours_of(theirs: &CommandBody<'_>) -> Result<Command, Different> {
    Ok(match theirs {
        CommandBody::Capability => Command::Capability,
        CommandBody::Noop => Command::Noop,
        CommandBody::Logout => Command::Logout,
        CommandBody::StartTLS => Command::StartTls,
        CommandBody::Login { username, password } => Command::Login {
            user: text(username)?,
            password: text(password.declassify())?.into(),
        },
        CommandBody::Select {
            mailbox,
            parameters: theirs,
        } => Command::Select(Select {
            mailbox: name(mailbox)?,
            parameters: parameters(theirs)?,
        }),
        CommandBody::Examine {
            mailbox,
            parameters: theirs,
        } => Command::Examine(Select {
            mailbox: name(mailbox)?,
            parameters: parameters(theirs)?,
        }),
        CommandBody::Unselect => Command::Unselect,
        CommandBody::Create { mailbox } => Command::Create {
            mailbox: name(mailbox)?,
            special_use: Vec::new(),
        },
        CommandBody::Delete { mailbox } => Command::Delete {
            mailbox: name(mailbox)?,
        },
        CommandBody::Rename { from, to } => Command::Rename {
            from: name(from)?,
            to: name(to)?,
        },
        CommandBody::Subscribe { mailbox } => Command::Subscribe {
            mailbox: name(mailbox)?,
        },
        CommandBody::Unsubscribe { mailbox } => Command::Unsubscribe {
            mailbox: name(mailbox)?,
        },
        CommandBody::List {
            reference: theirs,
            mailbox_wildcard,
        } => Command::List(List {
            select: ListSelect::default(),
            reference: reference(theirs)?,
            patterns: vec![pattern(mailbox_wildcard)?],
            returns: ListReturn::default(),
            extended: false,
        }),
        CommandBody::Lsub {
            reference: theirs,
            mailbox_wildcard,
        } => Command::Lsub {
            reference: reference(theirs)?,
            pattern: pattern(mailbox_wildcard)?,
        },
        CommandBody::Status {
            mailbox,
            item_names,
        } => Command::Status {
            mailbox: name(mailbox)?,
            items: items(item_names)?,
        },
        CommandBody::Append {
            mailbox,
            flags: theirs,
            date,
            ..
        } => Command::Append(Append {
            mailbox: name(mailbox)?,
            replaces: None,
            pieces: vec![AppendPiece::Literal],
            flags: flags(theirs),
            date: date.as_ref().map(|date| DateTime {
                unix: date.as_ref().timestamp(),
                zone: (date.as_ref().offset().local_minus_utc() / 60) as i16,
            }),
        }),
        CommandBody::Check => Command::Check,
        CommandBody::Close => Command::Close,
        CommandBody::Expunge => Command::Expunge,
        CommandBody::ExpungeUid { sequence_set } => Command::UidExpunge {
            set: set(sequence_set),
        },
        CommandBody::Search { criteria, uid, .. } => Command::Search(Search {
            uid: *uid,
            returns: None,
            update_items: vec![],
            keys: criteria
                .as_ref()
                .iter()
                .map(key)
                .collect::<Result<_, _>>()?,
        }),
        CommandBody::Sort {
            sort_criteria,
            search_criteria,
            uid,
            ..
        } => Command::Sort(Sort {
            uid: *uid,
            returns: None,
            update_items: vec![],
            criteria: sort_criteria
                .as_ref()
                .iter()
                .map(|theirs| {
                    let name = format!("{:?}", theirs.key).to_ascii_uppercase();
                    let known = SortBy::NAMES.iter().find(|(_, known)| *known == name);
                    let &(by, _) = known.ok_or("a sort key that we do not know")?;
                    Ok(SortCriterion {
                        reverse: theirs.reverse,
                        by,
                    })
                })
                .collect::<Result<_, Different>>()?,
            keys: search_criteria
                .as_ref()
                .iter()
                .map(key)
                .collect::<Result<_, _>>()?,
        }),
        CommandBody::Thread {
            algorithm,
            search_criteria,
            uid,
            ..
        } => Command::Thread(Thread {
            uid: *uid,
            algorithm: match algorithm {
                ThreadingAlgorithm::OrderedSubject => ThreadAlgorithm::OrderedSubject,
                ThreadingAlgorithm::References => ThreadAlgorithm::References,
                _ => return Err("an algorithm that we do not know"),
            },
            keys: search_criteria
                .as_ref()
                .iter()
                .map(key)
                .collect::<Result<_, _>>()?,
        }),
        CommandBody::Fetch {
            sequence_set,
            macro_or_item_names,
            uid,
            modifiers: theirs,
        } => Command::Fetch(Fetch {
            uid: *uid,
            set: set(sequence_set),
            modifiers: modifiers(*uid, theirs)?,
            attributes: match macro_or_item_names {
                MacroOrMessageDataItemNames::Macro(short) => short
                    .expand()
                    .iter()
                    .map(attribute)
                    .collect::<Result<_, _>>()?,
                MacroOrMessageDataItemNames::MessageDataItemNames(names) => {
                    names.iter().map(attribute).collect::<Result<_, _>>()?
                }
            },
        }),
        CommandBody::Store {
            sequence_set,
            kind,
            response,
            flags: theirs,
            uid,
            modifiers,
        } => Command::Store(Store {
            uid: *uid,
            set: set(sequence_set),
            unchanged_since: match modifiers.as_slice() {
                [] => None,
                [StoreModifier::UnchangedSince(since)] => Some(*since),
                _ => return Err("they take a modifier twice"),
            },
            action: match kind {
                StoreType::Replace => StoreAction::Replace,
                StoreType::Add => StoreAction::Add,
                StoreType::Remove => StoreAction::Remove,
            },
            silent: *response == StoreResponse::Silent,
            flags: flags(theirs),
        }),
        CommandBody::Copy {
            sequence_set,
            mailbox,
            uid,
        } => Command::Copy {
            uid: *uid,
            set: set(sequence_set),
            mailbox: name(mailbox)?,
        },
        CommandBody::Move {
            sequence_set,
            mailbox,
            uid,
        } => Command::Move {
            uid: *uid,
            set: set(sequence_set),
            mailbox: name(mailbox)?,
        },
        CommandBody::GetQuota { root } => Command::GetQuota { root: text(root)? },
        CommandBody::GetQuotaRoot { mailbox } => Command::GetQuotaRoot {
            mailbox: name(mailbox)?,
        },
        CommandBody::Idle => Command::Idle,
        CommandBody::Compress { .. } => Command::Compress,
        CommandBody::Namespace => Command::Namespace,
        CommandBody::Enable { capabilities } => Command::Enable(
            capabilities
                .as_ref()
                .iter()
                .map(|name| name.to_string().to_ascii_uppercase())
                .collect(),
        ),
        CommandBody::Id { parameters } => Command::Id(
            parameters
                .iter()
                .flatten()
                .map(|(name, value)| {
                    let value = value.0.as_ref().map(|value| utf8(value.as_ref()));
                    Ok::<_, Different>((utf8(name.as_ref())?, value.transpose()?))
                })
                .collect::<Result<_, _>>()?,
        ),
        CommandBody::Authenticate {
            mechanism,
            initial_response,
        } => Command::Authenticate {
            mechanism: mechanism.to_string().to_ascii_uppercase(),
            initial: initial_response.as_ref().map(|bytes| {
                let bytes = bytes.declassify();
                if bytes.is_empty() {
                    "=".to_owned().into()
                } else {
                    crate::sasl::encode_line(bytes).into()
                }
            }),
        },
        _ => return Err("a command of an extension we do not have"),
    })
}

/// Sets are normalised by them: `3:1,2` becomes `1:3`.
fn same_sets(command: &mut Command) {
    fn settle(set: &mut SequenceSet) {
        if let SequenceSet::Ranges(ranges) = set {
            let ends: Vec<_> = set_ranges(ranges);
            *ranges = ends;
        }
    }
    fn set_ranges(ranges: &[SequenceRange]) -> Vec<SequenceRange> {
        SequenceSet::Ranges(ranges.to_vec())
            .resolve(u32::MAX)
            .ranges()
            .map(|(from, to)| SequenceRange {
                from: SequenceNumber::Number(from),
                to: SequenceNumber::Number(to),
            })
            .collect()
    }
    fn settle_key(key: &mut SearchKey) {
        match key {
            SearchKey::And(keys) => keys.iter_mut().for_each(settle_key),
            SearchKey::Not(key) => settle_key(key),
            SearchKey::Or(a, b) => {
                settle_key(a);
                settle_key(b);
            }
            SearchKey::Sequence(set) | SearchKey::Uid(set) => settle(set),
            _ => {}
        }
    }
    match command {
        Command::UidExpunge { set }
        | Command::Fetch(Fetch { set, .. })
        | Command::Store(Store { set, .. })
        | Command::Copy { set, .. }
        | Command::Move { set, .. } => settle(set),
        Command::Search(search) => {
            search.keys.iter_mut().for_each(settle_key);
            // They keep one list in parentheses apart only if it is not the whole search.
            if let [SearchKey::And(keys)] = search.keys.as_mut_slice() {
                search.keys = std::mem::take(keys);
            }
        }
        Command::Sort(Sort { keys, .. }) | Command::Thread(Thread { keys, .. }) => {
            keys.iter_mut().for_each(settle_key);
            if let [SearchKey::And(inner)] = keys.as_mut_slice() {
                *keys = std::mem::take(inner);
            }
        }
        Command::List(List { reference, .. }) | Command::Lsub { reference, .. }
            if reference.eq_ignore_ascii_case("INBOX") =>
        {
            *reference = "INBOX".to_owned();
        }
        _ => {}
    }
}

/// What each makes of a line (without its CRLF).
fn both(
    line: &[u8],
) -> (
    Result<Command, Rejection>,
    Result<CommandBody<'static>, String>,
) {
    // Of APPEND our grammar sees what stands before the message.
    let is_append = parse::head(line)
        .is_ok_and(|head| matches!(head.name, crate::imap::command::name::Name::Append));
    let mut whole = line.to_vec();
    whole.extend_from_slice(b"\r\n");
    let ours = match announced(line) {
        Some(literal) if is_append => {
            whole.extend(std::iter::repeat_n(b'x', literal.size.min(99) as usize));
            whole.extend_from_slice(b"\r\n");
            parse::command(&Grammar::default(), &line[..line.len() - literal.length])
        }
        // The session refuses this (`append_with_something_behind`).
        None if is_append => Err(Rejection {
            tag: None,
            status: Status::bad("no message"),
        }),
        _ => parse::command(&Grammar::default(), line),
    };
    let theirs = match CommandCodec::default().decode(&whole) {
        Ok((b"", command)) => Ok(command.body.into_static()),
        Ok((rest, _)) => Err(format!("{} bytes left", rest.len())),
        Err(error) => Err(format!("{error:?}")),
    };
    (ours.map(|(_, command)| command), theirs)
}

fn compare(line: &[u8]) -> Result<(), TestCaseError> {
    let (ours, theirs) = both(line);
    // Theirs knows neither REPLACE nor other forms of a message.
    if let Ok(Command::Append(append)) = &ours
        && (append.replaces.is_some() || append.pieces != [AppendPiece::Literal])
    {
        return Ok(());
    }
    if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) {
        return match ours_of(theirs) {
            Ok(mut theirs) => {
                let mut ours = ours.clone();
                same_sets(&mut ours);
                same_sets(&mut theirs);
                prop_assert_eq!(ours, theirs, "{}", line.escape_ascii());
                Ok(())
            }
            Err(why) => Err(TestCaseError::fail(format!(
                "{why}: {}",
                line.escape_ascii()
            ))),
        };
    }
    prop_assert!(
        explained(line, &ours, &theirs).is_some(),
        "{}\nours {ours:?}\ntheirs {theirs:?}",
        line.escape_ascii()
    );
    Ok(())
}

/// APPEND gets its literal back.
fn line_of(command: &Command) -> Vec<u8> {
    let mut line = written(false, command);
    // Theirs knows no other form of the message, and no REPLACE.
    if matches!(command, Command::Append(append) if append.pieces == [AppendPiece::Literal]) {
        line.extend_from_slice(b"{3+}");
    }
    line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn on_commands(command in values::command()) {
        compare(&line_of(&command))?;
    }

    #[test]
    fn on_broken_commands(
        command in values::command(),
        edits in prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                prop_oneof![
                    any::<u8>(),
                    prop::sample::select(b" ()\"\\{}+*%$:,.<>[]01aA\r\n&-".to_vec()),
                ],
                0u8..4,
            ),
            1..3,
        ),
    ) {
        let mut line = line_of(&command);
        for (at, byte, kind) in edits {
            let at = at.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 => line.truncate(at.max(1)),
                _ if line.len() > 1 => { line.remove(at); }
                _ => {}
            }
        }
        compare(&line)?;
    }
}
