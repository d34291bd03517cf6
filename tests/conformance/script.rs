//! A script: a header, and groups of commands with what has to be answered.

use std::path::{Path, PathBuf};

use super::args::{Arg, parse};

/// How far a script wants to be brought before its first command. Each
/// includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Connected.
    Nonauth,
    /// Logged in, without the mailbox.
    Auth,
    /// The mailbox is there.
    Created,
    /// The messages are in it.
    Appended,
    /// All connections have opened it.
    Selected,
}

/// A script.
#[derive(Debug)]
pub(super) struct Script {
    /// Its file.
    pub(super) path: PathBuf,
    /// Without these it is not run.
    pub(super) capabilities: Vec<String>,
    /// How many connections it has.
    pub(super) connections: usize,
    /// Who logs in, by connection, where it is not the first account.
    pub(super) users: Vec<(usize, String)>,
    /// How many messages; none: all of the mbox once.
    pub(super) messages: Option<usize>,
    /// Where it starts.
    pub(super) state: State,
    /// Whether responses that no line speaks of are fine.
    pub(super) extra: bool,
    /// What it does.
    pub(super) groups: Vec<Group>,
}

/// Commands that are sent together, and what is told until all are answered.
#[derive(Debug)]
pub(super) struct Group {
    /// The connection, from 0.
    pub(super) connection: usize,
    /// The commands.
    pub(super) commands: Vec<Command>,
    /// The untagged responses.
    pub(super) untagged: Vec<Untagged>,
    /// Whether they come in this order.
    pub(super) ordered: bool,
    /// How long to rest behind it, in milliseconds.
    pub(super) sleep: u64,
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// Where it stands.
    pub(super) line: usize,
    /// The name the script has for it, `tag1`.
    pub(super) tag: Option<String>,
    /// What is sent.
    pub(super) text: Vec<u8>,
    /// What the tagged response begins with.
    pub(super) reply: Option<Vec<Arg>>,
}

/// A line about an untagged response.
#[derive(Debug)]
pub(super) struct Untagged {
    /// Where it stands.
    pub(super) line: usize,
    /// Whether it has to come (`*`), must not (`!`), or may (`?`).
    pub(super) mark: u8,
    /// What it says.
    pub(super) args: Vec<Arg>,
}

impl Script {
    /// Reads a script.
    pub(super) fn read(path: &Path) -> Result<Script, String> {
        let bytes = std::fs::read(path).map_err(|e| format!("{path:?}: {e}"))?;
        let mut script = Script {
            path: path.to_owned(),
            capabilities: Vec::new(),
            connections: 1,
            users: Vec::new(),
            messages: None,
            state: State::Selected,
            extra: true,
            groups: Vec::new(),
        };
        let mut header = true;
        let mut skipped: Vec<bool> = Vec::new();
        for (number, line) in lines(&bytes)? {
            let wrong = |what: String| format!("{} line {number}: {what}", path.display());
            if line.is_empty() {
                header = false;
                continue;
            }
            if line.starts_with(b"#") {
                continue;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            if header {
                script.header(&text).map_err(wrong)?;
            } else if let Some(name) = text.strip_prefix("!ifenv ") {
                skipped.push(std::env::var_os(name).is_none());
            } else if let Some(name) = text.strip_prefix("!ifnenv ") {
                skipped.push(std::env::var_os(name).is_some());
            } else if text == "!else" {
                let last = skipped
                    .last_mut()
                    .ok_or_else(|| wrong("else without if".into()))?;
                *last = !*last;
            } else if text == "!endif" {
                skipped
                    .pop()
                    .ok_or_else(|| wrong("endif without if".into()))?;
            } else if !skipped.contains(&true) {
                script.line(number, &line, &text).map_err(wrong)?;
            }
        }
        match script
            .groups
            .iter()
            .flat_map(|g| &g.commands)
            .find(|c| c.reply.is_none())
        {
            Some(command) => Err(format!(
                "{} line {}: no reply",
                path.display(),
                command.line
            )),
            None if script.groups.is_empty() => Err(format!("{}: no commands", path.display())),
            None => Ok(script),
        }
    }

    fn header(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once(':').ok_or("no colon in the header")?;
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "capabilities" => {
                self.capabilities = value
                    .split_whitespace()
                    .map(str::to_ascii_uppercase)
                    .collect();
            }
            "connections" => {
                self.connections = value.parse().map_err(|_| "no number of connections")?
            }
            "messages" if value == "all" => self.messages = None,
            "messages" => self.messages = Some(value.parse().map_err(|_| "no number of messages")?),
            "ignore_extra_untagged" => self.extra = value.starts_with('y'),
            "state" => {
                self.state = match value.to_ascii_lowercase().as_str() {
                    "nonauth" => State::Nonauth,
                    "auth" => State::Auth,
                    "created" => State::Created,
                    "appended" => State::Appended,
                    "selected" => State::Selected,
                    other => return Err(format!("state {other}")),
                };
            }
            key => {
                let number = key
                    .strip_prefix("user ")
                    .and_then(|n| n.parse::<usize>().ok())
                    .filter(|&n| n > 0)
                    .ok_or_else(|| format!("{key} in the header"))?;
                self.users.push((number - 1, value.to_owned()));
            }
        }
        Ok(())
    }

