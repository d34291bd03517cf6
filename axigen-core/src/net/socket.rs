//! Sockets that listen: TCP over IPv4 and IPv6, Unix sockets.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::stream::Stream;
use crate::settings::{FileMode, ListenAddress, UNIX_PEER};

/// Connections the kernel keeps waiting for us.
const BACKLOG: i32 = 1024;

/// A socket that listens, bound and not yet part of a runtime.
#[derive(Debug)]
pub struct Socket {
    kind: Kind,
    /// Removed when the socket is closed.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The file of a Unix socket, removed when dropped, if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Socket {
    /// Binds an address; `mode` is for the file of a Unix socket. A file that a
    /// server which is gone left behind is replaced.
    ///
    /// # Errors
    /// Of the operating system; an address in use, also the path of a socket
    /// that somebody listens on, is [`ErrorKind::AddrInUse`], a file that is no
    /// socket [`ErrorKind::AlreadyExists`].
    pub fn bind(address: &ListenAddress, mode: FileMode) -> io::Result<Socket> {
        match address {
            ListenAddress::Tcp(address) => bind_tcp(*address),
            ListenAddress::Unix(path) => bind_unix(path, mode),
        }
    }

    /// Where it listens; with the port that the system chose.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn address(&self) -> io::Result<ListenAddress> {
        match (&self.kind, &self.file) {
            (Kind::Tcp(tcp), _) => Ok(tcp.local_addr()?.into()),
            (Kind::Unix(_), Some(file)) => Ok(file.path.clone().into()),
            (Kind::Unix(unix), None) => {
                let address = unix.local_addr()?;
                Ok(address
                    .as_pathname()
                    .unwrap_or(Path::new(""))
                    .to_owned()
                    .into())
            }
        }
    }
}

impl From<std::net::TcpListener> for Socket {
    fn from(tcp: std::net::TcpListener) -> Socket {
        Socket {
            kind: Kind::Tcp(tcp),
            file: None,
        }
    }
}

/// A socket of the application's own; its file is left alone.
impl From<std::os::unix::net::UnixListener> for Socket {
    fn from(unix: std::os::unix::net::UnixListener) -> Socket {
        Socket {
            kind: Kind::Unix(unix),
            file: None,
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart need not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that [::] and 0.0.0.0 can be bound side by side, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(std::net::TcpListener::from(socket).into())
}

fn bind_unix(path: &Path, mode: FileMode) -> io::Result<Socket> {
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            let why = "there is a file that is not a socket";
            return Err(io::Error::new(ErrorKind::AlreadyExists, why));
        }
        Ok(_) => match StdUnixStream::connect(path) {
            // Nobody listens any more.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            _ => return Err(ErrorKind::AddrInUse.into()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let found = path.symlink_metadata()?;
    let file = SocketFile {
        path: path.to_owned(),
        id: (found.dev(), found.ino()),
    };
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.0))?;
    socket.listen(BACKLOG)?;
    Ok(Socket {
        kind: Kind::Unix(std::os::unix::net::UnixListener::from(socket)),
        file: Some(file),
    })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = self
            .path
            .symlink_metadata()
            .is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if same && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a socket could not be removed");
        }
    }
}

/// A socket that listens, part of a runtime.
#[derive(Debug)]
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// Makes it part of the runtime this is called in. What is left keeps the
    /// file of a Unix socket.
    pub(super) fn accepting(self) -> io::Result<(Accepting, Kept)> {
        let accepting = match self.kind {
            Kind::Tcp(tcp) => {
                tcp.set_nonblocking(true)?;
                Accepting::Tcp(TcpListener::from_std(tcp)?)
            }
            Kind::Unix(unix) => {
                unix.set_nonblocking(true)?;
                Accepting::Unix(UnixListener::from_std(unix)?)
            }
        };
        Ok((accepting, Kept(self.file)))
    }
}

/// What a Unix socket leaves in the file system, until it is dropped.
#[derive(Debug)]
pub(super) struct Kept(Option<SocketFile>);

/// A connection as it comes.
#[derive(Debug)]
pub(super) enum Incoming {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepting {
    pub(super) async fn accept(&self) -> io::Result<(Incoming, SocketAddr)> {
        match self {
            Accepting::Tcp(tcp) => {
                let (tcp, peer) = tcp.accept().await?;
                // What matters is sent at once anyway.
                let _ = tcp.set_nodelay(true);
                Ok((Incoming::Tcp(tcp), peer))
            }
            Accepting::Unix(unix) => {
                let (unix, _) = unix.accept().await?;
                Ok((Incoming::Unix(unix), UNIX_PEER))
            }
        }
    }

    /// A socket that no runtime has again.
    pub(super) fn into_socket(self, kept: Kept) -> io::Result<Socket> {
        let kind = match self {
            Accepting::Tcp(tcp) => Kind::Tcp(tcp.into_std()?),
            Accepting::Unix(unix) => Kind::Unix(unix.into_std()?),
        };
        Ok(Socket { kind, file: kept.0 })
    }
}

impl Incoming {
    /// Our end, if it has an address.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Incoming::Tcp(tcp) => tcp.local_addr().ok(),
            Incoming::Unix(_) => None,
        }
    }

    pub(super) fn into_stream(self) -> Stream {
        match self {
            Incoming::Tcp(tcp) => tcp.into(),
            Incoming::Unix(unix) => Stream::new(unix),
        }
    }

    /// Says why, if the peer can be told without waiting for it: what is written
    /// first on a connection always fits its buffer.
    pub(super) fn refuse(self, why: &str) {
        match self {
            Incoming::Tcp(tcp) => {
                if let Ok(mut tcp) = tcp.into_std() {
                    let _ = tcp.write(why.as_bytes());
                }
            }
            Incoming::Unix(unix) => {
                if let Ok(mut unix) = unix.into_std() {
                    let _ = unix.write(why.as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MODE: FileMode = FileMode(0o600);

    #[test]
    fn an_address_in_use_is_said_so() {
        let any = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let taken = Socket::bind(&any(text), MODE).unwrap();
            let error = Socket::bind(&taken.address().unwrap(), MODE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn both_families_side_by_side() {
        let six = Socket::bind(&"[::]:0".parse().unwrap(), MODE).unwrap();
        let port = six.address().unwrap().tcp().unwrap().port();
        Socket::bind(&format!("0.0.0.0:{port}").parse().unwrap(), MODE).unwrap();
    }

    #[test]
    fn the_file_of_a_unix_socket_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sock");
        let address = ListenAddress::Unix(path.clone());
        let socket = Socket::bind(&address, MODE).unwrap();
        assert_eq!(socket.address().unwrap(), address);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = Socket::bind(&address, MODE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        // One that a server left behind which was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::bind(&address, MODE).unwrap();
        // Somebody has put another one there.
        std::fs::remove_file(&path).unwrap();
        let other = Socket::bind(&address, MODE).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);
        // A file that is none of ours is not touched.
        std::fs::write(&path, "letters").unwrap();
        let error = Socket::bind(&address, MODE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "letters");
        let nowhere = ListenAddress::Unix(dir.path().join("no/x.sock"));
        let error = Socket::bind(&nowhere, MODE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
