//! Makes the dictionary that this crate compresses with.
//!
//! ```text
//! cargo run --release -p axigen-store --example train_dictionary -- axigen-store/src/blob/mail.zdict
//! ```
//!
//! The samples are mails that never were, put together by [`mail`] from
//! headers, markup and sentences; the same ones every time. What the dictionary
//! learns of them is what is alike in all mail: names of fields, beginnings of
//! structured values, MIME and HTML around the text, frequent words.
//!
//! **A dictionary that is in use is never replaced**: what was compressed with
//! it can be read with it only. A better one gets a new number, see
//! `axigen_store::blob::dictionary`.
#![allow(clippy::print_stdout, clippy::expect_used)]

mod mail;
mod words;

/// Bytes of the dictionary.
const LENGTH: usize = 64 << 10;
const SAMPLES: u64 = 6_000;

fn main() {
    let target = std::env::args()
        .nth(1)
        .expect("the first argument is the file to write");
    let samples: Vec<Vec<u8>> = (0..SAMPLES).map(mail::sample).collect();
    if let Ok(dir) = std::env::var("SAMPLES_DIR") {
        for (number, sample) in samples.iter().take(50).enumerate() {
            std::fs::write(format!("{dir}/{number}.eml"), sample).expect("a sample is written");
        }
    }
    let bytes: usize = samples.iter().map(Vec::len).sum();
    let dictionary = zstd::dict::from_samples(&samples, LENGTH).expect("the samples are enough");
    std::fs::write(&target, &dictionary).expect("the dictionary is written");
    println!(
        "{target}: {} bytes, from {SAMPLES} mails of {bytes} bytes",
        dictionary.len()
    );
    // Other mails of the same kind, to see that it does anything at all.
    for level in [1, 3] {
        let mut with = zstd::bulk::Compressor::with_dictionary(level, &dictionary).expect("zstd");
        let mut without = zstd::bulk::Compressor::new(level).expect("zstd");
        let (mut raw, mut small, mut plain) = (0, 0, 0);
        for sample in (SAMPLES..SAMPLES + 1_000).map(mail::sample) {
            raw += sample.len();
            small += with.compress(&sample).expect("zstd").len();
            plain += without.compress(&sample).expect("zstd").len();
        }
        println!(
            "level {level}: {:.2} with it, {:.2} without",
            raw as f64 / small as f64,
            raw as f64 / plain as f64
        );
    }
}
