//! Reports about TLS: sessions are counted, kept and reported.

use std::io::Read;
use std::time::Duration;

use axigen_core::dns::ZoneResolver;
use axigen_core::store::Store;
use flate2::read::GzDecoder;
use mail_parser::{MessageParser, MimeHeaders};
use serde_json::Value;

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::sts;
use crate::world::{Setup, noon, until};

fn gunzipped(bytes: &[u8]) -> Value {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_reported() {
    let authority = Authority::new();
    let clock = noon();
    let dir = tempfile::tempdir().unwrap();
    let host = Host::start(Offers {
        tls: Some(authority.signs(&["mx.elsewhere.test"]).server),
        ..Offers::default()
    })
    .await;
    let web = sts::web(&authority, sts::policy("testing", "mx.there.test", 864_000)).await;
    let port = web.address.port();
    // One domain with a policy, one that offers no TLS at all, one that wants no reports.
    let zone = format!(
        "there.test.             MX 10 mx.there.test.
         mx.there.test.          A 127.0.0.1
         _mta-sts.there.test.    TXT \"v=STSv1; id=1;\"
         mta-sts.there.test.     A 127.0.0.1
         _smtp._tls.there.test.  TXT \"v=TLSRPTv1; rua=mailto:ann@here.test,https://mta-sts.there.test:{port}/report\"
         plain.test.             MX 10 mx.there.test.
         _smtp._tls.plain.test.  TXT \"v=TLSRPTv1; rua=mailto:ann@here.test\"
         silent.test.            MX 10 mx.there.test.
        "
    );
    let zone: Vec<&str> = zone.lines().map(str::trim).collect();
    let setup = Setup {
        zone: ZoneResolver::parse(&zone.join("\n")).unwrap(),
        authority: &authority,
        host: &host,
        web: Some(&web),
        clock: &clock,
    };
    let with_reports = |settings: &mut axigen_core::settings::SmtpOutSettings| {
        settings.tls_reports.enable = true;
        settings.tls_reports.from = "reports@here.test".into();
        settings.tls_reports.receive = "ann@here.test".into();
        settings.idle_timeout = "0s".parse().unwrap();
    };
    let sender = setup
        .sender_over(Store::open(dir.path()).await.unwrap(), with_reports)
        .await;
    for to in ["bob@there.test", "bob@there.test", "bob@silent.test"] {
        sender.send(to).await;
        until(async || sender.empty().await).await;
    }
    host.offers(Offers {
        tls: Some(authority.signs(&["mx.there.test"]).server),
        ..Offers::default()
    });
    sender.send("bob@there.test").await;
    until(async || sender.empty().await).await;
    host.offers(Offers::default());
    sender.send("bob@plain.test").await;
    until(async || sender.empty().await).await;
    // What was counted outlives a restart.
    sender.engine.shutdown().await.unwrap();
    drop(sender);
    let sender = setup
        .sender_over(Store::open(dir.path()).await.unwrap(), with_reports)
        .await;
    assert!(sender.inbox().await.is_empty());
    clock.advance(Duration::from_secs(16 * 3600 + 600));
    until(async || sender.inbox().await.len() == 2).await;

    let mut reports = Vec::new();
    for text in sender.inbox().await {
        let message = MessageParser::new().parse(text.as_bytes()).unwrap();
        assert_eq!(
            message.from().unwrap().first().unwrap().address(),
            Some("reports@here.test")
        );
        let kind = message.content_type().unwrap();
        assert_eq!(
            (kind.ctype(), kind.subtype()),
            ("multipart", Some("report"))
        );
        assert_eq!(kind.attribute("report-type"), Some("tlsrpt"));
        let attached = message.attachments().next().unwrap();
        let of_report = attached.content_type().unwrap();
        assert_eq!(of_report.subtype(), Some("tlsrpt+gzip"));
        let report = gunzipped(attached.contents());
        let domain = report["policies"][0]["policy"]["policy-domain"]
            .as_str()
            .unwrap();
        let header = format!("\r\nTLS-Report-Domain: {domain}\r\n");
        assert!(
            text.contains(&header) && text.contains("\r\nTLS-Required: No\r\n"),
            "{text}"
        );
        let name = format!("mail.here.test!{domain}!1795824000!1795910399.json.gz");
        assert_eq!(attached.attachment_name(), Some(name.as_str()));
        reports.push(report);
    }
    reports.sort_by_key(|report| report["report-id"].to_string());
    let [plain, there] = reports.try_into().unwrap();
    for report in [&plain, &there] {
        assert_eq!(
            report["date-range"]["start-datetime"],
            "2026-11-28T00:00:00Z"
        );
        assert_eq!(report["date-range"]["end-datetime"], "2026-11-28T23:59:59Z");
        assert_eq!(report["contact-info"], "reports@here.test");
    }
    let policy = &there["policies"][0];
    assert_eq!(policy["policy"]["policy-type"], "sts");
    assert_eq!(policy["policy"]["policy-string"][1], "mode: testing");
    assert_eq!(policy["policy"]["mx-host"][0], "mx.there.test");
    assert_eq!(policy["summary"]["total-successful-session-count"], 1);
    assert_eq!(policy["summary"]["total-failure-session-count"], 2);
    let failures = &policy["failure-details"];
    assert_eq!(failures.as_array().unwrap().len(), 1, "{failures}");
    assert_eq!(failures[0]["result-type"], "certificate-host-mismatch");
    assert_eq!(failures[0]["failed-session-count"], 2);
    assert_eq!(failures[0]["receiving-mx-hostname"], "mx.there.test");
    assert_eq!(failures[0]["receiving-ip"], "127.0.0.1");
    assert_eq!(failures[0]["sending-mta-ip"], "127.0.0.1");
    let policy = &plain["policies"][0];
    assert_eq!(policy["policy"]["policy-type"], "no-policy-found");
    assert_eq!(
        policy["failure-details"][0]["result-type"],
        "starttls-not-supported"
    );

    // The same by HTTPS.
    let posted = || {
        let requests = web.requests().into_iter();
        let posts: Vec<_> = requests
            .filter(|request| request.starts_with(b"POST"))
            .collect();
        posts
    };
    until(async || posted().len() == 1).await;
    let posted_once = posted().remove(0);
    let end = posted_once
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let head = String::from_utf8_lossy(&posted_once[..end]).to_lowercase();
    assert!(head.starts_with("post /report http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\ncontent-type: application/tlsrpt+gzip\r\n"),
        "{head}"
    );
    assert_eq!(gunzipped(&posted_once[end..]), there);

    // Nothing is sent twice.
    clock.advance(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((sender.inbox().await.len(), posted().len()), (2, 1));
    sender.engine.shutdown().await.unwrap();
}
