//! The control socket: a running server asked and told by programs on the same
//! machine, such as `axigen queue`.
//!
//! A socket in the server's directory, which only the user the server runs as
//! (and root) may open. Both sides write lines of JSON, in UTF-8, each ended by
//! a line feed:
//!
//! ```text
//! server  {"axigen":"0.1.0","protocol":1}
//! client  {"command":"queue.list","arguments":{"filter":{"state":"held"}}}
//! server  {"item":{...}}                 any number of them, one by one
//! server  {"done":{...}}                 or {"error":{"kind":"...","text":"..."}}
//! client  ...                            the next, or it closes
//! ```
//!
//! One command is done at a time; a client that wants several at once opens
//! several connections. What a command takes and gives is documented with it,
//! for the whole protocol see `docs/control.md`. New commands and new members
//! of what is answered may be added without another protocol number; a client
//! ignores what it does not know. A server refuses arguments it does not know.
//!
//! | file | what it is |
//! |---|---|
//! | this | commands, and the registry of them |
//! | [`server`] | the socket, its limits, its connections |
//! | [`client`] | the other half, for programs |
//! | `line` | lines of bounded length |
//! | `queue` | the commands of the queue |
//! | `bans` | the commands of the ban list |

mod bans;
pub mod client;
mod line;
mod queue;
pub mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

pub(crate) use bans::commands as of_bans;
pub(crate) use queue::commands as of_queue;

/// The number of this protocol; another one is not understood.
pub const PROTOCOL: u32 = 1;
/// The socket's name in the server's directory.
pub const SOCKET: &str = "control.sock";
/// Items are written together up to so many bytes.
const TOGETHER: usize = 32 << 10;

/// What the server says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The server's version.
    pub axigen: String,
    /// The protocol's number.
    pub protocol: u32,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The command's name, `queue.list`.
    pub command: String,
    /// What it takes; nothing is an empty object.
    #[serde(default)]
    pub arguments: Value,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// One of several things.
    Item(Value),
    /// The end, and all is well.
    Done(Value),
    /// The end: it was not done, or not all of it.
    Error(Failed),
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The line is no request, or too long.
    Request,
    /// There is no such command.
    Command,
    /// The command does not take that.
    Arguments,
    /// What is named is not there.
    NotFound,
    /// Somebody else works on it at this moment.
    Busy,
    /// Too many connections.
    Connections,
    /// The server is being stopped.
    Stopping,
    /// Anything else; the server's log says more.
    Failed,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Failed {
    /// For programs.
    pub kind: Kind,
    /// For people: a sentence without a full stop.
    pub text: String,
}

impl Failed {
    /// A failure, in words.
    pub fn new(kind: Kind, text: impl fmt::Display) -> Failed {
        Failed {
            kind,
            text: text.to_string(),
        }
    }
}

/// A command.
#[async_trait]
pub trait Command: fmt::Debug + Send + Sync {
    /// Its name: the room it belongs to, a full stop, what it does.
    fn name(&self) -> &'static str;

    /// What it does, in one sentence.
    fn about(&self) -> &'static str;

    /// Does it. What it gives is the last line of the answer; items go before.
    ///
    /// # Errors
    /// What the client is told instead.
    async fn run(&self, arguments: Value, answers: &mut Answers<'_>) -> Result<Value, Failed>;
}

/// The commands there are, by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    commands: BTreeMap<&'static str, Arc<dyn Command>>,
}

impl Registry {
    /// Adds commands; one of the same name is replaced.
    pub fn add(&mut self, commands: impl IntoIterator<Item = Arc<dyn Command>>) {
        let named = commands
            .into_iter()
            .map(|command| (command.name(), command));
        self.commands.extend(named);
    }

    /// Does what a client wants.
    async fn run(&self, request: Request, answers: &mut Answers<'_>) -> Result<Value, Failed> {
        if request.command == "commands" {
            for (name, command) in &self.commands {
                let about = command.about();
                answers
                    .item(&serde_json::json!({"name": name, "about": about}))
                    .await?;
            }
            return Ok(Value::Null);
        }
        let command = self.commands.get(request.command.as_str());
        let command = command.ok_or_else(|| {
            let names: Vec<&str> = self.commands.keys().copied().collect();
            Failed::new(
                Kind::Command,
                format!(
                    "there is no command {:?}; there are commands, {}",
                    request.command,
                    names.join(", ")
                ),
            )
        })?;
        let arguments = match request.arguments {
            Value::Null => Value::Object(serde_json::Map::new()),
            given => given,
        };
        command.run(arguments, answers).await
    }
}

/// What a command takes, read.
///
/// # Errors
/// [`Kind::Arguments`], with what is wrong.
fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, Failed> {
    serde_json::from_value(arguments).map_err(|error| Failed::new(Kind::Arguments, error))
}

/// Takes the items of an answer, and writes them as fast as the client reads.
pub struct Answers<'a> {
    out: &'a mut (dyn AsyncWrite + Unpin + Send),
    buffer: Vec<u8>,
    /// The longest wait for the client.
    wait: Duration,
    stop: watch::Receiver<bool>,
}

impl fmt::Debug for Answers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl Answers<'_> {
    /// One of several things.
    ///
    /// # Errors
    /// The client is gone or reads nothing, or the server is being stopped: the
    /// command ends.
    pub async fn item(&mut self, item: &impl Serialize) -> Result<(), Failed> {
        self.on()?;
        let item = serde_json::to_value(item).map_err(|error| Failed::new(Kind::Failed, error))?;
        self.line(&Answer::Item(item)).await
    }

    /// Whether the command may go on: one that takes long asks between two steps.
    ///
    /// # Errors
    /// [`Kind::Stopping`].
    pub fn on(&self) -> Result<(), Failed> {
        match *self.stop.borrow() {
            true => Err(Failed::new(Kind::Stopping, "the server is being stopped")),
            false => Ok(()),
        }
    }

    async fn line(&mut self, line: &impl Serialize) -> Result<(), Failed> {
        serde_json::to_writer(&mut self.buffer, line)
            .map_err(|error| Failed::new(Kind::Failed, error))?;
        self.buffer.push(b'\n');
        match self.buffer.len() >= TOGETHER {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        let write = async {
            self.out.write_all(&self.buffer).await?;
            self.out.flush().await
        };
        let written = tokio::time::timeout(self.wait, write).await;
        self.buffer.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failed::new(Kind::Failed, error)),
            Err(_) => Err(Failed::new(Kind::Failed, "the client reads nothing")),
        }
    }
}
