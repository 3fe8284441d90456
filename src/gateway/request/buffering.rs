//! Bodies of unknown length: buffered for backends that want a length, and found empty where HTTP/2 says so only behind
//! the head.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderValue, Method, Version, header};
use http_body::Body as _;

use super::call::{Call, Upload, limited, refused};
use crate::backend::RequestBuffer;
use crate::body_stream::{BodyFault, BufferFile, BufferShare, Pace, Stall};
use crate::gateway::error::Refused;
use crate::gateway::memory::Memory;
use crate::gateway::observe::record::Record;
use crate::policy::route::Route;
use crate::refusal::Refusal;

/// Bytes that are written to a temporary file at once.
const PIECE: usize = 256 * 1024;

/// What a buffered body may take.
pub(crate) struct BufferBounds<'a> {
    /// Most bytes of it.
    pub(crate) limit: u64,
    /// Memory of the process.
    pub(crate) memory: &'a Memory,
    /// Takes the caller's share of temporary files.
    pub(crate) share: &'a dyn Fn(&mut Record) -> Result<BufferShare, Refusal>,
}

impl Call<'_> {
    /// True if [`Call::seek_length`] may find one.
    pub(crate) fn seeks_length(&self, route: &Route) -> bool {
        self.head.body_length().is_none()
            && (self.parts.version == Version::HTTP_2 || route.backend.request_buffer.is_some())
    }

    /// Finds the length of a body that announces none: where the backend wants one, by buffering it, within
    /// these bounds; otherwise only where it turns out to be empty.
    pub(crate) async fn seek_length(
        &mut self,
        route: &Route,
        bounds: BufferBounds<'_>,
        record: &mut Record,
    ) -> Result<(), Refused> {
        match &route.backend.request_buffer {
            Some(buffer) => self.buffer_body(buffer, bounds, record).await,
            None => self.begin_body(record).await,
        }
    }

    /// Over HTTP/2 a request without a body may say so by an empty frame behind its head (RFC 9113 section 8.1). Methods
    /// that mostly have none wait for its first byte or its end, others see only what has come already.
    async fn begin_body(&mut self, record: &Record) -> Result<(), Refused> {
        let Upload::Coming(body) = &mut self.body else { return Ok(()) };
        let has_mostly_one = matches!(self.parts.method, Method::POST | Method::PUT | Method::PATCH);
        // Who waits for 100 Continue waits for the backend.
        let waits = !has_mostly_one && !self.parts.headers.contains_key(header::EXPECT);
        let mut stall = Stall::new(Pace { pause: self.connection.limits.body_idle_timeout, until: record.until });
        let begun = poll_fn(|context| match body.poll_begun(context) {
            Poll::Pending if waits => stall.poll(context).map(|()| Err(BodyFault::TimedOut)),
            Poll::Pending | Poll::Ready(()) => Poll::Ready(Ok(())),
        });
        begun.await.map_err(|fault| refused(fault, None))?;
        if body.is_end_stream() {
            self.has_read(0);
        }
        Ok(())
    }

    async fn buffer_body(
        &mut self,
        buffer: &RequestBuffer,
        bounds: BufferBounds<'_>,
        record: &mut Record,
    ) -> Result<(), Refused> {
        let BufferBounds { limit, memory, share } = bounds;
        let body = match std::mem::replace(&mut self.body, Upload::Read(Bytes::new())) {
            Upload::Coming(body) => body,
            other => {
                self.body = other;
                return Ok(());
            }
        };
        let most = if buffer.files.is_some() { limit } else { limit.min(buffer.bytes) };
        let mut body = limited(&self.policy.stripped, self.connection, body, most, record);
        let pace = Pace { pause: self.connection.limits.body_idle_timeout, until: record.until };
        let (mut held, mut file) = (Vec::new(), None);
        while let Some(data) = body.data().await.map_err(|fault| refused(fault, Some(most)))? {
            if memory.is_short() {
                return Err(Refusal::Memory.into());
            }
            held.extend_from_slice(&data);
            if file.is_none()
                && held.len() as u64 > buffer.bytes
                && let Some(files) = &buffer.files
            {
                let share = share(record)?;
                file = Some(BufferFile::create(files, share, pace).await.map_err(|fault| refused(fault, None))?);
            }
            if let Some(file) = file.as_mut().filter(|_| held.len() >= PIECE) {
                file.write(std::mem::take(&mut held)).await.map_err(|fault| refused(fault, None))?;
            }
        }
        let length = match file {
            None => {
                let length = held.len() as u64;
                self.body = Upload::Read(held.into());
                length
            }
            Some(mut file) => {
                file.write(held).await.map_err(|fault| refused(fault, None))?;
                let body = file.into_body(&record.progress);
                let length = body.size_hint().lower();
                self.body = Upload::Filed(Box::new(body));
                length
            }
        };
        self.has_read(length);
        if length > 0 {
            // Also for methods of which the library expects no body.
            self.parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(())
    }
}
