//! The client's half of the control socket, for programs on the same machine.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Answer, Failed, Hello, PROTOCOL, Request, line};

/// Longest line of an answer, in bytes: an entry of the queue with a hundred
/// thousand recipients fits.
const LONGEST_LINE: usize = 64 << 20;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server runs there: there is no socket, or nobody answers.
    #[error("no server answers at {}: start it first, as with `axigen serve`", .0.display())]
    NoServer(PathBuf),
    /// The socket belongs to somebody else.
    #[error("{} may be opened only by the user the server runs as, and by root", .0.display())]
    Denied(PathBuf),
    /// The server speaks another protocol.
    #[error(
        "the server at {} is axigen {}, which speaks protocol {} here; this program speaks {PROTOCOL}", .0.display(), .1.axigen, .1.protocol
    )]
    Protocol(PathBuf, Hello),
    /// What came is no answer.
    #[error("the server's answer is not understood: {0}")]
    Answer(String),
    /// The command was not done.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Io(#[from] io::Error),
}

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    hello: Hello,
}

impl Client {
    /// Connects to the socket of a server.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect(path: &Path) -> Result<Client, Error> {
        let there = || path.to_owned();
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => BufReader::new(stream),
            Err(error) => {
                return Err(match error.kind() {
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused => Error::NoServer(there()),
                    ErrorKind::PermissionDenied => Error::Denied(there()),
                    _ => Error::Io(error),
                });
            }
        };
        let hello = Hello {
            axigen: String::new(),
            protocol: PROTOCOL,
        };
        let mut client = Client { stream, hello };
        let line = client.line().await?;
        client.hello = read(&line)?;
        match client.hello.protocol {
            PROTOCOL => Ok(client),
            _ => Err(Error::Protocol(there(), client.hello)),
        }
    }

    /// What the server said first.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Has a command done. Gives each item to `item`, and then what the command
    /// gave at its end.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said; others end the connection.
    pub async fn run(
        &mut self,
        command: &str,
        arguments: impl Serialize,
        mut item: impl FnMut(Value),
    ) -> Result<Value, Error> {
        let wrong = |error: serde_json::Error| Error::Answer(error.to_string());
        let request = Request {
            command: command.to_owned(),
            arguments: serde_json::to_value(arguments).map_err(wrong)?,
        };
        let mut line = serde_json::to_vec(&request).map_err(wrong)?;
        line.push(b'\n');
        if let Err(error) = self.stream.write_all(&line).await {
            // Why it was closed may have been said before.
            return match self.line().await.and_then(|line| read::<Answer>(&line)) {
                Ok(Answer::Error(failed)) => Err(failed.into()),
                _ => Err(error.into()),
            };
        }
        loop {
            match read(&self.line().await?)? {
                Answer::Item(one) => item(one),
                Answer::Done(done) => return Ok(done),
                Answer::Error(failed) => return Err(failed.into()),
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Error> {
        let line = line::read(&mut self.stream, LONGEST_LINE).await?;
        line.ok_or_else(|| Error::Io(ErrorKind::UnexpectedEof.into()))
    }
}

fn read<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(line).map_err(|error| Error::Answer(error.to_string()))
}
