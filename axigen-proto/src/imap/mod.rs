//! IMAP4rev1 ([RFC 3501](https://www.rfc-editor.org/rfc/rfc3501)) and IMAP4rev2
//! ([RFC 9051](https://www.rfc-editor.org/rfc/rfc9051)).
//!
//! | module | what it is |
//! |---|---|
//! | [`server`] | the server's session: state, login, literals, IDLE, APPEND |
//! | [`client`] | the client's session: TLS, login, commands in a row, messages as they come |
//! | `frame` | bytes cut into commands under limits, before the grammar |
//! | [`command`] | typed commands |
//! | [`response`], [`structure`] | typed responses; ENVELOPE and BODYSTRUCTURE |
//! | [`encode`] | responses and commands written as bytes |
//! | [`parse`] | the grammar of commands and of responses |
//! | [`extensions`] | what came by RFCs of its own |
//! | [`url`] | IMAP URLs |
//! | [`types`], [`sequence`], [`utf7`], [`separator`] | the values they are made of |

pub mod client;
pub mod command;
pub mod encode;
pub mod extensions;
mod frame;
pub mod parse;
mod pattern;
pub mod response;
pub mod separator;
pub mod sequence;
pub mod server;
pub mod structure;
pub mod types;
pub mod url;
pub mod utf7;

#[cfg(test)]
mod tests;
