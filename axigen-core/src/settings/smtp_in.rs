//! What can be set for SMTP Incoming, submission and LMTP.

use axigen_proto::limits::SmtpLimits;
use axigen_proto::smtp::future_release::{FutureRelease, Interval, Moment};
use axigen_proto::smtp::solicit::Solicitation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Peers;
use super::service::Common;
use super::values::{Size, Span};

/// Longest time a message can be held, in seconds: nine digits (RFC 4865 §3).
const MAX_HOLD: u64 = 999_999_999;

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
    /// Whether senders may ask for notices (DSN). Offered while mail is sent to
    /// other hosts (smtp_out): without it no notice could reach them.
    pub dsn: bool,
    /// Whether senders may ask that a message travels under verified TLS only
    /// (REQUIRETLS). Offered inside TLS, while mail is sent to other hosts.
    pub requiretls: bool,
    /// Whether the limits on recipients are announced (LIMITS).
    pub limits_announced: bool,
    /// Whether senders may say how urgent a message is (MT-PRIORITY), which
    /// decides who goes first in the queue. Who has not logged in may only be
    /// less urgent than others.
    pub mt_priority: bool,
    /// Whether senders may say by when a message must be there (DELIVERBY).
    /// Offered while mail is sent to other hosts.
    pub deliver_by: bool,
    /// Longest time that users may have a message held before it goes on
    /// (FUTURERELEASE, submission only); "0s" holds none. Held mail is in the
    /// queue, also that for this server's mailboxes.
    pub future_release: Span,
    /// The classes of solicitation that are refused (NO-SOLICITING), as
    /// "org.example:ADV"; none are by default.
    pub no_soliciting: Vec<String>,
    /// Who is told by VRFY whether an address exists: "nobody" (252, which says
    /// nothing), "users" (who has logged in) or "everybody".
    pub vrfy: Told,
    /// Who is told by EXPN where an alias leads to: "nobody", "users" or
    /// "everybody".
    pub expn: Told,
    /// Peers that may have what waits for a domain sent at once (ETRN):
    /// addresses, networks or ranges. Without any it is refused.
    pub etrn_peers: Vec<Peers>,
}

/// Who is told something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// Nobody.
    #[default]
    Nobody,
    /// Who has logged in.
    Users,
    /// Everybody.
    Everybody,
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
            dsn: true,
            requiretls: true,
            limits_announced: true,
            mt_priority: false,
            deliver_by: true,
            future_release: Span::default(),
            no_soliciting: Vec::new(),
            vrfy: Told::Nobody,
            expn: Told::Nobody,
            etrn_peers: Vec::new(),
        }
    }
}

impl SmtpSettings {
    /// How long a message may be held, seen from now.
    pub fn longest_hold(&self, now: jiff::Timestamp) -> Option<FutureRelease> {
        let seconds = self.future_release.0.as_secs().min(MAX_HOLD);
        let interval = Interval::new(u32::try_from(seconds).ok()?).ok()?;
        let until = now.as_second().saturating_add_unsigned(seconds);
        Some(FutureRelease {
            interval,
            until: Moment::from_unix(until).ok()?,
        })
    }

    /// The classes of solicitation that are refused.
    ///
    /// # Errors
    /// Why one is none.
    pub fn refused_solicitation(&self) -> Result<Option<Solicitation>, String> {
        if self.no_soliciting.is_empty() {
            return Ok(None);
        }
        let words = self.no_soliciting.join(":");
        let parsed = words.parse().map_err(|error| format!("{words:?}: {error}"));
        parsed.map(Some)
    }

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
