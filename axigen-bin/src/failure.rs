//! Why a command failed, in words for a person.

use std::fmt;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<axigen_core::directory::Error> for Failure {
    fn from(error: axigen_core::directory::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<axigen_core::store::Error> for Failure {
    fn from(error: axigen_core::store::Error) -> Failure {
        Failure(match error {
            axigen_core::store::Error::Locked(dir) => {
                format!("the store in {dir} is in use: stop the server that runs on it first")
            }
            other => other.to_string(),
        })
    }
}

impl From<axigen_core::error::Error> for Failure {
    fn from(error: axigen_core::error::Error) -> Failure {
        use axigen_core::error::Error;
        use axigen_core::settings::ListenAddress;
        Failure(match error {
            Error::Bind {
                service,
                address: ListenAddress::Tcp(address),
                source,
            } if source.kind() == std::io::ErrorKind::AddrInUse => format!(
                "port {} on {} is in use, so {service} cannot listen there: stop the program that uses it, or give {service} another port in axigen.cfg",
                address.port(),
                address.ip()
            ),
            Error::Bind {
                service,
                address: ListenAddress::Tcp(address),
                source,
            } if source.kind() == std::io::ErrorKind::PermissionDenied => format!(
                "{service} may not listen on {address}: ports below 1024 need root, or the capability to bind them"
            ),
            other => other.to_string(),
        })
    }
}

impl From<axigen_core::control::client::Error> for Failure {
    fn from(error: axigen_core::control::client::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<axigen_core::settings::Problem> for Failure {
    fn from(problem: axigen_core::settings::Problem) -> Failure {
        Failure(problem.to_string())
    }
}

impl From<axigen_core::mailbox::Error> for Failure {
    fn from(error: axigen_core::mailbox::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// To standard error.
#[allow(clippy::print_stderr)]
pub(crate) fn print(failure: &Failure) {
    eprintln!("axigen: {failure}");
}
