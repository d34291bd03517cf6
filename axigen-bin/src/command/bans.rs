//! `axigen bans`: who may not connect to a running server, over its control socket.

use axigen_core::control::client::Client;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::queue::{connect, moment, number, text, until};
use super::say;
use crate::cli::{Bans, BansCommand};
use crate::failure::Failure;

pub(crate) async fn run(options: Bans) -> Result<(), Failure> {
    let mut client = connect(&options.at).await?;
    match options.command {
        BansCommand::List { json } => list(&mut client, json).await,
        BansCommand::Lift { peer } => {
            client
                .run("bans.lift", json!({"peer": peer}), |_| {})
                .await?;
            say(format!("{peer} may connect again"));
            Ok(())
        }
        BansCommand::Clear => {
            let done = client.run("bans.clear", json!({}), |_| {}).await?;
            say(format!("{} bans lifted", number(&done, "count")));
            Ok(())
        }
    }
}

async fn list(client: &mut Client, json: bool) -> Result<(), Failure> {
    let now = Timestamp::now();
    let mut any = false;
    let done = client
        .run("bans.list", json!({}), |item| {
            if json {
                return say(item.to_string());
            }
            if !any {
                say(format!(
                    "{:43} {:>7} {:>6} {:>6}",
                    "peer", "for", "time", "faults"
                ));
            }
            any = true;
            row(&item, now);
        })
        .await?;
    match (json, any) {
        (true, _) => {}
        (false, true) => say(format!("{} banned", number(&done, "count"))),
        (false, false) => say("nobody is banned"),
    }
    Ok(())
}

fn row(item: &Value, now: Timestamp) {
    let left = moment(item, "until").map_or(String::new(), |end| until(now, end));
    say(format!(
        "{:43} {left:>7} {:>6} {:>6}",
        text(item, "peer"),
        number(item, "times"),
        number(item, "faults"),
    ));
}
