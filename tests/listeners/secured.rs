//! TLS: certificates by name, versions, certificates of a listener's own.

use std::path::Path;
use std::sync::Arc;

use axigen_core::settings::{CertificateSettings, Settings, TlsMode, TlsVersion};
use axigen_tests::any_certificate::{any_certificate, any_certificate_with};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{Client, World, plain, world};

/// A certificate for names, signed by itself, and its files.
pub(crate) struct Made {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) files: CertificateSettings,
}

pub(crate) fn make(dir: &Path, file: &str, names: &[&str]) -> Made {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (
        dir.join(format!("{file}.pem")),
        dir.join(format!("{file}.key")),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Made {
        der: made.cert.der().clone(),
        files: CertificateSettings {
            certificate,
            key,
            names: Vec::new(),
        },
    }
}

/// IMAP with TLS from the first byte, and SMTP with STARTTLS.
fn secured(settings: &mut Settings, first: &Made) {
    settings.tls.certificate = first.files.certificate.clone();
    settings.tls.key = first.files.key.clone();
    for (common, tls) in [
        (&mut settings.imap.common, TlsMode::Implicit),
        (&mut settings.smtp_in.common, TlsMode::Starttls),
    ] {
        let mut listener = plain();
        listener.tls = tls;
        common.listeners = vec![listener];
    }
}

async fn handshake(
    tcp: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, tcp).await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The certificate that IMAP shows for a name; an address stands for no name.
async fn of_imap(world: &World, listener: usize, name: &str) -> CertificateDer<'static> {
    let address = world.engine.addresses("imap")[listener];
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = handshake(tcp, name, Arc::new(any_certificate()))
        .await
        .unwrap();
    let certificate = shown(&stream);
    assert!(Client::new(stream).line().await.starts_with("* OK"));
    certificate
}

async fn of_smtp(world: &World, name: &str) -> CertificateDer<'static> {
    let address = world.engine.addresses("smtp_in")[0];
    let mut tcp = TcpStream::connect(address).await.unwrap();
    {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut said = [0; 1024];
        let _ = tcp.read(&mut said).await.unwrap();
        tcp.write_all(b"EHLO x.example\r\n").await.unwrap();
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains("250 ") {
            let n = tcp.read(&mut said).await.unwrap();
            all.extend_from_slice(&said[..n]);
        }
        tcp.write_all(b"STARTTLS\r\n").await.unwrap();
        let n = tcp.read(&mut said).await.unwrap();
        assert!(said[..n].starts_with(b"220"));
    }
    shown(
        &handshake(tcp, name, Arc::new(any_certificate()))
            .await
            .unwrap(),
    )
}

#[tokio::test]
async fn certificates_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = make(dir.path(), "first", &["mail.example.org"]);
    let wild = make(dir.path(), "wild", &["*.example.net", "example.net"]);
    let mut given = make(dir.path(), "given", &["other.example"]);
    given.files.names = vec!["imap.example.net".into(), "*.example.com".into()];
    let own = make(dir.path(), "own", &["own.example.org"]);
    let more = make(dir.path(), "more", &["mail.example.org"]);
    let world = world(|settings| {
        secured(settings, &first);
        settings.tls.certificates = vec![wild.files.clone(), given.files.clone()];
        let mut listener = plain();
        listener.tls = TlsMode::Implicit;
        listener.certificates = vec![own.files.clone(), more.files.clone()];
        settings.imap.common.listeners.push(listener);
    })
    .await;
    for (name, certificate) in [
        ("mail.example.org", &first),
        ("nobody.example.org", &first),
        ("127.0.0.1", &first),
        ("a.example.net", &wild),
        ("EXAMPLE.net", &wild),
        ("a.b.example.net", &first),
        ("imap.example.net", &given),
        ("x.example.com", &given),
        ("other.example", &first),
    ] {
        assert_eq!(of_imap(&world, 0, name).await, certificate.der, "{name}");
        assert_eq!(of_smtp(&world, name).await, certificate.der, "{name}");
    }
    for (name, certificate) in [
        ("own.example.org", &own),
        ("a.example.net", &own),
        ("mail.example.org", &more),
    ] {
        assert_eq!(of_imap(&world, 1, name).await, certificate.der, "{name}");
    }
}

