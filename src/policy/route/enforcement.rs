//! Whose refusals a route carries out: everybody's, a share of the callers', or nobody's.

use std::fmt;

use crate::config::percentage::Percentage;
use crate::config::raw::{self, Mode};

/// Whose refusals a route carries out. Those of all others are only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// Everybody's.
    Always,
    /// Those of a share of the callers, always the same ones.
    Share(Percentage),
    /// Nobody's.
    Never,
}

impl Enforcement {
    /// As `mode` and `enforce` say.
    pub(super) fn read(route: &raw::Route) -> Self {
        match (route.mode, route.enforce) {
            (Mode::Enforce, _) => Self::Always,
            (Mode::Observe, Some(share)) if share.millionths() > 0 => Self::Share(share),
            (Mode::Observe, _) => Self::Never,
        }
    }

    /// True if every refusal is carried out, whoever calls.
    pub fn is_always(self) -> bool {
        self == Self::Always
    }

    /// True if refusals of a caller at this place are carried out: from 0 to 999,999. So each
    /// share is a part of all larger ones.
    pub fn includes(self, place: u32) -> bool {
        match self {
            Self::Always => true,
            Self::Share(share) => place < share.millionths(),
            Self::Never => false,
        }
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => formatter.write_str("enforce"),
            Self::Share(share) => write!(formatter, "observe, enforce {share}"),
            Self::Never => formatter.write_str("observe"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn each_share_is_a_part_of_all_larger_ones() {
        let shares: Vec<Enforcement> =
            ["0.01%", "0.5%", "20%", "50%", "99.99%"].map(|share| Enforcement::Share(share.parse().unwrap())).into();
        for place in 0..Percentage::WHOLE {
            let included: Vec<bool> = shares.iter().map(|share| share.includes(place)).collect();
            assert!(included.is_sorted(), "{place}: {included:?}");
            assert!(Enforcement::Always.includes(place) && !Enforcement::Never.includes(place));
        }
        let size = |share: &Enforcement| (0..Percentage::WHOLE).filter(|place| share.includes(*place)).count();
        assert_eq!(shares.iter().map(size).collect::<Vec<_>>(), [100, 5_000, 200_000, 500_000, 999_900]);
    }
}
