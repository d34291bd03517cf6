//! Real mail programs against the real server, asserted by content: what was
//! sent is byte for byte what is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use axigen_tests::demo::{Demo, Port, root};
use axigen_tests::mails::{self, Mail};
use axigen_tests::tool::{finish, run};
use axigen_tests::wire::Wire;
use tempfile::TempDir;

const USER: &str = "u1@example.test";
const OTHER: &str = "u2@example.test";

fn server() -> Demo {
    Demo::start(&["--accounts", "3"])
}

/// The messages in `user`'s INBOX.
fn inbox(demo: &Demo, user: &str) -> Vec<Vec<u8>> {
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), user, "demo");
    imap.imap_messages("INBOX")
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect()
}

/// What was sent stands at the end of what is read, behind the trace headers.
#[track_caller]
fn assert_arrived(sent: &[u8], read: &[u8]) {
    assert!(
        read.ends_with(sent),
        "sent:\n{}\nread:\n{}",
        String::from_utf8_lossy(sent),
        String::from_utf8_lossy(read)
    );
    let trace = &read[..read.len() - sent.len()];
    assert!(
        trace.starts_with(b"Return-Path: <"),
        "{}",
        String::from_utf8_lossy(trace)
    );
}

/// As POP3 shows it to a client that does not know UTF8 (RFC 6856): fields
/// beyond ASCII as encoded words.
fn downgraded(name: &str, mail: &[u8]) -> Vec<u8> {
    if name != "utf8-header" {
        return mail.to_vec();
    }
    let text = std::str::from_utf8(mail).expect("UTF-8");
    assert!(text.contains("Subject: Gr\u{fc}\u{df}e ohne"));
    let shown = text.replace("Gr\u{fc}\u{df}e", "=?utf-8?B?R3LDvMOfZQ==?=");
    shown.into_bytes()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// As DATA wants it: dots stuffed, the final dot added.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in mail.split_inclusive(|&b| b == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}

fn line_ended(mut mails: Vec<Mail>) -> Vec<Mail> {
    mails.retain(|m| m.bytes.ends_with(b"\r\n"));
    mails
}

#[test]
fn swaks_sends_by_every_way_in() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mails = line_ended(mails::ordinary());
    let login: &[&str] = &[
        "--auth-user",
        USER,
        "--auth-password",
        "demo",
        "--from",
        USER,
    ];
    let ways: [(&str, Port, &[&str], &[&str]); 7] = [
        ("plain", Port::Smtp, &["--from", "x@elsewhere.test"], &[]),
        (
            "starttls",
            Port::Smtp,
            &["--from", "x@elsewhere.test", "-tls"],
            &[],
        ),
        (
            "pipelined",
            Port::Smtp,
            &["--from", "x@elsewhere.test", "--pipeline"],
            &[],
        ),
        (
            "lmtp",
            Port::Lmtp,
            &["--protocol", "LMTP", "--from", "x@elsewhere.test"],
            &[],
        ),
        (
            "submission, AUTH PLAIN",
            Port::Submission,
            &["-tls", "--auth", "PLAIN"],
            login,
        ),
        (
            "submission, AUTH LOGIN",
            Port::Submission,
            &["-tls", "--auth", "LOGIN"],
            login,
        ),
        (
            "submission on TLS",
            Port::SubmissionTls,
            &["--tls-on-connect", "--auth", "PLAIN"],
            login,
        ),
    ];
    let mut sent = 0;
    for (way, port, options, login) in ways {
        for mail in &mails {
            let data = file(dir.path(), "data", &stuffed(&mail.bytes));
            let server = format!("127.0.0.1:{}", demo.port(port));
            let data = format!("@{data}");
            let mut args = vec![
                "--server",
                &server,
                "--to",
                OTHER,
                "--no-data-fixup",
                "--data",
                &data,
            ];
            args.extend_from_slice(options);
            args.extend_from_slice(login);
            let said = run("swaks", &args, b"");
            assert_eq!(said.code, Some(0), "{way}, {}: {}", mail.name, said.text);
            sent += 1;
        }
        let read = inbox(&demo, OTHER);
        assert_eq!(read.len(), sent, "{way}");
        for (mail, read) in mails.iter().zip(&read[sent - mails.len()..]) {
            assert_arrived(&mail.bytes, read);
        }
    }
}

