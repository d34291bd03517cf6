//! What can be set for a service.

use std::num::NonZeroU32;
use std::time::Duration;

use axigen_proto::imap::extensions::messagelimit::MessageLimit;
use axigen_proto::limits::{ImapLimits, Pop3Limits};
use axigen_proto::pop3::text::Language;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{AccessRule, ConnectionLimits};
use super::listener::ListenerSettings;
use super::values::{Size, Span};

/// What all services have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Common {
    /// Whether the service runs.
    pub enable: bool,
    /// Processing threads of its own; 0 means it shares the server's.
    pub threads: usize,
    /// Most errors of a peer before the connection is closed.
    pub errors: u32,
    /// Most failed logins before the connection is closed.
    pub auth_failures: u32,
    /// Limits on the connections of each of its listeners.
    pub limits: ConnectionLimits,
    /// Rules that accept or deny at all of its listeners, after the listener's own.
    pub rules: Vec<AccessRule>,
    /// Where it listens.
    pub listeners: Vec<ListenerSettings>,
}

impl Default for Common {
    fn default() -> Common {
        Common {
            enable: false,
            threads: 0,
            errors: 20,
            auth_failures: 5,
            limits: ConnectionLimits::default(),
            rules: Vec::new(),
            listeners: Vec::new(),
        }
    }
}

/// IMAP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImapSettings {
    /// What all services have in common.
    #[serde(flatten)]
    pub common: Common,
    /// Largest message that can be appended.
    pub message_size: Size,
    /// Most messages in one APPEND, which come together or not at all; at most
    /// 1000.
    pub append_messages: usize,
    /// Most bytes of all messages of one APPEND; they are held until the last
    /// has come. One alone may always be as large as message_size.
    pub append_size: Size,
    /// Most parts of the messages of one APPEND (CATENATE).
    pub append_parts: usize,
    /// Longest command without its literals.
    pub command_size: Size,
    /// Longest command before login.
    pub login_command_size: Size,
    /// Most bytes of a command's literals together, the message of APPEND not
    /// counted.
    pub literal_size: Size,
    /// Most literals of a command.
    pub literals: usize,
    /// Deepest nesting of the conditions of SEARCH.
    pub nesting: usize,
    /// Longest wait for the next command, in IDLE as well; the standard asks for
    /// 30 minutes.
    pub idle_timeout: Span,
    /// How often a client in IDLE hears that the connection is still there;
    /// "0s" is never.
    pub idle_remark: Span,
    /// Longest wait before login.
    pub login_timeout: Span,
    /// Whether clients may have the connection compressed.
    pub compress: bool,
    /// What separates the levels of mailbox names: "/" or ".". In names that hold
    /// the other character the two change places, so nothing is lost by changing
    /// it; clients have to be told the new names.
    pub separator: char,
    /// Whether a client that has not enabled UTF8=ACCEPT is shown headers in ASCII
    /// and refused messages with other ones, which is the letter of RFC 9755 §8.
    /// Without it every client brings and gets the bytes as they are: clients
    /// have lived with raw headers of old mail for long, and one that copies a
    /// mailbox here would lose what is refused.
    pub ascii_headers: bool,
    /// What GETMETADATA says of the server: a sentence (/shared/comment).
    pub comment: String,
    /// What GETMETADATA says of who looks after the server: a URL, as
    /// "mailto:postmaster@example.org" (/shared/admin).
    pub admin: String,
    /// Largest value that SETMETADATA may set.
    pub annotation_size: Size,
    /// Most shared entries of a mailbox, and most private ones of one user.
    pub annotations: u32,
    /// First level of the names of mailboxes that other users share; "" shows
    /// none.
    pub other_users: String,
    /// First level of the names of the domain's public folders; "" shows none.
    pub public_folders: String,
    /// Whether users may share a mailbox with everyone at once ("anyone",
    /// "authenticated"). It then shows up in everyone's list.
    pub share_with_anyone: bool,
    /// Whether users may share mailboxes with users of other domains of this
    /// server. Otherwise they are not even told who is there.
    pub share_across_domains: bool,
    /// Most URLs in one GENURLAUTH or URLFETCH.
    pub urls: usize,
    /// Accounts of submission servers, by address: they may read what URLs name
    /// that users made for their submissions (URLAUTH, access "submit+").
    pub url_submitters: Vec<String>,
    /// Most searches of one connection whose results are kept up to date
    /// (CONTEXT); 0 keeps none.
    pub search_contexts: u32,
    /// Most mailboxes of other users and of the domain that one connection is
    /// told of (NOTIFY); who asks for more is refused.
    pub notify_mailboxes: usize,
    /// Most mailboxes that one command searches (ESEARCH); a search in more is
    /// refused.
    pub search_mailboxes: u32,
    /// Most messages that one command reads, changes, copies or moves
    /// (MESSAGELIMIT); 0 is no limit, and tells clients of none. Of more, the
    /// newest are dealt with, which a client that does not know the extension
    /// cannot notice: no less than 1000, better more than any mailbox holds.
    pub message_limit: u32,
    /// Most messages that one COPY or APPEND brings (SAVELIMIT), where
    /// message_limit is 0; 0 is no limit.
    pub save_limit: u32,
    /// How often a client is told that its command is still worked on
    /// (INPROGRESS); 0 never tells it.
    pub progress_interval: Span,
}

