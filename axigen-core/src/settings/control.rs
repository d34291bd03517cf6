//! Settings of the control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span};
use crate::control::SOCKET;

/// The socket by which programs on this machine ask and tell the running server,
/// as `axigen queue` does. Only the user the server runs as, and root, may open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// Whether there is one.
    pub enable: bool,
    /// Its file, with a path of at most 107 bytes. Empty means control.sock in the
    /// server's directory.
    pub socket: PathBuf,
    /// Most connections at a time, 1 to 1000.
    pub connections: usize,
    /// Longest command in bytes, 1 KB to 16 MB.
    pub line: Size,
    /// How long a connection may say nothing, or read nothing of an answer.
    pub idle_timeout: Span,
}

impl Default for ControlSettings {
    fn default() -> ControlSettings {
        ControlSettings {
            enable: true,
            socket: PathBuf::new(),
            connections: 16,
            line: Size(64 << 10),
            idle_timeout: Span(Duration::from_secs(300)),
        }
    }
}

impl ControlSettings {
    /// Where the socket of a server with this directory is.
    pub fn path(&self, directory: &Path) -> PathBuf {
        match self.socket.as_os_str().is_empty() {
            true => directory.join(SOCKET),
            false => self.socket.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn limits_out_of_range_are_named() {
        let wrong = |connections, line, seconds| {
            let settings = Settings {
                control: ControlSettings {
                    connections,
                    line: Size(line),
                    idle_timeout: Span(Duration::from_secs(seconds)),
                    ..ControlSettings::default()
                },
                ..Settings::default()
            };
            let problems = settings.problems();
            let named = problems.iter().map(ToString::to_string);
            named.filter(|text| text.contains("control.")).count()
        };
        assert_eq!(wrong(1, 1 << 10, 1), 0);
        assert_eq!(wrong(0, 100, 0), 3);
        assert_eq!(wrong(1001, 17 << 20, 1), 2);
    }
}