#[test]
fn swaks_is_refused_what_must_be_refused() {
    let demo = server();
    let smtp = demo.addr(Port::Smtp);
    let submission = demo.addr(Port::Submission);
    // No relay for strangers.
    let said = run(
        "swaks",
        &[
            "--server",
            &smtp,
            "--from",
            "a@elsewhere.test",
            "--to",
            "b@elsewhere.test",
        ],
        b"",
    );
    assert_eq!(said.code, Some(24), "{}", said.text);
    assert!(said.text.contains("550 5.7.1"), "{}", said.text);
    // No unknown recipient.
    let said = run(
        "swaks",
        &[
            "--server",
            &smtp,
            "--from",
            "a@elsewhere.test",
            "--to",
            "nobody@example.test",
        ],
        b"",
    );
    assert!(said.text.contains("550 5.1.1"), "{}", said.text);
    // No submission without a login, and none with a wrong password.
    let said = run(
        "swaks",
        &[
            "--server",
            &submission,
            "-tls",
            "--from",
            USER,
            "--to",
            OTHER,
        ],
        b"",
    );
    assert!(said.text.contains("530 5.7.0"), "{}", said.text);
    let wrong = [
        "--server",
        &submission,
        "-tls",
        "--auth",
        "PLAIN",
        "--auth-user",
        USER,
        "--auth-password",
        "wrong",
        "--from",
        USER,
        "--to",
        OTHER,
    ];
    let said = run("swaks", &wrong, b"");
    assert!(said.text.contains("535 5.7.8"), "{}", said.text);
    // No sending in another's name.
    let other = [
        "--server",
        &submission,
        "-tls",
        "--auth",
        "PLAIN",
        "--auth-user",
        USER,
        "--auth-password",
        "demo",
        "--from",
        OTHER,
        "--to",
        OTHER,
    ];
    let said = run("swaks", &other, b"");
    assert!(said.text.contains("5.7.1"), "{}", said.text);
    assert!(inbox(&demo, OTHER).is_empty());
}

#[test]
fn curl_sends_appends_and_reads() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mails = line_ended(mails::ordinary());
    let login = format!("{USER}:demo");
    let url = |scheme: &str, port: Port, path: &str| {
        format!("{scheme}://127.0.0.1:{}/{path}", demo.port(port))
    };
    let mut n = 0;
    for (scheme, port, secure) in [
        ("smtp", Port::Submission, "--ssl-reqd"),
        ("smtps", Port::SubmissionTls, "-sS"),
    ] {
        for mail in &mails {
            let path = file(dir.path(), "mail.eml", &mail.bytes);
            let url = url(scheme, port, "client.example");
            run(
                "curl",
                &[
                    "-sS",
                    "-k",
                    secure,
                    &url,
                    "-u",
                    &login,
                    "--mail-from",
                    USER,
                    "--mail-rcpt",
                    USER,
                    "-T",
                    &path,
                ],
                b"",
            )
            .ok();
            n += 1;
            for (scheme, port, secure) in [
                ("imap", Port::Imap, "--ssl-reqd"),
                ("imaps", Port::ImapTls, "-sS"),
            ] {
                let url = self::Demo::port(&demo, port);
                let url = format!("{scheme}://127.0.0.1:{url}/INBOX;MAILINDEX={n}");
                let said = run("curl", &["-sS", "-k", secure, &url, "-u", &login], b"").ok();
                assert_arrived(&mail.bytes, &said.out);
            }
            for (scheme, port, secure) in [
                ("pop3", Port::Pop3, "--ssl-reqd"),
                ("pop3s", Port::Pop3Tls, "-sS"),
            ] {
                let url = format!("{scheme}://127.0.0.1:{}/{n}", demo.port(port));
                let said = run("curl", &["-sS", "-k", secure, &url, "-u", &login], b"").ok();
                assert_arrived(&downgraded(mail.name, &mail.bytes), &said.out);
            }
        }
    }
    // APPEND keeps every byte, also without a line end.
    for (k, mail) in mails::ordinary().iter().enumerate() {
        let path = file(dir.path(), "append.eml", &mail.bytes);
        run(
            "curl",
            &[
                "-sS",
                "-k",
                "--ssl-reqd",
                &url("imap", Port::Imap, "Archive"),
                "-u",
                &login,
                "-T",
                &path,
            ],
            b"",
        )
        .ok();
        let said = run(
            "curl",
            &[
                "-sS",
                "-k",
                &url(
                    "imaps",
                    Port::ImapTls,
                    &format!("Archive;MAILINDEX={}", k + 1),
                ),
                "-u",
                &login,
            ],
            b"",
        )
        .ok();
        assert_eq!(said.out, mail.bytes, "{}", mail.name);
    }
    let said = run(
        "curl",
        &[
            "-sS",
            "-k",
            &url("imaps", Port::ImapTls, "INBOX?SUBJECT%20dots"),
            "-u",
            &login,
        ],
        b"",
    )
    .ok();
    assert_eq!(
        said.text.split_whitespace().count(),
        2 + 2,
        "two mails have that subject: {}",
        said.text
    );
    let said = run(
        "curl",
        &[
            "-sS",
            "-k",
            &url("imaps", Port::ImapTls, ""),
            "-u",
            &login,
            "-X",
            "LIST \"\" *",
        ],
        b"",
    )
    .ok();
    assert!(
        said.text.contains("INBOX") && said.text.contains("\\Sent"),
        "{}",
        said.text
    );
}