impl Default for ImapSettings {
    fn default() -> ImapSettings {
        let limits = ImapLimits::default();
        ImapSettings {
            common: Common {
                errors: limits.errors,
                ..Common::default()
            },
            message_size: Size(limits.message_size),
            append_messages: 1000,
            append_size: Size(100 * 1024 * 1024),
            append_parts: 1000,
            command_size: Size(limits.command as u64),
            login_command_size: Size(limits.command_before_login as u64),
            literal_size: Size(limits.literal as u64),
            literals: limits.literals,
            nesting: limits.nesting,
            idle_timeout: Span(limits.idle_timeout),
            idle_remark: Span(limits.idle_remark),
            login_timeout: Span(limits.login_timeout),
            compress: true,
            separator: '/',
            comment: String::new(),
            admin: String::new(),
            annotation_size: Size(64 * 1024),
            annotations: 200,
            other_users: "Other Users".to_owned(),
            public_folders: "Public".to_owned(),
            share_with_anyone: false,
            share_across_domains: false,
            urls: 100,
            url_submitters: Vec::new(),
            ascii_headers: false,
            search_contexts: 16,
            notify_mailboxes: 5000,
            search_mailboxes: 10_000,
            // RFC 9738: what is in reach of clients that do not know it harms them.
            message_limit: 10_000_000,
            save_limit: 0,
            // RFC 9585 §4: not so often that it is a burden.
            progress_interval: Span(Duration::from_secs(10)),
        }
    }
}

impl ImapSettings {
    /// What clients are told of limits, and what is kept to.
    pub fn limit_of_messages(&self) -> MessageLimit {
        let messages = NonZeroU32::new(self.message_limit).map(MessageLimit::Messages);
        let saves = NonZeroU32::new(self.save_limit).map(MessageLimit::Saves);
        messages.or(saves).unwrap_or_default()
    }

    /// The session's limits.
    pub fn session_limits(&self) -> ImapLimits {
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        ImapLimits {
            message_size: self.message_size.0,
            command: bytes(self.command_size),
            command_before_login: bytes(self.login_command_size),
            literal: bytes(self.literal_size),
            literals: self.literals,
            nesting: self.nesting,
            idle_remark: self.idle_remark.0,
            errors: self.common.errors,
            auth_failures: self.common.auth_failures,
            idle_timeout: self.idle_timeout.0,
            login_timeout: self.login_timeout.0,
        }
    }
}

/// POP3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Pop3Settings {
    /// What all services have in common.
    #[serde(flatten)]
    pub common: Common,
    /// Longest wait for the next command; the standard asks for 10 minutes.
    pub idle_timeout: Span,
    /// Longest wait before login.
    pub login_timeout: Span,
    /// How long an account must wait between two logins; "0s" is no wait. A
    /// client that asks too often is told when it may (LOGIN-DELAY).
    pub login_delay: Span,
    /// Whether domains, account classes and accounts may have a pop3_expire of
    /// their own. Clients are then told before the login that mail may go at once,
    /// and after it what holds for them.
    pub expire_varies: bool,
    /// The language that clients get who ask for the one preferred here (LANG *):
    /// en, de or fr. Without asking they get English.
    pub language: Pop3Language,
}

/// A language that POP3 speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pop3Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
    /// French.
    Fr,
}

impl From<Pop3Language> for Language {
    fn from(language: Pop3Language) -> Language {
        match language {
            Pop3Language::En => Language::English,
            Pop3Language::De => Language::German,
            Pop3Language::Fr => Language::French,
        }
    }
}

impl Default for Pop3Settings {
    fn default() -> Pop3Settings {
        let limits = Pop3Limits::default();
        Pop3Settings {
            common: Common::default(),
            idle_timeout: Span(limits.idle_timeout),
            login_timeout: Span(limits.login_timeout),
            login_delay: Span::default(),
            expire_varies: false,
            language: Pop3Language::En,
        }
    }
}

impl Pop3Settings {
    /// The session's limits.
    pub fn session_limits(&self) -> Pop3Limits {
        Pop3Limits {
            errors: self.common.errors,
            auth_failures: self.common.auth_failures,
            idle_timeout: self.idle_timeout.0,
            login_timeout: self.login_timeout.0,
            ..Pop3Limits::default()
        }
    }
}
