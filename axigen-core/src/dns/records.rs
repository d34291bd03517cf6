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
use crate::settings::Settings;

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
/// SPF, MTA-STS, reports about TLS, TLSA. `more` are addresses of the server
/// that its settings do not name. What cannot be known stands there as a comment.
///
/// # Errors
/// [`Problem`].
pub fn of_domain(settings: &Settings, domain: &str, more: &[IpAddr]) -> Result<String, Problem> {
    let domain = to_ascii(domain)?;
    let host = to_ascii(&settings.hostname)?;
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("; Records of {domain}, for mail at {host}."));
    line(&format!("{domain}. MX 10 {host}."));
    let addresses = addresses(settings, more);
    for ip in &addresses {
        line(&format!("{host}. {} {ip}", kind(ip)));
    }
    if addresses.is_empty() {
        line(&format!(
            "; {host}. A or AAAA: its addresses, which the settings do not name (--address)"
        ));
    }
    line("");
    line("; Who sends mail in the name of the domain, and of the host itself (SPF, RFC 7208).");
    line(&text(
        &domain,
        &format!("v=spf1 mx{} -all", senders(settings)),
    ));
    if host != domain {
        line(&text(&host, &format!("v=spf1 a{} -all", senders(settings))));
    }
    line("");
    let policy = format!("version: STSv1\nmode: testing\nmx: {host}\nmax_age: 604800\n");
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
    let Some(shown) = tls::shown(&settings.tls, &host)? else {
        line("; TLSA: there is no certificate (tls.certificate)");
        return Ok(out);
    };
    let Ok(certificate) = ParsedCertificate::try_from(&shown) else {
        line("; TLSA: the certificate cannot be read");
        return Ok(out);
    };
    let named = ServerName::try_from(host.as_str())
        .is_ok_and(|name| verify_server_name(&certificate, &name).is_ok());
    if !named {
        line(&format!(
            "; The certificate is not for {host}: MTA-STS cannot be kept with it."
        ));
    }
    let key = certificate.subject_public_key_info();
    line(&format!(
        "_25._tcp.{host}. TLSA 3 1 1 {}",
        hex(&Sha256::digest(&key))
    ));
    Ok(out)
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
    use crate::settings::{ListenerSettings, TlsMode};

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
        let text = of_domain(&settings, "Bücher.test", &more).unwrap();
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
        let text = of_domain(&settings, "other.test", &[]).unwrap();
        assert!(
            text.contains("; The certificate is not for other.test"),
            "{text}"
        );
        assert!(of_domain(&settings, "a b", &[]).is_err());
        settings.tls.certificate = "/nonexistent".into();
        assert!(of_domain(&settings, "other.test", &[]).is_err());
    }
}
