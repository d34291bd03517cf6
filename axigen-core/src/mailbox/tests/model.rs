//! Random changes against a simple model; every earlier picture of every
//! mailbox, brought up to date by `changes`, must be the last one.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 7] = ["INBOX", "a", "a/b", "a/b/c", "d", "d/e", "Junk"];
const WORDS: [&str; 3] = ["$Forwarded", "later", "work"];

#[derive(Debug, Clone)]
enum Step {
    Append {
        into: Vec<usize>,
        flags: Flags,
        size: usize,
        quota: Option<u64>,
    },
    Store {
        at: usize,
        pick: u32,
        change: FlagChange,
        since: Option<u64>,
    },
    Copy {
        from: usize,
        to: usize,
        pick: u32,
        quota: Option<u64>,
    },
    Move {
        from: usize,
        to: usize,
        pick: u32,
    },
    Expunge {
        at: usize,
        pick: Option<u32>,
    },
    Remove {
        at: usize,
        pick: u32,
    },
    Create {
        name: usize,
    },
    Delete {
        name: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    Subscribe {
        name: usize,
        on: bool,
    },
    Recent {
        at: usize,
        take: bool,
    },
    CutLog {
        back: u64,
    },
    Fold {
        at: usize,
    },
}

fn flags() -> impl Strategy<Value = Flags> {
    let words = prop::collection::vec(prop::sample::select(&WORDS[..]), 0..2);
    (0..32u8, words).prop_map(|(system, words)| super::words(system, &words))
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let change = (flags(), 0..3).prop_map(|(flags, kind)| match kind {
        0 => FlagChange::Replace(flags),
        1 => FlagChange::Add(flags),
        _ => FlagChange::Remove(flags),
    });
    let quota = || prop::option::weighted(0.2, 0..20_000u64);
    prop_oneof![
        6 => (prop::collection::vec(name(), 1..4), flags(), 0..3000usize, quota())
            .prop_map(|(into, flags, size, quota)| Step::Append { into, flags, size, quota }),
        4 => (name(), any::<u32>(), change, prop::option::weighted(0.3, 0..60u64))
            .prop_map(|(at, pick, change, since)| Step::Store { at, pick, change, since }),
        2 => (name(), name(), any::<u32>(), quota())
            .prop_map(|(from, to, pick, quota)| Step::Copy { from, to, pick, quota }),
        2 => (name(), name(), any::<u32>())
            .prop_map(|(from, to, pick)| Step::Move { from, to, pick }),
        2 => (name(), prop::option::of(any::<u32>()))
            .prop_map(|(at, pick)| Step::Expunge { at, pick }),
        1 => (name(), any::<u32>()).prop_map(|(at, pick)| Step::Remove { at, pick }),
        1 => name().prop_map(|name| Step::Create { name }),
        1 => name().prop_map(|name| Step::Delete { name }),
        1 => (name(), name()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => (name(), any::<bool>()).prop_map(|(name, on)| Step::Subscribe { name, on }),
        1 => (name(), any::<bool>()).prop_map(|(at, take)| Step::Recent { at, take }),
        1 => (0..40u64).prop_map(|back| Step::CutLog { back }),
        2 => name().prop_map(|at| Step::Fold { at }),
    ]
}

/// A message as the model knows it.
#[derive(Debug, Clone, PartialEq)]
struct Msg {
    item: ItemId,
    flags: Flags,
    modseq: u64,
    raw: Bytes,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Box {
    id: u32,
    uid_validity: u32,
    last_uid: u32,
    recent: u32,
    messages: BTreeMap<u32, Msg>,
}

/// What a client saw at some moment: flags by UID, for each mailbox.
type Picture = BTreeMap<u32, BTreeMap<u32, (u64, Flags)>>;

#[derive(Debug)]
struct World {
    real: Mailboxes,
    boxes: BTreeMap<String, Box>,
    subscribed: BTreeSet<String>,
    items: BTreeSet<u64>,
    validities: BTreeSet<u32>,
    pictures: Vec<(u64, Picture)>,
    appended: u32,
}

impl World {
    async fn new() -> World {
        let real = fresh().await;
        let mut world = World {
            real,
            boxes: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            items: BTreeSet::new(),
            validities: BTreeSet::new(),
            pictures: Vec::new(),
            appended: 0,
        };
        for name in ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"] {
            world.subscribed.insert(name.to_owned());
            world.learn(name).await;
        }
        world
    }

    /// A mailbox that is new: its numbers were never seen.
    async fn learn(&mut self, name: &str) {
        let info = self.real.find(ALICE, name).await.unwrap();
        assert_eq!((info.messages, info.uid_next), (0, 1));
        self.learn_with(name, info.id.0, info.uid_validity);
    }

    fn learn_with(&mut self, name: &str, id: u32, uid_validity: u32) {
        let known = self.validities.last().copied().unwrap_or(0);
        if !["Archive", "Drafts", "Junk", "Sent", "Trash"].contains(&name) {
            assert!(uid_validity > known, "{name}: {uid_validity} after {known}");
        }
        assert!(self.validities.insert(uid_validity));
        let made = Box {
            id,
            uid_validity,
            recent: 1,
            ..Box::default()
        };
        assert!(self.boxes.insert(name.to_owned(), made).is_none());
    }

    async fn learn_missing(&mut self, name: &str) {
        let parents: Vec<String> = names::parents(name).map(str::to_owned).collect();
        for name in parents.into_iter().chain([name.to_owned()]) {
            if !self.boxes.contains_key(&name) {
                // Messages may be in already: only the numbers are learnt.
                let info = self.real.find(ALICE, &name).await.unwrap();
                self.learn_with(&name, info.id.0, info.uid_validity);
            }
        }
    }

    fn id(&self, name: usize) -> MailboxId {
        let known = self.boxes.get(NAMES[name]);
        MailboxId(known.map_or(9999, |known| known.id))
    }

    /// Some UIDs of a mailbox, and one that is not there.
    fn pick(&self, name: usize, pick: u32) -> Vec<u32> {
        let Some(known) = self.boxes.get(NAMES[name]) else {
            return vec![1];
        };
        let present = known.messages.keys().copied();
        let mut some: Vec<u32> = present.filter(|uid| pick >> (uid % 32) & 1 == 1).collect();
        some.push(known.last_uid + 7);
        some.reverse();
        some
    }

    fn bytes(&self) -> u64 {
        let all = self.boxes.values().flat_map(|b| b.messages.values());
        all.map(|message| message.raw.len() as u64).sum()
    }

    async fn step(&mut self, step: Step) {
        let real = self.real.clone();
        let before = real.store.seq(ALICE).await.unwrap();
        match step {
            Step::Append {
                into,
                flags,
                size,
                quota,
            } => {
                self.append(&into, &flags, size, quota).await;
            }
            Step::Store {
                at,
                pick,
                change,
                since,
            } => {
                let uids = self.pick(at, pick);
                let got = real
                    .store_flags(ALICE, self.id(at), &uids, &change, since)
                    .await;
                let Some(known) = self.boxes.get_mut(NAMES[at]) else {
                    assert!(matches!(got, Err(Error::NoSuchMailbox)));
                    return;
                };
                let Flagged {
                    rows,
                    before: numbers,
                    modified,
                } = got.unwrap();
                assert_eq!(numbers.len(), rows.len());
                let now = real.store.seq(ALICE).await.unwrap();
                let (mut changed, mut left, mut seen) = (false, Vec::new(), Vec::new());
                for (uid, message) in &mut known.messages {
                    if !uids.contains(uid) {
                        continue;
                    }
                    let lacks = match &change {
                        FlagChange::Add(flags) => {
                            let of = &message.flags;
                            let has = flags.keywords.iter().any(|word| of.has_keyword(word));
                            flags.system == 0 && !has
                        }
                        _ => false,
                    };
                    let changed_after = since.is_some_and(|since| message.modseq > since);
                    if changed_after && !(since == Some(0) && lacks) {
                        left.push(*uid);
                        continue;
                    }
                    let new = changed_flags(&message.flags, &change);
                    if new != message.flags {
                        message.flags = new;
                        message.modseq = now;
                        changed = true;
                    }
                    seen.push((*uid, message.modseq, message.flags.clone()));
                }
                assert_eq!(modified, left);
                let rows = rows.into_iter().map(|row| (row.uid, row.modseq, row.flags));
                assert_eq!(rows.collect::<Vec<_>>(), seen);
                assert_eq!(now, before + u64::from(changed));
            }
            Step::Copy {
                from,
                to,
                pick,
                quota,
            } => {
                let uids = self.pick(from, pick);
                let within = Quota {
                    bytes: quota,
                    messages: None,
                };
                let got = real
                    .copy(ALICE, self.id(from), &uids, self.id(to), within)
                    .await;
                let Some(moved) = self.taken(from, to, &uids) else {
                    assert!(matches!(got, Err(Error::NoSuchMailbox)));
                    return;
                };
                let more: u64 = moved.iter().map(|(_, m)| m.raw.len() as u64).sum();
                if quota.is_some_and(|quota| more > 0 && self.bytes() + more > quota) {
                    assert!(matches!(got, Err(Error::OverQuota { target: 0 })));
                    return;
                }
                let copied = got.unwrap();
                self.arrived(to, moved, &copied, true).await;
            }
            Step::Move { from, to, pick } => {
                let uids = self.pick(from, pick);
                let got = real.move_(ALICE, self.id(from), &uids, self.id(to)).await;
                let Some(moved) = self.taken(from, to, &uids) else {
                    assert!(matches!(got, Err(Error::NoSuchMailbox)));
                    return;
                };
                let source = self.boxes.get_mut(NAMES[from]).unwrap();
                for (uid, _) in &moved {
                    source.messages.remove(uid);
                }
                self.arrived(to, moved, &got.unwrap(), false).await;
            }
            Step::Expunge { at, pick } => {
                let uids = pick.map(|pick| self.pick(at, pick));
                let got = real.expunge(ALICE, self.id(at), uids.as_deref()).await;
                self.gone(at, got, |uid, message| {
                    message.flags.has(Flags::DELETED)
                        && uids.as_ref().is_none_or(|uids| uids.contains(&uid))
                });
            }
            Step::Remove { at, pick } => {
                let uids = self.pick(at, pick);
                let got = real.remove(ALICE, self.id(at), &uids).await;
                self.gone(at, got, |uid, _| uids.contains(&uid));
            }
            Step::Create { name } => {
                let got = real.create(ALICE, NAMES[name], None).await;
                if self.boxes.contains_key(NAMES[name]) {
                    assert!(matches!(got, Err(Error::AlreadyExists)));
                } else {
                    assert_eq!(got.unwrap().name, NAMES[name]);
                    self.learn_missing(NAMES[name]).await;
                }
            }
            Step::Delete { name } => {
                let got = real.delete(ALICE, NAMES[name]).await;
                let children = self.children(NAMES[name]);
                match self.boxes.contains_key(NAMES[name]) {
                    _ if name == 0 => assert!(matches!(got, Err(Error::InboxIsPermanent))),
                    true => {
                        got.unwrap();
                        self.boxes.remove(NAMES[name]);
                    }
                    false if children.is_empty() => {
                        assert!(matches!(got, Err(Error::NoSuchMailbox)));
                    }
                    false => assert!(matches!(got, Err(Error::HasChildren))),
                }
            }
            Step::Rename { from, to } => self.rename(NAMES[from], NAMES[to]).await,
            Step::Subscribe { name, on } => {
                real.subscribe(ALICE, NAMES[name], on).await.unwrap();
                match on {
                    true => self.subscribed.insert(NAMES[name].to_owned()),
                    false => self.subscribed.remove(NAMES[name]),
                };
            }
            Step::Recent { at, take } => {
                let got = real.recent(ALICE, self.id(at), take).await;
                match self.boxes.get_mut(NAMES[at]) {
                    Some(known) => {
                        assert_eq!(got.unwrap(), known.recent);
                        if take {
                            known.recent = known.last_uid + 1;
                        }
                    }
                    None => assert!(matches!(got, Err(Error::NoSuchMailbox))),
                }
            }
            Step::Fold { at } => {
                if let Ok(info) = real.find(ALICE, NAMES[at]).await {
                    real.fold(ALICE, info.id).await.unwrap();
                }
            }
            Step::CutLog { back } => {
                real.cut_log(ALICE, before.saturating_sub(back))
                    .await
                    .unwrap();
            }
        }
    }

    async fn append(&mut self, into: &[usize], flags: &Flags, size: usize, quota: Option<u64>) {
        self.appended += 1;
        let text = format!("Subject: {}\r\n\r\n{}\r\n", self.appended, "x".repeat(size));
        let raw = Bytes::from(text);
        let targets: Vec<Target> = into
            .iter()
            .map(|&name| Target {
                quota: Quota {
                    bytes: quota,
                    messages: None,
                },
                ..flagged(ALICE, NAMES[name], flags.clone())
            })
            .collect();
        let message = NewMessage {
            raw: raw.clone(),
            ..message("")
        };
        let got = self.real.append(message, &targets).await;
        let more = (raw.len() * into.len()) as u64;
        if quota.is_some_and(|quota| self.bytes() + more > quota) {
            assert!(matches!(got, Err(Error::OverQuota { target: 0 })));
            return;
        }
        let got = got.unwrap();
        assert_eq!(got.len(), into.len());
        let mut missing: BTreeSet<&str> = into.iter().map(|&name| NAMES[name]).collect();
        missing.retain(|name| !self.boxes.contains_key(*name));
        for name in missing {
            self.learn_missing(name).await;
        }
        for (&name, appended) in into.iter().zip(&got) {
            let known = self.boxes.get_mut(NAMES[name]).unwrap();
            known.last_uid += 1;
            assert_eq!(appended.uid, known.last_uid);
            assert_eq!(appended.mailbox.0, known.id);
            assert_eq!(appended.uid_validity, known.uid_validity);
            assert!(self.items.insert(appended.item.0));
            let message = Msg {
                item: appended.item,
                flags: flags.clone(),
                modseq: appended.modseq,
                raw: raw.clone(),
            };
            known.messages.insert(appended.uid, message);
        }
    }

    /// The messages of `uids`, if both mailboxes are there.
    fn taken(&self, from: usize, to: usize, uids: &[u32]) -> Option<Vec<(u32, Msg)>> {
        self.boxes.get(NAMES[to])?;
        let source = self.boxes.get(NAMES[from])?;
        let picked = source.messages.iter().filter(|(uid, _)| uids.contains(uid));
        Some(
            picked
                .map(|(uid, message)| (*uid, message.clone()))
                .collect(),
        )
    }

    async fn arrived(&mut self, to: usize, came: Vec<(u32, Msg)>, copied: &Copied, new: bool) {
        let now = self.real.store.seq(ALICE).await.unwrap();
        let known = self.boxes.get_mut(NAMES[to]).unwrap();
        assert_eq!(copied.uid_validity, known.uid_validity);
        let mut expected = Vec::new();
        for (old, message) in came {
            known.last_uid += 1;
            expected.push((old, known.last_uid));
            let id = MailboxId(known.id);
            let rows = self.real.rows(ALICE, id, &[known.last_uid]).await;
            let item = rows.unwrap()[0].item;
            assert_eq!(self.items.insert(item.0), new);
            assert_eq!(item != message.item, new);
            let message = Msg {
                item,
                modseq: now,
                ..message
            };
            known.messages.insert(known.last_uid, message);
        }
        assert_eq!(copied.uids, expected);
    }

    fn gone(&mut self, at: usize, got: Result<Vec<u32>>, which: impl Fn(u32, &Msg) -> bool) {
        let Some(known) = self.boxes.get_mut(NAMES[at]) else {
            assert!(matches!(got, Err(Error::NoSuchMailbox)));
            return;
        };
        let going = known
            .messages
            .extract_if(.., |uid, message| which(*uid, message));
        let going: Vec<u32> = going.map(|(uid, _)| uid).collect();
        assert_eq!(got.unwrap(), going);
    }

    fn children(&self, name: &str) -> Vec<String> {
        let below = format!("{name}/");
        let all = self.boxes.keys();
        all.filter(|name| name.starts_with(&below))
            .cloned()
            .collect()
    }

    async fn rename(&mut self, from: &str, to: &str) {
        let got = self.real.rename(ALICE, from, to).await;
        if from == "INBOX" {
            if self.boxes.contains_key(to) {
                assert!(matches!(got, Err(Error::AlreadyExists)));
                return;
            }
            got.unwrap();
            self.learn_missing(to).await;
            let now = self.real.store.seq(ALICE).await.unwrap();
            let inbox = self.boxes.get_mut(from).unwrap();
            let moved = std::mem::take(&mut inbox.messages);
            let target = self.boxes.get_mut(to).unwrap();
            for (uid, message) in (1..).zip(moved.into_values()) {
                target.last_uid = uid;
                let message = Msg {
                    modseq: now,
                    ..message
                };
                target.messages.insert(uid, message);
            }
            return;
        }
        if to.starts_with(&format!("{from}/")) {
            assert!(matches!(got, Err(Error::BadName(_))));
            return;
        }
        let mut old = self.children(from);
        if self.boxes.contains_key(from) {
            old.push(from.to_owned());
        }
        let renamed = |name: &String| format!("{to}{}", name.strip_prefix(from).unwrap());
        if old.is_empty() {
            assert!(matches!(got, Err(Error::NoSuchMailbox)));
            return;
        }
        let taken = |name: String| self.boxes.contains_key(&name) && !old.contains(&name);
        if self.boxes.contains_key(to) || old.iter().map(renamed).any(taken) {
            assert!(matches!(got, Err(Error::AlreadyExists)));
            return;
        }
        got.unwrap();
        let moved: Vec<(String, Box)> = old
            .iter()
            .map(|name| (renamed(name), self.boxes.remove(name).unwrap()))
            .collect();
        self.boxes.extend(moved);
        let parents: Vec<String> = names::parents(to).map(str::to_owned).collect();
        if let Some(last) = parents.last() {
            self.learn_missing(last).await;
        }
    }

    /// The real thing is what the model says, and a picture is taken.
    async fn check(&mut self) {
        sound(&self.real, ALICE).await;
        let list = self.real.list(ALICE).await.unwrap();
        let mut listed: Vec<&str> = list.iter().map(|info| info.name.as_str()).collect();
        listed.sort_unstable();
        assert!(listed.into_iter().eq(self.boxes.keys()));
        let seq = self.real.store.seq(ALICE).await.unwrap();
        let mut picture = Picture::new();
        for info in list {
            let known = &self.boxes[&info.name];
            let messages = known.messages.values();
            let count = |with: &dyn Fn(&Msg) -> bool| {
                messages.clone().filter(|message| with(message)).count() as u32
            };
            assert_eq!(info.id.0, known.id);
            assert_eq!(info.uid_validity, known.uid_validity);
            assert_eq!(info.uid_next, known.last_uid + 1);
            assert_eq!(info.messages, known.messages.len() as u32);
            assert_eq!(info.unseen, count(&|m| !m.flags.has(Flags::SEEN)));
            assert_eq!(info.deleted, count(&|m| m.flags.has(Flags::DELETED)));
            let size: usize = messages.clone().map(|m| m.raw.len()).sum();
            assert_eq!(info.size, size as u64);
            assert_eq!(info.subscribed, self.subscribed.contains(&info.name));
            let (uids, modseq) = self.real.uids(ALICE, info.id).await.unwrap();
            assert_eq!(modseq, seq);
            assert!(uids.iter().eq(known.messages.keys()));
            let rows = self.real.rows(ALICE, info.id, &uids).await.unwrap();
            assert_eq!(rows.len(), uids.len());
            for (row, (uid, message)) in rows.iter().zip(&known.messages) {
                assert_eq!(row.uid, *uid);
                assert_eq!((row.item, row.modseq), (message.item, message.modseq));
                assert_eq!(row.flags, message.flags);
                assert_eq!(row.size, message.raw.len() as u64);
                assert!(row.modseq <= info.highest_modseq);
            }
            let seen = rows
                .into_iter()
                .map(|row| (row.uid, (row.modseq, row.flags)));
            picture.insert(info.id.0, seen.collect());
        }
        let subscribed = self.real.subscriptions(ALICE).await.unwrap();
        assert!(subscribed.iter().eq(&self.subscribed));
        let held: usize = self.boxes.values().map(|b| b.messages.len()).sum();
        let usage = self.real.usage(ALICE).await.unwrap();
        assert_eq!(usage, (self.bytes(), held as u64));
        self.pictures.push((seq, picture));
    }

    /// Every picture, brought up to date, is the last.
    async fn replay(&self) {
        let (seq, last) = self.pictures.last().unwrap();
        for (modseq, picture) in &self.pictures {
            for (id, now) in last {
                let mut seen = picture.get(id).cloned().unwrap_or_default();
                let changes = self.real.changes(ALICE, MailboxId(*id), *modseq);
                let changes = changes.await.unwrap();
                assert_eq!(changes.modseq, *seq);
                for uid in changes.vanished.iter() {
                    seen.remove(&uid);
                }
                for row in changes.rows {
                    assert!(row.modseq > *modseq);
                    seen.insert(row.uid, (row.modseq, row.flags));
                }
                assert_eq!(&seen, now, "since {modseq}");
            }
        }
        for known in self.boxes.values() {
            for message in known.messages.values() {
                let body = self.real.body(ALICE, message.item, 0..u64::MAX);
                assert_eq!(body.await.unwrap(), message.raw);
            }
        }
    }
}

fn changed_flags(old: &Flags, change: &FlagChange) -> Flags {
    match change {
        FlagChange::Replace(new) => new.clone(),
        FlagChange::Add(more) => Flags::new(
            old.system | more.system,
            old.keywords.iter().chain(&more.keywords).cloned(),
        ),
        FlagChange::Remove(gone) => Flags::new(
            old.system & !gone.system,
            old.keywords
                .iter()
                .filter(|word| !gone.has_keyword(word))
                .cloned(),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_model_and_the_mailboxes_agree(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            world.check().await;
            for step in steps {
                world.step(step).await;
                world.check().await;
            }
            world.replay().await;
        });
    }

    /// Dense or sparse, `rows` gives what is there.
    #[test]
    fn any_set_of_uids(wanted in prop::collection::vec(0..80u32, 0..40), dense in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let m = fresh().await;
            let inbox = fill(&m, "INBOX", 30).await;
            m.remove(ALICE, inbox, &[3, 4, 5, 17]).await.unwrap();
            let spread = if dense { 1 } else { 1000 };
            let wanted: Vec<u32> = wanted.into_iter().map(|uid| {
                if uid < 40 { uid } else { uid * spread }
            }).collect();
            let rows = m.rows(ALICE, inbox, &wanted).await.unwrap();
            let got: Vec<u32> = rows.into_iter().map(|row| row.uid).collect();
            let there: BTreeSet<u32> = uids(&m, inbox).await.into_iter().collect();
            let expected: BTreeSet<u32> = wanted.into_iter().filter(|uid| there.contains(uid)).collect();
            assert!(got.into_iter().eq(expected));
        });
    }
}
