//! The audit log: who did what, in a file to which lines are only ever added, each with the hash of the one before. A
//! thread of its own writes it; whoever has something to note never waits for the disk.

mod audit_event;
mod audit_file;
mod chain;
mod counted_failures;
pub mod verification;
mod writer;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

pub use audit_event::AuditEvent;
use audit_file::AuditFile;
use counted_failures::CountedFailures;
use writer::AuditMessage;

/// The name of the file, beside the state.
pub const FILE: &str = "audit.jsonl";

/// Most events that wait for the disk. Those above are lost, and counted.
const QUEUE: usize = 8_192;

/// The audit log of the running process, for everybody who has something to note.
#[derive(Debug, Clone)]
pub struct Audit {
    entries: SyncSender<AuditMessage>,
    failures: Arc<CountedFailures>,
    lost: Arc<AtomicU64>,
}

impl Audit {
    /// Starts the thread that writes to `audit.jsonl` in this directory. The file is opened with the first event.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let (entries, received) = sync_channel(QUEUE);
        let audit = Self { entries, failures: Arc::default(), lost: Arc::default() };
        writer::start(AuditFile::new(directory), received, Arc::clone(&audit.failures), Arc::clone(&audit.lost))?;
        Ok(audit)
    }

    /// Keeps nothing: for a gateway that serves nobody.
    pub fn nowhere() -> Self {
        Self { entries: sync_channel(0).0, failures: Arc::default(), lost: Arc::default() }
    }

    /// Notes an event, and returns at once. Failures of callers beyond some in a second are counted together; events
    /// that find the queue full are lost, and the next line says how many.
    pub fn note(&self, event: AuditEvent) {
        if self.failures.takes(&event) {
            return;
        }
        if self.entries.try_send(AuditMessage::Event(SystemTime::now(), event)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Goes on in a new file at once, where the present one has been renamed. By itself it does so with the next event.
    pub fn reopen(&self) {
        let _ = self.entries.try_send(AuditMessage::Reopen);
    }

    /// Waits until everything that was noted is on the disk, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.entries.try_send(AuditMessage::Flush(done)).is_ok() {
            let _ = written.recv_timeout(limit);
        }
    }

    /// The number of events that were lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Adds an event at once, and returns when it is on the disk: for commands, beside a gateway that runs or without one.
///
/// # Errors
/// If the file cannot be written.
pub fn append(directory: &Path, event: AuditEvent) -> io::Result<()> {
    let mut file = AuditFile::new(directory);
    file.append(&[(SystemTime::now(), event)])?;
    file.sync()
}
