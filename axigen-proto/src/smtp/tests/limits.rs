//! LIMITS (RFC 9422) on both sides.

use super::peer::{Peer, after_hello, quiet};
use super::sender::{EHLO, Sender, config, envelope, job, pair, script};
use crate::session::Close;
use crate::smtp::client::{self, Event, Refusal, Stage};
use crate::smtp::server::{Config, Role};

fn limited(role: Role) -> Config {
    let mut config = quiet(role);
    config.extensions.limits = true;
    config.limits.recipients = 2;
    config.limits.transactions = 3;
    config.limits.recipient_domains = 2;
    config
}

const LINE: &str = "LIMITS MAILMAX=3 RCPTMAX=2 RCPTDOMAINMAX=2";

#[test]
fn the_server_announces_what_it_enforces() {
    for role in [Role::Mx, Role::Lmtp] {
        let peer = after_hello(
            &limited(role),
            &[LINE],
            b"MAIL FROM:<a@b>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@Y>\r\nRCPT TO:<c@x>\r\nRSET\r\n\
              MAIL FROM:<refused@x.test>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@z>\r\n\
              RCPT TO:<Postmaster>\r\nRCPT TO:<a@y>\r\nRSET\r\nMAIL FROM:<a@b>\r\nNOOP\r\n",
            &[
                "250 2.1.0…",
                "250 2.1.5…",
                "250 2.1.5…",
                "452 4.5.3 too many recipients",
                "250 2.0.0…",
                "550 5.7.1 not you",
                "250 2.1.0…",
                "452 4.5.3 too many recipient domains in one session",
                "250 2.1.5…",
                "250 2.1.5…",
                "250 2.0.0…",
                "421 4.7.0 too many transactions",
            ],
        );
        assert_eq!(peer.close, Some(Close::Finish));
    }
    // They hold without a word about them too.
    let mut silent = limited(Role::Mx);
    silent.extensions.limits = false;
    silent.limits.transactions = 1;
    after_hello(
        &silent,
        &[],
        b"MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n",
        &[
            "250 2.1.0…",
            "250 2.0.0…",
            "421 4.7.0 too many transactions",
        ],
    );
    // A number that cannot be announced is not.
    let mut large = quiet(Role::Mx);
    large.extensions.limits = true;
    large.limits.recipients = 1_000_000;
    after_hello(&large, &[], b"NOOP\r\n", &["250 2.0.0 OK"]);
}

#[test]
fn the_client_keeps_them() {
    let stage = Stage::Mail;
    let mut many = job(&["a@x", "b@x", "c@x"], b"x\r\n");
    many.envelopes.push(envelope(&["a@x", "a@y"]));
    many.envelopes.push(envelope(&["a@X", "a@z"]));
    many.envelopes.push(envelope(&["a@x"]));
    many.envelopes.push(envelope(&["nobody@y"]));
    many.envelopes.push(envelope(&["a@x"]));
    for (up, down) in [(1, 1), (999, 999)] {
        let mut sender = Sender::new(config(client::Role::Smtp), many.clone());
        let mut peer = Peer::new(limited(Role::Mx));
        pair(&mut sender, &mut peer, up, down);
        assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
        let refusals: Vec<&Refusal> = sender
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Refused { stage: at, refusal } if *at == stage => Some(refusal),
                _ => None,
            })
            .collect();
        assert_eq!(
            refusals,
            [
                &Refusal::TooManyRecipients(2),
                &Refusal::TooManyDomains(2),
                &Refusal::TooManyTransactions(3),
            ]
        );
        assert_eq!(peer.app.messages.len(), 2);
        assert!(!peer.text().contains("\r\n4"));
    }
}

#[test]
fn a_later_hello_counts() {
    // RFC 9422 §3.6: what was said before STARTTLS is forgotten.
    let sender = script(
        &config(client::Role::Smtp),
        &job(&["a@x", "b@x"], b"x\r\n"),
        &[
            EHLO,
            (
                "250-x\r\n250-STARTTLS\r\n250 LIMITS RCPTMAX=1\r\n",
                "STARTTLS\r\n",
            ),
            ("220 go\r\n", "EHLO client.test\r\n"),
            ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
        ],
    );
    assert_eq!(sender.client.capabilities().limits, None);
}
