//! `axigen queue`: the queue of a running server, over its control socket.

use axigen_core::control::client::{Client, Error};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{load, say};
use crate::cli::{Change, Queue, QueueCommand, Where, Which};
use crate::failure::Failure;
use crate::terminal;

/// Most entries whose failures are named.
const REASONS: usize = 20;

pub(crate) async fn run(options: Queue) -> Result<(), Failure> {
    let at = &options.at;
    match options.command {
        QueueCommand::Stat { json } => stat(at, json).await,
        QueueCommand::List {
            which,
            limit,
            from,
            json,
        } => list(at, &which, limit, from, json).await,
        QueueCommand::Show { ids, header, json } => show(at, &ids, header, json).await,
        QueueCommand::Retry(change) => apply(at, "retry", change, None).await,
        QueueCommand::Hold(change) => apply(at, "hold", change, None).await,
        QueueCommand::Release(change) => apply(at, "release", change, None).await,
        QueueCommand::Drop(change) => apply(at, "drop", change, None).await,
        QueueCommand::Bounce { change, reason } => apply(at, "bounce", change, reason).await,
    }
}

/// A connection to the server that is meant.
pub(super) async fn connect(at: &Where) -> Result<Client, Failure> {
    let path = match (&at.dir, &at.config) {
        (Some(dir), _) => dir.join(axigen_core::control::SOCKET),
        (None, config) => {
            let settings = load(config)?;
            if !settings.control.enable {
                return Err(Failure::new(format!(
                    "{}: [control] enable is false, so the server has no socket to be asked by",
                    config.display()
                )));
            }
            settings.control.path(&settings.directory)
        }
    };
    Client::connect(&path).await.map_err(|error| match error {
        Error::NoServer(path) => Failure::new(format!(
            "no server answers at {}: start it first (`axigen serve --config FILE`), or name the \
             directory of the one that runs (--dir DIR, or --config FILE)",
            path.display()
        )),
        other => other.into(),
    })
}

async fn stat(at: &Where, json: bool) -> Result<(), Failure> {
    let stat = connect(at)
        .await?
        .run("queue.stat", json!({}), |_| {})
        .await?;
    if json {
        say(stat.to_string());
        return Ok(());
    }
    for (what, name) in [
        ("entries", "entries"),
        ("held", "of these held"),
        ("recipients", "recipients"),
        ("bytes", "bytes"),
    ] {
        say(format!("{name:14} {:>14}", number(&stat, what)));
    }
    Ok(())
}

async fn list(
    at: &Where,
    which: &Which,
    limit: Option<usize>,
    from: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let arguments = json!({"filter": filter(which)?, "limit": limit, "from": from});
    let mut client = connect(at).await?;
    let now = Timestamp::now();
    let mut any = false;
    let done = client
        .run("queue.list", arguments, |item| match json {
            true => say(item.to_string()),
            false => {
                if !any {
                    say(format!(
                        "{:12} {:8} {:>7} {:>9} {:>7}  from and to",
                        "entry", "state", "age", "bytes", "next"
                    ));
                }
                any = true;
                row(&item, now);
            }
        })
        .await?;
    if json {
        return Ok(());
    }
    match (done.get("next").and_then(Value::as_str), any) {
        (Some(next), _) => say(format!("there are more: --from {next}")),
        (None, true) => say(format!("{} entries", number(&done, "count"))),
        (None, false) => say("no entries"),
    }
    Ok(())
}

/// An entry in one line, and why it waits in a second.
fn row(item: &Value, now: Timestamp) {
    let recipients = item.get("recipients").and_then(Value::as_array);
    let recipients = recipients.map_or(&[][..], Vec::as_slice);
    let more = match recipients.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let first = recipients.first().map_or("", |to| text(to, "address"));
    let next = match text(item, "state") {
        "deferred" => moment(item, "next").map_or(String::new(), |next| until(now, next)),
        _ => "-".into(),
    };
    let age = moment(item, "came").map_or(String::new(), |came| until(came, now));
    say(format!(
        "{:12} {:8} {age:>7} {:>9} {next:>7}  <{}> to <{first}>{more}",
        text(item, "id"),
        text(item, "state"),
        number(item, "size"),
        text(item, "sender"),
    ));
    if let Some(why) = why(item) {
        say(format!("             {why}"));
    }
}

/// What became of the last try.
fn why(item: &Value) -> Option<String> {
    let last = item.get("last").filter(|last| last.is_object())?;
    let what = match text(last, "what") {
        // Then each recipient has its own.
        "" => {
            let recipients = item.get("recipients").and_then(Value::as_array)?;
            let said = recipients.iter().find_map(|to| to.get("last"))?;
            text(said, "words")
        }
        what => what,
    };
    Some(match text(last, "host") {
        "" => line(what),
        host => format!("{}: {}", line(host), line(what)),
    })
    .filter(|why| !why.is_empty())
}

async fn show(at: &Where, ids: &[String], header: bool, json: bool) -> Result<(), Failure> {
    let mut client = connect(at).await?;
    let now = Timestamp::now();
    for id in ids {
        client
            .run(
                "queue.show",
                json!({"id": id, "header": header}),
                |item| match json {
                    true => say(item.to_string()),
                    false => describe(&item, now),
                },
            )
            .await?;
    }
    Ok(())
}

