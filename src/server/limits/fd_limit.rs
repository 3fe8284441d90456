//! File descriptor limit: client connections leave enough for backends, operators, temporary files and the log.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::open_files;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Descriptor of a client connection; counted until dropped.
#[derive(Debug)]
pub(in crate::server) struct Descriptor(());

impl Descriptor {
    /// Logs the limit of client connections at the start.
    pub(in crate::server) fn announce() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let connections = open_files::for_connections();
            tracing::info!(connections, "client connections capped by RLIMIT_NOFILE");
        });
    }

    /// A descriptor for an accepted connection, if one is left.
    pub(in crate::server) fn take() -> Option<Self> {
        let before = OPEN.fetch_add(1, Ordering::Relaxed);
        let descriptor = Self(());
        (before < open_files::for_connections()).then_some(descriptor)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
