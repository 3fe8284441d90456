//! The access log: one JSON line per request, written by a thread of its own so that a slow reader of the log
//! never holds up a request. Lines that it cannot take in time are counted and dropped.

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::Notify;

use crate::metrics::Metrics;

/// Lines are handed over in pieces of about this size, or after [`DELAY`].
const PIECE: usize = 32 * 1024;
/// How long a line may wait.
const DELAY: Duration = Duration::from_millis(50);
/// How many pieces may wait for the writer.
const QUEUE: usize = 64;

/// The writer's end, for all workers.
#[derive(Debug, Clone)]
pub struct AccessLogWriter {
    sender: SyncSender<Piece>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Piece {
    Lines(Vec<u8>),
    /// Everything before this has been written when the answer comes.
    Flush(SyncSender<()>),
}

/// A worker's end.
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
    /// Where no thread can be had.
    pub fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(&receiver))?;
        Ok(Self { sender, metrics })
    }

    /// Waits until everything that was handed over has been written, or `limit` has passed.
    pub fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Piece::Flush(done)).is_ok() {
            let _ = written.recv_timeout(limit);
        }
    }

    fn send(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(Piece::Lines(lines)) | TrySendError::Disconnected(Piece::Lines(lines))) =
            self.sender.try_send(Piece::Lines(lines))
        {
            self.metrics.access_log_dropped(lines.iter().filter(|byte| **byte == b'\n').count() as u64);
        }
    }
}

fn write(pieces: &Receiver<Piece>) {
    let mut output = std::io::stdout();
    for piece in pieces {
        match piece {
            Piece::Lines(lines) => {
                let _ = output.write_all(&lines).and_then(|()| output.flush());
            }
            Piece::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

impl AccessLog {
    /// Without a writer, lines go nowhere.
    pub(crate) fn new(writer: Option<AccessLogWriter>) -> Self {
        Self { writer, lines: RefCell::new(Vec::new()), begun: Notify::new() }
    }

    /// Whether lines go anywhere.
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

    /// Hands over lines that have waited long enough, for as long as it is polled.
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

/// What is cut off with its worker has a line too.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}
