//! Commands about messages, and what the model says of them.

use super::*;

impl World {
    pub(super) async fn append(&mut self, by: usize, to: usize, flags: u8, body: u8) {
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

    pub(super) async fn store(&mut self, by: usize, step: &Step) {
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
                crate::steps::Sign::Set => "",
                crate::steps::Sign::Add => "+",
                crate::steps::Sign::Remove => "-",
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
                let mut own = crate::model::Msg {
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
    pub(super) fn since(&self, name: usize, share: u8) -> u64 {
        1 + self.boxes[name].highest * u64::from(share) / 255
    }

    pub(super) async fn copy(&mut self, by: usize, set: Set, uid: bool, to: usize, moves: bool) {
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

    pub(super) async fn expunge(&mut self, by: usize, set: Option<Set>) {
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

    pub(super) fn expunged(&mut self, name: usize, only: Option<&[u32]>) {
        self.boxes[name].messages.retain(|msg| {
            !msg.has("\\Deleted") || only.is_some_and(|only| !only.contains(&msg.uid))
        });
    }

    pub(super) async fn fetch(&mut self, by: usize, step: &Step) {
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
        let came = self.look(by);
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
        assert!(!came || reply.exists(), "{}: nothing came", reply.what);
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

    pub(super) async fn search(&mut self, by: usize, step: &Step) {
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
        let came = self.look(by);
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
        assert!(!came || reply.exists(), "{}: nothing came", reply.what);
        let (found, told) = reply
            .found()
            .unwrap_or_else(|| panic!("{}: no result", reply.what));
        assert_eq!(found, wanted, "{}", reply.what);
        assert_eq!(told, highest, "{}", reply.what);
    }
}
