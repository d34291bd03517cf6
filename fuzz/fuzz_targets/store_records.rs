//! Damaged records of packs and rows are refused, never believed beyond their length.
#![no_main]

use axigen_store::blob::BlobRow;
use axigen_store::pack::record::Header;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((header, _)) = Header::read(data) {
        let _ = (header.padding(), header.payload_at(), header.record_len());
    }
    if let Ok(row) = BlobRow::decode(&Bytes::copy_from_slice(data)) {
        assert_eq!(BlobRow::decode(&row.encode()).expect("our own row"), row);
    }
});
