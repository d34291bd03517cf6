//! Strategies that make values: any command that can be written down.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::imap::command::{
    Append, Command, Fetch, FetchAttribute, List, ListPattern, ListReturn, ListSelect, Partial,
    Replaced, Search, SearchKey, SearchReturn, Section, SectionText, Select, Store, StoreAction,
};
use crate::imap::extensions::condstore::{
    EntryType, FetchModifiers, ModSeqEntry, Resync, SelectParameters,
};
use crate::imap::extensions::multiappend::AppendPiece;
use crate::imap::extensions::multisearch::MultiSearch;
use crate::imap::extensions::notify::{EventGroup, Notify, NotifyEvent, NotifyMailboxes};
use crate::imap::extensions::objectid::ObjectId;
use crate::imap::extensions::partial::PartialRange;
use crate::imap::extensions::sort::{Sort, SortBy, SortCriterion, Thread, ThreadAlgorithm};
use crate::imap::extensions::uidbatches::UidBatches;
use crate::imap::extensions::urlauth::UrlAuthCommand;
use crate::imap::sequence::{NumberSet, SequenceNumber, SequenceRange, SequenceSet};
use crate::imap::types::{Date, DateTime, Flag, MailboxName, SpecialUse, StatusItem, Tag};

/// Any text without NUL.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

fn name_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[A-Za-z0-9/. &%*\"\\\\-]{0,12}",
        1 => Just("inbox".to_owned()),
        2 => any::<String>().prop_map(|text| text.replace(['\0', '\r', '\n'], "")),
    ]
}

pub(super) fn mailbox() -> impl Strategy<Value = MailboxName> {
    name_text().prop_map(MailboxName::new)
}

fn pattern() -> impl Strategy<Value = ListPattern> {
    name_text().prop_map(ListPattern)
}

fn keyword() -> impl Strategy<Value = Flag> {
    "[A-Za-z$][A-Za-z0-9$_.+-]{0,8}".prop_map(|name| Flag::Keyword(name.into()))
}

pub(super) fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        Just(Flag::Answered),
        Just(Flag::Flagged),
        Just(Flag::Deleted),
        Just(Flag::Seen),
        Just(Flag::Draft),
        keyword(),
        "X[a-z]{1,5}".prop_map(|name| Flag::Extension(name.into())),
    ]
}

fn sequence_number() -> impl Strategy<Value = SequenceNumber> {
    prop_oneof![
        4 => (1u32..50).prop_map(SequenceNumber::Number),
        1 => (1..=u32::MAX).prop_map(SequenceNumber::Number),
        1 => Just(SequenceNumber::Largest),
    ]
}

pub(super) fn set() -> impl Strategy<Value = SequenceSet> {
    let range =
        (sequence_number(), option::of(sequence_number())).prop_map(|(from, to)| SequenceRange {
            from,
            to: to.unwrap_or(from),
        });
    prop_oneof![
        9 => vec(range, 1..5).prop_map(SequenceSet::Ranges),
        1 => Just(SequenceSet::Saved),
    ]
}

fn date() -> impl Strategy<Value = Date> {
    (-719_528i64..=2_932_896).prop_map(Date::from_days)
}

pub(super) fn date_time() -> impl Strategy<Value = DateTime> {
    (date(), 0u8..24, 0u8..60, 0u8..60, -1439i16..1440)
        .prop_filter_map("in range", |(date, h, m, s, zone)| {
            DateTime::new(date, h, m, s, zone)
        })
}

pub(super) fn status_items() -> impl Strategy<Value = Vec<StatusItem>> {
    vec(
        prop::sample::select(vec![
            StatusItem::Messages,
            StatusItem::Recent,
            StatusItem::UidNext,
            StatusItem::UidValidity,
            StatusItem::Unseen,
            StatusItem::Deleted,
            StatusItem::Size,
            StatusItem::HighestModSeq,
            StatusItem::AppendLimit,
            StatusItem::DeletedStorage,
            StatusItem::MailboxId,
        ]),
        1..4,
    )
}

