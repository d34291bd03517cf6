//! Sets of message numbers: as a client writes them, and as a list of ranges.

use std::fmt;

use super::parse::values::sequence_set;

/// A set of sequence numbers or UIDs as the client wrote it.
///
/// ```text
/// sequence-set = (seq-number / seq-range) ["," sequence-set] / seq-last-command
/// seq-last-command = "$"
/// ```
/// [RFC 9051 §9](https://www.rfc-editor.org/rfc/rfc9051#section-9)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceSet {
    /// Numbers and ranges, in the order they were written.
    Ranges(Vec<SequenceRange>),
    /// `$`: the result that SEARCH RETURN (SAVE) kept
    /// ([RFC 5182](https://www.rfc-editor.org/rfc/rfc5182)).
    Saved,
}

/// A range of a [`SequenceSet`]; a single number is a range from it to itself.
/// The ends may stand in either order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRange {
    /// One end.
    pub from: SequenceNumber,
    /// The other end.
    pub to: SequenceNumber,
}

/// `seq-number = nz-number / "*"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceNumber {
    /// A number, never 0.
    Number(u32),
    /// `*`: the largest number in use.
    Largest,
}

impl SequenceSet {
    /// The set as ascending ranges, with `*` standing for `largest`. Empty for
    /// [`SequenceSet::Saved`], whose content only the application knows.
    ///
    /// With `largest` 0 (an empty mailbox) a `*` alone stands for nothing.
    /// Numbers above `largest` are kept: see [`SequenceSet::beyond`]. The work
    /// depends on the number of ranges, never on how many numbers they span.
    pub fn resolve(&self, largest: u32) -> NumberSet {
        let SequenceSet::Ranges(ranges) = self else {
            return NumberSet::default();
        };
        let value = |number: SequenceNumber| match number {
            SequenceNumber::Number(n) => n,
            SequenceNumber::Largest => largest,
        };
        let mut pairs: Vec<(u32, u32)> = ranges
            .iter()
            .map(|range| {
                let (a, b) = (value(range.from), value(range.to));
                (a.min(b).max(1), a.max(b))
            })
            .filter(|&(low, high)| low <= high)
            .collect();
        pairs.sort_unstable();
        let mut set = NumberSet::default();
        for (low, high) in pairs {
            set.push_range(low, high);
        }
        set
    }

    /// Reads a set; `None` for anything else, however it goes on.
    pub fn parse(text: &[u8]) -> Option<SequenceSet> {
        match sequence_set(text) {
            Ok((b"", set)) => Some(set),
            _ => None,
        }
    }

    /// Whether the set names a sequence number above `largest`. RFC 9051 §9: that
    /// is an error for sequence numbers, and nothing to mention for UIDs.
    pub fn beyond(&self, largest: u32) -> bool {
        match self {
            SequenceSet::Saved => false,
            SequenceSet::Ranges(ranges) => ranges.iter().any(|range| {
                [range.from, range.to].into_iter().any(|end| match end {
                    SequenceNumber::Number(n) => n > largest,
                    SequenceNumber::Largest => largest == 0,
                })
            }),
        }
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SequenceNumber::Number(n) => write!(f, "{n}"),
            SequenceNumber::Largest => f.write_str("*"),
        }
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SequenceSet::Ranges(ranges) = self else {
            return f.write_str("$");
        };
        for (index, range) in ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.from)?;
            if range.from != range.to {
                write!(f, ":{}", range.to)?;
            }
        }
        Ok(())
    }
}

/// Numbers as ascending ranges that neither touch nor overlap. Holds two
/// integers a range however many numbers it spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberSet {
    ranges: Vec<(u32, u32)>,
}

