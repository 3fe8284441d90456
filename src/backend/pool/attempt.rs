//! One attempt at one server.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use super::SendOptions;
use super::idle_connections::{Got, Reused};
use super::lease::Lease;
use super::worker_endpoints::{Visit, WorkerEndpoint};
use crate::backend::connection::causes::Causes;
use crate::backend::connection::http1_conn::{Http1Connection, is_excess};
use crate::backend::connection::http2_conn::{failure_of, is_refused};
use crate::backend::connection::http2_pool::Grant;
use crate::backend::connection::keep_alive;
use crate::backend::endpoints::idle_life::Trial;
use crate::backend::fault::{Doing, ServerFault};
use crate::backend::{Backend, Failure};
use crate::body_stream::{Progress, RequestBody};

/// A server that closes later than this after a request was sent on an idle connection had the request.
const CROSSING: Duration = Duration::from_secs(1);

/// Progress of one send.
#[derive(Default)]
pub(super) struct Way {
    /// Server of the last attempt.
    pub(super) asked: Cell<Option<Rc<WorkerEndpoint>>>,
    /// True while it waits for a connection or an HTTP/2 stream: the timeout does not run.
    pub(super) waits: Cell<bool>,
    /// True if the failure is not one of the server: another request on the same connection has counted it, or the time
    /// of the whole exchange ended first.
    pub(super) is_blameless: Cell<bool>,
    /// An idle connection was found closed: the next attempt opens a new one.
    pub(super) fresh: Cell<bool>,
    /// Failure of the last attempt that is not in the log yet.
    pub(super) unsaid: Cell<Option<Box<UnsaidFault>>>,
}

/// A failure with the server that it is about.
type UnsaidFault = (Rc<WorkerEndpoint>, ServerFault);

/// A failed attempt.
pub(super) struct AttemptFault {
    pub(super) fault: ServerFault,
    /// True if the connection had served another request before.
    pub(super) reused: bool,
    /// True if the server closed the idle connection while the request was on its way.
    pub(super) crossed: bool,
    /// True if the server says that it did not process the request.
    pub(super) refused: bool,
}

impl AttemptFault {
    /// Counts and logs the failure as one of the server.
    pub(super) fn note_fault(&self, backend: &Backend, endpoint: &WorkerEndpoint, options: &SendOptions<'_>) {
        let failure = self.fault.failure;
        if failure.means_gone() {
            backend.servers.failed(&endpoint.server, failure.as_str());
        }
        options.note_fault(endpoint, &self.fault);
    }
}

impl From<ServerFault> for AttemptFault {
    fn from(fault: ServerFault) -> Self {
        Self { fault, reused: false, crossed: false, refused: false }
    }
}

/// A connection; how long it was idle, if it was.
type Connected<'a> = (Http1Connection, Option<(Duration, Option<Trial<'a>>)>);

/// One attempt at one server. Takes the request; puts it back if none of it was sent. `can_repeat` says whether it may
/// be sent again otherwise.
pub(super) async fn attempt(
    backend: &Backend,
    endpoint: &Rc<WorkerEndpoint>,
    request: &mut Option<Request<RequestBody>>,
    can_repeat: bool,
    options: &SendOptions<'_>,
    way: &Way,
) -> Result<(Response<Incoming>, Lease), AttemptFault> {
    if backend.servers.speak_http2() {
        return Box::pin(attempt_http2(backend, endpoint, request, options, way)).await;
    }
    let visit = Visit::new(endpoint);
    // A connection that was made for one caller is not another's.
    let is_announced = endpoint.server.proxy_protocol.is_some();
    let is_fresh = way.fresh.get() || is_announced;
    let is_limited = backend.max_connections != usize::MAX;
    // Those that wait for one come first.
    let idle = match is_fresh || is_limited && endpoint.idle.is_waited_for() {
        true => None,
        false => endpoint.idle.reuse(options.patience.now, can_repeat),
    };
    // The limits may be newer than the connection.
    let fits = |idle: &Reused<'_>| {
        idle.link.served() < backend.requests_per_connection && (!is_limited || idle.link.is_counted())
    };
    let idle = idle.filter(fits);
    let (mut link, idle) = match idle {
        Some(Reused { link, age, trial }) => (link, Some((age, trial))),
        // Rare and large: it does not belong into the state of each request.
        None => Box::pin(connected(backend, endpoint, is_fresh, can_repeat, options, way)).await?,
    };
    if link.begin() >= backend.requests_per_connection
        && let Some(request) = request
    {
        request.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
    let upload = upload_of(request);
    let standing = &endpoint.server.standing;
    match link.exchange(request).await {
        Ok(response) => {
            if let Some((age, _trial)) = idle {
                standing.idle_life.note_alive(age, options.sending.begun());
            }
            let is_last = is_announced || link.served() >= backend.requests_per_connection;
            let limit = match is_last || is_limited && !link.is_counted() {
                true => Duration::ZERO,
                false => keep_alive::idle_limit(response.headers(), backend.idle_timeout),
            };
            Ok((response, Lease { visit, limit, link: Some(link), _stream: None }))
        }
        Err(mut error) => {
            *request = error.take_message();
            let failure = link.failure();
            let is_servers = upload.as_ref().is_none_or(|upload| upload.fault().is_none());
            let (error, is_lost) = (error.into_error(), request.is_none());
            let mut crossed = false;
            if is_excess(&error) {
                standing.note_excess();
            } else if let Some((age, _trial)) = &idle
                && failure == Failure::Broken
                && is_servers
            {
                crossed = is_lost && options.sending.begun().elapsed() < CROSSING;
                if crossed || !is_lost {
                    standing.note_closed(*age, is_lost);
                }
            }
            let fault = Causes::new(&error, &endpoint.server.http).fault(failure, doing(upload.as_deref()));
            Err(AttemptFault { fault, reused: idle.is_some(), crossed, refused: false })
        }
    }
}

