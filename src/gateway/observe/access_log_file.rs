//! The file of the access log: opened by the thread that writes it, and again when it is told to, so that a file that was
//! renamed is followed by a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Mode of a new file: its group may read it, as programs that ship logs do.
const MODE: u32 = 0o640;

/// A file to which lines are added.
pub(super) struct AccessLogFile {
    path: PathBuf,
    /// `None` until it could be opened.
    file: Option<File>,
    /// Somebody wants it opened again.
    reopen: Arc<AtomicBool>,
    /// The last write broke off in a line.
    is_torn: bool,
}

impl AccessLogFile {
    /// The file at this path, opened with the first line: that may take as long as its disk, or the reader of a pipe, likes.
    pub(super) fn new(path: PathBuf, reopen: Arc<AtomicBool>) -> Self {
        Self { path, file: None, reopen, is_torn: false }
    }

    /// The open file. One that cannot be opened again stays as it is.
    fn open(&mut self) -> io::Result<&mut File> {
        let again = self.reopen.swap(false, Ordering::AcqRel);
        if again || self.file.is_none() {
            match OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path) {
                Ok(file) => {
                    self.is_torn &= self.file.is_none();
                    self.file = Some(file);
                }
                Err(error) if self.file.is_some() => {
                    let file = self.path.display();
                    tracing::error!(%file, %error, "the access log cannot be opened again: lines go to the file before");
                }
                Err(error) => return Err(error),
            }
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for AccessLogFile {
    /// Writes whole lines, or fails. After a failure the next line begins on a line of its own.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let is_torn = self.is_torn;
        let file = self.open()?;
        let outcome = if is_torn { file.write_all(b"\n") } else { Ok(()) };
        let outcome = outcome.and_then(|()| file.write_all(lines));
        self.is_torn = outcome.is_err();
        outcome.map(|()| lines.len())
    }

    /// Opens it again, where that is wanted.
    fn flush(&mut self) -> io::Result<()> {
        if self.reopen.load(Ordering::Acquire) {
            self.open()?;
        }
        Ok(())
    }
}
