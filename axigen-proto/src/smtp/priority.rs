//! How urgent a message is: MAIL's parameter `MT-PRIORITY=`
//! ([RFC 6710](https://www.rfc-editor.org/rfc/rfc6710)).

use std::fmt;

use super::command::ValueError;

/// A priority of -9 to 9; higher is more urgent, and 0 is what a message has
/// that says nothing (RFC 6710 §3, §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(i8);

impl Priority {
    /// Checks and takes a number.
    ///
    /// # Errors
    /// When it is not within -9 to 9.
    pub fn new(number: i8) -> Result<Self, ValueError> {
        if !(-9..=9).contains(&number) {
            return Err(ValueError("MT-PRIORITY is a number of -9 to 9"));
        }
        Ok(Self(number))
    }

    /// The number.
    pub fn get(self) -> i8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a Priority Assignment Policy, such as `MIXER` or `STANAG4406`,
/// which says what the numbers mean (RFC 6710 §9.2). Its case means nothing.
#[derive(Debug, Clone)]
pub struct PriorityPolicy(String);

impl PriorityPolicy {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it has not 1 to 20 letters, digits, `-`, `_` and `.` (RFC 6710
    /// §10.1).
    pub fn new(name: impl Into<String>) -> Result<Self, ValueError> {
        let name = name.into();
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=20).contains(&name.len()) || !name.bytes().all(known) {
            return Err(ValueError(
                "a priority policy is named with 1 to 20 letters, digits, -, _ and .",
            ));
        }
        Ok(Self(name))
    }

    /// The name in its own case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for PriorityPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for PriorityPolicy {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_and_names_have_bounds() {
        assert!(Priority::new(-10).is_err() && Priority::new(10).is_err());
        assert_eq!(Priority::new(-9).unwrap().to_string(), "-9");
        assert!(Priority::default() < Priority::new(1).unwrap());
        let name = |name: &str| PriorityPolicy::new(name);
        assert_eq!(name("mixer").unwrap(), name("MIXER").unwrap());
        for bad in ["", "a b", "x\r\n", "é", &"x".repeat(21)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
