//! Mail that goes around in circles, notices about notices, and addresses that lead
//! to ever more others: all of it ends, and nobody else hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axigen_core::clock::ManualClock;
use axigen_core::settings::AccountSettings;
use axigen_tests::engines::{Server, noon, three, until};
use axigen_tests::served::{House, IMAP, PLAIN, SMTP};
use axigen_tests::wire::Wire;

/// Hops that a message may have made here.
const HOPS: usize = 8;

/// Three servers: Ann's, which sends; and two that hand on what they get.
struct Ring {
    far: Server,
    here: Server,
    there: Server,
    door: SocketAddr,
}

impl Ring {
    async fn new(clock: &ManualClock) -> Ring {
        let (servers, door) = three(clock, |settings| {
            settings.smtp_in.received_headers = HOPS;
        })
        .await;
        let [far, here, there] = servers;
        Ring {
            far,
            here,
            there,
            door,
        }
    }

    async fn queued(&self) -> u64 {
        self.far.queued().await + self.here.queued().await + self.there.queued().await
    }

    /// A message for Carl; the last reply.
    fn knock(&self, from: &str, to: &str) -> String {
        let address = self.door.to_string();
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&address);
            wire.smtp_reply();
            wire.smtp("EHLO mx.far.test");
            wire.smtp(&format!("MAIL FROM:<{from}>"));
            let said = wire.smtp(&format!("RCPT TO:<{to}>"));
            if !said.starts_with("250") {
                return said;
            }
            wire.smtp("DATA");
            wire.smtp("Subject: around\r\nFrom: ann@far.test\r\n\r\nhello\r\n.")
        })
    }
}

async fn forward(server: &Server, account: &str, to: &str) {
    let mut settings = AccountSettings::default();
    settings.set("forward", to).unwrap();
    settings.set("forward_keep", "false").unwrap();
    let directory = server.engine.directory();
    let set = directory.set_account_settings(account, &settings);
    set.await.unwrap();
}

/// Two accounts of two servers hand on to each other. The message is refused after so
/// many hops, its sender is told once, and the notice does not go around.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_forwards_ends_and_its_sender_is_told() {
    let ring = Ring::new(&noon()).await;
    forward(&ring.here, "carl@here.test", "bob@there.test").await;
    forward(&ring.there, "bob@there.test", "carl@here.test").await;
    let said = ring.knock("ann@far.test", "carl@here.test");
    assert!(said.starts_with("250"), "{said}");
    until(async || !ring.far.inbox().await.is_empty()).await;
    until(async || ring.queued().await == 0).await;
    let told = ring.far.inbox().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Return-Path: <>\r\n"), "{}", told[0]);
    assert!(told[0].contains("Status: 5.4.6\r\n"), "{}", told[0]);
    assert!(ring.here.inbox().await.is_empty() && ring.there.inbox().await.is_empty());

    // With the null sender there is nobody to be told.
    let said = ring.knock("", "carl@here.test");
    assert!(said.starts_with("250"), "{said}");
    until(async || ring.queued().await == 0).await;
    for server in [&ring.here, &ring.there] {
        assert!(server.inbox().await.is_empty());
    }
    assert_eq!(ring.far.inbox().await.len(), 1);
}

/// A notice that cannot be delivered is the end of it (RFC 3464 §2, RFC 5321 §6.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_that_a_notice_failed() {
    let ring = Ring::new(&noon()).await;
    let directory = ring.here.engine.directory();
    let gone = ["gone@there.test".to_owned()];
    directory.add_alias("gone@here.test", &gone).await.unwrap();
    // The null sender; and a sender that there is not, whom the notice does not find.
    for from in ["", "nobody@far.test"] {
        let said = ring.knock(from, "gone@here.test");
        assert!(said.starts_with("250"), "{said}");
        until(async || ring.queued().await == 0).await;
    }
    for server in [&ring.far, &ring.here, &ring.there] {
        assert_eq!(server.inbox().await, [""; 0]);
    }
}

