//! LOGIN, the obsolete two-step form of PLAIN. It has no RFC; what clients do
//! is written down in draft-murchison-sasl-login.

use bytes::Bytes;

use super::{Ask, Step, plain};

/// Where the exchange stands.
#[derive(Debug, Default)]
pub(super) struct Login {
    user: Option<String>,
}

impl Login {
    /// Takes the client's next message. An initial response is the user name.
    pub(super) fn step(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else {
            return Step::Challenge(Bytes::from_static(b"Username:"));
        };
        match self.user.take() {
            None => match plain::name(response) {
                Ok(user) if user.is_empty() => Step::Malformed("the user name is empty"),
                Ok(user) => {
                    self.user = Some(user);
                    Step::Challenge(Bytes::from_static(b"Password:"))
                }
                Err(why) => Step::Malformed(why),
            },
            Some(authcid) => match plain::password(response) {
                Ok(password) => Step::Ask(Ask::Password {
                    authzid: String::new(),
                    authcid,
                    password,
                }),
                Err(why) => Step::Malformed(why),
            },
        }
    }
}