/// A new connection, or within `max_connections` one that came back first.
async fn connected<'a>(
    backend: &Backend,
    endpoint: &'a WorkerEndpoint,
    is_fresh: bool,
    can_repeat: bool,
    options: &SendOptions<'_>,
    way: &Way,
) -> Result<Connected<'a>, ServerFault> {
    let mut permit = None;
    if backend.max_connections != usize::MAX {
        way.waits.set(true);
        let got = endpoint.idle.wait(backend, is_fresh, can_repeat).await;
        way.waits.set(false);
        options.sending.begin_at(Instant::now());
        match got? {
            Got::Idle(Reused { link, age, trial }) => return Ok((link, Some((age, trial)))),
            Got::Permit(one) => permit = Some(one),
        }
    }
    let until = tokio::time::Instant::now() + backend.connect_timeout;
    let link = Http1Connection::connect(&endpoint.server, options.caller, permit, until).await?;
    Ok((link, None))
}

/// One attempt over HTTP/2.
async fn attempt_http2(
    backend: &Backend,
    endpoint: &Rc<WorkerEndpoint>,
    request: &mut Option<Request<RequestBody>>,
    options: &SendOptions<'_>,
    way: &Way,
) -> Result<(Response<Incoming>, Lease), AttemptFault> {
    let visit = Visit::new(endpoint);
    let taken = match endpoint.channels.take() {
        Some(taken) => Ok(taken),
        None => {
            way.waits.set(true);
            let taken = endpoint.channels.wait(backend, &endpoint.server).await;
            way.waits.set(false);
            options.sending.begin_at(Instant::now());
            taken
        }
    };
    let Grant { mut channel, stream, reused } = taken?;
    let upload = upload_of(request);
    match channel.exchange(request, &stream, endpoint.server.tls.is_some()).await {
        Ok(response) => Ok((response, Lease { visit, limit: backend.idle_timeout, link: None, _stream: Some(stream) })),
        Err(error) => {
            let (failure, refused) = (failure_of(&error), is_refused(&error));
            way.is_blameless.set(failure == Failure::Broken && !channel.is_first_to_blame());
            let fault = if failure == Failure::Overload {
                failure.into()
            } else {
                Causes::new(&error, &endpoint.server.http).fault(failure, doing(upload.as_deref()))
            };
            Err(AttemptFault { fault, reused, crossed: false, refused })
        }
    }
}

/// Phase of an exchange at its end: sending the request, or waiting for the response head.
pub(super) fn doing(upload: Option<&Progress>) -> Doing {
    if upload.is_some_and(|upload| !upload.is_over()) { Doing::Write } else { Doing::ReadHead }
}

/// Progress of an upload.
pub(super) fn upload_of(request: &Option<Request<RequestBody>>) -> Option<Rc<Progress>> {
    request.as_ref().and_then(|request| request.body().progress().cloned())
}
