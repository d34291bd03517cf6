//! What can be set for an account, its class, its domain and the server.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Problem;
use super::file::closest;
use super::values::{Addresses, Retention, Size, Span};
use crate::mailbox::{Quota, names};

/// What the sender of a mail is told when the account is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverQuota {
    /// 452: the sender's server keeps the mail and tries again.
    #[default]
    Temporary,
    /// 552: the mail goes back to the sender at once.
    Refuse,
    /// 452 until the account has been full for `over_quota_wait`, 552 from then on.
    TemporaryThenBounce,
}

impl<'de> Deserialize<'de> for OverQuota {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<OverQuota, D::Error> {
        match String::deserialize(from)?.as_str() {
            // The second is what the first was called: accounts have kept it, and files.
            "temporary" | "defer" => Ok(OverQuota::Temporary),
            "refuse" => Ok(OverQuota::Refuse),
            "temporary_then_bounce" => Ok(OverQuota::TemporaryThenBounce),
            other => Err(D::Error::unknown_variant(
                other,
                &["temporary", "refuse", "temporary_then_bounce"],
            )),
        }
    }
}

/// Messages that an account may have held, if nothing is set.
const HOLD_MESSAGES: u32 = 1000;
/// How long an account may be full before mail goes back, if nothing is set.
const OVER_QUOTA_WAIT: Duration = Duration::from_secs(3 * 86_400);

/// What can be set at each of the four levels: server, domain, account class,
/// account. What is not set is inherited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// Most bytes an account may hold; "0" is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// Most messages an account may hold; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_messages: Option<u64>,
    /// What the sender of a mail is told when the account is full: "temporary" (452:
    /// keep it and try again), "refuse" (552: it goes back at once), or
    /// "temporary_then_bounce" (452 while the account has been full for less than
    /// over_quota_wait, 552 after that).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_quota: Option<OverQuota>,
    /// How long an account may be full before mail for it goes back, with
    /// over_quota = "temporary_then_bounce". It counts from the first mail that
    /// there was no room for, and anew once there was room again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"3d")]
    pub over_quota_wait: Option<Span>,
    /// Largest message the account may get, append or submit, as it is kept;
    /// "0" leaves it to the limits of the services, which hold in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_size: Option<Size>,
    /// Whether the account may use IMAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap: Option<bool>,
    /// Whether the account may use POP3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3: Option<bool>,
    /// Whether the account may send mail by submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<bool>,
    /// Most submission connections of an account at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 32)]
    pub submission_connections: Option<u32>,
    /// Most messages that the account may have held before they go on
    /// (FUTURERELEASE); 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1000)]
    pub hold_messages: Option<u32>,
    /// Most bytes of the messages that the account has held; "0" is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_size: Option<Size>,
    /// Longest time the account may have a message held; "0s" leaves it to
    /// submission.future_release, which holds in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<Span>,
    /// Addresses the account may send as besides its own and the aliases that
    /// lead to it, with commas between them; "@example.org" is all of a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sales@example.org, @example.net")]
    pub send_as: Option<Addresses>,
    /// Whether what the account submits is put into its mailbox for sent mail,
    /// read. Not for people whose mail programs do that themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_copy: Option<bool>,
    /// Addresses that all mail of the account is sent on to, with commas between
    /// them. Not for the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"ann@example.net")]
    pub forward: Option<Addresses>,
    /// Whether the account keeps a copy of what is sent on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_keep: Option<bool>,
    /// Whether mail to user+Folder goes into the folder of that name when it
    /// exists; otherwise into INBOX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plus_folders: Option<bool>,
    /// Most IMAP connections of an account at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 32)]
    pub imap_connections: Option<u32>,
    /// Longest IMAP command without its literals; "0" leaves it to the limit of
    /// the service, which holds in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap_command_size: Option<Size>,
    /// Most bytes of an IMAP command's literals, the message of APPEND not
    /// counted; "0" leaves it to the limit of the service, which holds in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap_literal_size: Option<Size>,
    /// Longest wait for the next IMAP command; "0s" leaves it to the limit of the
    /// service, which holds in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap_idle_timeout: Option<Span>,
    /// Most POP3 connections of an account at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 32)]
    pub pop3_connections: Option<u32>,
    /// The mailbox that POP3 shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"INBOX")]
    pub pop3_mailbox: Option<String>,
    /// Whether who logs in to POP3 as user+Folder is shown the folder of that
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3_folders: Option<bool>,
    /// Whether one POP3 session at a time has a mailbox ("exclusive", as the
    /// standard has it) or several may ("shared").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3_lock: Option<Pop3Lock>,
    /// How long what was fetched by POP3 may stay: "never" (it never expires),
    /// or a number of days as "30d"; with "0d" it goes at the end of the session
    /// that fetched it. Mail nobody has read stays. What stands here below the
    /// server counts only with pop3.expire_varies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"never")]
    pub pop3_expire: Option<Retention>,
    /// Whether mail that was fetched by POP3 counts as read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3_seen: Option<bool>,
}

