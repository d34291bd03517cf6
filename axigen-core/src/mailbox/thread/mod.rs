//! THREAD: messages that belong together.
//! [RFC 5256 §3](https://www.rfc-editor.org/rfc/rfc5256#section-3)
//!
//! Threads may be as deep as there are messages: nothing here recurses. Nor does
//! anything cost more than a logarithm for each reference, whatever the messages
//! refer to: their senders choose that. Identifiers are hashed with a key of each
//! command's own, so that nobody can choose which of them collide.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axigen_proto::imap::extensions::sort::{ThreadAlgorithm, ThreadNode, Threads};

use super::brief::{Brief, Identifier};
use super::types::Row;

mod ancestry;

use ancestry::Ancestry;

/// Most identifiers of ancestors that are looked at in one THREAD. Of messages
/// beyond that the nearest ancestor alone counts, so that a mailbox full of long
/// References takes no more memory than a few hundred bytes for each of these.
pub const ANCESTORS: usize = 1_000_000;

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
    /// What threading looks at. `room` is how many identifiers of ancestors may
    /// still be kept, at first [`ANCESTORS`].
    pub fn new(number: u32, row: &Row, brief: &Brief<'_>, room: &mut usize) -> Message {
        let kept = match brief.references.len() <= *room {
            true => brief.references.len(),
            false => 1,
        };
        *room = room.saturating_sub(kept);
        let (_, nearest) = brief.references.split_at(brief.references.len() - kept);
        Message {
            number,
            sent: brief.sent(row),
            subject: brief.subject.into(),
            reply: brief.reply,
            id: brief.id.copied(),
            references: nearest.into(),
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
    /// The same, to be asked for roots.
    ancestry: Ancestry,
    /// Those that something was put below.
    is_parent: Vec<bool>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
    /// Children that were moved to another list.
    #[cfg(test)]
    moved: usize,
}

fn by_references(messages: &[Message]) -> Threads {
    let mut forest = Forest::new(messages);
    forest.thread();
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
    fn new(messages: &'m [Message]) -> Forest<'m> {
        Forest {
            messages,
            parent: vec![None; messages.len()],
            ancestry: Ancestry::new(messages.len()),
            is_parent: vec![false; messages.len()],
            children: Vec::new(),
            roots: Vec::new(),
            #[cfg(test)]
            moved: 0,
        }
    }

    fn message(&self, node: usize) -> Option<&'m Message> {
        self.messages.get(node)
    }

    fn is_dummy(&self, node: usize) -> bool {
        node >= self.messages.len()
    }

    fn new_node(&mut self) -> usize {
        self.parent.push(None);
        self.ancestry.add();
        self.is_parent.push(false);
        self.parent.len() - 1
    }

    fn parent(&self, node: usize) -> Option<usize> {
        self.parent.get(node).copied().flatten()
    }

    /// Puts one that has no parent below another.
    fn set_parent(&mut self, node: usize, parent: usize) {
        if let Some(place) = self.parent.get_mut(node) {
            *place = Some(parent);
            self.ancestry.link(node, parent);
            if let Some(is_parent) = self.is_parent.get_mut(parent) {
                *is_parent = true;
            }
        }
    }

    fn leave_parent(&mut self, node: usize) {
        if let Some(place) = self.parent.get_mut(node)
            && place.take().is_some()
        {
            self.ancestry.cut(node);
        }
    }

    fn children(&self, node: usize) -> &[usize] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether one that has no parent is above another, or is it.
    fn is_above(&mut self, root: usize, other: usize) -> bool {
        // What nothing was put below is above nothing: most need not be asked for.
        root == other
            || (self.is_parent.get(root) == Some(&true) && self.ancestry.root(other) == root)
    }

    /// The steps of RFC 5256 §3.
    fn thread(&mut self) {
        self.link();
        self.gather();
        self.prune();
        self.sort_roots();
        self.join_subjects();
        self.sort_all();
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
            // Its own references tell of its parent better than those of others do,
            // also where there are none.
            self.leave_parent(at);
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
                    true => {
                        let mut below = std::mem::take(&mut self.children[child]);
                        // Their order is that of a later step, so the shorter list goes
                        // to the longer: many messages below a long chain of dummies do
                        // not all move at each of them.
                        if below.len() > kept.len() {
                            std::mem::swap(&mut below, &mut kept);
                        }
                        #[cfg(test)]
                        {
                            self.moved += below.len();
                        }
                        kept.append(&mut below);
                    }
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
mod tests;
