//! IMAP URLs: what is read is written, and read again as the same.
#![no_main]

use axigen_proto::imap::url::{ImapUrl, LIMIT};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(url) = ImapUrl::parse(text) {
        let written = url.to_string();
        // What is encoded is longer, and may be too long to be read.
        if written.len() <= LIMIT {
            let again = ImapUrl::parse(&written).expect("what was written is read");
            assert_eq!(again, url);
        }
        assert!(text.starts_with(url.rump(text)));
    }
});
