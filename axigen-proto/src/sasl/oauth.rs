//! Bearer tokens: OAUTHBEARER
//! ([RFC 7628](https://www.rfc-editor.org/rfc/rfc7628)) and XOAUTH2, the form
//! that was in use before it and still is.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::scram::saslname;
use super::{Answer, Ask, Identity, Mechanism, Refusal, Step, TOKEN_LIMIT, TokenRefusal, plain};

/// Separates the fields: `kvsep = %x01`.
const SEPARATOR: char = '\u{1}';

/// A longer message than any with the longest name and token.
const MESSAGE_LIMIT: usize = TOKEN_LIMIT + 4096;

/// Where the exchange stands.
#[derive(Debug)]
pub(super) struct OAuth {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// The application was asked about a token for this name.
    Asked(String),
    /// The client was told what is wrong; its next message ends the login.
    Told(Refusal),
    Done,
}

impl OAuth {
    pub(super) fn new(mechanism: Mechanism) -> OAuth {
        OAuth {
            mechanism,
            state: State::Start,
        }
    }

    pub(super) fn step(&mut self, response: Option<&[u8]>) -> Step {
        match (std::mem::replace(&mut self.state, State::Done), response) {
            (State::Start, None) => {
                self.state = State::Start;
                Step::Challenge(Bytes::new())
            }
            (State::Start, Some(response)) => {
                let read = match self.mechanism {
                    Mechanism::XOAuth2 => xoauth2(response),
                    _ => bearer(response),
                };
                match read {
                    Ok((authzid, token)) => {
                        self.state = State::Asked(authzid.clone());
                        Step::Ask(Ask::Token { authzid, token })
                    }
                    Err(why) => Step::Malformed(why),
                }
            }
            // RFC 7628 §3.2.3: a single kvsep; XOAUTH2's clients say nothing. Whatever it is, the
            // login has failed.
            (State::Told(refusal), _) => Step::Refuse(refusal),
            (State::Asked(_) | State::Done, _) => Step::Malformed("no response was expected"),
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) -> Step {
        let State::Asked(authzid) = std::mem::replace(&mut self.state, State::Done) else {
            return Step::Refuse(Refusal::Unavailable);
        };
        match answer {
            Answer::AcceptAs(authcid) => Step::Accept(Identity {
                authzid: match authzid.as_str() {
                    "" => authcid.clone(),
                    _ => authzid,
                },
                authcid,
            }),
            Answer::RefuseToken(why) => {
                let (refusal, status) = match (why.scope_too_small, self.mechanism) {
                    // XOAUTH2 has the numbers of HTTP.
                    (false, Mechanism::XOAuth2) => (Refusal::BadCredentials, "401"),
                    (true, Mechanism::XOAuth2) => (Refusal::NotAuthorized, "403"),
                    // RFC 6750 §3.1
                    (false, _) => (Refusal::BadCredentials, "invalid_token"),
                    (true, _) => (Refusal::NotAuthorized, "insufficient_scope"),
                };
                self.state = State::Told(refusal);
                Step::Challenge(error(status, &why).into())
            }
            Answer::Refuse(refusal) => Step::Refuse(refusal),
            Answer::Accept | Answer::Keys(_) => Step::Refuse(Refusal::Unavailable),
        }
    }

    /// The refusal that is only waiting for the client's last message.
    pub(super) fn refused(&self) -> Option<Refusal> {
        match self.state {
            State::Told(refusal) => Some(refusal),
            _ => None,
        }
    }
}

type Token = (String, Zeroizing<String>);

/// ```abnf
/// client-resp = gs2-header kvsep *kvpair kvsep
/// gs2-header = gs2-cbind-flag "," [ "a=" saslname ] ","
/// kvpair = 1*ALPHA "=" value kvsep
/// value = *(VCHAR / SP / HTAB / CR / LF )
/// ```
/// RFC 7628 §3.1. Pairs that are not known are ignored.
fn bearer(message: &[u8]) -> Result<Token, &'static str> {
    let text = text(message)?;
    let (header, pairs) = text
        .split_once(SEPARATOR)
        .ok_or("OAUTHBEARER begins with a GS2 header")?;
    let mut fields = header.split(',');
    let (flag, authzid) = match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(flag), Some(authzid), Some(""), None) => (flag, authzid),
        _ => return Err("the GS2 header is not valid"),
    };
    if !matches!(flag, "n" | "y") {
        return Err("channel binding is not offered by this mechanism");
    }
    let authzid = match authzid {
        "" => String::new(),
        given => saslname(
            given
                .strip_prefix("a=")
                .ok_or("the GS2 header is not valid")?,
        )?,
    };
    let allowed = |b: u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let token = auth_of(pairs, |_, value| match value.bytes().all(allowed) {
        true => Ok(()),
        false => Err("a pair has characters that are not allowed"),
    })?;
    Ok((authzid, token))
}

