//! The commands of the queue: `queue.stat`, `queue.list`, `queue.show`, and
//! those that change it.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Answers, Command, Failed, Kind, read};
use crate::delivery::{Delivery, Outgoing};
use crate::filter::header_fields;
use crate::queue::control::Change;
use crate::queue::entry::{Attempt, Entry, EntryId, Recipient};
use crate::queue::list::{Filter, Listed};
use crate::queue::{Error, Queue, State};

/// Entries that are changed in one batch.
const TOGETHER: usize = 500;
/// Entries that are sent back at the same time.
const AT_ONCE: usize = 16;
/// Most bytes of a message's header that are shown.
const HEADER: u64 = 64 << 10;

/// All commands of the queue.
pub(crate) fn commands(outgoing: &Outgoing, delivery: &Delivery) -> Vec<Arc<dyn Command>> {
    let of = Of {
        outgoing: outgoing.clone(),
        delivery: delivery.clone(),
    };
    let mut commands: Vec<Arc<dyn Command>> = vec![
        Arc::new(Stat(of.clone())),
        Arc::new(List(of.clone())),
        Arc::new(Show(of.clone())),
    ];
    for what in [
        What::Change(Change::Retry),
        What::Change(Change::Hold),
        What::Change(Change::Release),
        What::Change(Change::Drop),
        What::Bounce,
    ] {
        let of = of.clone();
        commands.push(Arc::new(Do { of, what }));
    }
    commands
}

#[derive(Debug, Clone)]
struct Of {
    outgoing: Outgoing,
    delivery: Delivery,
}

impl Of {
    fn queue(&self) -> &Queue {
        &self.outgoing.queue
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let kind = match &error {
            Error::NotFound(_) => Kind::NotFound,
            Error::Busy(_) => Kind::Busy,
            _ => Kind::Failed,
        };
        Failed::new(kind, error)
    }
}

/// An entry as it is answered.
#[derive(Debug, Serialize)]
struct Shown<'e> {
    id: String,
    mail: &'e str,
    state: State,
    next: Option<Timestamp>,
    sender: &'e str,
    lane: &'e str,
    recipients: &'e [Recipient],
    size: u64,
    came: Timestamp,
    expires: Timestamp,
    attempts: u32,
    last: Option<&'e Attempt>,
    user: Option<&'e str>,
    utf8: bool,
    require_tls: bool,
    priority: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
}

impl<'e> Shown<'e> {
    fn new(listed: &'e Listed) -> Shown<'e> {
        let entry = &listed.entry;
        Shown {
            id: listed.id.to_string(),
            mail: &entry.mail,
            state: listed.state,
            next: listed.next,
            sender: &entry.sender,
            lane: &entry.lane,
            recipients: &entry.recipients,
            size: entry.size(),
            came: entry.came,
            expires: entry.expires,
            attempts: entry.attempts,
            last: entry.last.as_ref(),
            user: entry.user.as_deref(),
            utf8: entry.utf8,
            require_tls: entry.require_tls,
            priority: entry.priority,
            header: None,
        }
    }
}

/// No arguments at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug)]
struct Stat(Of);

#[async_trait]
impl Command for Stat {
    fn name(&self) -> &'static str {
        "queue.stat"
    }

    fn about(&self) -> &'static str {
        "says how many entries, recipients and bytes the queue holds"
    }

    async fn run(&self, arguments: Value, _: &mut Answers<'_>) -> Result<Value, Failed> {
        let Nothing {} = read(arguments)?;
        let stat = self.0.queue().stat().await?;
        serde_json::to_value(stat).map_err(|error| Failed::new(Kind::Failed, error))
    }
}

#[derive(Debug)]
struct List(Of);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArguments {
    #[serde(default)]
    filter: Filter,
    /// The first entry that is looked at.
    #[serde(default)]
    from: Option<String>,
    /// Most entries; all if it is not there.
    #[serde(default)]
    limit: Option<usize>,
}

