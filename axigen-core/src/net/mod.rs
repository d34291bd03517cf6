//! Between the sockets and the sessions: connections, TLS, listeners and the
//! rules that accept or deny.

pub mod bans;
pub(crate) mod by_name;
mod certificate;
pub mod conn;
mod deflate;
pub mod https;
pub(crate) mod listener;
mod proxy;
pub mod rules;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod trust;

pub use certificate::ClientCertificate;
pub use conn::Conn;
pub use https::Https;
pub use socket::Socket;
pub use stream::Stream;
