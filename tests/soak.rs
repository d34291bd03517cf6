//! All at once for a while: sessions of several accounts deliver, append, take,
//! flag, copy, move, expunge, search and read, a sweep rewrites packs all the
//! time, and now and then the server is killed. A model knows what must be
//! there; at the end everything is counted again.
//!
//! The server is the engine in a process of its own (this test, started
//! again), so that it can sweep at once what nothing refers to.
//! `AXIGEN_SOAK_SECONDS` sets how long (60).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axigen_core::engine::Engine;
use axigen_core::settings::{Common, ListenerSettings, Settings, TlsMode};
use axigen_store::blob::SweepOptions;
use axigen_store::{Store, store};
use axigen_tests::demo::Killed;
use axigen_tests::verify::verify;
use axigen_tests::wire::Wire;
use base64::Engine as _;
use tempfile::TempDir;

const DIR: &str = "AXIGEN_SOAK_DIR";
const ACCOUNTS: usize = 4;
/// Sessions of each account.
const TOGETHER: usize = 2;
/// How long a server lives.
const ROUND: Duration = Duration::from_secs(8);

// ------------------------------------------------------------------- server

/// The server: does nothing unless the parent set its variable.
#[test]
fn server() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut options = store::Options::default();
        options.pack = 1 << 20;
        options.upkeep = Duration::from_millis(300);
        options.sweep = SweepOptions::default();
        options.sweep.grace = Duration::ZERO;
        let store = Store::open_with(Path::new(&dir), options).await.unwrap();
        let mut settings = Settings {
            hostname: "mail.example.test".into(),
            ..Settings::default()
        };
        let listen = |common: &mut Common| {
            common.enable = true;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            common.listeners = vec![ListenerSettings {
                plaintext_login: true,
                ..ListenerSettings::new(address, TlsMode::None)
            }];
        };
        listen(&mut settings.smtp_in.common);
        listen(&mut settings.imap.common);
        let engine = Engine::builder(store).settings(settings).build().unwrap();
        if engine.directory().accounts().await.unwrap().is_empty() {
            engine.directory().add_domain("example.test").await.unwrap();
            let users: Vec<String> = (0..ACCOUNTS).map(user).collect();
            engine
                .directory()
                .add_accounts("soak", &users)
                .await
                .unwrap();
        }
        engine.start().await.unwrap();
        let at = |name: &str| engine.addresses(name)[0];
        let line = format!("ready {} {}\n", at("smtp_in"), at("imap"));
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        // Until the parent closes it.
        let closed = tokio::task::spawn_blocking(|| {
            let mut rest = Vec::new();
            let _ = std::io::stdin().read_to_end(&mut rest);
        });
        closed.await.unwrap();
        engine.shutdown().await.unwrap();
    });
}

struct Server {
    child: Killed,
    smtp: String,
    imap: String,
}

impl Server {
    fn start(dir: &Path) -> Server {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["server", "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map(Result::unwrap)
            .inspect(|line| {
                if !line.starts_with("ready") {
                    println!("the server says: {line}");
                }
            })
            .find(|line| line.starts_with("ready"));
        let ready = ready.expect("the server does not start");
        let words: Vec<&str> = ready.split(' ').collect();
        let (smtp, imap) = (words[1].to_owned(), words[2].to_owned());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                println!("the server says: {line}");
            }
        });
        Server { child, smtp, imap }
    }

    fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    fn stop(mut self) {
        drop(self.child.0.stdin.take());
        assert!(self.child.0.wait().unwrap().success());
    }
}

fn user(account: usize) -> String {
    format!("u{account}@example.test")
}

// -------------------------------------------------------------------- mails

/// A mail by its name. Some carry one of seven attachments.
fn mail(name: &str) -> String {
    let sum = name.bytes().fold(7usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    let mut text = format!("Subject: {name}\r\nMessage-ID: <{name}@soak.test>\r\n");
    if sum % 3 > 0 {
        text += "\r\n";
        for line in 0..1 + sum % 60 {
            text += &format!("{name} line {line}, word{}\r\n", sum % 11);
        }
        return text;
    }
    let mut state = (sum % 7) as u64 * 2 + 1;
    let mut bytes = vec![0; 40_000];
    for byte in &mut bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 32) as u8;
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    text += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\n\r\nLook at this.\r\n--b\r\nContent-Type: application/pdf\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n";
    for line in encoded.as_bytes().chunks(76) {
        text += std::str::from_utf8(line).unwrap();
        text += "\r\n";
    }
    text + "--b--\r\n"
}

// -------------------------------------------------------------------- model

