//! The access log: one line per request, written by a thread of its own so that a slow reader of the log, or a disk that
//! hangs, never holds up a request. Lines beyond its queue are counted and dropped.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::access_log_file::AccessLogFile;
use crate::config::percentage::Percentage;
use crate::config::raw::AccessLogLines;
use crate::log_throttle::LogThrottle;
use crate::log_writer::LineWriter;
use crate::metrics::Metrics;

/// Size in bytes at which collected lines are handed over, unless [`DELAY`] passes first.
const PIECE: usize = 32 * 1024;
/// Longest time until a line is handed over.
const DELAY: Duration = Duration::from_millis(50);
/// Most pieces in the writer's queue.
const QUEUE: usize = 64;

/// The handle of the writing thread, for all workers.
#[derive(Debug, Clone)]
pub struct AccessLogWriter {
    writer: LineWriter,
    metrics: Arc<Metrics>,
    /// The file is to be opened again.
    reopen: Arc<AtomicBool>,
}

/// The collected lines of a worker.
#[derive(Debug)]
pub(crate) struct AccessLog {
    writer: Option<AccessLogWriter>,
    lines: RefCell<Vec<u8>>,
    begun: Notify,
    /// The form of lines, and which are kept.
    chosen: RefCell<Arc<AccessLogLines>>,
    /// All are kept, in the usual form.
    is_usual: Cell<bool>,
    /// State of the choice of a sample.
    dice: Cell<u64>,
}

impl AccessLogWriter {
    /// Starts the thread that writes to a file, or to standard output.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(file: Option<PathBuf>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (counted, throttle) = (Arc::clone(&metrics), LogThrottle::default());
        let place = file.as_ref().map_or_else(|| "standard output".to_owned(), |file| file.display().to_string());
        let failed = move |lines, error: io::Error| {
            counted.access_log_dropped(lines);
            if let Some(left_out) = throttle.allow() {
                tracing::warn!(%error, left_out, "the access log cannot be written to {place}");
            }
        };
        let reopen = Arc::<AtomicBool>::default();
        let writer = match file {
            Some(file) => {
                LineWriter::start("access-log", QUEUE, AccessLogFile::new(file, Arc::clone(&reopen)), failed)?
            }
            None => LineWriter::start("access-log", QUEUE, io::stdout(), failed)?,
        };
        Ok(Self { writer, metrics, reopen })
    }

    /// Opens the file again, where there is one: it may have been renamed.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // Where the queue is full, the next piece in it finds the wish as well.
        let _ = self.writer.send(Vec::new());
    }

    /// Waits until everything that was handed over has been written, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        self.writer.flush(limit);
    }

    fn send(&self, lines: Vec<u8>) {
        if let Err(lost) = self.writer.send(lines) {
            self.metrics.access_log_dropped(lost);
        }
    }
}

impl AccessLog {
    /// Without a writer, lines are discarded.
    pub(crate) fn new(writer: Option<AccessLogWriter>) -> Self {
        let dice = Cell::new(RandomState::new().hash_one(0) | 1);
        let (lines, begun, chosen) = Default::default();
        Self { is_usual: Cell::new(writer.is_some()), writer, lines, begun, chosen, dice }
    }

    /// True if lines are written.
    pub(crate) fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// True if every request has the usual line.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_usual.get()
    }

    /// Takes the form of lines, and which are kept, as a policy has them.
    pub(crate) fn choose(&self, lines: &AccessLogLines) {
        self.is_usual.set(self.is_on() && *lines == AccessLogLines::default());
        if **self.chosen.borrow() != *lines {
            self.chosen.replace(Arc::new(lines.clone()));
        }
    }

    /// The form of lines, and which are kept.
    pub(super) fn lines_now(&self) -> Arc<AccessLogLines> {
        Arc::clone(&self.chosen.borrow())
    }

    /// Whether the next success is one of this share.
    pub(super) fn is_in_sample(&self, share: Percentage) -> bool {
        if share.millionths() >= Percentage::WHOLE {
            return true;
        }
        // Xorshift: requests that come in a pattern are not chosen in one.
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        dice % u64::from(Percentage::WHOLE) < u64::from(share.millionths())
    }

    /// Adds a line, which `fill` writes without its line break.
    pub(crate) fn line(&self, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = self.lines.borrow_mut();
        if lines.is_empty() {
            self.begun.notify_one();
        }
        fill(&mut lines);
        lines.push(b'\n');
        if lines.len() >= PIECE {
            let full = std::mem::take(&mut *lines);
            drop(lines);
            self.hand_over(full);
        }
    }

    /// Hands over lines that are due, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(DELAY).await;
            self.flush();
        }
    }

    /// Hands over all lines.
    pub(crate) fn flush(&self) {
        let lines = self.lines.take();
        if !lines.is_empty() {
            self.hand_over(lines);
        }
    }

    fn hand_over(&self, lines: Vec<u8>) {
        if let Some(writer) = &self.writer {
            writer.send(lines);
        }
    }
}

/// Lines of a worker that is cut off are handed over too.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}
