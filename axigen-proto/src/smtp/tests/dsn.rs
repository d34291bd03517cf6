//! DSN (RFC 3461) on both sides.

use super::peer::{Peer, after_hello, dialogue, quiet};
use super::sender::{EHLO, Sender, config, job, pair, path, script};
use crate::session::Close;
use crate::smtp::client::{self, Event, Omitted};
use crate::smtp::command::Rcpt;
use crate::smtp::dsn::{EnvelopeId, Notify, OriginalRecipient, Ret};
use crate::smtp::server::{Config, Role};

fn dsn(role: Role) -> Config {
    let mut config = quiet(role);
    config.extensions.dsn = true;
    config.auth_required = false;
    config.auth_tls.clear();
    config
}

#[test]
fn parameters_of_dsn_reach_the_application_in_every_role() {
    for role in [Role::Mx, Role::Submission, Role::Lmtp] {
        let peer = after_hello(
            &dsn(role),
            &["DSN"],
            b"MAIL FROM:<a@b> RET=HDRS ENVID=QQ+2B314159\r\n\
              RCPT TO:<c@d> NOTIFY=SUCCESS,failure ORCPT=rfc822;Bob+20C@Example.COM\r\n\
              RCPT TO:<e@d> notify=never\r\n\
              RCPT TO:<f@d> ORCPT=utf-8;\\x{F6}@b.test NOTIFY=DELAY\r\n\
              RCPT TO:<g@d>\r\n",
            &[
                "250 2.1.0…",
                "250 2.1.5…",
                "250 2.1.5…",
                "250 2.1.5…",
                "250 2.1.5…",
            ],
        );
        let mail = &peer.app.mails[0];
        assert_eq!(mail.ret, Some(Ret::Headers));
        assert_eq!(mail.envid, Some(EnvelopeId::new("QQ+314159").unwrap()));
        let [first, second, third, fourth] = &peer.app.rcpts[..] else {
            panic!("{:?}", peer.app.rcpts);
        };
        let some = first.notify.unwrap();
        assert!(some.success && some.failure && !some.delay);
        let original = first.orcpt.as_ref().unwrap();
        assert_eq!(original.to_string(), "rfc822;Bob C@Example.COM");
        assert_eq!(second.notify, Some(Notify::NEVER));
        assert_eq!(second.orcpt, None);
        assert_eq!(third.orcpt.as_ref().unwrap().address(), "ö@b.test");
        assert_eq!((fourth.notify, &fourth.orcpt), (None, &None));
    }
}

#[test]
fn what_is_wrong_with_a_parameter_of_dsn() {
    let long_id = format!("MAIL FROM:<a@b> ENVID={}\r\n", "x".repeat(101));
    let long_original = format!("RCPT TO:<c@d> ORCPT=rfc822;{}\r\n", "x".repeat(494));
    let just = format!(
        "MAIL FROM:<a@b> ENVID={}\r\nRCPT TO:<c@d> ORCPT=rfc822;{}\r\n",
        "x".repeat(100),
        "x".repeat(493)
    );
    let input = [
        "MAIL FROM:<a@b> RET=ALL\r\n",
        "MAIL FROM:<a@b> RET\r\n",
        "MAIL FROM:<a@b> RET=FULL RET=FULL\r\n",
        "MAIL FROM:<a@b> ENVID=a+2\r\n",
        "MAIL FROM:<a@b> ENVID=a+0D+0A\r\n",
        "MAIL FROM:<a@b> ENVID=a ENVID=b\r\n",
        "MAIL FROM:<a@b> NOTIFY=NEVER\r\n",
        &long_id,
        &just,
        "RCPT TO:<c@d> NOTIFY=NEVER,FAILURE\r\n",
        "RCPT TO:<c@d> NOTIFY=SUCCESS,\r\n",
        "RCPT TO:<c@d> NOTIFY\r\n",
        "RCPT TO:<c@d> NOTIFY=NEVER NOTIFY=NEVER\r\n",
        "RCPT TO:<c@d> ORCPT=c@d\r\n",
        "RCPT TO:<c@d> ORCPT=a.b;c@d\r\n",
        "RCPT TO:<c@d> ORCPT=rfc822;c+3d@d\r\n",
        "RCPT TO:<c@d> ORCPT=rfc822;c+00@d\r\n",
        "RCPT TO:<c@d> ORCPT=utf-8;\\x{0A}@d\r\n",
        "RCPT TO:<c@d> ORCPT=utf-8;\\x{41}@d\r\n",
        "RCPT TO:<c@d> ORCPT=utf-8;\\x{D800}@d\r\n",
        "RCPT TO:<c@d> ORCPT=utf-8;\\x{f6}@d\r\n",
        "RCPT TO:<c@d> ORCPT=utf-8;nobody\r\n",
        "RCPT TO:<c@d> RET=FULL\r\n",
        &long_original,
    ]
    .concat();
    let argument = "501 5.5.4 …";
    let bad = ["501 5.5.4 …"; 6];
    let want = [
        &bad[..],
        &[
            "555 5.5.4 unknown parameter",
            argument,
            "250 2.1.0…",
            "250 2.1.5…",
        ],
        &["501 5.5.4 …"; 13],
        &["555 5.5.4 unknown parameter", argument],
    ]
    .concat();
    let mut config = dsn(Role::Mx);
    config.limits.errors = 100;
    after_hello(&config, &["DSN"], input.as_bytes(), &want);
}

