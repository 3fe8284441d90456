//! A worker's connection pool: sends a request to a server of a backend, with retries and deadlines.
//!
//! Nothing here is shared between workers. Idle HTTP/1.1 connections are reused last in, first out. A connection
//! returns to the pool when its response has been read to the end, and is closed when it was not.

mod lease;
pub mod response_body;
pub(in crate::backend) mod timer_pool;
pub(in crate::backend) mod worker_endpoints;

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::balance::{next_random, random_of};
use super::connection::http1_conn::Http1Connection;
use super::connection::http2_conn::{failure_of, is_refused};
use super::connection::http2_pool::Grant;
use super::endpoints::servers::Servers;
use super::fault::{Causes, Doing, ServerFault};
use super::{Backend, Failure};
use crate::body_stream::{Pace, Progress, RequestBody};
use lease::Lease;
use response_body::AnswerBody;
use timer_pool::TimerPool;
use worker_endpoints::{TriedEndpoints, Visit, WorkerEndpoint, WorkerEndpoints};

/// Most times that one request is sent, or refused unread (REFUSED_STREAM). A failed connect does not count: the next
/// server is tried while there is time.
const MAX_SENT: usize = 3;

/// Connection pool of one worker, for all backends.
pub struct Pool {
    endpoints: RefCell<HashMap<u64, Rc<WorkerEndpoints>>>,
    timers: TimerPool,
    random: Cell<u64>,
}

/// The id of a server that is asked only where no other can be: an extension of a request, as hardly any has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AvoidedServer(pub(crate) u64);

/// Options of one send.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions<'a> {
    /// Retry policy.
    pub repeat: Repeat,
    /// Key of consistent hashing.
    pub key: Option<u64>,
    /// Client address, for the PROXY protocol.
    pub caller: Option<IpAddr>,
    /// Deadlines of the response.
    pub patience: Deadlines,
    /// Start of the exchange; set anew once the request has waited for an HTTP/2 stream.
    pub begun: &'a Cell<Instant>,
    /// Request id, for the log.
    pub request_id: &'a HeaderValue,
}

/// Requests that may be sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Only those of which certainly nothing was sent.
    Unsent,
    /// Also those that may have been sent, once.
    Once,
}

/// Deadlines of a response.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Present time.
    pub now: Instant,
    /// Longest wait for the response head, from the end of the request.
    pub head: Duration,
    /// Slowest pace of the response body.
    pub body: Pace,
}

/// Progress of one send.
#[derive(Default)]
struct Way {
    /// Server of the last attempt.
    asked: Cell<Option<Rc<WorkerEndpoint>>>,
    /// True while it waits for an HTTP/2 stream: the timeout does not run.
    waits: Cell<bool>,
    /// True if the failure is not one of the server: another request on the same connection has counted it, or the time
    /// of the whole exchange ended first.
    is_blameless: Cell<bool>,
    /// An idle connection was found closed: the next attempt opens a new one.
    fresh: Cell<bool>,
    /// Failure of the last attempt that is not in the log yet.
    unsaid: Cell<Option<(Rc<WorkerEndpoint>, ServerFault)>>,
}

struct Attempt {
    fault: ServerFault,
    /// True if the connection had served another request before.
    reused: bool,
    /// True if the server says that it did not process the request.
    refused: bool,
}

impl Attempt {
    /// Counts and logs the failure as one of the server.
    fn note_fault(&self, backend: &Backend, endpoint: &WorkerEndpoint, request_id: &HeaderValue) {
        let failure = self.fault.failure;
        if failure.means_gone() {
            backend.servers.failed(&endpoint.server, failure.as_str());
        }
        endpoint.server.standing.note_fault(&self.fault, request_id);
    }
}

impl Default for Pool {
    fn default() -> Self {
        let random = foldhash::quality::RandomState::default().hash_one(0);
        Self { endpoints: RefCell::default(), timers: TimerPool::default(), random: Cell::new(random) }
    }
}

