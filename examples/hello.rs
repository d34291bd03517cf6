//! A mail server in an application: one account, SMTP in and IMAP out.
#![allow(clippy::print_stdout)]
use axigen_core::directory::NewAccount;
use axigen_core::engine::Engine;
use axigen_core::settings::TlsMode;
use axigen_core::store::Store;
use std::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder(Store::memory().await?).build()?;
    engine.directory().add_domain("example.test").await?;
    let (address, password) = ("ann@example.test".into(), "secret".into());
    let ann = NewAccount {
        address,
        password,
        ..NewAccount::default()
    };
    engine.directory().add_account(ann).await?;
    let smtp = engine.serve("smtp_in", TcpListener::bind("127.0.0.1:0")?, TlsMode::None)?;
    let imap = engine.serve("imap", TcpListener::bind("127.0.0.1:0")?, TlsMode::None)?;
    println!("SMTP on {smtp}, IMAP on {imap}: ann@example.test, password secret");
    axigen_examples::wait_for_ctrl_c().await;
    Ok(engine.shutdown().await?)
}
