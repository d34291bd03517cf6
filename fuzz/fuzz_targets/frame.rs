//! Lines cut in pieces of any size are the same lines, and never hold more than the limit.
#![no_main]

use axigen_proto::frame::{Framer, Line};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 16;

fn lines(input: &[u8], chunk: usize) -> Vec<Line> {
    let mut framer = Framer::new();
    let mut lines = Vec::new();
    for piece in input.chunks(chunk) {
        framer.push(BytesMut::from(piece));
        while let Some(line) = framer.line(LIMIT) {
            lines.push(line);
        }
        assert!(framer.len() <= LIMIT + 1);
    }
    lines
}

fuzz_target!(|data: &[u8]| {
    let whole = lines(data, data.len().max(1));
    assert_eq!(whole, lines(data, 1));
    assert_eq!(whole, lines(data, 3));
});
