//! Every mechanism of every service, inside real TLS: what is offered when, who
//! gets in, and what those who guess have to pay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axigen_core::engine::Engine;
use axigen_core::login::{CertificateMapper, TokenChecker, TokenError};
use axigen_core::net::{ClientCertificate, tls};
use axigen_core::settings::{ListenerSettings, Settings, Span, TlsMode};
use axigen_proto::TlsInfo;
use axigen_proto::sasl::client::{Client, Credentials};
use axigen_proto::sasl::{Channel, Mechanism, decode_line, encode_line};
use axigen_store::Store;
use axigen_tests::any_certificate::{any_certificate, any_certificate_with};
use axigen_tests::client_issuer::ClientIssuer;
use axigen_tests::tool::run;
use bytes::Bytes;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ANN: &str = "ann@example.test";
const BOB: &str = "bob@example.test";
const SERVICES: [&str; 3] = ["imap", "pop3", "submission"];

/// Tokens are `of-` and a name; `small-` ones have too small a scope.
#[derive(Debug)]
struct Tokens;

#[async_trait]
impl TokenChecker for Tokens {
    async fn check(&self, token: &str, _: Option<&str>) -> Result<String, TokenError> {
        match token.split_once('-') {
            Some(("of", name)) => Ok(format!("{name}@example.test")),
            Some(("small", _)) => Err(TokenError::Scope),
            Some(("down", _)) => Err(TokenError::Unavailable("nobody is there".into())),
            _ => Err(TokenError::Invalid),
        }
    }

    fn scope(&self) -> Option<String> {
        Some("mail".into())
    }

    fn openid_configuration(&self) -> Option<String> {
        Some("https://id.example.test/.well-known/openid-configuration".into())
    }
}

struct Build {
    settings: Settings,
    tokens: bool,
    mapper: Option<Mapper>,
}

impl Build {
    fn new() -> Build {
        let mut settings = Settings::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        for common in [
            &mut settings.imap.common,
            &mut settings.pop3.common,
            &mut settings.submission.common,
        ] {
            common.enable = true;
            common.listeners = vec![
                ListenerSettings::new(address, TlsMode::Implicit),
                ListenerSettings::new(address, TlsMode::Starttls),
            ];
        }
        Build {
            settings,
            tokens: false,
            mapper: None,
        }
    }

    fn asking(mut self, authorities: &Path) -> Build {
        for common in [
            &mut self.settings.imap.common,
            &mut self.settings.pop3.common,
            &mut self.settings.submission.common,
        ] {
            for listener in &mut common.listeners {
                listener.client_authorities = authorities.to_path_buf();
            }
        }
        self
    }

