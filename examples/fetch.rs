//! Reads a mailbox with the IMAP client session: every message as a file, whatever its size.
#![allow(clippy::print_stdout)]

use std::net::TcpListener;

use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_core::net::{Conn, Stream};
use axigen_core::settings::TlsMode;
use axigen_core::store::Store;
use axigen_proto::imap::client::{Client, Config, Event, StartTls};
use axigen_proto::imap::command::{Append, Command, Fetch, FetchAttribute, Section, Select};
use axigen_proto::imap::extensions::condstore::{FetchModifiers, SelectParameters};
use axigen_proto::imap::sequence::SequenceSet;
use axigen_proto::sasl::client::Credentials;
use bytes::Bytes;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Somebody whose mail is read.
    let engine = Engine::builder(Store::memory().await?).build()?;
    engine.directory().add_domain("example.test").await?;
    let ann = NewAccount {
        address: "ann@example.test".into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(ann).await?;
    let server = engine.serve("imap", TcpListener::bind("127.0.0.1:0")?, TlsMode::None)?;

    let tcp = tokio::net::TcpStream::connect(server).await?;
    let config = Config {
        // On this machine only; the default wants TLS.
        starttls: StartTls::Never,
        plaintext_password: true,
        credentials: Some(Credentials::new("ann@example.test", "secret")?),
        compress: true,
        ..Config::default()
    };
    let mut conn = Conn::client(Stream::from(tcp), Client::new(config, [0; 32]), None);
    let message = Bytes::from_static(b"Subject: hello\r\n\r\nread by the client session\r\n");
    let mut sent = 0;
    let files = tempfile::tempdir()?;
    let mut file: Option<tokio::fs::File> = None;
    while let Some(event) = conn.next().await? {
        match event {
            Event::Ready(_) => {
                let session = conn.session();
                let append = Append {
                    mailbox: "INBOX".into(),
                    replaces: None,
                    pieces: Vec::new(),
                    flags: Vec::new(),
                    date: None,
                };
                session.append(&append, message.len() as u64, false)?;
                session.send(&Command::Select(Select {
                    mailbox: "INBOX".into(),
                    parameters: SelectParameters::default(),
                }))?;
                // The answers come in this order, so nothing has to be awaited in between.
                session.send(&Command::Fetch(Fetch {
                    uid: true,
                    set: SequenceSet::parse(b"1:*").ok_or("not a set")?,
                    attributes: vec![
                        FetchAttribute::Flags,
                        FetchAttribute::BodySection {
                            section: Section::default(),
                            partial: None,
                            peek: true,
                        },
                    ],
                    modifiers: FetchModifiers::default(),
                }))?;
                session.logout()?;
            }
            // As much as you like at a time; here so little that it takes several.
            Event::WantBody { left, .. } => {
                let end = message.len().min(sent + usize::try_from(left)?.min(20));
                conn.session().body(message.slice(sent..end))?;
                sent = end;
            }
            Event::BodyStart { seq, size, .. } => {
                let seq = seq.unwrap_or_default();
                println!("message {seq} has {size} bytes");
                let path = files.path().join(format!("{seq}.eml"));
                file = Some(tokio::fs::File::create(path).await?);
            }
            Event::BodyPart(bytes) => {
                if let Some(file) = &mut file {
                    tokio::io::AsyncWriteExt::write_all(file, &bytes).await?;
                }
            }
            Event::BodyEnd => {
                if let Some(mut file) = file.take() {
                    tokio::io::AsyncWriteExt::flush(&mut file).await?;
                }
            }
            Event::Failed(failure) => return Err(failure.into()),
            event => println!("{event:?}"),
        }
    }
    let read = std::fs::read(files.path().join("1.eml"))?;
    assert_eq!(read, message);
    Ok(engine.shutdown().await?)
}
