//! The thread that writes the audit log: what has come meanwhile is written together, and brought to the disk at most
//! once a second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use super::audit_event::AuditEvent;
use super::audit_file::AuditFile;
use super::counted_failures::CountedFailures;
use crate::log_throttle::LogThrottle;

/// Most events that are written together.
const MOST: usize = 1_024;
/// Longest time from a line to the disk, and until failures that were counted together are looked after.
const TURN: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum AuditMessage {
    Event(SystemTime, AuditEvent),
    Reopen,
    /// Answers once everything before it is on the disk.
    Flush(SyncSender<()>),
}

struct Writer {
    file: AuditFile,
    failures: Arc<CountedFailures>,
    lost: Arc<AtomicU64>,
    /// Those of `lost` of which a line tells.
    told: u64,
    /// The time since which something is written and not yet on the disk.
    unsynced: Option<Instant>,
    throttle: LogThrottle,
}

/// Starts the thread; it ends when nobody can send any more.
///
/// # Errors
/// If no thread can be started.
pub(super) fn start(
    file: AuditFile,
    entries: Receiver<AuditMessage>,
    failures: Arc<CountedFailures>,
    lost: Arc<AtomicU64>,
) -> io::Result<()> {
    let writer = Writer { file, failures, lost, told: 0, unsynced: None, throttle: LogThrottle::default() };
    std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&entries))?;
    Ok(())
}

impl Writer {
    fn run(mut self, entries: &Receiver<AuditMessage>) {
        loop {
            let (mut events, mut flushes, mut reopens, mut is_over) = (Vec::new(), Vec::new(), false, false);
            let first = match entries.recv_timeout(TURN) {
                Ok(entry) => Some(entry),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    is_over = true;
                    None
                }
            };
            for entry in first.into_iter().chain(std::iter::from_fn(|| entries.try_recv().ok())).take(MOST) {
                match entry {
                    AuditMessage::Event(time, event) => events.push((time, event)),
                    AuditMessage::Reopen => reopens = true,
                    AuditMessage::Flush(done) => flushes.push(done),
                }
            }
            let all = is_over || !flushes.is_empty();
            let due = self.failures.due(Instant::now(), all).into_iter();
            events.extend(due.map(|event| (SystemTime::now(), event)));
            self.write(events, reopens);
            self.sync(all);
            for done in flushes {
                let _ = done.try_send(());
            }
            if is_over {
                return;
            }
        }
    }

    fn write(&mut self, mut events: Vec<(SystemTime, AuditEvent)>, reopens: bool) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.told {
            let event = AuditEvent::new("lost", "failed").with("count", lost - self.told);
            events.insert(0, (SystemTime::now(), event));
        }
        if events.is_empty() && !reopens {
            return;
        }
        match self.file.append(&events) {
            Ok(()) => {
                self.told = lost;
                self.unsynced.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                // The line that tells of lost ones comes again.
                let own = usize::from(lost > self.told);
                self.lost.fetch_add((events.len() - own) as u64, Ordering::Relaxed);
                if let Some(left_out) = self.throttle.allow_each(10) {
                    let file = self.file.path().display();
                    tracing::error!(%file, %error, left_out, "the audit log cannot be written: events are lost");
                }
            }
        }
    }

    fn sync(&mut self, at_once: bool) {
        if self.unsynced.is_some_and(|since| at_once || since.elapsed() >= TURN) {
            if let Err(error) = self.file.sync() {
                tracing::error!(%error, "the audit log cannot be brought to the disk");
            }
            self.unsynced = None;
        }
    }
}
