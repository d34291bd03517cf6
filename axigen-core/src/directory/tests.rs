//! The directory over a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_proto::sasl::{Answer, Ask, Refusal, ScramKeys};
use zeroize::Zeroizing;

use super::*;
use crate::settings::{AccountSettings, Size};

async fn empty() -> Directory {
    let store = Store::memory().await.unwrap();
    Directory::new(store.clone(), Mailboxes::new(store)).unwrap()
}

async fn with(accounts: &[&str]) -> Directory {
    let directory = empty().await;
    for domain in ["one.test", "two.test"] {
        directory.add_domain(domain).await.unwrap();
    }
    let accounts: Vec<String> = accounts.iter().map(|&a| a.to_owned()).collect();
    directory.add_accounts("secret", &accounts).await.unwrap();
    directory
}

fn new(address: &str) -> NewAccount {
    NewAccount {
        address: address.to_owned(),
        password: "secret".to_owned(),
        ..NewAccount::default()
    }
}

/// The accounts and details an address leads to, and the addresses elsewhere.
async fn leads(directory: &Directory, address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap();
    match directory.resolve(local, domain).await {
        Ok(Resolution::Found { local, remote }) => {
            let local = local.into_iter().map(|to| match to.detail {
                Some(detail) => format!("{}[{detail}]", to.address),
                None => to.address,
            });
            local.chain(remote).collect::<Vec<_>>().join(" ")
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{error:?}"),
    }
}

#[tokio::test]
async fn addresses_lead_to_accounts() {
    let directory = with(&["alice@one.test", "Bob@Two.test", "a+b@one.test"]).await;
    let alias = async |from: &str, to: &[&str]| {
        let to: Vec<String> = to.iter().map(|&to| to.to_owned()).collect();
        directory.add_alias(from, &to).await.unwrap();
    };
    alias("Sales@one.test", &["alice@one.test", "bob@two.test"]).await;
    alias("all@one.test", &["sales@one.test", "BOB+x@two.test"]).await;
    alias("out@one.test", &["x@elsewhere.test", "alice@one.test"]).await;
    alias("loop@one.test", &["loop2@one.test"]).await;
    alias("loop2@one.test", &["loop@one.test", "alice@one.test"]).await;
    alias("circle@one.test", &["circle@one.test"]).await;
    alias("half@one.test", &["nobody@one.test", "alice@one.test"]).await;
    alias("nowhere@one.test", &["nobody@one.test"]).await;
    for (address, want) in [
        ("alice@one.test", "alice@one.test"),
        ("ALICE@One.Test", "alice@one.test"),
        ("alice@two.test", "NoSuchUser"),
        ("alice+News@one.test", "alice@one.test[News]"),
        ("alice+@one.test", "alice@one.test[]"),
        ("+x@one.test", "NoSuchUser"),
        ("a+b@one.test", "a+b@one.test"),
        ("sales@one.test", "alice@one.test bob@two.test"),
        (
            "sales+Lists@one.test",
            "alice@one.test[Lists] bob@two.test[Lists]",
        ),
        ("all@one.test", "bob@two.test[x] alice@one.test"),
        ("out@one.test", "alice@one.test x@elsewhere.test"),
        ("loop@one.test", "alice@one.test"),
        ("circle@one.test", "NoSuchUser"),
        ("half@one.test", "alice@one.test"),
        ("nowhere@one.test", "NoSuchUser"),
        ("alice@elsewhere.test", "NotLocal"),
        ("alice@[192.0.2.1]", "NotLocal"),
    ] {
        assert_eq!(leads(&directory, address).await, want, "{address}");
    }
    directory
        .set_enabled("alice@one.test", false)
        .await
        .unwrap();
    assert_eq!(leads(&directory, "alice@one.test").await, "Disabled");
    assert_eq!(leads(&directory, "sales@one.test").await, "bob@two.test");
}

#[tokio::test]
async fn an_alias_that_leads_to_too_many_is_refused() {
    let directory = with(&["alice@one.test"]).await;
    // A chain that is one step too long.
    for n in 0..ALIAS_STEPS {
        let target = match n + 1 {
            ALIAS_STEPS => "alice@one.test".to_owned(),
            next => format!("step{next}@one.test"),
        };
        let from = format!("step{n}@one.test");
        directory.add_alias(&from, &[target]).await.unwrap();
    }
    assert_eq!(leads(&directory, "step1@one.test").await, "alice@one.test");
    assert_eq!(leads(&directory, "step0@one.test").await, "AliasTooLarge");
    for targets in [0, ALIAS_STEPS + 1] {
        let targets: Vec<String> = (0..targets).map(|n| format!("x{n}@one.test")).collect();
        let added = directory.add_alias("wide@one.test", &targets).await;
        assert!(matches!(added, Err(Error::AliasTooLarge)), "{added:?}");
    }
}

#[tokio::test]
async fn postmaster_always_leads_to_somebody() {
    let directory = with(&["zoe@one.test", "alice@one.test", "bob@two.test"]).await;
    directory.add_domain("three.test").await.unwrap();
    for (address, want) in [
        ("postmaster@one.test", "zoe@one.test"),
        ("PostMaster@two.test", "bob@two.test"),
        ("postmaster+x@two.test", "bob@two.test"),
        ("postmaster@three.test", "zoe@one.test"),
        ("postmaster@elsewhere.test", "NotLocal"),
    ] {
        assert_eq!(leads(&directory, address).await, want, "{address}");
    }
    let without_domain = directory.resolve_postmaster().await.unwrap();
    assert!(
        matches!(&without_domain, Resolution::Found { local, .. } if local.len() == 1),
        "{without_domain:?}"
    );
    directory.set_enabled("zoe@one.test", false).await.unwrap();
    assert_eq!(
        leads(&directory, "postmaster@one.test").await,
        "alice@one.test"
    );
    let mut domain = directory.domain("one.test").await.unwrap().unwrap();
    domain.postmaster = Some("bob@two.test".into());
    directory.set_domain(&domain).await.unwrap();
    assert_eq!(
        leads(&directory, "postmaster@one.test").await,
        "bob@two.test"
    );
    domain.postmaster = Some("nobody@two.test".into());
    directory.set_domain(&domain).await.unwrap();
    assert_eq!(
        leads(&directory, "postmaster@one.test").await,
        "alice@one.test"
    );
    directory
        .add_alias("postmaster@one.test", &["bob@two.test".to_owned()])
        .await
        .unwrap();
    assert_eq!(
        leads(&directory, "postmaster@one.test").await,
        "bob@two.test"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_is_given_once() {
    let directory = with(&[]).await;
    let secrets = directory.add_accounts("secret", &[]).await;
    assert!(secrets.unwrap().is_empty());
    let racers = (0..16).map(|n| {
        let directory = directory.clone();
        tokio::spawn(async move {
            match n % 2 {
                0 => directory.add_account(new("Same@one.test")).await.map(drop),
                _ => {
                    let targets = ["x@two.test".to_owned()];
                    directory.add_alias("same@ONE.test", &targets).await
                }
            }
        })
    });
    let mut won = 0;
    for racer in futures_util::future::join_all(racers).await {
        match racer.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, Error::Exists(_)), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
    // A domain cannot go while somebody gets an address in it.
    for round in 0..20 {
        let domain = format!("d{round}.test");
        directory.add_domain(&domain).await.unwrap();
        let address = format!("a@{domain}");
        let targets = ["x@two.test".to_owned()];
        let (added, removed) = tokio::join!(
            directory.add_alias(&address, &targets),
            directory.remove_domain(&domain)
        );
        assert!(added.is_ok() != removed.is_ok(), "{added:?} {removed:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let directory = with(&["alice@one.test"]).await;
    let mut no_password = new("x@one.test");
    no_password.password = String::new();
    let mut no_class = new("x@one.test");
    no_class.class = Some("gold".into());
    for (new, want) in [
        (new("alice@one.test"), "alice@one.test exists already"),
        (
            new("x@elsewhere.test"),
            "elsewhere.test is not a domain of this server",
        ),
        (new("x"), "\"x\" is not an address of the form local@domain"),
        (
            new("a b@one.test"),
            "\"a b@one.test\" is not an address of the form local@domain",
        ),
        (
            no_password,
            "a password has 1 to 1024 bytes and no control characters",
        ),
        (no_class, "there is no class gold"),
    ] {
        let error = directory.add_account(new).await.unwrap_err();
        assert_eq!(error.to_string(), want);
    }
    let text = |result: Result<()>| result.unwrap_err().to_string();
    assert_eq!(
        text(directory.remove_domain("one.test").await),
        "the domain one.test is still in use"
    );
    assert_eq!(
        text(directory.add_domain("-").await.map(drop)),
        "\"-\" is not a domain name"
    );
    assert_eq!(
        text(directory.add_domain("ONE.test").await.map(drop)),
        "the domain one.test exists already"
    );
    directory.remove_account("alice@one.test").await.unwrap();
    assert_eq!(
        text(directory.remove_account("alice@one.test").await),
        "there is no account alice@one.test"
    );
    directory.remove_domain("one.test").await.unwrap();
    assert_eq!(
        text(directory.remove_domain("one.test").await),
        "one.test is not a domain of this server"
    );
}

#[tokio::test]
async fn settings_are_inherited() {
    let directory = with(&["alice@one.test"]).await;
    let quota = |bytes| AccountSettings {
        quota: Some(Size(bytes)),
        ..AccountSettings::default()
    };
    let now = async || {
        let settings = directory.account_settings("alice@one.test").await.unwrap();
        settings.quota.map(|size| size.0)
    };
    assert_eq!(now().await, None);
    let mut domain = directory.domain("one.test").await.unwrap().unwrap();
    domain.settings = quota(1);
    directory.set_domain(&domain).await.unwrap();
    assert_eq!(now().await, Some(1));
    let gold = Class {
        name: "gold".into(),
        settings: quota(2),
    };
    directory.set_class(&gold).await.unwrap();
    let address = "alice@one.test";
    directory
        .set_account_class(address, Some("gold"))
        .await
        .unwrap();
    assert_eq!(now().await, Some(2));
    let removed = directory.remove_class("gold").await;
    assert!(matches!(removed, Err(Error::NotEmpty(_))), "{removed:?}");
    directory
        .set_account_settings(address, &quota(3))
        .await
        .unwrap();
    assert_eq!(now().await, Some(3));
    directory.set_account_class(address, None).await.unwrap();
    directory.remove_class("gold").await.unwrap();
    assert!(directory.classes().await.unwrap().is_empty());
    let none = directory.set_account_class(address, Some("gold")).await;
    assert!(matches!(none, Err(Error::NotFound(_))), "{none:?}");
    directory
        .set_account_name(address, "Alice A")
        .await
        .unwrap();
    assert_eq!(directory.account(address).await.unwrap().name, "Alice A");
}

fn ask(authzid: &str, authcid: &str, password: &str) -> Ask {
    Ask::Password {
        authzid: authzid.into(),
        authcid: authcid.into(),
        password: Zeroizing::new(password.into()),
    }
}

#[tokio::test]
async fn logins() {
    let directory = with(&["alice@one.test", "bob@two.test"]).await;
    directory.set_enabled("bob@two.test", false).await.unwrap();
    let (alice, bob) = ("alice@one.test", "bob@two.test");
    for (ask, want) in [
        (ask("", alice, "secret"), Ok(alice)),
        (ask("", "Alice@ONE.test", "secret"), Ok(alice)),
        (ask(alice, alice, "secret"), Ok(alice)),
        (ask(bob, alice, "secret"), Err(Refusal::NotAuthorized)),
        (ask("", alice, "Secret"), Err(Refusal::BadCredentials)),
        (ask("", alice, ""), Err(Refusal::BadCredentials)),
        (ask("", "alice", "secret"), Err(Refusal::BadCredentials)),
        (
            ask("", "x@one.test", "secret"),
            Err(Refusal::BadCredentials),
        ),
        (
            ask("", "a\0@one.test", "secret"),
            Err(Refusal::BadCredentials),
        ),
        (ask("", bob, "secret"), Err(Refusal::Disabled)),
        // Nobody learns without the password that the account is closed.
        (ask("", bob, "wrong"), Err(Refusal::BadCredentials)),
        (
            Ask::Authorize {
                authzid: String::new(),
                authcid: alice.into(),
            },
            Ok(alice),
        ),
        (
            Ask::Authorize {
                authzid: String::new(),
                authcid: bob.into(),
            },
            Err(Refusal::Disabled),
        ),
    ] {
        let (answer, login) = directory.answer(&ask).await;
        let got = match answer {
            Answer::Accept => Ok(login.as_ref().unwrap().account.address.as_str()),
            Answer::Refuse(refusal) => {
                assert_eq!(login, None);
                Err(refusal)
            }
            other => panic!("{other:?} does not fit"),
        };
        assert_eq!(got, want, "{ask:?}");
    }
}

#[tokio::test]
async fn a_new_password_ends_the_old_one() {
    let directory = with(&["alice@one.test"]).await;
    let login = async |password: &str| {
        let login = directory.login("", "alice@one.test", password).await;
        login.unwrap().map(|login| login.account.address)
    };
    assert!(login("secret").await.is_ok());
    assert!(login("secret").await.is_ok());
    let remembered = directory.shared.remembered.lock().len();
    assert_eq!(remembered, 1);
    directory
        .set_password("alice@one.test", "other")
        .await
        .unwrap();
    assert_eq!(login("secret").await, Err(Refusal::BadCredentials));
    assert!(login("other").await.is_ok());
    let keys = directory.scram_keys("alice@one.test").await.unwrap();
    assert_eq!(
        keys,
        ScramKeys::derive("other", &keys.salt, keys.iterations)
    );
    directory.remove_account("alice@one.test").await.unwrap();
    assert_eq!(login("other").await, Err(Refusal::BadCredentials));
}

/// RFC 4013: a space is a space, however it was typed; control characters are
/// in no password.
#[tokio::test]
async fn passwords_are_prepared() {
    let directory = with(&["alice@one.test"]).await;
    directory
        .set_password("alice@one.test", "gr\u{fc}n\u{a0}1")
        .await
        .unwrap();
    for (password, good) in [
        ("gr\u{fc}n 1", true),
        ("gr\u{fc}n\u{3000}1", true),
        ("gr\u{fc}n1", false),
        ("gr\u{fc}n 1\t", false),
        ("\0", false),
        ("", false),
    ] {
        let login = directory.login("", "alice@one.test", password).await;
        assert_eq!(login.unwrap().is_ok(), good, "{password:?}");
    }
    let keys = directory.scram_keys("alice@one.test").await.unwrap();
    assert_eq!(
        keys,
        ScramKeys::derive("gr\u{fc}n 1", &keys.salt, keys.iterations)
    );
    for bad in ["", "\u{ad}", "a\tb", "a\0"] {
        let set = directory.set_password("alice@one.test", bad).await;
        assert!(matches!(set, Err(Error::BadPassword)), "{bad:?}");
    }
}

#[tokio::test]
async fn keys_of_nobody_look_like_keys_of_somebody() {
    let store = Store::memory().await.unwrap();
    let open = || Directory::new(store.clone(), Mailboxes::new(store.clone())).unwrap();
    let directory = open();
    directory.add_domain("one.test").await.unwrap();
    directory.add_account(new("alice@one.test")).await.unwrap();
    let alice = directory.scram_keys("alice@one.test").await.unwrap();
    let nobody = directory.scram_keys("nobody@one.test").await.unwrap();
    assert_eq!(alice.salt.len(), nobody.salt.len());
    assert_eq!(alice.iterations, nobody.iterations);
    assert!(alice.iterations >= 4096);
    let upper = directory.scram_keys("NOBODY@one.test").await.unwrap();
    assert_eq!(upper, nobody, "asked again, the salt is the same");
    assert_eq!(
        open().scram_keys("nobody@one.test").await.unwrap(),
        nobody,
        "also after a restart"
    );
}

/// A wrong password and an unknown user cost one hash each; a login that is
/// remembered costs none.
#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let directory = with(&["alice@one.test"]).await;
    for (user, password, hashes) in [
        ("alice@one.test", "wrong", 1),
        ("alice@one.test", "wrong", 1),
        ("nobody@one.test", "wrong", 1),
        ("nobody@elsewhere.test", "wrong", 1),
        ("no address", "wrong", 1),
        ("alice@one.test", "secret", 1),
        ("Alice@one.test", "secret", 0),
        ("alice@one.test", "wrong", 1),
    ] {
        let before = directory.passwords_hashed();
        let _ = directory.login("", user, password).await.unwrap();
        let hashed = directory.passwords_hashed() - before;
        assert_eq!(hashed, hashes, "{user} {password}");
    }
}

#[tokio::test]
async fn a_flood_of_logins_waits_for_its_turn() {
    let directory = with(&["alice@one.test"]).await;
    let all = u32::try_from(HASHES_AT_ONCE).unwrap();
    let busy = directory.shared.hashing.clone().acquire_many_owned(all);
    let busy = busy.await.unwrap();
    tokio::time::pause();
    let refused = directory.login("", "alice@one.test", "secret").await;
    assert_eq!(refused.unwrap().unwrap_err(), Refusal::TooMany);
    tokio::time::resume();
    drop(busy);
    let login = directory.login("", "alice@one.test", "secret").await;
    assert!(login.unwrap().is_ok());
}

#[tokio::test]
async fn aliases_are_listed() {
    let directory = with(&[]).await;
    let targets = ["b@x.test".to_owned()];
    directory.add_alias("A+1@one.test", &targets).await.unwrap();
    directory.add_alias("c@two.test", &targets).await.unwrap();
    let alias = Alias {
        address: "a+1@one.test".into(),
        targets: targets.to_vec(),
    };
    assert_eq!(directory.aliases("One.test").await.unwrap(), [alias]);
    directory.remove_alias("a+1@one.test").await.unwrap();
    assert!(directory.aliases("one.test").await.unwrap().is_empty());
    let gone = directory.remove_alias("a+1@one.test").await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
}
