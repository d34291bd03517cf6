//! The server, its clients and the model, moved step by step.

mod mailboxes;
mod messages;

use std::collections::BTreeMap;

use axigen_core::engine::Engine;
use axigen_core::service::Context;
use axigen_store::Store;

use super::model::{Around, Mailbox, flags_of, mail};
use super::reply::{Fetched, Untagged, numbers, untagged};
use super::session::{Cache, Kind, Line, Open, Reply, Seen};
use super::steps::{NAMES, SESSIONS, Set, Since, Step};

/// One of the clients.
pub(super) struct Client {
    kind: Kind,
    line: Option<Line>,
    open: Option<Open>,
    idle: bool,
    cut: Option<u8>,
    caches: BTreeMap<usize, Cache>,
}

pub(super) struct World {
    engine: Engine,
    clients: Vec<Client>,
    boxes: Vec<Mailbox>,
    /// Looks at the truth and takes no `\Recent`.
    auditor: Line,
    /// Modification numbers that clients were shown, of changes just made.
    shown: Vec<(usize, u32, u64)>,
    /// What was said, for the one who looks for the reason.
    log: Vec<String>,
    /// An idle client may take `\Recent` at any moment.
    fuzzy: bool,
}

/// What a command may be answered.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// Messages may be told to be gone.
    expunge: bool,
    /// FETCH responses are asked for, so they may lack what unasked ones have.
    asked: bool,
    /// It may have been said a while ago.
    idle: bool,
}

const FREE: Rules = Rules {
    expunge: true,
    asked: false,
    idle: false,
};

const IDLE: Rules = Rules {
    expunge: true,
    asked: false,
    idle: true,
};

impl World {
    pub(super) async fn new() -> World {
        let engine = Engine::builder(Store::memory().await.unwrap())
            .build()
            .unwrap();
        let directory = engine.directory();
        directory.add_domain("example.test").await.unwrap();
        let addresses = ["ann@example.test".to_owned()];
        directory.add_accounts("secret", &addresses).await.unwrap();
        let mut auditor = Line::login(engine.context()).await;
        auditor.ask("CREATE Other").await.ok();
        let kinds = [
            Kind::Plain,
            Kind::Qresync,
            Kind::Condstore,
            Kind::Rev2,
            Kind::Qresync,
        ];
        let clients = (0..SESSIONS).map(|at| Client {
            kind: kinds[at],
            line: None,
            open: None,
            idle: false,
            cut: None,
            caches: BTreeMap::new(),
        });
        let mut world = World {
            clients: clients.collect(),
            boxes: NAMES
                .iter()
                .map(|_| Mailbox {
                    uid_next: 1,
                    recent: 1,
                    ..Mailbox::default()
                })
                .collect(),
            engine,
            auditor,
            shown: Vec::new(),
            log: Vec::new(),
            fuzzy: false,
        };
        world.audit().await;
        for by in 0..SESSIONS {
            world.select(by, 0, false).await;
        }
        world
    }

    fn log(&mut self, by: usize, reply: &Reply) {
        let cut = self.clients[by].cut;
        self.log.push(format!(
            "{by} {:?}, cut {cut:?}: {reply:?}",
            self.clients[by].kind
        ));
    }

    fn context(&self) -> Context {
        self.engine.context().clone()
    }

    /// All are told everything, once more, and go.
    pub(super) async fn end(&mut self) {
        for by in 0..SESSIONS {
            self.wake(by).await;
            self.clients[by].cut = None;
            if self.clients[by].open.is_some() {
                self.command(by, "NOOP", FREE).await;
            }
            if let Some(line) = self.clients[by].line.take() {
                line.leave().await;
            }
        }
        self.engine.shutdown().await.unwrap();
    }

    fn open(&self, by: usize) -> Option<&Open> {
        self.clients[by].open.as_ref()
    }

    fn modseqs(&self, by: usize) -> bool {
        matches!(self.clients[by].kind, Kind::Condstore | Kind::Qresync)
    }

