//! THREAD by example, against the algorithm written down as it stands, and at its
//! worst.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::mailbox::brief;
use crate::mailbox::structure::Structure;
use crate::mailbox::types::{Flags, ItemId};

fn row(uid: u32) -> Row {
    Row {
        uid,
        item: ItemId(uid.into()),
        modseq: 1,
        flags: Flags::default(),
        internal_date: uid.into(),
        internal_zone: 0,
        size: 100,
        saved: uid.into(),
    }
}

/// Of (Message-ID, References, Subject), sent in this order, the trees.
fn shown(algorithm: ThreadAlgorithm, mails: &[(&str, &str, &str)]) -> String {
    let messages: Vec<Message> = (1..)
        .zip(mails)
        .map(|(uid, (id, references, subject))| {
            let raw = format!(
                "Message-ID: <{id}>\r\nReferences: {references}\r\nSubject: {subject}\r\n\r\n"
            );
            let row = row(uid);
            let structure = Structure::parse(raw.as_bytes());
            let brief = brief::encode(&structure, raw.as_bytes());
            Message::new(
                uid,
                &row,
                &Brief::decode(&brief).unwrap(),
                &mut ANCESTORS.clone(),
            )
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

#[test]
fn a_message_without_references_leaves_the_parent_that_others_gave_it() {
    let mails = [
        ("x@x", "<a@x> <c@x>", "s"),
        ("a@x", "", "t"),
        ("c@x", "", "u"),
    ];
    assert_eq!(references(&mails), "(2)(3 1)");
    // The same when what it says of itself would close a loop.
    let mails = [("a@x", "", "s"), ("b@x", "<a@x> <b@x>", "t")];
    assert_eq!(references(&mails), "(1)(2)");
}

#[test]
fn ancestors_beyond_the_limit_are_left_out() {
    let raw = b"Message-ID: <z@x>\r\nReferences: <a@x> <b@x> <c@x>\r\n\r\n";
    let brief = brief::encode(&Structure::parse(raw), raw);
    let brief = Brief::decode(&brief).unwrap();
    let row = row(1);
    let mut room = 5;
    let kept: Vec<usize> = (0..4)
        .map(|_| Message::new(1, &row, &brief, &mut room).references.len())
        .collect();
    assert_eq!(kept, [3, 1, 1, 1]);
    let last = Message::new(1, &row, &brief, &mut room);
    assert_eq!(last.references[..], brief.references[2..]);
    let none = brief::encode(&Structure::parse(b"\r\n"), b"\r\n");
    let none = Brief::decode(&none).unwrap();
    assert!(
        Message::new(1, &row, &none, &mut room)
            .references
            .is_empty()
    );
}

/// The algorithm as RFC 5256 §3 has it, with walks and recursion.
mod plain {
    use super::super::{Message, ThreadNode, Threads};

    struct Node {
        message: Option<usize>,
        children: Vec<Node>,
    }

    pub(super) fn threads(messages: &[Message]) -> Threads {
        let parents = link(messages);
        let mut roots = Vec::new();
        for at in 0..parents.len() {
            if parents[at].is_none() {
                roots.push(node(at, &parents, messages.len()));
            }
        }
        roots = prune(roots, true);
        let key = |node: &Node| shown(node, messages);
        for root in roots.iter_mut().filter(|root| root.message.is_none()) {
            root.children.sort_by_key(key);
        }
        roots.sort_by_key(key);
        roots = join(roots, messages);
        sort(&mut roots, messages);
        let mut threads = Threads::default();
        threads.roots = put(roots, messages, &mut threads.nodes);
        threads
    }

    fn link(messages: &[Message]) -> Vec<Option<usize>> {
        let mut ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        for at in 0..ids.len() {
            if ids[..at].contains(&ids[at]) {
                ids[at] = None;
            }
        }
        let mut parents: Vec<Option<usize>> = vec![None; ids.len()];
        fn closes(parents: &[Option<usize>], node: usize, above: usize) -> bool {
            node == above || parents[above].is_some_and(|above| closes(parents, node, above))
        }
        for (at, message) in messages.iter().enumerate() {
            let mut above = None;
            for id in &message.references {
                let known = ids.iter().position(|known| *known == Some(*id));
                let node = known.unwrap_or_else(|| {
                    ids.push(Some(*id));
                    parents.push(None);
                    ids.len() - 1
                });
                if let Some(above) = above
                    && parents[node].is_none()
                    && !closes(&parents, node, above)
                {
                    parents[node] = Some(above);
                }
                above = Some(node);
            }
            parents[at] = None;
            parents[at] = above.filter(|above| !closes(&parents, at, *above));
        }
        parents
    }

    fn node(at: usize, parents: &[Option<usize>], messages: usize) -> Node {
        let children = (0..parents.len()).filter(|child| parents[*child] == Some(at));
        Node {
            message: Some(at).filter(|at| *at < messages),
            children: children.map(|at| node(at, parents, messages)).collect(),
        }
    }

    fn prune(nodes: Vec<Node>, roots: bool) -> Vec<Node> {
        let mut kept = Vec::new();
        for mut node in nodes {
            node.children = prune(node.children, false);
            match node.message {
                None if !roots || node.children.len() < 2 => kept.append(&mut node.children),
                _ => kept.push(node),
            }
        }
        kept
    }

    /// By whose date a node is sorted; of two of one date the first.
    fn shown(node: &Node, messages: &[Message]) -> (i64, usize) {
        match node.message {
            Some(at) => (messages[at].sent, at),
            None => shown(&node.children[0], messages),
        }
    }

    fn join(roots: Vec<Node>, messages: &[Message]) -> Vec<Node> {
        let subject = |node: &Node| &messages[shown(node, messages).1].subject;
        let reply = |node: &Node| node.message.is_some_and(|at| messages[at].reply);
        let mut roots: Vec<Option<Node>> = roots.into_iter().map(Some).collect();
        let mut table: Vec<(Box<[u8]>, usize)> = Vec::new();
        for (at, root) in roots.iter().flatten().enumerate() {
            if subject(root).is_empty() {
                continue;
            }
            match table.iter_mut().find(|(of, _)| of == subject(root)) {
                None => table.push((subject(root).clone(), at)),
                Some((_, known)) => {
                    let old = roots[*known].as_ref().unwrap();
                    let better = root.message.is_none() || (reply(old) && !reply(root));
                    if old.message.is_some() && better {
                        *known = at;
                    }
                }
            }
        }
        for at in 0..roots.len() {
            let root = roots[at].take().unwrap();
            let of = subject(&root).clone();
            let known = table.iter().find(|(other, _)| *other == of);
            let Some(&(_, known)) = known.filter(|(_, known)| *known != at) else {
                roots[at] = Some(root);
                continue;
            };
            let mut old = roots[known].take().unwrap();
            if old.message.is_none() && root.message.is_none() {
                old.children.extend(root.children);
            } else if old.message.is_none() || (reply(&root) && !reply(&old)) {
                old.children.push(root);
            } else {
                old = Node {
                    message: None,
                    children: vec![old, root],
                };
            }
            roots[known] = Some(old);
        }
        roots.into_iter().flatten().collect()
    }

    fn sort(nodes: &mut [Node], messages: &[Message]) {
        for node in nodes.iter_mut() {
            sort(&mut node.children, messages);
        }
        nodes.sort_by_key(|node| shown(node, messages));
    }

    fn put(nodes: Vec<Node>, messages: &[Message], all: &mut Vec<ThreadNode>) -> Vec<usize> {
        let mut places = Vec::new();
        for node in nodes {
            let children = put(node.children, messages, all);
            places.push(all.len());
            all.push(ThreadNode {
                number: node.message.map(|at| messages[at].number),
                children,
            });
        }
        places
    }
}

fn id(number: u32) -> Identifier {
    let mut id = Identifier::default();
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn message(number: u32, id: Option<Identifier>, references: &[u32]) -> Message {
    Message {
        number,
        sent: i64::from(number),
        subject: Box::default(),
        reply: false,
        id,
        references: references.iter().map(|number| self::id(*number)).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Few identifiers, so that there are loops, doubles, gaps and second parents.
    #[test]
    fn as_the_plain_algorithm_has_it(
        mails in proptest::collection::vec(
            (
                proptest::option::weighted(0.9, 0..12_u32),
                proptest::collection::vec(0..16_u32, 0..6),
                0..4_u8,
                any::<bool>(),
                0..6_i64,
            ),
            0..14,
        )
    ) {
        let messages: Vec<Message> = (1..)
            .zip(&mails)
            .map(|(number, (id, references, subject, reply, sent))| Message {
                sent: *sent,
                subject: match subject {
                    0 => Box::default(),
                    other => Box::new([*other]),
                },
                reply: *reply,
                ..message(number, id.map(self::id), references)
            })
            .collect();
        let found = threads(ThreadAlgorithm::References, &messages);
        prop_assert_eq!(text(&found), text(&plain::threads(&messages)));
    }
}

/// Steps and moves of messages that are threaded, and how many references there are.
fn cost(messages: &[Message]) -> (u64, usize, usize) {
    let mut forest = Forest::new(messages);
    forest.thread();
    let references = messages.iter().map(|message| message.references.len());
    (
        forest.ancestry.steps,
        forest.moved,
        messages.len() + references.sum::<usize>(),
    )
}

/// No more than a few logarithms for each message and reference.
fn is_cheap(messages: &[Message]) {
    let (steps, moved, input) = cost(messages);
    let logarithm = u64::from(input.ilog2());
    assert!(
        steps <= 24 * logarithm * input as u64,
        "{steps} steps for {input}"
    );
    assert!(moved <= input * logarithm as usize, "{moved} of {input}");
}

const MANY: u32 = 100_000;

#[test]
fn a_hundred_thousand_in_a_chain_or_a_star() {
    // From the first to the last, backwards, and all below one.
    is_cheap(&Vec::from_iter(
        (1..=MANY).map(|n| message(n, Some(id(n)), &[n - 1])),
    ));
    is_cheap(&Vec::from_iter(
        (1..=MANY).map(|n| message(n, Some(id(n)), &[n + 1])),
    ));
    is_cheap(&Vec::from_iter(
        (1..=MANY).map(|n| message(n, Some(id(n)), &[0])),
    ));
    // What nobody has: pairs that make a chain, the first link of it last.
    is_cheap(&Vec::from_iter(
        (1..=MANY).map(|n| message(n, None, &[MANY - n, MANY - n + 1])),
    ));
}

#[test]
fn a_chain_that_is_asked_for_its_end_again_and_again_costs_no_square() {
    let half = MANY / 2;
    // A chain of messages that are not there, then many that want its root below
    // its end, which would close a loop.
    let chain = (1..=half).map(|n| message(n, None, &[n, n + 1]));
    let loops = (half + 1..=MANY).map(|n| message(n, None, &[half + 1, 1]));
    is_cheap(&Vec::from_iter(chain.chain(loops)));
    // Messages that are their own last ancestors' ancestors, so that each is taken
    // from its parent and put nowhere.
    let chain = (1..=half).map(|n| message(n, None, &[n, n + 1]));
    let cut = (1..=half).map(|n| message(half + n, Some(id(n)), &[half + 1]));
    is_cheap(&Vec::from_iter(chain.chain(cut)));
    // Chains that become longer at the top, each asked for at its end.
    let grow = (1..=half).flat_map(|n| {
        let (above, below) = (2 * half - n, 2 * half - n + 1);
        [
            message(2 * n - 1, None, &[above, below]),
            message(2 * n, None, &[2 * half, above]),
        ]
    });
    is_cheap(&Vec::from_iter(grow));
    // Many messages at the end of a chain of dummies: they move up all of it.
    let chain = (1..=half).map(|n| message(n, None, &[n, n + 1]));
    let end = (half + 1..=MANY).map(|n| message(n, None, &[half + 1]));
    is_cheap(&Vec::from_iter(chain.chain(end)));
}
