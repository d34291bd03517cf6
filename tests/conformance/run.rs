//! A script against the server.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use axigen_tests::wire::Wire;

use super::args::{Arg, parse, show};
use super::matching::Variables;
use super::script::{Command, Group, Script, State, mbox};

/// The mailbox scripts work in.
const MAILBOX: &str = "imaptest";

/// Who logs in.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// `user@domain`
    pub(super) user: String,
    /// The password.
    pub(super) password: String,
}

/// What a script came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// So many commands, and what failed.
    Ran(usize, Vec<Failure>),
    /// The server does not have a capability.
    Skipped(String),
}

/// A line that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// Where it stands.
    pub(super) line: usize,
    /// The command it belongs to, as the script has it, without literals.
    pub(super) command: String,
    /// What was wanted and what came.
    pub(super) words: String,
}

/// A connection of a script.
struct Client {
    wire: Wire,
    tags: u32,
    /// How many messages it knows of.
    messages: u32,
}

struct Run<'a> {
    script: &'a Script,
    clients: Vec<Client>,
    variables: Variables,
    mails: Vec<(Option<String>, Vec<u8>)>,
    next: usize,
    failed: Vec<Failure>,
}

/// Runs a script with an account of its own, and a second one.
pub(super) fn run(script: &Script, addr: &str, accounts: &[Account; 2]) -> Result<Outcome, String> {
    let own = script.path.with_extension("mbox");
    let shared = script.path.with_file_name("default.mbox");
    let mails = mbox(if own.exists() { &own } else { &shared });
    if mails.is_empty() {
        return Err(format!("{}: no mbox", script.path.display()));
    }
    let mut run = Run {
        script,
        clients: Vec::new(),
        variables: Variables::default(),
        mails,
        next: 0,
        failed: Vec::new(),
    };
    run.variables.set("mailbox", MAILBOX.as_bytes());
    run.variables.set("mailbox_url", MAILBOX.as_bytes());
    for connection in 0..script.connections {
        let other = script
            .users
            .iter()
            .any(|(n, user)| *n == connection && user.contains("user2"));
        let account = &accounts[usize::from(other)];
        let number = match connection {
            0 => String::new(),
            n => (n + 1).to_string(),
        };
        let (name, domain) = account.user.split_once('@').unwrap_or((&account.user, ""));
        for (variable, value) in [
            ("user", account.user.as_str()),
            ("username", name),
            ("domain", domain),
            ("password", &account.password),
        ] {
            run.variables
                .set(&format!("{variable}{number}"), value.as_bytes());
        }
        let mut client = Client {
            wire: Wire::connect(addr),
            tags: 0,
            messages: 0,
        };
        if script.state > State::Nonauth || connection > 0 {
            client.wire.line();
        }
        if script.state > State::Nonauth {
            client.must(&format!(
                "LOGIN \"{}\" \"{}\"",
                account.user, account.password
            ))?;
        }
        run.clients.push(client);
    }
    if let Some(missing) = run.prepare()? {
        return Ok(Outcome::Skipped(missing));
    }
    for group in &script.groups {
        if let Err(gone) = run.group(group) {
            run.fail(group, group.commands.first(), None, gone);
            break;
        }
        std::thread::sleep(Duration::from_millis(group.sleep));
    }
    let commands = script.groups.iter().map(|g| g.commands.len()).sum();
    Ok(Outcome::Ran(commands, run.failed))
}

