//! Delivery into a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axigen_proto::smtp::reply::Reply;
use axigen_store::Store;
use bytes::Bytes;

use super::*;
use crate::filter::{self, Disposition, Filter, Level, Message, Recipient};
use crate::settings::Size;

const MAIL: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

/// Answers for each account what it was told to.
#[derive(Debug)]
struct Told(HashMap<String, Disposition>);

#[async_trait]
impl Filter for Told {
    fn name(&self) -> &str {
        "told"
    }
    async fn pre_delivery(
        &self,
        msg: &Message,
        rcpt: &mut Recipient,
    ) -> filter::Result<Disposition> {
        assert_eq!(msg.raw(), MAIL);
        assert!(rcpt.account.is_some());
        match self.0.get(&rcpt.address) {
            Some(Disposition::Defer(Duration::ZERO)) => Err(filter::Error("broken".into())),
            Some(told) => Ok(told.clone()),
            None => Ok(Disposition::Continue),
        }
    }
}

struct House {
    store: Store,
    mailboxes: Mailboxes,
    directory: Directory,
    delivery: Delivery,
}

/// Four accounts, `a@x.test` to `d@x.test`, and the alias `ab`.
async fn house(told: &[(&str, Disposition)]) -> House {
    let store = Store::memory().await.unwrap();
    let mailboxes = Mailboxes::new(store.clone());
    let directory = Directory::new(store.clone(), mailboxes.clone()).unwrap();
    directory.add_domain("x.test").await.unwrap();
    let accounts = ["a", "b", "c", "d"].map(|user| format!("{user}@x.test"));
    directory.add_accounts("secret", &accounts).await.unwrap();
    let ab = ["a@x.test".to_owned(), "b@x.test".to_owned()];
    directory.add_alias("ab@x.test", &ab).await.unwrap();
    let told = told
        .iter()
        .map(|(user, told)| (format!("{user}@x.test"), told.clone()));
    let mut chain = Chain::new();
    chain.add(Level::Server, 1, Arc::new(Told(told.collect())));
    let delivery = Delivery::new(
        mailboxes.clone(),
        directory.clone(),
        chain,
        AccountSettings::default(),
    );
    House {
        store,
        mailboxes,
        directory,
        delivery,
    }
}

impl House {
    async fn accept(&self, user: &str) -> Result<Accepted, Refused> {
        let address = Some((user, "x.test"));
        self.delivery.accept(address, false, None).await
    }

    async fn deliver(&self, users: &[&str], answers: Answers) -> Vec<Outcome> {
        let mut accepted = Vec::new();
        for user in users {
            accepted.push(self.accept(user).await.unwrap());
        }
        let raw = Bytes::from_static(MAIL);
        self.delivery
            .deliver(raw, &Envelope::new("1", "s@y.test"), &accepted, answers)
            .await
    }

    /// How many messages a folder holds; -1 if it is not there.
    async fn count(&self, user: &str, folder: &str) -> i64 {
        let account = self.directory.account(&format!("{user}@x.test")).await;
        let found = self.mailboxes.find(account.unwrap().id, folder).await;
        found.map_or(-1, |info| i64::from(info.messages))
    }

    async fn inboxes(&self) -> [i64; 4] {
        let mut counts = [0; 4];
        for (count, user) in counts.iter_mut().zip(["a", "b", "c", "d"]) {
            *count = self.count(user, "INBOX").await;
        }
        counts
    }

    async fn quota(&self, user: &str, bytes: u64) {
        let settings = AccountSettings {
            quota: Some(Size(bytes)),
            ..AccountSettings::default()
        };
        let address = format!("{user}@x.test");
        let set = self.directory.set_account_settings(&address, &settings);
        set.await.unwrap();
    }
}

fn no() -> Reply {
    Reply::new(550, (5, 7, 1), "not this one")
}

#[tokio::test]
async fn one_content_one_batch_each_account_once() {
    let house = house(&[]).await;
    let before = house.store.stat();
    let users = ["a", "B", "c", "ab", "a+x"];
    let outcomes = house.deliver(&users, Answers::One).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 5]);
    assert_eq!(house.inboxes().await, [1, 1, 1, 0]);
    let after = house.store.stat();
    assert_eq!(after.puts - before.puts, 1);
    assert_eq!(after.batches - before.batches, 1);
}

