//! What the process says of itself on standard error: one JSON line each. Whoever says something never waits for the
//! reader of standard error, and the process can end without one.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::log_writer::LineWriter;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait for their reader.
const QUEUE: usize = 4_096;

/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

static WRITER: OnceLock<LineWriter> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What changes the level, and the present one.
static LEVEL: OnceLock<(SetFilter, Mutex<Level>)> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// Says from now on what is at least as grave as `level`; where there is no thread to be had, without one.
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

/// Says from now on what is at least as grave as `level`; where that is another level than before, it says so, by the one
/// that lets more through.
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

/// Libraries on the data path talk a lot below warnings.
fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(format!("warn,wicketgate={level}"))
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
