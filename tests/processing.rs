//! What happens to mail between the door and the mailbox: notices that senders ask
//! for, mail that is handed on, who may send as whom, and who may ask what.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{SocketAddr, TcpListener};

use axigen_core::clock::ManualClock;
use axigen_core::delivery::{Answers, Envelope, Parcel, Transport};
use axigen_core::directory::{Directory, NewAccount};
use axigen_core::engine::Engine;
use axigen_core::settings::{AccountSettings, Settings, TlsMode, Told};
use axigen_core::store::AccountId;
use axigen_proto::smtp::reply::Reply;
use axigen_tests::engines::{Server, named, noon, sending, three_addresses, until};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const ZONE: &str = "
far.test.        MX 10 mx.far.test.
mx.far.test.     A 127.0.0.2
here.test.       MX 10 mx.here.test.
mx.here.test.    A 127.0.0.3
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.4
";

/// Three servers that know one another.
struct Hosts {
    far: Server,
    here: Server,
    there: Server,
    /// Where `here` takes mail.
    door: SocketAddr,
}

async fn hosts(clock: &ManualClock, change: impl FnOnce(&mut Settings)) -> Hosts {
    let [a, b, c] = three_addresses();
    let door = b.local_addr().unwrap();
    let settings = |name: &str| Settings {
        hostname: name.into(),
        ..sending(door.port())
    };
    let far = Server::new(settings("mx.far.test"), ZONE, clock, "ann@far.test").await;
    let mut ours = settings("mx.here.test");
    change(&mut ours);
    let here = Server::new(ours, ZONE, clock, "carl@here.test").await;
    let there = Server::new(settings("mx.there.test"), ZONE, clock, "bob@there.test").await;
    for (server, socket) in [(&far, a), (&here, b), (&there, c)] {
        let engine = &server.engine;
        engine.serve("smtp_in", socket, TlsMode::None).unwrap();
        engine.start_service("smtp_out").await.unwrap();
    }
    Hosts {
        far,
        here,
        there,
        door,
    }
}

impl Hosts {
    fn directory(&self) -> &Directory {
        self.here.engine.directory()
    }

    async fn alias(&self, name: &str, targets: &[&str]) {
        let targets: Vec<String> = targets.iter().map(|to| (*to).to_owned()).collect();
        self.directory().add_alias(name, &targets).await.unwrap();
    }

    async fn set(&self, account: &str, options: &[(&str, &str)]) {
        let mut settings = AccountSettings::default();
        for (option, value) in options {
            settings.set(option, value).unwrap();
        }
        let set = self.directory().set_account_settings(account, &settings);
        set.await.unwrap();
    }

    /// A message from far away to somebody here; the last reply.
    fn knock(&self, mail: &str, rcpts: &[&str]) -> String {
        let address = self.door.to_string();
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&address);
            wire.smtp_reply();
            wire.smtp("EHLO mx.far.test");
            let said = wire.smtp(&format!("MAIL FROM:<ann@far.test>{mail}"));
            assert!(said.starts_with("250"), "{said}");
            for rcpt in rcpts {
                let said = wire.smtp(&format!("RCPT TO:{rcpt}"));
                if !said.starts_with("250") {
                    return said;
                }
            }
            wire.smtp("DATA");
            let said = wire.smtp("Subject: hello\r\nFrom: ann@far.test\r\n\r\nhello\r\n.");
            wire.smtp("QUIT");
            said
        })
    }

    /// The next notice that Ann gets.
    async fn notice(&self) -> String {
        until(async || !self.far.inbox().await.is_empty()).await;
        let mut inbox = self.far.inbox().await;
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        inbox.remove(0)
    }
}

