//! File descriptor limit: client connections leave enough for backends, operators and the log.
//!
//! RLIMIT_NOFILE holds for the whole process, so this count does too. Without it the limit would be met in the
//! middle of something: by whoever next connects to a backend, opens a file or asks for metrics.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Descriptors for listeners, files and the state.
const OTHERS: usize = 64;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// RLIMIT_NOFILE; `None` if unlimited.
static LIMIT: LazyLock<Option<usize>> =
    LazyLock::new(|| soft_limit(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default()));

static MOST: LazyLock<usize> = LazyLock::new(|| {
    let most = LIMIT.map_or(usize::MAX, share);
    tracing::info!(connections = most, "client connections capped by RLIMIT_NOFILE");
    most
});

/// Descriptor of a client connection; counted until dropped.
#[derive(Debug)]
pub(in crate::server) struct Descriptor(());

impl Descriptor {
    /// Logs the limit of client connections at the start.
    pub(in crate::server) fn announce() {
        LazyLock::force(&MOST);
    }

    /// A descriptor for an accepted connection, if one is left.
    pub(in crate::server) fn take() -> Option<Self> {
        let before = OPEN.fetch_add(1, Ordering::Relaxed);
        let descriptor = Self(());
        (before < *MOST).then_some(descriptor)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Most connections of operators.
pub(in crate::server) fn for_operators() -> usize {
    operators(LIMIT.unwrap_or(usize::MAX))
}

/// Most connections of operators within a limit.
fn operators(limit: usize) -> usize {
    (limit / 32).clamp(8, 256)
}

/// Most client connections within a limit: each may need another descriptor for a backend.
fn share(limit: usize) -> usize {
    (limit.saturating_sub(OTHERS + operators(limit)) / 2).max(1)
}

/// Soft limit of open files, from the text of /proc/PID/limits. `None` if unlimited.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_that_operators_and_files_leave_are_for_callers() {
        let limits =
            |soft| format!("Limit   Soft Limit  Hard Limit  Units\nMax open files   {soft}   1048576   files\n");
        assert_eq!(soft_limit(&limits("1024")), Some(1024));
        assert_eq!(soft_limit(&limits("unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert_eq!((operators(1024), share(1024)), (32, 464));
        assert_eq!((operators(65_536), share(65_536)), (256, 32_608));
        assert_eq!((operators(10), share(10)), (8, 1));
    }
}
