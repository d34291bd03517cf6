//! MT-PRIORITY (RFC 6710) on both sides.

use super::peer::{Peer, after_hello, quiet};
use super::sender::{EHLO, Sender, config, job, pair, script};
use crate::session::Close;
use crate::smtp::client::{self, Event};
use crate::smtp::priority::{Priority, PriorityPolicy};
use crate::smtp::server::{Config, Role};

fn urgent(role: Role, policy: Option<&str>) -> Config {
    let mut config = quiet(role);
    let policy = policy.map(|name| PriorityPolicy::new(name).unwrap());
    config.extensions.mt_priority = Some(policy);
    config
}

#[test]
fn a_priority_is_one_number() {
    for (role, policy, line) in [
        (Role::Mx, None, "MT-PRIORITY"),
        (Role::Lmtp, Some("MIXER"), "MT-PRIORITY MIXER"),
    ] {
        let peer = after_hello(
            &urgent(role, policy),
            &[line],
            b"MAIL FROM:<a@b> MT-PRIORITY\r\nMAIL FROM:<a@b> MT-PRIORITY=10\r\n\
              MAIL FROM:<a@b> MT-PRIORITY=-0\r\nMAIL FROM:<a@b> MT-PRIORITY=+1\r\n\
              MAIL FROM:<a@b> MT-PRIORITY=1 MT-PRIORITY=1\r\n\
              MAIL FROM:<a@b> mt-priority=-9\r\nRSET\r\nMAIL FROM:<a@b> MT-PRIORITY=9\r\n\
              RSET\r\nMAIL FROM:<a@b> MT-PRIORITY=0\r\n",
            &[
                "501 5.5.2 …",
                "501 5.5.2 …",
                "501 5.5.2 …",
                "501 5.5.2 …",
                "501 5.5.2 …",
                "250 2.1.0…",
                "250 2.0.0…",
                "250 2.1.0…",
                "250 2.0.0…",
                "250 2.1.0…",
            ],
        );
        let mails = peer.app.mails.iter();
        let got: Vec<i8> = mails.map(|mail| mail.priority.unwrap().get()).collect();
        assert_eq!(got, [-9, 9, 0]);
    }
    after_hello(
        &quiet(Role::Mx),
        &[],
        b"MAIL FROM:<a@b> MT-PRIORITY=1\r\n",
        &["555 5.5.4 unknown parameter"],
    );
}

#[test]
fn the_client_tells_it_where_it_is_understood() {
    let mut job = job(&["c@d"], b"x\r\n");
    job.envelopes[0].priority = Some(Priority::new(-3).unwrap());
    let sender = script(
        &config(client::Role::Smtp),
        &job,
        &[
            EHLO,
            ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
            ("250 ok\r\n", "RCPT TO:<c@d>\r\n"),
            ("250 ok\r\n", "DATA\r\n"),
            ("354 go\r\n", "x\r\n.\r\n"),
            ("250 ok\r\n", "QUIT\r\n"),
        ],
    );
    assert!(matches!(
        sender.events.last(),
        Some(Event::Sent { omitted, .. }) if omitted.priority
    ));
    let mut sender = Sender::new(config(client::Role::Smtp), job);
    let mut peer = Peer::new(urgent(Role::Mx, Some("NSEP")));
    pair(&mut sender, &mut peer, 3, 3);
    assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
    assert_eq!(peer.app.mails[0].priority.unwrap().get(), -3);
}
