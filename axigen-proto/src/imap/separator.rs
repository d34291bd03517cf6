//! The character between the levels of a name, on the wire.
//!
//! Inside this program it is always `/`. A server may show another one to its
//! clients; then the two change places in every name, both ways, so that no name
//! is lost and none is ambiguous: where `.` separates, the mailbox `a.b` in
//! `Work`, here `Work/a.b`, is `Work.a/b` to the client.

use std::borrow::Cow;

/// The hierarchy separator of names on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Separator {
    /// `/`
    #[default]
    Slash,
    /// `.`
    Dot,
}

impl Separator {
    /// The separator of this character.
    pub fn new(character: char) -> Option<Separator> {
        match character {
            '/' => Some(Separator::Slash),
            '.' => Some(Separator::Dot),
            _ => None,
        }
    }

    /// Its character.
    pub fn as_char(self) -> char {
        match self {
            Separator::Slash => '/',
            Separator::Dot => '.',
        }
    }

    /// A name as the other side writes it: of the wire here, of here on the wire.
    pub fn swap(self, name: &str) -> Cow<'_, str> {
        let other = self.as_char();
        if other == '/' || !name.contains(['/', other]) {
            return Cow::Borrowed(name);
        }
        let swapped = name.chars().map(|c| match c {
            '/' => other,
            c if c == other => '/',
            c => c,
        });
        Cow::Owned(swapped.collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn they_change_places() {
        let dot = Separator::new('.').unwrap();
        for (here, there) in [
            ("Work/a.b", "Work.a/b"),
            ("INBOX", "INBOX"),
            ("INBOX/x", "INBOX.x"),
            (
                "Other Users/ann@example.org/Work",
                "Other Users.ann@example/org.Work",
            ),
            ("ä/%", "ä.%"),
        ] {
            assert_eq!(dot.swap(here), there);
            assert_eq!(dot.swap(there), here);
            assert_eq!(Separator::Slash.swap(here), here);
        }
        assert_eq!(Separator::new('\\'), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(name in "[a./ä]{0,20}") {
            let there = Separator::Dot.swap(&name).into_owned();
            prop_assert_eq!(Separator::Dot.swap(&there), name);
        }
    }
}
