//! Other people's mail programs, run to their end.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
    /// Standard output and standard error as text.
    pub text: String,
}

/// Runs a program for at most two minutes.
///
/// # Panics
/// If it is not installed: `tests/run install` installs it. Nothing is skipped silently.
pub fn run(program: &str, args: &[&str], input: &[u8]) -> Said {
    let mut command = Command::new(program);
    command.args(args);
    finish(command, input)
}

/// Runs a prepared command for at most two minutes.
pub fn finish(mut command: Command, input: &[u8]) -> Said {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{name} cannot be started ({e}): run `tests/run install`"));
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    std::thread::spawn(move || stdin.write_all(&input));
    let pid = child.id();
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let began = Instant::now();
    let Output {
        status,
        stdout,
        stderr,
    } = match finished.recv_timeout(Duration::from_secs(120)) {
        Ok(output) => output.expect("output"),
        Err(_) => {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            panic!("{name} still ran after {:?}", began.elapsed());
        }
    };
    let mut text = String::from_utf8_lossy(&stdout).into_owned();
    let err = String::from_utf8_lossy(&stderr).into_owned();
    text.push_str(&err);
    Said {
        code: status.code(),
        out: stdout,
        err,
        text,
    }
}

impl Said {
    /// Asserts exit code 0.
    #[track_caller]
    pub fn ok(self) -> Said {
        assert_eq!(self.code, Some(0), "it said:\n{}", self.text);
        self
    }

    /// Asserts exit code 1, and a reason that holds all of `words`, in lines of
    /// the program's own.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Said {
        assert_eq!(self.code, Some(1), "it said:\n{}", self.text);
        for line in self.err.lines() {
            assert!(line.starts_with("axigen: "), "{}", self.err);
        }
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in:\n{}", self.err);
        }
        self
    }
}