impl NumberSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number; cheap when numbers come in ascending order.
    pub fn push(&mut self, number: u32) {
        self.push_range(number, number);
    }

    /// Adds the numbers from `low` to `high`; cheap in ascending order.
    pub fn push_range(&mut self, low: u32, high: u32) {
        if low > high {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if low >= last.0 => {
                if low <= last.1.saturating_add(1) {
                    last.1 = last.1.max(high);
                } else {
                    self.ranges.push((low, high));
                }
            }
            None => self.ranges.push((low, high)),
            Some(_) => self.insert_range(low, high),
        }
    }

    fn insert_range(&mut self, low: u32, high: u32) {
        // The ranges that touch or overlap the new one melt into it.
        let start = self.ranges.partition_point(|r| r.1.saturating_add(1) < low);
        let end = self
            .ranges
            .partition_point(|r| r.0 <= high.saturating_add(1));
        let (mut low, mut high) = (low, high);
        if start < end {
            low = low.min(self.ranges[start].0);
            high = high.max(self.ranges[end - 1].1);
        }
        self.ranges.splice(start..end, [(low, high)]);
    }

    /// The ranges, ascending, both ends included.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> + '_ {
        self.ranges.iter().copied()
    }

    /// The numbers, ascending, made one at a time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|&(low, high)| low..=high)
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.ranges.partition_point(|r| r.1 < number);
        self.ranges.get(at).is_some_and(|r| r.0 <= number)
    }

    /// Those that are in both sets.
    pub fn intersection(&self, other: &NumberSet) -> NumberSet {
        let mut both = NumberSet::new();
        let (mut ours, mut theirs) = (self.ranges().peekable(), other.ranges().peekable());
        while let (Some(&a), Some(&b)) = (ours.peek(), theirs.peek()) {
            both.push_range(a.0.max(b.0), a.1.min(b.1));
            if a.1 < b.1 {
                ours.next();
            } else {
                theirs.next();
            }
        }
        both
    }

    /// Those that are not in the other set.
    pub fn difference(&self, other: &NumberSet) -> NumberSet {
        let mut left = NumberSet::new();
        let mut theirs = other.ranges.as_slice();
        for &(low, high) in &self.ranges {
            let behind = theirs.partition_point(|range| range.1 < low);
            theirs = theirs.get(behind..).unwrap_or_default();
            // `None` once nothing can be left above.
            let mut next = Some(low);
            for &(from, to) in theirs.iter().take_while(|range| range.0 <= high) {
                if let (Some(low), Some(before)) = (next, from.checked_sub(1)) {
                    left.push_range(low, before);
                }
                next = to.checked_add(1);
            }
            if let Some(low) = next {
                left.push_range(low, high);
            }
        }
        left
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.ranges
            .iter()
            .map(|&(low, high)| u64::from(high - low) + 1)
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The smallest number.
    pub fn min(&self) -> Option<u32> {
        self.ranges.first().map(|r| r.0)
    }

    /// The largest number.
    pub fn max(&self) -> Option<u32> {
        self.ranges.last().map(|r| r.1)
    }
}

impl FromIterator<u32> for NumberSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut set = NumberSet::new();
        for number in numbers {
            set.push(number);
        }
        set
    }
}

impl fmt::Display for NumberSet {
    /// `uid-set = (uniqueid / uid-range) *("," uid-set)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.ranges().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if low == high {
                write!(f, "{low}")?;
            } else {
                write!(f, "{low}:{high}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(ranges: &[(u32, u32)]) -> SequenceSet {
        let number = |n| match n {
            0 => SequenceNumber::Largest,
            n => SequenceNumber::Number(n),
        };
        SequenceSet::Ranges(
            ranges
                .iter()
                .map(|&(from, to)| SequenceRange {
                    from: number(from),
                    to: number(to),
                })
                .collect(),
        )
    }

    #[test]
    fn star_is_the_largest() {
        assert_eq!(set(&[(4, 0)]).resolve(10).to_string(), "4:10");
        // RFC 9051 §9: 3291:* includes the last message even if its UID is smaller.
        assert_eq!(set(&[(3291, 0)]).resolve(10).to_string(), "10:3291");
        assert_eq!(set(&[(0, 0)]).resolve(10).to_string(), "10");
        assert!(set(&[(0, 0)]).resolve(0).is_empty());
        assert_eq!(
            set(&[(2, 1), (1, 1), (5, 4)]).resolve(9).to_string(),
            "1:2,4:5"
        );
    }

    #[test]
    fn beyond_the_mailbox() {
        assert!(set(&[(11, 11)]).beyond(10));
        assert!(!set(&[(1, 0)]).beyond(10));
        assert!(set(&[(0, 0)]).beyond(0));
    }

    #[test]
    fn a_huge_range_costs_nothing() {
        let all = set(&[(1, u32::MAX)]).resolve(7);
        assert_eq!(all.count(), u64::from(u32::MAX));
        assert_eq!(all.iter().nth(5), Some(6));
        assert_eq!(all.iter().next_back(), Some(u32::MAX));
    }

    proptest! {
        #[test]
        fn like_a_set(numbers in proptest::collection::vec((1u32..60, 1u32..60), 0..20)) {
            let mut ours = NumberSet::new();
            let mut model = BTreeSet::new();
            for (a, b) in numbers {
                ours.push_range(a, b);
                model.extend(a..=b);
            }
            prop_assert!(ours.iter().eq(model.iter().copied()));
            prop_assert_eq!(ours.count(), model.len() as u64);
            for n in 0..61 {
                prop_assert_eq!(ours.contains(n), model.contains(&n));
            }
            let ranges: Vec<_> = ours.ranges().collect();
            prop_assert!(ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0));
        }

        #[test]
        fn two_sets(
            a in proptest::collection::vec((1u32..60, 1u32..60), 0..9),
            b in proptest::collection::vec((1u32..60, 1u32..60), 0..9),
            high in any::<bool>(),
        ) {
            // Also where numbers end.
            let at = |n: u32| if high { u32::MAX - 60 + n } else { n };
            let make = |pairs: &[(u32, u32)]| {
                let (mut ours, mut model) = (NumberSet::new(), BTreeSet::new());
                for &(a, b) in pairs {
                    ours.push_range(at(a), at(b));
                    model.extend(at(a)..=at(b));
                }
                (ours, model)
            };
            let ((a, in_a), (b, in_b)) = (make(&a), make(&b));
            prop_assert!(a.intersection(&b).iter().eq(in_a.intersection(&in_b).copied()));
            prop_assert!(a.difference(&b).iter().eq(in_a.difference(&in_b).copied()));
        }
    }
}