impl Pool {
    /// Sends a request to one of the backend's servers and waits for the response head. The request is lent, as it is
    /// large: each future that owned it would have room for it.
    ///
    /// # Errors
    /// The failure of the last attempt. A request that was sent, even in part, is retried only as `options.repeat` says.
    pub async fn send(
        &self,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        options: SendOptions<'_>,
    ) -> Result<Response<AnswerBody>, Failure> {
        let patience = &options.patience;
        let upload = upload_of(request);
        let way = Way::default();
        // The whole exchange has a deadline too.
        let mut alarm = self.timers.set((patience.now + patience.head).min(patience.body.until).into());
        let mut sending = pin!(self.send_patiently(backend, request, options, &way));
        let mut known = 0;
        let sent = std::future::poll_fn(|context| {
            if let Poll::Ready(sent) = sending.as_mut().poll(context) {
                return Poll::Ready(sent);
            }
            loop {
                ready!(alarm.poll(context));
                let now = Instant::now();
                // Nobody answers before the request is complete: for its body, the caller has a time of its own.
                let complete = upload.as_ref().and_then(|upload| upload.over_since());
                let end = complete.map_or(options.begun.get(), |time| time.max(options.begun.get())) + patience.head;
                let over = patience.body.until;
                if over <= now && upload.as_ref().is_none_or(|upload| upload.is_over()) {
                    if end > now || way.waits.get() {
                        // Neither the server nor the backend is to blame.
                        drop(way.asked.take());
                        way.is_blameless.set(true);
                    }
                    return Poll::Ready(Err(Failure::Timeout));
                }
                let within = |end: Instant| if over > now { end.min(over).into() } else { end.into() };
                if way.waits.get() {
                    alarm.put_off(within(now + patience.head));
                } else if end > now {
                    alarm.put_off(within(end));
                } else if upload.as_ref().is_some_and(|upload| !upload.is_over() && upload.goes_on(&mut known)) {
                    alarm.put_off(within(now + patience.head));
                } else {
                    return Poll::Ready(Err(Failure::Timeout));
                }
            }
        });
        let sent = sent.await;
        if let (Err(Failure::Timeout), Some(endpoint)) = (&sent, way.asked.take()) {
            backend.servers.failed(&endpoint.server, Failure::Timeout.as_str());
            endpoint.server.standing.note_fault(&late(upload.as_deref(), patience.head), options.request_id);
        }
        // It was the caller whose request broke off.
        let is_callers_fault = upload.is_some_and(|upload| upload.fault().is_some());
        match &sent {
            // Whatever it said, it is there.
            Ok(_) | Err(Failure::Malformed) => backend.answered(),
            Err(_) if is_callers_fault || way.is_blameless.get() => {}
            Err(failure) => backend.failed(*failure, options.begun.get()),
        }
        // What broke on a connection that was idle before is said where nothing better came of it.
        if let (Err(Failure::Broken | Failure::Malformed), Some((endpoint, fault))) = (&sent, way.unsaid.take())
            && !is_callers_fault
        {
            endpoint.server.standing.note_fault(&fault, options.request_id);
        }
        let (response, lease) = sent?;
        let server = &lease.visit.endpoint().server;
        server.standing.note_answer();
        if is_failure(response.status()) {
            backend.servers.failed(server, "status");
        } else {
            server.standing.succeeded();
        }
        Ok(response.map(|body| AnswerBody::new(body, lease, patience.body)))
    }

    async fn send_patiently(
        &self,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        options: SendOptions<'_>,
        way: &Way,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let endpoints = self.endpoints(&backend.servers);
        let mut tried = avoided(request).map_or_else(TriedEndpoints::default, |server| endpoints.but(server));
        let mut count = 0;
        let mut repeated = false;
        let mut last = if endpoints.are_all_bad() { Failure::Unavailable } else { Failure::Connect };
        loop {
            let index = endpoints.choose(options.key, options.patience.now, self.random(), &tried);
            let Some((index, endpoint)) = index.and_then(|index| Some((index, endpoints.get(index)?))) else {
                return Err(last);
            };
            // Another server costs nothing, unless that one fails as well.
            if count > 0 && endpoint.server.standing.is_failing() && !repeated && !backend.may_repeat() {
                return Err(last);
            }
            way.asked.set(Some(Rc::clone(endpoint)));
            way.is_blameless.set(false);
            let may_repeat = options.repeat == Repeat::Once && !repeated;
            let copy = match &request {
                Some(request) if may_repeat || backend.servers.speak_http2() => copied(request).map(Box::new),
                _ => None,
            };
            let upload = upload_of(request);
            way.unsaid.take();
            let attempt = match attempt(backend, endpoint, request, options, way).await {
                Ok(answer) => return Ok(answer),
                Err(attempt) => attempt,
            };
            last = attempt.fault.failure;
            way.fresh.set(way.fresh.get() || attempt.reused);
            if upload.is_some_and(|upload| upload.fault().is_some()) {
                // It was the caller whose request broke off.
                return Err(last);
            }
            // It has waited for as long as the queue allows.
            if last == Failure::Overload && !attempt.refused && backend.queue.is_some() {
                return Err(last);
            }
            // An idle connection that had just been closed says nothing about its server.
            if attempt.refused {
                count += 1;
            } else if !attempt.reused {
                attempt.note_fault(backend, endpoint, options.request_id);
                // Nothing was sent where the request is still here.
                count += usize::from(request.is_none());
                if request.is_some() || endpoints.count() > 1 {
                    tried.add(index);
                }
            }
            if attempt.reused {
                way.unsaid.set(Some((Rc::clone(endpoint), attempt.fault)));
            }
            if count >= MAX_SENT {
                return Err(last);
            }
            if request.is_none() {
                let copy = copy.filter(|_| attempt.refused || may_repeat && backend.may_repeat()).ok_or(last)?;
                *request = Some(*copy);
                repeated = repeated || !attempt.refused;
            }
        }
    }

    /// The backend's servers as this worker sees them, updated where they changed.
    fn endpoints(&self, servers: &Arc<Servers>) -> Rc<WorkerEndpoints> {
        let mut all = self.endpoints.borrow_mut();
        if let Some(endpoints) = all.get(&servers.id).filter(|endpoints| endpoints.are_current(servers)) {
            return Rc::clone(endpoints);
        }
        let endpoints = Rc::new(WorkerEndpoints::new(servers, all.get(&servers.id).map(|endpoints| &**endpoints)));
        all.insert(servers.id, Rc::clone(&endpoints));
        endpoints
    }

