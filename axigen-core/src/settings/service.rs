//! What can be set for a service and its listeners.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axigen_proto::imap::extensions::messagelimit::MessageLimit;
use axigen_proto::limits::{ImapLimits, Pop3Limits, SmtpLimits};
use axigen_proto::pop3::text::Language;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Size, Span};

/// How a listener uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// No TLS at all.
    None,
    /// The client may start TLS (STARTTLS, STLS).
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
}

/// Limits on connections; each listener counts its own. What a listener leaves
/// open is the service's, then the server's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Most connections at the same time; 0 lets nobody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 10_000)]
    pub connections: Option<u32>,
    /// Most connections of one peer address at the same time; 0 lets nobody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1000)]
    pub peer_connections: Option<u32>,
    /// Most new connections in an interval; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_connections: Option<u32>,
    /// Most new connections of one peer address in an interval; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_interval_connections: Option<u32>,
    /// How long an interval is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "1m")]
    pub interval: Option<Span>,
}

impl ConnectionLimits {
    /// These, and what they leave open from `parent`.
    #[must_use]
    pub fn or(self, parent: &ConnectionLimits) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.connections.or(parent.connections),
            peer_connections: self.peer_connections.or(parent.peer_connections),
            interval_connections: self.interval_connections.or(parent.interval_connections),
            peer_interval_connections: self
                .peer_interval_connections
                .or(parent.peer_interval_connections),
            interval: self.interval.or(parent.interval),
        }
    }
}

/// What a rule does with the peers it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let them in.
    Allow,
    /// Keep them out.
    Deny,
}

/// A rule that accepts or denies connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// allow or deny.
    pub action: Action,
    /// The peers: addresses or networks, as "192.0.2.7" or "2001:db8::/32".
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "networks")]
    pub peers: Vec<IpNet>,
    /// 1 to 1000; the smallest that names the peer decides.
    #[serde(default = "default_priority")]
    pub priority: u16,
    /// Limits of its own for the peers an allow rule lets in.
    #[serde(default)]
    pub limits: ConnectionLimits,
}

fn default_priority() -> u16 {
    500
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Networks, or single addresses.
pub(super) fn networks<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| {
                    serde::de::Error::custom(format!(
                        "{text:?} is neither an address nor a network"
                    ))
                })
        })
        .collect()
}

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// Address and port, as `0.0.0.0:25` or `[::]:993`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// none, starttls or implicit.
    #[serde(default)]
    pub tls: TlsMode,
    /// Whether a login may cross the wire without TLS. Allowed on loopback
    /// addresses only.
    #[serde(default)]
    pub plaintext_login: bool,
    /// PEM file with the authorities whose client certificates are asked for: who
    /// has one may log in with it (EXTERNAL), the others as always. Empty means
    /// that nobody is asked.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub client_authorities: PathBuf,
    /// Limits on connections.
    #[serde(default)]
    pub limits: ConnectionLimits,
    /// Rules that accept or deny, looked at by priority. Without a rule that
    /// names the peer it is let in.
    #[serde(default)]
    pub rules: Vec<AccessRule>,
}

impl ListenerSettings {
    /// A listener on an address, everything else as it is by default.
    pub fn new(address: SocketAddr, tls: TlsMode) -> ListenerSettings {
        ListenerSettings {
            address,
            tls,
            plaintext_login: false,
            client_authorities: PathBuf::new(),
            limits: ConnectionLimits::default(),
            rules: Vec::new(),
        }
    }
}

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
            listeners: Vec::new(),
        }
    }
}

/// SMTP Incoming, submission or LMTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SmtpSettings {
    /// What all services have in common.
    #[serde(flatten)]
    pub common: Common,
    /// Largest message, announced with SIZE.
    pub message_size: Size,
    /// Most recipients of one message.
    pub recipients: usize,
    /// Longest wait for the next command.
    pub command_timeout: Span,
    /// Longest wait for the next piece of a message.
    pub data_timeout: Span,
    /// Most Received headers before a message is refused as looping.
    pub received_headers: usize,
}

impl Default for SmtpSettings {
    fn default() -> SmtpSettings {
        let limits = SmtpLimits::default();
        SmtpSettings {
            common: Common::default(),
            message_size: Size(limits.message_size),
            recipients: limits.recipients,
            command_timeout: Span(limits.command_timeout),
            data_timeout: Span(limits.data_timeout),
            received_headers: 30,
        }
    }
}

impl SmtpSettings {
    /// The session's limits.
    pub fn session_limits(&self) -> SmtpLimits {
        SmtpLimits {
            message_size: self.message_size.0,
            recipients: self.recipients,
            errors: self.common.errors,
            auth_failures: self.common.auth_failures,
            command_timeout: self.command_timeout.0,
            data_timeout: self.data_timeout.0,
            ..SmtpLimits::default()
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

/// The server's limits on connections, where nothing nearer is set.
pub fn default_connection_limits() -> ConnectionLimits {
    ConnectionLimits {
        connections: Some(10_000),
        peer_connections: Some(1000),
        interval_connections: Some(0),
        peer_interval_connections: Some(0),
        interval: Some(Span(Duration::from_secs(60))),
    }
}
