//! SORT and THREAD ([RFC 5256](https://www.rfc-editor.org/rfc/rfc5256)) with
//! the sort keys of names ([RFC 5957](https://www.rfc-editor.org/rfc/rfc5957)).

use bytes::BytesMut;
use nom::Parser;
use nom::bytes::complete::tag_no_case;
use nom::combinator::map;
use nom::multi::many0_count;
use nom::sequence::{preceded, terminated};

use super::esearch;
use crate::imap::command::{Command, FetchAttribute, SearchKey, SearchReturn};
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect, expected};
use crate::imap::parse::search;
use crate::imap::parse::values::{list1, sp, word};

/// SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Whether UIDs are to be returned.
    pub uid: bool,
    /// RETURN options ([RFC 5267 §3](https://www.rfc-editor.org/rfc/rfc5267#section-3));
    /// `None` when RETURN was not given.
    pub returns: Option<SearchReturn>,
    /// What of new messages among the results is told, with UPDATE (RFC 5465 §7).
    pub update_items: Vec<FetchAttribute>,
    /// By what; the first decides, the next among equals. Messages that are
    /// equal in all of them stand by their sequence numbers.
    pub criteria: Vec<SortCriterion>,
    /// Which messages, as in SEARCH.
    pub keys: Vec<SearchKey>,
}

/// `sort-criterion`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// REVERSE
    pub reverse: bool,
    /// What is compared.
    pub by: SortBy,
}

/// `sort-key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// Internal date and time.
    Arrival,
    /// Local part of the first Cc address.
    Cc,
    /// Date and time in the Date field, else the internal ones.
    Date,
    /// Local part of the first From address.
    From,
    /// Size in bytes.
    Size,
    /// Base subject (RFC 5256 §2.1).
    Subject,
    /// Local part of the first To address.
    To,
    /// Display name of the first From address, else the address (RFC 5957).
    DisplayFrom,
    /// Display name of the first To address, else the address (RFC 5957).
    DisplayTo,
    /// How well it answers FUZZY, the best first
    /// ([RFC 6203 §6](https://www.rfc-editor.org/rfc/rfc6203#section-6)).
    Relevancy,
}

impl SortBy {
    /// All of them with their names.
    pub const NAMES: [(SortBy, &str); 10] = [
        (SortBy::Arrival, "ARRIVAL"),
        (SortBy::Cc, "CC"),
        (SortBy::Date, "DATE"),
        (SortBy::From, "FROM"),
        (SortBy::Size, "SIZE"),
        (SortBy::Subject, "SUBJECT"),
        (SortBy::To, "TO"),
        (SortBy::DisplayFrom, "DISPLAYFROM"),
        (SortBy::DisplayTo, "DISPLAYTO"),
        (SortBy::Relevancy, "RELEVANCY"),
    ];

    /// Its name in commands.
    pub fn as_str(self) -> &'static str {
        let known = SortBy::NAMES.iter().find(|(by, _)| *by == self);
        known.map_or("ARRIVAL", |(_, name)| name)
    }
}

/// THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Whether UIDs are to be returned.
    pub uid: bool,
    /// By what messages belong together.
    pub algorithm: ThreadAlgorithm,
    /// Which messages, as in SEARCH.
    pub keys: Vec<SearchKey>,
}

/// `thread-alg`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// The same base subject.
    OrderedSubject,
    /// The fields References, In-Reply-To and Subject.
    References,
}

impl ThreadAlgorithm {
    /// Its name in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            ThreadAlgorithm::OrderedSubject => "ORDEREDSUBJECT",
            ThreadAlgorithm::References => "REFERENCES",
        }
    }
}

/// Trees of messages: what THREAD answers. Trees may be as deep as there are
/// messages, so they are nodes of one list, and nothing here recurses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Threads {
    /// All nodes.
    pub nodes: Vec<ThreadNode>,
    /// Which of them are no other's child, in their order.
    pub roots: Vec<usize>,
}

