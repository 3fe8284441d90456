//! What the process says of itself on standard error: one JSON line each. Whoever says something never waits for the
//! reader of standard error, and the process can end without one.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::line_writer::LineWriter;

/// How many lines may wait for their reader.
const QUEUE: usize = 4_096;

/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

static WRITER: OnceLock<LineWriter> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Says from now on what is at least as grave as `level`; where there is no thread to be had, without one.
pub fn start(level: tracing::Level) {
    if let Ok(writer) = LineWriter::start("diagnostics", QUEUE, io::stderr(), |lines, _| dropped_now(lines)) {
        let _ = WRITER.set(writer);
    }
    // Libraries on the data path talk a lot below this.
    let filter = EnvFilter::new(format!("warn,wicketgate={level}"));
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
    let _ = subscriber.with_env_filter(filter).with_writer(Lines).try_init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Waits until all that was said has been written, but not for long: before the process ends.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST);
    }
}

/// How many lines have been lost since the process began.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn dropped_now(lines: u64) {
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}

/// Gives each event a line of its own.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// A line that is handed over when it is complete.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.0);
        match WRITER.get() {
            Some(writer) => drop(writer.send(line).map_err(dropped_now)),
            None => drop(io::stderr().write_all(&line)),
        }
    }
}
