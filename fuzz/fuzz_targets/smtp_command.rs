//! No line breaks the command parser, and what it takes comes back from the encoder.
#![no_main]

use axigen_proto::smtp::{encode, parse};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(command) = parse::command(data) {
        let mut out = BytesMut::new();
        encode::command(&command, &mut out);
        let line = out.strip_suffix(b"\r\n").expect("a line");
        assert!(!line.iter().any(|b| b.is_ascii_control()));
        assert_eq!(parse::command(line).expect("our own line"), command);
    }
    let text = String::from_utf8_lossy(data);
    let _ = parse::reply_line(&text);
    let _ = parse::enhanced_code(&text);
});