/// A message in a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadNode {
    /// Its sequence number or UID; `None` for a message that is not there, whose
    /// children are siblings. The grammar knows such only as a root.
    pub number: Option<u32>,
    /// Indexes of its children, in their order.
    pub children: Vec<usize>,
}

impl Threads {
    /// ```text
    /// thread-data    = "THREAD" [SP 1*thread-list]
    /// thread-list    = "(" (thread-members / thread-nested) ")"
    /// thread-members = nz-number *(SP nz-number) [SP thread-nested]
    /// thread-nested  = 2*thread-list
    /// ```
    pub(crate) fn write(&self, out: &mut BytesMut) {
        enum Step {
            List(usize),
            Members(usize),
            End,
        }
        out.extend_from_slice(b"* THREAD");
        if !self.roots.is_empty() {
            out.extend_from_slice(b" ");
        }
        let mut steps: Vec<Step> = self.roots.iter().rev().map(|&at| Step::List(at)).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::List(at) => {
                    out.extend_from_slice(b"(");
                    steps.push(Step::End);
                    steps.push(Step::Members(at));
                }
                Step::Members(at) => {
                    let Some(node) = self.nodes.get(at) else {
                        continue;
                    };
                    if let Some(number) = node.number {
                        out.extend_from_slice(number.to_string().as_bytes());
                        if !node.children.is_empty() {
                            out.extend_from_slice(b" ");
                        }
                    }
                    match node.children[..] {
                        [only] => steps.push(Step::Members(only)),
                        ref several => steps.extend(several.iter().rev().map(|&at| Step::List(at))),
                    }
                }
                Step::End => out.extend_from_slice(b")"),
            }
        }
    }
}

/// ```text
/// sort          = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria
/// sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"
/// ```
pub(crate) fn sort<'a>(grammar: &Grammar, uid: bool, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, (returns, update_items)) = esearch::returns(input)?;
    let (rest, criteria) = preceded(sp, |i| list1(criterion)(i)).parse(rest)?;
    let (rest, keys) = search::criteria(grammar, rest)?;
    let sorted = |criterion: &SortCriterion| criterion.by == SortBy::Relevancy;
    esearch::check_relevancy(input, returns, criteria.iter().any(sorted), &keys)?;
    let sort = Sort {
        uid,
        returns,
        update_items,
        criteria,
        keys,
    };
    Ok((rest, Command::Sort(sort)))
}

/// `sort-criterion = ["REVERSE" SP] sort-key`
///
/// Clients are met that write REVERSE several times; it means the same.
fn criterion(input: &[u8]) -> Parsed<'_, SortCriterion> {
    let (rest, reverse) = many0_count(terminated(tag_no_case("REVERSE"), sp)).parse(input)?;
    let (end, name) = expect("a sort key", word).parse(rest)?;
    let known = SortBy::NAMES.iter().find(|(_, known)| *known == name);
    let &(by, _) = known.ok_or_else(|| expected(rest, "a sort key"))?;
    let reverse = reverse > 0;
    Ok((end, SortCriterion { reverse, by }))
}

/// `thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria`
pub(crate) fn thread<'a>(grammar: &Grammar, uid: bool, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, algorithm) = preceded(sp, thread_algorithm).parse(input)?;
    map(
        |i| search::criteria(grammar, i),
        |keys| {
            Command::Thread(Thread {
                uid,
                algorithm,
                keys,
            })
        },
    )
    .parse(rest)
}

fn thread_algorithm(input: &[u8]) -> Parsed<'_, ThreadAlgorithm> {
    let (rest, name) = expect("a threading algorithm", word).parse(input)?;
    match name.as_str() {
        "ORDEREDSUBJECT" => Ok((rest, ThreadAlgorithm::OrderedSubject)),
        "REFERENCES" => Ok((rest, ThreadAlgorithm::References)),
        _ => Err(expected(input, "ORDEREDSUBJECT or REFERENCES")),
    }
}