/// What an account may have held before it goes on (RFC 4865); `None` is no limit
/// of the account's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Most messages.
    pub messages: Option<u32>,
    /// Most bytes.
    pub bytes: Option<u64>,
    /// Longest time.
    pub time: Option<Duration>,
}

impl Holding {
    /// Whether who has so many messages and bytes held may have so many more.
    pub fn admits(&self, held: (u64, u64), more: (u64, u64)) -> bool {
        let within = |most: Option<u64>, held: u64, more: u64| {
            most.is_none_or(|most| held.saturating_add(more) <= most)
        };
        let messages = self.messages.map(u64::from);
        within(messages, held.0, more.0) && within(self.bytes, held.1, more.1)
    }
}

/// How many POP3 sessions may have a mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pop3Lock {
    /// One at a time (RFC 1939 §4).
    #[default]
    Exclusive,
    /// Several; each sees what was there when it began.
    Shared,
}

/// An account's settings with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Most bytes and messages.
    pub quota: Quota,
    /// What a sender is told of a full account.
    pub over_quota: OverQuota,
    /// How long it may be full before mail goes back.
    pub over_quota_wait: Duration,
    /// Largest message, in bytes; `None` is the service's limit.
    pub message_size: Option<u64>,
    /// Whether IMAP is allowed.
    pub imap: bool,
    /// Whether POP3 is allowed.
    pub pop3: bool,
    /// Whether submission is allowed.
    pub submission: bool,
    /// Most submission connections.
    pub submission_connections: u32,
    /// What it may have held.
    pub hold: Holding,
    /// What else the account may send as.
    pub send_as: Vec<String>,
    /// Whether a copy of what it submits is kept.
    pub sent_copy: bool,
    /// Where its mail is sent on to.
    pub forward: Vec<String>,
    /// Whether a copy of that is kept.
    pub forward_keep: bool,
    /// Whether user+Folder goes into a folder.
    pub plus_folders: bool,
    /// Most IMAP connections.
    pub imap_connections: u32,
    /// Longest IMAP command, in bytes; `None` is the service's limit.
    pub imap_command_size: Option<u64>,
    /// Literals of an IMAP command, in bytes; `None` is the service's limit.
    pub imap_literal_size: Option<u64>,
    /// Longest wait for an IMAP command; `None` is the service's limit.
    pub imap_idle_timeout: Option<Duration>,
    /// Most POP3 connections.
    pub pop3_connections: u32,
    /// The mailbox that POP3 shows.
    pub pop3_mailbox: String,
    /// Whether user+Folder logs in to a folder.
    pub pop3_folders: bool,
    /// How many POP3 sessions may have a mailbox.
    pub pop3_lock: Pop3Lock,
    /// How long what was fetched may stay.
    pub pop3_expire: Retention,
    /// Whether what was fetched counts as read.
    pub pop3_seen: bool,
}