async fn account(engine: &Engine, address: &str) -> AccountId {
    let new = NewAccount {
        address: address.into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(new).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_on_travels_in_our_name() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("bob@here.test", &["bob@there.test"]).await;
    assert!(hosts.knock("", &["<bob@here.test>"]).starts_with("250"));
    until(async || hosts.there.inbox().await.len() == 1).await;
    let text = hosts.there.inbox().await.remove(0);
    let sender = text.lines().next().unwrap();
    assert!(
        sender.starts_with("Return-Path: <SRS0=") && sender.ends_with("=far.test=ann@here.test>"),
        "{text}"
    );
    // One of our own users sends in its own name.
    let address = Some(("bob", "here.test"));
    let delivery = hosts.here.engine.delivery();
    let accepted = delivery.accept(address, false, None).await.unwrap();
    let envelope = Envelope::new("i", "carl@here.test");
    let raw = bytes::Bytes::from_static(b"Subject: x\r\n\r\nx\r\n");
    let one = Answers::One;
    delivery.deliver(raw, &envelope, &[accepted], one).await;
    until(async || hosts.there.inbox().await.len() == 2).await;
    let text = hosts.there.inbox().await.pop().unwrap();
    assert!(
        text.starts_with("Return-Path: <carl@here.test>\r\n"),
        "{text}"
    );
}

/// The notice comes to us, and goes on to who sent the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_behind_an_alias_finds_its_sender() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("gone@here.test", &["gone@there.test"]).await;
    assert!(hosts.knock("", &["<gone@here.test>"]).starts_with("250"));
    let text = hosts.notice().await;
    assert!(
        text.contains("Action: failed\r\nStatus: 5.1.1\r\n"),
        "{text}"
    );
    assert!(
        text.contains("Final-Recipient: rfc822;gone@there.test\r\n"),
        "{text}"
    );
    // Nobody can make such a name up, and it stands for nobody else.
    for made_up in [
        "SRS0=aaaaaaaa=aa=far.test=ann@here.test",
        "srs1=x=y=z@here.test",
    ] {
        let said = hosts.knock("", &[&format!("<{made_up}>")]);
        assert!(said.starts_with("550 5.1.1"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_may_ask_to_be_told() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("bob@here.test", &["bob@there.test"]).await;
    hosts
        .alias("all@here.test", &["bob@there.test", "carl@here.test"])
        .await;
    let ask = " RET=HDRS ENVID=QQ314";
    for (rcpt, says) in [
        (
            "<carl@here.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Carl+40here.test",
            "Original-Recipient: rfc822;Carl@here.test\r\nFinal-Recipient: rfc822;carl@here.test\r\nAction: delivered\r\nStatus: 2.1.5\r\n",
        ),
        (
            "<all@here.test> NOTIFY=SUCCESS",
            "Final-Recipient: rfc822;all@here.test\r\nAction: expanded\r\n",
        ),
        // The last of three hosts tells it, through the second.
        (
            "<bob@here.test> NOTIFY=SUCCESS ORCPT=rfc822;bob+40here.test",
            "Original-Recipient: rfc822;bob@here.test\r\nFinal-Recipient: rfc822;bob@there.test\r\nAction: delivered\r\n",
        ),
    ] {
        let said = hosts.knock(ask, &[rcpt]);
        assert!(said.starts_with("250"), "{rcpt}: {said}");
        let text = hosts.notice().await;
        assert!(text.contains(says), "{rcpt}: {text}");
        assert!(text.contains("Original-Envelope-Id: QQ314\r\n"), "{text}");
        assert!(
            text.contains("\r\nContent-Type: text/rfc822-headers\r\n"),
            "{text}"
        );
        let mailboxes = hosts.far.engine.mailboxes();
        let inbox = mailboxes.find(hosts.far.user, "INBOX").await.unwrap();
        let uids: Vec<u32> = (1..inbox.uid_next).collect();
        let gone = mailboxes.remove(hosts.far.user, inbox.id, &uids).await;
        assert_eq!(gone.unwrap().len(), 1);
    }
    until(async || hosts.here.queued().await == 0 && hosts.there.queued().await == 0).await;
    // Whoever does not ask, or asks for none, is told nothing.
    for rcpt in [
        "<carl@here.test>",
        "<carl@here.test> NOTIFY=NEVER",
        "<carl@here.test> NOTIFY=FAILURE",
    ] {
        assert!(hosts.knock("", &[rcpt]).starts_with("250"));
    }
    assert_eq!(hosts.here.queued().await, 0);
    assert!(hosts.far.inbox().await.is_empty());
}

/// Without a queue no notice could be sent, so none can be asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_not_offered() {
    let server = Server::new(named("mx.here.test"), ZONE, &noon(), "carl@here.test").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = server
        .engine
        .serve("smtp_in", socket, TlsMode::None)
        .unwrap();
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        let offered = wire.smtp("EHLO x.test");
        assert!(
            !offered.contains("DSN") && !offered.contains("ETRN"),
            "{offered}"
        );
        assert!(offered.contains("LIMITS RCPTMAX=100"), "{offered}");
        let said = wire.smtp("MAIL FROM:<a@x.test> RET=HDRS");
        assert!(said.starts_with("555"), "{said}");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_hand_on_and_domains_catch() {
    let hosts = hosts(&noon(), |_| ()).await;
    let dora = account(&hosts.here.engine, "dora@here.test").await;
    let counts = async || {
        let carl = hosts.here.inbox().await.len();
        let dora = hosts.here.mailbox(dora, "INBOX").await.len();
        (carl, dora, hosts.there.inbox().await.len())
    };
    hosts
        .set(
            "carl@here.test",
            &[("forward", "bob@there.test, dora@here.test")],
        )
        .await;
    assert!(hosts.knock("", &["<carl@here.test>"]).starts_with("250"));
    until(async || counts().await == (1, 1, 1)).await;
    // Nothing stays, and nobody gets it twice.
    let on = [("forward", "bob@there.test"), ("forward_keep", "false")];
    hosts.set("carl@here.test", &on).await;
    hosts
        .alias("both@here.test", &["carl@here.test", "bob@there.test"])
        .await;
    assert!(hosts.knock("", &["<both@here.test>"]).starts_with("250"));
    until(async || counts().await == (1, 1, 2)).await;
    // Around in a circle: where nothing would stay, everything does.
    hosts
        .set(
            "carl@here.test",
            &[("forward", "dora@here.test"), ("forward_keep", "false")],
        )
        .await;
    hosts
        .set(
            "dora@here.test",
            &[("forward", "carl@here.test"), ("forward_keep", "false")],
        )
        .await;
    assert!(hosts.knock("", &["<carl@here.test>"]).starts_with("250"));
    until(async || counts().await == (2, 2, 2)).await;

    let said = hosts.knock("", &["<nobody@here.test>"]);
    assert!(said.starts_with("550 5.1.1"), "{said}");
    hosts.set("dora@here.test", &[]).await;
    let mut domain = hosts
        .directory()
        .domain("here.test")
        .await
        .unwrap()
        .unwrap();
    domain.catch_all = Some("dora@here.test".into());
    hosts.directory().set_domain(&domain).await.unwrap();
    assert!(hosts.knock("", &["<nobody@here.test>"]).starts_with("250"));
    until(async || counts().await == (2, 3, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_as_whom() {
    let hosts = hosts(&noon(), |_| ()).await;
    hosts.alias("sales@here.test", &["carl@here.test"]).await;
    let options = [
        ("send_as", "boss@here.test, @partner.test"),
        ("sent_copy", "true"),
    ];
    hosts.set("carl@here.test", &options).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = &hosts.here.engine;
    let door = engine.serve("submission", socket, TlsMode::None).unwrap();
    let plain = STANDARD.encode("\0carl@here.test\0secret");
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        assert!(wire.smtp("EHLO x.test").contains("DSN"));
        assert!(wire.smtp(&format!("AUTH PLAIN {plain}")).starts_with("235"));
        for (sender, code) in [
            ("carl@here.test", "250"),
            ("carl+x@here.test", "250"),
            ("sales@here.test", "250"),
            ("Boss@Here.test", "250"),
            ("anybody@partner.test", "250"),
            ("other@here.test", "553"),
            ("x@sub.partner.test", "553"),
            ("ann@far.test", "553"),
        ] {
            let said = wire.smtp(&format!("MAIL FROM:<{sender}>"));
            assert!(said.starts_with(code), "{sender}: {said}");
            wire.smtp("RSET");
        }
        wire.smtp("MAIL FROM:<boss@here.test>");
        wire.smtp("RCPT TO:<bob@there.test>");
        wire.smtp("RCPT TO:<carl@here.test>");
        wire.smtp("DATA");
        let said = wire.smtp("Subject: one\r\nBcc: x@y.test\r\n\r\nhello\r\n.");
        assert!(said.starts_with("250"), "{said}");
    });
    let sent = hosts.here.mailbox(hosts.here.user, "Sent").await;
    assert!(
        sent.len() == 1 && sent[0].contains("Subject: one"),
        "{sent:?}"
    );
    assert!(!sent[0].contains("Bcc"), "{sent:?}");
    assert_eq!(hosts.here.inbox().await.len(), 1);
    until(async || hosts.there.inbox().await.len() == 1).await;
    let mailboxes = engine.mailboxes();
    let info = mailboxes.find(hosts.here.user, "Sent").await.unwrap();
    assert_eq!((info.messages, info.unseen), (1, 0));
    // A full account sends all the same, and keeps no copy.
    let options = [
        ("send_as", "boss@here.test"),
        ("sent_copy", "true"),
        ("quota", "1B"),
    ];
    hosts.set("carl@here.test", &options).await;
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&door.to_string());
        wire.smtp_reply();
        wire.smtp("EHLO x.test");
        wire.smtp(&format!("AUTH PLAIN {plain}"));
        wire.smtp("MAIL FROM:<carl@here.test>");
        wire.smtp("RCPT TO:<bob@there.test>");
        wire.smtp("DATA");
        let said = wire.smtp("Subject: two\r\n\r\nhello\r\n.");
        assert!(said.starts_with("250"), "{said}");
    });
    until(async || hosts.there.inbox().await.len() == 2).await;
    assert_eq!(hosts.here.mailbox(hosts.here.user, "Sent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_ask_what() {
    let asked = |settings: &mut Settings| {
        settings.smtp_in.vrfy = Told::Everybody;
        settings.smtp_in.expn = Told::Everybody;
        settings.smtp_in.etrn_peers = vec!["127.0.0.0/8".parse().unwrap()];
        settings.smtp_in.no_soliciting = vec!["org.example:ADV".into()];
        settings.smtp_in.mt_priority = true;
    };
    let clock = noon();
    let hosts = hosts(&clock, asked).await;
    hosts
        .alias("all@here.test", &["carl@here.test", "bob@there.test"])
        .await;
    // It waits: nobody is there yet.
    hosts.there.engine.stop("smtp_in").await.unwrap();
    hosts.here.send("bob@there.test").await;
    until(async || {
        let queue = hosts.here.engine.queue();
        let listing = queue.list(&Default::default(), None, 9).await.unwrap();
        listing.entries.iter().any(|at| at.entry.attempts > 0)
    })
    .await;
    let again = TcpListener::bind(("127.0.0.4", hosts.door.port())).unwrap();
    hosts
        .there
        .engine
        .serve("smtp_in", again, TlsMode::None)
        .unwrap();
    let address = hosts.door.to_string();
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&address);
        wire.smtp_reply();
        let offered = wire.smtp("EHLO x.test");
        for word in [
            "DSN",
            "ETRN",
            "EXPN",
            "MT-PRIORITY",
            "NO-SOLICITING org.example:ADV",
        ] {
            assert!(offered.contains(word), "{word}: {offered}");
        }
        for (command, says) in [
            ("VRFY <carl@here.test>", "250 2.1.5 <carl@here.test>"),
            ("VRFY all@here.test", "250 2.1.5 <all@here.test>"),
            ("VRFY nobody@here.test", "550 5.1.1"),
            ("VRFY bob@there.test", "252"),
            ("VRFY carl", "553 5.1.3"),
            ("EXPN all@here.test", "250-2.1.5 <carl@here.test>"),
            ("EXPN carl@here.test", "550 5.2.4"),
            ("ETRN #all", "459"),
            ("ETRN nothing.test", "251"),
            ("MAIL FROM:<a@x.test> SOLICIT=org.example:ADV", "550"),
            ("MAIL FROM:<a@x.test> MT-PRIORITY=9", "250"),
            ("RSET", "250"),
            ("ETRN there.test", "250 2.0.0"),
        ] {
            let said = wire.smtp(command);
            assert!(said.starts_with(says), "{command}: {said}");
        }
    });
    until(async || hosts.there.inbox().await.len() == 1).await;
}

