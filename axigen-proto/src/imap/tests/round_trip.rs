//! Commands that are written and read again are the same.

use bytes::BytesMut;
use proptest::prelude::*;

use super::values;
use crate::imap::command::Command;
use crate::imap::encode::Encoder;
use crate::imap::parse::{self, Grammar};
use crate::imap::types::Tag;

/// The command on the wire, without its line end.
pub(super) fn written(rev2: bool, command: &Command) -> Vec<u8> {
    let mut out = BytesMut::new();
    Encoder::new(&mut out, rev2).command(&Tag::new("A1").unwrap(), command);
    out.strip_suffix(b"\r\n").unwrap_or(&out).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn commands(command in values::command(), rev2 in any::<bool>(), utf8_accept in any::<bool>()) {
        let wire = written(rev2 || utf8_accept, &command);
        let grammar = Grammar { rev2, utf8_accept, ..Grammar::default() };
        let (tag, read) = parse::command(&grammar, &wire)
            .map_err(|e| TestCaseError::fail(format!("{}: {e:?}", wire.escape_ascii())))?;
        prop_assert_eq!(tag.as_str(), "A1");
        prop_assert_eq!(read, command, "{}", wire.escape_ascii());
    }

    #[test]
    fn what_is_read_is_written_so_that_it_is_read_the_same(
        command in values::command(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..3),
    ) {
        let mut wire = written(false, &command);
        for (at, byte, kind) in cuts {
            let at = at.index(wire.len());
            match kind {
                0 => wire[at] = byte,
                1 => wire.insert(at, byte),
                _ if wire.len() > 1 => { wire.remove(at); }
                _ => {}
            }
        }
        if let Ok((_, read)) = parse::command(&Grammar::default(), &wire) {
            let again = written(false, &read);
            let (_, same) = parse::command(&Grammar::default(), &again)
                .map_err(|e| TestCaseError::fail(format!("{}: {e:?}", again.escape_ascii())))?;
            prop_assert_eq!(upper(same), upper(read), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn no_bytes_make_the_grammar_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse::command(&Grammar::default(), &bytes);
    }
}

/// Names of header fields are written in capitals.
fn upper(command: Command) -> String {
    format!("{command:?}").to_ascii_uppercase()
}
