//! How one logs in besides by a password of the directory, and how often one
//! may try.
//!
//! | file | what it is |
//! |---|---|
//! | `tokens` | OAuth: who checks a bearer token |
//! | `certificates` | which account a client certificate stands for |
//! | `attempts` | failed logins of peers and accounts, and what they cost |

mod attempts;
mod certificates;
mod tokens;

use std::sync::Arc;

use axigen_proto::TlsInfo;
use axigen_proto::sasl::{Answer, Mechanism, Refusal, TokenRefusal};

use crate::directory::{Directory, Error, Login, normalise};
use crate::net::ClientCertificate;

pub(crate) use attempts::Attempts;
pub use certificates::{ByAddress, CertificateMapper};
pub use tokens::{TokenChecker, TokenError};

/// The ways to log in that an engine was given.
#[derive(Debug, Clone)]
pub struct Logins {
    tokens: Option<Arc<dyn TokenChecker>>,
    certificates: Arc<dyn CertificateMapper>,
    pub(crate) attempts: Arc<Attempts>,
}

impl Default for Logins {
    fn default() -> Logins {
        Logins {
            tokens: None,
            certificates: Arc::new(ByAddress),
            attempts: Arc::default(),
        }
    }
}

impl Logins {
    /// Lets people in whose token this one finds good.
    pub(crate) fn check_tokens(&mut self, checker: Arc<dyn TokenChecker>) {
        self.tokens = Some(checker);
    }

    /// Says which accounts a certificate stands for.
    pub(crate) fn map_certificates(&mut self, mapper: Arc<dyn CertificateMapper>) {
        self.certificates = mapper;
    }

    /// What a service may offer. Whether a mechanism is shown depends on the
    /// connection too: [`axigen_proto::sasl::offered`].
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let mut mechanisms = Mechanism::PASSWORD.to_vec();
        if self.tokens.is_some() {
            mechanisms.extend([Mechanism::OAuthBearer, Mechanism::XOAuth2]);
        }
        mechanisms.push(Mechanism::External);
        mechanisms
    }

    /// Answers [`Ask::Token`](axigen_proto::sasl::Ask::Token).
    pub(crate) async fn token(
        &self,
        directory: &Directory,
        authzid: &str,
        token: &str,
    ) -> (Answer, Option<Login>) {
        let Some(checker) = &self.tokens else {
            return (Answer::Refuse(Refusal::Unavailable), None);
        };
        let claimed = (!authzid.is_empty()).then_some(authzid);
        let refuse = |scope_too_small| {
            Answer::RefuseToken(TokenRefusal {
                scope_too_small,
                scope: checker.scope(),
                openid_configuration: checker.openid_configuration(),
            })
        };
        if token.is_empty() {
            // RFC 7628 §4.3: the client asks which scope is needed, and is told.
            return (refuse(false), None);
        }
        match checker.check(token, claimed).await {
            Ok(owner) => match let_in(directory, authzid, &owner).await {
                // To whoever asks it is a token that is not good here.
                (Answer::Refuse(Refusal::BadCredentials), _) => (refuse(false), None),
                decided => decided,
            },
            Err(TokenError::Invalid) => (refuse(false), None),
            Err(TokenError::Scope) => (refuse(true), None),
            Err(TokenError::Unavailable(why)) => {
                tracing::error!(why, "a token could not be checked");
                (Answer::Refuse(Refusal::Unavailable), None)
            }
        }
    }

    /// Answers [`Ask::External`](axigen_proto::sasl::Ask::External).
    pub(crate) async fn external(
        &self,
        directory: &Directory,
        authzid: &str,
        tls: Option<&TlsInfo>,
    ) -> (Answer, Option<Login>) {
        let der = tls.and_then(|tls| tls.client_certificate.clone());
        let Some(der) = der else {
            return (Answer::Refuse(Refusal::BadCredentials), None);
        };
        let certificate = ClientCertificate::new(der);
        let owners = match self.certificates.accounts(&certificate).await {
            Ok(owners) => owners,
            Err(why) => {
                tracing::error!(why, "a certificate could not be looked up");
                return (Answer::Refuse(Refusal::Unavailable), None);
            }
        };
        // RFC 4422 appendix A.1: without an identity the server takes the one that goes with it.
        let owner = match authzid {
            "" => owners.first(),
            _ => owners.iter().find(|owner| is_same(owner, authzid)),
        };
        match owner {
            Some(owner) => let_in(directory, authzid, owner).await,
            None if owners.is_empty() => (Answer::Refuse(Refusal::BadCredentials), None),
            None => (Answer::Refuse(Refusal::NotAuthorized), None),
        }
    }
}

/// Whoever `owner` is has proved it; may he in, as `authzid`?
async fn let_in(directory: &Directory, authzid: &str, owner: &str) -> (Answer, Option<Login>) {
    // A name is taken in one spelling only, so that nobody is somebody else by another.
    let authzid = match authzid {
        "" => owner,
        given if is_same(given, owner) => owner,
        _ => return (Answer::Refuse(Refusal::NotAuthorized), None),
    };
    match directory.authorize(authzid, owner).await {
        Ok(Ok(login)) => (Answer::AcceptAs(login.account.address.clone()), Some(login)),
        Ok(Err(refusal)) => (Answer::Refuse(refusal), None),
        Err(error) => {
            tracing::error!(%error, "the directory could not be asked");
            (Answer::Refuse(Refusal::Unavailable), None)
        }
    }
}

/// Whether two texts are the same address of this server.
fn is_same(one: &str, other: &str) -> bool {
    let normal = |address| -> Result<_, Error> { normalise(address) };
    matches!((normal(one), normal(other)), (Ok(one), Ok(other)) if one == other)
}
