//! THREAD: messages that belong together.
//! [RFC 5256 §3](https://www.rfc-editor.org/rfc/rfc5256#section-3)
//!
//! Threads may be as deep as there are messages: nothing here recurses.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axigen_proto::imap::extensions::sort::{ThreadAlgorithm, ThreadNode, Threads};

use super::brief::{Brief, Identifier};
use super::types::Row;

/// A message to be threaded.
#[derive(Debug)]
pub struct Message {
    /// Sequence number or UID: what is answered.
    number: u32,
    sent: i64,
    /// The base subject.
    subject: Box<[u8]>,
    reply: bool,
    id: Option<Identifier>,
    /// Ancestors, the nearest last.
    references: Box<[Identifier]>,
}

impl Message {
    /// What threading looks at.
    pub fn new(number: u32, row: &Row, brief: &Brief<'_>) -> Message {
        Message {
            number,
            sent: brief.sent(row),
            subject: brief.subject.into(),
            reply: brief.reply,
            id: brief.id.copied(),
            references: brief.references.into(),
        }
    }
}

/// Threads of messages, which come in the order of their sequence numbers.
pub fn threads(algorithm: ThreadAlgorithm, messages: &[Message]) -> Threads {
    match algorithm {
        ThreadAlgorithm::OrderedSubject => by_subject(messages),
        ThreadAlgorithm::References => by_references(messages),
    }
}

/// ORDEREDSUBJECT: the first message of a subject is the parent of the others.
fn by_subject(messages: &[Message]) -> Threads {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|&at| messages.get(at).map(|message| message.sent));
    let mut threads = Threads::default();
    let mut first: HashMap<&[u8], usize> = HashMap::new();
    for message in order.iter().filter_map(|&at| messages.get(at)) {
        let node = threads.nodes.len();
        threads.nodes.push(ThreadNode {
            number: Some(message.number),
            children: Vec::new(),
        });
        match first.entry(&message.subject) {
            // By date already, so roots come in the order of their first messages.
            Entry::Vacant(none) => {
                none.insert(node);
                threads.roots.push(node);
            }
            Entry::Occupied(root) => {
                if let Some(root) = threads.nodes.get_mut(*root.get()) {
                    root.children.push(node);
                }
            }
        }
    }
    threads
}

/// The nodes of REFERENCES: the first ones are the messages, those behind them
/// are known by their identifiers only.
struct Forest<'m> {
    messages: &'m [Message],
    parent: Vec<Option<usize>>,
    /// Those that something was put below.
    is_parent: Vec<bool>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

fn by_references(messages: &[Message]) -> Threads {
    let mut forest = Forest {
        messages,
        parent: vec![None; messages.len()],
        is_parent: vec![false; messages.len()],
        children: Vec::new(),
        roots: Vec::new(),
    };
    forest.link();
    forest.gather();
    forest.prune();
    forest.sort_roots();
    forest.join_subjects();
    forest.sort_all();
    let nodes = forest.children.into_iter().enumerate();
    let nodes = nodes.map(|(at, children)| ThreadNode {
        number: messages.get(at).map(|message| message.number),
        children,
    });
    Threads {
        nodes: nodes.collect(),
        roots: forest.roots,
    }
}

