//! What is advertised is proved: each word that a service offers stands here with its RFC
//! and the transcript or test that shows it, and nothing is offered that does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::root;
use axigen_tests::served::{House, IMAP, POP3, SMTP};
use axigen_tests::wire::Wire;

/// Everything that can be offered is switched on.
const ALL: &str = r#"
hostname = "mail.example.test"
[tls]
certificate = "host.pem"
key = "host.key"
[smtp_in]
enable = true
mt_priority = true
deliver_by = true
no_soliciting = ["org.example:ADV"]
expn = "everybody"
etrn_peers = ["127.0.0.0/8"]
[[smtp_in.listeners]]
address = "127.0.0.1:PORT+2525"
tls = "starttls"
[submission]
enable = true
future_release = "1d"
mt_priority = true
deliver_by = true
[[submission.listeners]]
address = "127.0.0.1:PORT+2587"
tls = "starttls"
[lmtp]
enable = true
[[lmtp.listeners]]
address = "127.0.0.1:PORT+2424"
tls = "starttls"
[imap]
enable = true
message_limit = 1000
[[imap.listeners]]
address = "127.0.0.1:PORT+2143"
tls = "starttls"
[pop3]
enable = true
login_delay = "1s"
[[pop3.listeners]]
address = "127.0.0.1:PORT+2110"
tls = "starttls"
[smtp_out]
enable = true
"#;

/// A word of SMTP, submission and LMTP, its RFC, and what shows it.
const OF_SMTP: [(&str, u32, &str); 21] = [
    (
        "PIPELINING",
        2920,
        "tests/transcripts/smtp/rfc2920-pipelining.txt",
    ),
    ("8BITMIME", 6152, "tests/transcripts/smtp/rfc6152.txt"),
    (
        "SMTPUTF8",
        6531,
        "tests/transcripts/smtp/rfc6531-smtputf8.txt",
    ),
    ("CHUNKING", 3030, "tests/transcripts/smtp/rfc3030-bdat.txt"),
    (
        "BINARYMIME",
        3030,
        "tests/transcripts/smtp/rfc3030-bdat.txt",
    ),
    (
        "ENHANCEDSTATUSCODES",
        2034,
        "tests/transcripts/smtp/rfc2034.txt",
    ),
    ("STARTTLS", 3207, "tests/transcripts/smtp/rfc3207.txt"),
    ("STARTTLS", 3207, "tests/logins.rs"),
    ("DSN", 3461, "tests/transcripts/smtp/rfc3461.txt"),
    ("ETRN", 1985, "tests/transcripts/smtp/rfc1985.txt"),
    ("EXPN", 5321, "axigen-proto/src/smtp/tests/lookups.rs"),
    ("REQUIRETLS", 8689, "tests/transport_security/requiretls.rs"),
    ("SIZE", 1870, "tests/transcripts/smtp/rfc1870.txt"),
    ("LIMITS", 9422, "tests/transcripts/smtp/rfc9422.txt"),
    ("NO-SOLICITING", 3865, "tests/transcripts/smtp/rfc3865.txt"),
    ("MT-PRIORITY", 6710, "tests/transcripts/smtp/rfc6710.txt"),
    (
        "FUTURERELEASE",
        4865,
        "tests/transcripts/submission/rfc4865.txt",
    ),
    ("DELIVERBY", 2852, "tests/transcripts/smtp/rfc2852.txt"),
    (
        "AUTH",
        4954,
        "tests/transcripts/submission/rfc4954-plain.txt",
    ),
    (
        "AUTH",
        4954,
        "tests/transcripts/submission/rfc4954-login-and-cancel.txt",
    ),
    (
        "LHLO",
        2033,
        "tests/transcripts/lmtp/rfc2033-per-recipient.txt",
    ),
];

