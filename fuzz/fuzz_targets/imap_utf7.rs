//! Modified UTF-7 has one form for each name.
#![no_main]

use axigen_proto::imap::utf7;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = utf7::decode(data) {
        assert_eq!(utf7::encode(&name).as_bytes(), data);
    }
    if let Ok(name) = std::str::from_utf8(data) {
        assert_eq!(utf7::decode(utf7::encode(name).as_bytes()).as_deref(), Ok(name));
    }
});