#[test]
fn python_sends_and_reads_every_mail_by_every_way() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mut mails = mails::ordinary();
    mails.push(mails::large(20));
    for mail in &mails {
        file(dir.path(), &format!("{}.eml", mail.name), &mail.bytes);
    }
    let script = script("python_mail.py");
    let offset = (demo.port(Port::Smtp) - Port::Smtp as u16).to_string();
    let said = run(
        "python3",
        &[
            script.to_str().unwrap(),
            "127.0.0.1",
            &offset,
            dir.path().to_str().unwrap(),
        ],
        b"",
    )
    .ok();
    assert_eq!(said.text.matches("ok ").count(), 8, "{}", said.text);
}

fn script(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

#[test]
fn mbsync_synchronises_both_ways() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
    let mails = line_ended(mails::ordinary());
    for mail in &mails {
        append(&mut imap, "INBOX", &mail.bytes);
    }
    imap.imap("CREATE \"Projects/Größe\"");
    imap.imap("CREATE \"Projects/Gr&APYA3w-e\"");
    append(&mut imap, "Archive", &mails[0].bytes);
    let config = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {USER}\nPass demo\nSSLType None\nAuthMechs LOGIN PLAIN\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {root}/mb/\nInbox {root}/mb/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSync All\nSyncState *\n",
        demo.port(Port::Imap),
        root = dir.path().display()
    );
    std::fs::create_dir(dir.path().join("mb")).unwrap();
    let config = file(dir.path(), "mbsyncrc", config.as_bytes());
    let sync = || run("mbsync", &["-c", &config, "-a"], b"").ok();
    sync();
    let inbox_dir = dir.path().join("mb/INBOX");
    let pulled = maildir(&inbox_dir);
    assert_eq!(pulled.len(), mails.len());
    for mail in &mails {
        let want = unix(&mail.bytes);
        assert!(
            pulled
                .iter()
                .any(|(_, got)| without_header(got, "X-TUID") == want),
            "{} was not pulled as it is",
            mail.name
        );
    }
    // A new mail here, a flag there, a deletion here: all of it crosses.
    std::fs::write(inbox_dir.join("new/1.local.host"), unix(&mails[1].bytes)).unwrap();
    imap.imap("SELECT INBOX");
    imap.imap("STORE 1 +FLAGS (\\Flagged)");
    let (victim, gone) = pulled
        .iter()
        .find(|(_, b)| b.windows(20).any(|w| w == b"Subject: eight bits\n"))
        .unwrap();
    std::fs::remove_file(victim).unwrap();
    sync();
    sync();
    let far: Vec<Vec<u8>> = inbox(&demo, USER).iter().map(|m| unix(m)).collect();
    assert_eq!(far.len(), mails.len(), "one more, one less");
    let pushed = far
        .iter()
        .filter(|m| without_header(m, "X-TUID") == unix(&mails[1].bytes))
        .count();
    assert_eq!(pushed, 2, "the mail put into the Maildir is on the server");
    assert!(
        !far.contains(gone),
        "the mail removed from the Maildir is gone from the server"
    );
    let flagged = maildir(&inbox_dir)
        .iter()
        .filter(|(p, _)| flags(p).contains('F'))
        .count();
    assert_eq!(flagged, 1);
}