fn list() -> impl Strategy<Value = Command> {
    let select =
        any::<[bool; 4]>().prop_map(|[subscribed, remote, recursive, special_use]| ListSelect {
            subscribed,
            remote,
            recursive_match: recursive && (subscribed || special_use),
            special_use,
        });
    let metadata = vec(super::metadata::entry(), 0..3);
    let returns = (any::<[bool; 4]>(), option::of(status_items()), metadata).prop_map(
        |([subscribed, children, my_rights, special_use], status, metadata)| ListReturn {
            subscribed,
            children,
            my_rights,
            metadata,
            special_use,
            status: status.unwrap_or_default(),
        },
    );
    let basic = (name_text(), pattern()).prop_map(|(reference, pattern)| List {
        select: ListSelect::default(),
        reference,
        patterns: vec![pattern],
        returns: ListReturn::default(),
        extended: false,
    });
    let extended = (select, name_text(), vec(pattern(), 1..3), returns).prop_map(
        |(select, reference, patterns, mut returns)| {
            returns.subscribed |= select.subscribed;
            returns.special_use |= select.special_use;
            List {
                select,
                reference,
                patterns,
                returns,
                extended: true,
            }
        },
    );
    prop_oneof![basic, extended].prop_map(Command::List)
}

pub(super) fn object_id() -> impl Strategy<Value = ObjectId> {
    "[A-Za-z0-9_-]{1,20}".prop_map(|text| ObjectId::new(&text).unwrap())
}

fn entry() -> impl Strategy<Value = ModSeqEntry> {
    let kinds = vec![EntryType::Private, EntryType::Shared, EntryType::All];
    (flag(), prop::sample::select(kinds)).prop_map(|(flag, kind)| ModSeqEntry { flag, kind })
}

pub(super) fn numbers(count: usize) -> impl Strategy<Value = NumberSet> {
    prop::collection::btree_set(1u32.., count).prop_map(|set| set.into_iter().collect())
}

fn select_parameters() -> impl Strategy<Value = SelectParameters> {
    let matched = (1usize..4).prop_flat_map(|count| (numbers(count), numbers(count)));
    let resync = (
        1u32..,
        1..1u64 << 63,
        option::of(numbers(3)),
        option::of(matched),
    )
        .prop_map(|(uid_validity, modseq, known, matched)| Resync {
            uid_validity,
            modseq,
            known,
            matched,
        });
    (any::<bool>(), option::of(resync))
        .prop_map(|(condstore, qresync)| SelectParameters { condstore, qresync })
}

fn fetch_modifiers(uid: bool) -> impl Strategy<Value = FetchModifiers> {
    let what = (
        option::of(0..1u64 << 63),
        any::<bool>(),
        option::of(partial_range()),
    );
    what.prop_map(move |(changed_since, vanished, partial)| FetchModifiers {
        changed_since,
        vanished: uid && vanished && changed_since.is_some(),
        partial: partial.filter(|_| uid),
    })
}

pub(super) fn search_key() -> impl Strategy<Value = SearchKey> {
    let simple = prop::sample::select(vec![
        SearchKey::All,
        SearchKey::Answered,
        SearchKey::Deleted,
        SearchKey::Draft,
        SearchKey::Flagged,
        SearchKey::Seen,
        SearchKey::Unanswered,
        SearchKey::Undeleted,
        SearchKey::Undraft,
        SearchKey::Unflagged,
        SearchKey::Unseen,
        SearchKey::SaveDateSupported,
        SearchKey::New,
        SearchKey::Old,
        SearchKey::Recent,
    ]);
    let texts = (0usize..7, text()).prop_map(|(which, text)| match which {
        0 => SearchKey::Bcc(text),
        1 => SearchKey::Body(text),
        2 => SearchKey::Cc(text),
        3 => SearchKey::From(text),
        4 => SearchKey::Subject(text),
        5 => SearchKey::Text(text),
        _ => SearchKey::To(text),
    });
    let dates = (0usize..9, date()).prop_map(|(which, date)| match which {
        6 => SearchKey::SavedBefore(date),
        7 => SearchKey::SavedOn(date),
        8 => SearchKey::SavedSince(date),
        0 => SearchKey::Before(date),
        1 => SearchKey::On(date),
        2 => SearchKey::Since(date),
        3 => SearchKey::SentBefore(date),
        4 => SearchKey::SentOn(date),
        _ => SearchKey::SentSince(date),
    });
    let leaf = prop_oneof![
        simple,
        texts,
        dates,
        set().prop_map(SearchKey::Sequence),
        set().prop_map(SearchKey::Uid),
        keyword().prop_map(SearchKey::Keyword),
        keyword().prop_map(SearchKey::Unkeyword),
        (1u32..).prop_map(SearchKey::UidAfter),
        (1u32..).prop_map(SearchKey::UidBefore),
        (1u32..).prop_map(SearchKey::Younger),
        (1u32..).prop_map(SearchKey::Older),
        (text(), text()).prop_map(|(field, text)| SearchKey::Header(field, text)),
        any::<u32>().prop_map(|n| SearchKey::Larger(n.into())),
        (0..1u64 << 63).prop_map(SearchKey::Smaller),
        object_id().prop_map(SearchKey::EmailId),
        object_id().prop_map(SearchKey::ThreadId),
        (option::of(entry()), 0..1u64 << 63)
            .prop_map(|(entry, since)| SearchKey::ModSeq { entry, since }),
    ];
    leaf.prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(SearchKey::And),
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            inner
                .clone()
                .prop_map(|key| SearchKey::Fuzzy(Box::new(key))),
            (inner.clone(), inner).prop_map(|(a, b)| SearchKey::Or(Box::new(a), Box::new(b))),
        ]
    })
}

