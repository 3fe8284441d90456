//! File descriptors: callers cannot take so many that none is left for backends, operators and the log.
//!
//! The kernel's limit is one for the whole process, so this count is too. Without it, the limit would be met in the
//! middle of something: by whoever next connects to a backend, opens a file or asks for metrics.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Descriptors that are no connections of callers, of their backends or of operators: listeners, files, the state.
const OTHERS: usize = 64;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The limit of open files; `None` where there is none.
static LIMIT: LazyLock<Option<usize>> =
    LazyLock::new(|| soft_limit(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default()));

static MOST: LazyLock<usize> = LazyLock::new(|| {
    let most = LIMIT.map_or(usize::MAX, share);
    tracing::info!(connections = most, "client connections capped by RLIMIT_NOFILE");
    most
});

/// A caller's connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Descriptor(());

impl Descriptor {
    /// Says at the start how many connections callers may have.
    pub(super) fn announce() {
        LazyLock::force(&MOST);
    }

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

/// How many connections operators may have.
pub(super) fn for_operators() -> usize {
    operators(LIMIT.unwrap_or(usize::MAX))
}

/// The same within a limit of open files.
fn operators(limit: usize) -> usize {
    (limit / 32).clamp(8, 256)
}

/// How many callers' connections may have: each may need another one to a backend.
fn share(limit: usize) -> usize {
    (limit.saturating_sub(OTHERS + operators(limit)) / 2).max(1)
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
