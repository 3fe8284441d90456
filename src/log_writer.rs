//! Line writer for a descriptor whose reader may be slow, stuck or gone: a thread of its own writes, and nobody else
//! waits for the reader. Lines above the queue are lost, and counted.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Sending end of a line writer.
#[derive(Debug, Clone)]
pub struct LineWriter {
    sender: SyncSender<Piece>,
}

#[derive(Debug)]
enum Piece {
    Lines(Vec<u8>),
    /// Answers once everything before it has been written.
    Flush(SyncSender<()>),
}

impl LineWriter {
    /// Starts a thread of this name that writes to `output`, behind a queue of `queue` pieces. `failed` is called on
    /// that thread with the number of lines that a write has lost, and the error.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        name: &str,
        queue: usize,
        output: impl Write + Send + 'static,
        failed: impl FnMut(u64, io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(queue);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || write(&receiver, output, failed))?;
        Ok(Self { sender })
    }

    /// Queues lines, and returns at once.
    ///
    /// # Errors
    /// The number of lines lost because the queue is full.
    pub fn send(&self, lines: Vec<u8>) -> Result<(), u64> {
        match self.sender.try_send(Piece::Lines(lines)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Piece::Lines(lines)) | TrySendError::Disconnected(Piece::Lines(lines))) => {
                Err(count(&lines))
            }
            Err(_) => Ok(()),
        }
    }

    /// Waits until all queued lines have been written, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Piece::Flush(done)).is_ok() {
            let _ = written.recv_timeout(limit);
        }
    }
}

fn write(pieces: &Receiver<Piece>, mut output: impl Write, mut failed: impl FnMut(u64, io::Error)) {
    for piece in pieces {
        match piece {
            Piece::Lines(lines) => {
                if let Err(error) = output.write_all(&lines).and_then(|()| output.flush()) {
                    failed(count(&lines), error);
                }
            }
            Piece::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn whoever_has_lines_never_waits_for_their_reader() {
        let (reader, output) = io::pipe().unwrap();
        let writer = LineWriter::start("test", 2, output, |_, _| {}).unwrap();
        // Nobody reads: first the pipe is full, then the queue.
        let line = [vec![b'x'; 64 * 1024], b"\n".to_vec()].concat();
        let mut lost = 0;
        while lost < 3 {
            lost += writer.send(line.clone()).err().unwrap_or_default();
        }
        writer.flush(Duration::from_millis(1));
        drop(reader);
    }

    #[test]
    fn lines_that_nobody_reads_any_more_are_counted_with_the_reason() {
        let (reader, output) = io::pipe().unwrap();
        drop(reader);
        let told = Arc::<Mutex<Vec<(u64, io::ErrorKind)>>>::default();
        let tell = Arc::clone(&told);
        let failed = move |lines, error: io::Error| tell.lock().unwrap().push((lines, error.kind()));
        let writer = LineWriter::start("test", 4, output, failed).unwrap();
        writer.send(b"one\ntwo\n".to_vec()).unwrap();
        writer.flush(Duration::from_secs(10));
        assert_eq!(*told.lock().unwrap(), [(2, io::ErrorKind::BrokenPipe)]);
    }
}
