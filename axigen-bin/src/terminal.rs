//! Asking a person: passwords, and whether to go on.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::Password;
use crate::failure::Failure;

/// Longest password line that is read, in bytes; the directory allows less.
const LONGEST: u64 = 64 * 1024;

/// From a file, or asked for. Never from the command line, which others can
/// read.
pub(crate) fn password(options: &Password) -> Result<String, Failure> {
    let password = match options.password_file.as_deref() {
        Some(path) if path == Path::new("-") => line(std::io::stdin().lock()),
        Some(path) => std::fs::File::open(path)
            .and_then(|file| line(std::io::BufReader::new(file)))
            .map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            }),
        None if std::io::stdin().is_terminal() => return typed(),
        None => line(std::io::stdin().lock()),
    };
    not_empty(password.map_err(unread)?)
}

/// Typed twice, for nobody sees what is typed.
fn typed() -> Result<String, Failure> {
    let first = {
        let _hidden = Hidden::start();
        hidden("Password: ")?
    };
    let first = not_empty(first)?;
    let second = {
        let _hidden = Hidden::start();
        hidden("The same again: ")?
    };
    match first == second {
        true => Ok(first),
        false => Err(Failure::new("the two passwords differ")),
    }
}

fn hidden(question: &str) -> Result<String, Failure> {
    let answer = ask(question).and_then(|()| line(std::io::stdin().lock()));
    // The end of the line was not shown either.
    let _ = ask("\n");
    answer.map_err(unread)
}

fn not_empty(password: String) -> Result<String, Failure> {
    match password.is_empty() {
        true => Err(Failure::new("the password is empty")),
        false => Ok(password),
    }
}

fn unread(error: std::io::Error) -> Failure {
    Failure::new(format!("the password cannot be read: {error}"))
}

/// Asks for a yes; anything else is a no.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("say --yes to remove without being asked"));
    }
    let answer = ask(&format!("{question} [y/N] ")).and_then(|()| line(std::io::stdin().lock()));
    let answer = answer
        .map_err(|error| Failure::new(format!("the answer cannot be read: {error}")))?
        .to_lowercase();
    Ok(matches!(answer.as_str(), "y" | "yes"))
}

/// To standard error, so that standard output stays clean.
fn ask(question: &str) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    out.write_all(question.as_bytes())?;
    out.flush()
}

fn line(input: impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    input.take(LONGEST).read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// As long as it lives, the terminal does not show what is typed.
struct Hidden(Option<Termios>);

impl Hidden {
    fn start() -> Hidden {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            // What cannot be hidden is still better asked for than refused.
            let _ = tcsetattr(&stdin, OptionalActions::Flush, &quiet);
        }
        Hidden(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Progress of long work, in one line on standard error; nothing where nobody
/// looks on.
#[derive(Debug)]
pub(crate) struct Bar {
    last: Option<Instant>,
    shown: bool,
}

/// How often progress is shown.
const STEP: Duration = Duration::from_millis(200);
/// Characters of a bar.
const WIDTH: u64 = 30;

impl Bar {
    pub(crate) fn new() -> Bar {
        Bar {
            last: None,
            shown: std::io::stderr().is_terminal(),
        }
    }

    /// Shows how much of what is done, now and then.
    pub(crate) fn show(&mut self, what: &str, done: u64, all: u64) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < STEP) {
            return;
        }
        self.last = Some(Instant::now());
        let full = (WIDTH * done.min(all)).checked_div(all).unwrap_or(0) as usize;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(WIDTH as usize - full));
        let _ = write!(std::io::stderr(), "\r\x1b[K[{bar}] {done} of {all} {what}");
    }

    /// Makes the line empty again.
    pub(crate) fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
