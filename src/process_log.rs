//! Log of the process on standard error, one JSON object a line. Logging never waits for the reader of standard error,
//! and the process can end without one.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::log_writer::LineWriter;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait for their reader.
const QUEUE: usize = 4_096;

/// Longest wait for the last lines at the end of the process.
const LAST: Duration = Duration::from_secs(1);

static WRITER: OnceLock<LineWriter> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Present level, and the handle to change it.
static LEVEL: OnceLock<(SetFilter, Mutex<Level>)> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// Starts the log at `level`; if no thread can be started, without one.
pub fn start(level: Level) {
    if let Ok(writer) = LineWriter::start("diagnostics", QUEUE, io::stderr(), |lines, _| dropped_now(lines)) {
        let _ = WRITER.set(writer);
    }
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
    let subscriber = subscriber.with_env_filter(filter(level)).with_writer(Lines).with_filter_reloading();
    let handle = subscriber.reload_handle();
    let _ = LEVEL.set((Box::new(move |filter| handle.reload(filter).is_ok()), Mutex::new(level)));
    let _ = subscriber.try_init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Sets the level, and logs the change at the more verbose of both
/// levels.
pub fn set_level(level: Level) {
    let Some((set, present)) = LEVEL.get() else { return };
    let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
    if *present == level {
        return;
    }
    let say = |from: Level| tracing::warn!(%from, to = %level, "log.level has changed");
    if level < *present {
        say(*present);
    }
    if set(filter(level)) && level > *present {
        say(*present);
    }
    *present = level;
}

/// Log filter: libraries on the data path are limited to warnings.
fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(format!("warn,wicketgate={level}"))
}

/// Waits shortly until all lines have been written; before the process ends.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST);
    }
}

/// Lines lost since the start.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn dropped_now(lines: u64) {
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}

/// Writer that gives each event a line of its own.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// One line, sent once it is complete.
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