    fn line(&mut self, number: usize, line: &[u8], text: &str) -> Result<(), String> {
        if let Some(group) = self.groups.last_mut() {
            if let Some(time) = text.strip_prefix("!sleep ") {
                group.sleep = milliseconds(time)?;
                return Ok(());
            }
            if text == "!ordered" {
                group.ordered = true;
                return Ok(());
            }
            if let [mark @ (b'*' | b'!' | b'?'), b' ', rest @ ..] = line {
                let mut args = parse(rest);
                super::matching::defaults(&mut args);
                group.untagged.push(Untagged {
                    line: number,
                    mark: *mark,
                    args,
                });
                return Ok(());
            }
        }
        if self.groups.is_empty() && line.starts_with(b"* ") {
            self.groups.push(Group {
                connection: 0,
                commands: Vec::new(),
                untagged: Vec::new(),
                ordered: false,
                sleep: 0,
            });
            return self.line(number, line, text);
        }
        let (connection, rest) = match (self.connections, line.iter().position(|&b| b == b' ')) {
            (1, _) => (0, line),
            (_, Some(end)) => {
                let n: usize = text
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .parse()
                    .map_err(|_| "no number of a connection")?;
                (
                    n.checked_sub(1).ok_or("connection 0")?,
                    line.get(end + 1..).unwrap_or_default(),
                )
            }
            _ => return Err("no number of a connection".into()),
        };
        let (tag, rest) = tag(rest);
        let word = rest.split(|&b| b == b' ').next().unwrap_or_default();
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        let is_reply = matches!(word.as_str(), "ok" | "no" | "bad" | "\"\"");
        let open = self
            .groups
            .last_mut()
            .filter(|g| g.commands.iter().any(|c| c.reply.is_none()));
        if let Some(group) = open {
            let of_tag = group
                .commands
                .iter_mut()
                .find(|c| c.tag == tag && c.reply.is_none());
            match of_tag {
                Some(command) if is_reply => {
                    command.reply = Some(parse(rest));
                    return Ok(());
                }
                _ if is_reply => return Err("a reply to no command".into()),
                _ if tag.is_none() => return Err("the command before has no reply".into()),
                _ => {
                    group.commands.push(Command {
                        line: number,
                        tag,
                        text: rest.to_vec(),
                        reply: None,
                    });
                    return Ok(());
                }
            }
        }
        let (reply, text) = if is_reply {
            let text = rest.get(word.len() + 1..).unwrap_or_default();
            (Some(parse(word.as_bytes())), text)
        } else {
            (None, rest)
        };
        self.connections = self.connections.max(connection + 1);
        self.groups.push(Group {
            connection,
            commands: vec![Command {
                line: number,
                tag,
                text: text.to_vec(),
                reply,
            }],
            untagged: Vec::new(),
            ordered: false,
            sleep: 0,
        });
        Ok(())
    }
}

