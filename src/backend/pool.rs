//! A worker's way to backends: HTTP/1.1 connections with keep-alive, last used first.
//!
//! Nothing here is shared between workers. A connection comes back when its response has been read to the end,
//! and is closed when it was not.

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
use tokio::time::timeout;

use super::alarm::Alarms;
use super::answer::{AnswerBody, Causes};
use super::balance::{next_random, random_of};
use super::channel::is_refused;
use super::link::Link;
use super::servers::Servers;
use super::stations::{Station, Stations, Tried, Visit};
use super::{Backend, Failure};
use crate::stream::{Pace, Progress, RequestBody};

/// How many servers are tried for one request of which nothing was sent.
const MAX_SERVERS: usize = 3;

/// What a worker has of all backends.
pub struct Pool {
    stations: RefCell<HashMap<u64, Rc<Stations>>>,
    alarms: Alarms,
    random: Cell<u64>,
}

/// A connection that is serving a request.
pub(super) struct Lease {
    visit: Visit,
    /// How long it may wait for the next request.
    limit: Duration,
    /// None where the connection serves others too, and drives itself.
    link: Option<Link>,
}

/// How a request is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// Whether it may be sent a second time.
    pub repeat: Repeat,
    /// Decides about the server, where customers have servers of their own.
    pub key: Option<u64>,
    /// For whom: servers may want to know.
    pub caller: Option<IpAddr>,
    /// How long it may take.
    pub patience: Patience,
    /// The request's id, for the log.
    pub request_id: &'a HeaderValue,
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
    /// How long to wait for its head, once the request has been sent.
    pub head: Duration,
    /// How slowly its body may come.
    pub body: Pace,
}

/// The server whose connection failed last, and how.
type Broke = Cell<Option<(Rc<Station>, hyper::Error)>>;

struct Attempt {
    failure: Failure,
    /// Whether the connection had served another request before.
    reused: bool,
    /// Whether the server says that it did nothing with the request.
    refused: bool,
}

impl Default for Pool {
    fn default() -> Self {
        let random = foldhash::quality::RandomState::default().hash_one(0);
        Self { stations: RefCell::default(), alarms: Alarms::default(), random: Cell::new(random) }
    }
}

impl Pool {
    /// Sends a request to one of the backend's servers and waits for the head of the response. The request is lent, as it
    /// is large: each future that owned it would have room for it.
    ///
    /// # Errors
    /// Why there is none. A request that was sent, even in part, is repeated only as `errand` says.
    pub async fn send(
        &self,
        backend: &Backend,
        request: &mut Option<Request<RequestBody>>,
        errand: Errand<'_>,
    ) -> Result<Response<AnswerBody>, Failure> {
        let patience = errand.patience;
        let upload = upload_of(request);
        let asked = Cell::new(None);
        let broke = Cell::new(None);
        let mut alarm = self.alarms.set((patience.now + patience.head).into());
        let mut sending = pin!(self.send_patiently(backend, request, errand, &asked, &broke));
        let mut known = 0;
        let sent = std::future::poll_fn(|context| {
            if let Poll::Ready(sent) = sending.as_mut().poll(context) {
                return Poll::Ready(sent);
            }
            loop {
                ready!(alarm.poll(context));
                // Nobody answers before the request is complete: for its body, the caller has a time of its own.
                if !upload.as_ref().is_some_and(|upload| upload.goes_on(&mut known)) {
                    return Poll::Ready(Err(Failure::Timeout));
                }
                alarm.put_off(tokio::time::Instant::now() + patience.head);
            }
        });
        let sent = sent.await;
        if let (Err(Failure::Timeout), Some(station)) = (&sent, asked.take()) {
            let station: Rc<Station> = station;
            backend.servers.failed(&station.server, Failure::Timeout.word());
        }
        match &sent {
            Ok(_) => backend.answered(),
            // It was the caller whose request broke off.
            Err(_) if upload.is_some_and(|upload| upload.fault().is_some()) => {}
            Err(failure) => {
                backend.failed(*failure);
                if let Some((station, error)) = broke.take() {
                    backend.log_bad_response(&station.server.standing.name, errand.request_id, &Causes(&error));
                }
            }
        }
        let (response, lease) = sent?;
        let server = &lease.visit.station().server;
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
        errand: Errand<'_>,
        asked: &Cell<Option<Rc<Station>>>,
        broke: &Broke,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let stations = self.stations(&backend.servers);
        let mut tried = Tried::default();
        let mut count = 0;
        let (mut fresh, mut repeated) = (false, false);
        let mut last = if stations.are_all_bad() { Failure::Unavailable } else { Failure::Connect };
        loop {
            let index = stations.choose(errand.key, errand.patience.now, self.random(), tried);
            let Some((index, station)) = index.and_then(|index| Some((index, stations.get(index)?))) else {
                return Err(last);
            };
            // Another server costs nothing, unless that one fails as well.
            if count > 0 && station.server.standing.is_failing() && !repeated && !backend.may_repeat() {
                return Err(last);
            }
            asked.set(Some(Rc::clone(station)));
            let may_repeat = errand.repeat == Repeat::Once && !repeated;
            let copy = match &request {
                Some(request) if may_repeat || backend.servers.speak_http2() => copied(request).map(Box::new),
                _ => None,
            };
            let upload = upload_of(request);
            broke.take();
            let attempt = match attempt(backend, station, request, errand, fresh, broke).await {
                Ok(answer) => return Ok(answer),
                Err(attempt) => attempt,
            };
            last = attempt.failure;
            fresh = fresh || attempt.reused;
            if upload.is_some_and(|upload| upload.fault().is_some()) {
                // It was the caller whose request broke off.
                return Err(last);
            }
            // An idle connection that had just been closed says nothing about its server.
            if attempt.refused {
                count += 1;
            } else if !attempt.reused {
                backend.servers.failed(&station.server, last.word());
                count += 1;
                if request.is_some() || stations.count() > 1 {
                    tried.add(index);
                }
            }
            if count >= MAX_SERVERS {
                return Err(last);
            }
            if request.is_none() {
                let copy = copy.filter(|_| attempt.refused || may_repeat && backend.may_repeat()).ok_or(last)?;
                *request = Some(*copy);
                repeated = repeated || !attempt.refused;
            }
        }
    }

