//! PARTIAL ([RFC 9394](https://www.rfc-editor.org/rfc/rfc9394)): some of the
//! results, counted from either end.

use std::fmt;
use std::ops::Range;

use nom::Parser;
use nom::bytes::complete::tag;
use nom::sequence::preceded;

use crate::imap::parse::fault::{Parsed, expect};
use crate::imap::parse::values::{nz_number, sp};

/// `partial-range`: results from one number to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRange {
    /// The smaller number, from 1.
    pub from: u32,
    /// The larger number.
    pub to: u32,
    /// Whether they count from the end, where 1 is the last result.
    pub from_end: bool,
}

impl PartialRange {
    /// Which of so many results these are.
    pub fn of(self, count: usize) -> Range<usize> {
        let before = (self.from as usize - 1).min(count);
        let upto = (self.to as usize).min(count);
        match self.from_end {
            false => before..upto,
            true => count - upto..count - before,
        }
    }
}

impl fmt::Display for PartialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.from, self.to)
    }
}

/// ```text
/// modifier-partial    = "PARTIAL" SP partial-range            ; behind its name
/// partial-range-first = nz-number ":" nz-number
/// partial-range-last  = "-" nz-number ":" "-" nz-number
/// ```
pub(crate) fn partial_range(input: &[u8]) -> Parsed<'_, PartialRange> {
    preceded(sp, range).parse(input)
}

/// `partial-range = partial-range-first / partial-range-last`
pub(crate) fn range(start: &[u8]) -> Parsed<'_, PartialRange> {
    let from_end = start.first() == Some(&b'-');
    let number = |i| match from_end {
        true => preceded(expect("-", tag("-")), nz_number).parse(i),
        false => nz_number(i),
    };
    let colon = expect(":", tag(":"));
    let (rest, (a, _, b)) = (number, colon, number).parse(start)?;
    let range = PartialRange {
        from: a.min(b),
        to: a.max(b),
        from_end,
    };
    Ok((rest, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_both_ends() {
        let range = |from, to, from_end| PartialRange { from, to, from_end };
        for (of, count, want) in [
            (range(1, 3, false), 10, 0..3),
            (range(9, 12, false), 10, 8..10),
            (range(11, 12, false), 10, 10..10),
            (range(1, 3, true), 10, 7..10),
            (range(9, 12, true), 10, 0..2),
            (range(11, 12, true), 10, 0..0),
            (range(1, u32::MAX, true), 0, 0..0),
        ] {
            assert_eq!(of.of(count), want, "{of} of {count}");
        }
    }
}
