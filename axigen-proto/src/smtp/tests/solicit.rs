//! NO-SOLICITING (RFC 3865) on both sides.

use super::peer::{Peer, after_hello, quiet};
use super::sender::{EHLO, Job, Sender, config, job, pair, script};
use crate::session::Close;
use crate::smtp::client::{self, Event, Refusal, Stage};
use crate::smtp::server::{Config, Role};

fn unwanted(list: Option<&str>) -> Config {
    let mut config = quiet(Role::Mx);
    config.extensions.no_soliciting = Some(list.map(|list| list.parse().unwrap()));
    config
}

#[test]
fn what_is_not_wanted_is_refused_at_mail() {
    let peer = after_hello(
        &unwanted(Some("net.example:ADV")),
        &["NO-SOLICITING net.example:ADV"],
        b"MAIL FROM:<a@b> SOLICIT\r\nMAIL FROM:<a@b> SOLICIT=1\r\nMAIL FROM:<a@b> SOLICIT=a,\r\n\
          MAIL FROM:<a@b> SOLICIT=a SOLICIT=a\r\nMAIL FROM:<a@b> SOLICIT=x,NET.example:ADV\r\n\
          MAIL FROM:<a@b> SOLICIT=org.example:ADV:ADLT,x\r\n",
        &[
            "501 5.5.4 …",
            "501 5.5.4 …",
            "501 5.5.4 …",
            "501 5.5.4 …",
            "550 5.7.1 SOLICIT=NET.example:ADV is not wanted here",
            "250 2.1.0…",
        ],
    );
    let solicit = peer.app.mails[0].solicit.as_ref().unwrap();
    assert_eq!(solicit.to_string(), "org.example:ADV:ADLT,x");
    after_hello(
        &unwanted(None),
        &["NO-SOLICITING"],
        b"MAIL FROM:<a@b> SOLICIT=a\r\n",
        &["250 2.1.0…"],
    );
    after_hello(
        &quiet(Role::Mx),
        &[],
        b"MAIL FROM:<a@b> SOLICIT=a\r\n",
        &["555 5.5.4 unknown parameter"],
    );
}

#[test]
fn a_long_list_fits_in_the_line() {
    let mut config = unwanted(None);
    config.limits.command_line = 100;
    let long = format!("MAIL FROM:<a@b> SOLICIT={}\r\n", "x".repeat(1000));
    let longer = format!("MAIL FROM:<a@b> SOLICIT={}\r\n", "x".repeat(1001));
    let endless = format!("NOOP {}\r\n", "x".repeat(1096));
    after_hello(
        &config,
        &["NO-SOLICITING"],
        [longer, endless, long].concat().as_bytes(),
        &["501 5.5.4 …", "500 5.5.2 line too long", "250 2.1.0…"],
    );
}

fn advertisement() -> Job {
    let mut job = job(&["c@d"], b"x\r\n");
    job.envelopes[0].solicit = Some("x,net.example:ADV".parse().unwrap());
    job
}

#[test]
fn the_client_asks_where_it_can_and_sends_no_advertisement_that_is_not_wanted() {
    let sender = script(
        &config(client::Role::Smtp),
        &advertisement(),
        &[
            EHLO,
            (
                "250-x\r\n250 NO-SOLICITING a,net.example:adv\r\n",
                "QUIT\r\n",
            ),
        ],
    );
    let stage = Stage::Mail;
    let refusal = Refusal::Solicitation("net.example:ADV".to_owned());
    assert_eq!(sender.events[1], Event::Refused { stage, refusal });
    let sender = script(
        &config(client::Role::Smtp),
        &advertisement(),
        &[EHLO, ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n")],
    );
    assert!(
        sender
            .client
            .check(&advertisement().envelopes[0])
            .unwrap()
            .solicit
    );
    let mut sender = Sender::new(config(client::Role::Smtp), advertisement());
    let mut peer = Peer::new(unwanted(None));
    pair(&mut sender, &mut peer, 3, 3);
    assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
    assert_eq!(
        peer.app.mails[0].solicit,
        advertisement().envelopes[0].solicit
    );
}