#[test]
fn dsn_that_is_not_offered_is_not_taken() {
    after_hello(
        &quiet(Role::Mx),
        &[],
        b"MAIL FROM:<a@b> RET=FULL\r\nMAIL FROM:<a@b> ENVID=x\r\nMAIL FROM:<a@b>\r\n\
          RCPT TO:<c@d> NOTIFY=NEVER\r\nRCPT TO:<c@d> ORCPT=rfc822;c@d\r\n\
          HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n",
        &[
            "555 5.5.4 unknown parameter",
            "555 5.5.4 unknown parameter",
            "250 2.1.0…",
            "555 5.5.4 unknown parameter",
            "555 5.5.4 unknown parameter",
            "250 mx.test",
            "250 2.1.0…",
            "555 5.5.4 parameters can be used after EHLO only",
        ],
    );
}

#[test]
fn an_original_recipient_beyond_ascii_needs_smtputf8_or_its_ascii_form() {
    let mut config = dsn(Role::Mx);
    config.extensions.smtputf8 = true;
    let input = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d> ORCPT=utf-8;jörg@b\r\n\
                 RCPT TO:<c@d> ORCPT=utf-8;j\\x{F6}rg@b\r\nRSET\r\n\
                 MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<c@d> ORCPT=UTF-8;jörg@b\r\n";
    let peer = dialogue(
        &config,
        &[input.as_bytes()],
        &[
            "220 mx.test ESMTP ready",
            "250-mx.test",
            "250-SMTPUTF8",
            "250-ENHANCEDSTATUSCODES",
            "250 DSN",
            "250 2.1.0…",
            "553 5.6.7 this address needs SMTPUTF8",
            "250 2.1.5…",
            "250 2.0.0 OK",
            "250 2.1.0…",
            "250 2.1.5…",
        ],
    );
    for rcpt in &peer.app.rcpts {
        assert_eq!(rcpt.orcpt.as_ref().unwrap().address(), "jörg@b");
    }
}

fn noted(to: &str, notify: Notify, original: (&str, &str)) -> Rcpt {
    let mut rcpt = Rcpt::new(path(to));
    rcpt.notify = Some(notify);
    rcpt.orcpt = Some(OriginalRecipient::new(original.0, original.1).unwrap());
    rcpt
}

fn on_success() -> Notify {
    Notify {
        success: true,
        ..Notify::NEVER
    }
}

fn dsn_job() -> super::sender::Job {
    let mut job = job(&[], b"x\r\n");
    job.envelopes[0].ret = Some(Ret::Full);
    job.envelopes[0].envid = Some(EnvelopeId::new("id =1").unwrap());
    job.envelopes[0].recipients = vec![
        noted("c@d", on_success(), ("rfc822", "C=1@D")),
        noted("e@d", Notify::NEVER, ("utf-8", "jörg@b.test")),
    ];
    job
}

