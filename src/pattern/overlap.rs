//! Whether two expressions match a common value, by a walk over both of their automata at once.

use std::collections::HashSet;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::anchored;

/// The most memory of an automaton: of its program, and of the states that a walk has met, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The most pairs of states that a walk meets.
const MOST_PAIRS: usize = 20_000;

/// What two expressions have in common, or one of them beyond the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlap {
    /// No value.
    None,
    /// This value, among others; it is one of the shortest.
    Example(String),
    /// They are too large to be compared.
    Unknown,
}

/// The automaton of an expression.
#[derive(Debug)]
pub struct Automaton {
    dfa: DFA,
    cache: Cache,
}

impl Automaton {
    /// The automaton of an expression of whole values; `None` where it is too large, or has something that an automaton
    /// cannot have, such as a Unicode word boundary.
    pub fn new(text: &str, ignores_case: bool) -> Option<Self> {
        // Its memory is all that there is: nothing is forgotten on a walk.
        let config = DFA::config().cache_capacity(LARGEST).minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().case_insensitive(ignores_case))
            .thompson(thompson::Config::new().nfa_size_limit(Some(LARGEST)))
            .configure(config)
            .build(&anchored(text))
            .ok()?;
        let cache = dfa.create_cache();
        Some(Self { dfa, cache })
    }

    /// What both match, within the characters that paths and field values have.
    pub fn overlap(&mut self, other: &mut Self) -> Overlap {
        self.walk(other, true).unwrap_or(Overlap::Unknown)
    }

    /// What this one matches and the other one does not.
    pub fn beyond(&mut self, other: &mut Self) -> Overlap {
        self.walk(other, false).unwrap_or(Overlap::Unknown)
    }

    /// Looks for a value that this one matches and the other one matches too, or does not. `None` where the walk is too
    /// long.
    fn walk(&mut self, other: &mut Self, by_both: bool) -> Option<Overlap> {
        let bytes = self.distinct_bytes(other);
        let first = (self.start()?, other.start()?);
        // Each pair that was met, with the place of the one before and the byte that led from there.
        let mut met = vec![(first, 0, 0)];
        let mut known = HashSet::from([first]);
        let mut at = 0;
        while at < met.len() {
            let ((one, two), ..) = met[at];
            if self.ends_at(one)? && other.ends_at(two)? == by_both {
                return Some(Overlap::Example(way(&met, at)));
            }
            for byte in &bytes {
                let next = (self.next(one, *byte)?, other.next(two, *byte)?);
                if next.0.is_dead() || (by_both && next.1.is_dead()) || !known.insert(next) {
                    continue;
                }
                if met.len() == MOST_PAIRS || next.0.is_quit() || next.1.is_quit() {
                    return None;
                }
                met.push((next, at, *byte));
            }
            at += 1;
        }
        Some(Overlap::None)
    }

    fn start(&mut self) -> Option<LazyStateID> {
        let input = Input::new("").anchored(Anchored::Yes);
        self.dfa.start_state_forward(&mut self.cache, &input).ok()
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        self.dfa.next_state(&mut self.cache, state, byte).ok()
    }

    fn ends_at(&mut self, state: LazyStateID) -> Option<bool> {
        Some(self.dfa.next_eoi_state(&mut self.cache, state).ok()?.is_match())
    }

    /// One byte for all that neither of both tells apart: where there is a choice, one that is pleasant to read. Control
    /// characters stand in no value.
    fn distinct_bytes(&self, other: &Self) -> Vec<u8> {
        let (one, two) = (self.dfa.byte_classes(), other.dfa.byte_classes());
        let pleasant = b"/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_".iter().copied();
        let all = pleasant.chain((0x20..=0xff).filter(|byte| *byte != 0x7f));
        let mut met = HashSet::new();
        all.filter(|byte| met.insert((one.get(*byte), two.get(*byte)))).collect()
    }
}

/// The bytes that led to the pair at this place.
fn way(met: &[((LazyStateID, LazyStateID), usize, u8)], mut at: usize) -> String {
    let mut bytes = Vec::new();
    while at > 0 {
        let (_, before, byte) = met[at];
        bytes.push(byte);
        at = before;
    }
    bytes.reverse();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(one: (&str, bool), other: (&str, bool)) -> Overlap {
        Automaton::new(one.0, one.1).unwrap().overlap(&mut Automaton::new(other.0, other.1).unwrap())
    }

    #[test]
    fn a_value_that_both_match_is_found() {
        for (one, other, example) in [
            ("/v[0-9]+/orders", "/v1/[a-z]+", "/v1/orders"),
            ("/a|/b", "/b|/c", "/b"),
            ("/[^/]+", "/é", "/é"),
            ("/a.*", ".*z", "/az"),
            ("(?i)/ab", "/AB", "/AB"),
            (r"/\d{4}", "/2024", "/2024"),
            ("/x*", "/", "/"),
        ] {
            assert_eq!(overlap((one, false), (other, false)), Overlap::Example(example.to_owned()), "{one} {other}");
        }
        assert_eq!(overlap(("/ab", true), ("/AB", false)), Overlap::Example("/AB".to_owned()));
    }

    #[test]
    fn expressions_that_have_nothing_in_common_are_known_to_have_nothing() {
        for (one, other) in [
            ("/v[0-9]+/orders", "/v[0-9]+/customers"),
            ("/ab", "/AB"),
            ("/[a-z]+", "/[0-9]+"),
            ("/(aa)*b", "/a(aa)*b"),
            ("/a\n", "/a\n"),
        ] {
            assert_eq!(overlap((one, false), (other, false)), Overlap::None, "{one} {other}");
        }
    }

    #[test]
    fn a_walk_that_would_be_too_long_is_not_walked() {
        let long = "/(a|b)*a(a|b){14}";
        assert_eq!(overlap((long, false), ("/(a|b)*b(a|b){14}c", false)), Overlap::Unknown);
        assert!(Automaton::new(r"/(\w{100}){100}", false).is_none());
        assert!(Automaton::new(r"/\bx", false).is_none());
    }

    #[test]
    fn what_one_matches_beyond_the_other_is_found() {
        let beyond = |one: &str, other: &str| {
            Automaton::new(one, false).unwrap().beyond(&mut Automaton::new(other, false).unwrap())
        };
        assert_eq!(beyond("/v1/[0-9]", "/v1/.*"), Overlap::None);
        assert_eq!(beyond("/v1/x|/w", "/v1/.*"), Overlap::Example("/w".to_owned()));
        assert_eq!(beyond("/v[12]/x", "/v1/.*"), Overlap::Example("/v2/x".to_owned()));
    }
}
