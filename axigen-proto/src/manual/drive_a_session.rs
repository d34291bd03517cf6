//! Driving a session by hand.
//!
//! `axigen-core` has a driver for tokio, `net::Conn`, so most applications need
//! nothing of this page. It is for those with another event loop, for tests, and
//! for simulators.
//!
//! # The loop
//!
//! A session never blocks and never asks for anything. The driver does:
//!
//! 1. Call [`poll_output`](crate::Session::poll_output) and do what it says, in that order:
//!    [`Transmit`](crate::Output::Transmit) sends bytes, [`Event`](crate::Output::Event) goes to the application,
//!    [`Upgrade`](crate::Output::Upgrade) starts TLS once everything before it was sent, and ends with
//!    [`Input::Upgraded`](crate::Input::Upgraded).
//! 2. At [`Wait`](crate::Output::Wait) there is nothing more to do until something happens. With `read`, wait
//!    for bytes; with a `deadline`, no longer than that. Without `read` the session waits for the
//!    application's answer to the last event.
//! 3. What happened goes in through [`handle_input`](crate::Session::handle_input) or a method of the session, and the loop
//!    begins again. That is the one rule: *call anything, then poll until `Wait` or `Close`*.
//! 4. At [`Close`](crate::Output::Close) send what is unsent and close.
//!
//! Read while you send: a client may send twenty thousand commands before it reads the first reply, and a driver
//! that waits until its replies are gone before it reads again waits for ever. Above a bound of unsent bytes stop
//! reading, and stop polling.
//!
//! # A server
//!
//! ```
//! use std::time::Instant;
//! use axigen_proto::smtp::reply::Reply;
//! use axigen_proto::smtp::server::{Config, Event, Role, Server};
//! use axigen_proto::{Input, Output, Session};
//! use bytes::BytesMut;
//!
//! # fn main() -> Result<(), axigen_proto::Misuse> {
//! let now = Instant::now();
//! // The second argument is randomness for the challenges of SCRAM: 32 bytes of a secure generator.
//! let mut session = Server::new(Config::new(Role::Mx, "mx.example.test"), [0; 32]);
//! let mut incoming = [
//!     "EHLO client.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@exam", // cut anywhere
//!     "ple.test>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n",
//! ]
//! .into_iter();
//! let (mut said, mut message) = (Vec::new(), Vec::new());
//! let close = loop {
//!     match session.poll_output(now) {
//!         Output::Transmit(bytes) => said.extend_from_slice(&bytes),
//!         Output::Event(Event::Body(bytes)) => message.extend_from_slice(&bytes),
//!         Output::Event(Event::Reset) => message.clear(),
//!         // The code of the reply is the decision: 2yz takes, 4yz and 5yz refuse.
//!         Output::Event(_) => session.reply(Reply::ok())?,
//!         Output::Upgrade(_) => unreachable!("STARTTLS is not offered"),
//!         Output::Wait(_) => session.handle_input(
//!             now,
//!             incoming.next().map_or(Input::Eof, |bytes| Input::Bytes(BytesMut::from(bytes))),
//!         ),
//!         Output::Close(close) => break close,
//!     }
//! };
//! assert_eq!(close, axigen_proto::Close::Finish);
//! assert_eq!(message, b"hello\r\n");
//! assert!(said.ends_with(b"221 2.0.0 goodbye\r\n"));
//! # Ok(()) }
//! ```
//!
//! # IMAP and POP3
//!
//! Their events are commands, and the answers are methods with the protocol's own words.
//!
//! ```
//! use std::time::Instant;
//! use axigen_proto::imap::response::Status;
//! use axigen_proto::imap::server::{Config, Event, Server};
//! use axigen_proto::sasl::Answer;
//! use axigen_proto::{Input, Output, Session};
//! use bytes::BytesMut;
//!
//! # fn main() -> Result<(), axigen_proto::Misuse> {
//! let now = Instant::now();
//! let config = Config { allow_plaintext_login: true, ..Config::default() };
//! let mut session = Server::new(config, [0; 32]);
//! let mut incoming = ["a LOGIN ann secret\r\nb CREATE Work\r\nc LOGOUT\r\n"].into_iter();
//! let mut said = String::new();
//! loop {
//!     match session.poll_output(now) {
//!         Output::Transmit(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
//!         Output::Event(Event::Connected) => session.greet()?,
//!         Output::Event(Event::Auth(_)) => session.answer(Answer::Accept)?,
//!         // Well formed and fit for the state: what is not has been answered already.
//!         Output::Event(Event::Command { tag, .. }) => session.finish(&tag, Status::ok("done"))?,
//!         Output::Event(_) => {}
//!         Output::Upgrade(_) => unreachable!("STARTTLS is not offered"),
//!         Output::Wait(_) => match incoming.next() {
//!             Some(bytes) => session.handle_input(now, Input::Bytes(BytesMut::from(bytes))),
//!             None => session.handle_input(now, Input::Eof),
//!         },
//!         Output::Close(_) => break,
//!     }
//! }
//! assert!(said.contains("\r\nb OK done\r\n"));
//! assert!(said.contains("* BYE"));
//! # Ok(()) }
//! ```
//!
//! ```
//! use std::time::Instant;
//! use axigen_proto::pop3::server::{Config, Event, Expire, Message, Server};
//! use axigen_proto::sasl::Answer;
//! use axigen_proto::{Input, Output, Session};
//! use bytes::{Bytes, BytesMut};
//!
//! # fn main() -> Result<(), axigen_proto::Misuse> {
//! let now = Instant::now();
//! let config = Config { allow_plaintext_login: true, ..Config::default() };
//! let mut session = Server::new(config, [0; 32]);
//! let mail = Bytes::from_static(b"Subject: hi\r\n\r\n.hello\r\n");
//! let mut incoming = ["USER ann\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n"].into_iter();
//! let mut said = String::new();
//! loop {
//!     match session.poll_output(now) {
//!         Output::Transmit(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
//!         Output::Event(Event::Connected) => session.greet()?,
//!         Output::Event(Event::Auth(_)) => session.answer(Answer::Accept)?,
//!         Output::Event(Event::LoggedIn(_)) => {
//!             let mail = Message { size: mail.len() as u64, uid: "1".into() };
//!             session.open(vec![mail], Expire::Never)?;
//!         }
//!         Output::Event(Event::Retrieve { .. }) => {
//!             session.begin(mail.len() as u64)?;
//!             session.body(&mail)?; // in as many pieces as you like
//!             session.end_message()?;
//!         }
//!         Output::Event(Event::Quit { .. }) => session.finish(Ok(()))?,
//!         Output::Upgrade(_) => unreachable!("STLS is not offered"),
//!         Output::Wait(_) => match incoming.next() {
//!             Some(bytes) => session.handle_input(now, Input::Bytes(BytesMut::from(bytes))),
//!             None => session.handle_input(now, Input::Eof),
//!         },
//!         Output::Close(_) => break,
//!     }
//! }
//! assert!(said.contains("Subject: hi\r\n\r\n..hello\r\n.\r\n"));
//! # Ok(()) }
//! ```
//!
//! # A client
//!
//! ```
//! use std::time::Instant;
//! use axigen_proto::smtp::address::{ForwardPath, HelloName, ReversePath};
//! use axigen_proto::smtp::client::{Client, Config, Envelope, Event, Role, StartTls};
//! use axigen_proto::{Input, Output, Session};
//! use bytes::BytesMut;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let mut config = Config::new(Role::Smtp, HelloName::new("client.test")?);
//! config.starttls = StartTls::Never;
//! let mut session = Client::new(config, [0; 32]);
//! // What the server says, as the client comes to ask for it.
//! let mut server = [
//!     "220 mx.example.test\r\n",
//!     "250-mx.example.test\r\n250 PIPELINING\r\n",
//!     "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n",
//!     "250 2.0.0 stored\r\n",
//!     "221 2.0.0 bye\r\n",
//! ]
//! .into_iter();
//! let to = ForwardPath::Mailbox("b@example.test".parse()?);
//! let (mut sent, mut delivered) = (String::new(), false);
//! loop {
//!     match session.poll_output(now) {
//!         Output::Transmit(bytes) => sent.push_str(&String::from_utf8_lossy(&bytes)),
//!         Output::Event(Event::Ready(_)) => {
//!             session.send(Envelope::new(ReversePath::Mailbox("a@client.test".parse()?), vec![to.clone()]))?;
//!         }
//!         Output::Event(Event::WantBody) => {
//!             session.body("Subject: hi\r\n\r\n.hello\r\n".into())?;
//!             session.finish()?;
//!         }
//!         Output::Event(Event::Sent { replies, .. }) => {
//!             delivered = replies.iter().all(|delivery| delivery.reply.is_positive());
//!             session.quit()?;
//!         }
//!         Output::Event(_) => {}
//!         Output::Upgrade(_) => unreachable!("STARTTLS is not wanted"),
//!         Output::Wait(_) => match server.next() {
//!             Some(bytes) => session.handle_input(now, Input::Bytes(BytesMut::from(bytes))),
//!             None => session.handle_input(now, Input::Eof),
//!         },
//!         Output::Close(_) => break,
//!     }
//! }
//! assert!(delivered);
//! assert!(sent.contains("RCPT TO:<b@example.test>\r\nDATA\r\n"));
//! assert!(sent.contains("\r\n..hello\r\n.\r\nQUIT\r\n"));
//! # Ok(()) }
//! ```
//!
//! A client of IMAP is the same with commands that may be many at once. What a message holds comes in pieces, and goes
//! in pieces: [`WantBody`](crate::imap::client::Event::WantBody) asks for the next when the last has left, so neither
//! side ever holds a message. `examples/fetch.rs` does this with tokio.
//!
//! ```
//! use std::time::Instant;
//! use axigen_proto::imap::client::{Client, Config, Event, StartTls};
//! use axigen_proto::imap::command::{Command, Select};
//! use axigen_proto::imap::extensions::condstore::SelectParameters;
//! use axigen_proto::imap::response::Response;
//! use axigen_proto::sasl::client::Credentials;
//! use axigen_proto::{Input, Output, Session};
//! use bytes::BytesMut;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let config = Config {
//!     // TLS is required unless something else is said.
//!     starttls: StartTls::Never,
//!     plaintext_password: true,
//!     credentials: Some(Credentials::new("ann", "secret")?),
//!     ..Config::default()
//! };
//! let mut session = Client::new(config, [0; 32]);
//! // What the server says, as the client comes to ask for it.
//! let mut server = [
//!     "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] imap.example.test\r\n",
//!     "A1 OK [CAPABILITY IMAP4rev1 IDLE] logged in\r\n",
//!     "* 3 EXISTS\r\nA2 OK [READ-WRITE] selected\r\n",
//!     "* BYE bye\r\nA3 OK done\r\n",
//! ]
//! .into_iter();
//! let (mut sent, mut messages) = (String::new(), 0);
//! loop {
//!     match session.poll_output(now) {
//!         Output::Transmit(bytes) => sent.push_str(&String::from_utf8_lossy(&bytes)),
//!         Output::Event(Event::Ready(_)) => {
//!             let parameters = SelectParameters::default();
//!             session.send(&Command::Select(Select { mailbox: "INBOX".into(), parameters }))?;
//!             session.logout()?;
//!         }
//!         Output::Event(Event::Response(Response::Exists(count))) => messages = count,
//!         Output::Event(_) => {}
//!         Output::Upgrade(_) => unreachable!("neither TLS nor compression is wanted"),
//!         Output::Wait(_) => match server.next() {
//!             Some(bytes) => session.handle_input(now, Input::Bytes(BytesMut::from(bytes))),
//!             None => session.handle_input(now, Input::Eof),
//!         },
//!         Output::Close(_) => break,
//!     }
//! }
//! assert_eq!(messages, 3);
//! assert!(sent.ends_with("A2 SELECT \"INBOX\"\r\nA3 LOGOUT\r\n"));
//! # Ok(()) }
//! ```
