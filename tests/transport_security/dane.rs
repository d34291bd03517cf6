//! TLSA records, with and without DNSSEC.

use axigen_core::dns::ZoneResolver;
use axigen_core::settings::TlsPolicy;
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::world::{Setup, noon, until};

/// `usage 1 1` of a certificate's key, or `usage 0 1` of itself.
pub(crate) fn tlsa_of(usage: u8, selector: u8, of: &CertificateDer<'_>) -> String {
    let selected = match selector {
        0 => of.to_vec(),
        _ => ParsedCertificate::try_from(of)
            .unwrap()
            .subject_public_key_info()
            .to_vec(),
    };
    let digest = Sha256::digest(selected);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("_25._tcp.mx.there.test. TLSA {usage} {selector} 1 {hex}\n")
}

const ZONE: &str = "
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.1
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_decide() {
    let authority = Authority::new();
    let good = authority.signs(&["mx.there.test"]);
    let unnamed = authority.signs(&["elsewhere.test"]);
    let expired = authority.signs_expired(&["elsewhere.test"]);
    let foreign = Authority::new().signs(&["mx.there.test"]);
    let zone = |records: &str| ZoneResolver::parse(&format!("{ZONE}{records}")).unwrap();
    let ee = tlsa_of(3, 1, &good.der);
    let ta = tlsa_of(2, 0, &authority.der);
    let both = format!("{}{ee}", tlsa_of(3, 0, &foreign.der));
    let old = tlsa_of(3, 1, &expired.der);
    let pkix = tlsa_of(1, 1, &foreign.der);
    let host_signed = |records: &str| zone(records).signed();
    let tls = |identity: &crate::certificates::Identity| Some(identity.server.clone());
    let wrong = "; TLS with a certificate that DNS names is what DANE asks for";
    for (what, zone, certificate, becomes) in [
        ("usage 3", host_signed(&ee), tls(&good), Ok(true)),
        (
            "usage 3 of another",
            host_signed(&ee),
            tls(&foreign),
            Err(wrong),
        ),
        ("one of two", host_signed(&both), tls(&good), Ok(true)),
        (
            "usage 3, neither name nor date count",
            host_signed(&old),
            tls(&expired),
            Ok(true),
        ),
        ("usage 2", host_signed(&ta), tls(&good), Ok(true)),
        (
            "usage 2 with another name",
            host_signed(&ta),
            tls(&unnamed),
            Err("not valid for name"),
        ),
        (
            "usage 2 of another",
            host_signed(&ta),
            tls(&foreign),
            Err(wrong),
        ),
        (
            "no downgrade",
            host_signed(&ee),
            None,
            Err("4.7.4 the server does not offer STARTTLS"),
        ),
        // RFC 7672 §3.1.3: usages 0 and 1 cannot be used, but say that there is TLS.
        ("usage 1", host_signed(&pkix), tls(&good), Ok(true)),
        (
            "usage 1 without TLS",
            host_signed(&pkix),
            None,
            Err("4.7.4"),
        ),
        ("not signed", zone(&ee), tls(&foreign), Ok(true)),
        ("not signed, no TLS", zone(&ee), None, Ok(false)),
        // The domain's zone is signed, the host's is not.
        (
            "host not signed",
            ZoneResolver::parse(&format!(
                "there.test. MX 10 mx.out.test.\nmx.out.test. A 127.0.0.1\n{}",
                ee.replace("mx.there", "mx.out")
            ))
            .unwrap()
            .signed_below("there.test"),
            None,
            Ok(false),
        ),
        (
            "bogus records",
            host_signed(&ee).bogus("_25._tcp.mx.there.test"),
            tls(&good),
            Err("not what was signed (DNSSEC)"),
        ),
        (
            "no answer about records",
            host_signed(&ee).silent("_25._tcp.mx.there.test"),
            tls(&good),
            Err("4.7.5 its TLSA records are not known"),
        ),
        (
            "bogus hosts",
            host_signed(&ee).bogus("there.test"),
            tls(&good),
            Err("4.4.1 what DNS says of there.test is not what was signed"),
        ),
    ] {
        let clock = noon();
        let host = Host::start(Offers {
            tls: certificate,
            ..Offers::default()
        })
        .await;
        let setup = Setup {
            zone,
            authority: &authority,
            host: &host,
            web: None,
            clock: &clock,
        };
        let sender = setup.sender(|_| ()).await;
        sender.send("bob@there.test").await;
        match becomes {
            Ok(tls) => {
                until(async || sender.empty().await).await;
                let arrived = host.arrived();
                assert_eq!((arrived.len(), arrived[0].tls), (1, tls), "{what}");
            }
            Err(says) => {
                let said = sender.waits().await;
                assert!(said.contains(says), "{what}: {said:?}");
                assert!(host.arrived().is_empty(), "{what}");
            }
        }
        sender.engine.shutdown().await.unwrap();
    }
}

/// An alias of a host: the records of the name it ends at count, then its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_aliases() {
    let authority = Authority::new();
    let good = authority.signs(&["real.there.test"]);
    let other = Authority::new().signs(&["real.there.test"]);
    let of = |name: &str, certificate| tlsa_of(3, 1, certificate).replace("mx.there.test", name);
    for (records, arrives) in [
        (of("real.there.test", &good.der), true),
        (of("mx.there.test", &good.der), true),
        (of("real.there.test", &other.der), false),
        (of("mx.there.test", &other.der), false),
    ] {
        let clock = noon();
        let host = Host::start(Offers {
            tls: Some(good.server.clone()),
            ..Offers::default()
        })
        .await;
        let zone = format!(
            "there.test. MX 10 mx.there.test.\nmx.there.test. CNAME real.there.test.\n\
             real.there.test. A 127.0.0.1\n{records}"
        );
        let setup = Setup {
            zone: ZoneResolver::parse(&zone).unwrap().signed(),
            authority: &authority,
            host: &host,
            web: None,
            clock: &clock,
        };
        // With the policy dane nothing is sent without.
        let sender = setup
            .sender(|settings| settings.tls = TlsPolicy::Dane)
            .await;
        sender.send("bob@there.test").await;
        match arrives {
            true => until(async || sender.empty().await).await,
            false => {
                let said = sender.waits().await;
                assert!(said.starts_with("4.7.5"), "{said}");
            }
        }
        assert_eq!(!host.arrived().is_empty(), arrives, "{records}");
        sender.engine.shutdown().await.unwrap();
    }
}
