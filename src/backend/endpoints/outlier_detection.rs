//! Settings of outlier detection: failures in a row that eject a server, ejection time, and most servers ejected.

use std::time::Duration;

/// Outlier detection: ejects a server that fails requests.
#[derive(Debug, Clone, Copy)]
pub struct OutlierDetection {
    /// Failures in a row that eject a server; 0: never.
    pub failures: u32,
    /// First ejection time; doubles with each ejection in a row.
    pub base_ejection_time: Duration,
    /// Longest ejection time.
    pub max_ejection_time: Duration,
    /// Most servers ejected at once, in percent.
    pub max_ejection_percent: u32,
}

/// True if one more of `all` servers may be ejected while `out` are. The last one never is.
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
