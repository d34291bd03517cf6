//! No text breaks the address parser; a mailbox is written so that it reads the same again.
#![no_main]

use axigen_proto::smtp::address::{Domain, HelloName, Mailbox};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(mailbox) = text.parse::<Mailbox>() {
        let shown = mailbox.to_string();
        assert!(!shown.contains(|c: char| c.is_control()));
        assert_eq!(shown.parse::<Mailbox>().expect("our own text"), mailbox);
    }
    if let Ok(domain) = text.parse::<Domain>() {
        assert_eq!(domain.to_string().parse::<Domain>().expect("our own text"), domain);
        // Any text without control characters can stand before the @.
        if let Ok(mailbox) = Mailbox::new(text.as_ref(), domain) {
            assert_eq!(mailbox.to_string().parse::<Mailbox>().expect("our own text"), mailbox);
        }
    }
    if let Ok(name) = HelloName::new(text.as_ref()) {
        let _ = name.domain();
    }
});
