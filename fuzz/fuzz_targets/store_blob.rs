//! What was sealed comes back, whole and in ranges; damaged bytes are refused, never believed.
#![no_main]

use axigen_store::blob::dictionary::{Dictionaries, Effort};
use axigen_store::blob::seal::{self, Kind, Table};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const HASH: [u8; 32] = [7; 32];

fuzz_target!(|input: (u64, u64, u16, u8, &[u8])| {
    let (start, end, at, damage, data) = input;
    let _ = seal::unseal(&Bytes::copy_from_slice(data), &HASH, &Dictionaries::new());
    // Long enough for several frames.
    let content = data.repeat(1 + 200_000 / data.len().max(1) * usize::from(damage % 2));
    let dictionaries = Dictionaries::new();
    let sealed = seal::seal(Kind::Content, &content, &HASH, &dictionaries, Effort::Quick);
    let (kind, all) = seal::unseal(&sealed, &HASH, &dictionaries).expect("our own blob");
    assert_eq!(kind, Kind::Content);
    assert!(all == content);
    assert!(
        seal::unseal(&sealed, &[8; 32], &dictionaries).is_err(),
        "of another address"
    );

    let table = Table::read(&sealed, &HASH, sealed.len() as u64).expect("our own blob");
    let len = content.len() as u64;
    assert_eq!(table.content_len(), len);
    let (low, high) = (start.min(end), start.max(end));
    let frames = table.frames(&(low..high));
    let span = table.span(&frames);
    let stored = sealed.slice(span.start as usize..span.end as usize);
    let part = table
        .open(&frames, &stored, &dictionaries)
        .expect("our own frames");
    if low < high && low < len {
        assert!(part.len() as u64 >= high.min(len) - low);
    }

    let mut damaged = sealed.to_vec();
    let at = usize::from(at) % damaged.len();
    damaged[at] ^= damage | 1;
    assert!(seal::unseal(&damaged.into(), &HASH, &dictionaries).is_err());
});
