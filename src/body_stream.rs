//! Streamed bodies: limits of size and pace, trailers filtered.

mod arriving;
mod buffer_file;
mod buffer_space;
mod h2_body;

use std::any::Any;
use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

pub use arriving::{Arriving, ArrivingBody, Discard};
pub use buffer_file::{BufferFile, FileBody, create as create_buffer_file};
pub use buffer_space::{BufferFiles, BufferShare, BufferSpace};
pub use h2_body::H2Body;

use crate::fields::{self, FieldSet};

/// Reason for the early end of a caller's request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// Broken framing.
    Malformed,
    /// Larger than the limit.
    TooLarge,
    /// Stalled for too long.
    TimedOut,
    /// The temporary file that buffers it cannot be written or read.
    Buffer,
}

/// A body ended early. The reason is kept elsewhere; this error only ends the transfer.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
pub struct Broken;

/// Request body for a backend.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// No body.
    #[default]
    Empty,
    /// Complete body.
    Full(Bytes),
    /// Complete body in a temporary file.
    File(Box<FileBody>),
    /// The caller's body, streamed.
    Caller(Box<CallerBody>),
}

impl RequestBody {
    /// Progress of a body that is not in memory.
    pub fn progress(&self) -> Option<&Rc<Progress>> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::File(body) => Some(body.progress()),
            Self::Caller(body) => Some(&body.progress),
        }
    }

    /// Copy for a retry; `None` for a streamed body.
    pub fn replay(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Full(bytes) => Some(Self::Full(bytes.clone())),
            Self::File(body) => Some(Self::File(Box::new(body.replay()))),
            Self::Caller(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(body) => Pin::new(&mut **body).poll_frame(context),
            Self::Caller(body) => Pin::new(&mut **body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::File(body) => body.is_end_stream(),
            Self::Caller(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(body) => body.size_hint(),
            Self::Caller(body) => body.size_hint(),
        }
    }
}

/// Progress of a caller's body, for whoever waits for the backend's response meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    fault: Cell<Option<BodyFault>>,
    bytes: Cell<u64>,
    /// True while it waits for the caller.
    waits: Cell<bool>,
    /// Time of its end, complete or not.
    over: Cell<Option<std::time::Instant>>,
}

impl Progress {
    /// True once nothing more will be read of it.
    pub fn is_over(&self) -> bool {
        self.over.get().is_some()
    }

    /// Time of its end.
    pub fn over_since(&self) -> Option<std::time::Instant> {
        self.over.get()
    }

    /// True if it goes on: it waits for the caller, or more than `known` bytes have arrived. Updates `known`.
    pub fn goes_on(&self, known: &mut u64) -> bool {
        let before = std::mem::replace(known, self.bytes());
        !self.is_over() && self.waits.get() || self.bytes() > before
    }

    /// Reason for an early end.
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// Notes the reason for an early end.
    fn fail(&self, fault: BodyFault) {
        self.fault.set(Some(fault));
    }

    /// Counts arrived bytes.
    pub fn passed(&self, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// Bytes that have arrived.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// Limits of a request body.
#[derive(Debug)]
pub struct BodyLimits {
    /// Most bytes.
    pub bytes: u64,
    /// Longest pause, and the time of its end.
    pub pace: Pace,
    /// Fields that are removed from its trailers.
    pub stripped: Arc<FieldSet>,
}

/// Caller's request body under the limits of its route.
pub struct CallerBody {
    inner: ArrivingBody,
    left: u64,
    stall: Stall,
    progress: Rc<Progress>,
    is_malformed: Rc<Cell<bool>>,
    stripped: Arc<FieldSet>,
    /// Dropped at the end of the body.
    held: Option<Box<dyn Any>>,
}

impl CallerBody {
    /// Holds a value until the end of the body.
    pub fn hold(&mut self, held: impl Any) {
        self.held = Some(Box::new(held));
    }

    /// A body within limits. Its state goes to `progress`; it fails once `is_odd` is true.
    pub fn new(inner: ArrivingBody, limits: BodyLimits, progress: Rc<Progress>, is_malformed: Rc<Cell<bool>>) -> Self {
        let BodyLimits { bytes, pace, stripped } = limits;
        Self { inner, left: bytes, stall: Stall::new(pace), progress, is_malformed, stripped, held: None }
    }

    /// The whole body.
    ///
    /// # Errors
    /// The fault that ended it.
    pub async fn collect(mut self) -> Result<Bytes, BodyFault> {
        // What is announced need not come: it reserves a little only.
        let announced = self.inner.size_hint().lower().min(self.left).min(64 * 1024);
        let mut all = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(data) = self.data().await? {
            all.extend_from_slice(&data);
        }
        Ok(all.into())
    }

    /// Its next bytes; `None` at its end. Trailers are dropped.
    ///
    /// # Errors
    /// The fault that ended it.
    pub async fn data(&mut self) -> Result<Option<Bytes>, BodyFault> {
        loop {
            match std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(Broken)) => return Err(self.progress.fault().unwrap_or(BodyFault::Malformed)),
            }
        }
    }

    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.progress.fail(fault);
        Poll::Ready(Some(Err(Broken)))
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.is_malformed.get() {
            return this.fail(BodyFault::Malformed);
        }
        if this.inner.size_hint().lower() > this.left {
            return this.fail(BodyFault::TooLarge);
        }
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        this.progress.waits.set(frame.is_pending());
        let Poll::Ready(frame) = frame else {
            return match this.stall.poll(context) {
                Poll::Ready(()) => this.fail(BodyFault::TimedOut),
                Poll::Pending => Poll::Pending,
            };
        };
        this.stall.rest();
        match frame {
            None => Poll::Ready(None),
            Some(Err(_)) => this.fail(BodyFault::Malformed),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    this.progress.passed(length);
                    let Some(left) = this.left.checked_sub(length) else {
                        return this.fail(BodyFault::TooLarge);
                    };
                    this.left = left;
                }
                Poll::Ready(filtered(frame, &this.stripped).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for CallerBody {
    fn drop(&mut self) {
        self.progress.over.set(Some(std::time::Instant::now()));
    }
}

impl std::fmt::Debug for CallerBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CallerBody").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Keeps data, and the allowed trailers that claim no identity.
fn filtered(frame: Frame<Bytes>, stripped: &FieldSet) -> Option<Frame<Bytes>> {
    match frame.into_trailers() {
        Err(data) => Some(data),
        Ok(trailers) => {
            let mut kept = HeaderMap::new();
            for (name, value) in &trailers {
                if stripped.lets_trailer_pass(name) {
                    kept.append(name.clone(), value.clone());
                }
            }
            fields::trim(&mut kept);
            (!kept.is_empty()).then(|| Frame::trailers(kept))
        }
    }
}

/// Slowest pace of a body.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest pause.
    pub pause: Duration,
    /// Latest end.
    pub until: std::time::Instant,
}

/// Timer that runs only during a pause; a body without pauses has none. A slow body pauses.
#[derive(Debug)]
pub struct Stall {
    pace: Pace,
    running: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// A timer for a body of this pace.
    pub fn new(pace: Pace) -> Self {
        Self { pace, running: false, sleep: None }
    }

    /// Runs the timer during a pause; ready once the pause is too long.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.running {
            let alarm = (Instant::now() + self.pace.pause).min(self.pace.until.into());
            match &mut self.sleep {
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(alarm))),
                Some(sleep) => sleep.as_mut().reset(alarm),
            }
            self.running = true;
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Ends the pause.
    pub fn rest(&mut self) {
        self.running = false;
    }
}
