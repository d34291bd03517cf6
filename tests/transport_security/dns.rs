//! The resolver against a real DNS server, signatures and all; and mail that is
//! sent by what it says.

use std::time::{Duration, Instant};

use axigen_core::dns::system::Options;
use axigen_core::dns::{Error, Mx, Resolver, SystemResolver};
use axigen_core::settings::{DnsSettings, Settings, Span, TlsPolicy};
use axigen_core::store::Store;
use tokio::net::UdpSocket;

use crate::certificates::Authority;
use crate::dane::tlsa_of;
use crate::host::{Host, Offers};
use crate::name_server::NameServer;
use crate::world::{Sender, noon, until};

fn options(server: &NameServer) -> Options {
    Options {
        servers: vec![server.address],
        trust_anchors: server.anchors.clone(),
        timeout: Duration::from_secs(2),
        ..Options::default()
    }
}

const SIGNED: &str = "
@          60 MX   10 mx.signed.
mx         60 A    127.0.0.1
text       60 TXT  \"v=STSv1; \" \"id=1;\"
alias      60 CNAME mx.signed.
out        60 CNAME mx.plain.
forged     60 A    192.0.2.1
_25._tcp.mx 60 TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
";
const PLAIN: &str = "
@   60 MX 10 mx.plain.
mx  60 A  127.0.0.1
";
const BOGUS: &str = "
@   60 MX 10 mx.bogus.
mx  60 A  127.0.0.1
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_a_real_server() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than what UDP takes: it comes by TCP.
    let long = "x".repeat(200);
    let many: String = (0..40)
        .map(|at| format!("many 60 TXT \"{at} {long}\"\n"))
        .collect();
    let signed = format!("{SIGNED}{many}");
    let server =
        NameServer::start(dir.path(), &signed, BOGUS, PLAIN, "forged 60 A 192.0.2.66").await;
    let resolver = SystemResolver::new(&options(&server)).unwrap();

    let mx = resolver.mx("signed").await.unwrap();
    let host = |name: &str| Mx {
        preference: 10,
        host: name.into(),
    };
    assert_eq!(
        (mx.records, mx.secure, mx.exists),
        (vec![host("mx.signed")], true, true)
    );
    let text = resolver.texts("text.signed").await.unwrap();
    assert_eq!(
        (text.records, text.secure),
        (vec![b"v=STSv1; id=1;".to_vec()], true)
    );
    let many = resolver.texts("many.signed").await.unwrap();
    assert_eq!((many.records.len(), many.secure), (40, true));
    let tlsa = resolver.tlsa("_25._tcp.mx.signed").await.unwrap();
    assert!(tlsa.secure && tlsa.records[0].usage == 3 && tlsa.records[0].data.len() == 32);
    // An alias inside what is signed, and one that leads out of it.
    let alias = resolver.addresses("alias.signed").await.unwrap();
    assert_eq!((alias.name.as_str(), alias.secure), ("mx.signed", true));
    let out = resolver.addresses("out.signed").await.unwrap();
    assert_eq!((out.name.as_str(), out.secure), ("mx.plain", false));

    // That there is nothing is proved, too.
    let nothing = resolver.tlsa("mx.signed").await.unwrap();
    assert_eq!(
        (nothing.records.len(), nothing.exists, nothing.secure),
        (0, true, true)
    );
    let nowhere = resolver.mx("nowhere.signed").await.unwrap();
    assert_eq!(
        (nowhere.records.len(), nowhere.exists, nowhere.secure),
        (0, false, true)
    );

    // Without signatures nothing is proved.
    let plain = resolver.mx("plain").await.unwrap();
    assert_eq!(
        (plain.records, plain.secure),
        (vec![host("mx.plain")], false)
    );
    let plain = resolver.tlsa("_25._tcp.mx.plain").await.unwrap();
    assert_eq!((plain.records.len(), plain.secure), (0, false));
    let plain = resolver.mx("nowhere.plain").await.unwrap();
    assert!(!plain.exists && !plain.secure);

    // Signatures by a key that nobody vouches for, and records that were changed.
    for name in ["bogus", "forged.signed"] {
        let wrong = match name {
            "bogus" => resolver.mx(name).await.map(|_| ()),
            _ => resolver.addresses(name).await.map(|_| ()),
        };
        assert_eq!(wrong, Err(Error::Bogus(name.into())));
    }
    // Who does not look at signatures takes what there is, as unproved.
    let believing = SystemResolver::new(&Options {
        validate: false,
        ..options(&server)
    });
    let bogus = believing.unwrap().mx("bogus").await.unwrap();
    assert_eq!((bogus.records.len(), bogus.secure), (1, false));
    // Nor does anybody vouch for a root with another key.
    let other = dir.path().join("other");
    let anchors = std::fs::read_to_string(&server.anchors).unwrap();
    let (before, key) = anchors.trim_end().rsplit_once(' ').unwrap();
    let mut key = key.to_owned().into_bytes();
    key[0] = if key[0] == b'A' { b'B' } else { b'A' };
    let key = String::from_utf8(key).unwrap();
    std::fs::write(&other, format!("{before} {key}\n")).unwrap();
    let distrusting = SystemResolver::new(&Options {
        trust_anchors: other,
        ..options(&server)
    });
    let wrong = distrusting.unwrap().mx("signed").await;
    assert_eq!(wrong, Err(Error::Bogus("signed".into())));
}

