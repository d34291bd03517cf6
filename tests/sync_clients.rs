//! Programs that keep copies of mailboxes, against the real server, by
//! content: what is here is what is there, whoever changed it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axigen_tests::demo::{Demo, Port, root};
use axigen_tests::mails;
use axigen_tests::tool::{finish, run};
use axigen_tests::wire::Wire;
use tempfile::TempDir;

const USER: &str = "u1@example.test";

fn server() -> Demo {
    Demo::start(&["--accounts", "2"])
}

fn login(demo: &Demo) -> Wire {
    Wire::imap_login(&demo.addr(Port::Imap), USER, "demo")
}

/// Flags by subject, as a Maildir names them: `DFRST`.
type Content = BTreeMap<String, String>;

fn subject(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail);
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: "));
    line.unwrap_or_else(|| panic!("no subject: {text}"))
        .trim_end()
        .to_owned()
}

/// What the server has in a mailbox.
fn far(imap: &mut Wire, mailbox: &str) -> Content {
    imap.ok(&format!("EXAMINE \"{mailbox}\""));
    let said = imap.imap("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut content = Content::new();
    for message in said
        .split("\r\n* ")
        .filter(|part| part.contains(" FETCH ("))
    {
        let flags = message
            .split_once("FLAGS (")
            .unwrap()
            .1
            .split(')')
            .next()
            .unwrap();
        let letter = |flag: &str| match flag {
            "\\Draft" => Some('D'),
            "\\Flagged" => Some('F'),
            "\\Answered" => Some('R'),
            "\\Seen" => Some('S'),
            "\\Deleted" => Some('T'),
            _ => None,
        };
        let letters: BTreeSet<char> = flags.split(' ').filter_map(letter).collect();
        let before = content.insert(subject(message.as_bytes()), letters.into_iter().collect());
        assert!(before.is_none(), "twice: {message}");
    }
    content
}

fn files(maildir: &Path) -> Vec<PathBuf> {
    let subs = ["cur", "new"].map(|sub| maildir.join(sub));
    let there = subs.iter().filter(|sub| sub.exists());
    let mut files: Vec<PathBuf> = there
        .flat_map(|sub| std::fs::read_dir(sub).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn letters(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let letters = name.split_once(":2,").map_or("", |(_, letters)| letters);
    letters.to_owned()
}

/// What is in a Maildir.
fn near(maildir: &Path) -> Content {
    let mut content = Content::new();
    for path in files(maildir) {
        let subject = subject(&std::fs::read(&path).unwrap());
        let before = content.insert(subject, letters(&path));
        assert!(before.is_none(), "twice: {path:?}");
    }
    content
}

/// Subjects and files of a Maildir.
fn by_subject(maildir: &Path) -> BTreeMap<String, PathBuf> {
    let files = files(maildir).into_iter();
    files
        .map(|path| (subject(&std::fs::read(&path).unwrap()), path))
        .collect()
}

fn set_letters(path: &Path, add: char) {
    let mut letters: BTreeSet<char> = letters(path).chars().collect();
    letters.insert(add);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let name = name.split(":2,").next().unwrap();
    let letters: String = letters.into_iter().collect();
    let cur = path.parent().unwrap().parent().unwrap().join("cur");
    std::fs::rename(path, cur.join(format!("{name}:2,{letters}"))).unwrap();
}

fn fill(imap: &mut Wire, numbers: std::ops::Range<usize>) {
    // Sent in lots: as fast as the server takes them.
    let numbers: Vec<usize> = numbers.collect();
    for lot in numbers.chunks(250) {
        let mut all = String::new();
        for number in lot {
            let mail = format!(
                "Subject: mail {number}\r\nMessage-ID: <{number}@x.test>\r\n\r\n{}\r\n",
                "text ".repeat(number % 50)
            );
            all.push_str(&format!("A APPEND INBOX {{{}+}}\r\n{mail}\r\n", mail.len()));
        }
        imap.send(format!("{all}T NOOP\r\n"));
        let said = imap.imap_until("T ");
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.matches("A OK").count(), lot.len(), "{said}");
    }
}

fn mail(number: usize) -> String {
    format!("mail {number}")
}

#[test]
fn mbsync_keeps_five_thousand_in_step() {
    const MAILS: usize = 5000;
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mut imap = login(&demo);
    fill(&mut imap, 0..MAILS);
    imap.ok("CREATE There");
    let config = dir.path().join("mbsyncrc");
    let text = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {USER}\nPass demo\nSSLType None\nAuthMechs LOGIN PLAIN\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {root}/mb/\nInbox {root}/mb/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSync All\nSyncState *\n",
        demo.port(Port::Imap),
        root = dir.path().display()
    );
    std::fs::write(&config, text).unwrap();
    std::fs::create_dir(dir.path().join("mb")).unwrap();
    let sync = || run("mbsync", &["-c", config.to_str().unwrap(), "-a"], b"").ok();
    sync();
    let inbox = dir.path().join("mb/INBOX");
    assert_eq!(files(&inbox).len(), MAILS);
    assert_eq!(near(&inbox), far(&mut imap, "INBOX"));

    // Here: 0..300 flagged, 300..450 removed, 450..550 moved, fifty new ones.
    let here = by_subject(&inbox);
    let path = |number: usize| &here[&mail(number)];
    (0..300).for_each(|number| set_letters(path(number), 'F'));
    (300..450).for_each(|number| std::fs::remove_file(path(number)).unwrap());
    let moved = dir.path().join("mb/Moved");
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(moved.join(sub)).unwrap();
    }
    for number in 450..550 {
        // The UID in the name is that of the old folder.
        std::fs::rename(path(number), moved.join(format!("cur/{number}.x.here:2,S"))).unwrap();
    }
    for number in 0..50 {
        let new = format!("Subject: new {number}\n\nhere\n");
        std::fs::write(inbox.join(format!("cur/new{number}.x.here:2,RS")), new).unwrap();
    }
    // There: 200..400 answered (of both kinds), 550..700 removed, 700..800
    // moved, 100..150 removed although they were flagged here, fifty new ones.
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 201:400 +FLAGS.SILENT (\\Answered)");
    imap.ok("UID STORE 101:150,551:700 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("UID MOVE 701:800 There");
    fill(&mut imap, MAILS..MAILS + 50);
    sync();
    sync();

    for folder in ["INBOX", "Moved", "There"] {
        let here = near(&dir.path().join("mb").join(folder));
        let there = far(&mut imap, folder);
        assert_eq!(here, there, "{folder}");
        let has = |numbers: std::ops::Range<usize>, letters: &str| {
            for number in numbers {
                let of = there.get(&mail(number));
                assert_eq!(of.map(String::as_str), Some(letters), "{folder}: {number}");
            }
        };
        match folder {
            "INBOX" => {
                has(0..100, "F");
                has(150..200, "F");
                has(200..300, "FR");
                has(800..MAILS + 50, "");
                for number in (100..150).chain(300..800) {
                    // What one removed and the other changed is gone, or is there for both.
                    let conflict = (100..150).contains(&number) || (300..400).contains(&number);
                    assert!(conflict || !there.contains_key(&mail(number)), "{number}");
                }
                for number in 0..50 {
                    assert_eq!(there[&format!("new {number}")], "RS");
                }
            }
            "Moved" => has(450..550, "S"),
            _ => has(700..800, ""),
        }
    }
    // Nothing is left to do.
    let before = files(&inbox);
    sync();
    assert_eq!(files(&inbox), before);
}

#[test]
fn offlineimap_synchronises_both_ways() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mut imap = login(&demo);
    fill(&mut imap, 0..60);
    imap.ok("CREATE Work/Notes");
    let config = dir.path().join("offlineimaprc");
    let text = format!(
        "[general]\naccounts = a\nmetadata = {root}/meta\nui = quiet\n\n\
         [Account a]\nlocalrepository = near\nremoterepository = far\n\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {root}/mail\n\n\
         [Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {}\n\
         remoteuser = {USER}\nremotepass = demo\nssl = no\nstarttls = no\n",
        demo.port(Port::Imap),
        root = dir.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let sync = || {
        let mut command = Command::new("offlineimap");
        command.args(["-o", "-u", "quiet", "-c", config.to_str().unwrap()]);
        finish(command.env("HOME", dir.path()).take(), b"").ok()
    };
    sync();
    let inbox = dir.path().join("mail/INBOX");
    assert_eq!(near(&inbox), far(&mut imap, "INBOX"));
    assert!(
        dir.path().join("mail/Work.Notes").is_dir() || dir.path().join("mail/Work/Notes").is_dir()
    );
    let here = by_subject(&inbox);
    for number in 0..10 {
        set_letters(&here[&mail(number)], 'S');
    }
    for number in 10..20 {
        std::fs::remove_file(&here[&mail(number)]).unwrap();
    }
    std::fs::write(
        inbox.join("new/1.x.here"),
        "Subject: written here\n\nhere\n",
    )
    .unwrap();
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 21:30 +FLAGS.SILENT (\\Flagged)");
    imap.ok("UID STORE 31:40 +FLAGS.SILENT (\\Deleted)");
    imap.ok("EXPUNGE");
    fill(&mut imap, 60..70);
    sync();
    sync();
    let there = far(&mut imap, "INBOX");
    assert_eq!(near(&inbox), there);
    assert_eq!(there.len(), 60 - 10 - 10 + 10 + 1);
    assert_eq!(there[&mail(3)], "S");
    assert_eq!(there[&mail(25)], "F");
    assert!(there.contains_key("written here") && !there.contains_key(&mail(12)));
}

trait Take {
    fn take(&mut self) -> Command;
}

impl Take for Command {
    fn take(&mut self) -> Command {
        std::mem::replace(self, Command::new("true"))
    }
}

/// Byte for byte, by both protocols; and not again.
#[test]
fn getmail_fetches_each_mail_once() {
    let demo = server();
    let mut imap = login(&demo);
    imap.ok("ENABLE UTF8=ACCEPT");
    let mut mails = mails::ordinary();
    mails.retain(|mail| mail.bytes.ends_with(b"\r\n"));
    for mail in &mails {
        imap.append_bytes("INBOX", &mail.bytes);
    }
    for (kind, port) in [("IMAP", Port::Imap), ("POP3", Port::Pop3)] {
        let dir = TempDir::new().unwrap();
        for sub in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(dir.path().join("got").join(sub)).unwrap();
        }
        let text = format!(
            "[retriever]\ntype = Simple{kind}Retriever\nserver = 127.0.0.1\nport = {}\nusername = {USER}\npassword = demo\n\n\
             [destination]\ntype = MDA_external\npath = /bin/sh\n\
             arguments = (\"-c\", \"cat > {}/got/cur/$$\")\nallow_root_commands = true\n\n\
             [options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n",
            demo.port(port),
            dir.path().display()
        );
        std::fs::write(dir.path().join("getmailrc"), text).unwrap();
        let getmail = || {
            let args = ["--getmaildir", dir.path().to_str().unwrap()];
            run("getmail", &args, b"").ok()
        };
        getmail();
        let got: Vec<Vec<u8>> = files(&dir.path().join("got"))
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        assert_eq!(got.len(), mails.len(), "{kind}");
        for mail in &mails {
            // It takes the mail apart and writes it anew; its texts stay as they are.
            let split = mail
                .bytes
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
                .unwrap();
            let body = String::from_utf8_lossy(&mail.bytes[split + 4..]).replace("\r\n", "\n");
            let held = got.iter().any(|got| {
                let got = String::from_utf8_lossy(got);
                let (_, of) = got.split_once("\n\n").unwrap_or((&got, ""));
                let parts = ["one\n--", "\ntwo\n--", "<b>three</b>", "\ninner body\n--"];
                match mail.name {
                    "multipart" => parts.iter().all(|part| of.contains(part)),
                    _ => of.trim_end() == body.trim_end(),
                }
            });
            assert!(held, "{kind}: {} is not as it was", mail.name);
        }
        getmail();
        assert_eq!(
            files(&dir.path().join("got")).len(),
            mails.len(),
            "{kind}: fetched again"
        );
    }
}

