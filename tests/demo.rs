//! The reference server as a real process: `axigen demo` on ports of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running `axigen demo`, killed when dropped.
#[derive(Debug)]
pub struct Demo {
    child: Killed,
    dir: PathBuf,
    offset: u16,
    args: Vec<String>,
    _dir: TempDir,
    _ports: File,
}

/// The demo's ports without the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u16)]
pub enum Port {
    Smtp = 2525,
    Lmtp = 2424,
    Submission = 2587,
    SubmissionTls = 2465,
    Imap = 2143,
    ImapTls = 2993,
    Pop3 = 2110,
    Pop3Tls = 2995,
}

impl Demo {
    /// Starts a demo on a fresh directory and waits until it is ready.
    pub fn start(args: &[&str]) -> Demo {
        let (offset, ports) = free_offset();
        let temp = TempDir::new().expect("a temporary directory");
        let dir = temp.path().join("mail");
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        let child = spawn(&dir, offset, &args);
        Demo {
            child,
            dir,
            offset,
            args,
            _dir: temp,
            _ports: ports,
        }
    }

    /// The port of a service.
    pub fn port(&self, port: Port) -> u16 {
        port as u16 + self.offset
    }

    /// `127.0.0.1:PORT` of a service.
    pub fn addr(&self, port: Port) -> String {
        format!("127.0.0.1:{}", self.port(port))
    }

    /// The directory the server keeps everything in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Whether the process is still running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.0.try_wait(), Ok(None))
    }

    /// Memory in use, in KB (VmRSS).
    pub fn resident_kb(&self) -> u64 {
        self.status_kb("VmRSS:")
    }

    /// The most memory that was ever in use, in KB (VmHWM).
    pub fn peak_kb(&self) -> u64 {
        self.status_kb("VmHWM:")
    }

    fn status_kb(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("status of the server");
        let line = status
            .lines()
            .find(|l| l.starts_with(name))
            .expect("a line of status");
        line.split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number of KB")
    }

    /// `kill -9`: no clean-up of any kind.
    pub fn kill(&mut self) {
        self.child.0.kill().expect("kill");
        self.child.0.wait().expect("wait");
    }

    /// Starts the server again on the same directory and ports.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir, self.offset, &self.args);
    }

    /// SIGTERM, and the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        ended(&mut self.child.0)
    }
}

impl Demo {
    /// Counts everything again. The server must have been stopped or killed.
    #[track_caller]
    pub fn verify(&self) {
        crate::verify::verify(&self.dir);
    }
}

/// The server's binary, built if it is not there yet.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let exe = std::env::current_exe().expect("path of the test");
        let profile = exe
            .parent()
            .and_then(Path::parent)
            .expect("target/PROFILE/deps")
            .to_path_buf();
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "-p", "axigen-bin"])
            .current_dir(root());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(
            build.status().expect("cargo build").success(),
            "the server does not build"
        );
        profile.join("axigen")
    })
}

/// The project's root directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the root")
}

fn spawn(dir: &Path, offset: u16, args: &[String]) -> Killed {
    let mut command = Command::new(binary());
    command
        .arg("demo")
        .arg("--dir")
        .arg(dir)
        .args(["--port-offset", &offset.to_string()])
        .args(args);
    ready(command).0
}

/// Starts a server and waits until it says that it is ready. What it says
/// afterwards is known when it has ended.
pub fn ready(mut command: Command) -> (Killed, JoinHandle<String>) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut child = Killed(child);
    let mut out = BufReader::new(child.0.stdout.take().expect("stdout"));
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let n = out.read_line(&mut line).expect("stdout of the server");
        assert!(
            n > 0,
            "the server ended before it was ready; it said:\n{said}"
        );
        said.push_str(&line);
        if line.starts_with("ready") {
            break;
        }
    }
    // The pipe must not fill up.
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        let _ = out.read_to_string(&mut rest);
        rest
    });
    (child, rest)
}

/// A process that is killed when dropped, so that a test that fails leaves none
/// behind.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal: `TERM`, `INT`.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
    assert!(sent.expect("kill").success(), "no process {pid}");
}

/// Waits for the end of a process that was told to end.
pub fn ended(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        assert!(
            Instant::now() < until,
            "the server did not stop within 20 s of the signal"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port offset that no other test uses as long as the file is open.
pub fn free_offset() -> (u16, File) {
    loop {
        for step in 7..27u16 {
            let path = std::env::temp_dir().join(format!("axigen-test-ports-{step}.lock"));
            let Ok(file) = File::create(path) else {
                continue;
            };
            if file.try_lock().is_ok() {
                return (step * 1000, file);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