#[tokio::test]
async fn a_detail_names_a_folder_that_exists() {
    let house = house(&[]).await;
    let a = house.directory.account("a@x.test").await.unwrap().id;
    for folder in ["Lists", "Lists/rust", "news", "News"] {
        house.mailboxes.create(a, folder, None).await.unwrap();
    }
    for (user, folder) in [
        ("a+Lists", "Lists"),
        ("a+lists", "Lists"),
        ("a+LISTS/Rust", "Lists/rust"),
        ("a+News", "News"),
        ("a+inbox", "INBOX"),
        ("a+none", "INBOX"),
        ("a+", "INBOX"),
        ("a+../b", "INBOX"),
        ("a+*", "INBOX"),
    ] {
        let before = house.count("a", folder).await;
        let outcomes = house.deliver(&[user], Answers::One).await;
        assert_eq!(outcomes, [Outcome::Delivered]);
        assert_eq!(house.count("a", folder).await, before + 1, "{user}");
    }
    assert_eq!(house.count("a", "none").await, -1, "nothing was made");
    let settings = AccountSettings {
        plus_folders: Some(false),
        ..AccountSettings::default()
    };
    let set = house.directory.set_account_settings("a@x.test", &settings);
    set.await.unwrap();
    let before = house.count("a", "Lists").await;
    house.deliver(&["a+Lists"], Answers::One).await;
    assert_eq!(house.count("a", "Lists").await, before);
}

#[tokio::test]
async fn what_filters_decide_before_delivery() {
    let defer = Disposition::Defer(Duration::from_secs(60));
    let broken = Disposition::Defer(Duration::ZERO);
    let redirect = Disposition::Redirect(vec!["e@elsewhere.test".into()]);
    let bounce = Disposition::Bounce(no());
    let (done, gone) = (Outcome::Delivered, Outcome::Discarded);
    // What `a` is told; the outcomes for a and c; the INBOXes of a and c.
    let cases = [
        (
            Disposition::Discard,
            Answers::One,
            [gone.clone(), done.clone()],
            [0, 1],
        ),
        (
            Disposition::Discard,
            Answers::Each,
            [gone, done.clone()],
            [0, 1],
        ),
        (
            bounce.clone(),
            Answers::One,
            [Outcome::Rejected(no()), Outcome::Rejected(no())],
            [0, 0],
        ),
        (
            bounce,
            Answers::Each,
            [Outcome::Rejected(no()), done.clone()],
            [0, 1],
        ),
        (
            defer.clone(),
            Answers::One,
            [Outcome::Deferred, Outcome::Deferred],
            [0, 0],
        ),
        (
            defer,
            Answers::Each,
            [Outcome::Deferred, done.clone()],
            [0, 1],
        ),
        (
            broken,
            Answers::Each,
            [Outcome::Deferred, done.clone()],
            [0, 1],
        ),
        // Nothing is sent to other hosts here: better kept than lost.
        (
            redirect,
            Answers::Each,
            [done.clone(), done.clone()],
            [1, 1],
        ),
        (
            Disposition::FileInto("Spam/Old/".into()),
            Answers::One,
            [done.clone(), done.clone()],
            [0, 1],
        ),
        (
            Disposition::FileInto("../x".into()),
            Answers::One,
            [done.clone(), done],
            [1, 1],
        ),
    ];
    for (told, answers, want, counts) in cases {
        let house = house(&[("a", told.clone())]).await;
        let outcomes = house.deliver(&["a", "c"], answers).await;
        assert_eq!(outcomes, want, "{told:?}");
        let inboxes = [
            house.count("a", "INBOX").await,
            house.count("c", "INBOX").await,
        ];
        assert_eq!(inboxes, counts, "{told:?}");
        if matches!(&told, Disposition::FileInto(name) if name.starts_with("Spam")) {
            assert_eq!(house.count("a", "Spam/Old").await, 1);
        }
    }
}

#[tokio::test]
async fn accounts_of_an_alias_share_its_fate() {
    let house = house(&[("b", Disposition::Bounce(no()))]).await;
    let outcomes = house.deliver(&["ab", "c"], Answers::Each).await;
    assert_eq!(outcomes, [Outcome::Rejected(no()), Outcome::Delivered]);
    assert_eq!(
        house.inboxes().await,
        [0, 0, 1, 0],
        "when the peer tries again, nobody has it twice"
    );
}

