//! Sets are resolved without counting through their ranges.
#![no_main]

use axigen_proto::imap::sequence::SequenceSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8])| {
    let (largest, text) = input;
    let Some(set) = SequenceSet::parse(text) else {
        return;
    };
    assert_eq!(
        SequenceSet::parse(set.to_string().as_bytes()).as_ref(),
        Some(&set)
    );
    let numbers = set.resolve(largest);
    let ranges: Vec<_> = numbers.ranges().collect();
    assert!(ranges.iter().all(|&(low, high)| 1 <= low && low <= high));
    assert!(ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0));
    assert_eq!(numbers.min(), numbers.iter().next());
    assert_eq!(numbers.max(), numbers.iter().next_back());
    for (low, high) in ranges {
        assert!(numbers.contains(low) && numbers.contains(high));
        assert!(high == u32::MAX || !numbers.contains(high + 1));
    }
    if !set.beyond(largest) {
        assert!(numbers.max().is_none_or(|max| max <= largest));
    }
});
