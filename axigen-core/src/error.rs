//! What can keep a server from running.

use std::io;

use crate::settings::{ListenAddress, Problem};

/// What can keep a server from running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A listener's address cannot be used; a port in use is the usual reason.
    #[error("{service} cannot listen on {address}: {source}")]
    Bind {
        /// The service.
        service: &'static str,
        /// The address.
        address: ListenAddress,
        /// Why.
        source: io::Error,
    },
    /// The control socket cannot be made.
    #[error("the control socket cannot be made: {0}")]
    Control(io::Error),
    /// A service that does not exist, or that runs already.
    #[error("{0}")]
    Service(String),
    /// Settings that cannot be served.
    #[error("{}", one_by_one(.0))]
    Settings(Vec<Problem>),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] crate::net::tls::Error),
    /// The directory failed.
    #[error(transparent)]
    Directory(#[from] crate::directory::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] axigen_store::Error),
    /// A runtime's threads cannot be started, a socket cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn one_by_one(problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    all.join("; ")
}