    pub(super) async fn step(&mut self, step: &Step) {
        let by = match step {
            Step::Append { by, .. }
            | Step::Store { by, .. }
            | Step::Copy { by, .. }
            | Step::Move { by, .. }
            | Step::Expunge { by }
            | Step::UidExpunge { by, .. }
            | Step::Fetch { by, .. }
            | Step::Search { by, .. }
            | Step::Status { by, .. }
            | Step::Noop { by }
            | Step::Idle { by }
            | Step::Select { by, .. }
            | Step::Close { by }
            | Step::Unselect { by }
            | Step::Cut { by, .. } => *by,
        };
        if !matches!(step, Step::Cut { .. }) {
            self.wake(by).await;
        }
        match step {
            Step::Append {
                to, flags, body, ..
            } => self.append(by, *to, *flags, *body).await,
            Step::Select { name, examine, .. } => self.select(by, *name, *examine).await,
            Step::Status { of, .. } => self.status(by, *of).await,
            Step::Cut { heard, .. } => self.clients[by].cut = Some(*heard),
            Step::Idle { .. } => self.idle(by).await,
            Step::Noop { .. } => drop(self.command(by, "NOOP", FREE).await),
            _ if self.open(by).is_none() => {}
            Step::Store { .. } => self.store(by, step).await,
            Step::Copy { set, uid, to, .. } => self.copy(by, *set, *uid, *to, false).await,
            Step::Move { set, uid, to, .. } => self.copy(by, *set, *uid, *to, true).await,
            Step::Expunge { .. } => self.expunge(by, None).await,
            Step::UidExpunge { set, .. } => self.expunge(by, Some(*set)).await,
            Step::Fetch { .. } => self.fetch(by, step).await,
            Step::Search { .. } => self.search(by, step).await,
            Step::Close { .. } => self.close(by, true).await,
            Step::Unselect { .. } => self.close(by, false).await,
        }
        self.audit().await;
        for other in 0..SESSIONS {
            self.listen(other).await;
        }
    }

    /// Sends a command; `None` if the client went before it heard all.
    async fn command(&mut self, by: usize, text: impl AsRef<[u8]>, rules: Rules) -> Option<Reply> {
        self.connect(by).await;
        let line = self.clients[by].line.as_mut().unwrap();
        let reply = line.ask(text).await;
        self.log(by, &reply);
        if let Some(heard) = self.clients[by].cut.take() {
            for line in reply.lines.iter().take(usize::from(heard)) {
                self.take(by, line, rules);
            }
            // What was not heard was told all the same.
            if let Some(open) = &self.clients[by].open
                && !open.read_only
                && reply
                    .lines
                    .iter()
                    .any(|line| matches!(line, Untagged::Exists(_)))
            {
                let mailbox = &mut self.boxes[open.name];
                mailbox.recent = mailbox.uid_next;
            }
            self.go(by).await;
            return None;
        }
        for line in &reply.lines {
            self.take(by, line, rules);
        }
        let told = reply.code("HIGHESTMODSEQ");
        if let Some(open) = &mut self.clients[by].open {
            let shown = reply.fetched().filter_map(|(_, fetched)| fetched.modseq);
            open.highest = match told {
                Some(told) => told.parse().unwrap(),
                None => shown.max().unwrap_or(0).max(open.highest),
            };
        }
        // What the session itself refuses asks the mailbox nothing.
        if !reply.text.contains("open read-only") {
            self.knows_all(by, rules.expunge, &reply.what);
        }
        self.fetch_new(by).await;
        Some(reply)
    }

    /// The connection ends; what the client knows it keeps.
    async fn go(&mut self, by: usize) {
        self.keep(by);
        self.clients[by].line.take().unwrap().leave().await;
    }

    fn keep(&mut self, by: usize) {
        let client = &mut self.clients[by];
        let Some(open) = client.open.take() else {
            return;
        };
        if client.kind != Kind::Qresync {
            return;
        }
        let cache = client.caches.entry(open.name).or_default();
        cache.validity = self.boxes[open.name].uid_validity;
        cache.highest = open.highest;
        cache.fetched = open.fetched;
        let known = open.view.into_iter();
        cache.messages = known
            .filter_map(|seen| Some((seen.uid, seen.flags?)))
            .collect();
    }

