//! What the grammar says when it does not understand.

use nom::error::{ErrorKind, ParseError};
use nom::{IResult, Parser};

use crate::imap::response::{Code, Status};

/// The result of every function of the grammar.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Fault<'a>>;

/// What is expected where no one has given it a name.
const UNNAMED: &str = "something else";

/// Where the grammar stopped, and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault<'a> {
    /// What was not read.
    pub(crate) at: &'a [u8],
    /// Why.
    pub(crate) reason: Reason,
}

/// Why the grammar stopped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reason {
    /// This should have stood here.
    Expected(&'static str),
    /// The text is well formed, yet refused with this answer.
    Refused(Box<Status>),
}

impl<'a> ParseError<&'a [u8]> for Fault<'a> {
    fn from_error_kind(at: &'a [u8], _: ErrorKind) -> Self {
        Fault {
            at,
            reason: Reason::Expected(UNNAMED),
        }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }

    /// Of two ways that failed, the one that came further knows better.
    fn or(self, other: Self) -> Self {
        let unnamed = self.reason == Reason::Expected(UNNAMED);
        if other.at.len() < self.at.len() || unnamed && other.at.len() == self.at.len() {
            other
        } else {
            self
        }
    }
}

/// The answer to a text that was to be read.
pub(crate) fn failed(input: &[u8], error: nom::Err<Fault<'_>>) -> Status {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => fault.status(input),
        nom::Err::Incomplete(_) => Status::bad("The command is incomplete"),
    }
}

impl Fault<'_> {
    /// The answer to a command of which `input` was to be read.
    pub(crate) fn status(self, input: &[u8]) -> Status {
        match self.reason {
            Reason::Refused(status) => *status,
            Reason::Expected(what) => Status::bad(if self.at.is_empty() {
                format!("Expected {what} at the end of the command")
            } else {
                let column = input.len().saturating_sub(self.at.len()) + 1;
                format!("Expected {what} at column {column}")
            }),
        }
    }
}

/// Names what `parser` reads, for the case that it is not there.
pub(crate) fn expect<'a, T>(
    what: &'static str,
    mut parser: impl Parser<&'a [u8], Output = T, Error = Fault<'a>>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, T> {
    move |input: &'a [u8]| match parser.parse(input) {
        Err(nom::Err::Error(fault))
            if fault.at.len() == input.len() && matches!(fault.reason, Reason::Expected(_)) =>
        {
            Err(expected(input, what))
        }
        other => other,
    }
}

/// `what` should stand at `at`.
pub(crate) fn expected<'a>(at: &'a [u8], what: &'static str) -> nom::Err<Fault<'a>> {
    nom::Err::Error(Fault {
        at,
        reason: Reason::Expected(what),
    })
}

/// What stands at `at` is refused; no other way is tried.
pub(crate) fn refused<'a>(at: &'a [u8], status: Status) -> nom::Err<Fault<'a>> {
    nom::Err::Failure(Fault {
        at,
        reason: Reason::Refused(Box::new(status)),
    })
}

/// NO [CANNOT]: a name that can never be.
pub(crate) fn cannot<'a>(at: &'a [u8], text: &'static str) -> nom::Err<Fault<'a>> {
    refused(at, Status::no(text).with(Code::Cannot))
}
