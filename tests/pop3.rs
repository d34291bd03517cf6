//! POP3 of the real server: which mailbox, who may have it, what goes when.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN, POP3};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";
const MAIL: &str = "Subject: x\r\n\r\nbody\r\n";
/// Long ago.
const OLD: &str = "INBOX (\\Seen) \"01-Jan-2020 00:00:00 +0000\"";

fn house(settings: &str) -> House {
    let house = House::with(&format!("{PLAIN}\n{settings}"));
    house.add(USER, "demo");
    house
}

/// With `[pop3]` settings, which stand in a table that is there already.
fn house_of_pop3(settings: &str) -> House {
    let text = PLAIN.replace("[pop3]\n", &format!("[pop3]\n{settings}\n"));
    let house = House::with(&text);
    house.add(USER, "demo");
    house
}

/// One line as an answer.
fn ask(pop: &mut Wire, command: &str) -> String {
    pop.send(format!("{command}\r\n"));
    pop.line().trim_end().to_owned()
}

/// The lines behind +OK.
fn list(pop: &mut Wire, command: &str) -> Vec<String> {
    let first = ask(pop, command);
    assert!(first.starts_with("+OK"), "{command}: {first}");
    let mut lines = Vec::new();
    loop {
        let line = pop.line().trim_end().to_owned();
        if line == "." {
            return lines;
        }
        lines.push(line);
    }
}

fn greeted(house: &House) -> Wire {
    let mut pop = Wire::connect(&house.addr(POP3));
    let greeting = pop.line();
    // RFC 1939 §7: APOP has a timestamp in the greeting, and there is none.
    assert!(
        greeting.starts_with("+OK ") && !greeting.contains('<'),
        "{greeting}"
    );
    pop
}

/// A session, and what was said to the password.
fn log_in(house: &House, user: &str) -> (Wire, String) {
    let mut pop = greeted(house);
    assert!(ask(&mut pop, &format!("USER {user}")).starts_with("+OK"));
    let said = ask(&mut pop, "PASS demo");
    (pop, said)
}

fn opened(house: &House, user: &str) -> Wire {
    let (pop, said) = log_in(house, user);
    assert!(said.starts_with("+OK"), "{said}");
    pop
}

fn quit(mut pop: Wire) {
    assert!(ask(&mut pop, "QUIT").starts_with("+OK"));
    assert!(pop.rest().is_empty());
}

fn imap(house: &House) -> Wire {
    Wire::imap_login(&house.addr(IMAP), USER, "demo")
}

/// What `SEARCH` finds.
fn found(house: &House, keys: &str) -> usize {
    let mut imap = imap(house);
    imap.ok("SELECT INBOX");
    let said = imap.ok(&format!("SEARCH {keys}"));
    let line = said.lines().find(|line| line.starts_with("* SEARCH"));
    line.unwrap().split(' ').skip(2).count()
}

#[test]
fn the_mailbox_is_a_setting_or_stands_in_the_name() {
    let house = house("");
    house.add("u1+real@example.test", "demo");
    let served = house.serve();
    let mut mail = imap(&house);
    for name in ["Lists", "Lists/Rust"] {
        mail.ok(&format!("CREATE {name}"));
    }
    for (name, count) in [("INBOX", 1), ("Lists", 2), ("Lists/Rust", 3)] {
        for _ in 0..count {
            mail.append(name, "", MAIL);
        }
    }
    for (user, count) in [
        (USER, 1),
        ("u1+Lists@example.test", 2),
        ("u1+lists@example.test", 2),
        ("U1+LISTS/rust@Example.Test", 3),
        ("u1+INBOX@example.test", 1),
        // An account of this very name comes first.
        ("u1+real@example.test", 0),
    ] {
        let mut pop = opened(&house, user);
        assert!(
            ask(&mut pop, "STAT").starts_with(&format!("+OK {count} ")),
            "{user}"
        );
        quit(pop);
    }
    for user in ["u1+Nothing@example.test", "u1+../x@example.test"] {
        let (_, said) = log_in(&house, user);
        assert!(said.starts_with("-ERR [SYS/PERM]"), "{user}: {said}");
    }
    drop(served);
    house
        .run(&["account", "set", USER, "pop3_mailbox", "Lists"])
        .ok();
    let served = house.serve();
    let mut pop = opened(&house, USER);
    assert!(ask(&mut pop, "STAT").starts_with("+OK 2 "));
    quit(pop);
    drop(served);
    house
        .run(&["account", "set", USER, "pop3_folders", "false"])
        .ok();
    let _served = house.serve();
    let (_, said) = log_in(&house, "u1+Lists@example.test");
    assert!(said.starts_with("-ERR [SYS/PERM]"), "{said}");
}

