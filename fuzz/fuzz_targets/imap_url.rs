//! IMAP URLs: what is read is written, and read again as the same.
#![no_main]

use axigen_proto::imap::url::ImapUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(url) = ImapUrl::parse(text) {
        let again = ImapUrl::parse(&url.to_string()).expect("what was written is read");
        assert_eq!(again, url);
        assert!(text.starts_with(url.rump(text)));
    }
});
