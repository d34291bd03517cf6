//! What a domain should publish so that its mail comes here and is trusted
//! elsewhere, as lines of a zone file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};

use super::{Error, to_ascii};
use crate::net::tls;
use crate::settings::{CertificateSettings, Settings, TlsMode};

/// Why there are no records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The domain or the server has no name that DNS could know.
    #[error(transparent)]
    Name(#[from] Error),
    /// The certificate that settings name cannot be read.
    #[error(transparent)]
    Certificate(#[from] tls::Error),
}

/// The records of a domain whose mail this server takes and sends: MX, addresses,
/// SPF, MTA-STS, reports about TLS, TLSA. `hosts` are the names under which the
/// server takes the domain's mail, the preferred first; without any its own name.
/// `more` are addresses of the server that its settings do not name. What cannot be
/// known stands there as a comment.
///
/// # Errors
/// [`Problem`].
pub fn of_domain(
    settings: &Settings,
    domain: &str,
    hosts: &[String],
    more: &[IpAddr],
) -> Result<String, Problem> {
    let domain = to_ascii(domain)?;
    let own = to_ascii(&settings.hostname)?;
    let mut named = Vec::new();
    for host in hosts {
        let host = to_ascii(host)?;
        if !named.contains(&host) {
            named.push(host);
        }
    }
    if named.is_empty() {
        named.push(own.clone());
    }
    let hosts = named;
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!(
        "; Records of {domain}, for mail at {}.",
        hosts.join(" and ")
    ));
    for (at, host) in hosts.iter().enumerate() {
        line(&format!("{domain}. MX {} {host}.", (at + 1) * 10));
    }
    let addresses = addresses(settings, more);
    for host in &hosts {
        for ip in &addresses {
            line(&format!("{host}. {} {ip}", kind(ip)));
        }
        if addresses.is_empty() {
            line(&format!(
                "; {host}. A or AAAA: its addresses, which the settings do not name (--address)"
            ));
        }
    }
    line("");
    line("; Who sends mail in the name of the domain, and of the host itself (SPF, RFC 7208).");
    line(&text(
        &domain,
        &format!("v=spf1 mx{} -all", senders(settings)),
    ));
    // The name that the server introduces itself with.
    if own != domain {
        line(&text(&own, &format!("v=spf1 a{} -all", senders(settings))));
    }
    line("");
    let allowed: String = hosts.iter().map(|host| format!("mx: {host}\n")).collect();
    let policy = format!("version: STSv1\nmode: testing\n{allowed}max_age: 604800\n");
    line("; Who sends mail here verifies the certificate (MTA-STS, RFC 8461). A web server shows");
    line(&format!(
        "; this as https://mta-sts.{domain}/.well-known/mta-sts.txt, of type text/plain:"
    ));
    for of_policy in policy.lines() {
        line(&format!(";   {of_policy}"));
    }
    line("; With mode enforce instead of testing mail goes nowhere else. A changed policy gets");
    line("; another id.");
    line(&text(
        &format!("_mta-sts.{domain}"),
        &format!("v=STSv1; id={};", hex(&Sha256::digest(&policy)[..8])),
    ));
    line("");
    line("; Where others report how TLS fared (RFC 8460); smtp_out.tls_reports.receive reads it.");
    let reports = match settings.smtp_out.tls_reports.receive.as_str() {
        "" => format!("postmaster@{domain}"),
        receive => receive.to_owned(),
    };
    line(&text(
        &format!("_smtp._tls.{domain}"),
        &format!("v=TLSRPTv1; rua=mailto:{}", encoded(&reports)),
    ));
    line("");
    line("; The key of the certificate (DANE, RFC 7672); for zones with DNSSEC only. Another key");
    line("; needs another record, a day before it is used.");
    for host in &hosts {
        keys_of(settings, host, &mut line)?;
    }
    Ok(out)
}

