//! File descriptors: callers cannot take so many that none is left for backends, operators and the log.
//!
//! The kernel's limit is one for the whole process, so this count is too. Without it, the limit would be met in the
//! middle of something: by whoever next connects to a backend, opens a file or asks for metrics.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Descriptors that are neither callers' nor their backends' connections: listeners, files, operators, the state.
const OTHERS: usize = 64;

static OPEN: AtomicUsize = AtomicUsize::new(0);

static MOST: LazyLock<usize> = LazyLock::new(|| {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = soft_limit(&limits).map_or(usize::MAX, share);
    tracing::info!(connections = most, "as many connections of callers as the limit of open files allows");
    most
});

/// A caller's connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Descriptor(());

impl Descriptor {
    /// One for a connection that has been accepted, where callers may have one more.
    pub(super) fn take() -> Option<Self> {
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

/// How many a caller's connections may have: each may need another one to a backend.
fn share(limit: usize) -> usize {
    (limit.saturating_sub(OTHERS) / 2).max(1)
}

/// The limit of open files, in the form of /proc/PID/limits. `None` where there is none.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x21_half_of_the_descriptors_are_for_callers() {
        let limits =
            |soft| format!("Limit   Soft Limit  Hard Limit  Units\nMax open files   {soft}   1048576   files\n");
        assert_eq!(soft_limit(&limits("1024")), Some(1024));
        assert_eq!(soft_limit(&limits("unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert_eq!(share(1024), 480);
        assert_eq!(share(10), 1);
    }
}
