//! The metadata is lost, and mail that waits for other hosts comes back from the
//! packs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use axigen_tests::sink::{self, ANN, Mood, Sink, submit};
use axigen_tests::wire::Wire;

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

#[test]
fn what_waits_comes_back_held_and_what_was_sent_does_not() {
    let sink = Sink::start();
    let house = sink::house(sink.port(), "");
    let served = house.serve();
    let out = |args: &[&str]| String::from_utf8(house.run(args).ok().out).unwrap();
    let entries = |count: usize| out(&["queue", "list", "--json"]).lines().count() == count;
    submit(&house, ["gone@a.test", "gone@b.test"]);
    until(|| sink.count() == 2 && entries(0));
    sink.mood(Mood::Says("450 4.2.0 not now"));
    let both = format!("both@a.test {ANN}");
    submit(
        &house,
        [
            "waits@a.test",
            "also@a.test and@b.test",
            "dropped@a.test",
            "later@a.test",
            &both,
        ],
    );
    until(|| {
        out(&["queue", "list", "--state", "deferred", "--json"])
            .lines()
            .count()
            == 5
    });
    assert_eq!(
        out(&["queue", "drop", "--recipient", "dropped@a.test", "--yes"]),
        "1 dropped\n"
    );
    sink.mood(Mood::Takes);
    out(&["queue", "retry", "--recipient", "later@a.test"]);
    until(|| sink.count() == 3 && entries(3));
    // What has left is noted a moment later.
    std::thread::sleep(Duration::from_secs(3));
    // Killed with -9.
    drop(served);
    std::fs::remove_dir_all(house.store().join("meta")).unwrap();
    let said = house.run(&["store", "salvage", "--dir", "mail"]).ok();
    assert!(
        said.text.contains("3 entries of the queue are back, held"),
        "{}",
        said.text
    );
    house.verify();
    let mut served = house.serve();
    let list = out(&["queue", "list", "--state", "held", "--json"]);
    let mut back: Vec<(String, Vec<String>)> = list
        .lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let to = entry["recipients"].as_array().unwrap().iter();
            let to = to
                .map(|to| to["address"].as_str().unwrap().to_owned())
                .collect();
            (entry["sender"].as_str().unwrap().to_owned(), to)
        })
        .collect();
    back.sort();
    let entry = |to: &[&str]| {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        (ANN.to_owned(), to)
    };
    let wanted = [
        entry(&["also@a.test", "and@b.test"]),
        entry(&["both@a.test"]),
        entry(&["waits@a.test"]),
    ];
    assert_eq!(back, wanted);
    // Nothing is sent before somebody says so, and then everything once.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(sink.count(), 3);
    assert_eq!(out(&["queue", "release", "--all"]), "3 released\n");
    until(|| entries(0));
    let mut subjects: Vec<String> = sink
        .arrived()
        .iter()
        .map(|mail| {
            let subject = mail.text.lines().find(|line| line.starts_with("Subject: "));
            subject.unwrap().to_owned()
        })
        .collect();
    subjects.sort();
    let wanted = ["also", "both", "gone", "gone", "later", "waits"];
    assert_eq!(subjects, wanted.map(|to| format!("Subject: to {to}")));
    let mut imap = Wire::imap_login(&house.addr(2143), ANN, "secret");
    assert_eq!(imap.imap_messages("INBOX").len(), 1);
    served.signal("TERM");
    assert!(served.ended().0.success());
    house.verify();
}