    async fn connect(&mut self, by: usize) {
        if self.clients[by].line.is_some() {
            return;
        }
        let mut line = Line::login(&self.context()).await;
        let enable = match self.clients[by].kind {
            Kind::Plain => None,
            Kind::Rev2 => Some("ENABLE IMAP4rev2"),
            Kind::Condstore => Some("ENABLE CONDSTORE"),
            Kind::Qresync => Some("ENABLE QRESYNC"),
        };
        if let Some(enable) = enable {
            line.ask(enable).await.ok();
        }
        self.clients[by].line = Some(line);
    }

    /// An untagged response: is it true, and may it be told now?
    fn take(&mut self, by: usize, line: &Untagged, rules: Rules) {
        let client = &mut self.clients[by];
        let kind = client.kind;
        if matches!(
            line,
            Untagged::Code(..) | Untagged::Other(_) | Untagged::Found(..) | Untagged::Status(..)
        ) {
            return;
        }
        let open = client
            .open
            .as_mut()
            .unwrap_or_else(|| panic!("{line:?} with no mailbox open"));
        let mailbox = &mut self.boxes[open.name];
        match line {
            Untagged::Exists(count) => {
                let new = arrived(open, mailbox);
                assert_eq!(
                    *count as usize,
                    open.view.len() + new.len(),
                    "{line:?}, {open:?}"
                );
                arrive(open, mailbox, &new);
            }
            Untagged::Recent(count) => {
                assert_ne!(kind, Kind::Rev2, "RECENT in IMAP4rev2");
                assert!(
                    self.fuzzy || *count as usize == open.recent.len(),
                    "{line:?} {open:?}"
                );
            }
            Untagged::Expunge(seq) => {
                assert!(rules.expunge && kind != Kind::Qresync, "{line:?} {rules:?}");
                let gone = open.view.remove(*seq as usize - 1);
                assert!(mailbox.get(gone.uid).is_none(), "{line:?}: {gone:?}");
                open.recent.remove(&gone.uid);
            }
            Untagged::Vanished {
                earlier: false,
                uids,
            } => {
                assert!(rules.expunge && kind == Kind::Qresync, "{line:?} {rules:?}");
                for uid in uids {
                    assert!(mailbox.get(*uid).is_none(), "{line:?}: {uid}");
                    let at = open.view.iter().position(|seen| seen.uid == *uid);
                    open.view
                        .remove(at.unwrap_or_else(|| panic!("{line:?}: {uid}")));
                    open.recent.remove(uid);
                }
            }
            Untagged::Vanished {
                earlier: true,
                uids,
            } => {
                assert_eq!(kind, Kind::Qresync);
                for uid in uids {
                    assert!(mailbox.get(*uid).is_none(), "{line:?}: {uid}");
                    assert!(open.seq(*uid).is_none(), "{line:?}: {uid}");
                }
            }
            Untagged::Flags(flags) => open.keywords = flags.clone(),
            Untagged::Fetch(seq, fetched) => {
                let marked = kind == Kind::Condstore || kind == Kind::Qresync;
                if !rules.asked && marked && fetched.flags.is_some() {
                    // RFC 7162 §3.1, §3.2.4
                    assert!(
                        fetched.uid.is_some() && fetched.modseq.is_some(),
                        "{line:?}"
                    );
                }
                assert!(marked || fetched.modseq.is_none(), "{line:?}");
                let at = *seq as usize - 1;
                let seen = open.view.get_mut(at).unwrap_or_else(|| panic!("{line:?}"));
                assert!(
                    fetched.uid.is_none_or(|uid| uid == seen.uid),
                    "{line:?}: {seen:?}"
                );
                if rules.idle && seen.flags.is_none() {
                    // Nobody listened for it: it is asked for afterwards.
                    return;
                }
                let Some(msg) = mailbox.get(seen.uid) else {
                    let uid = Fetched {
                        uid: Some(seen.uid),
                        ..Fetched::default()
                    };
                    assert_eq!(*fetched, uid, "of a message that is gone");
                    return;
                };
                if let Some(flags) = &fetched.flags {
                    let mut flags = flags.clone();
                    let recent = flags.remove("\\Recent");
                    assert!(kind != Kind::Rev2 || !recent, "{line:?}");
                    if !self.fuzzy && kind != Kind::Rev2 {
                        assert_eq!(recent, open.recent.contains(&msg.uid), "{line:?}");
                    }
                    assert_eq!(flags, msg.flags, "{line:?}");
                    let unknown: Vec<_> = flags.difference(&open.keywords).collect();
                    assert!(unknown.is_empty(), "{unknown:?} are not in FLAGS");
                    seen.flags = Some(flags);
                }
                match fetched.modseq {
                    Some(modseq) if msg.modseq == 0 => {
                        self.shown.push((open.name, msg.uid, modseq))
                    }
                    Some(modseq) => assert_eq!(modseq, msg.modseq, "{line:?}"),
                    None => {}
                }
                assert!(
                    fetched.size.is_none_or(|size| size == msg.text.len()),
                    "{line:?}"
                );
                assert!(
                    fetched.text.as_ref().is_none_or(|text| *text == msg.text),
                    "{line:?}"
                );
            }
            _ => {}
        }
    }

