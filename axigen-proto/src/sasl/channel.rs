//! What a mechanism knows of the connection it runs in: channel bindings
//! ([RFC 5056](https://www.rfc-editor.org/rfc/rfc5056)) and whether there is a
//! client certificate.

use bytes::Bytes;

use super::Mechanism;
use crate::session::TlsInfo;

/// The mechanisms of `mechanisms` that can be used now, in their order.
/// `plaintext` says whether passwords and tokens may go without TLS.
pub fn offered(mechanisms: &[Mechanism], tls: Option<&TlsInfo>, plaintext: bool) -> Vec<Mechanism> {
    let channel = Channel::of(tls);
    let usable = |mechanism: &Mechanism| match mechanism {
        Mechanism::ScramSha256 => true,
        Mechanism::ScramSha256Plus => channel.can_bind(),
        Mechanism::Plain | Mechanism::Login => tls.is_some() || plaintext,
        // RFC 7628 §3: "TLS MUST be used"; a test may go without.
        Mechanism::OAuthBearer | Mechanism::XOAuth2 => tls.is_some() || plaintext,
        Mechanism::External => tls.is_some_and(|tls| tls.client_certificate.is_some()),
    };
    mechanisms.iter().copied().filter(usable).collect()
}

/// The channel bindings of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channel {
    exporter: Option<Bytes>,
    server_end_point: Option<Bytes>,
    /// A server: a mechanism that binds was offered too. A client: it was seen.
    plus: bool,
}

impl Channel {
    /// Of a connection with this TLS, or without.
    pub fn of(tls: Option<&TlsInfo>) -> Channel {
        Channel {
            exporter: tls.and_then(|tls| tls.exporter.clone()),
            server_end_point: tls.and_then(|tls| tls.server_end_point.clone()),
            plus: false,
        }
    }

    /// Says which mechanisms the server offers: who believes that there is none
    /// that binds, when there is, was lied to (RFC 5802 §6).
    #[must_use]
    pub fn offering(mut self, mechanisms: &[Mechanism]) -> Channel {
        self.plus = mechanisms.contains(&Mechanism::ScramSha256Plus);
        self
    }

    /// Whether there is anything to bind to.
    pub fn can_bind(&self) -> bool {
        self.exporter.is_some() || self.server_end_point.is_some()
    }

    /// Whether the server offers a mechanism that binds.
    pub(super) fn is_plus_offered(&self) -> bool {
        self.plus
    }

    /// The data of a type of binding, by its registered name.
    pub(super) fn data(&self, kind: &str) -> Option<&Bytes> {
        match kind {
            EXPORTER => self.exporter.as_ref(),
            SERVER_END_POINT => self.server_end_point.as_ref(),
            _ => None,
        }
    }

    /// The type a client binds with: RFC 9266 §3 prefers `tls-exporter`, which
    /// is of this very connection.
    pub(super) fn preferred(&self) -> Option<&'static str> {
        match (&self.exporter, &self.server_end_point) {
            (Some(_), _) => Some(EXPORTER),
            (None, Some(_)) => Some(SERVER_END_POINT),
            (None, None) => None,
        }
    }
}

const EXPORTER: &str = "tls-exporter";
const SERVER_END_POINT: &str = "tls-server-end-point";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_where() {
        let names = |tls: Option<&TlsInfo>, plaintext| {
            let offered = offered(&Mechanism::ALL, tls, plaintext);
            let names: Vec<_> = offered.iter().map(|m| m.name()).collect();
            names.join(" ")
        };
        assert_eq!(names(None, false), "SCRAM-SHA-256");
        assert_eq!(
            names(None, true),
            "OAUTHBEARER XOAUTH2 SCRAM-SHA-256 PLAIN LOGIN"
        );
        let mut tls = TlsInfo::default();
        assert_eq!(
            names(Some(&tls), false),
            "OAUTHBEARER XOAUTH2 SCRAM-SHA-256 PLAIN LOGIN"
        );
        tls.server_end_point = Some(Bytes::from_static(b"hash"));
        assert_eq!(
            names(Some(&tls), false),
            "OAUTHBEARER XOAUTH2 SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"
        );
        tls.client_certificate = Some(Bytes::from_static(b"der"));
        assert!(names(Some(&tls), false).starts_with("EXTERNAL "));
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
    }
}