/// The keys of the certificates that whoever asks for a host is shown, by any of
/// the listeners that take mail from other servers.
fn keys_of(settings: &Settings, host: &str, line: &mut impl FnMut(&str)) -> Result<(), Problem> {
    let listeners = settings.smtp_in.common.listeners.iter();
    let secured = listeners.filter(|of| of.tls != TlsMode::None);
    let mut lists: Vec<&[CertificateSettings]> =
        secured.map(|of| of.certificates.as_slice()).collect();
    if lists.is_empty() {
        lists.push(&[]);
    }
    let mut keys = BTreeSet::new();
    for own in lists {
        let Some(shown) = tls::shown(own, &settings.tls, host)? else {
            line(&format!(
                "; TLSA: there is no certificate for {host} (tls.certificate)"
            ));
            continue;
        };
        let Ok(certificate) = ParsedCertificate::try_from(&shown) else {
            line(&format!("; TLSA: the certificate of {host} cannot be read"));
            continue;
        };
        let key = hex(&Sha256::digest(certificate.subject_public_key_info()));
        let name = ServerName::try_from(host);
        if name.is_err() || name.is_ok_and(|name| verify_server_name(&certificate, &name).is_err())
        {
            line(&format!(
                "; The certificate is not for {host}: MTA-STS cannot be kept with it."
            ));
        }
        // Listeners may show the same.
        if keys.insert(key.clone()) {
            line(&format!("_25._tcp.{host}. TLSA 3 1 1 {key}"));
        }
    }
    Ok(())
}

/// Where the server is, as far as settings say.
fn addresses(settings: &Settings, more: &[IpAddr]) -> BTreeSet<IpAddr> {
    let listeners = &settings.smtp_in.common.listeners;
    let listeners = listeners
        .iter()
        .filter_map(|listener| listener.address.tcp());
    let listeners = listeners.map(|address| address.ip());
    let of_others = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    listeners
        .filter(of_others)
        .chain(more.iter().copied())
        .collect()
}

/// The addresses that mail is sent from, beside those that take it.
fn senders(settings: &Settings) -> String {
    let routes = settings.smtp_out.routes.iter();
    let sources = routes.flat_map(|route| &route.source);
    let sources: BTreeSet<&IpAddr> = sources.chain(&settings.smtp_out.source).collect();
    let mut out = String::new();
    for ip in sources {
        let version = if ip.is_ipv4() { 4 } else { 6 };
        let _ = write!(out, " ip{version}:{ip}");
    }
    out
}

fn kind(ip: &IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    }
}

