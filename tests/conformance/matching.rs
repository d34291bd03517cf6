//! Whether a response is the one a script speaks of, and what its variables
//! are from then on.

use std::collections::HashMap;

use super::args::Arg;

/// What a script knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    values: HashMap<String, Vec<u8>>,
    /// Where the messages are now that had the numbers 1, 2 … when the
    /// command was sent; 0 is gone.
    numbers: Vec<u32>,
    /// The last `$modseqN`: N and its value.
    modseq: (u64, u64),
}

impl Variables {
    /// Sets one.
    pub(super) fn set(&mut self, name: &str, value: &[u8]) {
        self.values.insert(name.to_owned(), value.to_vec());
    }

    /// Takes one away.
    pub(super) fn unset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// A command is sent while the client knows this many messages.
    pub(super) fn count(&mut self, messages: u32) {
        self.numbers = (1..=messages).collect();
    }

    /// A message is gone.
    pub(super) fn expunged(&mut self, number: u32) {
        for at in &mut self.numbers {
            match (*at).cmp(&number) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => *at = 0,
                std::cmp::Ordering::Greater => *at -= 1,
            }
        }
    }

    fn number(&self, name: &str) -> Option<Vec<u8>> {
        let number: usize = name.parse().ok()?;
        let now = number.checked_sub(1).and_then(|at| self.numbers.get(at));
        Some(match now {
            None | Some(0) => b"gone".to_vec(),
            Some(now) => now.to_string().into_bytes(),
        })
    }

    /// A command with the values of its variables.
    pub(super) fn expand(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|&b| b == b'$') {
            all.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(b"$") {
                all.push(b'$');
                rest = behind;
                continue;
            }
            let (name, behind) = name(rest);
            let value = match self.number(&name) {
                Some(number) => number,
                None => self
                    .values
                    .get(&name)
                    .cloned()
                    .ok_or_else(|| format!("${name} has no value"))?,
            };
            all.extend(value);
            rest = behind;
        }
        all.extend_from_slice(rest);
        Ok(all)
    }

    /// Whether a response fits; its last argument may say more where `prefix`
    /// says so. Only then variables get values.
    pub(super) fn fits(&mut self, wanted: &[Arg], got: &[Arg], prefix: bool) -> bool {
        let mut trial = self.clone();
        let fits = trial.args(wanted, got, prefix);
        if fits {
            *self = trial;
        }
        fits
    }

    fn args(&mut self, wanted: &[Arg], got: &[Arg], prefix: bool) -> bool {
        let mut got = got.iter();
        for (at, arg) in wanted.iter().enumerate() {
            let Some(next) = got.next() else { return false };
            let fits = match (arg, next) {
                (Arg::Nil, next) => *next == Arg::Nil,
                (Arg::List(wanted), Arg::List(list)) => self.list(wanted, list),
                (Arg::List(_), _) => false,
                (Arg::Atom(text) | Arg::Text(text), next) if text == b"$]" => {
                    let mut next = Some(next);
                    while next.and_then(Arg::text).is_some_and(|t| !t.contains(&b']')) {
                        next = got.next();
                    }
                    next.is_some()
                }
                (Arg::Atom(text) | Arg::Text(text), Arg::List(_)) => text == b"$",
                (Arg::Atom(text) | Arg::Text(text), next) => match next.text() {
                    Some(said) => self.text(text, said, prefix && at + 1 == wanted.len()),
                    None => false,
                },
            };
            if !fits {
                return false;
            }
        }
        prefix || got.next().is_none()
    }

    /// A text with variables; those without a value get what is there up to
    /// the byte that follows them in the script.
    fn text(&mut self, wanted: &[u8], said: &[u8], prefix: bool) -> bool {
        let (mut wanted, mut said) = (wanted, said);
        while let Some((&byte, behind)) = wanted.split_first() {
            let plain = behind.first() == Some(&b'$') || byte != b'$' || behind.is_empty();
            if plain && (byte != b'$' || !behind.is_empty()) {
                wanted = if byte == b'$' { &behind[1..] } else { behind };
                match said.split_first() {
                    Some((first, rest)) if first.eq_ignore_ascii_case(&byte) => said = rest,
                    _ => return false,
                }
                continue;
            }
            let (name, behind) = name(behind);
            wanted = behind;
            let known = match name.strip_prefix("case:") {
                Some(exact) => Some(exact.as_bytes().to_vec()),
                None => self
                    .number(&name)
                    .or_else(|| self.values.get(&name).cloned()),
            };
            let value = match known {
                Some(value) => value,
                None => {
                    let end = wanted
                        .first()
                        .and_then(|stop| said.iter().position(|b| b.eq_ignore_ascii_case(stop)));
                    let value = said[..end.unwrap_or(said.len())].to_vec();
                    if !self.learn(&name, &value) {
                        return false;
                    }
                    value
                }
            };
            match said.strip_prefix(value.as_slice()) {
                Some(rest) => said = rest,
                None => return false,
            }
        }
        prefix || said.is_empty()
    }

    /// `$modseq5` is at least three above `$modseq2`.
    fn learn(&mut self, name: &str, value: &[u8]) -> bool {
        if name.is_empty() {
            return true;
        }
        let number = name.strip_prefix("modseq").and_then(|n| n.parse().ok());
        if let Some(number) = number {
            let text = std::str::from_utf8(value).unwrap_or_default();
            let Ok(modseq) = text.parse::<u64>() else {
                return false;
            };
            let (before, least) = self.modseq;
            if number < before || modseq < least + (number - before) {
                return false;
            }
            self.modseq = (number, modseq);
        }
        self.set(name, value);
        true
    }

    fn list(&mut self, wanted: &[Arg], got: &[Arg]) -> bool {
        let mut chain = None;
        let mut extra = None;
        let (mut ignored, mut banned) = (Vec::new(), Vec::new());
        let mut wanted = wanted;
        while let Some((Arg::Atom(text), rest)) = wanted.split_first() {
            let text = String::from_utf8_lossy(text);
            let Some(directive) = text.strip_prefix("$!") else {
                break;
            };
            match directive.split_once('=').unwrap_or((directive, "")) {
                ("unordered", "") => chain = Some(1),
                ("unordered", n) => chain = Some(n.parse().unwrap_or(1)),
                ("ordered", _) => chain = None,
                ("extra", _) => extra = Some(true),
                ("noextra", _) => extra = Some(false),
                ("ignore", what) => ignored.push(what.as_bytes().to_vec()),
                ("ban", what) => banned.push(what.as_bytes().to_vec()),
                (other, _) => panic!("directive {other}"),
            }
            wanted = rest;
        }
        let Some(chain) = chain else {
            return self.args(wanted, got, false);
        };
        if !got.len().is_multiple_of(chain) || !wanted.len().is_multiple_of(chain) {
            return false;
        }
        let mut matched = vec![false; got.len() / chain];
        for wanted in wanted.chunks(chain) {
            let found = got
                .chunks(chain)
                .position(|got| self.fits(wanted, got, false));
            match found {
                Some(at) => matched[at] = true,
                None => return false,
            }
        }
        let others = got.chunks(chain).zip(&matched).filter(|(_, m)| !**m);
        let among = |names: &[Vec<u8>], arg: &Arg| {
            arg.text()
                .is_some_and(|text| names.iter().any(|name| name.eq_ignore_ascii_case(text)))
        };
        let mut others = others.filter_map(|(chunk, _)| chunk.first());
        if extra == Some(false) {
            others.all(|arg| arg.text().is_none() || among(&ignored, arg))
        } else {
            !others.any(|arg| among(&banned, arg))
        }
    }
}