/// A message that is held goes nowhere before its time, not into mailboxes here
/// either; one that must be there in time comes back when it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_senders_set() {
    let clock = noon();
    let hosts = hosts(&clock, |settings| {
        settings.submission.future_release = "7d".parse().unwrap();
    })
    .await;
    let engine = &hosts.here.engine;
    let dora = account(engine, "dora@here.test").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = engine.serve("submission", socket, TlsMode::None).unwrap();
    let plain = STANDARD.encode("\0carl@here.test\0secret");
    let submit = |mail: &str, rcpts: &[&str]| {
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&door.to_string());
            wire.smtp_reply();
            let offered = wire.smtp("EHLO x.test");
            assert!(
                offered.contains("FUTURERELEASE 604800 2026-12-05T"),
                "{offered}"
            );
            assert!(offered.contains("DELIVERBY"), "{offered}");
            wire.smtp(&format!("AUTH PLAIN {plain}"));
            let said = wire.smtp(&format!("MAIL FROM:<carl@here.test>{mail}"));
            if !said.starts_with("250") {
                return said;
            }
            for rcpt in rcpts {
                let said = wire.smtp(&format!("RCPT TO:{rcpt}"));
                assert!(said.starts_with("250"), "{said}");
            }
            wire.smtp("DATA");
            wire.smtp("Subject: held\r\n\r\nhello\r\n.")
        })
    };
    for (mail, code) in [
        (" HOLDFOR=604801", "501"),
        (" HOLDUNTIL=2027-01-01T00:00:00Z", "501"),
        (" HOLDUNTIL=2026-11-28T14:00:00Z BY=3600;R", "501"),
    ] {
        let said = submit(mail, &[]);
        assert!(said.starts_with(code), "{mail}: {said}");
    }
    let all = [
        "<bob@there.test>",
        "<dora@here.test> NOTIFY=SUCCESS",
        "<carl@here.test>",
    ];
    assert!(submit(" HOLDFOR=3600", &all).starts_with("250"));
    let counts = async || {
        let dora = hosts.here.mailbox(dora, "INBOX").await.len();
        (
            hosts.there.inbox().await.len(),
            dora,
            hosts.here.inbox().await.len(),
        )
    };
    clock.advance(std::time::Duration::from_secs(3500));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!((counts().await, hosts.here.queued().await), ((0, 0, 0), 3));
    clock.advance(std::time::Duration::from_secs(200));
    // Two for Carl: the message, and that Dora has it.
    until(async || counts().await == (1, 1, 2)).await;
    until(async || hosts.here.queued().await == 0).await;
    let texts = hosts.here.inbox().await;
    assert!(
        texts
            .iter()
            .any(|text| text.contains("Action: delivered\r\n")),
        "{texts:?}"
    );
    let held = texts
        .iter()
        .find(|text| text.contains("Subject: held\r\n\r\n"));
    assert!(held.is_some_and(|text| text.starts_with("Return-Path: <carl@here.test>")));

    // Who is not there any more when it is due.
    assert!(submit(" HOLDFOR=60", &["<dora@here.test>"]).starts_with("250"));
    hosts
        .directory()
        .remove_account("dora@here.test")
        .await
        .unwrap();
    clock.advance(std::time::Duration::from_secs(100));
    until(async || hosts.here.inbox().await.len() == 3).await;
    let text = hosts.here.inbox().await.pop().unwrap();
    assert!(
        text.contains("Action: failed\r\nStatus: 5.1.1\r\n"),
        "{text}"
    );

    // In time, and each relay is told.
    assert!(submit(" BY=600;RT", &["<bob@there.test>"]).starts_with("250"));
    until(async || hosts.here.inbox().await.len() == 4).await;
    let text = hosts.here.inbox().await.pop().unwrap();
    assert!(text.contains("Action: relayed\r\n"), "{text}");
    assert_eq!(hosts.there.inbox().await.len(), 2);
    // Too late: it comes back, or its sender is told and it is tried on.
    hosts.there.engine.stop("smtp_in").await.unwrap();
    for (by, action, left) in [("R", "failed", 0), ("N", "delayed", 1)] {
        let before = hosts.here.inbox().await.len();
        assert!(submit(&format!(" BY=600;{by}"), &["<bob@there.test>"]).starts_with("250"));
        clock.advance(std::time::Duration::from_secs(601));
        until(async || hosts.here.inbox().await.len() > before).await;
        let text = hosts.here.inbox().await.pop().unwrap();
        assert!(
            text.contains(&format!("Action: {action}\r\n")),
            "{by}: {text}"
        );
        assert_eq!(hosts.here.queued().await, left);
    }
}

