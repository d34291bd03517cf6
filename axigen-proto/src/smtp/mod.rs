//! SMTP ([RFC 5321](https://www.rfc-editor.org/rfc/rfc5321)), message
//! submission ([RFC 6409](https://www.rfc-editor.org/rfc/rfc6409)) and LMTP
//! ([RFC 2033](https://www.rfc-editor.org/rfc/rfc2033)), server and client.
//!
//! | module | what it is |
//! |---|---|
//! | [`address`] | mailboxes, domains, paths: values that cannot be built wrong |
//! | [`command`] | the commands and their parameters |
//! | [`deliver_by`] | by when a message must be delivered |
//! | [`dsn`] | which notices a sender wants |
//! | [`etrn`] | which waiting mail a client asks for |
//! | [`future_release`] | until when a message is held |
//! | [`priority`] | how urgent a message is |
//! | [`solicit`] | classes of solicitation |
//! | [`capability`] | what a server offers in its answer to EHLO |
//! | [`reply`] | replies and enhanced status codes |
//! | [`standard`] | the table of the replies that this crate gives by itself |
//! | [`parse`] | text to values, one function for each rule of the grammar |
//! | [`encode`] | values to text |
//! | [`server`] | the server session: MX, submission, LMTP |
//! | [`client`] | the client session: SMTP and LMTP |

pub mod address;
pub mod capability;
pub mod client;
pub mod command;
mod data;
pub mod deliver_by;
pub mod dsn;
pub mod encode;
pub mod etrn;
pub mod future_release;
pub mod parse;
pub mod priority;
pub mod reply;
pub mod server;
pub mod solicit;
pub mod standard;
mod stuffing;

#[cfg(test)]
mod tests;
