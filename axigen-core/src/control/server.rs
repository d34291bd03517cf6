//! The server's half of the control socket.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Answer, Answers, Failed, Hello, Kind, PROTOCOL, Registry, Request, line};
use crate::settings::ControlSettings;

/// Connections the kernel keeps waiting for us.
const BACKLOG: u32 = 16;
/// Longest path of a socket in bytes; the kernel takes no longer ones.
const LONGEST_PATH: usize = 107;

/// A control socket that is served. Dropped, it stops, and its file is gone.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Makes the socket and serves it. A file that a killed server left there is
    /// replaced; only who has the store of the server's directory open may call
    /// this for a path in it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] if somebody answers there,
    /// [`ErrorKind::AlreadyExists`] for a file that is no socket,
    /// [`ErrorKind::InvalidInput`] for a path that is too long; of the operating
    /// system.
    pub fn start(
        path: &Path,
        registry: Registry,
        settings: &ControlSettings,
        grace: Duration,
    ) -> io::Result<ControlServer> {
        let listener = bind(path)?;
        let stop = watch::channel(false).0;
        let serving = Serving {
            registry,
            settings: settings.clone(),
            stop: stop.subscribe(),
        };
        let task = tokio::spawn(Arc::new(serving).run(listener, grace));
        tracing::info!(path = %path.display(), "the control socket is open");
        Ok(ControlServer {
            path: path.to_owned(),
            stop,
            task: Some(task),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// No new connections; commands that are being done end after the step they
    /// are in.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The socket, only for the user this process runs as.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{} is longer than the {LONGEST_PATH} bytes the path of a socket may have; \
                 name a shorter one ([control] socket)",
                path.display()
            ),
        ));
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                format!("{} is there already and is no socket", path.display()),
            ));
        }
        // Whoever has the store open may take the place of who is gone.
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                return Err(io::Error::new(
                    ErrorKind::AddrInUse,
                    format!("another server answers at {}", path.display()),
                ));
            }
            Err(_) => std::fs::remove_file(path)?,
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Nobody can connect before it listens, so nobody sees it with other rights.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)
}

#[derive(Debug)]
struct Serving {
    registry: Registry,
    settings: ControlSettings,
    stop: watch::Receiver<bool>,
}

impl Serving {
    async fn run(self: Arc<Self>, listener: UnixListener, grace: Duration) {
        let mut stop = self.stop.clone();
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = open.join_next(), if !open.is_empty() => {
                    look_at(ended);
                    continue;
                }
            };
            match accepted {
                Ok((stream, _)) if open.len() < self.settings.connections => {
                    open.spawn(Arc::clone(&self).serve(stream));
                }
                Ok((stream, _)) => self.refuse(&stream),
                Err(error) => {
                    // Out of descriptors, most likely: do not spin.
                    tracing::warn!(%error, "the control socket could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        let rest = async {
            while let Some(ended) = open.join_next().await {
                look_at(ended);
            }
        };
        // What does not end is dropped with the set.
        let _ = tokio::time::timeout(grace, rest).await;
    }

    /// What is written first on a connection always fits its buffer.
    fn refuse(&self, stream: &UnixStream) {
        let most = self.settings.connections;
        let said = Answer::Error(Failed::new(
            Kind::Connections,
            format!("{most} connections are open already ([control] connections)"),
        ));
        for line in [json(&hello()), json(&said)] {
            let _ = stream.try_write(&line);
        }
    }

    async fn serve(self: Arc<Self>, stream: UnixStream) {
        if let Err(error) = self.talk(stream).await {
            tracing::debug!(%error, "a connection of the control socket ended");
        }
    }

    async fn talk(&self, mut stream: UnixStream) -> Result<(), Failed> {
        let (from, mut to) = stream.split();
        let mut from = BufReader::new(from);
        let wait = self.settings.idle_timeout.0;
        let most = usize::try_from(self.settings.line.0).unwrap_or(usize::MAX);
        let mut stop = self.stop.clone();
        let mut answers = Answers {
            out: &mut to,
            buffer: json(&hello()),
            wait,
            stop: stop.clone(),
        };
        loop {
            answers.flush().await?;
            let line = tokio::select! {
                line = tokio::time::timeout(wait, line::read(&mut from, most)) => line,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let line = match line {
                Ok(Ok(Some(line))) => line,
                Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                    let failed = Failed::new(Kind::Request, format!("{error} ([control] line)"));
                    answers.line(&Answer::Error(failed)).await?;
                    return answers.flush().await;
                }
                // The end, or nothing for too long.
                Ok(Ok(None)) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(Failed::new(Kind::Failed, error)),
            };
            let done = match serde_json::from_slice::<Request>(&line) {
                Ok(request) => {
                    let command = request.command.clone();
                    let done = self.registry.run(request, &mut answers).await;
                    if let Err(failed) = &done {
                        tracing::info!(command, %failed, "a command was not done");
                    }
                    done
                }
                Err(error) => Err(Failed::new(
                    Kind::Request,
                    format!("the line is no request: {error}"),
                )),
            };
            let last = match done {
                Ok(done) => Answer::Done(done),
                Err(failed) => Answer::Error(failed),
            };
            answers.line(&last).await?;
        }
    }
}

fn hello() -> Hello {
    Hello {
        axigen: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
    }
}

/// A line.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn look_at(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a bug in a command of the control socket");
    }
}
