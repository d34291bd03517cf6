//! REQUIRETLS and `TLS-Required: No` (RFC 8689).

use axigen_core::dns::ZoneResolver;
use axigen_core::settings::TlsPolicy;

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::world::{MAIL, Setup, noon, until};

const ZONE: &str = "
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.1
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_requires_tls() {
    let authority = Authority::new();
    let good = authority.signs(&["mx.there.test"]).server;
    let other = authority.signs(&["mx.elsewhere.test"]).server;
    let signed = ZoneResolver::parse(ZONE).unwrap().signed();
    let plain = ZoneResolver::parse(ZONE).unwrap();
    let offered: &[&str] = &["REQUIRETLS"];
    for (what, zone, tls, words, comes_back) in [
        ("good", &signed, Some(&good), offered, None),
        ("not offered", &signed, Some(&good), &[][..], Some("5.7.30")),
        ("no TLS", &signed, None, offered, Some("5.7.10")),
        (
            "another name",
            &signed,
            Some(&other),
            offered,
            Some("5.7.30"),
        ),
        (
            "who says that it is the host",
            &plain,
            Some(&good),
            offered,
            Some("5.7.30"),
        ),
    ] {
        let clock = noon();
        let host = Host::start(Offers {
            tls: tls.cloned(),
            words,
            ..Offers::default()
        })
        .await;
        let setup = Setup {
            zone: zone.clone(),
            authority: &authority,
            host: &host,
            web: None,
            clock: &clock,
        };
        let sender = setup.sender(|_| ()).await;
        sender.send_as("bob@there.test", MAIL, true).await;
        until(async || sender.empty().await).await;
        match comes_back {
            None => {
                let arrived = host.arrived().remove(0);
                assert!(
                    arrived.tls && arrived.mail.contains(" REQUIRETLS"),
                    "{arrived:?}"
                );
                assert!(
                    arrived.text.ends_with("\r\n\r\nhello\r\n.\r\n"),
                    "{arrived:?}"
                );
                assert!(sender.inbox().await.is_empty());
            }
            Some(status) => {
                assert!(host.arrived().is_empty(), "{what}");
                let notice = sender.inbox().await.remove(0);
                assert!(
                    notice.contains(&format!("Status: {status}\r\n")),
                    "{what}: {notice}"
                );
                // RFC 8689 §5: nothing of the content is returned.
                assert!(
                    notice.contains("Content-Type: text/rfc822-headers"),
                    "{notice}"
                );
                assert!(!notice.contains("\r\n\r\nhello"), "{notice}");
            }
        }
        // Others are sent all the same.
        sender.send("bob@there.test").await;
        until(async || sender.empty().await).await;
        assert_eq!(host.arrived().last().unwrap().tls, tls.is_some(), "{what}");
        sender.engine.shutdown().await.unwrap();
    }
}

/// A connection that is kept serves only what may go over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_is_no_way_around() {
    let authority = Authority::new();
    let clock = noon();
    let host = Host::start(Offers {
        tls: Some(authority.signs(&["mx.elsewhere.test"]).server),
        words: &["REQUIRETLS"],
        ..Offers::default()
    })
    .await;
    let setup = Setup {
        zone: ZoneResolver::parse(ZONE).unwrap().signed(),
        authority: &authority,
        host: &host,
        web: None,
        clock: &clock,
    };
    let sender = setup.sender(|settings| settings.lane_sessions = 1).await;
    sender.send("bob@there.test").await;
    sender.send_as("bob@there.test", MAIL, true).await;
    sender.send("bob@there.test").await;
    until(async || sender.empty().await).await;
    assert_eq!(host.arrived().len(), 2);
    assert!(
        host.arrived()
            .iter()
            .all(|one| !one.mail.contains("REQUIRETLS"))
    );
    assert_eq!(sender.inbox().await.len(), 1);
    sender.engine.shutdown().await.unwrap();
}

/// `TLS-Required: No` lets a message through where its domain's wishes cannot be
/// met; what the settings ask for stays, and REQUIRETLS is stronger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_does_not_require_tls() {
    let authority = Authority::new();
    let optional = format!("TLS-Required: No\r\n{MAIL}");
    let zero = "00".repeat(32);
    let zone = format!("{ZONE}_25._tcp.mx.there.test. TLSA 3 1 1 {zero}\n");
    for (policy, require_tls, arrives) in [
        (TlsPolicy::May, false, true),
        (TlsPolicy::Dane, false, false),
        (TlsPolicy::May, true, false),
    ] {
        let clock = noon();
        let host = Host::start(Offers {
            tls: Some(authority.signs(&["mx.there.test"]).server),
            words: &["REQUIRETLS"],
            ..Offers::default()
        })
        .await;
        let setup = Setup {
            zone: ZoneResolver::parse(&zone).unwrap().signed(),
            authority: &authority,
            host: &host,
            web: None,
            clock: &clock,
        };
        let sender = setup.sender(|settings| settings.tls = policy).await;
        sender.send("bob@there.test").await;
        let said = sender.waits().await;
        assert!(said.starts_with("4.7.5"), "{said}");
        sender
            .send_as("eve@there.test", &optional, require_tls)
            .await;
        match (arrives, require_tls) {
            (true, _) => until(async || host.arrived().len() == 1).await,
            (false, true) => until(async || sender.inbox().await.len() == 1).await,
            (false, false) => until(async || sender.attempts().await == 2).await,
        }
        assert_eq!(host.arrived().len(), usize::from(arrives));
        sender.engine.shutdown().await.unwrap();
    }
}
