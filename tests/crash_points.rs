//! Every crash point is visited: each write, sync, rename, removal and commit
//! of a delivery, a flag change, a copy, a move, an expunge and a rewriting of
//! packs fails, finds no space, writes half, lies, or is the last one before
//! the power goes. Each time the store opens without repair, what was
//! acknowledged is there once and whole, counters and references add up, and
//! the work goes on.
//!
//! A new subject (a snapshot, a migration) is one more [`Scenario`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic
)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axigen_core::mailbox::{
    self, Error, FlagChange, Flags, Mailboxes, NewMessage, Options, Place, Quota, Replaces, Target,
};
use axigen_store::blob::SweepOptions;
use axigen_store::pack::Packs;
use axigen_store::{AccountId, Error as StoreError, Store, store};
use axigen_tests::machine::{Fault, Kind, Machine, Survives};
use axigen_tests::verify;
use base64::Engine;
use bytes::Bytes;

const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);
const ACCOUNTS: [AccountId; 2] = [ALICE, BOB];
const DIR: &str = "/packs";
/// A pack ends after two or three mails.
const PACK: u64 = 100_000;

// ------------------------------------------------------------------- mails

/// Mails by number. Each begins with its name; of each ten, two are short and
/// the others carry an attachment of 40 KB, of which there are five.
fn mail(number: usize) -> Bytes {
    let head = format!("Subject: mail {number}\r\nMessage-ID: <{number}@crash.test>\r\n");
    if number % 10 < 2 {
        return Bytes::from(format!("{head}\r\nshort {number}\r\n"));
    }
    let mut bytes = vec![0; 40_000];
    let attachment = number % 5;
    fill_with_noise(attachment as u64, &mut bytes);
    let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let mut body = String::new();
    for line in text.as_bytes().chunks(76) {
        body.push_str(std::str::from_utf8(line).unwrap());
        body.push_str("\r\n");
    }
    Bytes::from(format!(
        "{head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nLook at this, number {number}.\r\n\
         --b\r\nContent-Type: application/pdf; name=x.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{body}--b--\r\n"
    ))
}

fn message(number: usize) -> NewMessage {
    NewMessage {
        raw: mail(number),
        internal_date: 1_700_000_000,
        internal_zone: 0,
    }
}

fn target(account: AccountId, mailbox: Place) -> Target {
    Target {
        account,
        mailbox,
        flags: Flags::default(),
        quota: Quota::NONE,
    }
}

/// Bytes that nothing compresses.
fn fill_with_noise(seed: u64, bytes: &mut [u8]) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 32) as u8;
    }
}

/// The number of a mail with this content.
fn number_of(content: &Bytes) -> Option<usize> {
    static ALL: OnceLock<HashMap<Bytes, usize>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..100).map(|n| (mail(n), n)).collect());
    all.get(content).copied()
}

// ------------------------------------------------------------------- model

/// A message whose content could not be read: only after a lie.
const UNREADABLE: usize = usize::MAX;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Folder {
    next: u32,
    /// By UID: which mail, system flags.
    mails: BTreeMap<u32, (usize, u8)>,
}

impl Folder {
    fn add(&mut self, mail: usize, flags: u8) {
        self.next = self.next.max(1);
        self.mails.insert(self.next, (mail, flags));
        self.next += 1;
    }
}

/// All mailboxes of all accounts.
type Contents = BTreeMap<(u64, String), Folder>;