pub(super) fn partial_range() -> impl Strategy<Value = PartialRange> {
    (1u32.., 1u32.., any::<bool>()).prop_map(|(a, b, from_end)| PartialRange {
        from: a.min(b),
        to: a.max(b),
        from_end,
    })
}

fn returns() -> impl Strategy<Value = Option<SearchReturn>> {
    let returns = (any::<[bool; 7]>(), option::of(partial_range())).prop_map(
        |([min, max, all, count, save, update, context], partial)| {
            let partial = partial.filter(|_| !all);
            SearchReturn {
                min,
                max,
                all: all
                    || !(min || max || count || save || update || context || partial.is_some()),
                count,
                save,
                update,
                context,
                partial,
                relevancy: false,
            }
        },
    );
    option::of(returns)
}

/// What goes with them, where UPDATE is among them.
fn update_items() -> impl Strategy<Value = Vec<FetchAttribute>> {
    vec(attribute(), 0..3)
}

fn with_update(
    returns: Option<SearchReturn>,
    mut items: Vec<FetchAttribute>,
) -> Vec<FetchAttribute> {
    if !returns.is_some_and(|returns| returns.update) {
        items.clear();
    }
    items
}

fn multi_search() -> impl Strategy<Value = Command> {
    let names = || vec(mailbox(), 1..3);
    let source = prop_oneof![
        prop::sample::select(vec![
            NotifyMailboxes::Selected,
            NotifyMailboxes::Inboxes,
            NotifyMailboxes::Personal,
            NotifyMailboxes::Subscribed,
        ]),
        names().prop_map(NotifyMailboxes::Subtree),
        names().prop_map(NotifyMailboxes::SubtreeOne),
        names().prop_map(NotifyMailboxes::Mailboxes),
    ];
    let what = (
        vec(source, 1..4),
        returns(),
        update_items(),
        vec(search_key(), 1..4),
    );
    what.prop_map(|(mut sources, returns, items, keys)| {
        let returns = returns.unwrap_or(SearchReturn {
            all: true,
            ..SearchReturn::default()
        });
        let saved = |key: &SearchKey| {
            matches!(
                key,
                SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved)
            )
        };
        if returns.save || keys.iter().any(|key| key.any(&saved)) {
            sources = vec![NotifyMailboxes::Selected];
        }
        Command::MultiSearch(MultiSearch {
            sources,
            returns,
            update_items: with_update(Some(returns), items),
            keys,
        })
    })
}

fn search() -> impl Strategy<Value = Command> {
    let what = (
        any::<bool>(),
        returns(),
        update_items(),
        vec(search_key(), 1..4),
    );
    what.prop_map(|(uid, returns, items, keys)| {
        Command::Search(Search {
            uid,
            returns,
            update_items: with_update(returns, items),
            keys,
        })
    })
}