fn milliseconds(time: &str) -> Result<u64, String> {
    let digits = time.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{time} is no length of time"))?;
    match time[digits.len()..].trim() {
        "" | "s" | "sec" | "secs" => Ok(number * 1000),
        "ms" | "msec" | "msecs" => Ok(number),
        other => Err(format!("{other} is no unit of time")),
    }
}

/// `tag1 ` in front of a command or a reply.
fn tag(line: &[u8]) -> (Option<String>, &[u8]) {
    let Some(end) = line.iter().position(|&b| b == b' ') else {
        return (None, line);
    };
    let word = String::from_utf8_lossy(&line[..end]).to_ascii_lowercase();
    let number = word.strip_prefix("tag").unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return (None, line);
    }
    (Some(word), &line[end + 1..])
}

/// The lines with their numbers; what stands between `{{{` and `}}}` is a
/// literal within its line. Its lines end in CRLF, after `~{{{` as in the file.
fn lines(bytes: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, String> {
    let mut all = Vec::new();
    let mut rest = bytes
        .strip_suffix(b"\n")
        .unwrap_or(bytes)
        .split(|&b| b == b'\n')
        .enumerate();
    while let Some((number, line)) = rest.next() {
        let mut whole = Vec::new();
        let mut line = line.to_vec();
        while let Some(start) = line.strip_suffix(b"{{{") {
            let (start, raw) = match start.strip_suffix(b"~") {
                Some(start) => (start, true),
                None => (start, false),
            };
            whole.extend_from_slice(start);
            let mut literal = Vec::new();
            loop {
                let (_, next) = rest
                    .next()
                    .ok_or_else(|| format!("line {}: no }}}}}}", number + 1))?;
                if let Some(after) = next.strip_prefix(b"}}}") {
                    line = after.to_vec();
                    break;
                }
                let crlf = if raw { b"\n".as_slice() } else { b"\r\n" };
                literal.push((next.to_vec(), crlf));
            }
            let mut text = Vec::new();
            for (at, (piece, end)) in literal.iter().enumerate() {
                text.extend_from_slice(piece);
                if at + 1 < literal.len() {
                    text.extend_from_slice(end);
                }
            }
            let mark = if raw { "~" } else { "" };
            whole.extend(format!("{mark}{{{}}}\r\n", text.len()).bytes());
            whole.extend(text);
        }
        whole.extend(line);
        all.push((number + 1, whole));
    }
    Ok(all)
}

/// The messages of an mbox, lines ended with CRLF, and what is behind the
/// sender's address in the line above each: when it came.
pub(super) fn mbox(path: &Path) -> Vec<(Option<String>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let mut mails: Vec<(Option<String>, Vec<u8>)> = Vec::new();
    for line in bytes
        .strip_suffix(b"\n")
        .unwrap_or(&bytes)
        .split(|&b| b == b'\n')
    {
        if line.starts_with(b"From ") {
            mails.push((came(&String::from_utf8_lossy(line)), Vec::new()));
        } else if let Some((_, mail)) = mails.last_mut() {
            mail.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            mail.extend_from_slice(b"\r\n");
        }
    }
    mails
}

/// `From a@b  Fri Feb 22 17:06:23 2008 +0200` as IMAP writes dates.
fn came(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().skip(3).collect();
    let (month, day, time, year) = match words[..] {
        [month, day, time, year, ..] => (month, day, time, year),
        _ => return None,
    };
    let zone = words.get(4).copied().unwrap_or("+0000");
    let day: u8 = day.parse().ok()?;
    Some(format!("\"{day:2}-{month}-{year} {time} {zone}\""))
}