/// Tags of POP3.
const OF_POP3: [(&str, u32, &str); 13] = [
    ("TOP", 1939, "tests/transcripts/pop3/rfc1939-10-session.txt"),
    (
        "UIDL",
        1939,
        "tests/transcripts/pop3/rfc1939-10-session.txt",
    ),
    (
        "USER",
        1939,
        "tests/transcripts/pop3/rfc1939-10-session.txt",
    ),
    (
        "RESP-CODES",
        2449,
        "tests/transcripts/pop3/rfc2449-capabilities.txt",
    ),
    ("AUTH-RESP-CODE", 3206, "tests/transcripts/pop3/rfc3206.txt"),
    (
        "PIPELINING",
        2449,
        "tests/transcripts/pop3/rfc2449-pipelining.txt",
    ),
    ("UTF8", 6856, "tests/transcripts/pop3/rfc6856-utf8.txt"),
    ("LANG", 6856, "tests/transcripts/pop3/rfc6856-lang.txt"),
    ("SASL", 5034, "tests/transcripts/pop3/rfc5034-auth.txt"),
    ("STLS", 2595, "tests/transcripts/pop3/rfc2595.txt"),
    ("EXPIRE", 2449, "tests/pop3.rs"),
    ("LOGIN-DELAY", 2449, "tests/pop3.rs"),
    (
        "IMPLEMENTATION",
        2449,
        "tests/transcripts/pop3/rfc2449-capabilities.txt",
    ),
];

/// Capabilities of IMAP: each has a transcript that is named after its RFC, but for those
/// that have another place here.
const OF_IMAP: [(&str, u32); 66] = [
    ("IMAP4rev1", 3501),
    ("IMAP4rev2", 9051),
    ("LITERAL+", 7888),
    ("ENABLE", 5161),
    ("ID", 2971),
    ("SASL-IR", 4959),
    ("STARTTLS", 9051),
    ("LOGINDISABLED", 9051),
    ("AUTH=PLAIN", 9051),
    ("AUTH=LOGIN", 9051),
    ("AUTH=SCRAM-SHA-256", 7677),
    ("AUTH=SCRAM-SHA-256-PLUS", 7677),
    ("ACL", 4314),
    ("BINARY", 3516),
    ("CATENATE", 4469),
    ("CHILDREN", 3348),
    ("CONDSTORE", 7162),
    ("CONTEXT=SEARCH", 5267),
    ("CONTEXT=SORT", 5267),
    ("CREATE-SPECIAL-USE", 6154),
    ("ESEARCH", 4731),
    ("ESORT", 5267),
    ("I18NLEVEL=1", 5255),
    ("IDLE", 2177),
    ("INPROGRESS", 9585),
    ("LIST-EXTENDED", 5258),
    ("LIST-METADATA", 9590),
    ("LIST-MYRIGHTS", 8440),
    ("LIST-STATUS", 5819),
    ("METADATA", 5464),
    ("METADATA-SERVER", 5464),
    ("MOVE", 6851),
    ("MULTIAPPEND", 3502),
    ("MULTISEARCH", 7377),
    ("NAMESPACE", 2342),
    ("NOTIFY", 5465),
    ("OBJECTID", 8474),
    ("PARTIAL", 9394),
    ("PREVIEW", 8970),
    ("QRESYNC", 7162),
    ("QUOTA", 9208),
    ("QUOTA=RES-MAILBOX", 9208),
    ("QUOTA=RES-MESSAGE", 9208),
    ("QUOTA=RES-STORAGE", 9208),
    ("REPLACE", 8508),
    ("RIGHTS=texk", 4314),
    ("SAVEDATE", 8514),
    ("SEARCH=FUZZY", 6203),
    ("SEARCHRES", 5182),
    ("SORT", 5256),
    ("SORT=DISPLAY", 5957),
    ("SPECIAL-USE", 6154),
    ("STATUS=SIZE", 8438),
    ("THREAD=ORDEREDSUBJECT", 5256),
    ("THREAD=REFERENCES", 5256),
    ("UIDBATCHES", 10022),
    ("UIDONLY", 9586),
    ("UIDPLUS", 4315),
    ("UNAUTHENTICATE", 8437),
    ("UNSELECT", 3691),
    ("URLAUTH", 4467),
    ("UTF8=ACCEPT", 9755),
    ("WITHIN", 5032),
    ("APPENDLIMIT", 7889),
    ("MESSAGELIMIT", 9738),
    ("COMPRESS=DEFLATE", 4978),
];

/// Proofs of IMAP that are no transcripts of that name.
const ELSEWHERE: [(u32, &str); 2] = [
    (6203, "tests/fuzzy.rs"),
    (7677, "axigen-proto/src/sasl/scram.rs"),
];

/// The proof is there, and is about that RFC.
fn proved(word: &str, rfc: u32, path: &str) {
    let file = root().join(path);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{word}: {path}: {why}"));
    let named = path.contains(&format!("rfc{rfc}"));
    let about = text.contains(&format!("RFC {rfc}")) || text.contains(word);
    assert!(named || about, "{word}: {path} says nothing of RFC {rfc}");
}

