//! Scripts in the format of Dovecot's ImapTest against the real server: ours,
//! and those of a folder that `AXIGEN_CONFORMANCE_SCRIPTS` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod args;
mod matching;
mod run;
mod script;

use std::path::{Path, PathBuf};

use axigen_tests::demo::{Demo, Port};

use run::{Account, Outcome};

/// A line of `differs.tsv`.
struct Differs {
    script: String,
    /// The command; `*` is anything.
    command: String,
    seen: bool,
}

impl Differs {
    /// `script TAB command TAB reason`, comments with `#`.
    fn read(path: &Path) -> Vec<Differs> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                let [script, command, reason] = fields[..] else {
                    panic!("{line}: not three fields");
                };
                assert!(reason.contains("RFC "), "{line}: no reason");
                Differs {
                    script: script.into(),
                    command: command.into(),
                    seen: false,
                }
            })
            .collect()
    }

    fn is(&self, script: &str, command: &str) -> bool {
        let mut pieces = self.command.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = command.strip_prefix(first) else {
            return false;
        };
        let mut last = first;
        for piece in pieces {
            last = piece;
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        self.script == script && (rest.is_empty() || last.is_empty())
    }
}

/// Runs the scripts of a folder, and says what failed.
fn folder(folder: &Path, mut known: Vec<Differs>) -> Vec<String> {
    let scripts = run::scripts(folder).unwrap();
    assert!(!scripts.is_empty(), "{folder:?} has no scripts");
    // Two for each.
    let accounts = (scripts.len() * 2).to_string();
    let demo = Demo::start(&["--accounts", &accounts]);
    let (mut commands, mut skipped, mut failed) = (0, Vec::new(), Vec::new());
    let mut ran_names = Vec::new();
    for (number, script) in scripts.iter().enumerate() {
        let name = script.path.file_name().unwrap();
        let name = name.to_string_lossy().into_owned();
        let account = |n: usize| Account {
            user: format!("u{}@example.test", number * 2 + n),
            password: "demo".into(),
        };
        match run::run(script, &demo.addr(Port::Imap), &[account(1), account(2)]) {
            Ok(Outcome::Ran(ran, failures)) => {
                commands += ran;
                for failure in failures {
                    let differs = known.iter_mut().find(|d| d.is(&name, &failure.command));
                    match differs {
                        Some(differs) => differs.seen = true,
                        None => failed.push(format!(
                            "{name}:{}: {}\n    {}",
                            failure.line, failure.command, failure.words
                        )),
                    }
                }
                ran_names.push(name);
            }
            Ok(Outcome::Skipped(missing)) => skipped.push(format!("{name} ({missing})")),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    let ran = ran_names.len();
    println!("{ran} scripts, {commands} commands, skipped: {skipped:?}");
    let agreed = known
        .iter()
        .filter(|of| !of.seen && ran_names.contains(&of.script));
    failed.extend(agreed.map(|of| format!("{}: {}: differs no longer", of.script, of.command)));
    failed
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

#[test]
fn our_scripts() {
    let failed = folder(&here().join("scripts"), Vec::new());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What mail programs are known to send.
#[test]
fn mail_programs() {
    let failed = folder(&here().join("clients"), Vec::new());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Those of others, unmodified; without a folder there is nothing to run, but
/// the table of differences is read all the same.
#[test]
fn scripts_of_others() {
    let differs = Differs::read(&here().join("differs.tsv"));
    assert!(differs[0].is(&differs[0].script, &differs[0].command));
    let Some(path) = std::env::var_os("AXIGEN_CONFORMANCE_SCRIPTS") else {
        println!("AXIGEN_CONFORMANCE_SCRIPTS names no folder");
        return;
    };
    let failed = folder(Path::new(&path), differs);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