fn sort() -> impl Strategy<Value = Command> {
    let criterion = (any::<bool>(), prop::sample::select(SortBy::NAMES.to_vec()))
        .prop_map(|(reverse, (by, _))| SortCriterion { reverse, by });
    let what = (
        any::<bool>(),
        returns(),
        update_items(),
        vec(criterion, 1..4),
        vec(search_key(), 1..3),
    );
    what.prop_map(|(uid, returns, items, criteria, mut keys)| {
        if criteria
            .iter()
            .any(|criterion| criterion.by == SortBy::Relevancy)
        {
            keys.push(SearchKey::Fuzzy(Box::new(SearchKey::All)));
        }
        Command::Sort(Sort {
            uid,
            returns,
            update_items: with_update(returns, items),
            criteria,
            keys,
        })
    })
}

fn thread() -> impl Strategy<Value = Command> {
    let algorithm = prop::sample::select(vec![
        ThreadAlgorithm::OrderedSubject,
        ThreadAlgorithm::References,
    ]);
    let what = (any::<bool>(), algorithm, vec(search_key(), 1..3));
    what.prop_map(|(uid, algorithm, keys)| {
        Command::Thread(Thread {
            uid,
            algorithm,
            keys,
        })
    })
}

fn part() -> impl Strategy<Value = Vec<u32>> {
    vec(1u32..20, 0..4)
}

fn partial() -> impl Strategy<Value = Option<Partial>> {
    option::of(
        (0u64..1 << 40, 1u64..1 << 40).prop_map(|(offset, length)| Partial { offset, length }),
    )
}

pub(super) fn attribute() -> impl Strategy<Value = FetchAttribute> {
    let fields = || vec("[A-Za-z-]{1,10}", 1..3);
    let section = prop_oneof![
        Just(SectionText::Full),
        Just(SectionText::Header),
        Just(SectionText::Text),
        Just(SectionText::Mime),
        fields().prop_map(SectionText::HeaderFields),
        fields().prop_map(SectionText::HeaderFieldsNot),
    ];
    let section = (part(), section).prop_map(|(mut part, text)| {
        if text == SectionText::Mime && part.is_empty() {
            part.push(1);
        }
        // The encoder writes names in capitals.
        let upper = |fields: Vec<String>| fields.iter().map(|f| f.to_ascii_uppercase()).collect();
        let text = match text {
            SectionText::HeaderFields(fields) => SectionText::HeaderFields(upper(fields)),
            SectionText::HeaderFieldsNot(fields) => SectionText::HeaderFieldsNot(upper(fields)),
            text => text,
        };
        Section { part, text }
    });
    prop_oneof![
        prop::sample::select(vec![
            FetchAttribute::Body,
            FetchAttribute::BodyStructure,
            FetchAttribute::Envelope,
            FetchAttribute::Flags,
            FetchAttribute::InternalDate,
            FetchAttribute::SaveDate,
            FetchAttribute::ModSeq,
            FetchAttribute::EmailId,
            FetchAttribute::ThreadId,
            FetchAttribute::Preview { lazy: false },
            FetchAttribute::Preview { lazy: true },
            FetchAttribute::Rfc822,
            FetchAttribute::Rfc822Header,
            FetchAttribute::Rfc822Size,
            FetchAttribute::Rfc822Text,
            FetchAttribute::Uid,
        ]),
        (section, partial(), any::<bool>()).prop_map(|(section, partial, peek)| {
            FetchAttribute::BodySection {
                section,
                partial,
                peek,
            }
        }),
        (part(), partial(), any::<bool>()).prop_map(|(part, partial, peek)| {
            FetchAttribute::Binary {
                part,
                partial,
                peek,
            }
        }),
        part().prop_map(|part| FetchAttribute::BinarySize { part }),
    ]
}