/// A server that says nothing costs no more than it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = SystemResolver::new(&Options {
        servers: vec![silent.local_addr().unwrap()],
        timeout: Duration::from_millis(200),
        attempts: 2,
        ..Options::default()
    });
    let start = Instant::now();
    let silence = resolver.unwrap().mx("signed").await;
    assert!(matches!(silence, Err(Error::Unanswered(..))), "{silence:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Mail by DANE, with everything from the settings file's `[dns]`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_by_what_a_real_server_says() {
    let authority = Authority::new();
    let identity = authority.signs(&["mx.signed"]);
    let host = Host::start(Offers {
        tls: Some(identity.server.clone()),
        ..Offers::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let of_host = |name: &str| tlsa_of(3, 1, &identity.der).replace("mx.there.test", name);
    let signed = format!(
        "@ 60 MX 10 mx.signed.\nmx 60 A 127.0.0.1\n_25._tcp.mx.signed. 60 {}\n",
        of_host("mx.signed")
            .split_once(" TLSA")
            .map(|(_, data)| format!("TLSA{data}"))
            .unwrap()
    );
    let server = NameServer::start(dir.path(), &signed, BOGUS, PLAIN, "").await;
    let mut settings = Settings {
        hostname: "mail.here.test".into(),
        dns: DnsSettings {
            servers: vec![server.address],
            trust_anchors: server.anchors.clone(),
            ..DnsSettings::default()
        },
        ..Settings::default()
    };
    settings.smtp_out.enable = true;
    settings.smtp_out.mx_port = host.address.port();
    settings.smtp_out.authorities = authority.file();
    settings.smtp_out.tls = TlsPolicy::Dane;
    assert_eq!(settings.problems(), []);
    let clock = noon();
    let store = Store::memory().await.unwrap();
    let sender = Sender::start(store, settings, &clock, |builder| builder).await;
    sender.send("bob@signed").await;
    until(async || sender.empty().await).await;
    assert!(host.arrived()[0].tls);
    // No signatures, no records; and signatures that are wrong.
    sender.send("bob@plain").await;
    let said = sender.waits().await;
    assert!(said.contains("DNS proves no TLSA record"), "{said}");
    sender.send("bob@bogus").await;
    until(async || sender.attempts().await == 2).await;
    assert_eq!(host.arrived().len(), 1);
    sender.engine.shutdown().await.unwrap();
}

/// Another DNS server from now on: mail that waited for the first is sent by what
/// it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_change_while_mail_waits() {
    let authority = Authority::new();
    let host = Host::start(Offers::default()).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = NameServer::start(dir.path(), SIGNED, BOGUS, PLAIN, "").await;
    let mut settings = Settings {
        hostname: "mail.here.test".into(),
        dns: DnsSettings {
            servers: vec![silent.local_addr().unwrap()],
            trust_anchors: server.anchors.clone(),
            timeout: Span(Duration::from_millis(200)),
            attempts: 1,
            ..DnsSettings::default()
        },
        ..Settings::default()
    };
    settings.smtp_out.enable = true;
    settings.smtp_out.mx_port = host.address.port();
    settings.smtp_out.authorities = authority.file();
    let clock = noon();
    let store = Store::memory().await.unwrap();
    let sender = Sender::start(store, settings.clone(), &clock, |builder| builder).await;
    sender.send("bob@plain").await;
    let said = sender.waits().await;
    assert!(said.contains("DNS does not answer"), "{said}");
    settings.dns.servers = vec![server.address];
    sender.engine.apply(settings).await.unwrap();
    clock.advance(Duration::from_secs(600));
    until(async || sender.empty().await).await;
    assert_eq!(host.arrived().len(), 1);
    sender.engine.shutdown().await.unwrap();
}
