//! Whatever is submitted has its headers once, no Bcc, and the body it came with.
#![no_main]

use axigen_core::delivery::headers::{received_count, submitted};
use axigen_core::filter::Message;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let message = submitted(Bytes::copy_from_slice(data), "id", "mx.test", now);
    let read = Message::new(message.clone());
    assert!(read.header("Date").is_some() && read.header("Message-ID").is_some());
    assert!(read.header("Bcc").is_none() && read.header("Return-Path").is_none());
    assert_eq!(received_count(&message), received_count(data));
    assert_eq!(submitted(message.clone(), "id", "mx.test", now), message);
});