fn of_messages() -> impl Strategy<Value = Command> {
    prop_oneof![
        set().prop_map(|set| Command::UidExpunge { set }),
        vec("[a-zA-Z0-9.-]{1,8}", 1..3).prop_map(|tags| {
            let tags = tags.iter().filter_map(|tag| Tag::new(tag));
            Command::CancelUpdate(tags.collect())
        }),
        (1u32.., option::of((1u32.., 1u32..))).prop_map(|(size, ends)| {
            let range = ends.map(|(a, b): (u32, u32)| (a.min(b), a.max(b)));
            Command::UidBatches(UidBatches { size, range })
        }),
        any::<bool>()
            .prop_flat_map(|uid| (
                Just(uid),
                set(),
                vec(attribute(), 1..4),
                fetch_modifiers(uid)
            ))
            .prop_map(|(uid, set, attributes, modifiers)| {
                Command::Fetch(Fetch {
                    uid,
                    set,
                    attributes,
                    modifiers,
                })
            }),
        (
            any::<bool>(),
            set(),
            option::of(0..1u64 << 63),
            0usize..3,
            any::<bool>(),
            vec(flag(), 0..4)
        )
            .prop_map(|(uid, set, unchanged_since, action, silent, flags)| {
                Command::Store(Store {
                    uid,
                    set,
                    unchanged_since,
                    action: [StoreAction::Replace, StoreAction::Add, StoreAction::Remove][action],
                    silent,
                    flags,
                })
            }),
        (any::<bool>(), set(), mailbox()).prop_map(|(uid, set, mailbox)| Command::Copy {
            uid,
            set,
            mailbox
        }),
        (any::<bool>(), set(), mailbox()).prop_map(|(uid, set, mailbox)| Command::Move {
            uid,
            set,
            mailbox
        }),
    ]
}

fn of_mailboxes() -> impl Strategy<Value = Command> {
    prop_oneof![
        (any::<bool>(), mailbox(), select_parameters()).prop_map(
            |(examine, mailbox, parameters)| {
                let select = Select {
                    mailbox,
                    parameters,
                };
                match examine {
                    true => Command::Examine(select),
                    false => Command::Select(select),
                }
            }
        ),
        (2usize..5, mailbox()).prop_map(|(which, mailbox)| match which {
            2 => Command::Delete { mailbox },
            3 => Command::Subscribe { mailbox },
            _ => Command::Unsubscribe { mailbox },
        }),
        (
            mailbox(),
            vec(prop::sample::select(SpecialUse::EVERY.to_vec()), 0..3)
        )
            .prop_map(|(mailbox, special_use)| Command::Create {
                mailbox,
                special_use
            }),
        super::acl::command(),
        super::metadata::command(),
        urlauth().prop_map(Command::UrlAuth),
        text().prop_map(|root| Command::GetQuota { root }),
        mailbox().prop_map(|mailbox| Command::GetQuotaRoot { mailbox }),
        (mailbox(), mailbox()).prop_map(|(from, to)| Command::Rename { from, to }),
        (name_text(), pattern())
            .prop_map(|(reference, pattern)| Command::Lsub { reference, pattern }),
        (mailbox(), status_items()).prop_map(|(mailbox, items)| Command::Status { mailbox, items }),
        (
            mailbox(),
            option::of((any::<bool>(), sequence_number())),
            vec(flag(), 0..3),
            option::of(date_time()),
            append_pieces(),
        )
            .prop_map(|(mailbox, replaces, flags, date, pieces)| {
                Command::Append(Append {
                    mailbox,
                    replaces: replaces.map(|(uid, number)| Replaced { uid, number }),
                    flags,
                    date,
                    pieces,
                })
            }),
    ]
}

/// What can stand up to the first literal of a message, or up to the end.
fn append_pieces() -> impl Strategy<Value = Vec<AppendPiece>> {
    let urls = || vec(text().prop_map(AppendPiece::Url), 1..4);
    prop_oneof![
        Just(vec![AppendPiece::Literal]),
        Just(vec![AppendPiece::Utf8]),
        (vec(text().prop_map(AppendPiece::Url), 0..4), any::<bool>()).prop_map(|(urls, utf8)| {
            let mut pieces = vec![AppendPiece::Catenate];
            pieces.extend(urls);
            pieces.push(match utf8 {
                true => AppendPiece::Utf8,
                false => AppendPiece::Text,
            });
            pieces
        }),
        urls().prop_map(|urls| {
            let mut pieces = vec![AppendPiece::Catenate];
            pieces.extend(urls);
            pieces.push(AppendPiece::End);
            pieces
        }),
    ]
}

