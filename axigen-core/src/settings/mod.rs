//! The settings model: every option, its default, its document. The file, and
//! later the command line and WebAdmin, are faces of it; it is the only way an
//! option reaches a service.
//!
//! Options resolve from near to far: listener, service, server for what
//! concerns connections; account, account class, domain, server for what
//! concerns accounts.

mod access;
mod account;
mod control;
mod dns;
mod faults;
mod file;
mod lines;
mod listener;
mod logins;
mod mailboxes;
mod render;
mod search;
mod service;
mod smtp_in;
mod smtp_out;
mod store;
mod tls;
mod unchangeable;
mod validate;
mod values;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::conn::WRITE_TIMEOUT;

pub use access::{AccessRule, Action, ConnectionLimits, Peers, default_connection_limits};
pub use account::{AccountSettings, Effective, Holding, OverQuota, Pop3Lock, explain};
pub use control::ControlSettings;
pub use dns::DnsSettings;
pub use faults::FaultSettings;
pub use file::{Problem, load, parse};
pub(crate) use listener::UNIX_PEER;
pub use listener::{FileMode, ListenAddress, ListenerSettings, ProxySettings, TlsMode};
pub use logins::LoginSettings;
pub use mailboxes::MailboxSettings;
pub use render::render;
pub use search::SearchSettings;
pub use service::{Common, ImapSettings, Pop3Language, Pop3Settings};
pub use smtp_in::{SmtpSettings, Told};
pub use smtp_out::{
    RouteSettings, RouteTarget, SmtpOutSettings, StsSettings, TlsPolicy, TlsReportSettings,
};
pub use store::{StoreEngine, StoreSettings};
pub use tls::{CertificateSettings, TlsSettings, TlsVersion, TlsVersions};
pub use values::{Addresses, Retention, Size, Span};

/// All settings of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The name the server calls itself in greetings and headers.
    pub hostname: String,
    /// Where everything is kept. A relative path starts at the file's own
    /// directory.
    pub directory: PathBuf,
    /// Most bytes of messages on their way in, all connections together. Above
    /// it new messages get 452 until others are done.
    pub in_flight: Size,
    /// Most processing threads that services share; 0 means one a core.
    pub threads: usize,
    /// How long a shutdown waits for commands in flight.
    pub shutdown_timeout: Span,
    /// Longest wait for a peer that reads nothing of what it is sent: then its
    /// connection is closed. Whatever it reads begins the time anew.
    pub write_timeout: Span,
    /// The certificate and its key.
    pub tls: TlsSettings,
    /// What accounts inherit when neither they, their class nor their domain set it.
    pub accounts: AccountSettings,
    /// Where mail, accounts and everything else is kept.
    pub store: StoreSettings,
    /// Limits of mailboxes.
    pub mailboxes: MailboxSettings,
    /// The index of words that makes searches fast.
    pub search: SearchSettings,
    /// The socket by which programs on this machine ask and tell the running server.
    pub control: ControlSettings,
    /// Limits on the connections of each listener, for all services.
    pub limits: ConnectionLimits,
    /// What failed logins cost.
    pub logins: LoginSettings,
    /// What other servers are asked about names.
    pub dns: DnsSettings,
    /// What faults cost a peer, and when it is banned.
    pub faults: FaultSettings,
    /// Rules that accept or deny connections at all listeners, before their own.
    pub rules: Vec<AccessRule>,
    /// SMTP Incoming: takes mail from other servers.
    pub smtp_in: SmtpSettings,
    /// Submission: takes mail from the server's own users, after a login.
    pub submission: SmtpSettings,
    /// SMTP Outgoing: sends mail to other hosts.
    pub smtp_out: SmtpOutSettings,
    /// LMTP: takes mail from a server in front, with a reply for each recipient.
    pub lmtp: SmtpSettings,
    /// IMAP.
    pub imap: ImapSettings,
    /// POP3.
    pub pop3: Pop3Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hostname: "localhost".into(),
            directory: "mail".into(),
            in_flight: Size(512 * 1024 * 1024),
            threads: 0,
            shutdown_timeout: Span(std::time::Duration::from_secs(10)),
            write_timeout: Span(WRITE_TIMEOUT),
            tls: TlsSettings::default(),
            accounts: AccountSettings::default(),
            store: StoreSettings::default(),
            mailboxes: MailboxSettings::default(),
            search: SearchSettings::default(),
            control: ControlSettings::default(),
            limits: default_connection_limits(),
            logins: LoginSettings::default(),
            dns: DnsSettings::default(),
            faults: FaultSettings::default(),
            rules: Vec::new(),
            smtp_in: SmtpSettings::default(),
            submission: SmtpSettings::default(),
            smtp_out: SmtpOutSettings::default(),
            lmtp: SmtpSettings::default(),
            imap: ImapSettings::default(),
            pop3: Pop3Settings::default(),
        }
    }
}

impl Settings {
    /// What the services have in common, by name.
    pub fn services(&self) -> [(&'static str, &Common); 5] {
        [
            ("smtp_in", &self.smtp_in.common),
            ("submission", &self.submission.common),
            ("lmtp", &self.lmtp.common),
            ("imap", &self.imap.common),
            ("pop3", &self.pop3.common),
        ]
    }

    /// Files and directories that options name, to change them.
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![
            &mut self.directory,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.control.socket,
        ];
        paths.extend(tls::paths_mut(&mut self.tls.certificates));
        for common in [
            &mut self.smtp_in.common,
            &mut self.submission.common,
            &mut self.lmtp.common,
            &mut self.imap.common,
            &mut self.pop3.common,
        ] {
            for listener in &mut common.listeners {
                paths.push(&mut listener.client_authorities);
                paths.extend(tls::paths_mut(&mut listener.certificates));
                if let ListenAddress::Unix(path) = &mut listener.address {
                    paths.push(path);
                }
            }
        }
        paths
    }

    /// The rules of a listener by level, those that are looked at first first:
    /// the server's, the listener's, the service's.
    pub fn rules_of<'s>(
        &'s self,
        service: &str,
        listener: &'s ListenerSettings,
    ) -> [&'s [AccessRule]; 3] {
        let services = self.services();
        let of_service = services.iter().find(|(name, _)| *name == service);
        let of_service = of_service.map_or(&[][..], |(_, common)| &common.rules);
        [&self.rules, &listener.rules, of_service]
    }

    /// The limits of a listener, nothing left open.
    pub fn limits_of(&self, service: &str, listener: &ListenerSettings) -> ConnectionLimits {
        let of_service = self
            .services()
            .into_iter()
            .find(|(name, _)| *name == service);
        let limits = listener.limits.clone();
        let limits = match of_service {
            Some((_, common)) => limits.or(&common.limits),
            None => limits,
        };
        limits.or(&self.limits).or(&default_connection_limits())
    }

    /// Everything that is wrong, each with the option's name. Empty means it
    /// can be served.
    pub fn problems(&self) -> Vec<Problem> {
        validate::validate(self, false)
    }

    /// The same where the application has given a certificate.
    pub(crate) fn problems_with(&self, certificate: bool) -> Vec<Problem> {
        validate::validate(self, certificate)
    }
}
