//! The access log: one JSON line per request, written by a thread of its own so that a slow reader of the log never
//! holds up a request. Lines beyond its queue are counted and dropped.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

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
}

/// The collected lines of a worker.
#[derive(Debug)]
pub(crate) struct AccessLog {
    writer: Option<AccessLogWriter>,
    lines: RefCell<Vec<u8>>,
    begun: Notify,
}

impl AccessLogWriter {
    /// Starts the thread that writes to standard output.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (counted, throttle) = (Arc::clone(&metrics), LogThrottle::default());
        let failed = move |lines, error: std::io::Error| {
            counted.access_log_dropped(lines);
            if let Some(left_out) = throttle.allow() {
                tracing::warn!(%error, left_out, "the access log cannot be written to standard output");
            }
        };
        Ok(Self { writer: LineWriter::start("access-log", QUEUE, std::io::stdout(), failed)?, metrics })
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
        Self { writer, lines: RefCell::new(Vec::new()), begun: Notify::new() }
    }

    /// True if lines are written.
    pub(crate) fn is_on(&self) -> bool {
        self.writer.is_some()
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
