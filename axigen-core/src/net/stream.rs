//! A byte stream of any kind.

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection runs on: TCP, TLS, an in-memory pipe.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A byte stream of any kind.
pub struct Stream(pub(crate) Box<dyn Io>);

impl Stream {
    /// Wraps a stream.
    pub fn new(io: impl Io + 'static) -> Stream {
        Stream(Box::new(io))
    }

    /// What was wrapped, for a service that needs no [`Conn`](super::Conn).
    pub fn into_inner(self) -> Box<dyn Io> {
        self.0
    }
}

impl From<tokio::net::TcpStream> for Stream {
    fn from(tcp: tokio::net::TcpStream) -> Stream {
        Stream::new(tcp)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
