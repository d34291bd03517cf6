//! POP3, the server's side ([RFC 1939](https://www.rfc-editor.org/rfc/rfc1939)).
//!
//! | file | what it is |
//! |---|---|
//! | [`command`] | commands as values |
//! | [`parse`] | the grammar |
//! | [`body`] | messages on the wire: dots stuffed, TOP cut |
//! | [`text`] | what is said, in each language |
//! | [`server`] | the session |

pub mod body;
pub mod command;
pub mod parse;
pub mod server;
pub mod text;
