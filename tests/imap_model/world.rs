//! The server, its clients and the model, moved step by step.

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
                let last = open.last_uid();
                let new = mailbox
                    .messages
                    .iter()
                    .map(|msg| msg.uid)
                    .filter(|uid| *uid > last);
                let new: Vec<u32> = new.collect();
                assert_eq!(
                    *count as usize,
                    open.view.len() + new.len(),
                    "{line:?}, {open:?}"
                );
                let recent = new.iter().filter(|uid| **uid >= mailbox.recent);
                open.recent.extend(recent);
                open.view
                    .extend(new.iter().map(|&uid| Seen { uid, flags: None }));
                if !open.read_only {
                    mailbox.recent = mailbox.uid_next;
                }
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

    async fn append(&mut self, by: usize, to: usize, flags: u8, body: u8) {
        let text = mail(body);
        let shown: Vec<String> = flags_of(flags).into_iter().collect();
        let command = format!(
            "APPEND {} ({}) {{{}+}}\r\n",
            NAMES[to],
            shown.join(" "),
            text.len()
        );
        let uid = self.boxes[to].add(flags_of(flags), text.clone());
        let command = [command.as_bytes(), &text].concat();
        if let Some(reply) = self.command(by, command, FREE).await {
            let code = reply.ok().code("APPENDUID");
            assert_eq!(code, Some(format!("{} {uid}", self.boxes[to].uid_validity)));
        }
    }

    async fn store(&mut self, by: usize, step: &Step) {
        let Step::Store {
            set,
            uid,
            sign,
            flags,
            silent,
            since,
            ..
        } = step
        else {
            return;
        };
        let open = self.open(by).unwrap();
        if !uid && open.view.is_empty() {
            return;
        }
        let (name, read_only) = (open.name, open.read_only);
        let (text, targets) = set.of(open, *uid);
        let since = since
            .filter(|_| self.modseqs(by))
            .map(|Since(since)| self.since(name, since));
        let flags = flags_of(*flags);
        let shown: Vec<String> = flags.iter().cloned().collect();
        let command = format!(
            "{}STORE {text}{} {}FLAGS{} ({})",
            if *uid { "UID " } else { "" },
            since.map_or(String::new(), |since| format!(" (UNCHANGEDSINCE {since})")),
            match sign {
                super::steps::Sign::Set => "",
                super::steps::Sign::Add => "+",
                super::steps::Sign::Remove => "-",
            },
            if *silent { ".SILENT" } else { "" },
            shown.join(" "),
        );
        let rules = Rules {
            expunge: *uid,
            asked: *silent,
            idle: false,
        };
        if read_only {
            if let Some(reply) = self.command(by, command, rules).await {
                assert!(
                    reply.text.starts_with("NO"),
                    "{}: {}",
                    reply.what,
                    reply.text
                );
            }
            return;
        }
        let (mut modified, mut changed, mut gone) = (Vec::new(), Vec::new(), false);
        for uid in &targets {
            let Some(msg) = self.boxes[name].get_mut(*uid) else {
                gone = true;
                continue;
            };
            if since.is_some_and(|since| msg.modseq > since) {
                modified.push(*uid);
                continue;
            }
            let before = msg.flags.clone();
            msg.change(*sign, &flags);
            if msg.flags != before {
                msg.modseq = 0;
            }
            changed.push(*uid);
        }
        // What the client concludes by itself; the server tells it what is otherwise.
        let cut = self.clients[by].cut.is_some();
        if *silent && !cut {
            let open = self.clients[by].open.as_mut().unwrap();
            for seen in open
                .view
                .iter_mut()
                .filter(|seen| changed.contains(&seen.uid))
            {
                let mut own = super::model::Msg {
                    uid: seen.uid,
                    flags: seen.flags.clone().unwrap(),
                    text: Vec::new(),
                    modseq: 0,
                };
                own.change(*sign, &flags);
                seen.flags = Some(own.flags);
            }
        }
        let numbers_of = |world: &World, uids: &[u32]| -> Vec<u32> {
            let open = world.open(by).unwrap();
            uids.iter()
                .map(|of| if *uid { *of } else { open.seq(*of).unwrap() })
                .collect()
        };
        let wanted = numbers_of(self, &modified);
        let seqs: Vec<u32> = changed
            .iter()
            .map(|of| self.open(by).unwrap().seq(*of).unwrap())
            .collect();
        let Some(reply) = self.command(by, command, rules).await else {
            return;
        };
        let status = match gone && !uid {
            true if *silent && wanted.is_empty() => "OK [EXPUNGEISSUED]",
            true => "NO",
            false => "OK",
        };
        assert!(
            reply.text.starts_with(status),
            "{}: {}",
            reply.what,
            reply.text
        );
        let told = reply
            .code("MODIFIED")
            .map(|set| numbers(&set))
            .unwrap_or_default();
        assert_eq!(told, wanted, "{}: {}", reply.what, reply.text);
        for seq in seqs {
            let mut of = reply.fetched().filter(|(of, _)| *of == seq);
            let told = of.any(|(_, fetched)| fetched.flags.is_some());
            assert!(told || *silent, "{} tells nothing of {seq}", reply.what);
        }
    }

    /// A modification number that a client might have.
    fn since(&self, name: usize, share: u8) -> u64 {
        1 + self.boxes[name].highest * u64::from(share) / 255
    }

    async fn copy(&mut self, by: usize, set: Set, uid: bool, to: usize, moves: bool) {
        let open = self.open(by).unwrap();
        if !uid && open.view.is_empty() {
            return;
        }
        let (from, read_only) = (open.name, open.read_only);
        let (text, targets) = set.of(open, uid);
        let verb = if moves { "MOVE" } else { "COPY" };
        let command = format!(
            "{}{verb} {text} {}",
            if uid { "UID " } else { "" },
            NAMES[to]
        );
        if moves && read_only {
            if let Some(reply) = self.command(by, command, FREE).await {
                assert!(
                    reply.text.starts_with("NO"),
                    "{}: {}",
                    reply.what,
                    reply.text
                );
            }
            return;
        }
        let found: Vec<_> = targets
            .iter()
            .filter_map(|uid| self.boxes[from].get(*uid).cloned())
            .collect();
        if !uid && found.len() < targets.len() {
            // RFC 2180 §4.4.1: some are gone, and nothing is done.
            if let Some(reply) = self.command(by, command, FREE).await {
                let refused = reply.text.starts_with("NO [EXPUNGEISSUED]");
                assert!(refused, "{}: {}", reply.what, reply.text);
            }
            return;
        }
        let old: Vec<u32> = found.iter().map(|msg| msg.uid).collect();
        let new: Vec<u32> = found
            .into_iter()
            .map(|msg| self.boxes[to].add(msg.flags, msg.text))
            .collect();
        if moves {
            self.boxes[from].remove(&old);
        }
        let Some(reply) = self.command(by, command, FREE).await else {
            return;
        };
        let reply = reply.ok();
        match reply.code("COPYUID") {
            None => assert!(old.is_empty(), "{}: {}", reply.what, reply.text),
            Some(code) => {
                let parts: Vec<&str> = code.split(' ').collect();
                assert_eq!(parts[0], self.boxes[to].uid_validity.to_string());
                assert_eq!((numbers(parts[1]), numbers(parts[2])), (old, new));
            }
        }
    }

    async fn expunge(&mut self, by: usize, set: Option<Set>) {
        let open = self.open(by).unwrap();
        let (name, read_only) = (open.name, open.read_only);
        let (command, only) = match set {
            None => ("EXPUNGE".to_owned(), None),
            Some(set) => {
                let (text, targets) = set.of(open, true);
                (format!("UID EXPUNGE {text}"), Some(targets))
            }
        };
        if !read_only {
            self.expunged(name, only.as_deref());
        }
        let Some(reply) = self.command(by, command, FREE).await else {
            return;
        };
        match read_only {
            true => assert!(reply.text.starts_with("NO"), "{}", reply.text),
            false => drop(reply.ok()),
        }
    }

    fn expunged(&mut self, name: usize, only: Option<&[u32]>) {
        self.boxes[name].messages.retain(|msg| {
            !msg.has("\\Deleted") || only.is_some_and(|only| !only.contains(&msg.uid))
        });
    }

    async fn fetch(&mut self, by: usize, step: &Step) {
        let Step::Fetch {
            set,
            uid,
            what,
            since,
            ..
        } = step
        else {
            return;
        };
        let open = self.open(by).unwrap();
        if !uid && open.view.is_empty() {
            return;
        }
        let (name, read_only) = (open.name, open.read_only);
        let (text, targets) = set.of(open, *uid);
        let modseqs = self.modseqs(by);
        let since = since
            .filter(|_| modseqs)
            .map(|Since(since)| self.since(name, since));
        let asks = |bit: u8| what & (1 << bit) != 0;
        let body = asks(3) && since.is_none();
        let peek = asks(4);
        let mut items = Vec::new();
        let (flags, size, modseq) = (asks(0), asks(1), asks(2) && modseqs);
        let wants = [
            (flags, "FLAGS"),
            (size, "RFC822.SIZE"),
            (modseq, "MODSEQ"),
            (body && peek, "BODY.PEEK[]"),
            (body && !peek, "BODY[]"),
            (asks(5), "UID"),
        ];
        items.extend(
            wants
                .iter()
                .filter(|(wanted, _)| *wanted)
                .map(|(_, item)| *item),
        );
        if items.is_empty() {
            items.push("UID");
        }
        let vanished = *uid && asks(6) && self.clients[by].kind == Kind::Qresync;
        let modifiers = since.map_or(String::new(), |since| {
            format!(
                " (CHANGEDSINCE {since}{})",
                if vanished { " VANISHED" } else { "" }
            )
        });
        let command = format!(
            "{}FETCH {text} ({}){modifiers}",
            if *uid { "UID " } else { "" },
            items.join(" "),
        );
        let gone = targets
            .iter()
            .any(|uid| self.boxes[name].get(*uid).is_none());
        let mut wanted = Vec::new();
        for uid in &targets {
            let seq = self.open(by).unwrap().seq(*uid).unwrap();
            let Some(msg) = self.boxes[name].get_mut(*uid) else {
                if items == ["UID"] && since.is_none() {
                    wanted.push(seq);
                }
                continue;
            };
            if since.is_some_and(|since| msg.modseq <= since) {
                continue;
            }
            wanted.push(seq);
            if body && !peek && !read_only && msg.flags.insert("\\Seen".into()) {
                msg.modseq = 0;
            }
        }
        let rules = Rules {
            expunge: *uid,
            asked: true,
            idle: false,
        };
        let Some(reply) = self.command(by, command, rules).await else {
            return;
        };
        let only_uids = items == ["UID"] && since.is_none();
        if gone && !uid && !only_uids && since.is_none() {
            assert!(
                reply.text.starts_with("NO [EXPUNGEISSUED]"),
                "{}: {}",
                reply.what,
                reply.text
            );
        } else if since.is_none() {
            assert!(
                reply.text.starts_with("OK"),
                "{}: {}",
                reply.what,
                reply.text
            );
        }
        for seq in wanted {
            let complete = |fetched: &Fetched| {
                (!flags || fetched.flags.is_some())
                    && (!size || fetched.size.is_some())
                    && (!(modseq || since.is_some()) || fetched.modseq.is_some())
                    && (!body || fetched.text.is_some())
                    && (!(*uid || asks(5) || only_uids) || fetched.uid.is_some())
            };
            let mut of = reply.fetched().filter(|(of, _)| *of == seq);
            assert!(
                of.any(|(_, fetched)| complete(fetched)),
                "{}: {seq} in {:?}",
                reply.what,
                reply.lines
            );
        }
    }

    async fn search(&mut self, by: usize, step: &Step) {
        let Step::Search { uid, key, .. } = step else {
            return;
        };
        if key.needs_modseq() && !self.modseqs(by) {
            return;
        }
        // RECENT and the like are none of IMAP4rev2's.
        if key.needs_recent() && (self.fuzzy || self.clients[by].kind == Kind::Rev2) {
            return;
        }
        let open = self.open(by).unwrap();
        if key.names_sequence() && open.view.is_empty() {
            return;
        }
        let name = open.name;
        let around = Around {
            open,
            since: &|share| self.since(name, share),
        };
        let command = format!(
            "{}SEARCH {}",
            if *uid { "UID " } else { "" },
            key.text(&around)
        );
        let mailbox = &self.boxes[name];
        let numbered = open.view.iter().zip(1u32..);
        let there = numbered.filter_map(|(seen, seq)| Some((seq, mailbox.get(seen.uid)?)));
        let matching: Vec<_> = there.filter(|(_, msg)| key.matches(msg, &around)).collect();
        let wanted: Vec<u32> = matching
            .iter()
            .map(|(seq, msg)| if *uid { msg.uid } else { *seq })
            .collect();
        let highest = matching
            .iter()
            .map(|(_, msg)| msg.modseq)
            .max()
            .filter(|_| key.needs_modseq());
        let rules = Rules {
            expunge: *uid && !key.names_sequence(),
            asked: false,
            idle: false,
        };
        let Some(reply) = self.command(by, command, rules).await else {
            return;
        };
        let reply = reply.ok();
        let (found, told) = reply
            .found()
            .unwrap_or_else(|| panic!("{}: no result", reply.what));
        assert_eq!(found, wanted, "{}", reply.what);
        assert_eq!(told, highest, "{}", reply.what);
    }

    async fn status(&mut self, by: usize, of: usize) {
        let items = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE RECENT";
        let command = format!("STATUS {} ({items})", NAMES[of]);
        let mailbox = &self.boxes[of];
        let count = |has: &dyn Fn(&super::model::Msg) -> bool| {
            mailbox.messages.iter().filter(|msg| has(msg)).count() as u64
        };
        let mut wanted = BTreeMap::from([
            ("MESSAGES".to_owned(), mailbox.messages.len() as u64),
            ("UIDNEXT".into(), u64::from(mailbox.uid_next)),
            ("UIDVALIDITY".into(), u64::from(mailbox.uid_validity)),
            ("UNSEEN".into(), count(&|msg| !msg.has("\\Seen"))),
            ("DELETED".into(), count(&|msg| msg.has("\\Deleted"))),
            (
                "SIZE".into(),
                mailbox
                    .messages
                    .iter()
                    .map(|msg| msg.text.len() as u64)
                    .sum(),
            ),
            ("RECENT".into(), count(&|msg| msg.uid >= mailbox.recent)),
        ]);
        let Some(reply) = self.command(by, command, FREE).await else {
            return;
        };
        let reply = reply.ok();
        let told = reply.lines.iter().find_map(|line| match line {
            Untagged::Status(name, items) => Some((name, items.clone())),
            _ => None,
        });
        let (name, mut told) = told.unwrap_or_else(|| panic!("{}: nothing", reply.what));
        assert_eq!(name, NAMES[of]);
        if self.fuzzy || self.clients[by].kind == Kind::Rev2 {
            wanted.remove("RECENT");
            told.remove("RECENT");
        }
        assert_eq!(told, wanted, "{}", reply.what);
    }

    async fn close(&mut self, by: usize, expunge: bool) {
        let open = self.open(by).unwrap();
        let (name, read_only) = (open.name, open.read_only);
        if expunge && !read_only {
            self.expunged(name, None);
        }
        self.clients[by].cut = None;
        self.keep(by);
        let line = self.clients[by].line.as_mut().unwrap();
        let reply = line
            .ask(if expunge { "CLOSE" } else { "UNSELECT" })
            .await
            .ok();
        for line in &reply.lines {
            self.take(by, line, FREE);
        }
    }

    /// SELECT, with what a QRESYNC client kept.
    async fn select(&mut self, by: usize, name: usize, examine: bool) {
        self.connect(by).await;
        self.keep(by);
        let client = &mut self.clients[by];
        let cache = client.caches.get(&name).cloned().unwrap_or_default();
        let verb = if examine { "EXAMINE" } else { "SELECT" };
        let mut command = format!("{verb} {}", NAMES[name]);
        if cache.highest > 0 {
            let known: Vec<String> = cache.messages.keys().map(u32::to_string).collect();
            let known = match known.is_empty() || cache.highest.is_multiple_of(2) {
                true => String::new(),
                false => format!(" {}", known.join(",")),
            };
            command.push_str(&format!(
                " (QRESYNC ({} {}{known}))",
                cache.validity, cache.highest
            ));
        }
        let reply = client.line.as_mut().unwrap().ask(command).await.ok();
        self.log(by, &reply);
        let client = &mut self.clients[by];
        let cut = client.cut.take().map(usize::from);
        client.open = Some(Open {
            name,
            read_only: examine,
            fetched: cache.fetched,
            ..Open::default()
        });
        let mut cache = cache;
        for line in reply.lines.iter().take(cut.unwrap_or(usize::MAX)) {
            if let Untagged::Vanished {
                earlier: true,
                uids,
            } = line
            {
                uids.iter().for_each(|uid| drop(cache.messages.remove(uid)));
            }
            self.take(
                by,
                line,
                Rules {
                    expunge: false,
                    asked: false,
                    idle: false,
                },
            );
            if let (Untagged::Fetch(seq, _), Some(open)) = (line, self.open(by)) {
                let seen = &open.view[*seq as usize - 1];
                cache.messages.insert(seen.uid, seen.flags.clone().unwrap());
            }
        }
        // The server has opened it, whether that was heard or not.
        if !examine {
            self.boxes[name].recent = self.boxes[name].uid_next;
        }
        if cut.is_some() {
            // What was heard is true; but not up to the new number.
            self.clients[by].open = None;
            if self.clients[by].kind == Kind::Qresync {
                self.clients[by].caches.insert(name, cache);
            }
            self.clients[by].line.take().unwrap().leave().await;
            return;
        }
        let open = self.clients[by].open.as_mut().unwrap();
        for (uid, flags) in cache.messages {
            let seen = open.view.iter_mut().find(|seen| seen.uid == uid);
            let seen = seen.unwrap_or_else(|| {
                panic!(
                    "{}: nothing was told of {uid}: {:?}",
                    reply.what, reply.lines
                )
            });
            seen.flags.get_or_insert(flags);
        }
        for seen in open.view.iter().filter(|seen| seen.flags.is_none()) {
            assert!(seen.uid > open.fetched, "{}: {seen:?} was lost", reply.what);
        }
        self.knows_all(by, true, &reply.what);
        self.fetch_new(by).await;
        let told = reply.code("HIGHESTMODSEQ").expect("HIGHESTMODSEQ");
        self.clients[by].open.as_mut().unwrap().highest = told.parse().unwrap();
    }

    async fn idle(&mut self, by: usize) {
        if self.open(by).is_none() {
            return;
        }
        self.fuzzy = true;
        self.clients[by].cut = None;
        let line = self.clients[by].line.as_mut().unwrap();
        line.send(b"idle IDLE\r\n").await;
        self.clients[by].idle = true;
        loop {
            let line = self.clients[by].line.as_mut().unwrap().read().await;
            if line.starts_with(b"+") {
                return;
            }
            self.take(by, &untagged(line.strip_prefix(b"* ").unwrap()), IDLE);
        }
    }

    /// An idle client hears what happened.
    async fn listen(&mut self, by: usize) {
        while self.clients[by].idle && self.differs(by, true).is_some() {
            let line = self.clients[by].line.as_mut().unwrap().read().await;
            self.take(by, &untagged(line.strip_prefix(b"* ").unwrap()), IDLE);
        }
    }

    async fn wake(&mut self, by: usize) {
        if !std::mem::take(&mut self.clients[by].idle) {
            return;
        }
        self.clients[by]
            .line
            .as_mut()
            .unwrap()
            .send(b"DONE\r\n")
            .await;
        loop {
            let line = self.clients[by].line.as_mut().unwrap().read().await;
            if let Some(status) = line.strip_prefix(b"idle ") {
                assert!(status.starts_with(b"OK"));
                break;
            }
            self.take(by, &untagged(line.strip_prefix(b"* ").unwrap()), IDLE);
        }
        self.knows_all(by, true, "IDLE");
        self.fetch_new(by).await;
    }

    /// The model and what one sees who has just come.
    async fn audit(&mut self) {
        for (name, mailbox) in self.boxes.iter_mut().enumerate() {
            let reply = self
                .auditor
                .ask(format!("EXAMINE {} (CONDSTORE)", NAMES[name]))
                .await
                .ok();
            let number = |code: &str| {
                reply
                    .code(code)
                    .unwrap_or_else(|| panic!("no {code}"))
                    .parse::<u64>()
                    .unwrap()
            };
            let validity = number("UIDVALIDITY") as u32;
            assert!([0, validity].contains(&mailbox.uid_validity));
            mailbox.uid_validity = validity;
            assert_eq!(number("UIDNEXT"), u64::from(mailbox.uid_next));
            let before = mailbox.highest;
            let highest = number("HIGHESTMODSEQ");
            assert!(highest >= before);
            let mut rows = Vec::new();
            if reply
                .lines
                .iter()
                .any(|line| matches!(line, Untagged::Exists(1..)))
            {
                let all = self.auditor.ask("FETCH 1:* (UID FLAGS MODSEQ)").await.ok();
                rows.extend(all.fetched().map(|(_, fetched)| fetched.clone()));
            }
            assert_eq!(rows.len(), mailbox.messages.len(), "{rows:?}");
            for (row, msg) in rows.iter().zip(&mut mailbox.messages) {
                let mut flags = row.flags.clone().unwrap();
                flags.remove("\\Recent");
                assert_eq!((row.uid.unwrap(), &flags), (msg.uid, &msg.flags));
                let modseq = row.modseq.unwrap();
                match msg.modseq {
                    0 => assert!(
                        modseq > before && modseq <= highest,
                        "{row:?}: {before}, {highest}"
                    ),
                    known => assert_eq!(modseq, known, "{row:?}: nothing changed"),
                }
                msg.modseq = modseq;
            }
            mailbox.highest = highest;
        }
        for (name, uid, modseq) in std::mem::take(&mut self.shown) {
            if let Some(msg) = self.boxes[name].get(uid) {
                assert_eq!(msg.modseq, modseq, "shown of {uid}");
            }
        }
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
