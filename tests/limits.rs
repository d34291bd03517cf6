//! Limits of IMAP at the real server, of the service and of accounts: each one
//! bites. RFC 9051 §5.4, RFC 2177 §3.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const USER: &str = "u1@example.test";

fn house(of_imap: &str) -> House {
    let house = House::with(&PLAIN.replace("[imap]\n", &format!("[imap]\n{of_imap}")));
    house.add(USER, "demo");
    house
}

fn login(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), user, "demo")
}

#[test]
fn commands_and_literals() {
    let house = house(
        "command_size = 2000\nlogin_command_size = 300\nliteral_size = 100\nliterals = 2\nnesting = 3\n",
    );
    let _served = house.serve();
    let mut imap = Wire::connect(&house.addr(IMAP));
    imap.line();
    let said = imap.ask(&format!("LOGIN {} x", "u".repeat(400)));
    assert!(said.contains("BAD") && said.contains("[TOOBIG]"), "{said}");

    let mut imap = login(&house, USER);
    imap.ok(&format!("LIST \"\" {}", "x".repeat(900)));
    let said = imap.ask(&format!("NOOP {}", "x".repeat(3000)));
    assert!(said.contains("BAD") && said.contains("[TOOBIG]"), "{said}");
    imap.send("T CREATE {101}\r\n");
    let line = imap.line();
    assert!(line.starts_with("T BAD [TOOBIG]"), "{line}");
    imap.send("T RENAME {1+}\r\na {1+}\r\nb {1}\r\n");
    let line = imap.line();
    assert!(line.starts_with("T BAD "), "{line}");
    imap.ok("SELECT INBOX");
    imap.ok("SEARCH (NOT (ALL))");
    let said = imap.ask("SEARCH ((((((ALL))))))");
    assert!(said.contains("T BAD") || said.contains("T NO"), "{said}");
}

#[test]
fn of_an_account_they_are_narrower_never_wider() {
    let house = house("command_size = 4000\n");
    for (option, value) in [
        ("imap_command_size", "1000"),
        ("imap_literal_size", "50"),
        ("imap_connections", "2"),
    ] {
        house.run(&["account", "set", USER, option, value]).ok();
    }
    house.add("free@example.test", "demo");
    house
        .run(&[
            "account",
            "set",
            "free@example.test",
            "imap_command_size",
            "1MB",
        ])
        .ok();
    let _served = house.serve();
    let long = format!("NOOP {}", "x".repeat(2000));
    let longer = format!("NOOP {}", "x".repeat(5000));
    let mut free = login(&house, "free@example.test");
    let said = free.ask(&long);
    assert!(!said.contains("[TOOBIG]"), "{said}");
    assert!(free.ask(&longer).contains("[TOOBIG]"));
    let mut imap = login(&house, USER);
    assert!(imap.ask(&long).contains("[TOOBIG]"));
    imap.send("T CREATE {51}\r\n");
    let line = imap.line();
    assert!(line.starts_with("T BAD [TOOBIG]"), "{line}");

    let _second = login(&house, USER);
    let mut third = Wire::connect(&house.addr(IMAP));
    third.line();
    let said = third.ask(&format!("LOGIN {USER} demo"));
    assert!(said.starts_with("T NO [LIMIT]"), "{said}");
}

#[test]
fn thirty_two_connections_of_an_account() {
    let house = house("");
    let _served = house.serve();
    let mut open: Vec<Wire> = (0..32).map(|_| login(&house, USER)).collect();
    let mut more = Wire::connect(&house.addr(IMAP));
    more.line();
    let said = more.ask(&format!("LOGIN {USER} demo"));
    assert!(said.starts_with("T NO [LIMIT]"), "{said}");
    open.pop().unwrap().ok("LOGOUT");
    let begun = Instant::now();
    while !more.ask(&format!("LOGIN {USER} demo")).contains("T OK") {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "none is given back"
        );
    }
}

#[test]
fn silence_ends_a_session_in_idle_too() {
    let house = house("idle_timeout = \"4s\"\nidle_remark = \"1s\"\n");
    house.add("short@example.test", "demo");
    house
        .run(&[
            "account",
            "set",
            "short@example.test",
            "imap_idle_timeout",
            "1s",
        ])
        .ok();
    let _served = house.serve();
    let mut imap = login(&house, USER);
    imap.ok("SELECT INBOX");
    imap.send("T IDLE\r\n");
    assert!(imap.line().starts_with("+ "));
    for _ in 0..3 {
        assert_eq!(imap.line(), "* OK Still here\r\n");
    }
    let line = imap.line();
    assert!(
        line.starts_with("* BYE ") || line == "* OK Still here\r\n",
        "{line}"
    );
    let rest = format!("{line}{}", String::from_utf8_lossy(&imap.rest()));
    assert!(rest.contains("* BYE "), "{rest}");

    // Out of IDLE nothing is said until the end; an account may have it earlier.
    let begun = Instant::now();
    let mut imap = login(&house, "short@example.test");
    assert!(imap.line().starts_with("* BYE "));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

/// Connections of one account that submit mail are counted as those of IMAP and
/// POP3 are.
#[test]
fn connections_of_submission() {
    const SUBMISSION: u16 = 2587;
    let house = House::with(&format!(
        "{PLAIN}\n[submission]\nenable = true\n[[submission.listeners]]\n\
         address = \"127.0.0.1:PORT+2587\"\ntls = \"none\"\nplaintext_login = true\n\
         [accounts]\nsubmission_connections = 2\n"
    ));
    house.add(USER, "demo");
    house.add("u2@example.test", "demo");
    let _served = house.serve();
    let log_in = |user: &str| {
        let mut smtp = Wire::connect(&house.addr(SUBMISSION));
        smtp.smtp_reply();
        smtp.smtp("EHLO client.test");
        let plain = STANDARD.encode(format!("\0{user}\0demo"));
        let said = smtp.smtp(&format!("AUTH PLAIN {plain}"));
        (smtp, said)
    };
    let (first, said) = log_in(USER);
    assert!(said.starts_with("235 "), "{said}");
    let (_second, said) = log_in(USER);
    assert!(said.starts_with("235 "), "{said}");
    let (_third, said) = log_in(USER);
    assert!(said.starts_with("454 4.7.0 "), "{said}");
    // Others have their own.
    let (_other, said) = log_in("u2@example.test");
    assert!(said.starts_with("235 "), "{said}");
    // One that ends makes room.
    drop(first);
    let start = Instant::now();
    while !log_in(USER).1.starts_with("235 ") {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
}