#[test]
fn each_word_has_its_proof() {
    for (word, rfc, path) in OF_SMTP.into_iter().chain(OF_POP3) {
        proved(word, rfc, path);
    }
    for (word, rfc) in OF_IMAP {
        let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == rfc);
        match elsewhere {
            Some((_, path)) => proved(word, rfc, path),
            None => proved(word, rfc, &format!("tests/transcripts/imap/rfc{rfc}.txt")),
        }
    }
}

/// Before TLS and inside of it, before the login and behind it.
#[test]
fn nothing_else_is_offered() {
    let house = House::with(ALL);
    house.certificate("host");
    house.add("u1@example.test", "demo");
    let _served = house.serve();
    let mut seen = std::collections::BTreeSet::new();
    for (port, hello) in [(SMTP, "EHLO"), (2587, "EHLO"), (2424, "LHLO")] {
        let mut wire = Wire::connect(&house.addr(port));
        wire.smtp_reply();
        let mut offered = wire.smtp(&format!("{hello} client.test"));
        assert!(wire.smtp("STARTTLS").starts_with("220"));
        let mut wire = wire.start_tls();
        offered += &wire.smtp(&format!("{hello} client.test"));
        if port == 2587 {
            let said = wire.smtp("AUTH PLAIN AHUxQGV4YW1wbGUudGVzdABkZW1v");
            assert!(said.starts_with("235"), "{said}");
            offered += &wire.smtp("EHLO client.test");
        }
        for line in offered.lines() {
            let word = line.get(4..).unwrap_or_default().trim();
            let word = word.split([' ', '=']).next().unwrap_or_default();
            // The first line is the name of the host.
            if word.contains('.') {
                continue;
            }
            assert!(OF_SMTP.iter().any(|(known, _, _)| *known == word), "{word}");
            seen.insert(format!("smtp {word}"));
        }
    }
    let mut wire = Wire::connect(&house.addr(POP3));
    wire.line();
    let mut tags = Vec::new();
    let capa = |wire: &mut Wire, tags: &mut Vec<String>| {
        wire.send("CAPA\r\n");
        assert!(wire.line().starts_with("+OK"));
        loop {
            match wire.line().trim_end() {
                "." => break,
                tag => tags.push(tag.split(' ').next().unwrap_or_default().to_owned()),
            }
        }
    };
    capa(&mut wire, &mut tags);
    wire.send("STLS\r\n");
    assert!(wire.line().starts_with("+OK"));
    let mut wire = wire.start_tls();
    capa(&mut wire, &mut tags);
    wire.send("USER u1@example.test\r\nPASS demo\r\n");
    assert!(wire.line().starts_with("+OK") && wire.line().starts_with("+OK"));
    capa(&mut wire, &mut tags);
    for tag in tags {
        assert!(OF_POP3.iter().any(|(known, _, _)| *known == tag), "{tag}");
        seen.insert(format!("pop3 {tag}"));
    }
    let mut wire = Wire::connect(&house.addr(IMAP));
    wire.line();
    let mut offered = wire.ok("CAPABILITY");
    wire.ok("STARTTLS");
    let mut wire = wire.start_tls();
    offered += &wire.ok("CAPABILITY");
    wire.ok("LOGIN u1@example.test demo");
    offered += &wire.ok("CAPABILITY");
    for line in offered.lines() {
        let Some(words) = line.strip_prefix("* CAPABILITY ") else {
            continue;
        };
        for word in words.split_whitespace() {
            let name = ["APPENDLIMIT", "MESSAGELIMIT"]
                .into_iter()
                .find(|name| word.starts_with(name))
                .unwrap_or(word);
            assert!(OF_IMAP.iter().any(|(known, _)| *known == name), "{word}");
            seen.insert(format!("imap {name}"));
        }
    }
    // And all that stands above is offered somewhere.
    let smtp = OF_SMTP.iter().map(|(word, _, _)| format!("smtp {word}"));
    let pop3 = OF_POP3.iter().map(|(word, _, _)| format!("pop3 {word}"));
    let imap = OF_IMAP.iter().map(|(word, _)| format!("imap {word}"));
    let missing: Vec<String> = smtp
        .chain(pop3)
        .chain(imap)
        .filter(|word| word != "smtp LHLO" && !seen.contains(word))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