/// `"user=" user kvsep "auth=Bearer " token kvsep kvsep`
fn xoauth2(message: &[u8]) -> Result<Token, &'static str> {
    let text = text(message)?;
    let mut user = None;
    let token = auth_of(text, |key, value| {
        if key == "user" && user.replace(plain::name(value.as_bytes())?).is_some() {
            return Err("the user is named twice");
        }
        Ok(())
    })?;
    match user {
        Some(user) if !user.is_empty() => Ok((user, token)),
        _ => Err("XOAUTH2 begins with user= and a name"),
    }
}

fn text(message: &[u8]) -> Result<&str, &'static str> {
    if message.len() > MESSAGE_LIMIT {
        return Err("the message is too long");
    }
    std::str::from_utf8(message).map_err(|_| "the message is not UTF-8")
}

/// The token among pairs; the others are given to `other`.
fn auth_of(
    pairs: &str,
    mut other: impl FnMut(&str, &str) -> Result<(), &'static str>,
) -> Result<Zeroizing<String>, &'static str> {
    let pairs = pairs
        .strip_suffix("\u{1}\u{1}")
        .ok_or("the message does not end with two separators")?;
    let mut auth = None;
    for pair in pairs.split(SEPARATOR) {
        let (key, value) = pair.split_once('=').ok_or("a pair has no equals sign")?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err("the name of a pair is not made of letters");
        }
        if key != "auth" {
            other(key, value)?;
        } else if auth.replace(value).is_some() {
            return Err("there are two tokens");
        }
    }
    let auth = auth.ok_or("there is no token")?;
    if auth.is_empty() {
        // RFC 7628 §4.3: so a client asks which scope is needed.
        return Ok(Zeroizing::new(String::new()));
    }
    let (scheme, token) = auth.split_once(' ').ok_or("the token has no scheme")?;
    // RFC 7628 §4: in any case of letters.
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err("only bearer tokens are accepted");
    }
    if !is_b64token(token) {
        return Err("the token has characters that no token has");
    }
    match token.len() {
        0..=TOKEN_LIMIT => Ok(Zeroizing::new(token.to_owned())),
        _ => Err("the token is too long"),
    }
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
/// (RFC 6750 §2.1)
pub(super) fn is_b64token(token: &str) -> bool {
    let rest = token.trim_end_matches('=');
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    !rest.is_empty() && rest.bytes().all(good)
}

/// The client's message, for both mechanisms.
pub(super) fn message(mechanism: Mechanism, name: &str, token: &str) -> Zeroizing<Vec<u8>> {
    let text = match mechanism {
        Mechanism::XOAuth2 => format!("user={name}\u{1}auth=Bearer {token}\u{1}\u{1}"),
        _ if name.is_empty() => format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}"),
        _ => {
            let name = name.replace('=', "=3D").replace(',', "=2C");
            format!("n,a={name},\u{1}auth=Bearer {token}\u{1}\u{1}")
        }
    };
    Zeroizing::new(text.into_bytes())
}

/// The error as JSON (RFC 7628 §3.2.2).
fn error(status: &str, why: &TokenRefusal) -> String {
    let mut out = format!("{{\"status\":{},\"schemes\":\"bearer\"", quoted(status));
    for (name, value) in [
        ("scope", &why.scope),
        ("openid-configuration", &why.openid_configuration),
    ] {
        if let Some(value) = value {
            out.push_str(&format!(",\"{name}\":{}", quoted(value)));
        }
    }
    out.push('}');
    out
}

