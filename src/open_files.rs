//! Shares of the limit of open files: operators, client connections, and temporary files of request bodies.
//!
//! RLIMIT_NOFILE holds for the whole process, so these do too. Without them the limit would be met in the middle of
//! something: by whoever next connects to a backend, opens a file or asks for metrics.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Descriptors for listeners, files and the state.
const OTHERS: usize = 64;

/// RLIMIT_NOFILE; `None` if unlimited.
static LIMIT: LazyLock<Option<usize>> =
    LazyLock::new(|| soft_limit(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default()));

/// True once a backend has had a directory of temporary files.
static HAS_BUFFERS: AtomicBool = AtomicBool::new(false);

/// Reserves the share of temporary files, until the process ends.
pub fn reserve_for_buffers() {
    HAS_BUFFERS.store(true, Ordering::Relaxed);
}

/// Most connections of operators.
pub fn for_operators() -> usize {
    operators(LIMIT.unwrap_or(usize::MAX))
}

/// Most client connections.
pub fn for_connections() -> usize {
    LIMIT.map_or(usize::MAX, |limit| connections(limit, HAS_BUFFERS.load(Ordering::Relaxed)))
}

/// Most temporary files of request bodies.
pub fn for_buffers() -> usize {
    LIMIT.map_or(usize::MAX, buffers)
}

/// Most connections of operators within a limit.
fn operators(limit: usize) -> usize {
    (limit / 32).clamp(8, 256)
}

/// What callers have of a limit.
fn callers(limit: usize) -> usize {
    limit.saturating_sub(OTHERS + operators(limit))
}

/// Most temporary files within a limit: an eighth of what callers have.
fn buffers(limit: usize) -> usize {
    (callers(limit) / 8).max(1)
}

/// Most client connections within a limit: each may need another descriptor for a backend.
fn connections(limit: usize, has_buffers: bool) -> usize {
    let reserved = if has_buffers { buffers(limit) } else { 0 };
    (callers(limit).saturating_sub(reserved) / 2).max(1)
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
        let shares = |limit| (operators(limit), connections(limit, false));
        assert_eq!(shares(1024), (32, 464));
        assert_eq!(shares(65_536), (256, 32_608));
        assert_eq!(shares(10), (8, 1));
    }

    #[test]
    fn temporary_files_take_nothing_from_what_connections_and_operators_are_sure_of() {
        for limit in [256, 400, 1024, 65_536] {
            let taken = OTHERS + operators(limit) + 2 * connections(limit, true) + buffers(limit);
            assert!(taken <= limit && taken + 2 > limit, "{taken} of {limit}");
        }
        assert_eq!((buffers(1024), connections(1024, true)), (116, 406));
        assert_eq!((buffers(10), connections(10, true)), (1, 1));
    }
}