impl AccountSettings {
    /// These, and what they leave open from `parent`.
    #[must_use]
    pub fn or(self, parent: &AccountSettings) -> AccountSettings {
        AccountSettings {
            quota: self.quota.or(parent.quota),
            quota_messages: self.quota_messages.or(parent.quota_messages),
            over_quota: self.over_quota.or(parent.over_quota),
            over_quota_wait: self.over_quota_wait.or(parent.over_quota_wait),
            message_size: self.message_size.or(parent.message_size),
            imap: self.imap.or(parent.imap),
            pop3: self.pop3.or(parent.pop3),
            submission: self.submission.or(parent.submission),
            hold_messages: self.hold_messages.or(parent.hold_messages),
            hold_size: self.hold_size.or(parent.hold_size),
            hold_time: self.hold_time.or(parent.hold_time),
            send_as: self.send_as.or_else(|| parent.send_as.clone()),
            sent_copy: self.sent_copy.or(parent.sent_copy),
            forward: self.forward.or_else(|| parent.forward.clone()),
            forward_keep: self.forward_keep.or(parent.forward_keep),
            plus_folders: self.plus_folders.or(parent.plus_folders),
            imap_connections: self.imap_connections.or(parent.imap_connections),
            imap_command_size: self.imap_command_size.or(parent.imap_command_size),
            imap_literal_size: self.imap_literal_size.or(parent.imap_literal_size),
            imap_idle_timeout: self.imap_idle_timeout.or(parent.imap_idle_timeout),
            pop3_connections: self.pop3_connections.or(parent.pop3_connections),
            submission_connections: self
                .submission_connections
                .or(parent.submission_connections),
            pop3_mailbox: self.pop3_mailbox.or_else(|| parent.pop3_mailbox.clone()),
            pop3_folders: self.pop3_folders.or(parent.pop3_folders),
            pop3_lock: self.pop3_lock.or(parent.pop3_lock),
            pop3_expire: self.pop3_expire.or(parent.pop3_expire),
            pop3_seen: self.pop3_seen.or(parent.pop3_seen),
        }
    }

    /// Nothing left open: the built-in defaults fill the rest.
    pub fn effective(&self, server: &AccountSettings) -> Effective {
        let all = self.clone().or(server);
        Effective {
            quota: Quota {
                bytes: limit(all.quota),
                messages: all.quota_messages.filter(|&most| most > 0),
            },
            over_quota: all.over_quota.unwrap_or_default(),
            over_quota_wait: all.over_quota_wait.map_or(OVER_QUOTA_WAIT, |span| span.0),
            message_size: limit(all.message_size),
            imap: all.imap.unwrap_or(true),
            pop3: all.pop3.unwrap_or(true),
            submission: all.submission.unwrap_or(true),
            hold: Holding {
                messages: Some(all.hold_messages.unwrap_or(HOLD_MESSAGES)).filter(|&most| most > 0),
                bytes: limit(all.hold_size),
                time: span(all.hold_time),
            },
            send_as: all.send_as.unwrap_or_default().0,
            sent_copy: all.sent_copy.unwrap_or(false),
            forward: all.forward.unwrap_or_default().0,
            forward_keep: all.forward_keep.unwrap_or(true),
            plus_folders: all.plus_folders.unwrap_or(true),
            imap_connections: all.imap_connections.unwrap_or(32),
            imap_command_size: limit(all.imap_command_size),
            imap_literal_size: limit(all.imap_literal_size),
            imap_idle_timeout: span(all.imap_idle_timeout),
            pop3_connections: all.pop3_connections.unwrap_or(32),
            submission_connections: all.submission_connections.unwrap_or(32),
            pop3_mailbox: all.pop3_mailbox.unwrap_or_else(|| names::INBOX.into()),
            pop3_folders: all.pop3_folders.unwrap_or(true),
            pop3_lock: all.pop3_lock.unwrap_or_default(),
            pop3_expire: all.pop3_expire.unwrap_or_default(),
            pop3_seen: all.pop3_seen.unwrap_or(true),
        }
    }
}

fn span(span: Option<Span>) -> Option<Duration> {
    span.map(|span| span.0).filter(|span| !span.is_zero())
}

fn limit(size: Option<Size>) -> Option<u64> {
    size.map(|size| size.0).filter(|&size| size > 0)
}

impl AccountSettings {
    /// Every option's name and document.
    pub fn options() -> Vec<(String, String)> {
        let schema = Value::from(schemars::schema_for!(AccountSettings));
        let properties = schema.get("properties").and_then(Value::as_object);
        properties
            .into_iter()
            .flatten()
            .map(|(name, option)| {
                let text = option.get("description").and_then(Value::as_str);
                (name.clone(), text.unwrap_or_default().replace('\n', " "))
            })
            .collect()
    }