#[test]
fn one_session_has_a_mailbox_or_several() {
    let house = house("[accounts]\npop3_connections = 3\n");
    let served = house.serve();
    let mut mail = imap(&house);
    mail.ok("CREATE Lists");
    for _ in 0..3 {
        mail.append("INBOX", "", MAIL);
    }
    let first = opened(&house, USER);
    let (mut second, said) = log_in(&house, USER);
    assert!(said.starts_with("-ERR [IN-USE]"), "{said}");
    // Another mailbox is another maildrop.
    let other = opened(&house, "u1+Lists@example.test");
    quit(first);
    assert!(ask(&mut second, &format!("USER {USER}")).starts_with("+OK"));
    assert!(ask(&mut second, "PASS demo").starts_with("+OK"));
    quit(second);
    quit(other);
    drop(served);
    house
        .run(&["account", "set", USER, "pop3_lock", "shared"])
        .ok();
    let _served = house.serve();
    let (mut one, mut two) = (opened(&house, USER), opened(&house, USER));
    let third = opened(&house, USER);
    // No more than are allowed.
    let (_, said) = log_in(&house, USER);
    assert!(said.starts_with("-ERR [SYS/TEMP]"), "{said}");
    drop(third);
    assert!(ask(&mut one, "DELE 1").starts_with("+OK"));
    assert!(ask(&mut two, "DELE 1").starts_with("+OK"));
    assert!(ask(&mut two, "DELE 2").starts_with("+OK"));
    quit(one);
    // What the other session took is gone for this one, and only said when it is wanted.
    assert!(ask(&mut two, "STAT").starts_with("+OK 1 "));
    quit(two);
    assert_eq!(found(&house, "ALL"), 1);
}

#[test]
fn deletions_wait_for_quit_and_ids_stay() {
    let house = house("");
    let served = house.serve();
    let mut mail = imap(&house);
    for _ in 0..4 {
        mail.append("INBOX", "", MAIL);
    }
    let mut pop = opened(&house, USER);
    let ids = list(&mut pop, "UIDL");
    assert_eq!(ids.len(), 4);
    for id in &ids {
        let (_, id) = id.split_once(' ').unwrap();
        assert!((1..=70).contains(&id.len()) && id.bytes().all(|b| (b'!'..=b'~').contains(&b)));
    }
    ask(&mut pop, "DELE 1");
    // A connection that breaks deletes nothing (RFC 1939 §6).
    drop(pop);
    assert_eq!(found(&house, "ALL"), 4);
    let mut pop = loop {
        let (pop, said) = log_in(&house, USER);
        if said.starts_with("+OK") {
            break pop;
        }
    };
    assert_eq!(list(&mut pop, "UIDL"), ids);
    ask(&mut pop, "DELE 1");
    ask(&mut pop, "DELE 3");
    ask(&mut pop, "RSET");
    ask(&mut pop, "DELE 2");
    quit(pop);
    let id = |line: &str| line.split_once(' ').map(|(_, id)| id.to_owned()).unwrap();
    let left: Vec<String> = [0, 2, 3].iter().map(|&at| id(&ids[at])).collect();
    let seen = |house: &House| -> Vec<String> {
        let mut pop = opened(house, USER);
        let ids = list(&mut pop, "UIDL");
        quit(pop);
        ids.iter().map(|line| id(line)).collect()
    };
    assert_eq!(seen(&house), left);
    drop(served);
    let _served = house.serve();
    assert_eq!(seen(&house), left, "after a restart");
    // A mailbox that is made anew never has the ids of the old one.
    let mut mail = imap(&house);
    let of = |mail: &mut Wire| {
        mail.ok("CREATE Again");
        mail.append("Again", "", MAIL);
        let mut pop = opened(&house, "u1+Again@example.test");
        let ids = list(&mut pop, "UIDL");
        quit(pop);
        ids
    };
    let before = of(&mut mail);
    mail.ok("DELETE Again");
    assert_ne!(of(&mut mail), before);
}

