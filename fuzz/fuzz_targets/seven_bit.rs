//! Any message becomes ASCII or is refused, the same in pieces of any size (the first byte); what is ASCII stays, but for
//! labels that say 8bit.
#![no_main]

use axigen_proto::seven_bit::{Error, Survey, Writer};
use libfuzzer_sys::fuzz_target;

fn converted(message: &[u8], size: usize) -> Result<Vec<u8>, Error> {
    let mut survey = Survey::default();
    for piece in message.chunks(size) {
        survey.push(piece)?;
    }
    let mut writer = Writer::new(survey.finish()?);
    let mut out = Vec::new();
    for piece in message.chunks(size) {
        out.extend(writer.push(piece)?);
    }
    out.extend(writer.finish()?);
    Ok(out)
}

fuzz_target!(|data: &[u8]| {
    let Some((size, message)) = data.split_first() else { return };
    let whole = converted(message, usize::MAX);
    assert_eq!(converted(message, usize::from(*size).max(1)), whole);
    if let Ok(written) = whole {
        assert!(written.is_ascii());
        let text = message.to_ascii_lowercase();
        let says = |word: &[u8]| text.windows(word.len()).any(|some| some == word);
        if message.is_ascii() && !says(b"8bit") && !says(b"binary") {
            assert_eq!(written, message);
        }
        // What was converted once needs it no more.
        assert_eq!(converted(&written, usize::MAX).as_deref(), Ok(written.as_slice()));
    }
});