#[tokio::test]
async fn versions_for_all_and_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let first = make(dir.path(), "first", &["mail.example.org"]);
    for minimum in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let world = world(|settings| {
            secured(settings, &first);
            settings.tls.minimum = minimum;
            let of_all = settings.imap.common.listeners[0].clone();
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let mut listener = of_all.clone();
                listener.tls_minimum = Some(version);
                settings.imap.common.listeners.push(listener);
            }
        })
        .await;
        let old = minimum == TlsVersion::V1_2;
        for (listener, takes_old) in [(0, old), (1, true), (2, false)] {
            let address = world.engine.addresses("imap")[listener];
            for (versions, works) in [
                (&[&TLS12][..], takes_old),
                (&[&TLS13][..], true),
                (&[&TLS12, &TLS13][..], true),
            ] {
                let tcp = TcpStream::connect(address).await.unwrap();
                let stream = handshake(
                    tcp,
                    "mail.example.org",
                    Arc::new(any_certificate_with(versions)),
                )
                .await;
                let case = format!("{minimum:?} {listener} {}", versions.len());
                assert_eq!(stream.is_ok(), works, "{case}");
            }
        }
    }
}

/// The newest version is a policy as well: for all, for one listener, and changed
/// while it runs.
#[tokio::test]
async fn no_newer_than_this() {
    let dir = tempfile::tempdir().unwrap();
    let first = make(dir.path(), "first", &["mail.example.org"]);
    let world = world(|settings| {
        secured(settings, &first);
        settings.tls.maximum = TlsVersion::V1_2;
        let mut listener = settings.imap.common.listeners[0].clone();
        listener.tls_maximum = Some(TlsVersion::V1_3);
        settings.imap.common.listeners.push(listener.clone());
        listener.tls_minimum = Some(TlsVersion::V1_3);
        settings.imap.common.listeners.push(listener);
    })
    .await;
    // What the server takes of a client that speaks these.
    let taken = async |listener: usize, versions: &[&'static SupportedProtocolVersion]| {
        let address = world.engine.addresses("imap")[listener];
        let tcp = TcpStream::connect(address).await.unwrap();
        let client = Arc::new(any_certificate_with(versions));
        let stream = handshake(tcp, "mail.example.org", client).await.ok()?;
        stream.get_ref().1.protocol_version()
    };
    let (old, new) = (ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3);
    for (listener, of_old, of_new, of_both) in [
        (0, Some(old), None, Some(old)),
        (1, Some(old), Some(new), Some(new)),
        (2, None, Some(new), Some(new)),
    ] {
        assert_eq!(taken(listener, &[&TLS12]).await, of_old, "{listener}");
        assert_eq!(taken(listener, &[&TLS13]).await, of_new, "{listener}");
        let both = taken(listener, &[&TLS12, &TLS13]).await;
        assert_eq!(both, of_both, "{listener}");
    }
    world
        .change(|settings| settings.tls.maximum = TlsVersion::V1_3)
        .await
        .unwrap();
    assert_eq!(taken(0, &[&TLS12, &TLS13]).await, Some(new));
    let error = world
        .change(|settings| {
            settings.tls.maximum = TlsVersion::V1_2;
            settings.imap.common.listeners[2].tls_maximum = None;
        })
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(said.contains("imap.listeners.tls_minimum"), "{said}");
    assert_eq!(taken(0, &[&TLS12, &TLS13]).await, Some(new));
}

#[tokio::test]
async fn certificates_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = make(dir.path(), "first", &["mail.example.org"]);
    let world = world(|settings| secured(settings, &first)).await;
    assert_eq!(of_imap(&world, 0, "mail.example.org").await, first.der);
    let tcp = TcpStream::connect(world.engine.addresses("imap")[0])
        .await
        .unwrap();
    let open = handshake(tcp, "mail.example.org", Arc::new(any_certificate()))
        .await
        .unwrap();
    let mut open = Client::new(open);
    open.line().await;
    let renewed = make(dir.path(), "first", &["mail.example.org"]);
    assert_eq!(of_imap(&world, 0, "mail.example.org").await, first.der);
    let same = (*world.engine.settings()).clone();
    world.engine.apply(same).await.unwrap();
    assert_eq!(of_imap(&world, 0, "mail.example.org").await, renewed.der);
    assert_eq!(of_smtp(&world, "mail.example.org").await, renewed.der);
    assert!(open.ask("A NOOP").await.starts_with("A OK"));
    // What cannot be read changes nothing.
    std::fs::write(&first.files.certificate, "nothing").unwrap();
    let error = world
        .engine
        .apply((*world.engine.settings()).clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("tls.certificate"), "{error}");
    assert_eq!(of_imap(&world, 0, "mail.example.org").await, renewed.der);
}