fn text(name: &str, text: &str) -> String {
    format!(
        "{name}. TXT \"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    )
}

/// What ends an address of a record is encoded (RFC 8460 §3).
fn encoded(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'!' | b',' | b';' | b'%' | b'"' | b' ' | b'?' | b'\\' | 0x7f.. => {
                let _ = write!(out, "%{byte:02X}");
            }
            other => out.push(char::from(other)),
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axigen_proto::tls_rpt::{Place, places};

    use super::*;
    use crate::dns::{Resolver, ZoneResolver};
    use crate::settings::ListenerSettings;

    #[tokio::test]
    async fn records_are_a_zone() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["mail.example.test".to_owned()]).unwrap();
        let (file, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        std::fs::write(&file, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut settings = Settings {
            hostname: "mail.example.test".into(),
            ..Settings::default()
        };
        settings.tls.certificate = file;
        settings.tls.key = key;
        settings.smtp_out.source = vec!["2001:db8::9".parse().unwrap()];
        settings.smtp_out.tls_reports.receive = "\"a,b\"@example.test".into();
        let listener =
            |address: &str| ListenerSettings::new(address.parse().unwrap(), TlsMode::None);
        let listeners = ["192.0.2.1:25", "127.0.0.1:25", "[::]:25"].map(listener);
        settings.smtp_in.common.listeners = listeners.to_vec();
        let more = ["2001:db8::1".parse().unwrap()];
        let text = of_domain(&settings, "Bücher.test", &[], &more).unwrap();
        let zone = ZoneResolver::parse(&text).unwrap();
        let domain = "xn--bcher-kva.test";
        assert_eq!(
            zone.mx(domain).await.unwrap().records[0].host,
            "mail.example.test"
        );
        let addresses = zone.addresses("mail.example.test").await.unwrap().records;
        assert_eq!(addresses.len(), 2, "{text}");
        let texts = async |name: &str| {
            let answer = zone.texts(name).await.unwrap();
            let [text] = answer.records.try_into().unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(texts(domain).await, "v=spf1 mx ip6:2001:db8::9 -all");
        assert_eq!(
            texts("mail.example.test").await,
            "v=spf1 a ip6:2001:db8::9 -all"
        );
        let sts = texts(&format!("_mta-sts.{domain}")).await;
        axigen_proto::mta_sts::record_id(&[sts]).unwrap();
        let shown: String = text
            .lines()
            .filter_map(|line| line.strip_prefix(";   "))
            .map(|line| format!("{line}\n"))
            .collect();
        let policy = axigen_proto::mta_sts::Policy::parse(shown.as_bytes()).unwrap();
        assert!(policy.names("mail.example.test"));
        let reports = texts(&format!("_smtp._tls.{domain}")).await;
        let wanted = Place::Mail("\"a,b\"@example.test".into());
        assert_eq!(places(&[reports]), [wanted]);
        let tlsa = zone.tlsa("_25._tcp.mail.example.test").await.unwrap();
        assert_eq!((tlsa.records[0].usage, tlsa.records[0].selector), (3, 1));
        let dane = crate::transport::dane::Dane::new(&tlsa.records, &[]).unwrap();
        let provider = tls::provider();
        let now = rustls::pki_types::UnixTime::now();
        dane.verify(&provider, made.cert.der(), &[], now).unwrap();
        assert!(!text.contains("is not for"));

        settings.hostname = "other.test".into();
        let text = of_domain(&settings, "other.test", &[], &[]).unwrap();
        assert!(
            text.contains("; The certificate is not for other.test"),
            "{text}"
        );
        assert!(of_domain(&settings, "a b", &[], &[]).is_err());
        settings.tls.certificate = "/nonexistent".into();
        assert!(of_domain(&settings, "other.test", &[], &[]).is_err());
    }

    /// A certificate signed by itself, and its files.
    fn made(dir: &std::path::Path, name: &str) -> (Vec<u8>, CertificateSettings) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (certificate, key) = (
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        );
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let names = Vec::new();
        let files = CertificateSettings {
            certificate,
            key,
            names,
        };
        (made.cert.der().to_vec(), files)
    }

    /// Each host has the keys of the certificates that listeners show for it.
    #[tokio::test]
    async fn keys_by_name_and_by_listener() {
        let dir = tempfile::tempdir().unwrap();
        let [first, by_name, own, of_own] =
            ["mx.a.test", "mx.b.test", "mx.c.test", "mx.d.test"].map(|name| made(dir.path(), name));
        let mut settings = Settings {
            hostname: "mx.a.test".into(),
            ..Settings::default()
        };
        settings.tls.certificate = first.1.certificate.clone();
        settings.tls.key = first.1.key.clone();
        settings.tls.certificates = vec![by_name.1.clone()];
        let listener = |address: &str, tls| ListenerSettings::new(address.parse().unwrap(), tls);
        let mut other = listener("192.0.2.2:25", TlsMode::Starttls);
        other.certificates = vec![own.1.clone(), of_own.1.clone()];
        settings.smtp_in.common.listeners = vec![
            listener("192.0.2.1:25", TlsMode::Starttls),
            listener("192.0.2.3:25", TlsMode::Starttls),
            listener("192.0.2.4:25", TlsMode::None),
            other,
        ];
        let hosts = ["mx.b.test", "MX.d.test", "mx.b.test"].map(str::to_owned);
        let text = of_domain(&settings, "b.test", &hosts, &[]).unwrap();
        let zone = ZoneResolver::parse(&text).unwrap();
        let mx = zone.mx("b.test").await.unwrap().records;
        let mx: Vec<(u16, &str)> = mx.iter().map(|mx| (mx.preference, &*mx.host)).collect();
        assert_eq!(mx, [(10, "mx.b.test"), (20, "mx.d.test")]);
        let provider = tls::provider();
        let now = rustls::pki_types::UnixTime::now();
        for (host, shown, others) in [
            // What listeners without certificates of their own show, and the one with.
            ("mx.b.test", [&by_name, &own], [&first, &of_own]),
            ("mx.d.test", [&first, &of_own], [&by_name, &own]),
        ] {
            let records = zone
                .tlsa(&format!("_25._tcp.{host}"))
                .await
                .unwrap()
                .records;
            assert_eq!(records.len(), 2, "{text}");
            let dane = crate::transport::dane::Dane::new(&records, &[]).unwrap();
            let fits = |of: &(Vec<u8>, CertificateSettings)| {
                let der = of.0.clone().into();
                dane.verify(&provider, &der, &[], now).is_ok()
            };
            assert!(shown.iter().all(|of| fits(of)), "{host}: {text}");
            assert!(!others.iter().any(|of| fits(of)), "{host}: {text}");
        }
        assert!(
            text.contains("; The certificate is not for mx.b.test"),
            "{text}"
        );
        assert!(
            text.contains(";   mx: mx.b.test\n;   mx: mx.d.test\n"),
            "{text}"
        );
    }
}