/// What a session knows of its two mailboxes, and of what it sent to INBOX.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Known {
    /// By UID: name, flags.
    mailboxes: [BTreeMap<u32, (String, String)>; 2],
    inbox: BTreeSet<String>,
}

/// One session: it works in mailboxes that are its own.
struct Session {
    account: usize,
    number: usize,
    known: Known,
    /// What is true if the change under way was done. A UID of 0 is not known
    /// yet.
    pending: Option<Known>,
    state: u64,
    made: usize,
    done: usize,
}

impl Session {
    fn next(&mut self, below: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.state >> 33) as usize % below
    }

    fn mailbox(&self, which: usize) -> String {
        format!("S{}{}", self.number, ["a", "b"][which])
    }

    fn name(&mut self) -> String {
        self.made += 1;
        format!("m{}x{}x{}", self.account, self.number, self.made)
    }

    fn acked(&mut self, known: Known) {
        self.known = known;
        self.pending = None;
        self.done += 1;
    }

    /// Works until the server dies or it is told to stop.
    fn work(&mut self, server: (&str, &str), stop: &AtomicBool) -> Option<()> {
        let mut imap = Lines(Wire::connect(server.1));
        imap.0.try_line().ok()?;
        imap.ask(&format!("LOGIN {} soak", user(self.account)))?;
        let mut smtp = Lines(Wire::connect(server.0));
        smtp.reply()?;
        smtp.command("EHLO soak.test\r\n", "250")?;
        while !stop.load(Relaxed) {
            let mut after = self.known.clone();
            let which = self.next(2);
            let uids: Vec<u32> = after.mailboxes[which].keys().copied().collect();
            let uid = match uids.len() {
                0 => 0,
                many => uids[self.next(many)],
            };
            let (here, there) = (self.mailbox(which), self.mailbox(1 - which));
            let what = match uids.len() {
                0..4 => self.next(3),
                20.. => 6,
                _ => self.next(10),
            };
            if what > 2 {
                imap.ok(&format!("SELECT {here}"))?;
            }
            match what {
                0 => {
                    let name = self.name();
                    after.inbox.insert(name.clone());
                    self.pending = Some(after.clone());
                    smtp.command("MAIL FROM:<soak@soak.test>\r\n", "250")?;
                    smtp.command(&format!("RCPT TO:<{}>\r\n", user(self.account)), "250")?;
                    smtp.command("DATA\r\n", "354")?;
                    smtp.command(&format!("{}.\r\n", mail(&name)), "250")?;
                    self.acked(after);
                }
                1 => {
                    // Found by a search, and taken out of everybody's INBOX.
                    let Some(name) = after.inbox.pop_first() else {
                        continue;
                    };
                    imap.ok("SELECT INBOX")?;
                    let found = imap.search(&format!("SUBJECT \"{name}\""))?;
                    let of_name: Vec<u32> = found.into_iter().collect();
                    // m1x1 is in m1x11, too.
                    let said = imap.ok(&format!(
                        "UID FETCH {} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
                        list(&of_name)
                    ))?;
                    let mine = said
                        .split("* ")
                        .find(|part| part.contains(&format!("Subject: {name}\r")));
                    let mine = mine.unwrap_or_else(|| panic!("{name} is not found: {said}"));
                    let uid = number_behind(mine, "UID ");
                    after.mailboxes[which].insert(0, (name.clone(), String::new()));
                    self.pending = Some(after.clone());
                    let said = imap.ok(&format!("UID MOVE {uid} {here}"))?;
                    after.mailboxes[which].remove(&0);
                    after.mailboxes[which].insert(new_uid(&said), (name, String::new()));
                    self.acked(after);
                }
                2 => {
                    let name = self.name();
                    after.mailboxes[which].insert(0, (name.clone(), "\\Seen".into()));
                    self.pending = Some(after.clone());
                    let text = mail(&name);
                    let command = format!("APPEND {here} (\\Seen) {{{}+}}\r\n{text}", text.len());
                    let said = imap.ok(&command)?;
                    after.mailboxes[which].remove(&0);
                    after.mailboxes[which].insert(new_uid(&said), (name, "\\Seen".into()));
                    self.acked(after);
                }
                3 => {
                    let flags = ["\\Seen", "\\Flagged", "work", ""][self.next(4)];
                    after.mailboxes[which].get_mut(&uid).unwrap().1 = flags.to_owned();
                    self.pending = Some(after.clone());
                    imap.ok(&format!("UID STORE {uid} FLAGS.SILENT ({flags})"))?;
                    self.acked(after);
                }
                4 | 5 => {
                    let message = after.mailboxes[which][&uid].clone();
                    let verb = if what == 4 {
                        "COPY"
                    } else {
                        after.mailboxes[which].remove(&uid);
                        "MOVE"
                    };
                    after.mailboxes[1 - which].insert(0, message.clone());
                    self.pending = Some(after.clone());
                    let said = imap.ok(&format!("UID {verb} {uid} {there}"))?;
                    after.mailboxes[1 - which].remove(&0);
                    after.mailboxes[1 - which].insert(new_uid(&said), message);
                    self.acked(after);
                }
                6 | 7 => {
                    let some: Vec<u32> = uids.iter().copied().step_by(2).collect();
                    for uid in &some {
                        after.mailboxes[which].get_mut(uid).unwrap().1 = "\\Deleted".into();
                    }
                    self.pending = Some(after.clone());
                    let set = list(&some);
                    imap.ok(&format!("UID STORE {set} FLAGS.SILENT (\\Deleted)"))?;
                    self.acked(after.clone());
                    after.mailboxes[which].retain(|uid, _| !some.contains(uid));
                    self.pending = Some(after.clone());
                    imap.ok(&format!("UID EXPUNGE {set}"))?;
                    self.acked(after);
                }
                8 => {
                    let word = format!("word{}", self.next(11));
                    let wanted = after.mailboxes[which].iter();
                    let wanted = wanted.filter(|(_, (name, flags))| {
                        flags != "\\Seen" && mail(name).contains(&word)
                    });
                    let wanted: BTreeSet<u32> = wanted.map(|(uid, _)| *uid).collect();
                    let found = imap.search(&format!("UNSEEN BODY {word}"))?;
                    assert_eq!(found, wanted, "UNSEEN BODY {word} in {here}: {after:?}");
                    self.done += 1;
                }
                _ => {
                    let said = imap.ok(&format!("UID FETCH {uid} (BODY.PEEK[])"))?;
                    let name = &after.mailboxes[which][&uid].0;
                    assert!(said.contains(&mail(name)), "{name} is torn: {said}");
                    self.done += 1;
                }
            }
        }
        Some(())
    }

    /// Compares what is there with what was acknowledged.
    fn check(&mut self, imap: &mut Wire) {
        let mut found = Known::default();
        for which in 0..2 {
            for (uid, name, flags) in contents(imap, &self.mailbox(which)) {
                found.mailboxes[which].insert(uid, (name, flags));
            }
        }
        let mine = format!("m{}x{}x", self.account, self.number);
        let inbox = contents(imap, "INBOX");
        for (_, name, _) in inbox.iter().filter(|(_, name, _)| name.starts_with(&mine)) {
            assert!(found.inbox.insert(name.clone()), "{name} is there twice");
        }
        let right = agree(&self.known, &found)
            || self
                .pending
                .as_ref()
                .is_some_and(|after| agree(after, &found));
        assert!(
            right,
            "found {found:#?}, acknowledged {:#?}, then perhaps {:#?}",
            self.known, self.pending
        );
        self.known = found;
        self.pending = None;
    }
}

