//! Asking an index which messages can match.

use std::cell::{Cell, RefCell};

use axigen_store::AccountId;
use memchr::memmem::Finder;
use tantivy::DocId;
use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;

use super::shard::{Fault, Form, Segment, View, always, documents_of, head};
use super::words::{Word, is_cut_up, threes, words};
use crate::mailbox::MailboxId;
use crate::mailbox::search::{Part, Wanted};

/// Lines of the dictionary that one search reads at most; beyond it, it is not
/// narrowed.
const LINES: u64 = 20_000_000;
/// Words of the dictionary that contain one string, at most.
const MATCHES: usize = 50_000;
/// With so few candidates the rest of a string is not asked for: looking at the
/// messages is cheaper.
const FEW: usize = 16;
/// The shortest string looked for inside words, in characters.
const SHORTEST: usize = 3;
/// Runs of three characters of one word that are asked for.
const THREES: usize = 64;

/// Behind every text: no UTF-8 has such a byte.
const BEHIND: &[u8] = &[0xff];

/// Documents, ascending.
type Documents = Vec<DocId>;

/// What an index says of a search: UIDs of a mailbox, ascending.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// All messages the index knows that match are among these.
    pub(super) candidates: Vec<u32>,
    /// Of some of the texts that are wanted: messages that have them.
    pub(super) sure: Vec<(Wanted, Vec<u32>)>,
}

/// Asks an index; `None` if it cannot be said.
pub(super) fn narrow(
    view: &View,
    account: AccountId,
    mailbox: MailboxId,
    wanted: &Wanted,
) -> Result<Option<Said>, Fault> {
    let lines = Cell::new(LINES);
    let mut said = Said::default();
    for segment in &view.segments {
        let ask = Ask {
            segment,
            account,
            lines: &lines,
            sure: RefCell::default(),
        };
        let Some(found) = ask.tree(wanted)? else {
            return Ok(None);
        };
        let unknown = ask.of_term(&always(account))?;
        let uids = |documents: Documents| {
            let places = documents.into_iter();
            let places = places.filter_map(|document| segment.place(document));
            places.filter(|(of, _)| *of == mailbox).map(|(_, uid)| uid)
        };
        said.candidates.extend(uids(either(found, unknown)));
        for (of, documents) in ask.sure.take() {
            let known = said.sure.iter_mut().find(|(known, _)| *known == of);
            match known {
                Some((_, known)) => known.extend(uids(documents)),
                None => said.sure.push((of, uids(documents).collect())),
            }
        }
    }
    let lists = said.sure.iter_mut().map(|(_, uids)| uids);
    for list in lists.chain([&mut said.candidates]) {
        list.sort_unstable();
        list.dedup();
    }
    Ok(Some(said))
}

/// One search in one segment.
struct Ask<'a> {
    segment: &'a Segment,
    account: AccountId,
    lines: &'a Cell<u64>,
    /// Of texts of which the words themselves tell who has them: who does.
    sure: RefCell<Vec<(Wanted, Documents)>>,
}

