//! Sends a message with the client session: STARTTLS if offered, pipelined, the outcome in words.
#![allow(clippy::print_stdout)]

use std::net::TcpListener;

use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_core::net::{Conn, Stream};
use axigen_core::settings::TlsMode;
use axigen_core::store::Store;
use axigen_proto::smtp::address::{
    Domain, DomainName, ForwardPath, HelloName, Mailbox, ReversePath,
};
use axigen_proto::smtp::client::{Client, Config, Envelope, Event, Role, StartTls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Somebody to send to.
    let engine = Engine::builder(Store::memory().await?).build()?;
    engine.directory().add_domain("example.test").await?;
    let ann = NewAccount {
        address: "ann@example.test".into(),
        password: "secret".into(),
        ..NewAccount::default()
    };
    engine.directory().add_account(ann).await?;
    let server = engine.serve("smtp_in", TcpListener::bind("127.0.0.1:0")?, TlsMode::None)?;

    let tcp = tokio::net::TcpStream::connect(server).await?;
    let mut config = Config::new(Role::Smtp, HelloName::new("client.example")?);
    config.starttls = StartTls::Never;
    let mut conn = Conn::client(Stream::from(tcp), Client::new(config, [0; 32]), None);
    // Addresses are checked values: nothing in them can become a command.
    let from = Mailbox::new("bob", Domain::Name(DomainName::new("elsewhere.test")?))?;
    let to = Mailbox::new("ann", Domain::Name(DomainName::new("example.test")?))?;
    let envelope = Envelope::new(ReversePath::Mailbox(from), vec![ForwardPath::Mailbox(to)]);
    while let Some(event) = conn.next().await? {
        println!("{event:?}");
        match event {
            Event::Ready { .. } => conn.session().send(envelope.clone())?,
            Event::WantBody => {
                conn.session()
                    .body("Subject: hello\r\n\r\nsent by the client session\r\n".into())?;
                conn.session().finish()?;
            }
            Event::Sent { .. } | Event::Refused { .. } => conn.session().quit()?,
            _ => {}
        }
    }
    Ok(engine.shutdown().await?)
}