/// An entry with everything that is known of it.
fn describe(item: &Value, now: Timestamp) {
    let time = |name: &str| {
        let at = moment(item, name)?;
        let how_long = match at > now {
            true => format!("in {}", until(now, at)),
            false => format!("{} ago", until(at, now)),
        };
        Some(format!("{} ({how_long})", at.strftime("%F %T UTC")))
    };
    let user = item.get("user").and_then(Value::as_str);
    for (what, value) in [
        ("entry", Some(text(item, "id").to_owned())),
        ("message", Some(text(item, "mail").to_owned())),
        ("state", Some(text(item, "state").to_owned())),
        ("sender", Some(format!("<{}>", text(item, "sender")))),
        ("submitted by", user.map(str::to_owned)),
        ("lane", Some(text(item, "lane").to_owned())),
        ("bytes", Some(number(item, "size").to_string())),
        ("came", time("came")),
        ("expires", time("expires")),
        ("tries", Some(number(item, "attempts").to_string())),
        ("next try", time("next")),
        ("last try", why(item)),
    ] {
        if let Some(value) = value {
            say(format!("{what:13} {}", line(&value)));
        }
    }
    let recipients = item.get("recipients").and_then(Value::as_array);
    for to in recipients.into_iter().flatten() {
        say(format!("{:13} <{}>", "to", text(to, "address")));
        if let Some(said) = to.get("last").filter(|said| said.is_object()) {
            say(format!("{:13} {}", "", line(text(said, "words"))));
        }
    }
    if let Some(header) = item.get("header").and_then(Value::as_str) {
        for field in header.lines() {
            say(format!("| {}", line(field)));
        }
    }
    say("");
}

async fn apply(
    at: &Where,
    command: &str,
    change: Change,
    reason: Option<String>,
) -> Result<(), Failure> {
    let filter = filter(&change.which)?;
    let by_filter = change.all || !filter.is_empty();
    if by_filter != change.ids.is_empty() {
        return Err(Failure::new(match by_filter {
            true => "name entries, or say which are meant (--sender, --domain, --all …), not both",
            false => "name entries, or say which are meant: --sender, --domain, --all …",
        }));
    }
    if matches!(command, "drop" | "bounce") && by_filter && !change.yes {
        let what = match command {
            "drop" => "Remove all that is meant, and tell nobody?",
            _ => "Send all that is meant back to its senders?",
        };
        if !terminal::confirmed(what)? {
            return Err(Failure::new("nothing was changed"));
        }
    }
    let mut arguments = match by_filter {
        true => json!({"filter": filter}),
        false => json!({"ids": change.ids}),
    };
    if let (Some(reason), Some(arguments)) = (reason, arguments.as_object_mut()) {
        arguments.insert("reason".into(), reason.into());
    }
    let json = change.json;
    let mut left = Vec::new();
    let done = connect(at)
        .await?
        .run(&format!("queue.{command}"), arguments, |item| {
            if json {
                say(item.to_string());
            }
            let Some(error) = item.get("error") else {
                return;
            };
            // What is being sent, or is gone, is left out of what conditions mean.
            let expected = by_filter && matches!(text(error, "kind"), "busy" | "not-found");
            if !expected && left.len() < REASONS {
                left.push(text(error, "text").to_owned());
            }
        })
        .await?;
    if !json {
        let many = number(&done, "left");
        let rest = match many {
            0 => String::new(),
            _ if by_filter && left.is_empty() => {
                format!("; {many} being sent at this moment were left alone")
            }
            _ => format!("; {many} not"),
        };
        let done = number(&done, "changed");
        let what = match command {
            "retry" => "to be tried now",
            "hold" => "held",
            "release" => "released",
            "drop" => "dropped",
            _ => "sent back",
        };
        say(format!("{done} {what}{rest}"));
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(left.join("\naxigen: "))),
    }
}

/// As the server takes it.
fn filter(which: &Which) -> Result<Map<String, Value>, Failure> {
    let mut filter = Map::new();
    let now = Timestamp::now();
    let ago = |span: &axigen_core::settings::Span| {
        let at = now.checked_sub(span.0);
        at.unwrap_or(Timestamp::MIN).to_string()
    };
    for (name, value) in [
        ("sender", which.sender.clone()),
        ("recipient", which.recipient.clone()),
        ("domain", which.domain.clone()),
        ("lane", which.lane.clone()),
        ("mail", which.message.clone()),
        ("state", which.state.map(|state| state.to_string())),
        ("before", which.older.as_ref().map(ago)),
        ("since", which.newer.as_ref().map(ago)),
    ] {
        if let Some(value) = value {
            filter.insert(name.into(), value.into());
        }
    }
    Ok(filter)
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

pub(super) fn moment(value: &Value, name: &str) -> Option<Timestamp> {
    text(value, name).parse().ok()
}

/// What others wrote, in one line, without what would move the cursor.
fn line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// How long, in its largest unit and the next: `2d 3h`.
pub(super) fn until(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_and_words_read_well() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_660, "1h 1m"),
            (90_000, "1d 1h"),
            (-5, "0s"),
        ] {
            assert_eq!(until(at(0), at(seconds)), shown);
        }
        let item = json!({
            "last": {"at": "2026-11-28T12:00:00Z", "host": "mx.test", "what": ""},
            "recipients": [{"address": "a@b.test", "last": {"words": "452 4.2.2 full\u{1b}[2J"}}],
        });
        assert_eq!(why(&item).unwrap(), "mx.test: 452 4.2.2 full [2J");
        assert_eq!(why(&json!({"last": null})), None);
    }
}
