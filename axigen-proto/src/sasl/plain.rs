//! PLAIN ([RFC 4616](https://www.rfc-editor.org/rfc/rfc4616)).

use zeroize::Zeroizing;

use super::{Ask, NAME_LIMIT, PASSWORD_LIMIT};

/// Parses `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2).
pub(super) fn parse(message: &[u8]) -> Result<Ask, &'static str> {
    let mut fields = message.split(|&b| b == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("PLAIN takes three fields separated by NUL");
    };
    Ok(Ask::Password {
        authzid: name(authzid)?,
        authcid: match authcid {
            [] => return Err("the user name is empty"),
            authcid => name(authcid)?,
        },
        password: self::password(password)?,
    })
}

/// A user name: UTF-8, bounded, no control characters (RFC 4013 §2.3).
pub(super) fn name(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() > NAME_LIMIT {
        return Err("the user name is too long");
    }
    let name = std::str::from_utf8(bytes).map_err(|_| "the user name is not UTF-8")?;
    if name.chars().any(char::is_control) {
        return Err("the user name has a control character");
    }
    Ok(name.to_owned())
}

/// A password: UTF-8, bounded, no NUL.
pub(super) fn password(bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    if bytes.len() > PASSWORD_LIMIT {
        return Err("the password is too long");
    }
    if bytes.contains(&0) {
        return Err("the password has a NUL");
    }
    let password = std::str::from_utf8(bytes).map_err(|_| "the password is not UTF-8")?;
    Ok(Zeroizing::new(password.to_owned()))
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
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let long = [b"\0".as_slice(), &[b'a'; NAME_LIMIT + 1], b"\0c"].concat();
        assert!(parse(&long).is_err());
        let long = [b"\0a\0".as_slice(), &[b'a'; PASSWORD_LIMIT + 1]].concat();
        assert!(parse(&long).is_err());
    }
}
