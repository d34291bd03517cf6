//! PLAIN ([RFC 4616](https://www.rfc-editor.org/rfc/rfc4616)).

use zeroize::Zeroizing;

use super::{Ask, NAME_LIMIT, PASSWORD_LIMIT, prepare};

/// Parses `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2).
pub(super) fn parse(message: &[u8]) -> Result<Ask, &'static str> {
    let mut fields = message.split(|&b| b == 0);
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(authzid), Some(authcid), Some(password), None) => ask(authzid, authcid, password),
        _ => Err("PLAIN takes three fields separated by NUL"),
    }
}

/// The question whether a password is right, for whatever way it came.
pub(super) fn ask(authzid: &[u8], authcid: &[u8], password: &[u8]) -> Result<Ask, &'static str> {
    Ok(Ask::Password {
        authzid: name(authzid)?,
        authcid: match authcid {
            [] => return Err("the user name is empty"),
            authcid => name(authcid)?,
        },
        password: self::password(password)?,
    })
}

/// A user name: UTF-8, bounded, prepared.
pub(super) fn name(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() > NAME_LIMIT {
        return Err("the user name is too long");
    }
    let name = std::str::from_utf8(bytes).map_err(|_| "the user name is not UTF-8")?;
    let prepared = prepare(name)
        .map_err(|_| "the user name has a control character, or another that is prohibited")?;
    // What means nothing must not become the empty name, which means "the same".
    if prepared.is_empty() && !name.is_empty() {
        return Err("the user name has no visible character");
    }
    Ok(prepared)
}

/// A password: UTF-8, bounded, prepared (RFC 4616 §2: one that cannot be
/// prepared is never right).
pub(super) fn password(bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    if bytes.len() > PASSWORD_LIMIT {
        return Err("the password is too long");
    }
    let password = std::str::from_utf8(bytes).map_err(|_| "the password is not UTF-8")?;
    prepare(password)
        .map(Zeroizing::new)
        .map_err(|_| "the password has a control character, or another that is prohibited")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn fields() {
        let Ask::Password {
            authzid,
            authcid,
            password,
        } = parse(b"\0tim\0tanstaaftanstaaf").unwrap()
        else {
            panic!()
        };
        assert_eq!(
            (authzid.as_str(), authcid.as_str(), password.as_str()),
            ("", "tim", "tanstaaftanstaaf")
        );
        let Ask::Password {
            authzid,
            authcid,
            password,
        } = parse(b"Ursel\0Kurt\0xipj3plmq").unwrap()
        else {
            panic!()
        };
        assert_eq!(
            (authzid.as_str(), authcid.as_str(), password.as_str()),
            ("Ursel", "Kurt", "xipj3plmq")
        );
    }

    #[test]
    fn refused() {
        for bad in [
            &b""[..],
            b"a",
            b"a\0b",
            b"a\0b\0c\0d",
            b"\0\0c",
            b"\0a\tb\0c",
            b"\0\xff\0c",
            b"\0a\0\xff",
            b"\0a\0b\x07c",
            "\0\u{200b}\0c".as_bytes(),
            "\u{200b}\0a\0c".as_bytes(),
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let long = [b"\0".as_slice(), &[b'a'; NAME_LIMIT + 1], b"\0c"].concat();
        assert!(parse(&long).is_err());
        let long = [b"\0a\0".as_slice(), &[b'a'; PASSWORD_LIMIT + 1]].concat();
        assert!(parse(&long).is_err());
    }
}
