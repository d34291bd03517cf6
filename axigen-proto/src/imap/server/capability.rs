//! What is offered, by state.

use std::borrow::Cow;

use super::Server;
use crate::imap::extensions::AFTER_LOGIN;
use crate::sasl::{self, Mechanism};

impl Server {
    /// What is offered in the present state.
    pub(super) fn capabilities(&self) -> Vec<Cow<'static, str>> {
        let config = &self.config;
        let mut names: Vec<Cow<'static, str>> = vec!["IMAP4rev1".into()];
        if config.rev2 {
            names.push("IMAP4rev2".into());
        }
        names.push(
            if config.literal_plus {
                "LITERAL+"
            } else {
                "LITERAL-"
            }
            .into(),
        );
        names.extend(["ENABLE", "ID", "SASL-IR"].map(Cow::from));
        if self.identity.is_some() {
            names.extend(AFTER_LOGIN.iter().copied().map(Cow::from));
            // RFC 7889 §3
            names.push(format!("APPENDLIMIT={}", self.append_limit()).into());
            // RFC 9738 §3
            names.extend(config.message_limit.capability().map(Cow::from));
            if config.compress && !self.compressed {
                names.push("COMPRESS=DEFLATE".into());
            }
            return names;
        }
        if config.starttls && self.tls.is_none() {
            names.push("STARTTLS".into());
        }
        if !self.may_send_password() {
            names.push("LOGINDISABLED".into());
        }
        let mechanisms = self.mechanisms();
        names.extend(mechanisms.iter().map(|name| format!("AUTH={name}").into()));
        names
    }

    /// The mechanisms that can be used in the present state.
    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        let config = &self.config;
        sasl::offered(
            &config.mechanisms,
            self.tls.as_ref(),
            config.allow_plaintext_login,
        )
    }

    pub(super) fn may_send_password(&self) -> bool {
        self.tls.is_some() || self.config.allow_plaintext_login
    }
}