#[test]
fn the_client_sends_what_the_server_offers_and_says_what_it_left_out() {
    let sender = script(
        &config(client::Role::Smtp),
        &dsn_job(),
        &[
            EHLO,
            (
                "250-x\r\n250 DSN\r\n",
                "MAIL FROM:<a@b.test> RET=FULL ENVID=id+20+3D1\r\n",
            ),
            (
                "250 ok\r\n",
                "RCPT TO:<c@d> NOTIFY=SUCCESS ORCPT=rfc822;C+3D1@D\r\n",
            ),
            (
                "250 ok\r\n",
                "RCPT TO:<e@d> NOTIFY=NEVER ORCPT=utf-8;j\\x{F6}rg@b.test\r\n",
            ),
            ("250 ok\r\n", "DATA\r\n"),
            ("354 go\r\n", "x\r\n.\r\n"),
            ("250 ok\r\n", "QUIT\r\n"),
        ],
    );
    assert!(matches!(
        sender.events.last(),
        Some(Event::Sent { omitted, .. }) if *omitted == Omitted::default()
    ));
    assert!(sender.client.capabilities().dsn);
    let sender = script(
        &config(client::Role::Smtp),
        &dsn_job(),
        &[
            EHLO,
            ("250 x\r\n", "MAIL FROM:<a@b.test>\r\n"),
            ("250 ok\r\n", "RCPT TO:<c@d>\r\n"),
            ("250 ok\r\n", "RCPT TO:<e@d>\r\n"),
            ("250 ok\r\n", "DATA\r\n"),
            ("354 go\r\n", "x\r\n.\r\n"),
            ("250 ok\r\n", "QUIT\r\n"),
        ],
    );
    let Some(Event::Sent { omitted, .. }) = sender.events.last() else {
        panic!("{:?}", sender.events);
    };
    assert!(omitted.dsn);
    assert!(!sender.client.capabilities().dsn);
    assert!(sender.client.check(&dsn_job().envelopes[0]).unwrap().dsn);
}

#[test]
fn utf8_goes_as_it_is_where_the_path_has_it() {
    let mut job = dsn_job();
    job.envelopes[0].recipients = vec![noted("jörg@b", Notify::NEVER, ("utf-8", "jörg@b.test"))];
    script(
        &config(client::Role::Smtp),
        &job,
        &[
            EHLO,
            (
                "250-x\r\n250-SMTPUTF8\r\n250 DSN\r\n",
                "MAIL FROM:<a@b.test> SMTPUTF8 RET=FULL ENVID=id+20+3D1\r\n",
            ),
            (
                "250 ok\r\n",
                "RCPT TO:<jörg@b> NOTIFY=NEVER ORCPT=utf-8;jörg@b.test\r\n",
            ),
        ],
    );
    // An original recipient that does not fit in ASCII is left away.
    let long = format!("{}@b.test", "é".repeat(120));
    job.envelopes[0].recipients = vec![noted("c@d", Notify::NEVER, ("utf-8", &long))];
    script(
        &config(client::Role::Smtp),
        &job,
        &[
            EHLO,
            (
                "250-x\r\n250 DSN\r\n",
                "MAIL FROM:<a@b.test> RET=FULL ENVID=id+20+3D1\r\n",
            ),
            ("250 ok\r\n", "RCPT TO:<c@d> NOTIFY=NEVER\r\n"),
        ],
    );
}

#[test]
fn what_our_client_asks_for_our_server_understands() {
    for (client, server) in [
        (client::Role::Smtp, Role::Mx),
        (client::Role::Lmtp, Role::Lmtp),
    ] {
        for (up, down) in [(1, 1), (7, 5), (999, 999)] {
            let mut sender = Sender::new(config(client), dsn_job());
            let mut peer = Peer::new(dsn(server));
            pair(&mut sender, &mut peer, up, down);
            assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
            let wanted = &dsn_job().envelopes[0];
            assert_eq!(peer.app.mails[0].ret, wanted.ret);
            assert_eq!(peer.app.mails[0].envid, wanted.envid);
            assert_eq!(peer.app.rcpts, wanted.recipients);
        }
    }
}
