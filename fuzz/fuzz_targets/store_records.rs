//! Records of packs and rows come back as they were written; damaged ones are refused.
#![no_main]

use axigen_store::blob::BlobRow;
use axigen_store::pack::record::{Header, Kind, deleted};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(row) = BlobRow::decode(&Bytes::copy_from_slice(data)) {
        assert_eq!(BlobRow::decode(&row.encode()).expect("our own row"), row);
    }
    let _ = deleted(data);
    assert!(Header::read(data, 0, 0).is_none_or(|header| header.record_len() >= header.payload));
    let Some((numbers, rest)) = data.split_first_chunk::<32>() else {
        return;
    };
    let number = |n: usize| u64::from_be_bytes([0, 0, numbers[n], numbers[n + 1], numbers[n + 2], numbers[n + 3], numbers[n + 4], numbers[n + 5]]);
    let header = Header {
        kind: [Kind::Blob, Kind::Deletion, Kind::Note][numbers[0] as usize % 3],
        label: u16::from_be_bytes([numbers[1], numbers[2]]),
        payload: number(3),
        raw: number(9),
        hash: *numbers,
        body: u32::from_be_bytes([numbers[15], numbers[16], numbers[17], numbers[18]]),
    };
    let (pack, offset) = (number(19), number(25));
    let mut written = BytesMut::new();
    header.write(pack, offset, &mut written);
    let read = Header::read(&written, pack, offset).expect("our own record");
    assert_eq!((read.label, read.payload, read.raw, read.hash, read.body), (header.label, header.payload, header.raw, header.hash, header.body));
    let _ = (read.padding(), read.payload_at(), read.loc(pack, offset));
    // It belongs where it was written, and nowhere else.
    assert!(Header::read(&written, pack, offset + 8).is_none());
    if let [at, bit, ..] = *rest {
        let at = usize::from(at) % written.len();
        written[at] ^= 1 << (bit % 8);
        assert!(Header::read(&written, pack, offset).is_none());
    }
});