/// curl over POP3: the list, one message, a login that fails.
#[test]
fn curl_reads_by_pop3() {
    let demo = server();
    let mut imap = login(&demo);
    fill(&mut imap, 0..3);
    let port = demo.port(Port::Pop3);
    let login = format!("{USER}:demo");
    let curl = |path: &str, login: &str, more: &[&str]| {
        let url = format!("pop3://127.0.0.1:{port}/{path}");
        let args = [&["-sS", "--fail", "-k", "-u", login, &url], more].concat();
        run("curl", &args, b"")
    };
    let listed = curl("", &login, &["--ssl-reqd"]).ok();
    assert_eq!(listed.text.lines().count(), 3, "{}", listed.text);
    let read = curl("2", &login, &[]).ok();
    assert!(
        read.text.starts_with("Subject: mail 1\r\n"),
        "{}",
        read.text
    );
    let ids = curl("", &login, &["-X", "UIDL"]).ok();
    let unique: BTreeSet<&str> = ids
        .text
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(unique.len(), 3, "{}", ids.text);
    let refused = curl("", &format!("{USER}:wrong"), &[]);
    assert_eq!(refused.code, Some(67), "{}", refused.text);
}

/// Where `tests/run install` puts what comes from the registries of Python and
/// Node.js.
fn installed(what: &str) -> PathBuf {
    let path = root().join("target/clients").join(what);
    assert!(
        path.exists(),
        "{path:?} is not there: run `tests/run install`"
    );
    path
}

