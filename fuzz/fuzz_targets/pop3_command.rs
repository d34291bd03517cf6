//! No line breaks the command parser, and an error has a sentence.
#![no_main]

use axigen_proto::pop3::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = parse::command(data);
});
