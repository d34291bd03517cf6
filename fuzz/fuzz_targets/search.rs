//! Any search over any message comes to an answer: the first line is the search, the rest the message.
#![no_main]

use axigen_core::mailbox::excerpt::Excerpt;
use axigen_core::mailbox::search::{Answer, Candidate, Context, Search};
use axigen_core::mailbox::structure::Structure;
use axigen_core::mailbox::{Flags, ItemId, Row};
use axigen_proto::imap::extensions::objectid::ObjectId;
use axigen_proto::imap::command::Command;
use axigen_proto::imap::parse::{self, Grammar};
use axigen_proto::imap::sequence::NumberSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (line, raw) = data.split_at(at);
    let line = [b"a SEARCH ", line].concat();
    let Ok((_, Command::Search(search))) = parse::command(&Grammar::default(), &line) else {
        return;
    };
    let row = Row {
        uid: 7,
        item: ItemId(1),
        modseq: 1,
        flags: Flags::new(Flags::SEEN, ["$Work".into()]),
        internal_date: 1_772_510_400,
        internal_zone: -300,
        size: raw.len() as u64,
        saved: 1_772_510_500,
    };
    let saved = NumberSet::new();
    let context = Context { messages: 3, largest_uid: 9, now: 1_700_000_000, saved: &saved, recent: &saved };
    let structure = Structure::parse(raw);
    let whole = Excerpt::whole(raw.to_vec());
    let header = structure.header();
    let search = Search::new(&search.keys, &context);
    let email_id = ObjectId::new("M0123");
    let mut candidate = Candidate { seq: 2, row: &row, email_id: None, structure: None, header: None, raw: None };
    for _ in 0..5 {
        match search.matches(&candidate) {
            Answer::Yes | Answer::No => return,
            Answer::NeedsEmailId => candidate.email_id = email_id.as_ref(),
            Answer::NeedsStructure => candidate.structure = Some(&structure),
            Answer::NeedsHeader => candidate.header = Some(&raw[header.start as usize..header.end as usize]),
            Answer::NeedsBody => (candidate.structure, candidate.raw) = (Some(&structure), Some(&whole)),
        }
    }
    panic!("it asks for ever");
});
