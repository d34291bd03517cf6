//! What the settings ask for: none, may, encrypt, verify; a relay with a login.

use axigen_core::dns::ZoneResolver;
use axigen_core::settings::{RouteSettings, TlsPolicy};

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::world::{Setup, noon, until};

const ZONE: &str = "
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.1
relay.test.      A 127.0.0.1
";

/// Policy, what the host shows, and what becomes of a message: sent under TLS,
/// sent without, or what is said of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_of_the_settings() {
    let authority = Authority::new();
    let good = authority.signs(&["mx.there.test"]).server;
    let other = authority.signs(&["mx.elsewhere.test"]).server;
    let old = authority.signs_expired(&["mx.there.test"]).server;
    let foreign = Authority::new().signs(&["mx.there.test"]).server;
    for (policy, certificate, becomes) in [
        (TlsPolicy::None, Some(&good), Ok(false)),
        (TlsPolicy::May, None, Ok(false)),
        (TlsPolicy::May, Some(&other), Ok(true)),
        (TlsPolicy::Encrypt, Some(&foreign), Ok(true)),
        (
            TlsPolicy::Encrypt,
            None,
            Err("4.7.4 the server does not offer STARTTLS; TLS is what the setting tls asks for"),
        ),
        (TlsPolicy::Verify, Some(&good), Ok(true)),
        (
            TlsPolicy::Verify,
            None,
            Err("4.7.4 the server does not offer STARTTLS"),
        ),
        (TlsPolicy::Verify, Some(&other), Err("not valid for name")),
        (TlsPolicy::Verify, Some(&old), Err("certificate expired")),
        (TlsPolicy::Verify, Some(&foreign), Err("UnknownIssuer")),
        (
            TlsPolicy::Dane,
            Some(&good),
            Err("4.7.5 the settings ask for DANE"),
        ),
    ] {
        let clock = noon();
        let host = Host::start(Offers {
            tls: certificate.cloned(),
            ..Offers::default()
        })
        .await;
        let setup = Setup {
            zone: ZoneResolver::parse(ZONE).unwrap(),
            authority: &authority,
            host: &host,
            web: None,
            clock: &clock,
        };
        let sender = setup.sender(|settings| settings.tls = policy).await;
        sender.send("bob@there.test").await;
        match becomes {
            Ok(tls) => {
                until(async || sender.empty().await).await;
                let arrived = host.arrived();
                assert_eq!((arrived.len(), arrived[0].tls), (1, tls), "{policy:?}");
            }
            Err(says) => {
                let said = sender.waits().await;
                assert!(said.contains(says), "{policy:?}: {said:?}");
                assert!(host.arrived().is_empty(), "{policy:?}");
            }
        }
        sender.engine.shutdown().await.unwrap();
    }
}

/// Mail that was not sent goes when the host is what it should be; a second
/// message is not even tried in the moments after the first was not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_when_the_host_is_mended() {
    let authority = Authority::new();
    let clock = noon();
    let host = Host::start(Offers::default()).await;
    let setup = Setup {
        zone: ZoneResolver::parse(ZONE).unwrap(),
        authority: &authority,
        host: &host,
        web: None,
        clock: &clock,
    };
    let for_there = RouteSettings {
        tls: Some(TlsPolicy::Verify),
        ..toml::from_str("domains = [\"there.test\"]").unwrap()
    };
    let sender = setup
        .sender(|settings| settings.routes = vec![for_there])
        .await;
    sender.send("bob@there.test").await;
    let said = sender.waits().await;
    assert!(said.starts_with("4.7.4"), "{said}");
    host.offers(Offers {
        tls: Some(authority.signs(&["mx.there.test"]).server),
        ..Offers::default()
    });
    sender.send("eve@there.test").await;
    until(async || sender.attempts().await == 2).await;
    assert!(host.arrived().is_empty());
    clock.advance(std::time::Duration::from_secs(6 * 60));
    until(async || sender.empty().await).await;
    assert!(host.arrived().iter().all(|arrived| arrived.tls));
    assert_eq!(host.arrived().len(), 2);
}

/// A relay host with a login: by STARTTLS and with TLS from the first byte, and
/// never a password to who is not the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_with_a_login() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "open sesame\n").unwrap();
    for (implicit, name, arrives) in [
        (false, "relay.test", true),
        (true, "relay.test", true),
        (false, "thief.test", false),
        (true, "thief.test", false),
    ] {
        let clock = noon();
        let host = Host::start(Offers {
            tls: Some(authority.signs(&[name]).server),
            implicit,
            words: &["AUTH PLAIN"],
        })
        .await;
        let setup = Setup {
            zone: ZoneResolver::parse(ZONE).unwrap(),
            authority: &authority,
            host: &host,
            web: None,
            clock: &clock,
        };
        let scheme = if implicit { "smtps" } else { "submission" };
        let port = host.address.port();
        let route: RouteSettings = toml::from_str(&format!(
            "domains = [\"*\"]\nto = \"{scheme}://relay.test:{port}\"\nuser = \"us\"\npassword_file = {password:?}"
        ))
        .unwrap();
        let sender = setup.sender(|settings| settings.routes = vec![route]).await;
        sender.send("bob@there.test").await;
        match arrives {
            true => {
                until(async || sender.empty().await).await;
                let arrived = host.arrived().remove(0);
                // \0us\0open sesame
                let login = "AUTH PLAIN AHVzAG9wZW4gc2VzYW1l";
                assert!(
                    arrived.tls && arrived.auth.as_deref() == Some(login),
                    "{arrived:?}"
                );
            }
            false => {
                let said = sender.waits().await;
                assert!(said.contains("not valid for name"), "{said}");
                assert!(host.arrived().is_empty());
            }
        }
        sender.engine.shutdown().await.unwrap();
    }
}