fn script(program: &str, name: &str, demo: &Demo) -> Command {
    let mut command = Command::new(program);
    command
        .arg(root().join("tests/clients").join(name))
        .env("IMAP", demo.port(Port::Imap).to_string())
        .env("IMAPS", demo.port(Port::ImapTls).to_string())
        .env("U", USER)
        .env("PW", "demo");
    command
}

#[test]
fn imapclient_does_what_it_can() {
    let demo = server();
    let mut python = script("python3", "imapclient_all.py", &demo);
    python.env("PYTHONPATH", installed("python"));
    let said = finish(python, b"").ok();
    assert!(said.text.ends_with("all done\n"), "{}", said.text);
}

#[test]
fn imapflow_follows_a_mailbox() {
    let demo = server();
    let mut node = script("node", "imapflow_all.mjs", &demo);
    node.env("CLIENTS", installed("node/node_modules").parent().unwrap());
    let said = finish(node, b"").ok();
    assert!(said.text.ends_with("all done\n"), "{}", said.text);
}

/// A program with windows, on a screen that nobody sees: it reads the header
/// lines, and what its filter wants, whole.
#[test]
fn sylpheed_fetches_into_its_folders() {
    let demo = server();
    let mut imap = login(&demo);
    for (subject, text) in [
        ("in a window", "The body of it."),
        ("not wanted", "Another."),
    ] {
        let mail = format!("From: a@b.test\r\nSubject: {subject}\r\n\r\n{text}\r\n");
        imap.append_bytes("INBOX", mail.as_bytes());
    }
    let home = TempDir::new().unwrap();
    let settings = home.path().join(".sylpheed-2.0");
    std::fs::create_dir(&settings).unwrap();
    for folder in ["inbox", "sent", "draft", "queue", "trash", "junk"] {
        std::fs::create_dir_all(home.path().join("Mail").join(folder)).unwrap();
    }
    let account = format!(
        "[Account: 1]\naccount_name=u1\nis_default=1\nname=u1\naddress={USER}\nprotocol=3\n\
         receive_server=127.0.0.1\nsmtp_server=127.0.0.1\nuser_id={USER}\npassword=demo\n\
         use_ssl_imap=0\nimap_port={}\nset_imapport=1\nimap_filter_inbox_on_receive=1\n",
        demo.port(Port::Imap)
    );
    std::fs::write(settings.join("accountrc"), account).unwrap();
    let item = |kind: &str, name: &str| {
        format!(
            "<folderitem type=\"{kind}\" name=\"{name}\" path=\"{name}\" mtime=\"0\" new=\"0\" unread=\"0\" total=\"0\"/>"
        )
    };
    let own = [
        ("inbox", "inbox"),
        ("outbox", "sent"),
        ("draft", "draft"),
        ("queue", "queue"),
        ("trash", "trash"),
    ];
    let own: String = own.iter().map(|(kind, name)| item(kind, name)).collect();
    let folders = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<folderlist><folder type=\"mh\" name=\"Mailbox\" path=\"Mail\">{own}</folder>\
         <folder type=\"imap\" name=\"u1\" account_id=\"1\">{}</folder></folderlist>\n",
        item("inbox", "INBOX")
    );
    std::fs::write(settings.join("folderlist.xml"), folders).unwrap();
    let filter = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<filter><rule name=\"w\" bool=\"and\" timing=\"on-receive\" enabled=\"true\">\
         <condition-list><match-header name=\"Subject\" type=\"contains\">window</match-header></condition-list>\
         <action-list><copy>#mh/Mailbox/inbox</copy></action-list></rule></filter>\n";
    std::fs::write(settings.join("filter.xml"), filter).unwrap();
    let mut window = Command::new("xvfb-run")
        .args(["-a", "sylpheed", "--receive-all"])
        .env("HOME", home.path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("xvfb-run cannot be started ({e}): run `tests/run install`"));
    let cache = settings
        .join("imapcache/127.0.0.1")
        .join(USER)
        .join("INBOX/1");
    let copy = home.path().join("Mail/inbox/1");
    let until = Instant::now() + Duration::from_secs(100);
    let whole = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.contains("Subject: in a window") && text.trim_end().ends_with("The body of it.")
    };
    while !(whole(&cache) && whole(&copy)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (cached, copied) = (whole(&cache), whole(&copy));
    let group = format!("-{}", window.id());
    let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
    let _ = window.wait();
    let log = std::fs::read_to_string(settings.join("sylpheed.log")).unwrap_or_default();
    assert!(cached && copied, "cached {cached}, copied {copied}: {log}");
    assert!(!home.path().join("Mail/inbox/2").exists());
}
