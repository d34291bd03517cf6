//! MTA-STS: policies are found, fetched, kept and kept to.

use std::time::Duration;

use axigen_core::dns::ZoneResolver;
use axigen_core::store::Store;

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::web::{Page, Web};
use crate::world::{Sender, Setup, noon, until};

const ZONE: &str = "
there.test.          MX 10 mx.there.test.
mx.there.test.       A 127.0.0.1
_mta-sts.there.test. TXT \"v=STSv1; id=1;\"
mta-sts.there.test.  A 127.0.0.1
";

pub(crate) fn policy(mode: &str, mx: &str, max_age: u32) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {max_age}\r\n")
}

pub(crate) async fn web(authority: &Authority, body: String) -> Web {
    Web::start(Page {
        status: "200 OK",
        media_type: "text/plain; charset=us-ascii",
        body,
        tls: authority.signs(&["mta-sts.there.test"]).server,
    })
    .await
}

async fn host(authority: &Authority, names: Option<&[&str]>) -> Host {
    Host::start(Offers {
        tls: names.map(|names| authority.signs(names).server),
        ..Offers::default()
    })
    .await
}

/// A message arrived, under TLS or not; or what is said of it while it waits.
async fn becomes(sender: &Sender, host: &Host, what: &str, becomes: Result<bool, &str>) {
    sender.send("bob@there.test").await;
    match becomes {
        Ok(tls) => {
            until(async || sender.empty().await).await;
            assert_eq!(
                host.arrived().last().map(|one| one.tls),
                Some(tls),
                "{what}"
            );
        }
        Err(says) => {
            let said = sender.waits().await;
            assert!(said.contains(says), "{what}: {said:?}");
            assert!(host.arrived().is_empty(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_decide() {
    let authority = Authority::new();
    const GOOD: &[&str] = &["mx.there.test"];
    const OTHER: &[&str] = &["mx.elsewhere.test"];
    let wrong = "; TLS with a certificate for its name is what MTA-STS (enforce) asks for";
    for (what, mode, mx, names, expected) in [
        ("good", "enforce", "mx.there.test", Some(GOOD), Ok(true)),
        (
            "good by pattern",
            "enforce",
            "*.there.test",
            Some(GOOD),
            Ok(true),
        ),
        (
            "another name",
            "enforce",
            "mx.there.test",
            Some(OTHER),
            Err(wrong),
        ),
        ("no TLS", "enforce", "mx.there.test", None, Err(wrong)),
        (
            "not named",
            "enforce",
            "*.mx.there.test",
            Some(GOOD),
            Err("does not name mx.there.test"),
        ),
        ("testing", "testing", "mx.there.test", Some(OTHER), Ok(true)),
        (
            "testing, no TLS",
            "testing",
            "mx.there.test",
            None,
            Ok(false),
        ),
        (
            "testing, not named",
            "testing",
            "mx.elsewhere.test",
            None,
            Ok(false),
        ),
        ("none", "none", "mx.elsewhere.test", None, Ok(false)),
    ] {
        let clock = noon();
        let host = host(&authority, names).await;
        let web = web(&authority, policy(mode, mx, 86_400)).await;
        let setup = Setup {
            zone: ZoneResolver::parse(ZONE).unwrap(),
            authority: &authority,
            host: &host,
            web: Some(&web),
            clock: &clock,
        };
        let sender = setup.sender(|_| ()).await;
        becomes(&sender, &host, what, expected).await;
        let [request] = web.requests().try_into().unwrap();
        let request = String::from_utf8(request).unwrap();
        assert!(
            request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request
                .to_lowercase()
                .contains("\r\nhost: mta-sts.there.test\r\n"),
            "{request}"
        );
        sender.engine.shutdown().await.unwrap();
    }
}

/// What is wrong with a policy's page.
type Change = fn(&mut Page);

/// What is no policy is none: mail goes as to a domain without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_policy_is_none() {
    let authority = Authority::new();
    let enforce = policy("enforce", "mx.elsewhere.test", 86_400);
    let cases: [(&str, Change); 6] = [
        ("redirection", |page| page.status = "301 Moved"),
        ("error", |page| page.status = "404 Not Found"),
        ("type", |page| page.media_type = "text/html"),
        ("length", |page| {
            page.body.push_str(&"x: y\r\n".repeat(11_000))
        }),
        ("grammar", |page| page.body = "hello".into()),
        ("certificate", |page| {
            page.tls = Authority::new().signs(&["mta-sts.there.test"]).server;
        }),
    ];
    for (what, change) in cases {
        let clock = noon();
        let host = host(&authority, None).await;
        let web = web(&authority, enforce.clone()).await;
        web.shows(change);
        let setup = Setup {
            zone: ZoneResolver::parse(ZONE).unwrap(),
            authority: &authority,
            host: &host,
            web: Some(&web),
            clock: &clock,
        };
        let sender = setup.sender(|_| ()).await;
        becomes(&sender, &host, what, Ok(false)).await;
        // It is not asked for again at once.
        let asked = web.requests().len();
        becomes(&sender, &host, what, Ok(false)).await;
        assert_eq!(web.requests().len(), asked, "{what}");
        sender.engine.shutdown().await.unwrap();
    }
}

/// A policy that was fetched holds after a restart, with its host down and its
/// record gone, until it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_kept() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let clock = noon();
    let host = host(&authority, None).await;
    let web = web(&authority, policy("enforce", "mx.there.test", 3 * 86_400)).await;
    let open = async || Store::open(dir.path()).await.unwrap();
    let mut setup = Setup {
        zone: ZoneResolver::parse(ZONE).unwrap(),
        authority: &authority,
        host: &host,
        web: Some(&web),
        clock: &clock,
    };
    let says = Err("4.7.4 the server does not offer STARTTLS");
    let sender = setup.sender_over(open().await, |_| ()).await;
    becomes(&sender, &host, "fetched", says).await;
    sender.engine.shutdown().await.unwrap();
    drop(sender);

    // No record, no web server.
    let bare = ZONE.lines().filter(|line| !line.contains("mta-sts"));
    setup.zone = ZoneResolver::parse(&bare.collect::<Vec<_>>().join("\n")).unwrap();
    setup.web = None;
    let sender = setup.sender_over(open().await, |_| ()).await;
    clock.advance(Duration::from_secs(86_400));
    until(async || sender.attempts().await >= 2).await;
    let said = sender.waits().await;
    assert!(said.starts_with("4.7.4"), "{said}");
    assert!(host.arrived().is_empty());
    // Three days later it has ended.
    clock.advance(Duration::from_secs(2 * 86_400 + 60));
    until(async || sender.empty().await).await;
    assert!(!host.arrived()[0].tls);
    assert_eq!(web.requests().len(), 1);
    sender.engine.shutdown().await.unwrap();
}

/// A policy is fetched again every day, and at once when its id changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_refreshed() {
    let authority = Authority::new();
    let clock = noon();
    let host = host(&authority, Some(&["mx.there.test"])).await;
    let web = web(&authority, policy("enforce", "mx.there.test", 7 * 86_400)).await;
    let mut setup = Setup {
        zone: ZoneResolver::parse(ZONE).unwrap(),
        authority: &authority,
        host: &host,
        web: Some(&web),
        clock: &clock,
    };
    let store = Store::memory().await.unwrap();
    let sender = setup.sender_over(store.clone(), |_| ()).await;
    becomes(&sender, &host, "first", Ok(true)).await;
    becomes(&sender, &host, "kept", Ok(true)).await;
    assert_eq!(web.requests().len(), 1);
    clock.advance(Duration::from_secs(86_400 + 3601));
    until(async || web.requests().len() == 2).await;
    // The id is another one: what it says now counts now.
    web.shows(|page| page.body = policy("enforce", "mx2.there.test", 86_400));
    setup.zone = ZoneResolver::parse(&ZONE.replace("id=1", "id=2")).unwrap();
    sender.engine.stop("smtp_out").await.unwrap();
    let sender = setup.sender_over(store, |_| ()).await;
    sender.send("bob@there.test").await;
    let said = sender.waits().await;
    assert!(said.contains("does not name mx.there.test"), "{said}");
    sender.engine.shutdown().await.unwrap();
}

/// RFC 8461 §2: where there are TLSA records they decide, whatever the policy says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dane_comes_first() {
    let authority = Authority::new();
    let clock = noon();
    let host = host(&authority, Some(&["mx.there.test"])).await;
    let web = web(&authority, policy("enforce", "mx.there.test", 86_400)).await;
    let zero = "00".repeat(32);
    let zone = format!("{ZONE}_25._tcp.mx.there.test. TLSA 3 1 1 {zero}\n");
    let setup = Setup {
        zone: ZoneResolver::parse(&zone).unwrap().signed(),
        authority: &authority,
        host: &host,
        web: Some(&web),
        clock: &clock,
    };
    let sender = setup.sender(|_| ()).await;
    becomes(&sender, &host, "dane", Err("is what DANE asks for")).await;
    sender.engine.shutdown().await.unwrap();
}
