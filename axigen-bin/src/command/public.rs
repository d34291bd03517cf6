//! `axigen public`: public folders, while the server is stopped.

use axigen_core::directory::{self, Directory};
use axigen_core::engine::Engine;
use axigen_core::mailbox::acl::AccessList;
use axigen_core::mailbox::{self, MailboxId};
use axigen_core::proto::imap::extensions::acl::{Change, Rights};
use axigen_core::store::AccountId;

use super::{offline, say};
use crate::cli::{Public, PublicCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Public) -> Result<(), Failure> {
    offline(&options.config.config, async |engine| {
        execute(engine, options.command).await
    })
    .await
}

async fn execute(engine: &Engine, command: PublicCommand) -> Result<(), Failure> {
    let (directory, mailboxes) = (engine.directory(), engine.mailboxes());
    match command {
        PublicCommand::Add {
            domain,
            name,
            readers,
        } => {
            let account = directory.make_public_folders(&domain).await?;
            let who = directory.identify(&readers, &domain).await?;
            let info = mailboxes.create_beside(account, &name).await?;
            let rights = Rights::LOOKUP.with(Rights::READ).with(Rights::SEEN);
            mailboxes
                .set_access(account, info.id, who, Change::Add, rights)
                .await?;
            say(format!("added {} of {domain}: {readers} lrs", info.name));
        }
        PublicCommand::List { domain } => {
            for (of, account) in directory.all_public_folders().await? {
                if domain
                    .as_ref()
                    .is_none_or(|only| only.eq_ignore_ascii_case(&of))
                {
                    list(engine, &of, account).await?;
                }
            }
        }
        PublicCommand::Grant {
            domain,
            name,
            who,
            rights,
        } => {
            let (account, mailbox) = find(engine, &domain, &name).await?;
            let (change, letters) = match (rights.strip_prefix('+'), rights.strip_prefix('-')) {
                (Some(letters), _) => (Change::Add, letters),
                (_, Some(letters)) => (Change::Remove, letters),
                _ => (Change::Replace, rights.as_str()),
            };
            let unknown = || Failure::new(format!("{letters:?} are not rights; see --help"));
            let changed = Rights::parse(letters).ok_or_else(unknown)?;
            let entry = directory.identify(&who, &domain).await?;
            mailboxes
                .set_access(account, mailbox, entry, change, changed)
                .await?;
            let list = mailboxes.access(account, mailbox).await?;
            let held = list.held(entry.0, entry.1);
            say(format!("{name} of {domain}: {who} {}", shown(held)));
        }
        PublicCommand::Rename { domain, name, new } => {
            let (account, _) = find(engine, &domain, &name).await?;
            mailboxes.rename(account, &name, &new).await?;
            say(format!("renamed {name} of {domain} to {new}"));
        }
        PublicCommand::Remove {
            domain,
            name: Some(name),
        } => {
            let (account, _) = find(engine, &domain, &name).await?;
            mailboxes.delete(account, &name).await?;
            say(format!("removed {name} of {domain}"));
        }
        PublicCommand::Remove { domain, name: None } => {
            directory.remove_public_folders(&domain).await?;
            say(format!("removed the public folders of {domain}"));
        }
    }
    Ok(())
}

async fn find(
    engine: &Engine,
    domain: &str,
    name: &str,
) -> Result<(AccountId, MailboxId), Failure> {
    let missing = || directory::Error::NotFound(format!("public folder {name} of {domain}"));
    let account = engine.directory().public_folders(domain).await?;
    let account = account.ok_or_else(missing)?;
    match engine.mailboxes().find(account, name).await {
        Ok(info) => Ok((account, info.id)),
        Err(mailbox::Error::NoSuchMailbox) => Err(missing().into()),
        Err(error) => Err(error.into()),
    }
}

async fn list(engine: &Engine, domain: &str, account: AccountId) -> Result<(), Failure> {
    for info in engine.mailboxes().list(account).await? {
        let access = engine.mailboxes().access(account, info.id).await?;
        let access = entries(engine.directory(), &access).await?;
        say(format!(
            "{domain} {:?}: {} messages; {access}",
            info.name, info.messages
        ));
    }
    Ok(())
}

async fn entries(directory: &Directory, list: &AccessList) -> Result<String, Failure> {
    let mut shown_entries = Vec::with_capacity(list.entries.len());
    for entry in &list.entries {
        if let Some(who) = directory.identifier(entry).await? {
            shown_entries.push(format!("{who} {}", shown(entry.rights)));
        }
    }
    Ok(match shown_entries.is_empty() {
        true => "nobody may see it".to_owned(),
        false => shown_entries.join(", "),
    })
}

fn shown(rights: Rights) -> String {
    match rights.is_empty() {
        true => "nothing".to_owned(),
        false => rights.to_string(),
    }
}