/// A string of JSON (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// RFC 7628 §4.1, §4.2, with `%x01` as it is on the wire.
    const EXAMPLE: &str = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";

    #[test]
    fn rfc_7628_example() {
        let encoded = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
        let decoded = super::super::decode_line(encoded.as_bytes()).unwrap();
        assert_eq!(decoded, EXAMPLE.as_bytes());
        let (user, token) = bearer(&decoded).unwrap();
        assert_eq!(user, "user@example.com");
        assert_eq!(token.as_str(), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    }

    #[test]
    fn a_client_that_asks_for_the_scope() {
        // RFC 7628 §4.3
        let encoded =
            "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE=";
        let decoded = super::super::decode_line(encoded.as_bytes()).unwrap();
        let (user, token) = bearer(&decoded).unwrap();
        assert_eq!((user.as_str(), token.as_str()), ("user@example.com", ""));
    }

    #[test]
    fn the_google_example() {
        let text = "user=someuser@example.com\u{1}auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\u{1}\u{1}";
        let (user, token) = xoauth2(text.as_bytes()).unwrap();
        assert_eq!(user, "someuser@example.com");
        assert!(token.starts_with("ya29."));
    }

    #[test]
    fn what_a_client_says_is_read_again() {
        for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
            for name in ["ann@example.test", "a=b,c@example.test"] {
                let said = message(mechanism, name, "tok.en-1~2+3/4==");
                let mut oauth = OAuth::new(mechanism);
                let Step::Ask(Ask::Token { authzid, token }) = oauth.step(Some(&said)) else {
                    panic!("{mechanism} {name}")
                };
                assert_eq!(
                    (authzid.as_str(), token.as_str()),
                    (name, "tok.en-1~2+3/4==")
                );
            }
        }
        let said = message(Mechanism::OAuthBearer, "", "t");
        assert_eq!(bearer(&said).unwrap().0, "");
    }

    #[test]
    fn who_was_refused_is_told_why() {
        let why = TokenRefusal {
            scope_too_small: false,
            scope: Some("mail \"all\"\n".into()),
            openid_configuration: Some("https://id.example.test/.well-known/openid".into()),
        };
        let told = |mechanism, message: &str, why: &TokenRefusal| {
            let mut oauth = OAuth::new(mechanism);
            assert!(matches!(oauth.step(Some(message.as_bytes())), Step::Ask(_)));
            let Step::Challenge(told) = oauth.answer(Answer::RefuseToken(why.clone())) else {
                panic!()
            };
            (oauth, String::from_utf8(told.to_vec()).unwrap())
        };
        let (mut oauth, said) = told(Mechanism::OAuthBearer, EXAMPLE, &why);
        assert_eq!(
            said,
            r#"{"status":"invalid_token","schemes":"bearer","scope":"mail \"all\"\u000a","openid-configuration":"https://id.example.test/.well-known/openid"}"#
        );
        assert_eq!(oauth.refused(), Some(Refusal::BadCredentials));
        assert!(matches!(
            oauth.step(Some(b"\x01")),
            Step::Refuse(Refusal::BadCredentials)
        ));
        assert_eq!(oauth.refused(), None);
        let why = TokenRefusal {
            scope_too_small: true,
            ..TokenRefusal::default()
        };
        let (mut oauth, said) = told(
            Mechanism::XOAuth2,
            "user=a\u{1}auth=Bearer t\u{1}\u{1}",
            &why,
        );
        assert_eq!(said, r#"{"status":"403","schemes":"bearer"}"#);
        assert!(matches!(
            oauth.step(Some(b"")),
            Step::Refuse(Refusal::NotAuthorized)
        ));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_a_refusal() {
        for answer in [Answer::Accept, Answer::Keys(None)] {
            let mut oauth = OAuth::new(Mechanism::OAuthBearer);
            oauth.step(Some(EXAMPLE.as_bytes()));
            assert!(matches!(
                oauth.answer(answer),
                Step::Refuse(Refusal::Unavailable)
            ));
            assert!(matches!(oauth.step(Some(b"\x01")), Step::Malformed(_)));
        }
    }

    #[test]
    fn malformed_messages() {
        let long = format!(
            "n,,\u{1}auth=Bearer {}\u{1}\u{1}",
            "a".repeat(TOKEN_LIMIT + 1)
        );
        for bad in [
            "",
            "\u{1}",
            "n,,",
            "n,,\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t\u{1}",
            "p=tls-exporter,,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,user,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=u,x\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=us\0er,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}host=x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer a b\u{1}\u{1}",
            "n,,\u{1}auth=Bearer ../../key\0\u{1}\u{1}",
            "n,,\u{1}auth=Basic dTpw\u{1}\u{1}",
            "n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}",
            "n,,\u{1}host=\0\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}9=x\u{1}auth=Bearer t\u{1}\u{1}",
            long.as_str(),
        ] {
            assert!(bearer(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "auth=Bearer t\u{1}\u{1}",
            "user=\u{1}auth=Bearer t\u{1}\u{1}",
            "user=a\u{1}user=b\u{1}auth=Bearer t\u{1}\u{1}",
            "user=a\u{1}auth=Bearer t\u{1}",
        ] {
            assert!(xoauth2(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
