//! `axigen demo`: a server to look at, on this machine only.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use axigen_core::directory;
use axigen_core::dns::ZoneResolver;
use axigen_core::engine::Engine;
use axigen_core::error::Error;
use axigen_core::mailbox::{Flags, NewMessage, Place, Quota, Target};
use axigen_core::net::tls;
use axigen_core::settings::{Common, ListenerSettings, Settings, TlsMode};
use axigen_core::store::Store;

use super::say;
use super::serve::Stop;
use crate::cli::Demo;
use crate::failure::Failure;

const DOMAIN: &str = "example.test";
const PASSWORD: &str = "demo";
/// The largest port of the demo without the offset; 8080 and 8443 are kept for HTTP.
const LAST_PORT: u16 = 8443;

pub(crate) async fn run(options: Demo) -> Result<(), Failure> {
    if options.port_offset > u16::MAX - LAST_PORT {
        return Err(Failure::new(format!(
            "--port-offset may be at most {}",
            u16::MAX - LAST_PORT
        )));
    }
    let mut stop = Stop::listen()?;
    let temporary = match options.dir {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("axigen-demo-")
                .tempdir()
                .map_err(|error| {
                    Failure::new(format!("a temporary directory cannot be made: {error}"))
                })?,
        ),
    };
    let dir = match (&options.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().join("mail"),
        (None, None) => return Err(Failure::new("no directory")),
    };
    let store = Store::open(&dir).await?;
    let certificate = tls::self_signed(&[
        "localhost".into(),
        "127.0.0.1".into(),
        format!("mail.{DOMAIN}"),
    ])
    .map_err(|error| Failure::new(error.to_string()))?;
    let mut builder = Engine::builder(store)
        .settings(settings(&options))
        .tls(certificate);
    if let Some(zone) = &options.zone {
        builder = builder.resolver(ZoneResolver::from_file(zone).map_err(Failure::new)?);
    }
    let engine = builder.build()?;
    let begun = tokio::select! {
        begun = begin(&engine, &options, &dir, temporary.is_some()) => begun.map(|()| true),
        () = stop.told() => Ok(false),
    };
    if let Ok(true) = begun {
        stop.told().await;
    }
    stop.end(&engine).await?;
    begun.map(|_| ())
}

/// From an open store to `ready`.
async fn begin(
    engine: &Engine,
    options: &Demo,
    dir: &Path,
    temporary: bool,
) -> Result<(), Failure> {
    people(engine, options.accounts).await?;
    engine.start().await.map_err(|error| match error {
        Error::Bind {
            service,
            address,
            source,
        } if source.kind() == ErrorKind::AddrInUse => Failure::new(format!(
            "port {} is in use, so {service} cannot listen there: stop the program that uses it, or move all ports, as with --port-offset 1000",
            address.tcp().map_or(0, |address| address.port())
        )),
        other => other.into(),
    })?;
    introduce(options.port_offset, dir, temporary);
    Ok(())
}

fn settings(options: &Demo) -> Settings {
    let offset = options.port_offset;
    let listen = |common: &mut Common, ports: &[(u16, TlsMode)]| {
        common.enable = true;
        common.listeners = ports
            .iter()
            .map(|(port, tls)| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port + offset));
                // Loopback only: a login without TLS goes no further than this machine.
                ListenerSettings {
                    plaintext_login: true,
                    ..ListenerSettings::new(address, *tls)
                }
            })
            .collect();
    };
    let mut settings = Settings {
        hostname: format!("mail.{DOMAIN}"),
        ..Settings::default()
    };
    listen(&mut settings.smtp_in.common, &[(2525, TlsMode::Starttls)]);
    listen(&mut settings.lmtp.common, &[(2424, TlsMode::None)]);
    listen(
        &mut settings.submission.common,
        &[(2587, TlsMode::Starttls), (2465, TlsMode::Implicit)],
    );
    listen(
        &mut settings.imap.common,
        &[(2143, TlsMode::Starttls), (2993, TlsMode::Implicit)],
    );
    listen(
        &mut settings.pop3.common,
        &[(2110, TlsMode::Starttls), (2995, TlsMode::Implicit)],
    );
    // Load programs come from one address.
    for common in [&mut settings.smtp_in.common, &mut settings.imap.common] {
        common.limits.peer_connections = Some(20_000);
        common.limits.connections = Some(20_000);
    }
    settings.accounts.imap_connections = Some(20_000);
    settings.imap.separator = options.separator;
    settings.smtp_out.enable = options.zone.is_some();
    settings.smtp_out.mx_port = options.mx_port;
    settings
}

