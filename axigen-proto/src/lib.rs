//! Mail protocols as state machines without I/O.
//!
//! Nothing in this crate opens a socket or a file, starts a thread, reads a
//! clock, draws a random number or asks the DNS. Bytes go in, events and bytes
//! come out, and the same input gives the same output however it is cut into
//! pieces. That makes every protocol here testable without a network and usable
//! under any event loop: tokio, a blocking socket, a simulator.
//!
//! # The one rule
//!
//! *Call anything, then poll until [`Output::Wait`] or [`Output::Close`].*
//!
//! Facts from outside (bytes, end of stream, a deadline that passed, a finished
//! TLS handshake) go in through [`Session::handle_input`]. Decisions of the
//! application are inherent methods of each session, such as
//! `smtp::server::Server::reply`. What the session wants
//! done comes out of [`Session::poll_output`], in wire order.
//!
//! # Map
//!
//! | module | what it is |
//! |---|---|
//! | [`session`] | the shape all sessions share |
//! | [`frame`] | bytes cut into lines under named limits, before any grammar runs |
//! | [`limits`] | the limits of every protocol, by name |
//! | [`sasl`] | authentication mechanisms, used by all services |
//! | [`smtp`] | SMTP, submission and LMTP, server and client |
//! | [`imap`] | IMAP4rev1 and IMAP4rev2, server and client |
//! | [`pop3`] | POP3, server |
//! | [`proxy`] | the PROXY protocol: whose connection a proxy passes on |
//! | [`surrogate`] | headers for clients that do not know UTF-8 |
//! | [`mta_sts`] | what a domain publishes about TLS on the way to it |
//! | [`seven_bit`] | messages for servers that take ASCII only |
//! | [`tls_rpt`] | where a domain wants to be told how TLS to it fares |
//! | [`manual`] | how to drive a session; what is ruled out |
//!
//! # Security
//!
//! What the parsers here rule out, by module, is in [`manual::vulnerability_classes`]: smuggling, injection by STARTTLS and
//! by encoded values, overflow, input without end, patterns that backtrack, users told from nobody, and more. The
//! project's `docs/security.md` names the tests for each.

pub mod frame;
pub mod imap;
pub mod limits;
pub mod manual;
pub mod mta_sts;
mod outbox;
pub mod pop3;
pub mod proxy;
pub mod sasl;
pub mod session;
pub mod seven_bit;
pub mod smtp;
pub mod surrogate;
pub mod tls_rpt;

pub use session::{Close, Input, Misuse, Output, Session, TlsInfo, Upgrade, Violation, Wait};
