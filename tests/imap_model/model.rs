//! A mailbox as simple as it can be.

use std::collections::BTreeSet;

use super::session::Open;
use super::steps::{FLAGS, Key, Set, Sign};

pub(super) type Flags = BTreeSet<String>;

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Msg {
    pub(super) uid: u32,
    pub(super) flags: Flags,
    pub(super) text: Vec<u8>,
    /// The modification number, as the server shows it to one who only looks.
    pub(super) modseq: u64,
}

/// A mailbox.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) messages: Vec<Msg>,
    pub(super) uid_next: u32,
    pub(super) uid_validity: u32,
    /// The first UID that nobody was told of as `\Recent`.
    pub(super) recent: u32,
    /// The highest modification number there ever was.
    pub(super) highest: u64,
}

pub(super) fn flags_of(bits: u8) -> Flags {
    let set = FLAGS
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0);
    set.map(|(_, flag)| flag.to_string()).collect()
}

/// A mail; what is in it depends on `body` alone.
pub(super) fn mail(body: u8) -> Vec<u8> {
    let subject = ["alpha", "beta", "gamma", "delta"][usize::from(body % 4)];
    let word = ["apple", "pear", "plum", "fig"][usize::from(body / 4 % 4)];
    let mut text = format!("Subject: a {subject} mail\r\n\r\none {word}\r\n");
    text.push_str(&"x".repeat(usize::from(body) * 4));
    text.into_bytes()
}

impl Mailbox {
    pub(super) fn get(&self, uid: u32) -> Option<&Msg> {
        self.messages.iter().find(|msg| msg.uid == uid)
    }

    pub(super) fn get_mut(&mut self, uid: u32) -> Option<&mut Msg> {
        self.messages.iter_mut().find(|msg| msg.uid == uid)
    }

    pub(super) fn add(&mut self, flags: Flags, text: Vec<u8>) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.messages.push(Msg {
            uid,
            flags,
            text,
            modseq: 0,
        });
        uid
    }

    pub(super) fn remove(&mut self, uids: &[u32]) {
        self.messages.retain(|msg| !uids.contains(&msg.uid));
    }
}

impl Msg {
    pub(super) fn change(&mut self, sign: Sign, flags: &Flags) {
        match sign {
            Sign::Set => self.flags = flags.clone(),
            Sign::Add => self.flags.extend(flags.iter().cloned()),
            Sign::Remove => self.flags.retain(|flag| !flags.contains(flag)),
        }
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }
}

impl Set {
    /// As a client writes it, and the UIDs of its view that it names.
    pub(super) fn of(self, open: &Open, uid: bool) -> (String, Vec<u32>) {
        let uids: Vec<u32> = open.view.iter().map(|seen| seen.uid).collect();
        // A UID may be one that is not there; a number must be.
        let most = if uid {
            open.last_uid() + 2
        } else {
            uids.len() as u32
        };
        let share = |of: u8| 1 + u32::from(of) * most.saturating_sub(1) / 255;
        let (from, mut to, more) = (share(self.from), share(self.to), share(self.more));
        let last = if uid {
            open.last_uid()
        } else {
            uids.len() as u32
        };
        let mut text = format!("{from}:{to}");
        if self.star {
            to = last;
            text = format!("*:{from}");
        }
        if self.more.is_multiple_of(2) {
            text = format!("{text},{more}");
        }
        let named = |number: u32| {
            (from.min(to)..=from.max(to)).contains(&number)
                || (self.more.is_multiple_of(2) && number == more)
        };
        let of_uid = uids.iter().enumerate().filter(|(at, of)| match uid {
            true => named(**of),
            false => named(*at as u32 + 1),
        });
        (text, of_uid.map(|(_, of)| *of).collect())
    }
}

/// What a search depends on beside the message.
pub(super) struct Around<'a> {
    pub(super) open: &'a Open,
    pub(super) since: &'a dyn Fn(u8) -> u64,
}

