//! Who checks bearer tokens.

use std::fmt;

use async_trait::async_trait;

/// Checks the bearer tokens of OAUTHBEARER
/// ([RFC 7628](https://www.rfc-editor.org/rfc/rfc7628)) and XOAUTH2. Given to an
/// engine with [`Builder::tokens`](crate::engine::Builder::tokens); without one
/// neither mechanism is offered.
///
/// What a token looks like is between the checker and whoever makes the tokens:
/// one may verify a JWT by itself, another ask the token's maker (RFC 7662).
/// Whichever it is, it has to make sure that the token was made by whom it
/// trusts, for this service (the audience), that it has not expired, and that its
/// scope is enough: nobody else looks at these.
///
/// Tokens have at most [`TOKEN_LIMIT`](axigen_proto::sasl::TOKEN_LIMIT) bytes,
/// and the characters of RFC 6750 §2.1 only. `docs/logins.md` has an example.
#[async_trait]
pub trait TokenChecker: fmt::Debug + Send + Sync + 'static {
    /// Whose token this is, as the address of an account. `claimed` is who the
    /// client says it is, if it says so; the service compares the two, so the
    /// checker need not.
    ///
    /// # Errors
    /// [`TokenError`]; the client learns which of them it is.
    async fn check(&self, token: &str, claimed: Option<&str>) -> Result<String, TokenError>;

    /// The scope a token must have, told to clients whose token is refused
    /// (RFC 7628 §3.2.2).
    fn scope(&self) -> Option<String> {
        None
    }

    /// Where clients find out how to get a token: the URL of an OpenID provider's
    /// configuration. Told to clients whose token is refused.
    fn openid_configuration(&self) -> Option<String> {
        None
    }
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a token, was not made by anybody trusted, not for this service,
    /// has expired or was revoked.
    #[error("the token is not valid")]
    Invalid,
    /// It is good, but not for mail.
    #[error("the scope of the token is too small")]
    Scope,
    /// It cannot be checked now.
    #[error("the token cannot be checked: {0}")]
    Unavailable(String),
}
