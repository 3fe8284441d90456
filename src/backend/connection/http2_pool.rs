//! A worker's HTTP/2 connections to one server, and the queue for their streams.
//!
//! A server limits the streams of a connection. A request above that limit would wait within the HTTP library, unseen
//! and with its timeout running; so it is held back: another connection is opened for it, and above `max_connections`
//! it waits in the queue of the backend.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::http2_conn::{Http2Connection, StreamPermit};
use super::stream_waiters::Waiters;
use crate::backend::endpoints::servers::Server;
use crate::backend::fault::ServerFault;
use crate::backend::{Backend, Failure};

/// Reaps in a row without a stream after which a connection is closed, unless it is the only one.
const MAX_UNUSED: u32 = 30;

/// HTTP/2 connections to one server.
#[derive(Default)]
pub(in crate::backend) struct Http2Pool {
    all: RefCell<Vec<Http2Connection>>,
    /// Held while a connection is opened.
    opening: Mutex<()>,
    /// Time until which no further connection is opened, because one failed.
    closed_until: Cell<Option<Instant>>,
    waiters: Rc<Waiters>,
}

/// A stream, and its connection.
pub(in crate::backend) struct Grant {
    pub(in crate::backend) channel: Http2Connection,
    pub(in crate::backend) stream: Rc<StreamPermit>,
    /// True if the connection had been there before.
    pub(in crate::backend) reused: bool,
}

impl Http2Pool {
    /// A stream that is free now.
    pub(in crate::backend) fn take(&self) -> Option<Grant> {
        let mut all = self.all.borrow_mut();
        all.retain(Http2Connection::is_open);
        let (channel, stream) = all.iter().find_map(|channel| Some((channel, channel.permit()?)))?;
        Some(Grant { channel: channel.clone(), stream, reused: true })
    }

    /// A stream, on a further connection or after waiting for one.
    ///
    /// # Errors
    /// The errors of [`Http2Connection::connect`] if there is no connection, and [`Failure::Overload`] if the queue is full, there is
    /// none, or the wait times out.
    pub(in crate::backend) async fn wait(&self, backend: &Backend, server: &Server) -> Result<Grant, ServerFault> {
        let start = Instant::now();
        let _waiter = self.waiters.enter();
        if let Some(taken) = self.opened(backend, server, start + backend.connect_timeout).await? {
            return Ok(taken);
        }
        let queue = backend.queue.ok_or(Failure::Overload)?;
        let _place = backend.admission.wait_for_stream(queue)?;
        loop {
            let mut changed = pin!(self.waiters.changed());
            changed.as_mut().enable();
            if let Some(taken) = self.take() {
                return Ok(taken);
            }
            // Those that there were may have ended meanwhile.
            if self.may_open(backend)
                && let Some(taken) = self.opened(backend, server, Instant::now() + backend.connect_timeout).await?
            {
                return Ok(taken);
            }
            timeout_at(start + queue.timeout, changed).await.map_err(|_| Failure::Overload)?;
        }
    }

    /// A stream on a new connection, opened by this request or by one before it; `None` if no further one may be
    /// opened, or if that failed while there are others.
    async fn opened(&self, backend: &Backend, server: &Server, until: Instant) -> Result<Option<Grant>, ServerFault> {
        while self.may_open(backend) {
            let mut changed = pin!(self.waiters.changed());
            changed.as_mut().enable();
            if let Some(taken) = self.take() {
                return Ok(Some(taken));
            }
            let turn = async {
                tokio::select! {
                    biased;
                    alone = self.opening.lock() => Some(alone),
                    () = changed => None,
                }
            };
            let Ok(turn) = timeout_at(until, turn).await else { return self.not_opened(Failure::Connect.into()) };
            let Some(_alone) = turn else { continue };
            // Somebody else may have opened one meanwhile.
            if let Some(taken) = self.take() {
                return Ok(Some(taken));
            }
            if !self.may_open(backend) {
                break;
            }
            match Http2Connection::connect(server, &self.waiters, until).await {
                Ok(channel) => {
                    let stream = channel.permit();
                    self.all.borrow_mut().push(channel.clone());
                    self.waiters.wake_all();
                    return Ok(stream.map(|stream| Grant { channel, stream, reused: false }));
                }
                Err(fault) => return self.not_opened(fault),
            }
        }
        Ok(None)
    }

    fn may_open(&self, backend: &Backend) -> bool {
        let count = self.all.borrow().iter().filter(|channel| channel.is_open()).count();
        let is_closed = || self.closed_until.get().is_some_and(|until| Instant::now() < until);
        count == 0 || count < backend.max_connections && !is_closed()
    }

    /// Fails only if there is no other connection to wait for.
    fn not_opened(&self, fault: ServerFault) -> Result<Option<Grant>, ServerFault> {
        if !self.all.borrow().iter().any(Http2Connection::is_open) {
            return Err(fault);
        }
        self.closed_until.set(Some(Instant::now() + Duration::from_secs(1)));
        Ok(None)
    }

    /// Closes unused connections, and forgets closed ones. One connection stays.
    pub(in crate::backend) fn reap(&self) {
        let mut all = self.all.borrow_mut();
        all.retain(Http2Connection::is_open);
        let mut left = all.len();
        all.retain(|channel| {
            let is_kept = channel.unused() < MAX_UNUSED || left == 1;
            left -= usize::from(!is_kept);
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use tokio::task::LocalSet;

    use super::*;
    use crate::backend::endpoints::http_options::HttpOptions;

    /// A connection to a server that allows so many streams, and what ends it.
    async fn connected(channels: &Http2Pool, streams: u32) -> (Http2Connection, tokio::task::JoinHandle<()>) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = tokio::task::spawn_local(async move {
            let mut server = h2::server::Builder::new();
            let mut server = server.max_concurrent_streams(streams).handshake::<_, bytes::Bytes>(far).await.unwrap();
            while server.accept().await.is_some() {}
        });
        let channel = Http2Connection::speak(near, &channels.waiters, &HttpOptions::default()).await.unwrap();
        channels.all.borrow_mut().push(channel.clone());
        (channel, server)
    }

    #[tokio::test]
    async fn there_are_as_many_streams_as_the_server_says_from_the_first_on() {
        let test = async {
            let channels = Http2Pool::default();
            let (channel, server) = connected(&channels, 2).await;
            let taken = [(); 2].map(|()| channels.take().unwrap());
            assert!(channels.take().is_none() && taken.iter().all(|taken| taken.reused));
            let [one, _other] = taken;
            drop(one);
            drop(channels.take().unwrap());
            // Nobody is left waiting at the end of a connection.
            server.abort();
            channels.waiters.until(|| !channel.is_open()).await;
            assert!(channels.take().is_none());
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn connections_that_are_unused_for_long_are_closed_but_one() {
        let test = async {
            let channels = Http2Pool::default();
            for _ in 0..3 {
                connected(&channels, 1).await;
            }
            let taken = [channels.take().unwrap(), channels.take().unwrap()];
            (0..MAX_UNUSED - 1).for_each(|_| channels.reap());
            assert_eq!(channels.all.borrow().len(), 3);
            channels.reap();
            assert_eq!(channels.all.borrow().len(), 2, "two are in use");
            drop(taken);
            (0..MAX_UNUSED * 2).for_each(|_| channels.reap());
            assert_eq!(channels.all.borrow().len(), 1, "one stays");
        };
        LocalSet::new().run_until(test).await;
    }
}