/// The accounts, and alice's first mails. All of it is left as it is when it
/// is there already.
async fn people(engine: &Engine, accounts: u32) -> Result<(), Failure> {
    let directory = engine.directory();
    match directory.add_domain(DOMAIN).await {
        Ok(_) | Err(directory::Error::Exists(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let known: std::collections::HashSet<String> = directory
        .accounts()
        .await?
        .into_iter()
        .map(|account| account.address)
        .collect();
    let is_new = !known.contains(&format!("alice@{DOMAIN}"));
    let wanted = ["alice".to_owned(), "bob".to_owned()]
        .into_iter()
        .chain((1..=accounts).map(|n| format!("u{n}")));
    let wanted: Vec<String> = wanted
        .map(|user| format!("{user}@{DOMAIN}"))
        .filter(|address| !known.contains(address))
        .collect();
    if !wanted.is_empty() {
        directory.add_accounts(PASSWORD, &wanted).await?;
    }
    if is_new {
        welcome(engine).await?;
    }
    Ok(())
}

async fn welcome(engine: &Engine) -> Result<(), Failure> {
    let alice = engine
        .directory()
        .account(&format!("alice@{DOMAIN}"))
        .await?;
    let mails = [
        (
            "Welcome",
            "This mailbox is kept by axigen, in a store that syncs before it says yes.\r\nReply to bob@example.test: he is on this server too.\r\n",
        ),
        (
            "Try IMAP",
            "Any mail program works: IMAP on 127.0.0.1, user alice@example.test, password demo.\r\n",
        ),
        (
            "Gr\u{fc}\u{df}e",
            "A mail with characters beyond ASCII: \u{e4} \u{f6} \u{fc} \u{2603}\r\n",
        ),
    ];
    let now = now();
    for (n, (subject, body)) in mails.into_iter().enumerate() {
        let raw = mail_builder::MessageBuilder::new()
            .from(("The axigen demo", "postmaster@example.test"))
            .to(("Alice", "alice@example.test"))
            .subject(subject)
            .message_id(format!("welcome-{n}@{DOMAIN}"))
            .date(now)
            .text_body(body)
            .write_to_vec()
            .map_err(|error| Failure::new(format!("a welcome mail cannot be written: {error}")))?;
        let target = Target {
            account: alice.id,
            mailbox: Place::Named("INBOX".into()),
            flags: Flags::default(),
            quota: Quota::NONE,
        };
        let message = NewMessage {
            raw: raw.into(),
            internal_date: now,
            internal_zone: 0,
        };
        engine.mailboxes().append(message, &[target]).await?;
    }
    Ok(())
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

fn introduce(offset: u16, dir: &Path, temporary: bool) {
    let port = |base: u16| base + offset;
    say(format!(
        "axigen demo, on this machine only; everything is in {}{}",
        dir.display(),
        match temporary {
            true => " (removed at exit)",
            false => "",
        }
    ));
    say("accounts: alice@example.test and bob@example.test, password demo");
    say(format!(
        "  SMTP {}   LMTP {}   submission {} (STARTTLS) {} (TLS)\n  IMAP {} (STARTTLS) {} (TLS)   POP3 {} (STLS) {} (TLS)",
        port(2525),
        port(2424),
        port(2587),
        port(2465),
        port(2143),
        port(2993),
        port(2110),
        port(2995)
    ));
    say("try:");
    say(format!(
        "  swaks --server 127.0.0.1:{} --from bob@example.test --to alice@example.test --header 'Subject: hello'",
        port(2525)
    ));
    say(format!(
        "  curl -k --user alice@example.test:demo 'imaps://127.0.0.1:{}/INBOX?ALL'",
        port(2993)
    ));
    say(format!(
        "  curl -k --user alice@example.test:demo 'imaps://127.0.0.1:{}/INBOX;MAILINDEX=*'",
        port(2993)
    ));
    say("ready (Ctrl-C stops it)");
}
