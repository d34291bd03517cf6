//! What a server says, taken apart as a client does it.

use std::collections::{BTreeMap, BTreeSet};

/// A word, a string, a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arg {
    Word(String),
    Text(Vec<u8>),
    List(Vec<Arg>),
}

impl Arg {
    pub(super) fn word(&self) -> &str {
        match self {
            Arg::Word(word) => word,
            other => panic!("{other:?} is no word"),
        }
    }

    pub(super) fn list(&self) -> &[Arg] {
        match self {
            Arg::List(list) => list,
            other => panic!("{other:?} is no list"),
        }
    }

    pub(super) fn number<N: std::str::FromStr<Err: std::fmt::Debug>>(&self) -> N {
        self.word()
            .parse()
            .unwrap_or_else(|e| panic!("{self:?}: {e:?}"))
    }
}

/// Takes a response apart, its literals included.
pub(super) fn args(mut bytes: &[u8]) -> Vec<Arg> {
    let args = list(&mut bytes);
    assert!(
        bytes.is_empty(),
        "behind the end: {:?}",
        String::from_utf8_lossy(bytes)
    );
    args
}

fn list(rest: &mut &[u8]) -> Vec<Arg> {
    let mut out = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b' ' | b'\r' | b'\n' => *rest = after,
            b'(' => {
                *rest = after;
                out.push(Arg::List(list(rest)));
                assert_eq!(rest.first(), Some(&b')'), "a list without an end");
                *rest = &rest[1..];
            }
            b')' => return out,
            b'"' => {
                *rest = after;
                out.push(Arg::Text(quoted(rest)));
            }
            b'{' => {
                let end = rest.iter().position(|&b| b == b'\n').expect("a literal");
                let digits = rest[1..end].split(|b| !b.is_ascii_digit()).next();
                let digits = std::str::from_utf8(digits.unwrap()).unwrap();
                let (text, behind) = rest[end + 1..].split_at(digits.parse().unwrap());
                out.push(Arg::Text(text.to_vec()));
                *rest = behind;
            }
            _ => {
                let end = rest.iter().position(|b| b" ()\r\n".contains(b));
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                out.push(Arg::Word(String::from_utf8_lossy(word).into_owned()));
                *rest = behind;
            }
        }
    }
    out
}

fn quoted(rest: &mut &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    loop {
        let (&byte, after) = rest.split_first().expect("an end of the string");
        *rest = after;
        match byte {
            b'"' => return text,
            b'\\' => {
                text.push(rest[0]);
                *rest = &rest[1..];
            }
            _ => text.push(byte),
        }
    }
}

/// The numbers of a set, in its order.
pub(super) fn numbers(set: &str) -> Vec<u32> {
    let ranges = set.split(',').filter(|range| !range.is_empty());
    ranges
        .flat_map(|range| {
            let (low, high) = range.split_once(':').unwrap_or((range, range));
            low.parse::<u32>().unwrap()..=high.parse().unwrap()
        })
        .collect()
}

/// The items of a FETCH response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fetched {
    pub(super) uid: Option<u32>,
    pub(super) flags: Option<BTreeSet<String>>,
    pub(super) modseq: Option<u64>,
    pub(super) size: Option<usize>,
    pub(super) text: Option<Vec<u8>>,
}

/// An untagged response.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Untagged {
    Exists(u32),
    Recent(u32),
    Expunge(u32),
    Vanished {
        earlier: bool,
        uids: Vec<u32>,
    },
    Fetch(u32, Fetched),
    Flags(BTreeSet<String>),
    /// Numbers, and the highest modification number of them.
    Found(Vec<u32>, Option<u64>),
    Status(String, BTreeMap<String, u64>),
    /// A response code: its name and what follows.
    Code(String, String),
    Other(String),
}

/// An untagged response, without its star.
pub(super) fn untagged(line: &[u8]) -> Untagged {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    if ["OK ", "NO ", "BAD ", "BYE "]
        .iter()
        .any(|kind| text.starts_with(kind))
    {
        return match code(&text) {
            Some((name, value)) => Untagged::Code(name, value),
            None => Untagged::Other(text),
        };
    }
    let args = args(line);
    let word = |at: usize| match args.get(at) {
        Some(Arg::Word(word)) => word.as_str(),
        _ => "",
    };
    if let Ok(number) = word(0).parse() {
        return match word(1) {
            "EXISTS" => Untagged::Exists(number),
            "RECENT" => Untagged::Recent(number),
            "EXPUNGE" => Untagged::Expunge(number),
            "FETCH" => Untagged::Fetch(number, fetched(args[2].list())),
            _ => Untagged::Other(text),
        };
    }
    match word(0) {
        "FLAGS" => Untagged::Flags(words(args[1].list())),
        "VANISHED" => {
            let earlier = matches!(args.get(1), Some(Arg::List(_)));
            let uids = match args.get(1 + usize::from(earlier)) {
                Some(set) => numbers(set.word()),
                None => Vec::new(),
            };
            Untagged::Vanished { earlier, uids }
        }
        "SEARCH" => {
            let found = args[1..]
                .iter()
                .take_while(|arg| matches!(arg, Arg::Word(_)));
            let highest = match args.last() {
                Some(Arg::List(list)) => Some(list[1].number()),
                _ => None,
            };
            Untagged::Found(found.map(Arg::number).collect(), highest)
        }
        "ESEARCH" => {
            let mut found = Vec::new();
            let mut highest = None;
            for pair in args.windows(2) {
                match &pair[0] {
                    Arg::Word(name) if name == "ALL" => found = numbers(pair[1].word()),
                    Arg::Word(name) if name == "MODSEQ" => highest = Some(pair[1].number()),
                    _ => {}
                }
            }
            Untagged::Found(found, highest)
        }
        "STATUS" => {
            let pairs = args[2].list().chunks(2);
            let items = pairs.map(|pair| (pair[0].word().to_owned(), pair[1].number()));
            Untagged::Status(word(1).to_owned(), items.collect())
        }
        _ => Untagged::Other(text),
    }
}

fn words(list: &[Arg]) -> BTreeSet<String> {
    list.iter().map(|arg| arg.word().to_owned()).collect()
}

fn fetched(list: &[Arg]) -> Fetched {
    let mut out = Fetched::default();
    for pair in list.chunks(2) {
        match pair[0].word() {
            "UID" => out.uid = Some(pair[1].number()),
            "FLAGS" => out.flags = Some(words(pair[1].list())),
            "MODSEQ" => out.modseq = Some(pair[1].list()[0].number()),
            "RFC822.SIZE" => out.size = Some(pair[1].number()),
            "BODY[]" => match &pair[1] {
                Arg::Text(text) => out.text = Some(text.clone()),
                other => panic!("a body of {other:?}"),
            },
            other => panic!("{other} was not asked for"),
        }
    }
    out
}

/// The code of a status response: name and value.
pub(super) fn code(text: &str) -> Option<(String, String)> {
    let inner = text.split_once(" [")?.1.split_once(']')?.0;
    let (name, value) = inner.split_once(' ').unwrap_or((inner, ""));
    Some((name.to_owned(), value.to_owned()))
}
