//! A mailbox name has one form and leads nowhere; a label comes back as it was written.
#![no_main]

use axigen_core::mailbox::label::Label;
use axigen_core::mailbox::{keywords, names};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(label) = Label::decode(data) {
        assert_eq!(Label::decode(&label.encode()).as_ref(), Some(&label));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if keywords::check(text).is_ok() {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    for name in [names::normalise(text), names::normalise_new(text)].into_iter().flatten() {
        assert_eq!(names::normalise(&name).expect("one form"), name);
        assert!(name.len() <= names::MAX_BYTES);
        assert!(!name.chars().any(char::is_control));
        assert!(name.split(names::SEPARATOR).all(|level| !matches!(level, "" | "." | "..")));
        assert!(names::parents(&name).all(|parent| names::normalise(parent).is_ok()));
    }
});
