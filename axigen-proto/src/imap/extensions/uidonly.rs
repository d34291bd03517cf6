//! UIDONLY ([RFC 9586](https://www.rfc-editor.org/rfc/rfc9586)): messages have
//! no numbers but their UIDs, so nobody has to keep others.
//!
//! Once it is enabled, FETCH responses are UIDFETCH, EXPUNGE is VANISHED, and
//! commands that name sequence numbers are refused.

use crate::imap::command::{Command, SearchKey};
use crate::imap::response::{Code, Status};
use crate::imap::sequence::SequenceSet;

impl Command {
    /// Whether it takes or gives sequence numbers
    /// ([RFC 9586 §3](https://www.rfc-editor.org/rfc/rfc9586#section-3)).
    pub fn uses_sequence_numbers(&self) -> bool {
        let named = |keys: &[SearchKey]| {
            let number =
                |key: &SearchKey| matches!(key, SearchKey::Sequence(SequenceSet::Ranges(_)));
            keys.iter().any(|key| key.any(&number))
        };
        match self {
            Command::Copy { uid, .. } | Command::Move { uid, .. } => !uid,
            Command::Fetch(fetch) => !fetch.uid,
            Command::Store(store) => !store.uid,
            Command::Search(search) => !search.uid || named(&search.keys),
            Command::MultiSearch(search) => named(&search.keys),
            Command::Sort(sort) => !sort.uid || named(&sort.keys),
            Command::Thread(thread) => !thread.uid || named(&thread.keys),
            // RFC 9586 §3.7: QRESYNC without the numbers the client remembers.
            Command::Select(select) | Command::Examine(select) => {
                let resync = select.parameters.qresync.as_ref();
                resync.is_some_and(|resync| resync.matched.is_some())
            }
            Command::Append(append) => append.replaces.is_some_and(|replaced| !replaced.uid),
            _ => false,
        }
    }
}

/// The answer to a command that names them.
pub(crate) fn refusal() -> Status {
    Status::bad("Sequence numbers are not used once UIDONLY is enabled").with(Code::UidRequired)
}
