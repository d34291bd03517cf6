//! FUTURERELEASE (RFC 4865) on both sides.

use super::peer::{Peer, after_hello, quiet};
use super::sender::{EHLO, Job, Sender, config, job, pair, script};
use crate::session::Close;
use crate::smtp::client::{self, Event, Refusal, Stage};
use crate::smtp::deliver_by::{ByMode, DeliverBy};
use crate::smtp::future_release::{FutureRelease, Hold, Interval};
use crate::smtp::server::{Config, Role};

fn limits() -> FutureRelease {
    FutureRelease {
        interval: Interval::new(86_400).unwrap(),
        until: "2030-01-02T00:00:00Z".parse().unwrap(),
    }
}

const LINE: &str = "FUTURERELEASE 86400 2030-01-02T00:00:00Z";

fn holding(role: Role) -> Config {
    let mut config = quiet(role);
    config.auth_required = false;
    config.auth_tls.clear();
    config.extensions.future_release = Some(limits());
    config.limits.errors = 100;
    config
}

#[test]
fn how_long_reaches_the_application() {
    let peer = after_hello(
        &holding(Role::Submission),
        &[LINE],
        b"MAIL FROM:<a@b> HOLDFOR=86400\r\nRSET\r\n\
          MAIL FROM:<a@b> holduntil=2030-01-02T00:00:00Z\r\nRSET\r\n\
          MAIL FROM:<a@b> HOLDUNTIL=2030-01-02T01:00:00+01:00\r\n",
        &[
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
        .map(|mail| mail.hold.unwrap().to_string())
        .collect();
    let until = "until;2030-01-02T00:00:00Z";
    assert_eq!(got, ["for;86400", until, until]);
}

#[test]
fn what_cannot_be_held_is_refused() {
    let mut config = holding(Role::Submission);
    config.extensions.deliver_by = Some(0);
    let bad = [
        "HOLDFOR",
        "HOLDFOR=",
        "HOLDFOR=0",
        "HOLDFOR=01",
        "HOLDFOR=-1",
        "HOLDFOR=x",
        "HOLDFOR=1000000000",
        "HOLDFOR=86401",
        "HOLDUNTIL",
        "HOLDUNTIL=x",
        "HOLDUNTIL=2030-01-02",
        "HOLDUNTIL=2030-02-30T00:00:00Z",
        "HOLDUNTIL=2030-01-02T00:00:01Z",
        "HOLDFOR=1 HOLDFOR=1",
        "HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z",
        "HOLDFOR=61 BY=60;R",
        "BY=-1;N HOLDFOR=1",
    ];
    let mut input = String::new();
    for parameter in bad {
        input.push_str(&format!("MAIL FROM:<a@b> {parameter}\r\n"));
    }
    input.push_str("MAIL FROM:<a@b> HOLDFOR=60 BY=60;R\r\n");
    let mut want = vec!["501 5.5.4 …"; bad.len()];
    want.push("250 2.1.0…");
    after_hello(&config, &["DELIVERBY", LINE], input.as_bytes(), &want);
}

#[test]
fn only_submission_holds() {
    for role in [Role::Mx, Role::Lmtp] {
        after_hello(
            &holding(role),
            &[],
            b"MAIL FROM:<a@b> HOLDFOR=1\r\n",
            &["555 5.5.4 unknown parameter"],
        );
    }
}

fn held(hold: Hold) -> Job {
    let mut job = job(&["c@d"], b"x\r\n");
    job.envelopes[0].hold = Some(hold);
    job
}

#[test]
fn the_client_goes_by_what_the_server_announced() {
    let offer = format!("250-x\r\n250 {LINE}\r\n");
    let short = Hold::For(Interval::new(60).unwrap());
    let late = Hold::Until("2030-01-02T00:00:01Z".parse().unwrap());
    script(
        &config(client::Role::Smtp),
        &held(short),
        &[EHLO, (&offer, "MAIL FROM:<a@b.test> HOLDFOR=60\r\n")],
    );
    script(
        &config(client::Role::Smtp),
        &held(Hold::Until(limits().until)),
        &[
            EHLO,
            (
                &offer,
                "MAIL FROM:<a@b.test> HOLDUNTIL=2030-01-02T00:00:00Z\r\n",
            ),
        ],
    );
    let mut urgent = held(short);
    urgent.envelopes[0].by = Some(DeliverBy::new(60, ByMode::Notify, false).unwrap());
    for (job, offer, refusal) in [
        (held(short), "250 x\r\n", Refusal::NeedsFutureRelease),
        (held(late), &offer, Refusal::HeldTooLong(limits())),
        (
            held(Hold::For(Interval::MAX)),
            &offer,
            Refusal::HeldTooLong(limits()),
        ),
        (urgent, &offer, Refusal::HeldBeyondDeliverBy),
    ] {
        let sender = script(
            &config(client::Role::Smtp),
            &job,
            &[EHLO, (offer, "QUIT\r\n")],
        );
        let stage = Stage::Mail;
        assert_eq!(sender.events[1], Event::Refused { stage, refusal });
    }
}

#[test]
fn between_our_two_sides() {
    for (up, down) in [(1, 1), (999, 999)] {
        let hold = Hold::Until(limits().until);
        let mut sender = Sender::new(config(client::Role::Smtp), held(hold));
        let mut peer = Peer::new(holding(Role::Submission));
        pair(&mut sender, &mut peer, up, down);
        assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
        assert_eq!(peer.app.mails[0].hold, Some(hold));
    }
}
