//! A message's structure, parsed once at arrival and kept as a compact record:
//! envelope, body structure, part offsets, header offsets, thread keys, preview.
//! (Signatures agreed on first.)

/// The structure of one message.
#[derive(Debug, Clone)]
pub struct Structure {}

#[allow(unused_variables, clippy::todo)]
impl Structure {
    /// Parses a message. Never fails: what cannot be understood is text/plain.
    pub fn parse(raw: &[u8]) -> Structure {
        todo!()
    }
    /// The compact record.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Reads a record back; `None` for one this program did not write.
    pub fn decode(record: &[u8]) -> Option<Structure> {
        todo!()
    }
}
