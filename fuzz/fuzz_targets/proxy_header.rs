//! No bytes break the parser of PROXY headers; more bytes change no answer, and what is read is written and read again.
#![no_main]

use axigen_proto::proxy::{Header, parse};
use libfuzzer_sys::fuzz_target;

const MOST: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let mut answer = Ok(None);
    for end in 0..=data.len().min(2 * MOST) {
        let now = parse(&data[..end], MOST);
        if answer != Ok(None) {
            assert_eq!(now, answer, "more bytes changed it");
        }
        answer = now;
    }
    if data.len() >= MOST {
        assert_ne!(answer, Ok(None), "it is certain in time");
    }
    if let Ok(Some((header, length))) = answer {
        assert!(length <= MOST && length <= data.len());
        for written in [header.to_v1().into_bytes(), header.to_v2()] {
            assert_eq!(parse(&written, MOST), Ok(Some((header, written.len()))));
        }
        if let (Some(from), Some(to)) = (header.source(), header.destination()) {
            assert_eq!(Header::tcp(from, to), Some(header));
        }
    }
});
