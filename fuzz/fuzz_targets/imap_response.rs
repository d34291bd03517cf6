//! What the grammar of responses takes is written again so that it reads the same.
#![no_main]

use axigen_proto::imap::encode::Encoder;
use axigen_proto::imap::parse::response::{Reply, ResponseGrammar, response};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for utf8 in [false, true] {
        let grammar = ResponseGrammar {
            utf8,
            ..ResponseGrammar::default()
        };
        let written = |reply: &Reply| {
            let mut wire = BytesMut::new();
            let mut encoder = Encoder::new(&mut wire, utf8);
            match reply {
                Reply::Untagged(response) => encoder.response(response),
                Reply::Tagged(tag, status) => encoder.tagged(tag, status),
                Reply::Continue(text) => encoder.proceed(text),
            }
            wire
        };
        let Ok(reply) = response(&grammar, data) else {
            continue;
        };
        let wire = written(&reply);
        // What IMAP4rev2 leaves out is not written.
        let Some(line) = wire.strip_suffix(b"\r\n") else {
            assert!(wire.is_empty());
            continue;
        };
        // Texts are mended where they were odd; from then on nothing changes.
        let again = response(&grammar, line).expect("what was written can be read");
        let wire = written(&again);
        let Some(line) = wire.strip_suffix(b"\r\n") else {
            assert!(wire.is_empty());
            continue;
        };
        let third = response(&grammar, line).expect("what was written can be read");
        assert_eq!(written(&third), wire);
    }
});
