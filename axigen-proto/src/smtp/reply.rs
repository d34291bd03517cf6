//! Replies: a code, an enhanced status code, and text.

use std::borrow::Cow;
use std::fmt;

/// A reply ([RFC 5321 §4.2](https://www.rfc-editor.org/rfc/rfc5321#section-4.2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code, 200 to 599.
    pub code: u16,
    /// The enhanced status code (RFC 2034). When a reply of class 2, 4 or 5 has
    /// none, the server writes `x.0.0`.
    pub enhanced: Option<EnhancedCode>,
    /// The text. A line feed starts another line of a multi-line reply. What
    /// may not stand in a reply (control characters, non-ASCII) is replaced
    /// when the reply is written.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced status code.
    ///
    /// ```
    /// use axigen_proto::smtp::reply::Reply;
    /// let reply = Reply::new(550, (5, 1, 1), "no such user here");
    /// assert!(reply.is_permanent());
    /// assert_eq!(reply.to_string(), "550 5.1.1 no such user here");
    /// ```
    pub fn new(
        code: u16,
        enhanced: impl Into<EnhancedCode>,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code,
            enhanced: Some(enhanced.into()),
            text: text.into(),
        }
    }

    /// A reply without an enhanced status code.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            enhanced: None,
            text: text.into(),
        }
    }

    /// `250 2.0.0 OK`: yes, whatever the question was.
    pub fn ok() -> Self {
        super::standard::OK.into()
    }

    /// Code 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Code 3xx: go on.
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// Code 4xx: not now.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// Code 5xx: never.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Code 4xx or 5xx.
    pub fn is_negative(&self) -> bool {
        self.is_transient() || self.is_permanent()
    }
}

/// On one line, for logs.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in self.text.lines() {
            write!(f, " {}", line.escape_debug())?;
        }
        Ok(())
    }
}

/// An enhanced mail system status code
/// ([RFC 3463](https://www.rfc-editor.org/rfc/rfc3463)), `class.subject.detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about, 0 to 999.
    pub subject: u16,
    /// Precisely what, 0 to 999.
    pub detail: u16,
}

impl From<(u8, u16, u16)> for EnhancedCode {
    fn from((class, subject, detail): (u8, u16, u16)) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
