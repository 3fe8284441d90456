//! Log of the process on standard error, one JSON object a line, or text for people. Logging never waits for the reader of
//! standard error, and the process can end without one. Where the reader is journald, each line has its priority.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::log_writer::LineWriter;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::reload::Handle;

/// Most lines that wait for their reader.
const QUEUE: usize = 4_096;

/// Longest wait for the last lines at the end of the process.
const LAST: Duration = Duration::from_secs(1);

static WRITER: OnceLock<LineWriter> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Present level, and the handle to change it.
static LEVEL: OnceLock<(SetFilter, Mutex<Level>)> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// Starts the log at `level`, for people or as JSON; if no thread can be started, without one.
pub fn start(level: Level, for_people: bool) {
    if let Ok(writer) = LineWriter::start("diagnostics", QUEUE, io::stderr(), |lines, _| dropped_now(lines)) {
        let _ = WRITER.set(writer);
    }
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(level));
    let lines = Lines { for_people, has_priority: is_read_by_journald() };
    if for_people {
        let subscriber = subscriber.with_ansi(false).with_writer(lines).with_filter_reloading();
        keep(level, subscriber.reload_handle());
        let _ = subscriber.try_init();
    } else {
        let subscriber = subscriber.json().flatten_event(true).with_current_span(false);
        let subscriber = subscriber.with_writer(lines).with_filter_reloading();
        keep(level, subscriber.reload_handle());
        let _ = subscriber.try_init();
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Keeps the handle to change the level, and the present one.
fn keep<S: 'static>(level: Level, handle: Handle<EnvFilter, S>) {
    let _ = LEVEL.set((Box::new(move |filter| handle.reload(filter).is_ok()), Mutex::new(level)));
}

/// Returns whether standard error is a stream of journald: it names device and inode of the one that it has given
/// (systemd.exec(5)).
fn is_read_by_journald() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let named = stream.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    let own = rustix::fs::fstat(io::stderr()).ok();
    named.is_some_and(|named: (u64, u64)| own.is_some_and(|own| (own.st_dev, own.st_ino) == named))
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
#[derive(Clone, Copy)]
struct Lines {
    for_people: bool,
    has_priority: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { text: Vec::new(), for_people: self.for_people }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line {
        let mut line = self.make_writer();
        if self.has_priority {
            line.text.extend_from_slice(priority(*event.level()));
        }
        line
    }
}

/// The priority of a line, as journald takes it away again (sd-daemon(3)).
fn priority(level: Level) -> &'static [u8] {
    match level {
        Level::ERROR => b"<3>",
        Level::WARN => b"<4>",
        Level::INFO => b"<6>",
        Level::DEBUG | Level::TRACE => b"<7>",
    }
}

/// One line, sent once it is complete.
struct Line {
    text: Vec<u8>,
    for_people: bool,
}

/// The same line with its control characters escaped, but for the line break at the end: no value begins a line or moves
/// the cursor. JSON has none.
fn escaped(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
    let mut escaped = String::with_capacity(text.len() + 1);
    for sign in text.chars() {
        if sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}') {
            escaped.extend(sign.escape_unicode());
        } else {
            escaped.push(sign);
        }
    }
    escaped.push('\n');
    escaped.into_bytes()
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.text);
        let line = if self.for_people { escaped(&line) } else { line };
        match WRITER.get() {
            Some(writer) => drop(writer.send(line).map_err(dropped_now)),
            None => drop(io::stderr().write_all(&line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_is_one_line_whatever_is_in_it() {
        let line = escaped("a\nb\u{1b}[31m\u{9b}é\n".as_bytes());
        assert_eq!(String::from_utf8_lossy(&line), "a\\u{a}b\\u{1b}[31m\\u{9b}é\n");
    }
}
