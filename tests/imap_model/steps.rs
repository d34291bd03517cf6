//! What can happen.

use proptest::prelude::*;

/// Clients.
pub(super) const SESSIONS: usize = 5;
/// Mailboxes.
pub(super) const NAMES: [&str; 2] = ["INBOX", "Other"];
/// Flags that are set and searched for.
pub(super) const FLAGS: [&str; 8] = [
    "\\Seen",
    "\\Deleted",
    "\\Flagged",
    "\\Answered",
    "\\Draft",
    "$one",
    "$two",
    "Three",
];

/// Messages, by what they are in a client's view: two ends and one more, each
/// a share of the whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) more: u8,
    /// The last number is written as `*`.
    pub(super) star: bool,
}

/// Up to which change a client says it knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(pub u8);

#[derive(Debug, Clone)]
pub(super) enum Key {
    All,
    Has(usize),
    Lacks(usize),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Box<Key>, Box<Key>),
    Seq(Set),
    Uid(Set),
    Subject(u8),
    Body(u8),
    Larger(u8),
    ModSeq(Since),
    Recent,
    New,
    Old,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    Set,
    Add,
    Remove,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Append {
        by: usize,
        to: usize,
        flags: u8,
        body: u8,
    },
    Store {
        by: usize,
        set: Set,
        uid: bool,
        sign: Sign,
        flags: u8,
        silent: bool,
        since: Option<Since>,
    },
    Copy {
        by: usize,
        set: Set,
        uid: bool,
        to: usize,
    },
    Move {
        by: usize,
        set: Set,
        uid: bool,
        to: usize,
    },
    Expunge {
        by: usize,
    },
    UidExpunge {
        by: usize,
        set: Set,
    },
    /// Bits of `what`: flags, size, modification number, body, peek.
    Fetch {
        by: usize,
        set: Set,
        uid: bool,
        what: u8,
        since: Option<Since>,
    },
    Search {
        by: usize,
        uid: bool,
        key: Key,
    },
    Status {
        by: usize,
        of: usize,
    },
    Noop {
        by: usize,
    },
    Idle {
        by: usize,
    },
    Select {
        by: usize,
        name: usize,
        examine: bool,
    },
    Close {
        by: usize,
    },
    Unselect {
        by: usize,
    },
    /// The next reply of this client is heard up to so many lines; then it is gone.
    Cut {
        by: usize,
        heard: u8,
    },
}

fn by() -> impl Strategy<Value = usize> {
    0..SESSIONS
}

fn name() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 1 => Just(1)]
}

fn set() -> impl Strategy<Value = Set> {
    (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(from, to, more, star)| Set {
        from,
        to,
        more,
        star,
    })
}

fn since() -> impl Strategy<Value = Option<Since>> {
    prop::option::weighted(0.25, any::<u8>().prop_map(Since))
}

fn flags() -> impl Strategy<Value = u8> {
    // One mostly, and seldom the one that removes.
    prop_oneof![
        6 => (0..8u8).prop_map(|bit| 1 << bit),
        2 => Just(2),
        2 => any::<u8>(),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        1 => Just(Key::All),
        4 => (0..FLAGS.len()).prop_map(Key::Has),
        2 => (0..FLAGS.len()).prop_map(Key::Lacks),
        2 => set().prop_map(Key::Seq),
        2 => set().prop_map(Key::Uid),
        2 => (0..4u8).prop_map(Key::Subject),
        2 => (0..4u8).prop_map(Key::Body),
        1 => any::<u8>().prop_map(Key::Larger),
        1 => any::<u8>().prop_map(|since| Key::ModSeq(Since(since))),
        1 => Just(Key::Recent),
        1 => Just(Key::New),
        1 => Just(Key::Old),
    ];
    leaf.prop_recursive(2, 5, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| Key::Not(Box::new(key))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Key::Or(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Key::And(Box::new(a), Box::new(b))),
        ]
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let sign = prop_oneof![Just(Sign::Set), Just(Sign::Add), Just(Sign::Remove)];
    prop_oneof![
        8 => (by(), name(), flags(), any::<u8>())
            .prop_map(|(by, to, flags, body)| Step::Append { by, to, flags, body }),
        8 => (by(), set(), any::<bool>(), sign, flags(), any::<bool>(), since()).prop_map(
            |(by, set, uid, sign, flags, silent, since)| Step::Store { by, set, uid, sign, flags, silent, since }
        ),
        2 => (by(), set(), any::<bool>(), name())
            .prop_map(|(by, set, uid, to)| Step::Copy { by, set, uid, to }),
        2 => (by(), set(), any::<bool>(), name())
            .prop_map(|(by, set, uid, to)| Step::Move { by, set, uid, to }),
        3 => by().prop_map(|by| Step::Expunge { by }),
        1 => (by(), set()).prop_map(|(by, set)| Step::UidExpunge { by, set }),
        6 => (by(), set(), any::<bool>(), any::<u8>(), since())
            .prop_map(|(by, set, uid, what, since)| Step::Fetch { by, set, uid, what, since }),
        5 => (by(), any::<bool>(), key()).prop_map(|(by, uid, key)| Step::Search { by, uid, key }),
        1 => (by(), name()).prop_map(|(by, of)| Step::Status { by, of }),
        3 => by().prop_map(|by| Step::Noop { by }),
        1 => by().prop_map(|by| Step::Idle { by }),
        2 => (by(), name(), prop::bool::weighted(0.2))
            .prop_map(|(by, name, examine)| Step::Select { by, name, examine }),
        1 => by().prop_map(|by| Step::Close { by }),
        1 => by().prop_map(|by| Step::Unselect { by }),
        3 => (by(), 0..6u8).prop_map(|(by, heard)| Step::Cut { by, heard }),
    ]
}