#[async_trait]
impl Command for List {
    fn name(&self) -> &'static str {
        "queue.list"
    }

    fn about(&self) -> &'static str {
        "gives the entries that are meant, each as an item, and where to go on"
    }

    async fn run(&self, arguments: Value, answers: &mut Answers<'_>) -> Result<Value, Failed> {
        let wanted: ListArguments = read(arguments)?;
        let mut from = wanted.from.as_deref().map(id).transpose()?;
        let mut left = wanted.limit.unwrap_or(usize::MAX);
        let mut count = 0;
        let next = loop {
            let page = self
                .0
                .queue()
                .list(&wanted.filter, from, left.min(TOGETHER))
                .await?;
            for listed in &page.entries {
                answers.item(&Shown::new(listed)).await?;
            }
            count += page.entries.len();
            left -= page.entries.len();
            if left == 0 || page.next.is_none() {
                break page.next;
            }
            from = page.next;
            answers.on()?;
        };
        Ok(json!({"count": count, "next": next.map(|next| next.to_string())}))
    }
}

#[derive(Debug)]
struct Show(Of);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowArguments {
    id: String,
    /// The message's header too.
    #[serde(default)]
    header: bool,
}

#[async_trait]
impl Command for Show {
    fn name(&self) -> &'static str {
        "queue.show"
    }

    fn about(&self) -> &'static str {
        "gives the entries of a name, with the message's header if that is wanted"
    }

    async fn run(&self, arguments: Value, answers: &mut Answers<'_>) -> Result<Value, Failed> {
        let wanted: ShowArguments = read(arguments)?;
        let queue = self.0.queue();
        let ids = named(queue, &wanted.id).await?;
        for id in &ids {
            let listed = match queue.show(*id).await {
                Ok(listed) => listed,
                // Gone a moment ago; the others are shown.
                Err(Error::NotFound(_)) if ids.len() > 1 => continue,
                Err(error) => return Err(error.into()),
            };
            let mut shown = Shown::new(&listed);
            if wanted.header {
                shown.header = Some(header(queue, &listed.entry).await?);
            }
            answers.item(&shown).await?;
        }
        Ok(json!({"count": ids.len()}))
    }
}

async fn header(queue: &Queue, entry: &Entry) -> Result<String, Failed> {
    let start = queue.piece(entry, 0..HEADER).await?;
    let length: usize = header_fields(&start).map(<[u8]>::len).sum();
    let header = start.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(header).into_owned())
}

/// What is done to entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Change(Change),
    /// The sender is told, and the entry is gone.
    Bounce,
}

#[derive(Debug)]
struct Do {
    of: Of,
    what: What,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoArguments {
    /// Entries by name.
    #[serde(default)]
    ids: Vec<String>,
    /// Or all that are meant.
    #[serde(default)]
    filter: Option<Filter>,
    /// What a sender hears of it; for `queue.bounce`.
    #[serde(default)]
    reason: Option<String>,
}

/// How many entries were changed, and how many were not.
#[derive(Debug, Default, Serialize)]
struct Counts {
    changed: u64,
    left: u64,
}

#[async_trait]
impl Command for Do {
    fn name(&self) -> &'static str {
        match self.what {
            What::Change(Change::Retry) => "queue.retry",
            What::Change(Change::Hold) => "queue.hold",
            What::Change(Change::Release) => "queue.release",
            What::Change(Change::Drop) => "queue.drop",
            What::Bounce => "queue.bounce",
        }
    }

    fn about(&self) -> &'static str {
        match self.what {
            What::Change(Change::Retry) => "tries entries now, also those whose lane rests",
            What::Change(Change::Hold) => "keeps entries from being tried until they are released",
            What::Change(Change::Release) => "lets entries be tried that were held",
            What::Change(Change::Drop) => "removes entries; nobody is told",
            What::Bounce => "sends entries back: their senders are told that they failed",
        }
    }

    async fn run(&self, arguments: Value, answers: &mut Answers<'_>) -> Result<Value, Failed> {
        let wanted: DoArguments = read(arguments)?;
        if wanted.reason.is_some() && self.what != What::Bounce {
            return Err(Failed::new(
                Kind::Arguments,
                "only queue.bounce takes a reason",
            ));
        }
        let reason = wanted.reason.as_deref();
        let mut counts = Counts::default();
        match (wanted.ids.as_slice(), wanted.filter) {
            ([], Some(filter)) => {
                self.filtered(filter, reason, answers, &mut counts).await?;
            }
            (names @ [_, ..], None) => {
                let mut ids = BTreeSet::new();
                for name in names {
                    match named(self.of.queue(), name).await {
                        Ok(some) => ids.extend(some),
                        Err(failed) => {
                            counts.left += 1;
                            answers.item(&json!({"id": name, "error": failed})).await?;
                        }
                    }
                }
                let ids: Vec<EntryId> = ids.into_iter().collect();
                for some in ids.chunks(TOGETHER) {
                    self.some(some, reason, answers, &mut counts).await?;
                }
            }
            _ => {
                return Err(Failed::new(
                    Kind::Arguments,
                    "name entries (ids), or say which are meant (filter), not both",
                ));
            }
        }
        serde_json::to_value(counts).map_err(|error| Failed::new(Kind::Failed, error))
    }
}

