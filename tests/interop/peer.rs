//! What the tests ask of another server.

use std::path::Path;
use std::time::{Duration, Instant};

use axigen_tests::wire::Wire;

use crate::here::Mail;

pub(crate) trait Peer {
    /// Its domain, which has the users `bob` and `jörg`.
    const DOMAIN: &'static str;
    /// Where it listens, at the port of [`Here`](crate::here::Here).
    const ADDRESS: &'static str;

    /// The mails of a user, line ends as on the wire.
    fn mailbox(&self, user: &str) -> Vec<String>;

    /// Whether it was brought a message by BDAT.
    fn has_chunks(&self) -> bool;

    /// Whether it says that a message came inside TLS.
    fn came_by_tls(text: &str) -> bool;

    /// The port it listens at.
    fn port(&self) -> u16;

    /// Gives it a message for another host.
    fn send(&self, mail: &Mail) {
        let mut wire = Wire::connect(&format!("{}:{}", Self::ADDRESS, self.port()));
        wire.smtp_reply();
        wire.smtp("EHLO client.test");
        mail.hand_over(&mut wire);
    }
}

/// The files of a Maildir.
pub(crate) fn maildir(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for part in ["new", "cur"] {
        let Ok(files) = std::fs::read_dir(dir.join(part)) else {
            continue;
        };
        for file in files {
            // It may be moved at this moment.
            let Ok(bytes) = std::fs::read(file.unwrap().path()) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
            all.push(text.replace('\n', "\r\n"));
        }
    }
    all
}

/// Waits until there is something.
pub(crate) fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it does not come"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a server listens.
pub(crate) fn listens(address: &str) {
    until(|| std::net::TcpStream::connect(address).ok());
}