impl Run<'_> {
    /// Brings the mailbox and the connections to where the script starts; or
    /// the capability that is missing.
    fn prepare(&mut self) -> Result<Option<String>, String> {
        let state = self.script.state;
        if state == State::Nonauth && self.script.capabilities.is_empty() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&self.clients[0].must("CAPABILITY")?).to_uppercase();
        let has: Vec<&str> = said.split_whitespace().collect();
        let mut wanted = self.script.capabilities.iter();
        if let Some(missing) = wanted.find(|c| !has.contains(&c.as_str())) {
            return Ok(Some(missing.clone()));
        }
        if state >= State::Created {
            self.clients[0].must(&format!("CREATE {MAILBOX}"))?;
        }
        if state >= State::Appended {
            for _ in 0..self.script.messages.unwrap_or(self.mails.len()) {
                let command = self.append(b"append");
                self.clients[0].must(&String::from_utf8_lossy(&command))?;
            }
        }
        if state >= State::Selected {
            for client in &mut self.clients {
                client.must(&format!("SELECT {MAILBOX}"))?;
            }
        }
        Ok(None)
    }

    /// `APPEND` with what the script left out: the next message of the mbox,
    /// and if it names nothing, the mailbox and when the message came.
    fn append(&mut self, command: &[u8]) -> Vec<u8> {
        let (came, mail) = &self.mails[self.next % self.mails.len()];
        self.next += 1;
        let mut whole = command.to_vec();
        if command.eq_ignore_ascii_case(b"append") {
            whole.extend(format!(" {MAILBOX}").bytes());
            if let Some(came) = came {
                whole.extend(format!(" {came}").bytes());
            }
        }
        whole.extend(format!(" {{{}}}\r\n", mail.len()).bytes());
        whole.extend_from_slice(mail);
        whole
    }

    fn group(&mut self, group: &Group) -> Result<(), String> {
        let mut sent: Vec<Option<String>> = Vec::new();
        let mut found = vec![false; group.untagged.len()];
        let mut heard: VecDeque<Vec<Arg>> = VecDeque::new();
        let messages = self.clients[group.connection].messages;
        self.variables.count(messages);
        let closes = group.untagged.iter().any(|u| {
            u.mark == b'*' && u.args.first().and_then(Arg::atom).as_deref() == Some("bye")
        });
        for command in &group.commands {
            let text = match self.variables.expand(&command.text) {
                Ok(text) => text,
                Err(what) => {
                    self.fail(group, Some(command), None, what);
                    return Ok(());
                }
            };
            let word = text.split(|&b| b == b' ').next().unwrap_or_default();
            let puts = [b"append".as_slice(), b"replace"]
                .iter()
                .any(|c| word.eq_ignore_ascii_case(c))
                || text.to_ascii_lowercase().starts_with(b"uid replace");
            let whole = String::from_utf8_lossy(&text).to_ascii_lowercase();
            let text = if puts && !whole.contains("}\r\n") && !whole.contains("catenate") {
                self.append(&text)
            } else {
                text
            };
            let client = &mut self.clients[group.connection];
            let tag = client.send(&text, &mut heard)?;
            sent.push(Some(tag));
        }
        if let Some(Some(tag)) = sent.first() {
            self.variables.set("tag", tag.as_bytes());
        }
        while group.commands.is_empty() && heard.is_empty()
            || sent.iter().any(Option::is_some)
            || !heard.is_empty()
        {
            let args = match heard.pop_front() {
                Some(args) => args,
                None => match self.clients[group.connection].response()? {
                    Some(args) => args,
                    None if closes => break,
                    None => return Err("the connection was closed".into()),
                },
            };
            let first = args.first().and_then(Arg::text).unwrap_or_default();
            let first = String::from_utf8_lossy(first).into_owned();
            let answered = sent.iter().position(|t| t.as_deref() == Some(&first));
            match answered {
                Some(at) => {
                    sent[at] = None;
                    let command = &group.commands[at];
                    let wanted = command.reply.as_deref().unwrap_or_default();
                    if !self.variables.fits(wanted, &args[1..], true) {
                        let said = show(&args[1..]);
                        let words = format!("wanted {}, got {said}", show(wanted));
                        self.fail(group, Some(command), None, words);
                    }
                }
                None => self.untagged(group, &args[1..], &mut found),
            }
            if group.commands.is_empty() {
                break;
            }
        }
        self.variables.unset("tag");
        for (line, found) in group.untagged.iter().zip(&found) {
            if line.mark == b'*' && !found {
                let words = format!("missing: * {}", show(&line.args));
                self.fail(group, group.commands.first(), Some(line.line), words);
            }
        }
        Ok(())
    }

    fn fail(&mut self, group: &Group, of: Option<&Command>, line: Option<usize>, words: String) {
        let of = of.or(group.commands.first());
        let text = of.map_or(&b""[..], |command| &command.text);
        let command = text.split(|&b| b == b'\r').next().unwrap_or_default();
        self.failed.push(Failure {
            line: line.or(of.map(|of| of.line)).unwrap_or_default(),
            command: String::from_utf8_lossy(command).into_owned(),
            words,
        });
    }

    fn untagged(&mut self, group: &Group, args: &[Arg], found: &mut [bool]) {
        let word = args.first().and_then(Arg::atom).unwrap_or_default();
        let status = matches!(word.as_str(), "ok" | "no" | "bad" | "bye" | "preauth");
        let mut fitted = false;
        for (line, found) in group.untagged.iter().zip(found) {
            if *found {
                continue;
            }
            if self.variables.fits(&line.args, args, status) {
                if line.mark == b'!' {
                    let words = format!("not wanted: * {}", show(args));
                    self.fail(group, group.commands.first(), Some(line.line), words);
                    return;
                }
                *found = true;
                fitted = true;
                if group.ordered {
                    break;
                }
            } else if group.ordered && line.mark == b'*' {
                break;
            }
        }
        if !fitted && !self.script.extra && !status {
            let words = format!("nothing speaks of: * {}", show(args));
            self.fail(group, group.commands.first(), None, words);
        }
        let client = &mut self.clients[group.connection];
        let number = std::str::from_utf8(args.first().and_then(Arg::text).unwrap_or_default())
            .ok()
            .and_then(|n| n.parse::<u32>().ok());
        match (number, args.get(1).and_then(Arg::atom).as_deref()) {
            (Some(number), Some("exists")) => client.messages = number,
            (Some(number), Some("expunge")) => {
                client.messages = client.messages.saturating_sub(1);
                self.variables.expunged(number);
            }
            _ => {}
        }
    }
}