impl Ask<'_> {
    fn tree(&self, wanted: &Wanted) -> Result<Option<Documents>, Fault> {
        match wanted {
            Wanted::Anything => Ok(None),
            Wanted::Text(parts, text) => match inside_a_word(text) {
                Some(word) => self.inside(parts, word),
                None => self.text(parts, text),
            },
            Wanted::All(all) => {
                let mut found: Option<Documents> = None;
                for wanted in all {
                    if found.as_ref().is_some_and(Vec::is_empty) {
                        break;
                    }
                    if let Some(documents) = self.tree(wanted)? {
                        found = Some(both_if(found, documents));
                    }
                }
                Ok(found)
            }
            Wanted::Either(a, b) => {
                let Some(a) = self.tree(a)? else {
                    return Ok(None);
                };
                Ok(self.tree(b)?.map(|b| either(a, b)))
            }
        }
    }

    fn text(&self, parts: &[Part], text: &str) -> Result<Option<Documents>, Fault> {
        let mut found = Vec::new();
        for &part in parts {
            match self.in_part(part, text)? {
                Some(documents) => found = either(found, documents),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// As [`text`](Ask::text), for a string that can only be inside a word.
    /// Whoever has a word of the dictionary that it is in has the string.
    fn inside(&self, parts: &[Part], word: Word<'_>) -> Result<Option<Documents>, Fault> {
        let (mut sure, mut perhaps) = (Vec::new(), Vec::new());
        for &part in parts {
            let Some(documents) = self.of_dictionary(part, word)? else {
                return Ok(None);
            };
            sure = either(sure, documents);
            perhaps = either(perhaps, self.of_threes(part, word.text)?);
        }
        let wanted = Wanted::Text(parts.to_vec(), word.text.to_owned());
        self.sure.borrow_mut().push((wanted, sure.clone()));
        Ok(Some(either(sure, perhaps)))
    }

    fn in_part(&self, part: Part, text: &str) -> Result<Option<Documents>, Fault> {
        let mut found: Option<Documents> = None;
        // Whole words are looked up; only then the dictionary is searched.
        for whole in [true, false] {
            for word in words(text).filter(|word| word.is_whole() == whole) {
                if found.as_ref().is_some_and(|found| found.len() <= FEW) {
                    return Ok(found);
                }
                if let Some(documents) = self.word(part, word)? {
                    found = Some(both_if(found, documents));
                }
            }
        }
        Ok(found)
    }

    fn word(&self, part: Part, word: Word<'_>) -> Result<Option<Documents>, Fault> {
        let cut_up = is_cut_up(word.text);
        if word.is_whole() {
            if cut_up {
                return self.of_threes(part, word.text).map(Some);
            }
            let mut term = head(self.account, part, Form::Plain);
            term.extend_from_slice(word.text.as_bytes());
            return self.of_term(&term).map(Some);
        }
        if word.text.chars().take(SHORTEST).count() < SHORTEST {
            return Ok(None);
        }
        let inside_cut_up = self.of_threes(part, word.text)?;
        if cut_up {
            return Ok(Some(inside_cut_up));
        }
        let inside_plain = self.of_dictionary(part, word)?;
        Ok(inside_plain.map(|plain| either(plain, inside_cut_up)))
    }

    fn info(&self, term: &[u8]) -> Result<Option<TermInfo>, Fault> {
        let line = self.lines.get().saturating_sub(1);
        self.lines.set(line);
        Ok(self.segment.words.terms().get(term)?)
    }

    fn of_term(&self, term: &[u8]) -> Result<Documents, Fault> {
        match self.info(term)? {
            Some(info) => Ok(documents_of(&self.segment.words, &info)?),
            None => Ok(Vec::new()),
        }
    }

    /// Documents that have all runs of three characters of a word.
    fn of_threes(&self, part: Part, word: &str) -> Result<Documents, Fault> {
        let head = head(self.account, part, Form::Three);
        let mut infos = Vec::new();
        for three in threes(word).take(THREES) {
            let term = [&head, three.as_bytes()].concat();
            match self.info(&term)? {
                Some(info) => infos.push(info),
                None => return Ok(Vec::new()),
            }
        }
        // The rarest first.
        infos.sort_by_key(|info| info.doc_freq);
        let mut found: Option<Documents> = None;
        for info in &infos {
            if found.as_ref().is_some_and(|found| found.len() <= FEW) {
                break;
            }
            let documents = documents_of(&self.segment.words, info)?;
            found = Some(both_if(found, documents));
        }
        Ok(found.unwrap_or_default())
    }

    /// Documents with a word of the dictionary that the string is in, as far
    /// as its ends are open; `None` if there are too many.
    fn of_dictionary(&self, part: Part, word: Word<'_>) -> Result<Option<Documents>, Fault> {
        let mut prefix = head(self.account, part, Form::Plain);
        let length = prefix.len();
        let text = word.text.as_bytes();
        if word.begins {
            prefix.extend_from_slice(text);
        }
        let finder = Finder::new(text);
        let mut end = prefix.clone();
        end.extend_from_slice(BEHIND);
        let range = self.segment.words.terms().range();
        let mut lines = range.ge(&prefix).lt(&end).into_stream()?;
        let (mut infos, mut read) = (Vec::new(), 0);
        while let Some((line, info)) = lines.next() {
            read += 1;
            let of_line = line.get(length..).unwrap_or_default();
            let fits = match (word.begins, word.ends) {
                (true, _) => true,
                (false, true) => of_line.ends_with(text),
                (false, false) => finder.find(of_line).is_some(),
            };
            if fits {
                infos.push(info.clone());
            }
            if infos.len() > MATCHES || read > self.lines.get() {
                return Ok(None);
            }
        }
        self.lines.set(self.lines.get().saturating_sub(read));
        self.union(&infos).map(Some)
    }

    fn union(&self, infos: &[TermInfo]) -> Result<Documents, Fault> {
        let Some(first) = infos.first() else {
            return Ok(Vec::new());
        };
        let basic = IndexRecordOption::Basic;
        let words = &self.segment.words;
        let total: u64 = infos.iter().map(|info| u64::from(info.doc_freq)).sum();
        let mut marks = Marks::new(self.segment.documents(), total);
        let mut block = words.read_block_postings_from_terminfo(first, basic)?;
        for (at, info) in infos.iter().enumerate() {
            if at > 0 {
                words.reset_block_postings_from_terminfo(info, &mut block)?;
            }
            while !block.docs().is_empty() {
                marks.put(block.docs());
                block.advance();
            }
        }
        Ok(marks.ascending())
    }
}

/// The string as a part of a word, if it is nothing else and long enough to be
/// looked for in the words themselves.
fn inside_a_word(text: &str) -> Option<Word<'_>> {
    let word = words(text).next()?;
    let long = word.text.chars().nth(SHORTEST - 1).is_some();
    let all = word.text == text && !word.begins && !word.ends;
    (all && long && !is_cut_up(text)).then_some(word)
}

/// Documents in any order, each perhaps several times.
enum Marks {
    /// Few of all.
    List(Vec<DocId>),
    /// Many: a bit for each document.
    Bits(Vec<u64>),
}

impl Marks {
    fn new(documents: u32, marked: u64) -> Marks {
        match marked < u64::from(documents) / 64 {
            true => Marks::List(Vec::new()),
            false => Marks::Bits(vec![0; documents as usize / 64 + 1]),
        }
    }

    fn put(&mut self, documents: &[DocId]) {
        match self {
            Marks::List(list) => list.extend_from_slice(documents),
            Marks::Bits(bits) => {
                for &document in documents {
                    if let Some(bits) = bits.get_mut(document as usize / 64) {
                        *bits |= 1 << (document % 64);
                    }
                }
            }
        }
    }

    fn ascending(self) -> Documents {
        match self {
            Marks::List(mut list) => {
                list.sort_unstable();
                list.dedup();
                list
            }
            Marks::Bits(bits) => {
                let mut list = Vec::new();
                for (at, mut bits) in (0u32..).zip(bits) {
                    while bits != 0 {
                        list.push(at * 64 + bits.trailing_zeros());
                        bits &= bits - 1;
                    }
                }
                list
            }
        }
    }
}

fn both_if(a: Option<Documents>, b: Documents) -> Documents {
    match a {
        Some(a) => both(a, &b),
        None => b,
    }
}

fn both(mut a: Documents, b: &[DocId]) -> Documents {
    let mut rest = b;
    a.retain(|document| {
        let at = rest.partition_point(|other| other < document);
        rest = rest.get(at..).unwrap_or_default();
        rest.first() == Some(document)
    });
    a
}

fn either(a: Documents, b: Documents) -> Documents {
    let (mut long, short) = match a.len() >= b.len() {
        true => (a, b),
        false => (b, a),
    };
    if short.is_empty() {
        return long;
    }
    long.extend(short);
    // Two runs in order: this is a merge.
    long.sort();
    long.dedup();
    long
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn sets(
            a in prop::collection::btree_set(0u32..300, 0..100),
            b in prop::collection::btree_set(0u32..300, 0..100),
            dense in any::<bool>(),
        ) {
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<_>>();
            let (x, y) = (list(&a), list(&b));
            prop_assert_eq!(both(x.clone(), &y), list(&(&a & &b)));
            prop_assert_eq!(either(x.clone(), y.clone()), list(&(&a | &b)));
            let mut marks = Marks::new(300, if dense { 300 } else { 0 });
            marks.put(&y);
            marks.put(&x);
            prop_assert_eq!(marks.ascending(), list(&(&a | &b)));
        }
    }
}