    /// Messages that came are told before a command looks at messages: the
    /// client knows them from here on. Whether there are any.
    fn look(&mut self, by: usize) -> bool {
        let Some(open) = self.clients[by].open.as_mut() else {
            return false;
        };
        let mailbox = &mut self.boxes[open.name];
        let new = arrived(open, mailbox);
        arrive(open, mailbox, &new);
        !new.is_empty()
    }

    /// Whether a client knows all there is to know.
    fn differs(&self, by: usize, expunge: bool) -> Option<String> {
        let open = self.open(by)?;
        let mailbox = &self.boxes[open.name];
        let there: Vec<u32> = mailbox.messages.iter().map(|msg| msg.uid).collect();
        let mut view: Vec<u32> = open.view.iter().map(|seen| seen.uid).collect();
        if !expunge {
            view.retain(|uid| there.contains(uid));
        }
        if view != there {
            return Some(format!("knows {view:?} of {there:?}"));
        }
        for seen in &open.view {
            if let (Some(known), Some(msg)) = (&seen.flags, mailbox.get(seen.uid))
                && *known != msg.flags
            {
                return Some(format!("believes {seen:?} of {:?}", msg.flags));
            }
        }
        None
    }

    #[track_caller]
    fn knows_all(&self, by: usize, expunge: bool, after: &str) {
        if let Some(differs) = self.differs(by, expunge) {
            panic!("after {after:?} client {by} {differs}");
        }
    }

    /// Asks for the flags of messages that came.
    async fn fetch_new(&mut self, by: usize) {
        loop {
            let Some(open) = self.open(by) else { return };
            let Some(first) = open.view.iter().position(|seen| seen.flags.is_none()) else {
                break;
            };
            let items = if self.modseqs(by) {
                "UID FLAGS MODSEQ"
            } else {
                "UID FLAGS"
            };
            let text = format!("UID FETCH {}:* ({items})", open.view[first].uid);
            let line = self.clients[by].line.as_mut().unwrap();
            let reply = line.ask(text).await.ok();
            self.log(by, &reply);
            for line in &reply.lines {
                self.take(
                    by,
                    line,
                    Rules {
                        expunge: true,
                        asked: true,
                        idle: false,
                    },
                );
            }
            self.knows_all(by, true, &reply.what);
        }
        let open = self.clients[by].open.as_mut().unwrap();
        open.fetched = open.fetched.max(open.last_uid());
    }
}

/// UIDs of messages that the client does not know of yet.
fn arrived(open: &Open, mailbox: &Mailbox) -> Vec<u32> {
    let last = open.last_uid();
    let uids = mailbox.messages.iter().map(|msg| msg.uid);
    uids.filter(|uid| *uid > last).collect()
}

fn arrive(open: &mut Open, mailbox: &mut Mailbox, new: &[u32]) {
    if new.is_empty() {
        return;
    }
    let recent = new.iter().filter(|uid| **uid >= mailbox.recent);
    open.recent.extend(recent);
    open.view
        .extend(new.iter().map(|&uid| Seen { uid, flags: None }));
    if !open.read_only {
        mailbox.recent = mailbox.uid_next;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.log.len().saturating_sub(12);
            eprintln!("{}", self.log[from..].join("\n"));
        }
    }
}