impl<'m> Forest<'m> {
    fn message(&self, node: usize) -> Option<&'m Message> {
        self.messages.get(node)
    }

    fn is_dummy(&self, node: usize) -> bool {
        node >= self.messages.len()
    }

    fn new_node(&mut self) -> usize {
        self.parent.push(None);
        self.is_parent.push(false);
        self.parent.len() - 1
    }

    fn parent(&self, node: usize) -> Option<usize> {
        self.parent.get(node).copied().flatten()
    }

    fn set_parent(&mut self, node: usize, parent: usize) {
        if let Some(place) = self.parent.get_mut(node) {
            *place = Some(parent);
            if let Some(is_parent) = self.is_parent.get_mut(parent) {
                *is_parent = true;
            }
        }
    }

    fn children(&self, node: usize) -> &[usize] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether `node` is above `other`, or is it.
    fn is_above(&self, node: usize, other: usize) -> bool {
        // What nothing was put below is above nothing: so chains cost no walk.
        if node != other && self.is_parent.get(node) == Some(&false) {
            return false;
        }
        let mut at = Some(other);
        while let Some(here) = at {
            if here == node {
                return true;
            }
            at = self.parent(here);
        }
        false
    }

    /// Step 1: parents, by identifiers.
    fn link(&mut self) {
        let mut nodes: HashMap<&'m Identifier, usize> = HashMap::with_capacity(self.messages.len());
        for (at, message) in self.messages.iter().enumerate() {
            // Of several messages with one identifier the first has it.
            if let Some(id) = &message.id {
                nodes.entry(id).or_insert(at);
            }
        }
        for (at, message) in self.messages.iter().enumerate() {
            let mut above: Option<usize> = None;
            for id in &message.references {
                let node = match nodes.get(id) {
                    Some(&node) => node,
                    None => {
                        let node = self.new_node();
                        nodes.insert(id, node);
                        node
                    }
                };
                if let Some(above) = above
                    && self.parent(node).is_none()
                    && !self.is_above(node, above)
                {
                    self.set_parent(node, above);
                }
                above = Some(node);
            }
            // Its own references tell of its parent better than those of others do.
            if let Some(above) = above
                && !self.is_above(at, above)
            {
                self.set_parent(at, above);
            }
        }
    }

    /// Step 2: those without a parent are roots.
    fn gather(&mut self) {
        self.children = vec![Vec::new(); self.parent.len()];
        for (node, parent) in self.parent.iter().enumerate() {
            match parent.and_then(|parent| self.children.get_mut(parent)) {
                Some(children) => children.push(node),
                None => self.roots.push(node),
            }
        }
    }

    /// Step 3: no message that is not there, except as a root that holds
    /// several together.
    fn prune(&mut self) {
        for node in self.bottom_up() {
            if !self
                .children(node)
                .iter()
                .any(|child| self.is_dummy(*child))
            {
                continue;
            }
            let mut kept = Vec::new();
            for child in self.children(node).to_vec() {
                match self.is_dummy(child) {
                    true => kept.append(&mut std::mem::take(&mut self.children[child])),
                    false => kept.push(child),
                }
            }
            if let Some(children) = self.children.get_mut(node) {
                *children = kept;
            }
        }
        let mut roots = Vec::new();
        for root in std::mem::take(&mut self.roots) {
            match (self.is_dummy(root), self.children(root)) {
                (true, []) => {}
                (true, &[only]) => roots.push(only),
                _ => roots.push(root),
            }
        }
        self.roots = roots;
    }

    /// All nodes of all trees, children before their parents.
    fn bottom_up(&self) -> Vec<usize> {
        let mut order = self.roots.clone();
        let mut next = 0;
        while let Some(&node) = order.get(next) {
            order.extend_from_slice(self.children(node));
            next += 1;
        }
        order.reverse();
        order
    }

    /// When a node was sent: a dummy when its first child was, and then its
    /// children are in order already.
    fn sent(&self, node: usize) -> (i64, usize) {
        let first = match self.is_dummy(node) {
            true => self.children(node).first().copied().unwrap_or(node),
            false => node,
        };
        // Of two sent at one time the one that came first.
        (self.message(first).map_or(0, |message| message.sent), first)
    }

    fn sort_children(&mut self, node: usize) {
        if self.children(node).len() < 2 {
            return;
        }
        let mut children = self.children(node).to_vec();
        children.sort_by_cached_key(|&child| self.sent(child));
        if let Some(place) = self.children.get_mut(node) {
            *place = children;
        }
    }

    /// Step 4: roots by date.
    fn sort_roots(&mut self) {
        let mut roots = std::mem::take(&mut self.roots);
        for &root in &roots {
            if self.is_dummy(root) {
                self.sort_children(root);
            }
        }
        roots.sort_by_cached_key(|&root| self.sent(root));
        self.roots = roots;
    }

    /// Who has the thread's subject: of a dummy its first child.
    fn subject(&self, node: usize) -> Option<&'m Message> {
        let (_, shown) = self.sent(node);
        self.message(shown)
    }

    /// Step 5: threads with one subject become one.
    fn join_subjects(&mut self) {
        let is_reply = |forest: &Self, node| {
            !forest.is_dummy(node) && forest.subject(node).is_some_and(|of| of.reply)
        };
        let mut table: HashMap<&'m [u8], usize> = HashMap::new();
        for &root in &self.roots {
            let Some(subject) = self.subject(root).filter(|of| !of.subject.is_empty()) else {
                continue;
            };
            let known = table.entry(&subject.subject).or_insert(root);
            let better = !self.is_dummy(*known)
                && (self.is_dummy(root) || (is_reply(self, *known) && !is_reply(self, root)));
            if better {
                *known = root;
            }
        }
        let mut roots = Vec::with_capacity(self.roots.len());
        // Where a node went that was joined with another under a new one.
        let mut under: HashMap<usize, usize> = HashMap::new();
        for root in std::mem::take(&mut self.roots) {
            let subject = self.subject(root).filter(|of| !of.subject.is_empty());
            let known = subject.and_then(|subject| table.get_mut(&subject.subject[..]));
            let Some(known) = known.filter(|known| **known != root) else {
                roots.push(root);
                continue;
            };
            match (self.is_dummy(*known), self.is_dummy(root)) {
                (true, true) => {
                    let children = std::mem::take(&mut self.children[root]);
                    self.children[*known].extend(children);
                }
                (true, false) => self.children[*known].push(root),
                (false, _) if is_reply(self, root) && !is_reply(self, *known) => {
                    self.children[*known].push(root);
                }
                (false, _) => {
                    let dummy = self.new_node();
                    self.children.push(vec![*known, root]);
                    under.insert(*known, dummy);
                    *known = dummy;
                }
            }
        }
        for root in &mut roots {
            if let Some(&dummy) = under.get(root) {
                *root = dummy;
            }
        }
        self.roots = roots;
    }

    /// Step 6: all by date.
    fn sort_all(&mut self) {
        for node in self.bottom_up() {
            self.sort_children(node);
        }
        self.sort_roots();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mailbox::brief;
    use crate::mailbox::structure::Structure;
    use crate::mailbox::types::{Flags, ItemId};

    /// Of (Message-ID, References, Subject), sent in this order, the trees.
    fn shown(algorithm: ThreadAlgorithm, mails: &[(&str, &str, &str)]) -> String {
        let messages: Vec<Message> = (1..)
            .zip(mails)
            .map(|(uid, (id, references, subject))| {
                let raw = format!(
                    "Message-ID: <{id}>\r\nReferences: {references}\r\nSubject: {subject}\r\n\r\n"
                );
                let row = Row {
                    uid,
                    item: ItemId(uid.into()),
                    modseq: 1,
                    flags: Flags::default(),
                    internal_date: uid.into(),
                    internal_zone: 0,
                    size: raw.len() as u64,
                    saved: uid.into(),
                };
                let structure = Structure::parse(raw.as_bytes());
                let brief = brief::encode(&structure, raw.as_bytes());
                Message::new(uid, &row, &Brief::decode(&brief).unwrap())
            })
            .collect();
        text(&threads(algorithm, &messages))
    }

    fn text(threads: &Threads) -> String {
        use axigen_proto::imap::encode::Encoder;
        use axigen_proto::imap::response::Response;
        let mut out = bytes::BytesMut::new();
        Encoder::new(&mut out, true).response(&Response::Thread(threads.clone()));
        let text = String::from_utf8(out.to_vec()).unwrap();
        let text = text.trim_end().strip_prefix("* THREAD").unwrap();
        text.trim_start().to_owned()
    }

    fn references(mails: &[(&str, &str, &str)]) -> String {
        shown(ThreadAlgorithm::References, mails)
    }

    #[test]
    fn subjects() {
        let mails = [
            ("a@x", "", "one"),
            ("b@x", "", "two"),
            ("c@x", "", "Re: one"),
            ("d@x", "", "ONE (fwd)"),
            ("e@x", "", ""),
            ("f@x", "", ""),
        ];
        let all = shown(ThreadAlgorithm::OrderedSubject, &mails);
        assert_eq!(all, "(1 (3)(4))(2)(5 6)");
        assert_eq!(shown(ThreadAlgorithm::OrderedSubject, &[]), "");
    }

    #[test]
    fn parents_by_references() {
        // A chain, a fork, an ancestor that is not there.
        assert_eq!(
            references(&[
                ("a@x", "", "s"),
                ("b@x", "<a@x>", "Re: s"),
                ("c@x", "<a@x> <b@x>", "Re: s"),
                ("d@x", "<a@x>", "Re: s"),
            ]),
            "(1 (2 3)(4))"
        );
        assert_eq!(
            references(&[("b@x", "<gone@x>", "p"), ("c@x", "<gone@x>", "q")]),
            "((1)(2))"
        );
        assert_eq!(
            references(&[("a@x", "", "s"), ("c@x", "<a@x> <gone@x>", "t")]),
            "(1 2)"
        );
        // Brackets that hold no identifier, quotes, folds.
        assert_eq!(
            references(&[("a b@x", "", "s"), ("c@x", "<> <no> <\"a\r\n b\"@x>", "t")]),
            "(1 2)"
        );
    }

    #[test]
    fn loops_and_doubles() {
        assert_eq!(
            references(&[("a@x", "<b@x>", "s"), ("b@x", "<a@x>", "t")]),
            "(2 1)"
        );
        assert_eq!(references(&[("a@x", "<a@x>", "s")]), "(1)");
        assert_eq!(
            references(&[("a@x", "", "s"), ("a@x", "", "t"), ("c@x", "<a@x>", "u")]),
            "(1 3)(2)"
        );
        // What others say of a parent gives way to what the message says.
        assert_eq!(
            references(&[
                ("x@x", "<a@x> <c@x>", "s"),
                ("a@x", "", "t"),
                ("b@x", "", "u"),
                ("c@x", "<b@x>", "v"),
            ]),
            "(2)(3 4 1)"
        );
    }

    #[test]
    fn threads_of_one_subject() {
        // A reply goes below, two first mails side by side.
        assert_eq!(
            references(&[("a@x", "", "s"), ("b@x", "", "Re: s")]),
            "(1 2)"
        );
        assert_eq!(
            references(&[("a@x", "", "Re: s"), ("b@x", "", "s")]),
            "(2 1)"
        );
        assert_eq!(
            references(&[("a@x", "", "s"), ("b@x", "", "s")]),
            "((1)(2))"
        );
        assert_eq!(
            references(&[
                ("a@x", "", "Re: s"),
                ("b@x", "", "Re: s"),
                ("c@x", "", "Re: s")
            ]),
            "((1)(2)(3))"
        );
        assert_eq!(references(&[("a@x", "", ""), ("b@x", "", "Re:")]), "(1)(2)");
        // Into what stands below an ancestor that is not there.
        assert_eq!(
            references(&[
                ("a@x", "<gone@x>", "s"),
                ("b@x", "<gone@x>", "t"),
                ("c@x", "", "s"),
                ("d@x", "<lost@x>", "Re: s"),
                ("e@x", "<lost@x>", "u"),
            ]),
            "((1)(2)(3)(4)(5))"
        );
    }

    #[test]
    fn a_chain_of_many() {
        let ids: Vec<String> = (0..20_000).map(|n| format!("{n}@x")).collect();
        let above: Vec<String> = std::iter::once(String::new())
            .chain(ids.iter().map(|id| format!("<{id}>")))
            .collect();
        let mails = ids.iter().zip(&above);
        let mails: Vec<_> = mails
            .map(|(id, above)| (&id[..], &above[..], "s"))
            .collect();
        let chain: Vec<String> = (1..=20_000).map(|n: u32| n.to_string()).collect();
        assert_eq!(references(&mails), format!("({})", chain.join(" ")));
    }
}