/// What cannot be delivered is refused while the sender's server waits: no notice goes
/// to whoever was named as the sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_at_once_makes_no_notice() {
    let ring = Ring::new(&noon()).await;
    for to in [
        "nobody@here.test",
        "a@elsewhere.test",
        "carl@here.test.evil",
    ] {
        let said = ring.knock("ann@far.test", to);
        assert!(said.starts_with("550 5."), "{to}: {said}");
    }
    assert_eq!(ring.queued().await, 0);
    assert!(ring.far.inbox().await.is_empty());
}

/// Hops are counted wherever mail comes in.
#[test]
fn too_many_hops_are_refused_by_every_door() {
    let house = House::with(
        &format!(
            r#"{PLAIN}
[lmtp]
enable = true
received_headers = 30
[[lmtp.listeners]]
address = "127.0.0.1:PORT+2424"
tls = "none"
[submission]
enable = true
received_headers = 30
[[submission.listeners]]
address = "127.0.0.1:PORT+2587"
tls = "none"
plaintext_login = true
"#
        )
        .replacen("[smtp_in]\n", "[smtp_in]\nreceived_headers = 30\n", 1),
    );
    house.add("u1@example.test", "demo");
    let _served = house.serve();
    for (port, hello) in [(SMTP, "EHLO"), (2424, "LHLO"), (2587, "EHLO")] {
        for (hops, want) in [(30, "250 "), (31, "554 5.4.6")] {
            let mut wire = Wire::connect(&house.addr(port));
            wire.smtp_reply();
            wire.smtp(&format!("{hello} client.test"));
            if port == 2587 {
                let said = wire.smtp("AUTH PLAIN AHUxQGV4YW1wbGUudGVzdABkZW1v");
                assert!(said.starts_with("235"), "{said}");
            }
            wire.smtp("MAIL FROM:<u1@example.test>");
            assert!(wire.smtp("RCPT TO:<u1@example.test>").starts_with("250"));
            assert!(wire.smtp("DATA").starts_with("354"));
            let trace = "Received: from a by b; Sat, 28 Nov 2026 12:00:00 +0000\r\n".repeat(hops);
            let said = wire.smtp(&format!("{trace}Subject: x\r\n\r\nx\r\n."));
            assert!(said.starts_with(want), "{port} {hops}: {said}");
        }
    }
    let mut imap = Wire::imap_login(&house.addr(IMAP), "u1@example.test", "demo");
    assert!(imap.ok("STATUS INBOX (MESSAGES)").contains("(MESSAGES 3)"));
}

/// Aliases of aliases, a hundred at each step: refused at the door, at once, however
/// often it is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_that_multiply_are_refused() {
    let ring = Ring::new(&noon()).await;
    let directory = ring.here.engine.directory();
    let names = |level: usize| -> Vec<String> {
        (0..100)
            .map(|n| format!("l{level}n{n}@here.test"))
            .collect()
    };
    for level in 0..3 {
        for name in &names(level)[..10] {
            directory.add_alias(name, &names(level + 1)).await.unwrap();
        }
    }
    for (name, targets) in [
        ("round@here.test", vec!["about@here.test".to_owned()]),
        (
            "about@here.test",
            vec!["round@here.test".to_owned(), "carl@here.test".to_owned()],
        ),
    ] {
        directory.add_alias(name, &targets).await.unwrap();
    }
    let began = Instant::now();
    for _ in 0..20 {
        let said = ring.knock("ann@far.test", "l0n0@here.test");
        assert!(said.starts_with("452 4.5.3"), "{said}");
    }
    // A circle is no bomb: it leads to whoever stands in it, once.
    let said = ring.knock("ann@far.test", "round@here.test");
    assert!(said.starts_with("250"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(ring.here.inbox().await.len(), 1);
    assert_eq!(ring.queued().await, 0);
}
