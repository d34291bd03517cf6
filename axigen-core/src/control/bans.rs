//! The commands of the ban list: `bans.list`, `bans.lift`, `bans.clear`.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answers, Command, Failed, Kind, read};
use crate::net::bans::Bans;

/// All commands of the ban list.
pub(crate) fn commands(bans: &Bans) -> Vec<Arc<dyn Command>> {
    vec![
        Arc::new(List(bans.clone())),
        Arc::new(Lift(bans.clone())),
        Arc::new(Clear(bans.clone())),
    ]
}

/// No arguments at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug)]
struct List(Bans);

#[async_trait]
impl Command for List {
    fn name(&self) -> &'static str {
        "bans.list"
    }

    fn about(&self) -> &'static str {
        "gives the peers that are banned, each as an item"
    }

    async fn run(&self, arguments: Value, answers: &mut Answers<'_>) -> Result<Value, Failed> {
        let Nothing {} = read(arguments)?;
        let bans = self.0.list();
        for ban in &bans {
            let item = json!({
                "peer": ban.peer.to_string(),
                "since": ban.since.to_string(),
                "until": ban.until.to_string(),
                "times": ban.times,
                "faults": ban.faults,
            });
            answers.item(&item).await?;
        }
        Ok(json!({"count": bans.len()}))
    }
}

#[derive(Debug)]
struct Lift(Bans);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiftArguments {
    peer: IpAddr,
}

#[async_trait]
impl Command for Lift {
    fn name(&self) -> &'static str {
        "bans.lift"
    }

    fn about(&self) -> &'static str {
        "lets a peer in again, and forgets its faults"
    }

    async fn run(&self, arguments: Value, _: &mut Answers<'_>) -> Result<Value, Failed> {
        let wanted: LiftArguments = read(arguments)?;
        match self.0.lift(wanted.peer).await {
            Ok(true) => Ok(json!({"count": 1})),
            Ok(false) => Err(Failed::new(
                Kind::NotFound,
                format!("{} is not banned", wanted.peer),
            )),
            Err(error) => Err(Failed::new(Kind::Failed, error)),
        }
    }
}

#[derive(Debug)]
struct Clear(Bans);

#[async_trait]
impl Command for Clear {
    fn name(&self) -> &'static str {
        "bans.clear"
    }

    fn about(&self) -> &'static str {
        "lets everybody in again, and forgets all faults"
    }

    async fn run(&self, arguments: Value, _: &mut Answers<'_>) -> Result<Value, Failed> {
        let Nothing {} = read(arguments)?;
        let cleared = self.0.clear().await;
        let count = cleared.map_err(|error| Failed::new(Kind::Failed, error))?;
        Ok(json!({"count": count}))
    }
}