fn append(imap: &mut Wire, mailbox: &str, bytes: &[u8]) {
    imap.send(format!("T APPEND \"{mailbox}\" {{{}+}}\r\n", bytes.len()));
    imap.send(bytes);
    imap.send("\r\n");
    let said = imap.imap_until("T ");
    assert!(
        said.starts_with(b"T OK") || said.windows(5).any(|w| w == b"\nT OK"),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

fn maildir(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut mails = Vec::new();
    for sub in ["cur", "new"] {
        for entry in std::fs::read_dir(dir.join(sub)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            mails.push((path, bytes));
        }
    }
    mails
}

fn flags(path: &Path) -> String {
    path.to_string_lossy()
        .rsplit(":2,")
        .next()
        .filter(|f| f.len() < 8)
        .unwrap_or("")
        .to_owned()
}

fn unix(bytes: &[u8]) -> Vec<u8> {
    let text: Vec<&[u8]> = bytes
        .split(|&b| b == b'\n')
        .map(|l| l.strip_suffix(b"\r").unwrap_or(l))
        .collect();
    text.join(&b'\n')
}

/// mbsync marks what it pushes with a header of its own.
fn without_header(bytes: &[u8], name: &str) -> Vec<u8> {
    let start = format!("{name}: ");
    let mut lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    let end = lines
        .iter()
        .position(|l| l.is_empty())
        .unwrap_or(lines.len());
    if let Some(at) = lines[..end]
        .iter()
        .position(|l| l.starts_with(start.as_bytes()))
    {
        lines.remove(at);
    }
    lines.join(&b'\n')
}

#[test]
fn neomutt_sends_reads_copies_and_flags() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let attachment = file(
        dir.path(),
        "attached.bin",
        &(0..=255).cycle().take(10_000).collect::<Vec<u8>>(),
    );
    let config = format!(
        "set folder=imap://127.0.0.1:{imap}/\nset imap_user={USER}\nset imap_pass=demo\nset ssl_starttls=no\nset ssl_force_tls=no\n\
         set spoolfile=+INBOX\nset header_cache=\nset from={USER}\nset smtp_url=smtp://127.0.0.1:{smtp}/\nset copy=yes\nset record=+Sent\n\
         set tmpdir={dir}\nset certificate_file={dir}/certs\nset charset=utf-8\nset send_charset=utf-8\n",
        imap = demo.port(Port::Imap),
        smtp = demo.port(Port::Smtp),
        dir = dir.path().display()
    );
    let config = file(dir.path(), "muttrc", config.as_bytes());
    let mut command = Command::new("neomutt");
    command.args([
        "-n",
        "-F",
        &config,
        "-s",
        "Grüße aus der Ferne",
        "-a",
        &attachment,
        "--",
        OTHER,
    ]);
    command
        .env("HOME", dir.path())
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    finish(command, "Schöne Grüße\n.\nEnde\n".as_bytes()).ok();
    let read = inbox(&demo, OTHER);
    assert_eq!(read.len(), 1);
    let text = String::from_utf8_lossy(&read[0]).into_owned();
    assert!(
        text.contains("attached.bin") && text.contains("Subject: =?utf-8?"),
        "{text}"
    );
    // Reading needs a terminal: copy the mail, flag it, synchronise, leave.
    let keys = file(
        dir.path(),
        "keys",
        b"set quit=yes confirmcreate=no confirmappend=no delete=yes wait_key=no\npush \"<last-entry><copy-message>=Kept<enter><last-entry><set-flag>!<sync-mailbox><quit>\"\n",
    );
    let mut command = Command::new("script");
    let other = config.replace("muttrc", "muttrc2");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &other,
        text.replace(&format!("imap_user={USER}"), &format!("imap_user={OTHER}")),
    )
    .unwrap();
    let reader = format!(
        "stty rows 40 cols 120; neomutt -n -F {other} -f imap://127.0.0.1:{}/INBOX -e 'source {keys}'",
        demo.port(Port::Imap)
    );
    command.args(["-qec", &reader, "/dev/null"]);
    command
        .env("HOME", dir.path())
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    finish(command, b"").ok();
    let mut imap = Wire::imap_login(&demo.addr(Port::Imap), OTHER, "demo");
    let copies = imap.imap_messages("Kept");
    assert_eq!(copies.len(), 1, "the copy neomutt made");
    assert_eq!(copies[0].1, read[0], "the copy is the mail");
    imap.imap("EXAMINE INBOX");
    let flagged = String::from_utf8_lossy(&imap.imap("SEARCH FLAGGED")).into_owned();
    assert!(flagged.contains("SEARCH 1\r\n"), "{flagged}");
}

