//! Accounts that are full: what their senders are told, and for how long, at the
//! door and out of the queue.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axigen_core::clock::ManualClock;
use axigen_core::directory::NewAccount;
use axigen_core::dns::ZoneResolver;
use axigen_core::engine::Engine;
use axigen_core::settings::{AccountSettings, Settings, TlsMode};
use axigen_core::store::{AccountId, Store};
use axigen_tests::engines::{Server, named, noon, sending, until};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const ANN: &str = "ann@here.test";
const FULL: &str = "452 4.2.2";
const OVER: &str = "552 5.2.2";
const MAIL: &str = "Subject: hello\r\n\r\nhello\r\n";

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// All mail for accounts that are full comes back after a day.
fn patient(mut settings: Settings) -> Settings {
    settings
        .accounts
        .set("over_quota", "temporary_then_bounce")
        .unwrap();
    settings.accounts.set("over_quota_wait", "1d").unwrap();
    settings
}

fn open(store: Store, settings: Settings, clock: &ManualClock) -> Engine {
    let builder = Engine::builder(store).settings(settings);
    let builder = builder.resolver(ZoneResolver::parse("").unwrap());
    builder.clock(clock.clone()).build().unwrap()
}

async fn add(engine: &Engine, address: &str) -> AccountId {
    let new = NewAccount {
        address: address.into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(new).await.unwrap().id
}

async fn set(engine: &Engine, address: &str, options: &[(&str, &str)]) {
    let mut settings = AccountSettings::default();
    for (option, value) in options {
        settings.set(option, value).unwrap();
    }
    let set = engine.directory().set_account_settings(address, &settings);
    set.await.unwrap();
}

fn door(engine: &Engine, service: &str) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    engine.serve(service, socket, TlsMode::None).unwrap()
}

/// A message to somebody here; the reply that decides.
fn knock(door: SocketAddr, to: &str) -> String {
    tokio::task::block_in_place(|| Wire::deliver(&door.to_string(), to, MAIL))
}

async fn first_uids(engine: &Engine, account: AccountId, count: u32) {
    let mailboxes = engine.mailboxes();
    let inbox = mailboxes.find(account, "INBOX").await.unwrap();
    let uids: Vec<u32> = (1..inbox.uid_next).collect();
    let rows = mailboxes.rows(account, inbox.id, &uids).await.unwrap();
    let uids: Vec<u32> = rows
        .iter()
        .map(|row| row.uid)
        .take(count as usize)
        .collect();
    let gone = mailboxes.remove(account, inbox.id, &uids).await.unwrap();
    assert_eq!(gone.len(), count as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_door_until_there_is_room_again() {
    let clock = noon();
    let settings = patient(named("mail.here.test"));
    let Server { engine, user } = Server::new(settings, "", &clock, ANN).await;
    let mx = door(&engine, "smtp_in");
    set(&engine, ANN, &[("quota_messages", "3")]).await;
    for _ in 0..3 {
        assert!(knock(mx, ANN).starts_with("250"));
    }
    // It is full from the first message that has no room.
    clock.advance(hours(48));
    assert!(knock(mx, ANN).starts_with(FULL));
    clock.advance(hours(23));
    assert!(knock(mx, ANN).starts_with(FULL));
    clock.advance(hours(1));
    assert!(knock(mx, ANN).starts_with(OVER));
    // A larger quota that is full at once is room all the same, a smaller is none.
    set(&engine, ANN, &[("quota_messages", "2")]).await;
    assert!(knock(mx, ANN).starts_with(OVER));
    set(&engine, ANN, &[("quota_messages", "4")]).await;
    assert!(knock(mx, ANN).starts_with("250"));
    assert!(knock(mx, ANN).starts_with(FULL));
    clock.advance(hours(24));
    assert!(knock(mx, ANN).starts_with(OVER));
    // What goes makes room only where it leaves less than the account may hold.
    set(&engine, ANN, &[("quota_messages", "2")]).await;
    assert!(knock(mx, ANN).starts_with(OVER));
    first_uids(&engine, user, 1).await;
    assert!(knock(mx, ANN).starts_with(OVER));
    first_uids(&engine, user, 2).await;
    assert!(knock(mx, ANN).starts_with("250"));
    assert!(
        knock(mx, ANN).starts_with(FULL),
        "from now on, not from long ago"
    );
    // The nearest level decides.
    set(
        &engine,
        ANN,
        &[("quota_messages", "2"), ("over_quota_wait", "0s")],
    )
    .await;
    assert!(knock(mx, ANN).starts_with(OVER));
    set(
        &engine,
        ANN,
        &[("quota_messages", "2"), ("over_quota", "temporary")],
    )
    .await;
    clock.advance(hours(1000));
    assert!(knock(mx, ANN).starts_with(FULL));
    let mut domain = engine
        .directory()
        .domain("here.test")
        .await
        .unwrap()
        .unwrap();
    domain.settings.set("over_quota", "refuse").unwrap();
    engine.directory().set_domain(&domain).await.unwrap();
    set(&engine, ANN, &[("quota_messages", "2")]).await;
    assert!(knock(mx, ANN).starts_with(OVER));
}

/// Room that was made and filled by the user, while no mail came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_counts_though_no_mail_saw_it() {
    let clock = noon();
    let settings = patient(named("mail.here.test"));
    let Server { engine, user } = Server::new(settings, "", &clock, ANN).await;
    let mx = door(&engine, "smtp_in");
    assert!(knock(mx, ANN).starts_with("250"));
    set(&engine, ANN, &[("quota_messages", "1")]).await;
    assert!(knock(mx, ANN).starts_with(FULL));
    clock.advance(hours(20));
    first_uids(&engine, user, 1).await;
    let target = axigen_core::mailbox::Target {
        account: user,
        mailbox: axigen_core::mailbox::Place::Named("INBOX".into()),
        flags: Default::default(),
        quota: axigen_core::mailbox::Quota::NONE,
    };
    let mine = axigen_core::mailbox::NewMessage {
        internal_date: 0,
        internal_zone: 0,
        raw: MAIL.into(),
    };
    engine.mailboxes().append(mine, &[target]).await.unwrap();
    clock.advance(hours(10));
    assert!(knock(mx, ANN).starts_with(FULL));
    clock.advance(hours(24));
    assert!(knock(mx, ANN).starts_with(OVER));
}

/// Since when an account is full is in the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_begin_anew() {
    let clock = noon();
    let dir = tempfile::TempDir::new().unwrap();
    let settings = || patient(named("mail.here.test"));
    let start = async || {
        let store = Store::open(dir.path()).await;
        open(store.unwrap(), settings(), &clock)
    };
    let engine = start().await;
    engine.directory().add_domain("here.test").await.unwrap();
    add(&engine, ANN).await;
    set(&engine, ANN, &[("quota_messages", "1")]).await;
    let mx = door(&engine, "smtp_in");
    assert!(knock(mx, ANN).starts_with("250"));
    assert!(knock(mx, ANN).starts_with(FULL));
    engine.shutdown().await.unwrap();
    drop(engine);

    clock.advance(hours(23));
    let engine = start().await;
    let mx = door(&engine, "smtp_in");
    assert!(knock(mx, ANN).starts_with(FULL));
    clock.advance(hours(1));
    assert!(knock(mx, ANN).starts_with(OVER));
    engine.shutdown().await.unwrap();
}