/// Whether this is what was to be found; a UID of 0 is any larger than the rest.
fn agree(wanted: &Known, found: &Known) -> bool {
    let same = |wanted: &BTreeMap<u32, (String, String)>,
                found: &BTreeMap<u32, (String, String)>| {
        let mut wanted = wanted.clone();
        let new = wanted.remove(&0);
        let mut found: Vec<_> = found.iter().map(|(uid, of)| (*uid, of.clone())).collect();
        if let Some(new) = new
            && found.pop().map(|(_, of)| of) != Some(new)
        {
            return false;
        }
        wanted.into_iter().eq(found)
    };
    wanted.inbox == found.inbox
        && wanted
            .mailboxes
            .iter()
            .zip(&found.mailboxes)
            .all(|(wanted, found)| same(wanted, found))
}

/// UID, name and flags of every message, contents compared.
fn contents(imap: &mut Wire, mailbox: &str) -> Vec<(u32, String, String)> {
    imap.ok(&format!("EXAMINE {mailbox}"));
    let said = imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])");
    let parts = said
        .split("* ")
        .filter(|part| part.contains(" FETCH (UID "));
    parts
        .map(|part| {
            let (_, flags) = part.split_once("FLAGS (").unwrap();
            let (flags, rest) = flags.split_once(')').unwrap();
            let flags: Vec<&str> = flags.split(' ').filter(|f| *f != "\\Recent").collect();
            let name = rest.split("Subject: ").nth(1).unwrap();
            let name = name.split('\r').next().unwrap();
            assert!(rest.contains(&mail(name)), "{name} is torn: {rest}");
            (
                number_behind(part, "UID "),
                name.to_owned(),
                flags.join(" "),
            )
        })
        .collect()
}