    async fn start(self) -> Engine {
        let mut builder = Engine::builder(Store::memory().await.unwrap())
            .settings(self.settings)
            .tls(tls::self_signed(&["localhost".into()]).unwrap());
        if self.tokens {
            builder = builder.tokens(Tokens);
        }
        if let Some(mapper) = self.mapper {
            builder = builder.certificates(mapper);
        }
        let engine = builder.build().unwrap();
        let directory = engine.directory();
        directory.add_domain("example.test").await.unwrap();
        let addresses = [ANN.to_owned(), BOB.to_owned()];
        directory.add_accounts("pencil", &addresses).await.unwrap();
        engine.start().await.unwrap();
        engine
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A client of one of the three services.
struct Link {
    service: &'static str,
    stream: BufReader<Box<dyn Wire>>,
    tls: Option<TlsInfo>,
    version: Option<ProtocolVersion>,
    offered: Vec<Mechanism>,
}

impl Link {
    async fn open(engine: &Engine, service: &'static str, config: ClientConfig) -> Link {
        Link::try_open(engine, service, config).await.unwrap()
    }

    async fn try_open(
        engine: &Engine,
        service: &'static str,
        config: ClientConfig,
    ) -> std::io::Result<Link> {
        let tcp = TcpStream::connect(engine.addresses(service)[0]).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await?;
        let (_, session) = stream.get_ref();
        let version = session.protocol_version();
        // What the client computes of the connection, by itself.
        let exporter = session
            .export_keying_material([0u8; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap();
        let shown: CertificateDer<'static> = session.peer_certificates().unwrap()[0].clone();
        let info = TlsInfo {
            exporter: (version == Some(ProtocolVersion::TLSv1_3))
                .then(|| Bytes::copy_from_slice(&exporter)),
            server_end_point: Some(Bytes::copy_from_slice(&Sha256::digest(&shown))),
            ..TlsInfo::default()
        };
        let stream = BufReader::new(Box::new(stream) as Box<dyn Wire>);
        let mut link = Link {
            service,
            stream,
            tls: Some(info),
            version,
            offered: Vec::new(),
        };
        link.look().await?;
        Ok(link)
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn say(&mut self, text: &str) {
        let text = format!("{text}\r\n");
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads the greeting and what is offered.
    async fn look(&mut self) -> std::io::Result<()> {
        self.line().await?;
        let (ask, last, word) = match self.service {
            "imap" => ("c CAPABILITY", "c ", "* CAPABILITY"),
            "pop3" => ("CAPA", ".", "SASL"),
            _ => ("EHLO client.test", "250 ", "AUTH"),
        };
        self.say(ask).await;
        loop {
            let line = self.line().await?;
            if line.contains(word) {
                let words = line.split(' ').map(|word| word.trim_start_matches("AUTH="));
                self.offered = words.filter_map(Mechanism::from_name).collect();
            }
            if line.starts_with(last) {
                return Ok(());
            }
        }
    }

    fn channel(&self) -> Channel {
        Channel::of(self.tls.as_ref()).offering(&self.offered)
    }

    /// Logs in; what the server says in the end, and what it complained of.
    async fn log_in(&mut self, mechanism: Mechanism, login: Credentials) -> (bool, String, String) {
        let client = Client::new(mechanism, login, b"client nonce").on(self.channel());
        self.log_in_with(mechanism, client).await
    }

    async fn log_in_with(
        &mut self,
        mechanism: Mechanism,
        mut client: Client,
    ) -> (bool, String, String) {
        let initial = client.initial().map(|initial| match initial.is_empty() {
            true => " =".to_owned(),
            false => format!(" {}", encode_line(&initial)),
        });
        let initial = initial.unwrap_or_default();
        let (verb, go_on) = match self.service {
            "imap" => ("a AUTHENTICATE", "+ "),
            "pop3" => ("AUTH", "+ "),
            _ => ("AUTH", "334 "),
        };
        self.say(&format!("{verb} {mechanism}{initial}")).await;
        loop {
            let line = self.line().await.unwrap();
            if let Some(challenge) = line.strip_prefix(go_on) {
                let challenge = decode_line(challenge.as_bytes()).unwrap();
                match client.respond(&challenge) {
                    Ok(response) => self.say(&encode_line(&response)).await,
                    Err(_) => self.say("*").await,
                }
                continue;
            }
            let good = ["a OK", "+OK", "235 "]
                .iter()
                .any(|ok| line.starts_with(ok));
            if good {
                client.finish().unwrap();
            }
            let complaint = client.complaint().unwrap_or_default().to_owned();
            return (good, line, complaint);
        }
    }
}

fn password(secret: &str) -> Credentials {
    Credentials::new(ANN, secret).unwrap()
}

/// A client that speaks only this version of TLS.
fn only(version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    any_certificate_with(&[version])
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_every_service_and_version_of_tls() {
    let engine = Build::new().start().await;
    for service in SERVICES {
        for of in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let mut link = Link::open(&engine, service, only(of)).await;
            assert_eq!(link.version, Some(of.version));
            assert_eq!(link.offered, Mechanism::PASSWORD, "{service}");
            let (good, said, _) = link
                .log_in(Mechanism::ScramSha256Plus, password("eraser"))
                .await;
            assert!(!good, "{said}");
            for mechanism in Mechanism::PASSWORD {
                let mut link = Link::open(&engine, service, only(of)).await;
                let (good, said, _) = link.log_in(mechanism, password("pencil")).await;
                assert!(good, "{service} {mechanism} {:?}: {said}", link.version);
            }
        }
    }
}

/// RFC 5802 §6, RFC 9266, RFC 5929: who sits in between is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_bound_to_its_connection() {
    let engine = Build::new().start().await;
    for service in SERVICES {
        let link = Link::open(&engine, service, any_certificate()).await;
        let other = link.channel();
        // By the certificate, which is the same for both: good.
        let mut link = Link::open(&engine, service, any_certificate()).await;
        link.tls.as_mut().unwrap().exporter = None;
        let (good, said, _) = link
            .log_in(Mechanism::ScramSha256Plus, password("pencil"))
            .await;
        assert!(good, "{said}");
        // Over the keys of another connection.
        let mut link = Link::open(&engine, service, any_certificate()).await;
        let client = Client::new(Mechanism::ScramSha256Plus, password("pencil"), b"n").on(other);
        let (good, said, _) = link.log_in_with(Mechanism::ScramSha256Plus, client).await;
        assert!(
            !good && said.contains("not that of this connection"),
            "{said}"
        );
        // Over another certificate.
        let mut link = Link::open(&engine, service, any_certificate()).await;
        let tls = link.tls.as_mut().unwrap();
        tls.exporter = None;
        tls.server_end_point = Some(Bytes::from_static(&[7; 32]));
        let (good, said, _) = link
            .log_in(Mechanism::ScramSha256Plus, password("pencil"))
            .await;
        assert!(
            !good && said.contains("not that of this connection"),
            "{said}"
        );
        // And one from whom the mechanism was hidden.
        let mut link = Link::open(&engine, service, any_certificate()).await;
        link.offered = vec![Mechanism::ScramSha256];
        let (good, said, _) = link
            .log_in(Mechanism::ScramSha256, password("pencil"))
            .await;
        assert!(!good && said.contains("somebody changed"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    let mut build = Build::new();
    build.tokens = true;
    let engine = build.start().await;
    for service in SERVICES {
        for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
            let open = || Link::open(&engine, service, any_certificate());
            let try_ = async |name: &str, token: &str| {
                let mut link = open().await;
                assert!(link.offered.contains(&mechanism), "{service}");
                let login = Credentials::token(name, token).unwrap();
                link.log_in(mechanism, login).await
            };
            let (good, said, _) = try_(ANN, "of-ann").await;
            assert!(good, "{service} {mechanism}: {said}");
            let (good, said, _) = try_("Ann@Example.TEST", "of-ann").await;
            assert!(good, "{service} {mechanism}: {said}");
            let (good, said, why) = try_(ANN, "stolen").await;
            assert!(!good, "{said}");
            assert!(why.contains(r#""scope":"mail""#), "{why}");
            assert!(why.contains("https://id.example.test/"), "{why}");
            let status = match mechanism {
                Mechanism::OAuthBearer => r#"{"status":"invalid_token""#,
                _ => r#"{"status":"401""#,
            };
            assert!(why.starts_with(status), "{why}");
            let (good, _, why) = try_(ANN, "small-ann").await;
            assert!(!good && !why.starts_with(status), "{why}");
            // Nobody is somebody else by his own token.
            let (good, said, _) = try_(BOB, "of-ann").await;
            assert!(!good, "{said}");
            // A token for whom there is no account.
            let (good, said, _) = try_("cat@example.test", "of-cat").await;
            assert!(!good, "{said}");
            let (good, said, why) = try_(ANN, "down-ann").await;
            assert!(!good && why.is_empty(), "{said}");
            assert!(
                ["UNAVAILABLE", "SYS/TEMP", "454 "]
                    .iter()
                    .any(|code| said.contains(code)),
                "{said}"
            );
            // A long one, as some makers of tokens make them.
            let mut link = open().await;
            let login = Credentials::token(ANN, "x".repeat(8000)).unwrap();
            let (good, said, why) = link.log_in(mechanism, login).await;
            assert!(!good && !why.is_empty(), "{said}");
        }
        let engine = Build::new().start().await;
        let mut link = Link::open(&engine, service, any_certificate()).await;
        let login = Credentials::token(ANN, "of-ann").unwrap();
        assert!(!link.offered.contains(&Mechanism::OAuthBearer));
        let (good, said, _) = link.log_in(Mechanism::OAuthBearer, login).await;
        assert!(!good, "{said}");
    }
}

/// A client that cancels after it was told has failed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_tokens_count() {
    let mut build = Build::new();
    build.tokens = true;
    build.settings.imap.common.auth_failures = 2;
    let engine = build.start().await;
    let mut link = Link::open(&engine, "imap", any_certificate()).await;
    for _ in 0..2 {
        let token = encode_line(b"n,,\x01auth=Bearer bad\x01\x01");
        link.say(&format!("a AUTHENTICATE OAUTHBEARER {token}"))
            .await;
        assert!(link.line().await.unwrap().starts_with("+ "));
        link.say("*").await;
        let said = link.line().await.unwrap();
        assert!(said.starts_with("a NO [AUTHENTICATIONFAILED]"), "{said}");
    }
    assert!(link.line().await.unwrap().starts_with("* BYE"));
}

/// Certificates are for whoever has the number in them.
#[derive(Debug)]
struct Mapper;

#[async_trait]
impl CertificateMapper for Mapper {
    async fn accounts(&self, certificate: &ClientCertificate) -> Result<Vec<String>, String> {
        assert!(!certificate.der().is_empty());
        match certificate.addresses().first().map(String::as_str) {
            Some("number7@staff.test") => Ok(vec![BOB.into()]),
            Some("down@staff.test") => Err("nobody is there".into()),
            _ => Ok(Vec::new()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates() {
    let house = ClientIssuer::new();
    let engine = Build::new().asking(&house.authorities()).start().await;
    for service in SERVICES {
        for of in [&rustls::version::TLS13, &rustls::version::TLS12] {
            // Without one it is not offered, and not taken.
            let mut link = Link::open(&engine, service, only(of)).await;
            assert!(!link.offered.contains(&Mechanism::External));
            let (good, said, _) = link
                .log_in(Mechanism::External, Credentials::certificate())
                .await;
            assert!(!good, "{said}");
            let (good, said, _) = link.log_in(Mechanism::Plain, password("pencil")).await;
            assert!(good, "{said}");
        }
        let both = house.client(&[ANN, BOB]);
        for (login, good) in [
            (Credentials::certificate(), true),
            (Credentials::certificate().acting_as(ANN).unwrap(), true),
            (
                Credentials::certificate()
                    .acting_as("BOB@example.test")
                    .unwrap(),
                true,
            ),
            (
                Credentials::certificate()
                    .acting_as("cat@example.test")
                    .unwrap(),
                false,
            ),
        ] {
            let mut link = Link::open(&engine, service, both.clone()).await;
            assert!(link.offered.contains(&Mechanism::External), "{service}");
            let (got, said, _) = link.log_in(Mechanism::External, login).await;
            assert_eq!(got, good, "{service}: {said}");
        }
        // One that names nobody we know.
        let mut link = Link::open(&engine, service, house.client(&["cat@example.test"])).await;
        let (good, said, _) = link
            .log_in(Mechanism::External, Credentials::certificate())
            .await;
        assert!(!good, "{said}");
        // One that somebody else has signed does not come in at all.
        let stranger = ClientIssuer::new().client(&[ANN]);
        assert!(Link::try_open(&engine, service, stranger).await.is_err());
    }
    let mut build = Build::new().asking(&house.authorities());
    build.mapper = Some(Mapper);
    let engine = build.start().await;
    for (address, good, says) in [
        ("number7@staff.test", true, "a OK"),
        ("down@staff.test", false, "[UNAVAILABLE]"),
        (ANN, false, "[AUTHENTICATIONFAILED]"),
    ] {
        let mut link = Link::open(&engine, "imap", house.client(&[address])).await;
        let (got, said, _) = link
            .log_in(Mechanism::External, Credentials::certificate())
            .await;
        assert!(got == good && said.contains(says), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_cannot_be_read_are_named() {
    let house = ClientIssuer::new();
    let path = house.dir().join("nothing.pem");
    let engine = Engine::builder(Store::memory().await.unwrap())
        .tls(tls::self_signed(&["localhost".into()]).unwrap())
        .settings(Build::new().asking(&path).settings)
        .build()
        .unwrap();
    let said = engine.start().await.unwrap_err().to_string();
    assert!(said.contains("nothing.pem"), "{said}");
}

/// Guesses at one account cost more and more, over all services and connections,
/// and nobody else pays for them.
#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_pays() {
    let mut build = Build::new();
    build.settings.logins.account_failures = 2;
    build.settings.logins.wait = Span(Duration::from_secs(1));
    build.settings.logins.longest_wait = Span(Duration::from_secs(1));
    let engine = build.start().await;
    let guess = async |service, who: &str, secret: &str| {
        let mut link = Link::open(&engine, service, any_certificate()).await;
        let start = Instant::now();
        let login = Credentials::new(who, secret).unwrap();
        let (good, said, _) = link.log_in(Mechanism::Plain, login).await;
        (good, said, start.elapsed())
    };
    for service in SERVICES {
        let (good, ..) = guess(service, BOB, "eraser").await;
        assert!(!good);
    }
    // Three have failed, so whoever comes next waits, and of many at once most are refused.
    let many = (0..8).map(|_| guess("imap", BOB, "eraser"));
    let waited = futures(many).await;
    let refused = waited
        .iter()
        .filter(|(_, said, _)| said.contains("[LIMIT]"));
    assert!(refused.count() >= 5, "{waited:?}");
    let looked_at = waited
        .iter()
        .filter(|(_, said, _)| !said.contains("[LIMIT]"));
    assert!(
        looked_at
            .clone()
            .all(|(_, _, took)| *took >= Duration::from_secs(1))
    );
    let (good, said, took) = guess("pop3", ANN, "pencil").await;
    assert!(good && took < Duration::from_secs(1), "{said} {took:?}");
}

async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Bug classes 1 and 8: what stands inside of base64 stays there, and whoever
/// sends rubbish hurts only himself.
#[tokio::test(flavor = "multi_thread")]
async fn rubbish_in_logins() {
    let mut build = Build::new();
    for common in [
        &mut build.settings.imap.common,
        &mut build.settings.pop3.common,
        &mut build.settings.submission.common,
    ] {
        common.errors = 1000;
        common.auth_failures = 1000;
    }
    build.settings.logins.account_failures = 1000;
    build.settings.logins.trusted = vec![IpAddr::from([127, 0, 0, 1]).into()];
    let engine = build.start().await;
    for service in SERVICES {
        let mut good = Link::open(&engine, service, any_certificate()).await;
        let mut bad = Link::open(&engine, service, any_certificate()).await;
        let verb = match service {
            "imap" => "a AUTHENTICATE PLAIN",
            _ => "AUTH PLAIN",
        };
        let names: Vec<String> = [
            "\0ann@example.test\tuser=bob\0pencil",
            "\0ann@example.test\0pencil\0x",
            "\0ann@example.test\0\0pencil",
            "\0../../etc/passwd\0pencil",
            "\0ann@example.test/../bob\0pencil",
            "\0' OR 1=1 --\0pencil",
            "\0ann@example.test)(uid=*\0pencil",
            "\0\u{ff}ann@example.test\0pencil",
            "bob@example.test\0ann@example.test\0pencil",
            "\0%s%n@example.test\0pencil",
        ]
        .iter()
        .map(|text| encode_line(text.as_bytes()))
        .collect();
        let plain = encode_line(b"\0ann@example.test\0pencil");
        let mut rubbish = names;
        rubbish.extend([
            format!("\t{plain}"),
            format!("{}\t{}", &plain[..8], &plain[8..]),
            format!("{plain}\0"),
            format!("{}\0{}", &plain[..8], &plain[8..]),
            format!("{plain}="),
            plain[..plain.len() - 1].to_owned() + "!",
            "====".into(),
            "\u{7f}\u{80}\u{ff}".into(),
        ]);
        for text in rubbish {
            bad.say(verb).await;
            assert!(bad.line().await.unwrap().starts_with(['+', '3']));
            bad.say(&text).await;
            let said = bad.line().await.unwrap();
            let yes = ["a OK", "+OK", "235"].iter().any(|ok| said.starts_with(ok));
            assert!(!yes, "{service} {text:?}: {said}");
        }
        let (yes, said, _) = good.log_in(Mechanism::Plain, password("pencil")).await;
        assert!(yes, "{said}");
    }
}

/// Programs of others, each in the ways it knows: GNU SASL binds to the channel.
#[tokio::test(flavor = "multi_thread")]
async fn real_programs() {
    let house = ClientIssuer::new();
    let mut build = Build::new().asking(&house.authorities());
    build.tokens = true;
    let engine = build.start().await;
    let file = |name: &str, text: &str| {
        let path = house.dir().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = house.certificate(&[ANN]);
    let certificate = file("ann.pem", &certificate.pem());
    let key = file("ann.key", &key.serialize_pem());
    let port = |service: &str, listener: usize| engine.addresses(service)[listener].port();
    let run = async |program: &'static str, args: Vec<String>| {
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            run(program, &args, b"")
        })
        .await
        .unwrap()
    };
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };

    // GNU SASL over STARTTLS.
    for (service, kind) in [("imap", "imap"), ("submission", "smtp")] {
        // Told to use SCRAM-SHA-256 it says that it could have bound, which is refused where -PLUS
        // was offered, unless it is also told not to bind.
        for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256 --no-cb", "PLAIN"] {
            for (password, good) in [("pencil", true), ("eraser", false)] {
                let args = words(&format!(
                    "--{kind} --connect=127.0.0.1:{} --mechanism={mechanism} --authentication-id={ANN} --authorization-id= --password={password} --x509-ca-file= --quiet",
                    port(service, 1)
                ));
                let said = run("gsasl", args).await;
                assert_eq!(
                    said.code == Some(0),
                    good,
                    "{service} {mechanism}: {}",
                    said.text
                );
            }
        }
    }

    // curl with tokens and with a certificate.
    {
        let service = "imap";
        let url = format!("imaps://127.0.0.1:{}/", port(service, 0));
        let rest = "-X NOOP";
        for (login, good) in [
            (
                format!("-u {ANN} --oauth2-bearer of-ann --login-options AUTH=OAUTHBEARER"),
                true,
            ),
            (
                format!("-u {ANN} --oauth2-bearer of-ann --login-options AUTH=XOAUTH2"),
                true,
            ),
            (
                format!("-u {ANN} --oauth2-bearer bad --login-options AUTH=OAUTHBEARER"),
                false,
            ),
            (
                format!("-u {ANN} --oauth2-bearer bad --login-options AUTH=XOAUTH2"),
                false,
            ),
            (
                format!("-u {ANN}: --login-options AUTH=EXTERNAL --cert {certificate} --key {key}"),
                true,
            ),
            (
                format!("-u {BOB}: --login-options AUTH=EXTERNAL --cert {certificate} --key {key}"),
                false,
            ),
            (format!("-u {ANN}:pencil --login-options AUTH=PLAIN"), true),
            (format!("-u {ANN}:pencil --login-options AUTH=LOGIN"), true),
        ] {
            let said = run("curl", words(&format!("-sS -k {url} {login} {rest}"))).await;
            assert_eq!(
                said.code == Some(0),
                good,
                "{service} {login}: {}",
                said.text
            );
        }
    }
}
