//! A worker's connection pool: sends a request to a server of a backend, with retries and deadlines.
//!
//! Workers share no connections, but what is known of a server: how long it keeps idle ones, and how many there are.
//! Idle HTTP/1.1 connections are reused last in, first out. A connection returns to the pool when its response has been read to the end, and is closed when it was not.

mod attempt;
mod idle_connections;
mod lease;
pub mod response_body;
mod send_progress;
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
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::balance::{next_random, random_of};
use super::endpoints::servers::Servers;
use super::fault::{Doing, FaultNote, ServerFault};
use super::{Backend, Failure, SentHost};
use crate::body_stream::{Pace, Progress, RequestBody};
use attempt::{Way, attempt, doing, upload_of};
use lease::Lease;
use response_body::AnswerBody;
pub use send_progress::SendProgress;
use timer_pool::TimerPool;
use worker_endpoints::{TriedEndpoints, WorkerEndpoint, WorkerEndpoints};

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
    /// Start and attempts.
    pub sending: &'a SendProgress,
    /// Request id, for the log.
    pub request_id: &'a HeaderValue,
    /// What a server did that failed, for the access log.
    pub fault: &'a FaultNote,
}

impl SendOptions<'_> {
    /// Logs what a server did, and keeps it for the access log.
    fn note_fault(&self, endpoint: &WorkerEndpoint, fault: &ServerFault) {
        let standing = &endpoint.server.standing;
        self.fault.note(&standing.name, &fault.phrase);
        standing.note_fault(fault, self.request_id);
    }
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
                let end =
                    complete.map_or(options.sending.begun(), |time| time.max(options.sending.begun())) + patience.head;
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
            options.note_fault(&endpoint, &late(backend, &endpoint, upload.as_deref(), patience.head));
        }
        // It was the caller whose request broke off.
        let is_callers_fault = upload.is_some_and(|upload| upload.fault().is_some());
        match &sent {
            // Whatever it said, it is there.
            Ok(_) | Err(Failure::Malformed) => backend.answered(),
            Err(_) if is_callers_fault || way.is_blameless.get() => {}
            Err(failure) => backend.failed(*failure, options.sending.begun()),
        }
        // What broke on a connection that was idle before is said where nothing better came of it.
        if let (Err(Failure::Broken | Failure::Malformed), Some(unsaid)) = (&sent, way.unsaid.take())
            && !is_callers_fault
        {
            options.note_fault(&unsaid.0, &unsaid.1);
        }
        let (response, lease) = sent?;
        let server = &lease.visit.endpoint().server;
        server.standing.note_answer();
        if is_failure(response.status()) {
            backend.servers.failed(server, "status");
        } else {
            server.standing.succeeded();
        }
        Ok(AnswerBody::new(response, lease, patience.body))
    }

    async fn send_patiently(
        &self,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        mut options: SendOptions<'_>,
        way: &Way,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let endpoints = self.endpoints(&backend.servers);
        let mut tried = avoided(request).map_or_else(TriedEndpoints::default, |server| endpoints.but(server));
        let mut count = 0;
        let mut repeated = false;
        let mut ended_unused = false;
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
            if let (SentHost::Server, Some(request)) = (&backend.host, request.as_mut()) {
                request.headers_mut().insert(header::HOST, endpoint.server.host.clone());
            }
            let upload = upload_of(request);
            way.unsaid.take();
            let can_repeat = may_repeat && copy.is_some();
            options.sending.attempt();
            let attempt = match attempt(backend, endpoint, request, can_repeat, &options, way).await {
                Ok(answer) => return Ok(answer),
                Err(attempt) => attempt,
            };
            last = attempt.fault.failure;
            options.patience.now = Instant::now();
            way.fresh.set(way.fresh.get() || attempt.reused);
            if upload.is_some_and(|upload| upload.fault().is_some()) {
                // It was the caller whose request broke off.
                return Err(last);
            }
            // It has waited for as long as the queue allows.
            if last == Failure::Overload && !attempt.refused && backend.queue.is_some() {
                return Err(last);
            }
            // A server that is reloaded ends also new connections. Nothing was sent on this one: there may be one more.
            let ends_unused = request.is_some() && !attempt.reused && last == Failure::Broken;
            let is_free = ends_unused && !ended_unused && endpoints.count() == 1;
            ended_unused = ended_unused || ends_unused;
            // An idle connection that had just been closed says nothing about its server.
            let says_nothing = attempt.reused || is_free && backend.may_repeat();
            if attempt.refused {
                count += 1;
            } else if !says_nothing {
                attempt.note_fault(backend, endpoint, &options);
                // Nothing was sent where the request is still here.
                count += usize::from(request.is_none());
                if request.is_some() || endpoints.count() > 1 {
                    tried.add(index);
                }
            }
            if says_nothing {
                way.unsaid.set(Some(Box::new((Rc::clone(endpoint), attempt.fault))));
            }
            if count >= MAX_SENT {
                return Err(last);
            }
            if request.is_none() {
                // What crossed with the end of an idle connection is no more load, which the budget is about.
                let is_free = attempt.refused || may_repeat && attempt.crossed;
                let copy = copy.filter(|_| is_free || may_repeat && backend.may_repeat()).ok_or(last)?;
                *request = Some(*copy);
                repeated = repeated || !is_free;
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

/// Timeout, with the phase in which it ran out.
fn late(backend: &Backend, endpoint: &WorkerEndpoint, upload: Option<&Progress>, time: Duration) -> ServerFault {
    let doing = doing(upload);
    let (what, phrase) = match doing {
        Doing::Write => ("nothing more of the request was taken", "took nothing more of the request"),
        _ => ("no head of an answer came", "no response head"),
    };
    let is_unlimited = backend.max_connections == usize::MAX && !backend.servers.speak_http2();
    let hint = if doing == Doing::ReadHead && is_unlimited && endpoint.idle.is_one_of_several() {
        "; where the server serves one connection at a time, `max_connections: 1` and a `queue` help"
    } else {
        ""
    };
    let seconds = time.as_secs_f64();
    let reason = format_args!("timed out (timeout): {what} for {seconds} s{hint}");
    ServerFault::new(Failure::Timeout, doing, reason, format!("{phrase} within {seconds}s"))
}

fn avoided(request: &Option<Request<RequestBody>>) -> Option<u64> {
    Some(request.as_ref()?.extensions().get::<AvoidedServer>()?.0)
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