fn number_behind(text: &str, what: &str) -> u32 {
    let (_, rest) = text.split_once(what).unwrap_or_else(|| panic!("{text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// The UID at the end of APPENDUID and COPYUID.
fn new_uid(said: &str) -> u32 {
    let code = said
        .split(['[', ']'])
        .find(|part| part.starts_with("APPENDUID") || part.starts_with("COPYUID"))
        .unwrap_or_else(|| panic!("{said}"));
    let uid = code.rsplit(' ').next().unwrap();
    uid.parse().unwrap_or_else(|_| panic!("{said}"))
}

fn list(uids: &[u32]) -> String {
    let uids: Vec<String> = uids.iter().map(ToString::to_string).collect();
    uids.join(",")
}

/// A connection that may end at any moment.
struct Lines(Wire);

impl Lines {
    /// Everything up to the tagged line. No line of our mails begins as one.
    fn ask(&mut self, command: &str) -> Option<String> {
        self.0.try_send(format!("T {command}\r\n")).ok()?;
        let mut all = String::new();
        loop {
            let line = String::from_utf8(self.0.try_line().ok()?).ok()?;
            // The end of the stream, or half a line before it.
            if !line.ends_with('\n') {
                return None;
            }
            all += &line;
            if line.starts_with("T ") {
                return Some(all);
            }
        }
    }

    fn ok(&mut self, command: &str) -> Option<String> {
        let said = self.ask(command)?;
        let last = said.lines().last().unwrap_or_default();
        let shown: String = command.chars().take(80).collect();
        assert!(last.starts_with("T OK"), "{shown}: {last}");
        Some(said)
    }

    fn search(&mut self, what: &str) -> Option<BTreeSet<u32>> {
        let said = self.ok(&format!("UID SEARCH {what}"))?;
        let found = said.lines().find_map(|line| line.strip_prefix("* SEARCH"));
        let found = found.unwrap_or_default().split_whitespace();
        Some(found.map(|uid| uid.parse().unwrap()).collect())
    }

    fn reply(&mut self) -> Option<String> {
        loop {
            let line = String::from_utf8(self.0.try_line().ok()?).ok()?;
            if !line.ends_with('\n') {
                return None;
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(line);
            }
        }
    }

    fn command(&mut self, bytes: &str, want: &str) -> Option<()> {
        self.0.try_send(bytes).ok()?;
        let said = self.reply()?;
        assert!(said.starts_with(want), "{said}");
        Some(())
    }
}

#[test]
fn everything_at_once() {
    let seconds = std::env::var("AXIGEN_SOAK_SECONDS").map_or(60, |n| n.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("mail");
    let mut sessions: Vec<Session> = (0..ACCOUNTS * TOGETHER)
        .map(|at| Session {
            account: at % ACCOUNTS,
            number: at / ACCOUNTS,
            known: Known::default(),
            pending: None,
            state: at as u64 * 7919 + 17,
            made: 0,
            done: 0,
        })
        .collect();
    let server = Server::start(&dir);
    for session in &sessions {
        let mut imap = Wire::imap_login(&server.imap, &user(session.account), "soak");
        for which in 0..2 {
            imap.ok(&format!("CREATE {}", session.mailbox(which)));
        }
    }
    let mut running = Some(server);
    let mut rounds = 0;
    while Instant::now() < until {
        let server = running.take().unwrap_or_else(|| Server::start(&dir));
        let stop = AtomicBool::new(false);
        let died = AtomicUsize::new(0);
        let round = ROUND.min(until.saturating_duration_since(Instant::now()));
        std::thread::scope(|scope| {
            let (smtp, imap) = (server.smtp.clone(), server.imap.clone());
            for session in &mut sessions {
                let (stop, died, smtp, imap) = (&stop, &died, smtp.clone(), imap.clone());
                scope.spawn(move || {
                    if session.work((&smtp, &imap), stop).is_none() {
                        died.fetch_add(1, Relaxed);
                    }
                });
            }
            std::thread::sleep(round);
            assert_eq!(died.load(Relaxed), 0, "connections ended by themselves");
            server.kill();
            stop.store(true, Relaxed);
        });
        rounds += 1;
        let server = Server::start(&dir);
        for session in &mut sessions {
            let mut imap = Wire::imap_login(&server.imap, &user(session.account), "soak");
            session.check(&mut imap);
        }
        running = Some(server);
    }
    running.unwrap().stop();
    verify(&dir);
    let done: usize = sessions.iter().map(|session| session.done).sum();
    println!("{rounds} kills, {done} things done");
    assert!(done > rounds * 50, "only {done}: this run proves nothing");
}