/// Keeps what it is given, and answers as the user's name says.
#[derive(Debug, Clone, Default)]
struct Fax(std::sync::Arc<parking_lot::Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl Transport for Fax {
    fn name(&self) -> &str {
        "fax"
    }

    async fn carry(&self, parcel: &Parcel<'_>) -> Vec<Reply> {
        let text = String::from_utf8(parcel.message.to_vec()).unwrap();
        self.0.lock().push(text);
        let reply = |to: &str| match to.split('@').next() {
            Some("busy") => Some(Reply::new(451, (4, 3, 2), "the line is busy")),
            Some("wrong") => Some(Reply::new(550, (5, 1, 1), "no such number")),
            Some("silent") => None,
            _ => Some(Reply::ok()),
        };
        let to = parcel.entry.recipients.iter();
        to.map_while(|to| reply(&to.address)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_the_application_carries() {
    let fax = Fax::default();
    let mut settings = sending(25);
    let route = "domains = [\"fax.test\"]\nto = \"transport:fax\"";
    let text = format!("[smtp_out]\nenable = true\n[[smtp_out.routes]]\n{route}\n");
    settings.smtp_out = axigen_core::settings::parse(&text).unwrap().smtp_out;
    let engine = |fax: Option<Fax>| {
        let settings = settings.clone();
        async move {
            let store = axigen_core::store::Store::memory().await.unwrap();
            let builder = Engine::builder(store).settings(settings).clock(noon());
            match fax {
                Some(fax) => builder.transport(fax).build().unwrap(),
                None => builder.build().unwrap(),
            }
        }
    };
    let error = engine(None)
        .await
        .start_service("smtp_out")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the transport fax"), "{error}");

    let engine = engine(Some(fax.clone())).await;
    engine.directory().add_domain("here.test").await.unwrap();
    let user = account(&engine, "ann@here.test").await;
    let here = Server { engine, user };
    here.engine.start_service("smtp_out").await.unwrap();
    let delivery = here.engine.delivery();
    let mut accepted = Vec::new();
    for to in ["one", "wrong", "busy", "silent"] {
        let address = Some((to, "fax.test"));
        accepted.push(delivery.accept(address, true, None).await.unwrap());
    }
    let raw = "Return-Path: <ann@here.test>\r\nSubject: dial\r\n\r\nx\r\n";
    let mut envelope = Envelope::new("i", "ann@here.test");
    envelope.own = raw.find("\r\n").unwrap() + 2;
    delivery
        .deliver(raw.into(), &envelope, &accepted, Answers::One)
        .await;
    until(async || here.inbox().await.len() == 1).await;
    let text = here.inbox().await.remove(0);
    assert!(
        text.contains("Final-Recipient: rfc822;wrong@fax.test\r\n"),
        "{text}"
    );
    assert!(
        text.contains("no such number") && !text.contains("busy@"),
        "{text}"
    );
    assert_eq!(*fax.0.lock(), ["Subject: dial\r\n\r\nx\r\n"]);
    let listing = here
        .engine
        .queue()
        .list(&Default::default(), None, 9)
        .await
        .unwrap();
    let waiting: Vec<&str> = listing.entries[0]
        .entry
        .recipients
        .iter()
        .map(|to| to.address.as_str())
        .collect();
    assert_eq!(waiting, ["busy@fax.test", "silent@fax.test"]);
}