#[tokio::test]
async fn quotas() {
    let size = MAIL.len() as u64;
    // Full already: said at RCPT, also for an alias that leads there.
    let full = house(&[]).await;
    full.deliver(&["a"], Answers::One).await;
    full.quota("a", size).await;
    for user in ["a", "ab"] {
        assert_eq!(
            full.accept(user).await,
            Err(Refused::OverQuota(Failure::Transient)),
            "{user}"
        );
    }
    // With the declared size as well.
    full.quota("b", size - 1).await;
    let declared = full
        .delivery
        .accept(Some(("b", "x.test")), false, Some(size));
    assert_eq!(declared.await, Err(Refused::OverQuota(Failure::Transient)));
    // Seen after the message came: that one is left out.
    let outcomes = full.deliver(&["b", "c", "d"], Answers::Each).await;
    let done = Outcome::Delivered;
    assert_eq!(
        outcomes,
        [
            Outcome::OverQuota(Failure::Transient),
            done.clone(),
            done.clone()
        ]
    );
    assert_eq!(full.inboxes().await, [1, 0, 1, 1]);
    let outcomes = full.deliver(&["b"], Answers::One).await;
    assert_eq!(outcomes, [Outcome::OverQuota(Failure::Transient)]);
    // One answer for several: nobody is left out.
    let outcomes = full.deliver(&["b", "c"], Answers::One).await;
    assert_eq!(outcomes, vec![done.clone(); 2]);
    assert_eq!(full.inboxes().await, [1, 1, 2, 1]);
    assert_eq!(
        full.accept("b").await,
        Err(Refused::OverQuota(Failure::Transient))
    );
    // A recipient that is several accounts has one answer, too.
    let alias = house(&[]).await;
    alias.quota("b", size - 1).await;
    let outcomes = alias.deliver(&["ab", "c"], Answers::Each).await;
    assert_eq!(outcomes, vec![done; 2]);
    assert_eq!(alias.inboxes().await, [1, 1, 1, 0]);
}

#[tokio::test]
async fn everybody_full() {
    let house = house(&[]).await;
    for user in ["a", "b", "c", "d"] {
        house.quota(user, 1).await;
    }
    let before = house.store.stat();
    let outcomes = house.deliver(&["a", "b", "c", "d"], Answers::Each).await;
    assert_eq!(outcomes, vec![Outcome::OverQuota(Failure::Transient); 4]);
    let after = house.store.stat();
    assert_eq!(after.puts, before.puts);
    assert_eq!(after.batches, before.batches);
}

#[tokio::test]
async fn who_is_refused() {
    let house = house(&[]).await;
    house
        .directory
        .set_enabled("d@x.test", false)
        .await
        .unwrap();
    let out = ["a@x.test".to_owned(), "x@elsewhere.test".to_owned()];
    house.directory.add_alias("out@x.test", &out).await.unwrap();
    for (address, authenticated, want) in [
        (Some(("nobody", "x.test")), true, Refused::NoSuchUser),
        (Some(("d", "x.test")), true, Refused::Disabled),
        (Some(("a", "elsewhere.test")), false, Refused::Relay),
        (Some(("a", "elsewhere.test")), true, Refused::NoOutgoing),
        (Some(("out", "x.test")), false, Refused::NoOutgoing),
    ] {
        let refused = house.delivery.accept(address, authenticated, None).await;
        assert_eq!(refused, Err(want), "{address:?}");
    }
    let postmaster = house.delivery.accept(None, false, None).await.unwrap();
    assert_eq!(postmaster.address, "postmaster");
    let quoted = house.delivery.accept(Some(("A", "X.test")), false, None);
    assert_eq!(quoted.await.unwrap().address, "A@X.test");
    house.store.close().await.unwrap();
    assert_eq!(house.accept("a").await, Err(Refused::Failed));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_no_reason_to_lose_a_message() {
    // The account's limit of mailboxes is reached: INBOX it is.
    let mut house = house(&[("a", Disposition::FileInto("Another".into()))]).await;
    let a = house.directory.account("a@x.test").await.unwrap().id;
    let there = house.mailboxes.list(a).await.unwrap().len();
    let options = crate::mailbox::Options {
        mailboxes: u32::try_from(there).unwrap(),
        ..crate::mailbox::Options::default()
    };
    house.mailboxes = Mailboxes::with_options(house.store.clone(), options);
    house.delivery.mailboxes = house.mailboxes.clone();
    let outcomes = house.deliver(&["a", "c"], Answers::One).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 2]);
    assert_eq!(house.inboxes().await, [1, 0, 1, 0]);
    assert_eq!(house.count("a", "Another").await, -1);
}