    /// Sets an option by its name, the value as a person writes it: `1GB`,
    /// `false`, `32`.
    ///
    /// # Errors
    /// No such option, or no such value; nothing is changed then.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), Problem> {
        let words = Value::String(value.to_owned());
        // `true` and `32` are not words, but `1GB` is.
        let plain = serde_json::from_str(value)
            .ok()
            .filter(|plain: &Value| plain.is_boolean() || plain.is_number());
        let as_words = self.with(option, Some(words))?;
        let read = match (as_words, plain) {
            (Err(_), Some(plain)) => self.with(option, Some(plain))?,
            (as_words, _) => as_words,
        };
        *self = read.map_err(|why| Problem::new(option, why))?;
        Ok(())
    }

    /// Leaves an option open again: it is inherited.
    ///
    /// # Errors
    /// No such option.
    pub fn unset(&mut self, option: &str) -> Result<(), Problem> {
        *self = self
            .with(option, None)?
            .map_err(|why| Problem::new(option, why))?;
        Ok(())
    }

    /// With one option changed; the inner error says what is wrong with the value.
    fn with(
        &self,
        option: &str,
        value: Option<Value>,
    ) -> Result<Result<AccountSettings, String>, Problem> {
        let known = AccountSettings::options();
        if !known.iter().any(|(name, _)| name == option) {
            return Err(Problem::unknown(
                option,
                closest(option, known.iter().map(|(name, _)| name.as_str())),
            ));
        }
        let mut all = serde_json::to_value(self).unwrap_or_default();
        if let Some(all) = all.as_object_mut() {
            match value {
                Some(value) => drop(all.insert(option.to_owned(), value)),
                None => drop(all.remove(option)),
            }
        }
        Ok(serde_json::from_value(all)
            .map_err(|error| super::file::plain_words(&error.to_string())))
    }
}

/// One level of the inheritance, by name and value: for [`explain`].
type Level<'a> = (&'a str, &'a AccountSettings);

