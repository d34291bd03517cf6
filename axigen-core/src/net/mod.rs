//! Between the sockets and the sessions: connections, TLS, listeners and the
//! rules that accept or deny.

mod certificate;
pub mod conn;
mod deflate;
pub mod listener;
pub mod rules;
pub mod stream;
pub mod tls;
pub mod trust;

pub use certificate::ClientCertificate;
pub use conn::Conn;
pub use stream::Stream;
