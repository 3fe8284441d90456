//! A request body in a temporary file, buffered there until it is whole.
//!
//! The file has no name any more by the time the first byte is written: it is gone with the request, and with the
//! process. A disk may take long, so all of it is done by threads for that, never by the worker, and under the pace of
//! the body.

use std::fs::{File, OpenOptions};
use std::future::Future as _;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::buffer_space::{BufferDescriptor, BufferFiles, BufferShare, OpenBuffer};
use super::{BodyFault, Broken, Pace, Progress, Stall};
use crate::log_throttle::LogThrottle;

/// Bytes that are read at once.
const PIECE: u64 = 64 * 1024;

/// Lines about temporary files that fail.
static FAULTS: LazyLock<LogThrottle> = LazyLock::new(LogThrottle::default);

/// A temporary file that is being written.
pub struct BufferFile {
    file: Arc<OpenBuffer>,
    length: u64,
    pace: Pace,
}

impl BufferFile {
    /// Makes a file that only this user can read, and takes its name away. The caller's `share` is given back once it
    /// is closed.
    ///
    /// # Errors
    /// [`BodyFault::Buffer`]; the log has the cause: the disk, or as many files are open as may be.
    pub async fn create(files: &BufferFiles, share: BufferShare, pace: Pace) -> Result<Self, BodyFault> {
        let Some(descriptor) = BufferDescriptor::take() else {
            log(files, &"as many are open as RLIMIT_NOFILE leaves for them");
            return Err(BodyFault::Buffer);
        };
        let of_task = files.clone();
        // Who gives up meanwhile leaves the file, and all that it takes, to the thread that makes it.
        let made = move || Ok(OpenBuffer::new(create(&of_task.directory)?, of_task, descriptor, share));
        Ok(Self { file: Arc::new(in_time(files, pace, made).await?), length: 0, pace })
    }

    /// Writes at the end.
    ///
    /// # Errors
    /// As above; also where the files of the backend would become too large together.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), BodyFault> {
        let (file, at, length) = (Arc::clone(&self.file), self.length, bytes.len() as u64);
        if !file.grow(length) {
            log(&file.files, &"all of this backend together have reached request_buffer_total");
            return Err(BodyFault::Buffer);
        }
        let written = move || file.file.write_all_at(&bytes, at);
        in_time(&self.file.files, self.pace, written).await?;
        self.length += length;
        Ok(())
    }

    /// The body, whole. A fault of the file while it is sent goes to the progress of the `caller` too.
    pub fn into_body(self, caller: &Rc<Progress>) -> FileBody {
        FileBody {
            file: self.file,
            length: self.length,
            sent: 0,
            reading: None,
            stall: Stall::new(self.pace),
            pace: self.pace,
            progress: Rc::default(),
            caller: Rc::clone(caller),
        }
    }
}

/// A complete body in a temporary file.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<OpenBuffer>,
    length: u64,
    sent: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    stall: Stall,
    pace: Pace,
    progress: Rc<Progress>,
    caller: Rc<Progress>,
}

impl FileBody {
    /// How far it has been sent.
    pub fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// The same body from its beginning.
    pub fn replay(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            length: self.length,
            sent: 0,
            reading: None,
            stall: Stall::new(self.pace),
            pace: self.pace,
            progress: Rc::clone(&self.progress),
            caller: Rc::clone(&self.caller),
        }
    }

    fn fail<T>(&self, error: &dyn std::fmt::Display) -> Poll<Option<Result<T, Broken>>> {
        log(&self.file.files, error);
        self.progress.fail(BodyFault::Buffer);
        self.caller.fail(BodyFault::Buffer);
        Poll::Ready(Some(Err(Broken)))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.sent == this.length {
            return Poll::Ready(None);
        }
        if this.sent == 0 {
            // An earlier attempt may have sent it already.
            this.progress.over.set(None);
        }
        let (file, at, count) = (&this.file, this.sent, PIECE.min(this.length - this.sent));
        let reading = this.reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            spawn_blocking(move || read(&file.file, at, count))
        });
        let Poll::Ready(read) = Pin::new(reading).poll(context) else {
            // The server waits for the disk.
            this.progress.waits.set(true);
            return match this.stall.poll(context) {
                Poll::Ready(()) => this.fail(&"no answer of the disk"),
                Poll::Pending => Poll::Pending,
            };
        };
        this.reading = None;
        this.stall.rest();
        this.progress.waits.set(false);
        match read {
            Ok(Ok(bytes)) => {
                this.sent += count;
                this.progress.passed(count);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ok(Err(error)) => this.fail(&error),
            Err(error) => this.fail(&error),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.sent)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        // A copy that was never sent says nothing.
        if self.sent > 0 || self.reading.is_some() {
            self.progress.over.set(Some(std::time::Instant::now()));
        }
    }
}

/// A file in this directory that only this user can read, and that has no name any more.
///
/// # Errors
/// It cannot be made there.
pub fn create(directory: &Path) -> io::Result<File> {
    let number = getrandom::u64().map_err(io::Error::other)?;
    let path = directory.join(format!(".wicketgate-body-{number:016x}"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn read(file: &File, at: u64, count: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}

/// Does this on another thread, within the pace of the body.
async fn in_time<T: Send + 'static>(
    files: &BufferFiles,
    pace: Pace,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BodyFault> {
    let until = (Instant::now() + pace.pause).min(pace.until.into());
    let done = match timeout_at(until, spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    done.map_err(|error| {
        log(files, &error);
        BodyFault::Buffer
    })
}

fn log(files: &BufferFiles, error: &dyn std::fmt::Display) {
    if let Some(left_out) = FAULTS.allow() {
        let (backend, directory) = (&*files.backend, files.directory.display());
        let message = "the temporary file of a request body (request_buffer_directory) cannot be used";
        tracing::error!(backend, %directory, %error, left_out, "{message}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_temporary_file_has_no_name_and_is_for_this_user_alone() {
        let directory = std::env::temp_dir().join(format!("wicketgate-buffer-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = create(&directory).unwrap();
        let (metadata, names) = (file.metadata().unwrap(), std::fs::read_dir(&directory).unwrap().count());
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.nlink(), names), (0o600, 0, 0));
        assert!(create(&directory).is_err(), "no directory");
    }
}
