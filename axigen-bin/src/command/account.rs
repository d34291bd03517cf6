//! `axigen account`: accounts, while the server is stopped.

use axigen_core::directory::{self, Account as Kept, Directory, NewAccount};
use axigen_core::engine::Engine;
use axigen_core::settings::AccountSettings;

use super::{offline, options, say};
use crate::cli::{Account, AccountCommand, Password};
use crate::failure::Failure;
use crate::terminal;

pub(crate) async fn run(options: Account) -> Result<(), Failure> {
    offline(&options.config.config, async |engine| {
        execute(engine, options.command).await
    })
    .await
}

async fn execute(engine: &Engine, command: AccountCommand) -> Result<(), Failure> {
    let directory = engine.directory();
    match command {
        AccountCommand::Add {
            address,
            name,
            class,
            password,
        } => {
            let account = NewAccount {
                address,
                name,
                class,
                ..NewAccount::default()
            };
            add(directory, account, &password).await
        }
        AccountCommand::List { json } => list(engine, json).await,
        AccountCommand::Show { address } => show(engine, &address).await,
        AccountCommand::Set { address, option } => {
            set(directory, &address, &option.option, &option.value).await?;
            say(format!(
                "set {} of {address} to {}",
                option.option, option.value
            ));
            Ok(())
        }
        AccountCommand::Unset { address, option } => {
            unset(directory, &address, &option).await?;
            say(format!("unset {option} of {address}"));
            Ok(())
        }
        AccountCommand::Passwd { address, password } => {
            // Nobody types a password for an account that is not there.
            let account = directory.account(&address).await?;
            let password = terminal::password(&password)?;
            directory.set_password(&account.address, &password).await?;
            say(format!("changed the password of {}", account.address));
            Ok(())
        }
        AccountCommand::Remove { address, yes } => {
            let account = directory.account(&address).await?;
            let question = format!("Remove {} with all its mail?", account.address);
            if !yes && !terminal::confirmed(&question)? {
                return Err(Failure::new("nothing was removed"));
            }
            directory.remove_account(&account.address).await?;
            say(format!("removed {}", account.address));
            Ok(())
        }
    }
}

async fn add(directory: &Directory, new: NewAccount, password: &Password) -> Result<(), Failure> {
    let (local, domain) = directory::normalise(&new.address)?;
    match directory.account(&new.address).await {
        Ok(known) => return Err(directory::Error::Exists(known.address).into()),
        Err(directory::Error::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let new = NewAccount {
        password: terminal::password(password)?,
        ..new
    };
    let is_new = match directory.add_domain(&domain).await {
        Ok(_) => true,
        Err(directory::Error::Exists(_)) => false,
        Err(error) => return Err(error.into()),
    };
    if let Err(error) = directory.add_account(new).await {
        if is_new {
            directory.remove_domain(&domain).await?;
        }
        return Err(error.into());
    }
    if is_new {
        say(format!("added the domain {domain}"));
    }
    say(format!("added {local}@{domain}"));
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
    let lengths = rows.iter().map(|(account, ..)| account.address.len());
    let width = lengths.max().unwrap_or(0).max(7);
    say(format!(
        "{:width$}  {:>9}  {:>10}  state",
        "address", "messages", "KB"
    ));
    for (account, bytes, messages) in rows {
        say(format!(
            "{:width$}  {messages:>9}  {:>10}  {}",
            account.address,
            bytes.div_ceil(1024),
            state(&account)
        ));
    }
    Ok(())
}

fn state(account: &Kept) -> &'static str {
    match account.enabled {
        true => "open",
        false => "closed",
    }
}

async fn show(engine: &Engine, address: &str) -> Result<(), Failure> {
    let directory = engine.directory();
    let account = directory.account(address).await?;
    let (bytes, messages) = engine.mailboxes().usage(account.id).await?;
    for (what, value) in [
        ("address", account.address.as_str()),
        ("name", &account.name),
        ("state", state(&account)),
        ("class", account.class.as_deref().unwrap_or("-")),
        (
            "holds",
            &format!("{messages} messages, {} KB", bytes.div_ceil(1024)),
        ),
    ] {
        say(format!("{what:17} {value}").trim_end());
    }
    let class = match &account.class {
        Some(name) => directory.class(name).await?,
        None => None,
    };
    let (_, domain) = directory::normalise(&account.address)?;
    let domain = directory.domain(&domain).await?.unwrap_or_default();
    let server = engine.settings();
    let named: Vec<(String, &AccountSettings)> = [("the account".to_owned(), &account.settings)]
        .into_iter()
        .chain(
            class
                .as_ref()
                .map(|class| (format!("the class {}", class.name), &class.settings)),
        )
        .chain([
            (format!("the domain {}", domain.name), &domain.settings),
            ("axigen.cfg".to_owned(), &server.accounts),
        ])
        .collect();
    let levels: Vec<(&str, &AccountSettings)> = named
        .iter()
        .map(|(name, settings)| (name.as_str(), *settings))
        .collect();
    options::effective(&levels);
    Ok(())
}

async fn set(
    directory: &Directory,
    address: &str,
    option: &str,
    value: &str,
) -> Result<(), Failure> {
    let account = directory.account(address).await?;
    match option {
        "name" => directory.set_account_name(address, value).await?,
        "class" => directory.set_account_class(address, Some(value)).await?,
        "enabled" => {
            let enabled = options::truth(option, value)?;
            directory.set_enabled(address, enabled).await?;
        }
        other => {
            let mut settings = account.settings;
            settings.set(other, value)?;
            directory.set_account_settings(address, &settings).await?;
        }
    }
    Ok(())
}

async fn unset(directory: &Directory, address: &str, option: &str) -> Result<(), Failure> {
    let account = directory.account(address).await?;
    match option {
        "name" => directory.set_account_name(address, "").await?,
        "class" => directory.set_account_class(address, None).await?,
        "enabled" => directory.set_enabled(address, true).await?,
        other => {
            let mut settings = account.settings;
            settings.unset(other)?;
            directory.set_account_settings(address, &settings).await?;
        }
    }
    Ok(())
}
