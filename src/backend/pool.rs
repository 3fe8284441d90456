//! A worker's connections to backends: HTTP/1.1 with keep-alive, last used first.
//!
//! Nothing here is shared between workers. A connection comes back when its response has been read to the end,
//! and is closed when it was not.

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::alarm::Alarms;
use super::answer::AnswerBody;
use super::link::Link;
use super::{Backend, Failure};
use crate::stream::{Pace, RequestBody};

/// How many idle connections a worker keeps for one server.
const MAX_IDLE: usize = 256;

/// All of a worker's idle connections.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
    alarms: Alarms,
}

struct Idle {
    link: Link,
    since: Instant,
    limit: Duration,
}

/// A connection that is serving a request.
pub(super) struct Lease {
    pool: Rc<Pool>,
    endpoint: u64,
    limit: Duration,
    link: Link,
}

/// Which requests may be sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Only what was certainly not sent.
    Unsent,
    /// Also what may have been sent, once.
    Once,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The time.
    pub now: Instant,
    /// When its head must have come.
    pub head: Instant,
    /// How slowly its body may come.
    pub body: Pace,
}

struct Attempt {
    failure: Failure,
    /// Whether the connection had served another request before.
    reused: bool,
}

impl Pool {
    /// Sends a request to one of the backend's servers and waits for the head of the response. The request is lent, as it
    /// is large: each future that owned it would have room for it.
    ///
    /// # Errors
    /// Why there is none. A request that was sent, even in part, is repeated only as `repeat` says.
    pub async fn send(
        self: &Rc<Self>,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        repeat: Repeat,
        patience: Patience,
    ) -> Result<Response<AnswerBody>, Failure> {
        let mut alarm = self.alarms.set(patience.head.into());
        let mut sending = pin!(self.send_patiently(backend, request, repeat, patience.now));
        let sent = std::future::poll_fn(|context| match sending.as_mut().poll(context) {
            Poll::Pending => alarm.poll(context).map(|()| Err(Failure::Timeout)),
            sent => sent,
        });
        let (response, lease) = sent.await?;
        Ok(response.map(|body| AnswerBody::new(body, lease, patience.body)))
    }

    async fn send_patiently(
        self: &Rc<Self>,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        repeat: Repeat,
        now: Instant,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let mut fresh = false;
        let mut repeated = false;
        loop {
            let copy = match (repeat, &request) {
                (Repeat::Once, Some(request)) if !repeated => copied(request).map(Box::new),
                _ => None,
            };
            let attempt = match self.attempt(backend, request, now, fresh).await {
                Ok(answer) => return Ok(answer),
                Err(attempt) => attempt,
            };
            match (&request, copy) {
                // An idle connection that had just been closed says nothing about the next one.
                (Some(_), _) if attempt.reused => {}
                (None, Some(copy)) => {
                    repeated = true;
                    *request = Some(*copy);
                }
                _ => return Err(attempt.failure),
            }
            fresh = attempt.reused || fresh;
        }
    }

    /// Takes the request; gives it back where none of it was sent.
    async fn attempt(
        self: &Rc<Self>,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        now: Instant,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), Attempt> {
        let turn = backend.turn.fetch_add(1, Ordering::Relaxed);
        let count = backend.endpoints.len();
        let mut last = Failure::Connect;
        for step in 0..count {
            let endpoint = &backend.endpoints[(turn + step) % count];
            let idle = if fresh { None } else { self.take(endpoint.id, now) };
            let reused = idle.is_some();
            let mut link = match idle {
                Some(link) => link,
                // Rare and large: it does not belong into the state of each request.
                None => match Box::pin(timeout(backend.connect_timeout, Link::connect(endpoint))).await {
                    Ok(Ok(link)) => link,
                    Ok(Err(failure)) => {
                        last = failure;
                        continue;
                    }
                    Err(_) => {
                        last = Failure::Connect;
                        continue;
                    }
                },
            };
            return match link.exchange(request).await {
                Ok(response) => {
                    let lease =
                        Lease { pool: Rc::clone(self), endpoint: endpoint.id, limit: backend.idle_timeout, link };
                    Ok((response, lease))
                }
                Err(mut error) => {
                    *request = error.take_message();
                    Err(Attempt { failure: Failure::Broken, reused })
                }
            };
        }
        // No connection was had, so nothing was sent; but another try would fare no better now.
        Err(Attempt { failure: last, reused: false })
    }

    fn take(&self, endpoint: u64, now: Instant) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&endpoint)?;
        let mut at = stack.len();
        while at > 0 {
            at -= 1;
            let candidate = &stack[at];
            if candidate.link.is_closed() || now.saturating_duration_since(candidate.since) >= candidate.limit {
                stack.swap_remove(at);
            } else if candidate.link.is_ready() {
                return Some(stack.swap_remove(at).link);
            }
        }
        None
    }

    /// Closes what has been idle for too long, and forgets what the other side closed.
    pub fn reap(&self) {
        let mut idle = self.idle.borrow_mut();
        for stack in idle.values_mut() {
            stack.retain_mut(|entry| {
                entry.link.settle();
                !entry.link.is_closed() && entry.since.elapsed() < entry.limit
            });
        }
        idle.retain(|_, stack| !stack.is_empty());
    }
}

impl Lease {
    /// The connection.
    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Gives the connection back. Only right after its response was read to the end.
    pub(super) fn release(mut self) {
        self.link.settle();
        let mut idle = self.pool.idle.borrow_mut();
        let stack = idle.entry(self.endpoint).or_default();
        if stack.len() < MAX_IDLE && !self.link.is_closed() {
            stack.push(Idle { link: self.link, since: Instant::now(), limit: self.limit });
        }
    }
}

/// The same request again, where its body can be had a second time.
fn copied(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut copy = Request::new(request.body().replay()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}
