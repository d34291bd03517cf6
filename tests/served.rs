//! The reference server as it is really run: `axigen init`, an `axigen.cfg`,
//! `axigen serve`, on ports of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::demo::{Killed, binary, ended, free_offset, ready, signal};
use crate::tool::{Said, finish};

/// An `axigen.cfg`: SMTP, IMAP and POP3 without TLS.
pub const PLAIN: &str = r#"
hostname = "mail.example.test"
[smtp_in]
enable = true
[[smtp_in.listeners]]
address = "127.0.0.1:PORT+2525"
tls = "none"
[imap]
enable = true
[[imap.listeners]]
address = "127.0.0.1:PORT+2143"
tls = "none"
plaintext_login = true
[pop3]
enable = true
[[pop3.listeners]]
address = "127.0.0.1:PORT+2110"
tls = "none"
plaintext_login = true
"#;
/// Its port for SMTP, for [`House::addr`].
pub const SMTP: u16 = 2525;
/// Its port for IMAP.
pub const IMAP: u16 = 2143;
/// Its port for POP3.
pub const POP3: u16 = 2110;

/// A directory with an `axigen.cfg`, and perhaps a server that runs on it.
#[derive(Debug)]
pub struct House {
    /// Everything is in here.
    pub dir: TempDir,
    offset: u16,
    _ports: File,
}

/// A running `axigen serve`, killed when dropped.
#[derive(Debug)]
pub struct Served {
    child: Killed,
    rest: Option<JoinHandle<String>>,
}

impl House {
    /// A directory without any file in it.
    pub fn empty() -> House {
        let (offset, ports) = free_offset();
        House {
            dir: TempDir::new().expect("a temporary directory"),
            offset,
            _ports: ports,
        }
    }

    /// With an `axigen.cfg` of this text; `PORT+25` in it becomes a free port,
    /// always the same for the same number.
    pub fn with(text: &str) -> House {
        let house = House::empty();
        house.configure(text);
        house
    }

    /// Writes `axigen.cfg` anew.
    pub fn configure(&self, text: &str) {
        let mut whole = String::new();
        let mut parts = text.split("PORT+");
        whole.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            let (number, rest) = part.split_at(digits);
            let number: u16 = number.parse().expect("a number behind PORT+");
            whole.push_str(&format!("{}{rest}", self.port(number)));
        }
        std::fs::write(self.config(), whole).expect("axigen.cfg is written");
    }

    /// The port that `PORT+NUMBER` stands for.
    pub fn port(&self, number: u16) -> u16 {
        self.offset + number
    }

    /// `127.0.0.1:PORT`
    pub fn addr(&self, number: u16) -> String {
        format!("127.0.0.1:{}", self.port(number))
    }

    /// Where the configuration file is.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("axigen.cfg")
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, in this directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.dir.path());
        command
    }

    /// Runs the program in this directory to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    /// The same with standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Said {
        finish(self.command(args), input.as_bytes())
    }

    /// Adds an account.
    #[track_caller]
    pub fn add(&self, address: &str, password: &str) {
        let args = ["account", "add", address, "--password-file", "-"];
        self.run_with(&args, &format!("{password}\n")).ok();
    }

    /// A certificate for 127.0.0.1 that has signed itself: `NAME.pem` and
    /// `NAME.key`.
    pub fn certificate(&self, name: &str) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.dir.path()).args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.pem"),
        ]);
        finish(openssl, b"").ok();
    }

    /// `axigen serve`, ready.
    pub fn serve(&self) -> Served {
        let (child, rest) = ready(self.command(&["serve"]));
        Served {
            child,
            rest: Some(rest),
        }
    }

    /// Counts everything again. No server may be running.
    #[track_caller]
    pub fn verify(&self) {
        crate::verify::verify(&self.store());
    }

    /// Where the mail is kept if the file does not say otherwise.
    pub fn store(&self) -> PathBuf {
        Path::new(self.dir.path()).join("mail")
    }
}

impl Served {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// The exit status of a server that was told to end, and what it said
    /// since it was ready.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        let status = ended(&mut self.child.0);
        let rest = self.rest.take().map(JoinHandle::join);
        (status, rest.and_then(Result::ok).unwrap_or_default())
    }
}