/// Where the value of an option comes from: the first of `levels` (account
/// first, server last) that sets it, with its value; `default` if none does.
/// `None` if there is no option of that name.
pub fn explain(option: &str, levels: &[Level<'_>]) -> Option<(String, String)> {
    let built_in = AccountSettings::default().effective(&AccountSettings::default());
    let size = |size: Option<u64>| Some(Size(size.unwrap_or(0)));
    let defaults = AccountSettings {
        quota: size(built_in.quota.bytes),
        quota_messages: Some(built_in.quota.messages.unwrap_or(0)),
        over_quota: Some(built_in.over_quota),
        over_quota_wait: Some(Span(built_in.over_quota_wait)),
        message_size: size(built_in.message_size),
        imap: Some(built_in.imap),
        pop3: Some(built_in.pop3),
        submission: Some(built_in.submission),
        hold_messages: Some(built_in.hold.messages.unwrap_or(0)),
        hold_size: size(built_in.hold.bytes),
        hold_time: Some(Span(built_in.hold.time.unwrap_or_default())),
        send_as: Some(Addresses(built_in.send_as)),
        sent_copy: Some(built_in.sent_copy),
        forward: Some(Addresses(built_in.forward)),
        forward_keep: Some(built_in.forward_keep),
        plus_folders: Some(built_in.plus_folders),
        imap_connections: Some(built_in.imap_connections),
        imap_command_size: size(built_in.imap_command_size),
        imap_literal_size: size(built_in.imap_literal_size),
        imap_idle_timeout: Some(Span(built_in.imap_idle_timeout.unwrap_or_default())),
        pop3_connections: Some(built_in.pop3_connections),
        submission_connections: Some(built_in.submission_connections),
        pop3_mailbox: Some(built_in.pop3_mailbox),
        pop3_folders: Some(built_in.pop3_folders),
        pop3_lock: Some(built_in.pop3_lock),
        pop3_expire: Some(built_in.pop3_expire),
        pop3_seen: Some(built_in.pop3_seen),
    };
    let levels = levels.iter().copied().chain([("default", &defaults)]);
    for (name, settings) in levels {
        let set = serde_json::to_value(settings).ok()?;
        if let Some(value) = set.get(option) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            return Some((name.to_owned(), value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_answer_is_read_as_it_is_written_and_as_it_was() {
        for answer in [
            OverQuota::Temporary,
            OverQuota::Refuse,
            OverQuota::TemporaryThenBounce,
        ] {
            let written = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<OverQuota>(&written).unwrap(), answer);
        }
        let kept: AccountSettings = serde_json::from_str(r#"{"over_quota":"defer"}"#).unwrap();
        assert_eq!(kept.over_quota, Some(OverQuota::Temporary));
    }

    #[test]
    fn nearer_levels_win() {
        let account = AccountSettings {
            imap: Some(false),
            ..Default::default()
        };
        let class = AccountSettings {
            quota: Some(Size(0)),
            imap: Some(true),
            ..Default::default()
        };
        let server = AccountSettings {
            quota: Some(Size(100)),
            pop3: Some(false),
            ..Default::default()
        };
        let effective = account.clone().or(&class).effective(&server);
        assert!(!effective.imap && !effective.pop3 && effective.submission);
        assert_eq!(
            effective.quota,
            Quota::NONE,
            "the class lifts the server's quota"
        );
        let levels = [
            ("account", &account),
            ("class", &class),
            ("server", &server),
        ];
        assert_eq!(
            explain("imap", &levels).unwrap(),
            ("account".into(), "false".into())
        );
        assert_eq!(
            explain("quota", &levels).unwrap(),
            ("class".into(), "0B".into())
        );
        assert_eq!(
            explain("pop3", &levels).unwrap(),
            ("server".into(), "false".into())
        );
        assert_eq!(
            explain("imap_connections", &levels).unwrap(),
            ("default".into(), "32".into())
        );
        assert_eq!(explain("nothing", &levels), None);
        for (option, text) in AccountSettings::options() {
            assert!(
                explain(&option, &[]).is_some(),
                "{option} has no default in explain"
            );
            assert!(!text.is_empty(), "{option} has no document");
        }
    }

    #[test]
    fn options_are_set_as_a_person_writes_them() {
        let mut settings = AccountSettings::default();
        for (option, value) in [
            ("quota", "1GB"),
            ("quota_messages", "100"),
            ("over_quota", "temporary_then_bounce"),
            ("over_quota_wait", "12h"),
            ("message_size", "1000"),
            ("imap", "false"),
            ("imap_connections", "5"),
            ("pop3_expire", "30d"),
            ("pop3_mailbox", "New mail"),
            ("pop3_lock", "shared"),
            ("forward", "a@x.test,b@y.test"),
        ] {
            settings.set(option, value).unwrap();
        }
        let want = AccountSettings {
            quota: Some(Size(1 << 30)),
            quota_messages: Some(100),
            over_quota: Some(OverQuota::TemporaryThenBounce),
            over_quota_wait: Some(Span(Duration::from_secs(12 * 3600))),
            message_size: Some(Size(1000)),
            imap: Some(false),
            imap_connections: Some(5),
            pop3_expire: Some(Retention::Days(30)),
            pop3_mailbox: Some("New mail".into()),
            pop3_lock: Some(Pop3Lock::Shared),
            forward: Some(Addresses(vec!["a@x.test".into(), "b@y.test".into()])),
            ..Default::default()
        };
        assert_eq!(settings, want);
        for (option, value, said) in [
            (
                "quta",
                "1GB",
                "there is no option quta; did you mean quota?",
            ),
            (
                "quota",
                "much",
                "quota: \"much\" is not a size like \"64KB\" or \"50MB\"",
            ),
            (
                "imap",
                "yes",
                "imap: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "imap",
                "1",
                "imap: invalid type: integer `1`, expected a boolean",
            ),
            (
                "imap_connections",
                "-1",
                "imap_connections: invalid value: integer `-1`, expected a number from 0 to 4294967295",
            ),
            (
                "over_quota",
                "maybe",
                "over_quota: unknown variant `maybe`, expected one of `temporary`, `refuse`, `temporary_then_bounce`",
            ),
            (
                "imap",
                "null",
                "imap: invalid type: string \"null\", expected a boolean",
            ),
        ] {
            let problem = settings.set(option, value).unwrap_err();
            assert_eq!(problem.to_string(), said);
            assert_eq!(settings, want, "{said}");
        }
        settings.unset("imap").unwrap();
        assert_eq!(settings.imap, None);
        assert!(settings.unset("imp").is_err());
    }
}