/// RFC 2449 §6.7
#[test]
fn what_was_fetched_may_not_stay() {
    let house = house("[accounts]\npop3_expire = \"0d\"\n");
    let _served = house.serve();
    let mut mail = imap(&house);
    for _ in 0..4 {
        mail.append("INBOX", "", MAIL);
    }
    let mut pop = greeted(&house);
    assert!(list(&mut pop, "CAPA").contains(&"EXPIRE 0".to_owned()));
    drop(pop);
    let mut pop = opened(&house, USER);
    list(&mut pop, "RETR 1");
    drop(pop);
    assert_eq!(found(&house, "ALL"), 4, "it never said QUIT");
    let mut pop = loop {
        let (pop, said) = log_in(&house, USER);
        if said.starts_with("+OK") {
            break pop;
        }
    };
    list(&mut pop, "RETR 1");
    list(&mut pop, "TOP 2 5");
    list(&mut pop, "RETR 3");
    ask(&mut pop, "DELE 4");
    quit(pop);
    assert_eq!(found(&house, "ALL"), 1, "only the one that TOP looked at");
}

#[test]
fn what_was_read_long_ago_goes() {
    let house = house("[accounts]\npop3_expire = \"30d\"\n");
    let _served = house.serve();
    let mut mail = imap(&house);
    let old = OLD.strip_prefix("INBOX ").unwrap();
    let append = |mail: &mut Wire, rest: &str| {
        mail.send(format!(
            "A APPEND INBOX {rest} {{{}+}}\r\n{MAIL}\r\n",
            MAIL.len()
        ));
        loop {
            let line = mail.line();
            if line.starts_with("A ") {
                assert!(line.starts_with("A OK"), "{line}");
                break;
            }
        }
    };
    append(&mut mail, old); // read long ago
    append(&mut mail, &old.replace("\\Seen", "")); // never read
    append(&mut mail, &old.replace("\\Seen", "")); // read now
    append(&mut mail, "(\\Seen)"); // new
    let mut pop = opened(&house, USER);
    assert!(list(&mut pop, "CAPA").contains(&"EXPIRE 30".to_owned()));
    list(&mut pop, "RETR 3");
    list(&mut pop, "RETR 4");
    quit(pop);
    assert_eq!(found(&house, "ALL"), 2);
    assert_eq!(found(&house, "UID 2,4"), 2);
}

#[test]
fn policies_that_vary() {
    let house = house_of_pop3("expire_varies = true");
    house.add("keeps@example.test", "demo");
    house
        .run(&["account", "set", USER, "pop3_expire", "0d"])
        .ok();
    let _served = house.serve();
    for (user, says) in [(USER, "EXPIRE 0"), ("keeps@example.test", "EXPIRE NEVER")] {
        let mut pop = greeted(&house);
        let before = list(&mut pop, "CAPA");
        assert!(before.contains(&"EXPIRE 0 USER".to_owned()), "{before:?}");
        ask(&mut pop, &format!("USER {user}"));
        ask(&mut pop, "PASS demo");
        let after = list(&mut pop, "CAPA");
        assert!(after.contains(&says.to_owned()), "{after:?}");
    }
}

#[test]
fn what_was_fetched_counts_as_read() {
    let house = house("");
    let served = house.serve();
    let mut mail = imap(&house);
    for _ in 0..3 {
        mail.append("INBOX", "", MAIL);
    }
    let mut pop = opened(&house, USER);
    list(&mut pop, "RETR 1");
    list(&mut pop, "TOP 2 0");
    quit(pop);
    assert_eq!((found(&house, "SEEN"), found(&house, "ALL")), (1, 3));
    drop(served);
    house
        .run(&["account", "set", USER, "pop3_seen", "false"])
        .ok();
    let _served = house.serve();
    let mut pop = opened(&house, USER);
    list(&mut pop, "RETR 2");
    quit(pop);
    assert_eq!(found(&house, "SEEN"), 1);
}

/// RFC 2449 §6.5
#[test]
fn logins_have_a_delay() {
    let house = house_of_pop3("login_delay = \"1h\"");
    house.add("u2@example.test", "demo");
    let _served = house.serve();
    let mut pop = greeted(&house);
    assert!(list(&mut pop, "CAPA").contains(&"LOGIN-DELAY 3600".to_owned()));
    drop(pop);
    // One that failed does not count.
    let mut pop = greeted(&house);
    ask(&mut pop, &format!("USER {USER}"));
    assert!(ask(&mut pop, "PASS wrong").starts_with("-ERR [AUTH]"));
    quit(pop);
    quit(opened(&house, USER));
    let (mut pop, said) = log_in(&house, USER);
    assert!(said.starts_with("-ERR [LOGIN-DELAY]"), "{said}");
    // The session goes on, for somebody else for instance.
    ask(&mut pop, "USER u2@example.test");
    assert!(ask(&mut pop, "PASS demo").starts_with("+OK"));
}

