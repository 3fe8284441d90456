//! A worker's connections to backends: HTTP/1.1 with keep-alive, last used first.
//!
//! Nothing here is shared between workers. A connection comes back when its response has been read to the end,
//! and is closed when it was not.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Backend, Endpoint, Failure, Host};
use crate::stream::RequestBody;

/// Bounds what a backend can make us buffer for one connection.
const MAX_BUFFER: usize = 64 * 1024;

/// How many idle connections a worker keeps for one server.
const MAX_IDLE: usize = 256;

/// All of a worker's idle connections.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
    limit: Duration,
}

/// A connection that is serving a request.
pub struct Lease {
    pool: Rc<Pool>,
    endpoint: u64,
    limit: Duration,
    sender: SendRequest<RequestBody>,
}

/// Which requests may be sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Only what was certainly not sent.
    Unsent,
    /// Also what may have been sent, once.
    Once,
}

struct Attempt {
    failure: Failure,
    /// The request, where none of it was sent.
    unsent: Option<Request<RequestBody>>,
    /// Whether the connection had served another request before.
    reused: bool,
}

impl Pool {
    /// Sends a request to one of the backend's servers and waits for the head of the response.
    ///
    /// # Errors
    /// Why there is none. A request that was sent, even in part, is repeated only as `repeat` says.
    pub async fn send(
        self: &Rc<Self>,
        backend: &Backend,
        request: Request<RequestBody>,
        limit: Duration,
        repeat: Repeat,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        match timeout(limit, self.send_patiently(backend, request, repeat)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Timeout),
        }
    }

    async fn send_patiently(
        self: &Rc<Self>,
        backend: &Backend,
        mut request: Request<RequestBody>,
        repeat: Repeat,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let mut fresh = false;
        let mut repeated = false;
        loop {
            let copy = (repeat == Repeat::Once && !repeated).then(|| copied(&request)).flatten();
            let attempt = match self.attempt(backend, request, fresh).await {
                Ok(answer) => return Ok(answer),
                Err(attempt) => attempt,
            };
            request = match (attempt.unsent, copy) {
                // An idle connection that had just been closed says nothing about the next one.
                (Some(unsent), _) if attempt.reused => unsent,
                (None, Some(copy)) => {
                    repeated = true;
                    copy
                }
                _ => return Err(attempt.failure),
            };
            fresh = attempt.reused || fresh;
        }
    }

    async fn attempt(
        self: &Rc<Self>,
        backend: &Backend,
        request: Request<RequestBody>,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), Attempt> {
        let turn = backend.turn.fetch_add(1, Ordering::Relaxed);
        let count = backend.endpoints.len();
        let mut last = Failure::Connect;
        for step in 0..count {
            let endpoint = &backend.endpoints[(turn + step) % count];
            let idle = if fresh { None } else { self.take(endpoint.id) };
            let reused = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                None => match timeout(backend.connect_timeout, connect(endpoint)).await {
                    Ok(Ok(sender)) => sender,
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
            return match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease =
                        Lease { pool: Rc::clone(self), endpoint: endpoint.id, limit: backend.idle_timeout, sender };
                    Ok((response, lease))
                }
                Err(mut error) => Err(Attempt { failure: Failure::Broken, unsent: error.take_message(), reused }),
            };
        }
        // No connection was had, so nothing was sent; but another try would fare no better now.
        Err(Attempt { failure: last, unsent: Some(request), reused: false })
    }

    fn take(&self, endpoint: u64) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(&endpoint)?;
        let mut at = stack.len();
        while at > 0 {
            at -= 1;
            let candidate = &stack[at];
            if candidate.sender.is_closed() || candidate.since.elapsed() >= candidate.limit {
                stack.swap_remove(at);
            } else if candidate.sender.is_ready() {
                return Some(stack.swap_remove(at).sender);
            }
        }
        None
    }

    /// Closes what has been idle for too long, and forgets what the other side closed.
    pub fn reap(&self) {
        let mut idle = self.idle.borrow_mut();
        for stack in idle.values_mut() {
            stack.retain(|entry| !entry.sender.is_closed() && entry.since.elapsed() < entry.limit);
        }
        idle.retain(|_, stack| !stack.is_empty());
    }
}

impl Lease {
    /// Gives the connection back. Only right after its response was read to the end.
    pub fn release(self) {
        let mut idle = self.pool.idle.borrow_mut();
        let stack = idle.entry(self.endpoint).or_default();
        if stack.len() < MAX_IDLE && !self.sender.is_closed() {
            stack.push(Idle { sender: self.sender, since: Instant::now(), limit: self.limit });
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lease").field("endpoint", &self.endpoint).finish_non_exhaustive()
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

async fn connect(endpoint: &Endpoint) -> Result<SendRequest<RequestBody>, Failure> {
    let stream = match &endpoint.host {
        Host::Address(address) => TcpStream::connect((*address, endpoint.port)).await,
        Host::Name(name) => TcpStream::connect((name.as_str(), endpoint.port)).await,
    };
    let stream = stream.and_then(tuned).map_err(|error| {
        tracing::debug!(host = ?endpoint.host, port = endpoint.port, %error, "cannot connect to backend");
        Failure::Connect
    })?;
    match &endpoint.tls {
        None => speak(stream).await,
        Some((connector, name)) => match connector.connect(name.clone(), stream).await {
            Ok(stream) => speak(stream).await,
            Err(error) => {
                tracing::warn!(host = ?endpoint.host, port = endpoint.port, %error, "no TLS with backend");
                Err(Failure::Tls)
            }
        },
    }
}

fn tuned(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_keepalive(
        &socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)),
    )?;
    Ok(stream)
}

/// Starts HTTP/1.1 on a new connection; the connection itself runs as a task of this worker.
async fn speak<IO>(stream: IO) -> Result<SendRequest<RequestBody>, Failure>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_BUFFER).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|_| Failure::Broken)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "backend connection ended");
        }
    });
    Ok(sender)
}