fn notify() -> impl Strategy<Value = Command> {
    let names = || vec(mailbox(), 1..3);
    let selected = prop::sample::select(vec![
        NotifyMailboxes::Selected,
        NotifyMailboxes::SelectedDelayed,
    ]);
    let others = prop_oneof![
        prop::sample::select(vec![
            NotifyMailboxes::Inboxes,
            NotifyMailboxes::Personal,
            NotifyMailboxes::Subscribed,
        ]),
        names().prop_map(NotifyMailboxes::Subtree),
        names().prop_map(NotifyMailboxes::Mailboxes),
    ];
    let of_messages = |level: usize, items: Vec<FetchAttribute>| {
        let mut events = vec![
            NotifyEvent::FlagChange,
            NotifyEvent::MessageExpunge,
            NotifyEvent::MessageNew(items),
        ];
        events.split_off(3 - level)
    };
    let selected =
        (selected, 0usize..3, vec(attribute(), 0..3)).prop_map(move |(mailboxes, level, items)| {
            EventGroup {
                mailboxes,
                events: of_messages(if level == 0 { 0 } else { level + 1 }, items),
            }
        });
    let others = (others, 0usize..3, any::<[bool; 4]>()).prop_map(
        move |(mailboxes, level, [names, subscriptions, entries, server])| {
            let mut events = of_messages(if level == 0 { 0 } else { level + 1 }, Vec::new());
            events.extend(names.then_some(NotifyEvent::MailboxName));
            events.extend(subscriptions.then_some(NotifyEvent::SubscriptionChange));
            events.extend(entries.then_some(NotifyEvent::MailboxMetadataChange));
            events.extend(server.then_some(NotifyEvent::ServerMetadataChange));
            EventGroup { mailboxes, events }
        },
    );
    let set = (any::<bool>(), option::of(selected), vec(others, 0..3)).prop_filter_map(
        "a group",
        |(status, selected, mut groups)| {
            groups.extend(selected);
            (!groups.is_empty()).then_some(Notify::Set { status, groups })
        },
    );
    prop_oneof![1 => Just(Notify::Silent), 9 => set].prop_map(Command::Notify)
}

fn urlauth() -> impl Strategy<Value = UrlAuthCommand> {
    let mechanism = || "[A-Z0-9.-]{1,10}";
    prop_oneof![
        vec((text(), mechanism()), 1..3).prop_map(UrlAuthCommand::Generate),
        (mailbox(), vec(mechanism(), 0..3)).prop_map(|(mailbox, mechanisms)| {
            UrlAuthCommand::Reset {
                mailbox: Some(mailbox),
                mechanisms,
            }
        }),
        Just(UrlAuthCommand::Reset {
            mailbox: None,
            mechanisms: Vec::new(),
        }),
        vec(text(), 1..3).prop_map(UrlAuthCommand::Fetch),
    ]
}

fn of_sessions() -> impl Strategy<Value = Command> {
    prop_oneof![
        prop::sample::select(vec![
            Command::Capability,
            Command::Logout,
            Command::StartTls,
            Command::Idle,
            Command::Compress,
            Command::Unauthenticate,
            Command::Noop,
            Command::Namespace,
            Command::Check,
            Command::Close,
            Command::Unselect,
            Command::Expunge,
        ]),
        (
            "[A-Z0-9-]{1,12}",
            option::of(prop_oneof![
                Just("=".to_owned()),
                "([A-Za-z0-9+/]{4}){1,4}".prop_map(|text| text)
            ])
        )
            .prop_map(|(mechanism, initial)| Command::Authenticate {
                mechanism,
                initial: initial.map(Into::into)
            }),
        (text(), text()).prop_map(|(user, password)| Command::Login {
            user,
            password: password.into()
        }),
        vec("[A-Z0-9=]{1,8}", 1..3).prop_map(Command::Enable),
        vec(("[a-z\"-]{1,10}", option::of("[ -~]{0,30}")), 0..4).prop_map(Command::Id),
    ]
}

/// Any command.
pub(super) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        of_sessions(),
        of_mailboxes(),
        list(),
        search(),
        multi_search(),
        sort(),
        thread(),
        of_messages(),
        notify()
    ]
}