/// RFC 6856, over the wire and with mail that needs it.
#[test]
fn utf8_and_languages() {
    let house = house_of_pop3("language = \"de\"");
    house.add("jörg@example.test", "pässword");
    let _served = house.serve();
    let mut mail = imap(&house);
    let text = "Subject: Grüße\r\nFrom: Jörg <joerg@example.test>\r\n\r\nä\r\n";
    mail.append("INBOX", "", text);
    let mut pop = greeted(&house);
    let capa = list(&mut pop, "CAPA");
    for tag in [
        "UTF8 USER",
        "LANG",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
    ] {
        assert!(capa.contains(&tag.to_owned()), "{capa:?}");
    }
    // The name as it is kept is prepared, so any spelling of it will do.
    ask(&mut pop, "USER jo\u{308}rg@example.test");
    let said = ask(&mut pop, "PASS p\u{e4}ssword");
    assert!(said.starts_with("+OK"), "{said}");
    quit(pop);
    let mut pop = opened(&house, USER);
    let plain = list(&mut pop, "RETR 1");
    assert_eq!(plain[0], "Subject: =?utf-8?B?R3LDvMOfZQ==?=");
    assert_eq!(plain[1], "From: =?utf-8?B?SsO2cmc=?=");
    assert_eq!(plain[2], " <joerg@example.test>");
    assert_eq!(
        ask(&mut pop, "LANG *"),
        "+OK de die Sprache ist jetzt Deutsch"
    );
    assert_eq!(
        ask(&mut pop, "RETR 7"),
        "-ERR diese Nachricht gibt es nicht"
    );
    assert_eq!(
        ask(&mut pop, "LANG fr"),
        "+OK fr la langue est maintenant le français"
    );
    quit(pop);
    let mut pop = greeted(&house);
    assert!(ask(&mut pop, "UTF8").starts_with("+OK"));
    ask(&mut pop, &format!("USER {USER}"));
    ask(&mut pop, "PASS demo");
    let whole: String = list(&mut pop, "RETR 1")
        .iter()
        .map(|line| format!("{line}\r\n"))
        .collect();
    assert_eq!(whole, text);
}

/// The surrogate is a message of the old format altogether: the headers of parts
/// and of messages in it are ASCII, too (RFC 6856 §2.1).
#[test]
fn headers_of_parts_for_who_does_not_know_utf8() {
    let house = house("");
    let _served = house.serve();
    let mut mail = imap(&house);
    let text = "Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Disposition: attachment; filename=\"Gr\u{fc}\u{df}e.txt\"\r\n\r\nk\u{f6}rper\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\n\u{e4}\r\n--b--\r\n";
    mail.append("INBOX", "", text);
    let mut pop = opened(&house, USER);
    let shown = list(&mut pop, "RETR 1").join("\n");
    for want in [
        "attachment;\n filename*=utf-8''Gr%C3%BC%C3%9Fe.txt\n\nk\u{f6}rper\n",
        "\n\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\n\n\u{e4}\n--b--",
    ] {
        assert!(shown.contains(want), "{shown}");
    }
    // TOP counts lines of what is shown.
    let top = list(&mut pop, "TOP 1 3");
    assert_eq!(top.len(), 3 + 3, "{top:?}");
    assert_eq!(top[5], " filename*=utf-8''Gr%C3%BC%C3%9Fe.txt");
    quit(pop);
}

#[test]
fn apop_is_refused_with_a_reason() {
    let house = house("");
    let _served = house.serve();
    let mut pop = greeted(&house);
    let said = ask(
        &mut pop,
        &format!("APOP {USER} c4c9334bac560ecc979e58001b3e22fb"),
    );
    assert_eq!(
        said,
        "-ERR APOP is not offered: it needs the password in the clear on the server"
    );
    assert!(
        !list(&mut pop, "CAPA")
            .iter()
            .any(|tag| tag.contains("APOP"))
    );
}
