//! `axigen account`: accounts, while the server is stopped.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use axigen_core::directory::{self, Directory, NewAccount};
use axigen_core::engine::Engine;
use axigen_core::settings::{self, AccountSettings};

use super::{assign, load, say, stopped};
use crate::cli::{Account, AccountCommand, Password};
use crate::failure::Failure;

pub(crate) async fn run(options: Account) -> Result<(), Failure> {
    let settings = load(&options.config.config)?;
    let server = settings.accounts.clone();
    let engine = stopped(&settings).await?;
    let done = execute(&engine, &server, options.command).await;
    engine.shutdown().await?;
    done
}

async fn execute(
    engine: &Engine,
    server: &AccountSettings,
    command: AccountCommand,
) -> Result<(), Failure> {
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
        AccountCommand::List { json } => list(engine, json).await?,
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
        AccountCommand::Show { address } => show(directory, server, &address).await?,
        AccountCommand::Set { address, option } => {
            let mut settings = directory.account_own_settings(&address).await?;
            assign(&mut settings, &option)?;
            directory.set_account_settings(&address, &settings).await?;
            show(directory, server, &address).await?;
        }
        AccountCommand::Class { address, class } => {
            if let Some(name) = &class
                && directory.class(name).await?.is_none()
            {
                return Err(Failure::new(format!(
                    "there is no class {name}; axigen class set {name} OPTION VALUE makes it"
                )));
            }
            directory
                .set_account_class(&address, class.as_deref())
                .await?;
            show(directory, server, &address).await?;
        }
    }
    Ok(())
}

async fn list(engine: &Engine, json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for account in engine.directory().accounts().await? {
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
    Ok(())
}

/// Every option of an account, and the level that sets it.
async fn show(
    directory: &Directory,
    server: &AccountSettings,
    address: &str,
) -> Result<(), Failure> {
    let mut levels = directory.setting_levels(address).await?;
    levels.push(("server".to_owned(), server.clone()));
    let levels: Vec<(&str, &AccountSettings)> = levels
        .iter()
        .map(|(name, settings)| (name.as_str(), settings))
        .collect();
    for option in AccountSettings::options() {
        if let Some((level, value)) = settings::explain(&option, &levels) {
            say(format!("{option:17} {value:10} ({level})"));
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
        None if std::io::stdin().is_terminal() => asked_twice().map_err(failed)?,
        None => line(std::io::stdin().lock()).map_err(failed)?,
    };
    match text {
        text if text.is_empty() => Err(Failure::new("the password is empty")),
        text => Ok(text),
    }
}

/// Without an echo.
fn asked_twice() -> std::io::Result<String> {
    loop {
        let first = rpassword::prompt_password("Password: ")?;
        if first == rpassword::prompt_password("The same again: ")? {
            return Ok(first);
        }
        ask("These are two passwords. Once more.\n")?;
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