/// Mail that was held, and finds its mailbox full when it is due: it waits, and
/// its sender is told 5.2.2 in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_the_queue() {
    let clock = noon();
    let mut settings = patient(sending(25));
    settings.submission.future_release = "7d".parse().unwrap();
    settings.smtp_out.tell_delay = "0s".parse().unwrap();
    let here = Server::new(settings, "", &clock, ANN).await;
    let engine = &here.engine;
    let bob = add(engine, "bob@here.test").await;
    engine.start_service("smtp_out").await.unwrap();
    let (mx, submission) = (door(engine, "smtp_in"), door(engine, "submission"));
    let plain = STANDARD.encode(format!("\0{ANN}\0secret"));
    let hold = || {
        tokio::task::block_in_place(|| {
            let mut wire = Wire::connect(&submission.to_string());
            wire.smtp_reply();
            wire.smtp("EHLO x.test");
            wire.smtp(&format!("AUTH PLAIN {plain}"));
            wire.smtp(&format!("MAIL FROM:<{ANN}> HOLDFOR=60"));
            wire.smtp("RCPT TO:<bob@here.test>");
            wire.smtp("DATA");
            let said = wire.smtp("Subject: held\r\n\r\nhello\r\n.");
            assert!(said.starts_with("250"), "{said}");
        })
    };
    let tries = async || {
        let listing = engine.queue().list(&Default::default(), None, 9).await;
        let entries = listing.unwrap().entries;
        entries.first().map(|at| {
            let last = at.entry.recipients.first().and_then(|to| to.last.clone());
            (at.entry.attempts, last.map(|said| said.words))
        })
    };
    let tried = async |more: u32| {
        until(async || tries().await.is_none_or(|(attempts, _)| attempts >= more)).await;
        tries().await
    };
    hold();
    set(engine, "bob@here.test", &[("quota_messages", "1")]).await;
    assert!(knock(mx, "bob@here.test").starts_with("250"));
    clock.advance(Duration::from_secs(61));
    let (_, said) = tried(1).await.unwrap();
    assert!(said.unwrap().starts_with("452 4.2.2"));
    for attempt in 2..=6 {
        clock.advance(hours(4));
        let (attempts, said) = tried(attempt).await.unwrap();
        assert!(said.unwrap().starts_with(FULL), "{attempts}");
        assert!(here.inbox().await.is_empty());
    }
    clock.advance(hours(5));
    until(async || here.inbox().await.len() == 1).await;
    assert_eq!(here.queued().await, 0);
    let text = here.inbox().await.remove(0);
    for says in [
        "Final-Recipient: rfc822;bob@here.test\r\nAction: failed\r\nStatus: 5.2.2\r\n",
        "552 5.2.2 the mailbox is full",
        "Subject: held\r\n",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    // What comes now is told at the door, and what finds room arrives.
    assert!(knock(mx, "bob@here.test").starts_with(OVER));
    set(engine, "bob@here.test", &[]).await;
    hold();
    set(engine, "bob@here.test", &[("quota_messages", "1")]).await;
    first_uids(engine, bob, 1).await;
    assert!(knock(mx, "bob@here.test").starts_with("250"));
    clock.advance(Duration::from_secs(61));
    tried(1).await.unwrap();
    first_uids(engine, bob, 1).await;
    clock.advance(hours(1));
    until(async || here.queued().await == 0).await;
    let inbox = here.mailbox(bob, "INBOX").await;
    assert!(
        inbox.len() == 1 && inbox[0].contains("Subject: held"),
        "{inbox:?}"
    );
}
