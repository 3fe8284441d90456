//! The memory limit of the process: above it new requests are refused, before the kernel kills the process.

use std::sync::atomic::{AtomicBool, Ordering};

/// The state of the memory.
#[derive(Debug, Default)]
pub struct Memory {
    is_short: AtomicBool,
}

impl Memory {
    /// True while new requests are refused.
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Compares the resident memory with `limit`, in bytes. Memory is short above the limit, and then until it is below
    /// 95 % of it; without a limit never.
    pub fn look(&self, limit: Option<u64>) {
        let status = limit.and_then(|_| std::fs::read_to_string("/proc/self/status").ok());
        self.note(limit, status.as_deref().and_then(resident));
    }

    fn note(&self, limit: Option<u64>, resident: Option<u64>) {
        let was_short = self.is_short();
        let is_short = match (limit, resident) {
            (Some(limit), Some(resident)) => resident > if was_short { limit / 100 * 95 } else { limit },
            _ => false,
        };
        if is_short != was_short {
            self.is_short.store(is_short, Ordering::Relaxed);
            tracing::warn!(resident, limit, is_short, "memory limit: new requests are refused while memory is short");
        }
    }
}

/// The resident memory in bytes, from /proc/PID/status.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_above_its_limit_until_it_is_well_below() {
        let memory = Memory::default();
        let note = |limit, resident| {
            memory.note(limit, resident);
            memory.is_short()
        };
        assert!(!note(Some(1_000), Some(1_000)));
        assert!(note(Some(1_000), Some(1_001)));
        assert!(note(Some(1_000), Some(951)), "it does not go back and forth");
        assert!(!note(Some(1_000), Some(950)));
        assert!(!note(None, Some(u64::MAX)));
        assert!(!note(Some(1_000), None), "who cannot be asked does not refuse");
    }

    #[test]
    fn the_kernel_says_how_much_it_is() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nRssAnon:\t 1 kB\n"), Some(12_345 * 1024));
        assert_eq!(resident("VmRSS:\t many\n"), None);
        assert!(std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident).is_some());
    }
}
