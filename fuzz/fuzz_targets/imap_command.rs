//! What the grammar takes is written again so that it reads the same.
#![no_main]

use axigen_proto::imap::encode::Encoder;
use axigen_proto::imap::parse::{self, Grammar};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for (rev2, utf8_accept) in [(false, false), (true, false), (false, true)] {
        let grammar = Grammar {
            rev2,
            utf8_accept,
            ..Grammar::default()
        };
        let Ok((tag, command)) = parse::command(&grammar, data) else {
            continue;
        };
        let mut wire = BytesMut::new();
        Encoder::new(&mut wire, rev2)
            .with_utf8(utf8_accept)
            .command(&tag, &command);
        let wire = wire.strip_suffix(b"\r\n").unwrap_or(&wire);
        let (_, again) = parse::command(&grammar, wire).expect("what was written can be read");
        // Names of header fields are written in capitals.
        let upper = |command| format!("{command:?}").to_ascii_uppercase();
        assert_eq!(upper(again), upper(command));
    }
});