impl Client {
    /// Sends a command, waiting before each literal until the server wants it.
    /// What is heard meanwhile is kept.
    fn send(&mut self, text: &[u8], heard: &mut VecDeque<Vec<Arg>>) -> Result<String, String> {
        self.tags += 1;
        let tag = format!("T{}", self.tags);
        let gone = |e: std::io::Error| e.to_string();
        let mut piece = format!("{tag} ").into_bytes();
        let mut rest = text;
        loop {
            let Some((line, behind, length)) = literal(rest) else {
                piece.extend_from_slice(rest);
                piece.extend_from_slice(b"\r\n");
                self.wire.try_send(&piece).map_err(gone)?;
                return Ok(tag);
            };
            piece.extend_from_slice(line);
            self.wire.try_send(&piece).map_err(gone)?;
            loop {
                let args = self.response()?.ok_or("the connection was closed")?;
                match args.first().and_then(Arg::text) {
                    Some(b"+") => break,
                    Some(word) if word == tag.as_bytes() => {
                        heard.push_back(args);
                        return Ok(tag);
                    }
                    _ => heard.push_back(args),
                }
            }
            piece = behind[..length].to_vec();
            rest = &behind[length..];
        }
    }

    /// A response with its literals; none at the end of the stream.
    fn response(&mut self) -> Result<Option<Vec<Arg>>, String> {
        let gone = |e: std::io::Error| e.to_string();
        let mut line = self.wire.try_line().map_err(gone)?;
        if line.is_empty() {
            return Ok(None);
        }
        let mut from = 0;
        while let Some((start, _, length)) = literal(&line[from..]) {
            from += start.len() + length;
            line.extend(self.wire.bytes(length));
            line.extend(self.wire.try_line().map_err(gone)?);
        }
        Ok(Some(parse(line.strip_suffix(b"\r\n").unwrap_or(&line))))
    }

    /// A command that has to be answered OK: everything that was said.
    fn must(&mut self, command: &str) -> Result<Vec<u8>, String> {
        let mut heard = VecDeque::new();
        let tag = self.send(command.as_bytes(), &mut heard)?;
        let mut said = Vec::new();
        loop {
            let args = match heard.pop_front() {
                Some(args) => args,
                None => self.response()?.ok_or("the connection was closed")?,
            };
            said.extend(show(&args).bytes());
            said.push(b' ');
            let word = args.get(1).and_then(Arg::atom);
            if args.first().and_then(Arg::text) == Some(tag.as_bytes()) {
                return match word.as_deref() {
                    Some("ok") => Ok(said),
                    _ => Err(format!("{command}: {}", String::from_utf8_lossy(&said))),
                };
            }
            let number = args.get(1).and_then(Arg::text).unwrap_or_default();
            let number = std::str::from_utf8(number)
                .ok()
                .and_then(|n| n.parse().ok());
            if let (Some(number), Some("exists")) =
                (number, args.get(2).and_then(Arg::atom).as_deref())
            {
                self.messages = number;
            }
        }
    }
}

/// The first line of what ends in a literal's size, what follows it, the size.
fn literal(text: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let end = text.windows(2).position(|w| w == b"\r\n")? + 2;
    let (line, behind) = text.split_at(end);
    let open = line.iter().rposition(|&b| b == b'{')?;
    let size = std::str::from_utf8(line.get(open + 1..)?).ok()?;
    let length = size.strip_suffix("}\r\n")?.parse().ok()?;
    Some((line, behind, length))
}

/// The scripts of a folder, by name.
pub(super) fn scripts(folder: &Path) -> Result<Vec<Script>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{folder:?}: {e}"))?;
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_none())
        .filter(|path| path.file_name().is_some_and(|n| n != "Makefile"))
        .collect();
    paths.sort();
    paths.iter().map(|path| Script::read(path)).collect()
}
