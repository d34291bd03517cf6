//! Sizes, times and addresses as a person writes them: `50MB`, `5m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axigen_proto::smtp::address::{DomainName, Mailbox};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes: `512`, `64KB`, `50MB`, `2GB`; 1 KB is 1024 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

/// A length of time: `30s`, `5m`, `12h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

/// How long POP3 clients may leave mail here: `never` (it never expires), or a
/// number of days, `30d`; `0d` leaves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// As long as the client likes.
    #[default]
    Never,
    /// So many days.
    Days(u32),
}

/// Mail addresses with commas between them; where it is about senders,
/// `@example.org` stands for all of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses(pub Vec<String>);

/// Most addresses in one option.
const MOST_ADDRESSES: usize = 100;

const SIZES: [(&str, u64); 5] = [
    ("TB", 1 << 40),
    ("GB", 1 << 30),
    ("MB", 1 << 20),
    ("KB", 1 << 10),
    ("B", 1),
];
const SPANS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

fn parse(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "" => bare,
        unit => {
            units
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
                .1
        }
    };
    number.checked_mul(factor)
}

/// In the largest unit that divides it.
fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let unit = units
        .iter()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (name, factor) = unit.or(units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{name}", value / factor)
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        parse(text, &SIZES, 1)
            .map(Size)
            .ok_or_else(|| format!("{text:?} is not a size like \"64KB\" or \"50MB\""))
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Span, String> {
        parse(text, &SPANS, 1)
            .map(|seconds| Span(Duration::from_secs(seconds)))
            .ok_or_else(|| {
                format!("{text:?} is not a time like \"30s\", \"5m\", \"12h\" or \"7d\"")
            })
    }
}

impl FromStr for Retention {
    type Err = String;
    fn from_str(text: &str) -> Result<Retention, String> {
        let days = text.trim();
        if days.eq_ignore_ascii_case("never") {
            return Ok(Retention::Never);
        }
        days.strip_suffix('d')
            .unwrap_or(days)
            .parse()
            .map(Retention::Days)
            .map_err(|_| format!("{text:?} is neither \"never\" nor a number of days like \"30d\""))
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retention::Never => f.write_str("never"),
            Retention::Days(days) => write!(f, "{days}d"),
        }
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Retention, D::Error> {
        deserializer.deserialize_any(Words(std::marker::PhantomData))
    }
}

impl JsonSchema for Retention {
    fn schema_name() -> Cow<'static, str> {
        "Retention".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl FromStr for Addresses {
    type Err = String;
    fn from_str(text: &str) -> Result<Addresses, String> {
        let mut addresses = Vec::new();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let domain = word.strip_prefix('@');
            let known = match domain {
                Some(domain) => DomainName::new(domain).is_ok(),
                None => word.parse::<Mailbox>().is_ok(),
            };
            if !known {
                return Err(format!("{word:?} is no address"));
            }
            addresses.push(word.to_owned());
        }
        match addresses.len() > MOST_ADDRESSES {
            true => Err(format!("more than {MOST_ADDRESSES} addresses")),
            false => Ok(Addresses(addresses)),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Addresses {
    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, &SIZES)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0.as_secs(), &SPANS)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A string with a unit, or a bare number.
struct Words<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Words<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with its unit, as \"50MB\" or \"5m\"")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        deserializer.deserialize_any(Words(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_any(Words(std::marker::PhantomData))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *([KMGT]?B)?$" })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *[smhd]?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for (text, value) in [
            ("512", 512),
            ("64KB", 65_536),
            ("50 mb", 52_428_800),
            ("2GB", 2 << 30),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Size(value)));
        }
        assert_eq!(Size(52_428_800).to_string(), "50MB");
        assert_eq!(Size(1000).to_string(), "1000B");
        assert_eq!(Size(0).to_string(), "0B");
        for (text, value) in [
            ("90", 90),
            ("30s", 30),
            ("5m", 300),
            ("12h", 43_200),
            ("7d", 604_800),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(value))));
        }
        assert_eq!(Span(Duration::from_secs(300)).to_string(), "5m");
        assert_eq!(
            " a@b.test,@c.test ".parse(),
            Ok(Addresses(vec!["a@b.test".into(), "@c.test".into()]))
        );
        assert_eq!("".parse(), Ok(Addresses::default()));
        for bad in ["a", "a@", "@", "a@b.test c@d.test"] {
            assert!(bad.parse::<Addresses>().is_err(), "{bad}");
        }
        for (text, value) in [
            ("never", Retention::Never),
            ("0d", Retention::Days(0)),
            ("30d", Retention::Days(30)),
        ] {
            assert_eq!(text.parse(), Ok(value));
            assert_eq!(value.to_string(), text);
        }
        assert_eq!("7".parse(), Ok(Retention::Days(7)));
        for bad in ["", "d", "-1d", "4h", "4294967296"] {
            assert!(bad.parse::<Retention>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "x",
            "-1s",
            "5 weeks",
            "99999999999999999999",
            "99999999999TB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
            assert!(bad.parse::<Span>().is_err() || bad.ends_with("TB"), "{bad}");
        }
    }
}