impl Do {
    /// Everything that is meant and was there when the command came.
    async fn filtered(
        &self,
        filter: Filter,
        reason: Option<&str>,
        answers: &mut Answers<'_>,
        counts: &mut Counts,
    ) -> Result<(), Failed> {
        let queue = self.of.queue();
        let last = queue.last().await?;
        let mut from = None;
        loop {
            let page = queue.list(&filter, from, TOGETHER).await?;
            let ids: Vec<EntryId> = page
                .entries
                .iter()
                .map(|listed| listed.id)
                // What came since is not meant: a part of one that was divided.
                .filter(|id| id.message <= last)
                .collect();
            self.some(&ids, reason, answers, counts).await?;
            answers.on()?;
            match page.next {
                Some(next) if next.message <= last => from = Some(next),
                _ => break,
            }
        }
        if self.what == What::Change(Change::Retry) {
            self.force(&filter);
        }
        Ok(())
    }

    /// The lane that a filter names is tried even if nothing in it was meant.
    fn force(&self, filter: &Filter) {
        let queue = self.of.queue();
        if let Some(lane) = &filter.lane {
            queue.wake_lane(lane);
        }
        let routes = self.of.outgoing.routes.load();
        if let Some(domain) = &filter.domain
            && let Ok(lane) = routes.lane(domain)
        {
            queue.wake_lane(&lane);
        }
    }

    async fn some(
        &self,
        ids: &[EntryId],
        reason: Option<&str>,
        answers: &mut Answers<'_>,
        counts: &mut Counts,
    ) -> Result<(), Failed> {
        let done = match self.what {
            What::Change(change) => self.of.queue().change_all(ids, change).await?,
            What::Bounce => {
                let delivery = &self.of.delivery;
                let bounced = ids.iter().copied().map(|id| async move {
                    let done = delivery.bounce(id, reason).await;
                    (id, done)
                });
                futures_util::stream::iter(bounced)
                    .buffered(AT_ONCE)
                    .collect()
                    .await
            }
        };
        for (id, done) in done {
            match done {
                Ok(entry) => {
                    counts.changed += 1;
                    tracing::info!(
                        id = entry.mail,
                        entry = %id,
                        sender = entry.sender,
                        command = self.name(),
                        "an administrator changed an entry of the queue"
                    );
                    answers
                        .item(&json!({"id": id.to_string(), "mail": entry.mail}))
                        .await?;
                }
                Err(error) => {
                    counts.left += 1;
                    let error = Failed::from(error);
                    answers
                        .item(&json!({"id": id.to_string(), "error": error}))
                        .await?;
                }
            }
        }
        Ok(())
    }
}

fn id(text: &str) -> Result<EntryId, Failed> {
    text.parse()
        .map_err(|error| Failed::new(Kind::Arguments, error))
}

/// The entries of a name: one (`1042-0`), or all of a message, by its number
/// (`1042`) or by our id of it.
async fn named(queue: &Queue, name: &str) -> Result<Vec<EntryId>, Failed> {
    if let Ok(id) = name.parse::<EntryId>() {
        return Ok(vec![id]);
    }
    let mut ids = queue.of_message(name).await?;
    if ids.is_empty()
        && let Ok(message) = name.parse::<u64>()
    {
        let filter = Filter {
            message: Some(message),
            ..Filter::default()
        };
        let mut from = None;
        loop {
            let page = queue.list(&filter, from, TOGETHER).await?;
            ids.extend(page.entries.iter().map(|listed| listed.id));
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
    }
    match ids.is_empty() {
        true => Err(Failed::new(
            Kind::NotFound,
            format!("there is no entry and no message {name} in the queue"),
        )),
        false => Ok(ids),
    }
}
