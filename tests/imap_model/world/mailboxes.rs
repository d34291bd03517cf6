//! Commands about mailboxes, IDLE, and the look at the truth.

use super::*;

impl World {
    pub(super) async fn status(&mut self, by: usize, of: usize) {
        let items = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE RECENT";
        let command = format!("STATUS {} ({items})", NAMES[of]);
        let mailbox = &self.boxes[of];
        let count = |has: &dyn Fn(&crate::model::Msg) -> bool| {
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

    pub(super) async fn close(&mut self, by: usize, expunge: bool) {
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
    pub(super) async fn select(&mut self, by: usize, name: usize, examine: bool) {
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

    pub(super) async fn idle(&mut self, by: usize) {
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
    pub(super) async fn listen(&mut self, by: usize) {
        while self.clients[by].idle && self.differs(by, true).is_some() {
            let line = self.clients[by].line.as_mut().unwrap().read().await;
            self.take(by, &untagged(line.strip_prefix(b"* ").unwrap()), IDLE);
        }
    }

    pub(super) async fn wake(&mut self, by: usize) {
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
    pub(super) async fn audit(&mut self) {
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
