//! Reconciles the rules of the store and of this process: the store was emptied, or a replica took over that lacked
//! writes. Counts are compared range by range, and only where they differ rules are read and sent.

use std::collections::HashSet;

use super::revocation_rules::{CHUNK, Numbered, RuleStatus};
use super::store::Inner;
use crate::secret::random_bytes;
use crate::state::revocation::Rule;
use redis::RedisResult;

/// Ranges into which one is split.
const SPLIT: usize = 64;

/// Largest range, in rules, that is not split.
const LEAF: usize = CHUNK;

/// Numbers read from the log at once.
const SLICE: usize = 10_000;

/// The numbers above `after` up to `last`, and how many rules here have them.
#[derive(Debug, Clone, Copy)]
struct Range {
    after: u64,
    last: u64,
    count: usize,
}

/// Finds rules that one side lacks, and puts them there; returns whether there were any.
pub(super) async fn compare(inner: &Inner, status: RuleStatus) -> RedisResult<bool> {
    let mut found = false;
    let numbers = snapshot(inner).await;
    let whole = Range { after: 0, last: u64::MAX, count: numbers.len() };
    // All replicas begin elsewhere: they share the work.
    let mut ranges = split(whole, &numbers);
    let begin = usize::from(u16::from_be_bytes(random_bytes())) % ranges.len();
    ranges.rotate_left(begin);
    while !ranges.is_empty() {
        let some = ranges.split_off(ranges.len().saturating_sub(SPLIT));
        let bounds: Vec<(u64, u64)> = some.iter().map(|range| (range.after, range.last)).collect();
        let counts = inner.in_background(async |mut connection| inner.counts(&mut connection, &bounds).await).await?;
        for (range, there) in some.into_iter().zip(counts) {
            if usize::try_from(there) == Ok(range.count) {
                continue;
            }
            let parts = if range.count > LEAF { split(range, &numbers) } else { Vec::new() };
            if parts.len() > 1 {
                ranges.extend(parts);
            } else {
                found |= settle(inner, range, status.time).await?;
            }
        }
    }
    Ok(found)
}

/// All numbers, sorted, read in slices so that nobody waits.
async fn snapshot(inner: &Inner) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let slice = inner.revocations.numbers(numbers.last().copied().unwrap_or_default(), u64::MAX, SLICE);
        if slice.is_empty() {
            return numbers;
        }
        numbers.extend(slice);
        tokio::task::yield_now().await;
    }
}

/// Ranges of about equally many rules, that together are this one.
fn split(range: Range, numbers: &[u64]) -> Vec<Range> {
    let begin = numbers.partition_point(|number| *number <= range.after);
    let end = numbers.partition_point(|number| *number <= range.last);
    let own = &numbers[begin..end];
    let size = own.len().div_ceil(SPLIT).max(1);
    let mut ranges = Vec::new();
    let (mut after, mut rest) = (range.after, own);
    while let Some(last) = rest.get(size.min(rest.len()).saturating_sub(1)).copied() {
        // Several rules may have one number: they stay together.
        let count = rest.partition_point(|number| *number <= last);
        ranges.push(Range { after, last, count });
        (after, rest) = (last, &rest[count..]);
    }
    // What comes after all of them.
    match ranges.last_mut() {
        Some(last) => last.last = range.last,
        None => ranges.push(range),
    }
    ranges
}

/// Reads the store's rules of a range, puts them in force, and sends those it lacks; returns whether any were missing.
async fn settle(inner: &Inner, range: Range, time: u64) -> RedisResult<bool> {
    let mut found = false;
    let mut there: HashSet<Numbered> = HashSet::new();
    let mut after = range.after;
    loop {
        let page = inner.in_background(async |mut c| inner.page(&mut c, after, range.last, SLICE).await).await?;
        let is_last = page.len() < SLICE;
        for (text, number) in page {
            after = after.max(number);
            if let Some(rule) = Rule::parse(&text) {
                found |= inner.revocations.apply(Rule { number: Some(number), ..rule });
            }
            there.insert((text, number));
        }
        if is_last {
            break;
        }
    }
    let here = inner.revocations.between(range.after.saturating_add(1), range.last, usize::MAX);
    let is_missing = |rule: &Rule| {
        // What has ended is sent to nobody: whoever still has it forgets it soon.
        rule.until > time && !there.contains(&(rule.to_string(), rule.number.unwrap_or_default()))
    };
    let missing: Vec<Rule> = here.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    tracing::debug!(rules = missing.len(), "the state store lacks revocations: they are sent again");
    for some in missing.chunks(CHUNK) {
        inner.in_background(async |mut connection| inner.send_rules(&mut connection, some, false).await).await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_range_are_that_range_and_count_every_rule_once() {
        for size in [0_u64, 1, 5, 64, 65, 5_000] {
            // Three rules share each number.
            let numbers: Vec<u64> = (0..size).flat_map(|number| [number + 10; 3]).collect();
            let whole = Range { after: 0, last: u64::MAX, count: numbers.len() };
            let parts = split(whole, &numbers);
            assert_eq!((parts[0].after, parts[parts.len() - 1].last), (0, u64::MAX));
            assert!(parts.windows(2).all(|pair| pair[0].last == pair[1].after));
            assert_eq!(parts.iter().map(|part| part.count).sum::<usize>(), numbers.len());
            for part in parts {
                let within = numbers.iter().filter(|number| part.after < **number && **number <= part.last).count();
                assert_eq!(within, part.count, "{part:?}");
            }
        }
    }
}