#[tokio::test]
async fn a_failing_store_is_no_delivery() {
    let house = house(&[]).await;
    let accepted = [house.accept("a").await.unwrap()];
    house.store.close().await.unwrap();
    let raw = Bytes::from_static(MAIL);
    let outcomes = house
        .delivery
        .deliver(raw, &Envelope::new("1", ""), &accepted, Answers::One)
        .await;
    assert_eq!(outcomes, [Outcome::Failed]);
}

fn on(to: &[&str]) -> Disposition {
    Disposition::Redirect(to.iter().map(|user| format!("{user}@x.test")).collect())
}

#[tokio::test]
async fn filters_send_on() {
    // Who is told what; to whom it is sent; the INBOXes.
    type Case = (
        &'static [(&'static str, &'static [&'static str])],
        &'static [&'static str],
        [i64; 4],
    );
    let cases: [Case; 9] = [
        (&[("a", &["b"])], &["a"], [0, 1, 0, 0]),
        // Its own address keeps a copy.
        (&[("a", &["b", "a", "c"])], &["a"], [1, 1, 1, 0]),
        // Filters of those it comes to have their say.
        (&[("a", &["b"]), ("b", &["c"])], &["a"], [0, 0, 1, 0]),
        // Whoever would get it twice gets it once.
        (&[("a", &["b"])], &["a", "b", "ab"], [0, 1, 0, 0]),
        (&[("a", &["ab"])], &["a"], [1, 1, 0, 0]),
        // Around in a circle.
        (&[("a", &["b"]), ("b", &["a"])], &["a"], [1, 0, 0, 0]),
        (
            &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])],
            &["a", "d"],
            [1, 0, 0, 1],
        ),
        // To nobody.
        (&[("a", &["none"])], &["a"], [1, 0, 0, 0]),
        (&[("a", &["none", "b"])], &["a"], [0, 1, 0, 0]),
    ];
    for (told, to, inboxes) in cases {
        for answers in [Answers::One, Answers::Each] {
            let told: Vec<(&str, Disposition)> =
                told.iter().map(|(user, to)| (*user, on(to))).collect();
            let house = house(&told).await;
            let before = house.store.stat();
            let outcomes = house.deliver(to, answers).await;
            assert_eq!(outcomes, vec![Outcome::Delivered; to.len()], "{told:?}");
            assert_eq!(house.inboxes().await, inboxes, "{told:?}");
            let after = house.store.stat();
            assert_eq!(after.puts - before.puts, 1, "one content");
            assert_eq!(after.batches - before.batches, 1, "one batch");
        }
    }
    // What happens to it there is what the sender is told.
    let told = [
        ("a", on(&["b"])),
        ("b", Disposition::Bounce(no())),
        ("c", on(&["d"])),
        ("d", Disposition::Discard),
    ];
    let house = house(&told).await;
    let outcomes = house.deliver(&["a", "c"], Answers::Each).await;
    assert_eq!(outcomes, [Outcome::Rejected(no()), Outcome::Discarded]);
    assert_eq!(house.inboxes().await, [0; 4]);
}

#[tokio::test]
async fn how_often_filters_send_on() {
    let users: Vec<String> = (0..=REDIRECTS + 1).map(|n| format!("u{n}")).collect();
    let told: Vec<(&str, Disposition)> = users
        .windows(2)
        .map(|pair| (pair[0].as_str(), on(&[&pair[1]])))
        .collect();
    let house = house(&told).await;
    let accounts: Vec<String> = users.iter().map(|user| format!("{user}@x.test")).collect();
    house
        .directory
        .add_accounts("secret", &accounts)
        .await
        .unwrap();
    for (from, to) in [(1, REDIRECTS + 1), (0, REDIRECTS)] {
        let outcomes = house.deliver(&[&users[from]], Answers::One).await;
        assert_eq!(outcomes, [Outcome::Delivered]);
        for (at, user) in users.iter().enumerate() {
            assert_eq!(
                house.count(user, "INBOX").await,
                i64::from(at >= to),
                "{user}"
            );
        }
    }
}
