//! What a server offers.

use crate::sasl::Mechanism;

/// The capabilities of a server in the present state.
/// [RFC 9051 §7.2.2](https://www.rfc-editor.org/rfc/rfc9051#section-7.2.2)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    names: Vec<String>,
}

impl Capabilities {
    /// From the words of a CAPABILITY response.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(str::to_owned).collect();
        Self { names }
    }

    /// Whether this one is offered, in any case of letters.
    pub fn has(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|have| have.eq_ignore_ascii_case(name))
    }

    /// The value of a capability such as `APPENDLIMIT=…`, the first if there are
    /// several.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.names.iter().find_map(|have| {
            let (start, value) = have.split_once('=')?;
            start.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The mechanisms to log in by that are offered and known here.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let known = |name: &String| {
            let (start, mechanism) = name.split_once('=')?;
            let auth = start.eq_ignore_ascii_case("AUTH");
            Mechanism::from_name(mechanism).filter(|_| auth)
        };
        self.names.iter().filter_map(known).collect()
    }

    /// The names, as the server writes them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Largest literal that may be sent without asking, in bytes
    /// ([RFC 7888](https://www.rfc-editor.org/rfc/rfc7888), RFC 9051 §4.3).
    pub fn unasked_literal(&self) -> u64 {
        use crate::imap::extensions::literal::LITERAL_MINUS;
        match self {
            _ if self.has("LITERAL+") => u64::MAX,
            _ if self.has("LITERAL-") || self.has("IMAP4rev2") => LITERAL_MINUS,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let of = |text: &str| Capabilities::new(text.split(' '));
        let some = of("IMAP4rev1 literal+ AUTH=PLAIN auth=scram-sha-256 APPENDLIMIT=35651584");
        assert!(some.has("LITERAL+") && !some.has("LITERAL-"));
        assert_eq!(
            some.mechanisms(),
            [Mechanism::Plain, Mechanism::ScramSha256]
        );
        assert_eq!(some.value("appendlimit"), Some("35651584"));
        assert_eq!(some.unasked_literal(), u64::MAX);
        assert_eq!(of("IMAP4rev1").unasked_literal(), 0);
        assert_eq!(of("IMAP4rev2").unasked_literal(), 4096);
    }
}