#[test]
fn fetchmail_empties_the_mailbox() {
    for (protocol, port) in [("imap", Port::Imap), ("pop3", Port::Pop3)] {
        let demo = server();
        let dir = TempDir::new().unwrap();
        let mut imap = Wire::imap_login(&demo.addr(Port::Imap), USER, "demo");
        let mails = line_ended(mails::ordinary());
        for mail in &mails {
            append(&mut imap, "INBOX", &mail.bytes);
        }
        let config = format!(
            "poll 127.0.0.1 protocol {protocol} port {} user \"{USER}\" password \"demo\" sslproto \"\" fetchall nokeep mda \"cat >> {}/got\"\n",
            demo.port(port),
            dir.path().display()
        );
        let config = file(dir.path(), "fetchmailrc", config.as_bytes());
        std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let mut command = Command::new("fetchmail");
        command.args([
            "-f",
            &config,
            "--pidfile",
            &format!("{}/pid", dir.path().display()),
            "-i",
            &format!("{}/ids", dir.path().display()),
            "-v",
        ]);
        command.env("HOME", dir.path());
        let said = finish(command, b"");
        assert_eq!(said.code, Some(0), "{protocol}: {}", said.text);
        assert!(
            inbox(&demo, USER).is_empty(),
            "{protocol}: fetched mail is deleted on the server"
        );
        let got = std::fs::read(dir.path().join("got")).unwrap();
        for mail in &mails {
            let body = mail
                .bytes
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
                .unwrap();
            let body = unix(&mail.bytes[body + 4..]);
            assert!(
                body.is_empty() || got.windows(body.len()).any(|w| w == body),
                "{protocol}: body of {}",
                mail.name
            );
        }
    }
}

#[test]
fn msmtp_submits() {
    let demo = server();
    let dir = TempDir::new().unwrap();
    let mails = line_ended(mails::ordinary());
    for (tls, port) in [
        ("tls_starttls on", Port::Submission),
        ("tls_starttls off", Port::SubmissionTls),
    ] {
        for method in ["plain", "login", "scram-sha-256"] {
            let config = format!(
                "account default\nhost 127.0.0.1\nport {}\nauth {method}\nuser {USER}\npassword demo\nfrom {USER}\ntls on\n{tls}\ntls_certcheck off\n",
                demo.port(port)
            );
            let config = file(dir.path(), "msmtprc", config.as_bytes());
            std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            let before = inbox(&demo, OTHER).len();
            for mail in &mails {
                run("msmtp", &["-C", &config, OTHER], &unix(&mail.bytes)).ok();
            }
            let read = inbox(&demo, OTHER);
            assert_eq!(read.len(), before + mails.len(), "{tls} {method}");
            for (mail, read) in mails.iter().zip(&read[before..]) {
                assert_arrived(&mail.bytes, read);
            }
        }
    }
}
