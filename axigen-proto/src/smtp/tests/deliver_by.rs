//! DELIVERBY (RFC 2852) on both sides.

use super::peer::{Peer, after_hello, quiet};
use super::sender::{EHLO, Job, Sender, config, job, pair, script};
use crate::session::Close;
use crate::smtp::client::{self, Event, Refusal, Stage};
use crate::smtp::deliver_by::{ByMode, DeliverBy};
use crate::smtp::server::{Config, Role};

fn deliver_by(role: Role, least: u32) -> Config {
    let mut config = quiet(role);
    config.extensions.deliver_by = Some(least);
    config
}

#[test]
fn by_when_reaches_the_application() {
    for (role, least, line) in [(Role::Mx, 0, "DELIVERBY"), (Role::Lmtp, 60, "DELIVERBY 60")] {
        let peer = after_hello(
            &deliver_by(role, least),
            &[line],
            b"MAIL FROM:<a@b> BY=120;R\r\nRSET\r\nMAIL FROM:<a@b> by=+60;rt\r\nRSET\r\n\
              MAIL FROM:<a@b> BY=-3600;NT\r\nRSET\r\nMAIL FROM:<a@b> BY=0;N\r\n",
            &[
                "250 2.1.0…",
                "250 2.0.0…",
                "250 2.1.0…",
                "250 2.0.0…",
                "250 2.1.0…",
                "250 2.0.0…",
                "250 2.1.0…",
            ],
        );
        let got: Vec<String> = peer
            .app
            .mails
            .iter()
            .map(|mail| mail.by.unwrap().to_string())
            .collect();
        assert_eq!(got, ["120;R", "60;RT", "-3600;NT", "0;N"]);
    }
}

#[test]
fn what_is_wrong_with_by() {
    let mut config = deliver_by(Role::Mx, 60);
    config.limits.errors = 100;
    let mut input = String::new();
    let bad = [
        "BY",
        "BY=",
        "BY=1",
        "BY=1;",
        "BY=1;X",
        "BY=1;T",
        "BY=1;RR",
        "BY=x;N",
        "BY=--1;N",
        "BY=1000000000;N",
        "BY=;N",
        "BY=0;R",
        "BY=-1;RT",
        "BY=100;N BY=100;N",
    ];
    for parameter in bad {
        input.push_str(&format!("MAIL FROM:<a@b> {parameter}\r\n"));
    }
    input.push_str("MAIL FROM:<a@b> BY=59;R\r\nMAIL FROM:<a@b> BY=59;N\r\n");
    let mut want = vec!["501 5.5.4 …"; bad.len()];
    want.push("555 5.5.4 the time in BY is less than the minimum announced with DELIVERBY");
    want.push("250 2.1.0…");
    after_hello(&config, &["DELIVERBY 60"], input.as_bytes(), &want);
    after_hello(
        &quiet(Role::Mx),
        &[],
        b"MAIL FROM:<a@b> BY=100;N\r\n",
        &["555 5.5.4 unknown parameter"],
    );
}

fn urgent(seconds: i32, mode: ByMode) -> Job {
    let mut job = job(&["c@d"], b"x\r\n");
    job.envelopes[0].by = Some(DeliverBy::new(seconds, mode, true).unwrap());
    job
}

#[test]
fn the_client_goes_by_what_the_server_can() {
    for (offer, seconds) in [("250 DELIVERBY\r\n", 1), ("250 DELIVERBY 60\r\n", 60)] {
        script(
            &config(client::Role::Smtp),
            &urgent(seconds, ByMode::Return),
            &[
                EHLO,
                (
                    &format!("250-x\r\n{offer}"),
                    &format!("MAIL FROM:<a@b.test> BY={seconds};RT\r\n"),
                ),
            ],
        );
    }
    for (offer, refusal) in [
        ("250 x\r\n", Refusal::NeedsDeliverBy),
        (
            "250-x\r\n250 DELIVERBY 61\r\n",
            Refusal::DeliverByTooSoon(61),
        ),
    ] {
        let sender = script(
            &config(client::Role::Smtp),
            &urgent(60, ByMode::Return),
            &[EHLO, (offer, "QUIT\r\n")],
        );
        let stage = Stage::Mail;
        assert_eq!(sender.events[1], Event::Refused { stage, refusal });
    }
    // A message that is only to be reported goes anyway.
    let sender = script(
        &config(client::Role::Smtp),
        &urgent(-5, ByMode::Notify),
        &[
            EHLO,
            ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
            ("250 ok\r\n", "RCPT TO:<c@d>\r\n"),
            ("250 ok\r\n", "DATA\r\n"),
            ("354 go\r\n", "x\r\n.\r\n"),
            ("250 ok\r\n", "QUIT\r\n"),
        ],
    );
    let Some(Event::Sent { omitted, .. }) = sender.events.last() else {
        panic!("{:?}", sender.events);
    };
    assert!(omitted.deliver_by && !omitted.dsn);
}

#[test]
fn between_our_two_sides() {
    for (up, down) in [(1, 1), (999, 999)] {
        let mut sender = Sender::new(config(client::Role::Smtp), urgent(60, ByMode::Return));
        let mut peer = Peer::new(deliver_by(Role::Mx, 60));
        pair(&mut sender, &mut peer, up, down);
        assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
        assert_eq!(peer.app.mails[0].by.unwrap().to_string(), "60;RT");
    }
}