    /// The backend's servers as this worker sees them.
    fn stations(&self, servers: &Arc<Servers>) -> Rc<Stations> {
        let mut all = self.stations.borrow_mut();
        if let Some(stations) = all.get(&servers.id).filter(|stations| stations.are_current(servers)) {
            return Rc::clone(stations);
        }
        let stations = Rc::new(Stations::new(servers, all.get(&servers.id).map(|stations| &**stations)));
        all.insert(servers.id, Rc::clone(&stations));
        stations
    }

    fn random(&self) -> u64 {
        self.random.set(next_random(self.random.get()));
        random_of(self.random.get())
    }

    /// Closes what has been idle for too long, and forgets what is over.
    pub fn reap(&self) {
        let mut all = self.stations.borrow_mut();
        all.retain(|_, stations| stations.are_held());
        all.values().for_each(|stations| stations.reap());
    }
}

/// Takes the request; gives it back where none of it was sent.
async fn attempt(
    backend: &Backend,
    station: &Rc<Station>,
    request: &mut Option<Request<RequestBody>>,
    errand: Errand<'_>,
    fresh: bool,
    broke: &Broke,
) -> Result<(Response<Incoming>, Lease), Attempt> {
    if backend.servers.speak_http2() {
        return Box::pin(attempt_http2(backend, station, request, broke)).await;
    }
    let visit = Visit::new(station);
    // A connection that was made for one caller is not another's.
    let is_announced = station.server.proxy_protocol.is_some();
    let idle = if fresh || is_announced { None } else { station.take(errand.patience.now) };
    let reused = idle.is_some();
    let mut link = match idle {
        Some(link) => link,
        // Rare and large: it does not belong into the state of each request.
        None => match Box::pin(timeout(backend.connect_timeout, Link::connect(&station.server, errand.caller))).await {
            Ok(Ok(link)) => link,
            Ok(Err(failure)) => return Err(Attempt { failure, reused, refused: false }),
            Err(_) => return Err(Attempt { failure: Failure::Connect, reused, refused: false }),
        },
    };
    match link.exchange(request).await {
        Ok(response) => {
            let limit = if is_announced { Duration::ZERO } else { backend.idle_timeout };
            Ok((response, Lease { visit, limit, link: Some(link) }))
        }
        Err(mut error) => {
            *request = error.take_message();
            broke.set(Some((Rc::clone(station), error.into_error())));
            Err(Attempt { failure: Failure::Broken, reused, refused: false })
        }
    }
}

/// The same by HTTP/2.
async fn attempt_http2(
    backend: &Backend,
    station: &Rc<Station>,
    request: &mut Option<Request<RequestBody>>,
    broke: &Broke,
) -> Result<(Response<Incoming>, Lease), Attempt> {
    let visit = Visit::new(station);
    let failed = |failure| Attempt { failure, reused: false, refused: false };
    let opened = timeout(backend.connect_timeout, station.channel()).await;
    let (mut channel, reused) = opened.map_err(|_| failed(Failure::Connect))?.map_err(failed)?;
    match channel.exchange(request, station.server.tls.is_some()).await {
        Ok(response) => Ok((response, Lease { visit, limit: backend.idle_timeout, link: None })),
        Err(mut error) => {
            *request = error.take_message();
            let refused = is_refused(error.error());
            broke.set(Some((Rc::clone(station), error.into_error())));
            Err(Attempt { failure: Failure::Broken, reused, refused })
        }
    }
}

impl Lease {
    /// Where it is.
    pub(super) fn station(&self) -> Rc<Station> {
        Rc::clone(self.visit.station())
    }

    /// Whether it is one of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.link.is_none()
    }

    /// The connection, where nobody else drives it.
    pub(super) fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut()
    }

    /// Gives the connection back. Only right after its response was read to the end.
    pub(super) fn release(self) {
        if let Some(mut link) = self.link {
            link.settle();
            if !self.limit.is_zero() {
                self.visit.station().keep(link, self.limit);
            }
        }
    }
}

/// What becomes of a body that is still coming.
fn upload_of(request: &Option<Request<RequestBody>>) -> Option<Rc<Progress>> {
    request.as_ref().and_then(|request| request.body().progress().cloned())
}

/// Whether an answer says that the server itself fails: all of 5xx but what is about the request.
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error() && !matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}

/// The same request again, where its body can be had a second time.
fn copied(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut copy = Request::new(request.body().replay()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}