/// One thing that is done to mailboxes: one batch, or a sweep.
#[derive(Debug, Clone)]
enum Act {
    Deliver(Vec<AccountId>, usize),
    /// Several mails of one command (RFC 3502).
    Append(AccountId, &'static str, Vec<usize>),
    /// A mail in the place of another, which may be in another account
    /// (RFC 8508).
    Replace(
        (AccountId, &'static str, u32),
        (AccountId, &'static str),
        usize,
    ),
    Flag(AccountId, &'static str, Vec<u32>, u8),
    Copy(AccountId, &'static str, Vec<u32>, &'static str),
    Move(AccountId, &'static str, Vec<u32>, &'static str),
    /// The second of the two batches of `\Deleted` and EXPUNGE.
    Expunge(AccountId, &'static str),
    Create(AccountId, &'static str),
    Rename(AccountId, &'static str, &'static str),
    Fold(AccountId, &'static str),
    Sweep,
}

impl Act {
    fn apply(&self, contents: &mut Contents) {
        let folder = |account: &AccountId, name: &str| -> Folder {
            contents
                .get(&(account.0, name.to_owned()))
                .cloned()
                .unwrap_or_default()
        };
        let mut done: Vec<(AccountId, &str, Folder)> = Vec::new();
        match self {
            Act::Deliver(accounts, mail) => {
                for account in accounts {
                    let mut inbox = folder(account, "INBOX");
                    inbox.add(*mail, 0);
                    done.push((*account, "INBOX", inbox));
                }
            }
            Act::Append(account, name, mails) => {
                let mut of = folder(account, name);
                for mail in mails {
                    of.add(*mail, 0);
                }
                done.push((*account, name, of));
            }
            Act::Replace((account, name, uid), (to, target), mail) => {
                let mut of = folder(account, name);
                if of.mails.remove(uid).is_some() {
                    let here = (account, name) == (to, target);
                    let mut target_of = match here {
                        true => of.clone(),
                        false => folder(to, target),
                    };
                    target_of.add(*mail, 0);
                    done.push((*account, name, of));
                    done.push((*to, target, target_of));
                }
            }
            Act::Flag(account, name, uids, flags) => {
                let mut of = folder(account, name);
                for (uid, (_, has)) in &mut of.mails {
                    *has |= if uids.contains(uid) { *flags } else { 0 };
                }
                done.push((*account, name, of));
            }
            Act::Copy(account, name, uids, to) | Act::Move(account, name, uids, to) => {
                let (mut source, mut target) = (folder(account, name), folder(account, to));
                for uid in uids {
                    if let Some((mail, flags)) = source.mails.get(uid).copied() {
                        target.add(mail, flags);
                        if matches!(self, Act::Move(..)) {
                            source.mails.remove(uid);
                        }
                    }
                }
                done.push((*account, name, source));
                done.push((*account, to, target));
            }
            Act::Expunge(account, name) => {
                let mut of = folder(account, name);
                of.mails
                    .retain(|_, (_, flags)| *flags & Flags::DELETED == 0);
                done.push((*account, name, of));
            }
            Act::Create(account, name) => {
                let new = Folder {
                    next: 1,
                    ..Folder::default()
                };
                done.push((*account, name, new));
            }
            Act::Rename(account, from, to) => {
                let of = folder(account, from);
                contents.remove(&(account.0, (*from).to_owned()));
                done.push((*account, to, of));
            }
            Act::Fold(..) | Act::Sweep => {}
        }
        for (account, name, folder) in done {
            contents.insert((account.0, name.to_owned()), folder);
        }
    }

    async fn run(&self, house: &House) -> mailbox::Result<()> {
        let mailboxes = &house.mailboxes;
        let id = async |account: &AccountId, name: &str| {
            mailboxes.find(*account, name).await.map(|info| info.id)
        };
        match self {
            Act::Append(account, name, mails) => {
                let of = id(account, name).await?;
                let coming = |number: &usize| (message(*number), target(*account, Place::Id(of)));
                let coming: Vec<_> = mails.iter().map(coming).collect();
                mailboxes.append_all(&coming, None).await.map(drop)
            }
            Act::Replace((account, name, uid), (to, to_name), number) => {
                let old = Replaces {
                    account: *account,
                    mailbox: id(account, name).await?,
                    uid: *uid,
                };
                let of = id(to, to_name).await?;
                let coming = [(message(*number), target(*to, Place::Id(of)))];
                match mailboxes.append_all(&coming, Some(&old)).await {
                    // An act before it was not done, or it was done already.
                    Err(Error::NoSuchMessage) => Ok(()),
                    done => done.map(drop),
                }
            }
            Act::Deliver(accounts, number) => {
                let message = message(*number);
                let targets: Vec<Target> = accounts
                    .iter()
                    .map(|account| target(*account, Place::Named("INBOX".into())))
                    .collect();
                mailboxes.append(message, &targets).await.map(drop)
            }
            Act::Flag(account, name, uids, flags) => {
                let change = FlagChange::Add(Flags::from(*flags));
                let of = id(account, name).await?;
                mailboxes
                    .store_flags(*account, of, uids, &change, None)
                    .await
                    .map(drop)
            }
            Act::Copy(account, name, uids, to) => {
                let (from, to) = (id(account, name).await?, id(account, to).await?);
                mailboxes
                    .copy(*account, from, uids, to, Quota::NONE)
                    .await
                    .map(drop)
            }
            Act::Move(account, name, uids, to) => {
                let (from, to) = (id(account, name).await?, id(account, to).await?);
                mailboxes.move_(*account, from, uids, to).await.map(drop)
            }
            Act::Expunge(account, name) => {
                let of = id(account, name).await?;
                mailboxes.expunge(*account, of, None).await.map(drop)
            }
            Act::Create(account, name) => mailboxes.create(*account, name, None).await.map(drop),
            Act::Rename(account, from, to) => mailboxes.rename(*account, from, to).await,
            Act::Fold(account, name) => {
                let of = id(account, name).await?;
                mailboxes.fold(*account, of).await
            }
            Act::Sweep => {
                let mut options = SweepOptions::default();
                options.grace = Duration::ZERO;
                options.rate = u64::MAX;
                Ok(house.store.sweep(options).await.map(drop)?)
            }
        }
    }
}

// ------------------------------------------------------------------- house

/// A store that is open on a machine.
struct House {
    store: Store,
    mailboxes: Mailboxes,
}

impl House {
    async fn open(machine: &Machine) -> axigen_store::Result<House> {
        let packs = Packs::open_on(machine.disk(), Path::new(DIR), PACK, 0)?;
        let mut options = store::Options::default();
        options.upkeep = Duration::ZERO;
        let store = Store::over(machine.rows(), Arc::new(packs), options).await?;
        let options = Options {
            uid_validity: Some(1000),
            block_rows: 3,
            rewrite_at: 2,
            fold_at: u32::MAX,
            ..Options::default()
        };
        let mailboxes = Mailboxes::with_options(store.clone(), options);
        Ok(House { store, mailboxes })
    }

    /// What clients would see. `lied`: contents may be unreadable.
    async fn contents(&self, lied: bool, context: &str) -> Contents {
        let mut contents = Contents::new();
        for account in ACCOUNTS {
            for info in self.mailboxes.list(account).await.unwrap() {
                let (uids, _) = self.mailboxes.uids(account, info.id).await.unwrap();
                let rows = self.mailboxes.rows(account, info.id, &uids).await.unwrap();
                assert_eq!(rows.len(), uids.len());
                assert_eq!(info.messages as usize, uids.len());
                let mut folder = Folder {
                    next: info.uid_next,
                    ..Folder::default()
                };
                for row in rows {
                    let body = self.mailboxes.body(account, row.item, 0..u64::MAX).await;
                    let number = match body {
                        Ok(body) => number_of(&body)
                            .unwrap_or_else(|| panic!("{context}: a mail that nobody sent")),
                        Err(Error::Store(StoreError::Corrupt(_))) if lied => UNREADABLE,
                        Err(error) => panic!("{context}: {} UID {}: {error}", info.name, row.uid),
                    };
                    folder.mails.insert(row.uid, (number, row.flags.system));
                }
                contents.insert((account.0, info.name), folder);
            }
        }
        contents
    }

    /// Counters, names, references, contents.
    async fn verify(&self, lied: bool, context: &str) {
        let problems = verify::problems(&self.store, &self.mailboxes, &ACCOUNTS, lied).await;
        assert_eq!(problems, Vec::<String>::new(), "{context}");
    }

    async fn sequence(&self) -> [u64; 2] {
        let of = async |account| self.store.seq(account).await.unwrap();
        [of(ALICE).await, of(BOB).await]
    }
}

// --------------------------------------------------------------- scenarios

/// What is done, and before it, unharmed, something else.
struct Scenario {
    before: Vec<Act>,
    acts: Vec<Act>,
}

const SEEN: u8 = Flags::SEEN;
const DELETED: u8 = Flags::DELETED;

/// Where the faults of one scenario led to.
#[derive(Debug, Default)]
struct Visits {
    points: BTreeMap<Fault, usize>,
    kinds: BTreeMap<Kind, usize>,
    /// Machines started again, with all that may survive.
    restarts: usize,
    /// Faults during the opening after a fault.
    again: usize,
}

const SURVIVALS: [Survives; 6] = [
    Survives::Synced,
    Survives::Everything,
    Survives::Some(1),
    Survives::Some(2),
    Survives::Some(3),
    Survives::Process,
];

/// Visits every step of a scenario with every fault.
fn visit(name: &str, scenario: &Scenario) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let visits = runtime.block_on(scenario.visit());
    println!(
        "{name}: {} points, {:?}; steps {:?}; {} starts, {} faults while starting",
        visits.points.values().sum::<usize>(),
        visits.points,
        visits.kinds,
        visits.restarts,
        visits.again,
    );
}

/// What may be found after a fault.
#[derive(Debug)]
struct Allowed {
    /// One of these.
    contents: Vec<Contents>,
    /// What was acknowledged.
    sequence: [u64; 2],
}

impl Scenario {
    async fn visit(&self) -> Visits {
        let machine = Machine::with_directory(Path::new(DIR));
        let house = House::open(&machine).await.unwrap();
        for account in ACCOUNTS {
            house.mailboxes.create_account(account).await.unwrap();
        }
        for act in &self.before {
            act.run(&house).await.unwrap();
        }
        house.verify(false, "").await;
        let begin = house.contents(false, "").await;
        house.store.close().await.unwrap();
        drop(house);
        machine.restart(Survives::Synced);

        let unharmed = machine.fork();
        let allowed = self.run(&unharmed, &begin).await;
        assert_eq!(allowed.contents.len(), 1, "it fails without a fault");
        let steps = unharmed.steps();
        let mut visits = Visits::default();
        for (at, kind) in steps.into_iter().enumerate() {
            *visits.kinds.entry(kind).or_default() += 1;
            for fault in Fault::ALL {
                if !fault.happens_to(kind) {
                    continue;
                }
                *visits.points.entry(fault).or_default() += 1;
                let harmed = machine.fork();
                harmed.fail_at(at, fault);
                let mut allowed = self.run(&harmed, &begin).await;
                let lied = fault == Fault::Lies;
                if lied {
                    // All that was true once may be true again.
                    let mut was = begin.clone();
                    allowed.contents.push(was.clone());
                    for act in &self.acts {
                        act.apply(&mut was);
                        allowed.contents.push(was.clone());
                    }
                    allowed.sequence = [0; 2];
                }
                for survives in SURVIVALS {
                    let context = format!("step {at} ({kind:?}) {fault:?}, then {survives:?}");
                    let again = harmed.fork();
                    again.restart(survives);
                    if fault == Fault::StopsAmid && survives == Survives::Some(1) {
                        visits.again += reopen_harmed(&again, &allowed, &context).await;
                    }
                    look(&again, &allowed, lied, &context).await;
                    visits.restarts += 1;
                }
            }
        }
        visits
    }

    /// Does everything on a machine; gives what may be found afterwards.
    async fn run(&self, machine: &Machine, begin: &Contents) -> Allowed {
        let mut allowed = Allowed {
            contents: vec![begin.clone()],
            sequence: [0; 2],
        };
        let house = match House::open(machine).await {
            Ok(house) => house,
            Err(error) => {
                assert!(!machine.steps().is_empty(), "{error}");
                return allowed;
            }
        };
        let mut harmed = false;
        for act in &self.acts {
            let mut after = allowed.contents.clone();
            after.iter_mut().for_each(|contents| act.apply(contents));
            let done = act.run(&house).await;
            let failed = done.is_err();
            match done {
                // It had nothing to do.
                Ok(()) if allowed.contents.len() > 1 => {}
                Ok(()) => {
                    allowed.contents = after;
                    allowed.sequence = match machine.is_off() {
                        true => allowed.sequence,
                        false => house.sequence().await,
                    };
                }
                // Nothing was done, says the store.
                Err(Error::Store(StoreError::Full)) => {}
                // It takes no more writes; this one was not begun or may have
                // been done.
                Err(Error::Store(StoreError::Io { .. } | StoreError::Poisoned(_))) => {
                    if allowed.contents.len() == 1 {
                        allowed.contents.extend(after);
                    }
                }
                // What this one needs was not made.
                Err(Error::NoSuchMailbox) if harmed => {}
                Err(error) => panic!("{act:?}: {error}"),
            }
            harmed |= failed;
            if machine.is_off() {
                break;
            }
        }
        if !machine.is_off() {
            // Whatever failed, what is there can be read.
            let found = house.contents(false, "").await;
            assert!(allowed.contents.contains(&found), "{found:?} {allowed:?}");
        }
        allowed
    }
}

/// The machine stops again at each step of the opening.
async fn reopen_harmed(machine: &Machine, allowed: &Allowed, context: &str) -> usize {
    let trace = machine.fork();
    drop(House::open(&trace).await.unwrap());
    let steps = trace.steps();
    for at in 0..steps.len() {
        for fault in [Fault::Fails, Fault::StopsBefore, Fault::StopsAfter] {
            let again = machine.fork();
            again.fail_at(at, fault);
            drop(House::open(&again).await.ok());
            again.restart(Survives::Synced);
            let context = format!("{context}, opening: step {at} {fault:?}");
            look(&again, allowed, false, &context).await;
        }
    }
    steps.len() * 3
}

/// The mailboxes that ever had a message.
fn brief(contents: &Contents) -> String {
    let used = contents.iter().filter(|(_, folder)| folder.next > 1);
    used.map(|((account, name), folder)| format!("{account}/{name} {folder:?}; "))
        .collect()
}

/// Whether this is what was to be found; what cannot be read may be anything.
fn agree(wanted: &Contents, found: &Contents) -> bool {
    type Mail<'a> = (&'a u32, &'a (usize, u8));
    let same = |(a, b): (Mail<'_>, Mail<'_>)| {
        a.0 == b.0 && a.1.1 == b.1.1 && (a.1.0 == b.1.0 || b.1.0 == UNREADABLE)
    };
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(a, b)| {
            let (mails, there) = (&a.1.mails, &b.1.mails);
            a.0 == b.0
                && a.1.next == b.1.next
                && mails.len() == there.len()
                && mails.iter().zip(there).all(same)
        })
}

/// Opens what survived, looks at it, goes on, and loses the power once more.
async fn look(machine: &Machine, allowed: &Allowed, lied: bool, context: &str) {
    let house = House::open(machine)
        .await
        .unwrap_or_else(|error| panic!("{context}: it does not open: {error}"));
    let found = house.contents(lied, context).await;
    assert!(
        allowed
            .contents
            .iter()
            .any(|contents| agree(contents, &found)),
        "{context}: found {}, allowed {:#?}",
        brief(&found),
        allowed.contents.iter().map(brief).collect::<Vec<_>>()
    );
    let sequence = house.sequence().await;
    assert!(
        sequence.iter().zip(allowed.sequence).all(|(a, b)| *a >= b),
        "{context}: {sequence:?}, acknowledged {:?}",
        allowed.sequence
    );
    house.verify(lied, context).await;
    // The server goes on working: with the same attachments, or after a lie
    // with others, as what is there cannot be trusted.
    let more = if lied { 90 } else { 50 };
    let mut wanted = found;
    let mut acts = vec![
        Act::Deliver(vec![ALICE, BOB], more + 2 - 2 * usize::from(lied)),
        Act::Deliver(vec![BOB], more + 3 - 2 * usize::from(lied)),
        Act::Flag(BOB, "INBOX", vec![1], SEEN | DELETED),
        Act::Expunge(BOB, "INBOX"),
    ];
    if !lied {
        acts.extend([Act::Sweep, Act::Deliver(vec![ALICE], more), Act::Sweep]);
    }
    for act in &acts {
        act.run(&house)
            .await
            .unwrap_or_else(|error| panic!("{context}: going on, {act:?}: {error}"));
        act.apply(&mut wanted);
    }
    assert_eq!(
        house.contents(lied, context).await,
        wanted,
        "{context}: going on"
    );
    house.verify(lied, context).await;
    drop(house);
    machine.restart(Survives::Synced);
    let house = House::open(machine).await.unwrap();
    let found = house.contents(lied, context).await;
    assert!(
        agree(&wanted, &found),
        "{context}: after the power went once more: found {}, wanted {}",
        brief(&found),
        brief(&wanted)
    );
    house.verify(lied, context).await;
}

#[test]
fn delivery() {
    let scenario = Scenario {
        before: Vec::new(),
        acts: vec![
            Act::Deliver(vec![ALICE], 2),
            // A new attachment, one that is there, none.
            Act::Deliver(vec![ALICE, BOB], 3),
            Act::Deliver(vec![ALICE], 7),
            Act::Deliver(vec![BOB, ALICE], 11),
            // The very same mail again.
            Act::Deliver(vec![BOB], 3),
            // A second pack begins.
            Act::Deliver(vec![BOB, ALICE], 4),
        ],
    };
    visit("delivery", &scenario);
}

#[test]
fn changes() {
    let scenario = Scenario {
        before: vec![
            Act::Deliver(vec![ALICE, BOB], 2),
            Act::Deliver(vec![ALICE, BOB], 3),
            Act::Deliver(vec![ALICE], 10),
            Act::Create(ALICE, "Work"),
        ],
        acts: vec![
            Act::Flag(ALICE, "INBOX", vec![1, 3], SEEN),
            Act::Copy(ALICE, "INBOX", vec![1, 2], "Work"),
            Act::Move(ALICE, "INBOX", vec![2], "Work"),
            Act::Fold(ALICE, "INBOX"),
            Act::Create(ALICE, "Work/Old"),
            Act::Rename(ALICE, "Work/Old", "Attic"),
            Act::Flag(ALICE, "INBOX", vec![1], DELETED),
            Act::Expunge(ALICE, "INBOX"),
            Act::Fold(ALICE, "INBOX"),
            Act::Copy(ALICE, "Work", vec![1], "INBOX"),
        ],
    };
    visit("changes", &scenario);
}

/// All messages of one APPEND or none; of REPLACE exactly one of the old and
/// the new, also where they are in two accounts.
#[test]
fn several_at_once_and_one_for_another() {
    let scenario = Scenario {
        before: vec![
            Act::Deliver(vec![ALICE, BOB], 2),
            Act::Deliver(vec![ALICE, BOB], 3),
            Act::Create(ALICE, "Desk"),
        ],
        acts: vec![
            Act::Append(ALICE, "INBOX", vec![4, 10, 5]),
            Act::Replace((ALICE, "INBOX", 1), (ALICE, "INBOX"), 6),
            Act::Fold(ALICE, "INBOX"),
            Act::Replace((ALICE, "INBOX", 2), (ALICE, "Desk"), 11),
            Act::Replace((ALICE, "INBOX", 3), (BOB, "INBOX"), 13),
        ],
    };
    visit("several at once", &scenario);
}

#[test]
fn rewriting_packs() {
    let mut before: Vec<Act> = [2, 3, 4, 5, 6, 12, 13, 14]
        .into_iter()
        .map(|number| Act::Deliver(vec![ALICE, BOB], number))
        .collect();
    before.extend([
        Act::Deliver(vec![ALICE], 20),
        Act::Deliver(vec![ALICE], 22),
        Act::Flag(ALICE, "INBOX", vec![2, 3, 5, 6, 7, 8], DELETED),
        Act::Flag(BOB, "INBOX", vec![2, 3, 5, 6, 7, 8], DELETED),
    ]);
    let scenario = Scenario {
        before,
        acts: vec![
            Act::Expunge(ALICE, "INBOX"),
            Act::Expunge(BOB, "INBOX"),
            Act::Sweep,
            // What was forgotten comes again.
            Act::Deliver(vec![BOB], 3),
            Act::Sweep,
        ],
    };
    visit("rewriting packs", &scenario);
}
