//! Where a domain wants to be told how TLS to it fares: its record in DNS
//! ([RFC 8460 §3](https://www.rfc-editor.org/rfc/rfc8460#section-3)).

use crate::smtp::address::Mailbox;

/// Places of a record that are kept.
pub const PLACES: usize = 10;

/// A place reports are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// By mail.
    Mail(String),
    /// By HTTPS.
    Https {
        /// The host.
        host: String,
        /// The port; `None` is the usual one.
        port: Option<u16>,
        /// Path and query.
        path: String,
    },
}

/// The places of a domain, from the texts of `_smtp._tls.domain`. Those that
/// cannot be used are passed over, and so is a record beside another: then
/// nothing is reported.
pub fn places<T: AsRef<[u8]>>(texts: &[T]) -> Vec<Place> {
    let texts = texts
        .iter()
        .filter_map(|text| std::str::from_utf8(text.as_ref()).ok());
    let mut records = texts.filter(|text| is_record(text));
    let (Some(record), None) = (records.next(), records.next()) else {
        return Vec::new();
    };
    for field in record.split(';').skip(1) {
        if let Some((name, value)) = field.split_once('=')
            && name.trim() == "rua"
        {
            let places = value.split(',').filter_map(|uri| place(uri.trim()));
            return places.take(PLACES).collect();
        }
    }
    Vec::new()
}

fn is_record(text: &str) -> bool {
    let rest = text.strip_prefix("v=TLSRPTv1");
    rest.is_some_and(|rest| rest.trim_start().starts_with(';'))
}

/// RFC 8460 §3: commas, exclamation marks and semicolons in it are encoded.
fn place(uri: &str) -> Option<Place> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = decoded(rest.split('?').next()?)?;
        let mailbox: Mailbox = address.parse().ok()?;
        return Some(Place::Mail(mailbox.to_string()));
    }
    if !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let rest = rest.strip_prefix("//")?.split('#').next()?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at)?;
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|&port| port > 0)?)),
        None => (authority, None),
    };
    let label = |label: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(good)
    };
    let path = match path.strip_prefix('?') {
        Some(_) => format!("/{path}"),
        None if path.is_empty() => "/".to_owned(),
        None => path.to_owned(),
    };
    let good = host.len() <= 253
        && host.split('.').all(label)
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| Place::Https {
        host: host.to_ascii_lowercase(),
        port,
        path,
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_name_places() {
        let mail = |address: &str| Place::Mail(address.to_owned());
        let https = |host: &str, port, path: &str| Place::Https {
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        };
        for (text, wanted) in [
            (
                "v=TLSRPTv1; rua=mailto:reports@example.com",
                vec![mail("reports@example.com")],
            ),
            (
                "v=TLSRPTv1;rua=mailto:a%2Cb@x.test, https://R.test:444/v1?x=y ;",
                vec![https("r.test", Some(444), "/v1?x=y")],
            ),
            (
                "v=TLSRPTv1; x=y; rua=https://r.test,mailto:a@x.test?subject=z",
                vec![https("r.test", None, "/"), mail("a@x.test")],
            ),
            (
                "v=TLSRPTv1; rua=mailto:%41nn@x.test",
                vec![mail("Ann@x.test")],
            ),
            (
                "v=TLSRPTv1; rua=http://r.test/,ftp://x,mailto:x,mailto:%4,https://a b/",
                vec![],
            ),
            (
                "v=TLSRPTv1; rua=https://u@r.test/,https://r.test:0/",
                vec![],
            ),
            ("v=TLSRPTv2; rua=mailto:a@x.test", vec![]),
            ("v=TLSRPTv1", vec![]),
        ] {
            assert_eq!(places(&[text]), wanted, "{text}");
        }
        let two = [
            "v=TLSRPTv1; rua=mailto:a@x.test",
            "v=TLSRPTv1; rua=mailto:b@x.test",
        ];
        assert!(places(&two).is_empty());
        let many = format!("v=TLSRPTv1; rua={}", "mailto:a@x.test,".repeat(20));
        assert_eq!(places(&[many]).len(), PLACES);
    }
}
