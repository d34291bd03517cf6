//! `axigen queue` against a running server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use axigen_tests::served::{House, PLAIN, SMTP};
use axigen_tests::sink::{self, ANN, Mood, Sink, submit};
use axigen_tests::tool::Said;
use axigen_tests::wire::Wire;
use serde_json::Value;

const IMAP: u16 = 2143;

fn out(said: Said) -> String {
    String::from_utf8(said.ok().out).unwrap()
}

/// Entries, as JSON.
fn listed(house: &House, args: &[&str]) -> Vec<Value> {
    let args = [&["queue", "list", "--json"], args].concat();
    let lines = out(house.run(&args));
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The value of a member that is text.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

#[track_caller]
fn until(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it does not come true"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until all entries were tried and wait for another time.
fn deferred(house: &House, count: usize) -> Vec<Value> {
    let mut entries = Vec::new();
    until(|| {
        entries = listed(house, &["--state", "deferred"]);
        entries.len() == count && entries.iter().all(|entry| entry["last"].is_object())
    });
    entries
}

#[test]
fn entries_are_listed_shown_held_released_retried_and_dropped() {
    let sink = Sink::start();
    sink.mood(Mood::Says("450 4.2.0 the mailbox is busy"));
    let house = sink::house(sink.port(), "");
    let _served = house.serve();
    assert_eq!(out(house.run(&["queue", "list"])), "no entries\n");
    submit(
        &house,
        ["one@a.test", "two@a.test", "three@b.test", "four@b.test"],
    );
    let entries = deferred(&house, 4);
    let ids: Vec<&str> = entries.iter().map(|entry| text(entry, "id")).collect();
    let one = &entries[0];
    assert_eq!(text(one, "sender"), ANN);
    assert_eq!(text(one, "user"), ANN);
    assert_eq!(text(&one["recipients"][0], "address"), "one@a.test");
    assert_eq!(
        text(&one["recipients"][0]["last"], "words"),
        "450 4.2.0 the mailbox is busy"
    );
    assert!(one["next"].is_string());
    // For people.
    let table = out(house.run(&["queue", "list"]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("entry "), "{table}");
    assert!(lines[1].starts_with(ids[0]), "{table}");
    assert!(
        lines[1].ends_with(" <ann@here.test> to <one@a.test>"),
        "{table}"
    );
    assert!(
        lines[2].contains("450 4.2.0 the mailbox is busy"),
        "{table}"
    );
    assert_eq!(lines.last(), Some(&"4 entries"), "{table}");
    let stat = out(house.run(&["queue", "stat"]));
    assert!(
        stat.lines()
            .any(|line| line.split_whitespace().eq(["entries", "4"])),
        "{stat}"
    );
    // What is meant.
    for (args, count) in [
        (&["--domain", "a.test"][..], 2),
        (&["--domain", "A.TEST", "--recipient", "two@a.test"], 1),
        (&["--recipient", "@b.test"], 2),
        (&["--sender", "@here.test"], 4),
        (&["--sender", "eve@here.test"], 0),
        (&["--sender", ""], 0),
        (&["--older", "1h"], 0),
        (&["--newer", "1h"], 4),
        (&["--state", "held"], 0),
        (&["--message", text(one, "mail")], 1),
        (&["--lane", text(one, "lane")], 4),
        (&["--limit", "3"], 3),
        (&["--limit", "3", "--from", ids[2]], 2),
    ] {
        assert_eq!(listed(&house, args).len(), count, "{args:?}");
    }
    let page = out(house.run(&["queue", "list", "--limit", "2"]));
    assert!(
        page.ends_with(&format!("there are more: --from {}\n", ids[2])),
        "{page}"
    );
    // One of them.
    let shown = out(house.run(&["queue", "show", ids[1], "--header"]));
    for part in [
        "sender        <ann@here.test>\n",
        "to            <two@a.test>\n",
        "tries         1\n",
        "| Subject: to two\n",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    // By the message's number, by its id in the log.
    let number = ids[1].split('-').next().unwrap();
    for name in [number, text(&entries[1], "mail")] {
        let shown = out(house.run(&["queue", "show", name, "--json"]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(text(&shown, "id"), ids[1]);
    }
    house
        .run(&["queue", "show", "999-0"])
        .refused(&["there is no entry 999-0"]);
    house
        .run(&["queue", "show", "nothing"])
        .refused(&["no entry and no message nothing"]);
    // Held: nothing moves it but a release.
    assert_eq!(
        out(house.run(&["queue", "hold", "--domain", "b.test"])),
        "2 held\n"
    );
    sink.mood(Mood::Takes);
    assert_eq!(
        out(house.run(&["queue", "retry", "--all"])),
        "4 to be tried now\n"
    );
    until(|| sink.count() == 2);
    until(|| listed(&house, &[]).len() == 2);
    let held = listed(&house, &["--state", "held"]);
    assert_eq!(held.len(), 2);
    assert!(held[0]["next"].is_null());
    let said = house.run(&["queue", "release", ids[2], "999-0"]);
    assert_eq!(String::from_utf8_lossy(&said.out), "1 released; 1 not\n");
    said.refused(&["there is no entry 999-0"]);
    until(|| sink.count() == 3);
    until(|| listed(&house, &[]).len() == 1);
    // Dropped: it is gone, nobody is told, and nobody was asked to.
    house
        .run(&["queue", "drop", "--all"])
        .refused(&["say --yes"]);
    assert_eq!(
        out(house.run(&["queue", "drop", "--all", "--yes"])),
        "1 dropped\n"
    );
    assert!(listed(&house, &[]).is_empty());
    let mut imap = Wire::imap_login(&house.addr(IMAP), ANN, "secret");
    let inbox = String::from_utf8(imap.imap("STATUS INBOX (MESSAGES)")).unwrap();
    assert!(inbox.contains("MESSAGES 0"), "{inbox}");
    let came: Vec<String> = sink
        .arrived()
        .iter()
        .map(|mail| mail.recipients[0].clone())
        .collect();
    assert!(!came.contains(&"four@b.test".to_owned()), "{came:?}");
}

#[test]
fn senders_hear_of_what_is_sent_back() {
    let sink = Sink::start();
    sink.mood(Mood::Says("450 4.2.0 not now"));
    let house = sink::house(sink.port(), "");
    let _served = house.serve();
    submit(&house, ["one@a.test", "two@b.test"]);
    let entries = deferred(&house, 2);
    let said = house.run(&[
        "queue",
        "bounce",
        text(&entries[0], "id"),
        "--reason",
        "this domain is no more",
    ]);
    assert_eq!(out(said), "1 sent back\n");
    let said = out(house.run(&["queue", "bounce", "--domain", "b.test", "--yes", "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["id"], entries[1]["id"]);
    assert!(listed(&house, &[]).is_empty());
    let mut imap = Wire::imap_login(&house.addr(IMAP), ANN, "secret");
    imap.imap("EXAMINE INBOX");
    for (number, to, why) in [
        (1, "one@a.test", "this domain is no more"),
        (2, "two@b.test", "an administrator of this server"),
    ] {
        let text = imap.imap(&format!("FETCH {number} BODY.PEEK[]"));
        let text = String::from_utf8(text).unwrap();
        for part in [
            "Content-Type: multipart/report; report-type=delivery-status;",
            &format!("Final-Recipient: rfc822;{to}\r\nAction: failed\r\nStatus: 5.0.0\r\n"),
            why,
            "Subject: to ",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
    assert_eq!(sink.count(), 0);
    house
        .run(&["queue", "bounce", text(&entries[0], "id")])
        .refused(&["there is no entry"]);
}

/// A domain that could not be reached is left alone for a while, unless somebody
/// says that it is there again.
#[test]
fn a_domain_that_rests_can_be_forced() {
    let port = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap().port()
    };
    let house = sink::house(port, "");
    let _served = house.serve();
    submit(&house, ["one@a.test"]);
    deferred(&house, 1);
    submit(&house, ["two@a.test", "three@a.test"]);
    // They wait with the lane, though they were never tried.
    until(|| listed(&house, &["--state", "deferred"]).len() == 3);
    let sink = Sink::at(port);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(sink.count(), 0);
    out(house.run(&["queue", "retry", "--domain", "a.test"]));
    until(|| sink.count() == 3);
    until(|| listed(&house, &[]).is_empty());
}

#[test]
fn many_entries_are_changed_by_the_page() {
    let sink = Sink::start();
    sink.mood(Mood::Says("450 4.2.0 not now"));
    let house = sink::house(sink.port(), "");
    let _served = house.serve();
    let to: Vec<String> = (0..1200).map(|n| format!("u{n}@a.test")).collect();
    submit(&house, to.iter().map(String::as_str));
    until(|| {
        out(house.run(&["queue", "hold", "--all"]));
        listed(&house, &["--state", "held"]).len() == to.len()
    });
    let mut from: Option<String> = None;
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let mut args = vec!["queue", "list", "--limit", "500"];
        args.extend(from.iter().flat_map(|from| ["--from", from.as_str()]));
        let page = out(house.run(&args));
        let ids = page.lines().filter(|line| line.contains(" held "));
        let ids = ids.map(|line| line.split(' ').next().unwrap().to_owned());
        for id in ids {
            assert!(seen.insert(id));
        }
        let last = page.lines().last().unwrap();
        match last.strip_prefix("there are more: --from ") {
            Some(next) => from = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen.len(), to.len());
    sink.mood(Mood::Takes);
    assert_eq!(
        out(house.run(&["queue", "release", "--all"])),
        "1200 released\n"
    );
    until(|| sink.count() == to.len() && listed(&house, &[]).is_empty());
}

#[test]
fn where_no_server_runs_it_is_said_what_to_do() {
    let house = sink::house(9, "");
    for args in [&["queue", "list"][..], &["queue", "stat", "--dir", "mail"]] {
        house.run(args).refused(&[
            "no server answers at ",
            "mail/control.sock: start it first (`axigen serve --config FILE`)",
        ]);
    }
    house
        .run(&["queue", "list", "--config", "other.cfg"])
        .refused(&["other.cfg"]);
    for args in [
        &["queue", "hold"][..],
        &["queue", "hold", "1-0", "--all"],
        &["queue", "retry", "1-0", "--domain", "a.test"],
    ] {
        house.run(args).refused(&["say which are meant"]);
    }
    for (args, said) in [
        (
            &["queue", "list", "--state", "lost"][..],
            "active, held, due, deferred",
        ),
        (&["queue", "list", "--older", "soon"], "is not a time"),
        (&["queue", "show"], "<ID>"),
        (&["queue", "empty"], "unrecognized subcommand"),
    ] {
        let got = house.run(args);
        assert_eq!(got.code, Some(2), "{}", got.text);
        assert!(got.err.contains(said), "{}", got.err);
    }
    // Switched off.
    let text = std::fs::read_to_string(house.config()).unwrap();
    house.configure(&format!("{text}\n[control]\nenable = false\n"));
    house
        .run(&["queue", "list"])
        .refused(&["[control] enable is false"]);
    let _served = house.serve();
    assert!(!house.store().join("control.sock").exists());
}

#[test]
fn the_socket_is_the_servers_own_and_survives_kill_9() {
    let house = sink::house(9, "");
    let socket = house.store().join("control.sock");
    let served = house.serve();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    served.signal("KILL");
    until(|| house.run(&["queue", "stat"]).code == Some(1));
    assert!(socket.exists(), "kill -9 leaves it");
    house
        .run(&["queue", "stat"])
        .refused(&["no server answers at "]);
    drop(served);
    let mut served = house.serve();
    out(house.run(&["queue", "stat", "--json"]));
    // A second server on the same directory takes nothing away from the first.
    house.run(&["serve"]).refused(&["is in use"]);
    out(house.run(&["queue", "stat", "--dir", "mail"]));
    served.signal("TERM");
    assert!(served.ended().0.success());
    assert!(!socket.exists());
}

/// Who is banned is shown, and let in again, by the same socket.
#[test]
fn bans_are_listed_and_lifted() {
    let text = PLAIN.to_owned() + "[faults]\nban_after = 3\nfree = 3\ntrusted = []\n";
    let house = House::with(&text);
    let _served = house.serve();
    assert_eq!(out(house.run(&["bans", "list"])), "nobody is banned\n");
    let knock = || {
        let mut wire = Wire::connect(&house.addr(SMTP));
        let greeting = wire.smtp_reply();
        if greeting.starts_with("220") {
            for _ in 0..3 {
                wire.smtp("NONSENSE");
            }
        }
        greeting
    };
    for lift in [&["bans", "lift", "127.0.0.1"][..], &["bans", "clear"]] {
        assert!(knock().starts_with("220"));
        until(|| out(house.run(&["bans", "list", "--json"])).contains("\"peer\":\"127.0.0.1/32\""));
        assert!(knock().starts_with("421"));
        let shown = out(house.run(&["bans", "list"]));
        assert!(
            shown.contains("127.0.0.1/32") && shown.ends_with("1 banned\n"),
            "{shown}"
        );
        house.run(lift).ok();
    }
    assert!(knock().starts_with("220"));
    house
        .run(&["bans", "lift", "192.0.2.1"])
        .refused(&["192.0.2.1 is not banned"]);
}