/// The name of a variable behind `$`, and what follows.
fn name(text: &[u8]) -> (String, &[u8]) {
    if let Some(rest) = text.strip_prefix(b"{")
        && let Some(end) = rest.iter().position(|&b| b == b'}')
    {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        return (name, &rest[end + 1..]);
    }
    let end = text
        .iter()
        .position(|b| !b.is_ascii_alphanumeric() && *b != b'_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (String::from_utf8_lossy(name).into_owned(), rest)
}

/// Puts in what holds for lists where a script says nothing: attributes of
/// LIST in any order, items of FETCH and STATUS in any order, flags in any
/// order but no others.
pub(super) fn defaults(args: &mut [Arg]) {
    let number = |arg: &Arg| {
        arg.text()
            .and_then(|t| t.first())
            .is_some_and(|b| *b == b'$' || b.is_ascii_digit())
    };
    let word = usize::from(args.first().is_some_and(number));
    let name = args.get(word).and_then(Arg::atom).unwrap_or_default();
    let (at, directives): (usize, &[&str]) = match name.as_str() {
        "list" | "lsub" => (1, &["$!unordered"]),
        "status" | "fetch" => (2, &["$!unordered=2"]),
        _ => return,
    };
    let Some(Arg::List(list)) = args.get_mut(at) else {
        return;
    };
    if name == "fetch" {
        for at in 1..list.len() {
            let of_flags = list[at - 1].atom().is_some_and(|a| a == "flags");
            if let (true, Arg::List(flags)) = (of_flags, &mut list[at]) {
                let ignore = [
                    "$!ignore=\\recent",
                    "$!ignore=$HasAttachment",
                    "$!ignore=$HasNoAttachment",
                ];
                put(flags, &["$!unordered", "$!noextra"]);
                if flags.get(1) == Some(&Arg::Atom(b"$!noextra".to_vec())) {
                    for (n, word) in ignore.iter().enumerate() {
                        flags.insert(2 + n, Arg::Atom(word.as_bytes().to_vec()));
                    }
                }
            }
        }
    }
    put(list, directives);
}

fn put(list: &mut Vec<Arg>, directives: &[&str]) {
    let has = list
        .first()
        .and_then(Arg::text)
        .is_some_and(|t| t.starts_with(b"$!"));
    if !has {
        let words = directives.iter().map(|d| Arg::Atom(d.as_bytes().to_vec()));
        list.splice(0..0, words);
    }
}
