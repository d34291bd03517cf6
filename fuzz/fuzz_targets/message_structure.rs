//! Any bytes have a structure whose ranges lie inside them, and which is the same after writing and reading it.
#![no_main]

use axigen_core::mailbox::search::transfer_decoded;
use axigen_core::mailbox::structure::{Section, Structure, header_fields};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let structure = Structure::parse(data);
    let len = data.len() as u64;
    let _ = (structure.body_structure(), structure.sent());
    let header = structure.header();
    assert!(header.start <= header.end && header.end <= len);
    for field in header_fields(&data[header.start as usize..header.end as usize]) {
        let _ = field.unfolded();
    }
    for path in [&[][..], &[1], &[2], &[1, 1], &[2, 1], &[1, 2, 3]] {
        for section in [Section::Whole, Section::Header, Section::Text, Section::Mime] {
            if let Some(range) = structure.section(path, section) {
                assert!(range.start <= range.end && range.end <= len);
            }
        }
        if let Some((encoding, range)) = structure.encoding(path) {
            let _ = transfer_decoded(encoding, &data[range.start as usize..range.end as usize]);
        }
    }
    let record = structure.encode();
    assert_eq!(Structure::decode(&record), Some(structure));
    let _ = Structure::decode(data);
});