    fn random(&self) -> u64 {
        self.random.set(next_random(self.random.get()));
        random_of(self.random.get())
    }

    /// Closes idle connections that are over their limit, and forgets backends that are gone.
    pub fn reap(&self) {
        let mut all = self.endpoints.borrow_mut();
        all.retain(|_, endpoints| endpoints.are_held());
        all.values().for_each(|endpoints| endpoints.reap());
    }
}

/// One attempt at one server. Takes the request; puts it back if none of it was sent.
async fn attempt(
    backend: &Backend,
    endpoint: &Rc<WorkerEndpoint>,
    request: &mut Option<Request<RequestBody>>,
    options: SendOptions<'_>,
    way: &Way,
) -> Result<(Response<Incoming>, Lease), Attempt> {
    if backend.servers.speak_http2() {
        return Box::pin(attempt_http2(backend, endpoint, request, options, way)).await;
    }
    let visit = Visit::new(endpoint);
    // A connection that was made for one caller is not another's.
    let is_announced = endpoint.server.proxy_protocol.is_some();
    let idle = if way.fresh.get() || is_announced { None } else { endpoint.take(options.patience.now) };
    let reused = idle.is_some();
    let mut link = match idle {
        Some(link) => link,
        // Rare and large: it does not belong into the state of each request.
        None => {
            let until = tokio::time::Instant::now() + backend.connect_timeout;
            let connected = Box::pin(Http1Connection::connect(&endpoint.server, options.caller, until)).await;
            connected.map_err(|fault| Attempt { fault, reused, refused: false })?
        }
    };
    let upload = upload_of(request);
    match link.exchange(request).await {
        Ok(response) => {
            let limit = if is_announced { Duration::ZERO } else { backend.idle_timeout };
            Ok((response, Lease { visit, limit, link: Some(link), _stream: None }))
        }
        Err(mut error) => {
            *request = error.take_message();
            let fault = ServerFault::new(link.failure(), doing(upload.as_deref()), Causes(&error.into_error()));
            Err(Attempt { fault, reused, refused: false })
        }
    }
}

/// One attempt over HTTP/2.
async fn attempt_http2(
    backend: &Backend,
    endpoint: &Rc<WorkerEndpoint>,
    request: &mut Option<Request<RequestBody>>,
    options: SendOptions<'_>,
    way: &Way,
) -> Result<(Response<Incoming>, Lease), Attempt> {
    let visit = Visit::new(endpoint);
    let taken = match endpoint.channels.take() {
        Some(taken) => Ok(taken),
        None => {
            way.waits.set(true);
            let taken = endpoint.channels.wait(backend, &endpoint.server).await;
            way.waits.set(false);
            options.begun.set(Instant::now());
            taken
        }
    };
    let Grant { mut channel, stream, reused } =
        taken.map_err(|fault| Attempt { fault, reused: false, refused: false })?;
    let upload = upload_of(request);
    match channel.exchange(request, &stream, endpoint.server.tls.is_some()).await {
        Ok(response) => Ok((response, Lease { visit, limit: backend.idle_timeout, link: None, _stream: Some(stream) })),
        Err(error) => {
            let (failure, refused) = (failure_of(&error), is_refused(&error));
            way.is_blameless.set(failure == Failure::Broken && !channel.is_first_to_blame());
            let fault = if failure == Failure::Overload {
                failure.into()
            } else {
                ServerFault::new(failure, doing(upload.as_deref()), Causes(&error))
            };
            Err(Attempt { fault, reused, refused })
        }
    }
}

/// Phase of an exchange at its end: sending the request, or waiting for the response head.
fn doing(upload: Option<&Progress>) -> Doing {
    if upload.is_some_and(|upload| !upload.is_over()) { Doing::Write } else { Doing::ReadHead }
}

/// Timeout, with the phase in which it ran out.
fn late(upload: Option<&Progress>, time: Duration) -> ServerFault {
    let doing = doing(upload);
    let what =
        if doing == Doing::Write { "nothing more of the request was taken" } else { "no head of an answer came" };
    ServerFault::new(Failure::Timeout, doing, format_args!("timed out (timeout): {what} for {} s", time.as_secs_f64()))
}

fn avoided(request: &Option<Request<RequestBody>>) -> Option<u64> {
    Some(request.as_ref()?.extensions().get::<AvoidedServer>()?.0)
}

/// Progress of an upload.
fn upload_of(request: &Option<Request<RequestBody>>) -> Option<Rc<Progress>> {
    request.as_ref().and_then(|request| request.body().progress().cloned())
}

/// True if a status says that the server itself fails: 5xx except 501 and 505, which are about the request.
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error() && !matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}

/// Copy of a request for a retry; `None` if its body cannot be replayed.
pub(crate) fn copied(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut copy = Request::new(request.body().replay()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}