impl Key {
    pub(super) fn text(&self, around: &Around<'_>) -> String {
        match self {
            Key::All => "ALL".into(),
            Key::Has(at) => match FLAGS[*at].strip_prefix('\\') {
                Some(name) => name.to_uppercase(),
                None => format!("KEYWORD {}", FLAGS[*at]),
            },
            Key::Lacks(at) => match FLAGS[*at].strip_prefix('\\') {
                Some(name) => format!("UN{}", name.to_uppercase()),
                None => format!("UNKEYWORD {}", FLAGS[*at]),
            },
            Key::Not(key) => format!("NOT {}", key.text(around)),
            Key::Or(a, b) => format!("OR {} {}", a.text(around), b.text(around)),
            Key::And(a, b) => format!("({} {})", a.text(around), b.text(around)),
            Key::Seq(set) => set.of(around.open, false).0,
            Key::Uid(set) => format!("UID {}", set.of(around.open, true).0),
            Key::Subject(at) => format!(
                "SUBJECT \"{}\"",
                ["lpha", "BETA m", "gam", "absent"][usize::from(*at)]
            ),
            Key::Body(at) => format!(
                "BODY \"{}\"",
                ["apple", "one P", "LUM", "subject"][usize::from(*at)]
            ),
            Key::Larger(size) => format!("LARGER {}", u32::from(*size) * 4),
            Key::ModSeq(since) => format!("MODSEQ {}", (around.since)(since.0)),
            Key::Recent => "RECENT".into(),
            Key::New => "NEW".into(),
            Key::Old => "OLD".into(),
        }
    }

    pub(super) fn matches(&self, msg: &Msg, around: &Around<'_>) -> bool {
        let body = msg.text.len();
        let holds = |part: &str| String::from_utf8_lossy(&msg.text).contains(part);
        let recent = around.open.recent.contains(&msg.uid);
        match self {
            Key::All => true,
            Key::Has(at) => msg.has(FLAGS[*at]),
            Key::Lacks(at) => !msg.has(FLAGS[*at]),
            Key::Not(key) => !key.matches(msg, around),
            Key::Or(a, b) => a.matches(msg, around) || b.matches(msg, around),
            Key::And(a, b) => a.matches(msg, around) && b.matches(msg, around),
            Key::Seq(set) => set.of(around.open, false).1.contains(&msg.uid),
            Key::Uid(set) => set.of(around.open, true).1.contains(&msg.uid),
            Key::Subject(at) => holds(["alpha", "beta mail", "gamma", "absent"][usize::from(*at)]),
            Key::Body(at) => holds(["one apple", "one p", "plum", "absent"][usize::from(*at)]),
            Key::Larger(size) => body > usize::from(*size) * 4,
            Key::ModSeq(since) => msg.modseq >= (around.since)(since.0),
            Key::Recent => recent,
            Key::New => recent && !msg.has("\\Seen"),
            Key::Old => !recent,
        }
    }

    pub(super) fn names_sequence(&self) -> bool {
        match self {
            Key::Seq(_) => true,
            Key::Not(key) => key.names_sequence(),
            Key::Or(a, b) | Key::And(a, b) => a.names_sequence() || b.names_sequence(),
            _ => false,
        }
    }

    pub(super) fn needs_modseq(&self) -> bool {
        match self {
            Key::ModSeq(_) => true,
            Key::Not(key) => key.needs_modseq(),
            Key::Or(a, b) | Key::And(a, b) => a.needs_modseq() || b.needs_modseq(),
            _ => false,
        }
    }

    pub(super) fn needs_recent(&self) -> bool {
        match self {
            Key::Recent | Key::New | Key::Old => true,
            Key::Not(key) => key.needs_recent(),
            Key::Or(a, b) | Key::And(a, b) => a.needs_recent() || b.needs_recent(),
            _ => false,
        }
    }
}
