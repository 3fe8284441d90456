//! The rules of outlier detection: failures in a row that eject a server, ejection times, and the share that may be out.

use std::time::Duration;

/// When a server is ejected, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct OutlierDetection {
    /// After how many failures in a row; 0: never.
    pub failures: u32,
    /// For how long, the first time.
    pub base_ejection_time: Duration,
    /// The longest time.
    pub max_ejection_time: Duration,
    /// How many servers may be out at once, in percent.
    pub max_ejection_percent: u32,
}

/// Whether one more of so many servers may be ejected, when some are out already. The last one never may.
pub(super) fn may_eject(out: usize, all: usize, most: u32) -> bool {
    let most = (all.saturating_mul(most as usize) / 100).max(1);
    out < most && out + 1 < all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_server_is_never_ejected(all in 0_usize..20, out in 0_usize..20, most in 0_u32..=100) {
            prop_assert!(!may_eject(out, all, most) || out + 1 < all);
            prop_assert!(!may_eject(out, all, most) || (out + 1) * 100 <= all * (most as usize).max(1) || out == 0);
            prop_assert!(all < 2 || may_eject(0, all, most));
        }
    }
}
