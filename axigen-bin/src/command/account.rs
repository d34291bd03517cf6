//! `axigen account`: accounts, while the server is stopped.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use axigen_core::directory::{self, NewAccount};
use axigen_core::engine::Engine;
use axigen_core::store::Store;

use super::{load, say};
use crate::cli::{Account, AccountCommand, Password};
use crate::failure::Failure;

pub(crate) async fn run(options: Account) -> Result<(), Failure> {
    let settings = load(&options.config.config)?;
    let store = Store::open(&settings.directory).await?;
    let engine = Engine::builder(store).build()?;
    let done = execute(&engine, options.command).await;
    engine.shutdown().await?;
    done
}

async fn execute(engine: &Engine, command: AccountCommand) -> Result<(), Failure> {
    let directory = engine.directory();
    match command {
        AccountCommand::Add {
            address,
            name,
            password,
        } => {
            let (_, domain) = directory::normalise(&address)?;
            let password = read_password(&password)?;
            match directory.add_domain(&domain).await {
                Ok(_) => say(format!("added the domain {domain}")),
                Err(directory::Error::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let account = directory
                .add_account(NewAccount {
                    address,
                    name,
                    password,
                    ..NewAccount::default()
                })
                .await?;
            say(format!("added {}", account.address));
        }
        AccountCommand::List { json } => {
            let mut rows = Vec::new();
            for account in directory.accounts().await? {
                let (bytes, messages) = engine.mailboxes().usage(account.id).await?;
                rows.push((account, bytes, messages));
            }
            if json {
                let rows: Vec<serde_json::Value> = rows
                    .iter()
                    .map(|(account, bytes, messages)| {
                        serde_json::json!({
                            "address": account.address, "name": account.name, "enabled": account.enabled,
                            "class": account.class, "bytes": bytes, "messages": messages,
                        })
                    })
                    .collect();
                say(serde_json::Value::from(rows).to_string());
                return Ok(());
            }
            let width = rows
                .iter()
                .map(|(account, ..)| account.address.len())
                .max()
                .unwrap_or(0)
                .max(7);
            say(format!(
                "{:width$}  {:>9}  {:>10}  state",
                "address", "messages", "KB"
            ));
            for (account, bytes, messages) in rows {
                let state = if account.enabled { "open" } else { "closed" };
                say(format!(
                    "{:width$}  {messages:>9}  {:>10}  {state}",
                    account.address,
                    bytes.div_ceil(1024)
                ));
            }
        }
        AccountCommand::Passwd { address, password } => {
            let password = read_password(&password)?;
            directory.set_password(&address, &password).await?;
            say(format!("changed the password of {address}"));
        }
        AccountCommand::Remove { address, yes } => {
            directory.account(&address).await?;
            if !yes && !confirmed(&format!("Remove {address} with all its mail?"))? {
                return Err(Failure::new("nothing was removed"));
            }
            directory.remove_account(&address).await?;
            say(format!("removed {address}"));
        }
    }
    Ok(())
}

/// From a file, or asked for. Never from the command line, which others can read.
fn read_password(options: &Password) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("the password cannot be read: {error}"));
    let text = match options.password_file.as_deref() {
        Some(path) if path == Path::new("-") => line(std::io::stdin().lock()).map_err(failed)?,
        Some(path) => line(std::io::BufReader::new(
            std::fs::File::open(path).map_err(failed)?,
        ))
        .map_err(failed)?,
        None => {
            ask("Password: ").map_err(failed)?;
            line(std::io::stdin().lock()).map_err(failed)?
        }
    };
    match text {
        text if text.is_empty() => Err(Failure::new("the password is empty")),
        text => Ok(text),
    }
}

fn confirmed(question: &str) -> Result<bool, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("the answer cannot be read: {error}"));
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("say --yes to remove without being asked"));
    }
    ask(&format!("{question} [y/N] ")).map_err(failed)?;
    Ok(matches!(
        line(std::io::stdin().lock())
            .map_err(failed)?
            .to_lowercase()
            .as_str(),
        "y" | "yes"
    ))
}

/// To standard error, so that standard output stays clean.
fn ask(question: &str) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    out.write_all(question.as_bytes())?;
    out.flush()
}

fn line(mut input: impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    input.read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
