//! HTTP/2 connection to a server, shared by the requests of a worker.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::causes::Causes;
use super::dial::{BackendStream, dial};
use super::empty_data::WithoutEmptyData;
use super::half_close::{BackendIo, Signs};
use super::stream_waiters::Waiters;
use crate::backend::Failure;
use crate::backend::endpoints::http_options::HttpOptions;
use crate::backend::endpoints::servers::Server;
use crate::backend::fault::{Doing, ServerFault};
use crate::body_stream::{Broken, RequestBody};

/// Interval of keep-alive PINGs while streams are open, and the wait for their ACK.
const PING: std::time::Duration = std::time::Duration::from_secs(10);

/// Flow-control window of a stream, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// Greatest flow-control window of a connection (RFC 9113 section 6.9.1): each stream has its own window, and responses
/// that are not read take nothing from the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Stands for a stream limit that the server has not sent yet.
const UNTOLD: usize = usize::MAX - 1;

/// HTTP/2 connection.
#[derive(Clone)]
pub(in crate::backend) struct Http2Connection {
    sender: SendRequest<UploadBody>,
    signs: Arc<Signs>,
    capacity: Rc<Capacity>,
}

/// Streams of a connection, and their limit.
struct Capacity {
    /// Open streams, or about to be.
    open: Cell<usize>,
    /// Stream limit at the last look.
    allowed: Cell<usize>,
    limit: OnceCell<Weak<dyn Limit>>,
    waiters: Rc<Waiters>,
    /// Looks in a row without an open stream.
    unused: Cell<u32>,
    /// True once its end has been counted as a failure of the server.
    is_blamed: Cell<bool>,
}

/// One stream; counted until dropped.
pub(in crate::backend) struct StreamPermit(Rc<Capacity>);

/// Request body that holds its stream.
pub(super) struct UploadBody {
    body: RequestBody,
    _stream: Rc<StreamPermit>,
}

/// Access to the server's stream limit.
trait Limit {
    fn limit(&self) -> usize;
}

impl<IO> Limit for RefCell<Connection<IO, UploadBody, LocalExecutor>>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    fn limit(&self) -> usize {
        self.try_borrow().map_or(UNTOLD, |connection| connection.current_max_send_streams())
    }
}

impl Capacity {
    /// Present stream limit of the server (SETTINGS_MAX_CONCURRENT_STREAMS); 0 once the connection has ended.
    fn allowed(&self) -> usize {
        let limit = self.limit.get().and_then(Weak::upgrade);
        limit.map_or(0, |limit| limit.limit())
    }

    fn is_told(&self) -> bool {
        self.allowed.get() != UNTOLD
    }

    /// Wakes all waiters if the limit has changed.
    fn look(&self) {
        let before = self.allowed.get();
        if before != UNTOLD && self.waiters.are_none() {
            return;
        }
        let now = self.allowed();
        if now != before {
            self.allowed.set(now);
            self.waiters.wake_all();
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let capacity = &self.0;
        capacity.open.set(capacity.open.get() - 1);
        capacity.waiters.wake_one();
    }
}

impl Http2Connection {
    /// Connects, and waits for the server's SETTINGS (RFC 9113 section 3.4), which hold the stream limit. Both until
    /// `until`.
    ///
    /// # Errors
    /// [`Failure::Connect`], [`Failure::Tls`] or [`Failure::Broken`].
    pub(super) async fn connect(server: &Server, waiters: &Rc<Waiters>, until: Instant) -> Result<Self, ServerFault> {
        let wire = dial(server, None, until).await?;
        let spoken = async {
            match wire {
                BackendStream::Tcp(stream) => Self::speak(stream, waiters, &server.http).await,
                BackendStream::Tls(stream) if stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
                    let reason = "this server does not speak HTTP/2 (no ALPN h2)";
                    Err(ServerFault::new(Failure::Tls, Doing::Tls, reason, "TLS: no HTTP/2"))
                }
                BackendStream::Tls(stream) => Self::speak(stream, waiters, &server.http).await,
                BackendStream::Unix(stream) => Self::speak(stream, waiters, &server.http).await,
            }
        };
        let silent = || {
            let reason = "no HTTP/2 SETTINGS in time (connect_timeout)";
            Err(ServerFault::new(Failure::Connect, Doing::Connect, reason, "no HTTP/2 SETTINGS in time"))
        };
        timeout_at(until, spoken).await.unwrap_or_else(|_| silent())
    }

    /// Starts HTTP/2 on a new connection.
    pub(super) async fn speak<IO>(stream: IO, waiters: &Rc<Waiters>, options: &HttpOptions) -> Result<Self, ServerFault>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let capacity = Rc::new(Capacity {
            open: Cell::new(0),
            allowed: Cell::new(UNTOLD),
            limit: OnceCell::new(),
            waiters: Rc::clone(waiters),
            unused: Cell::new(0),
            is_blamed: Cell::new(false),
        });
        let mut builder = http2::Builder::new(LocalExecutor(Rc::clone(&capacity)));
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(UNTOLD)
            .max_header_list_size(u32::try_from(options.max_response_head).unwrap_or(u32::MAX))
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let signs = Arc::<Signs>::default();
        let stream = TokioIo::new(BackendIo::new(WithoutEmptyData::new(stream), Arc::clone(&signs)));
        let handshake = builder.handshake(stream).await;
        let (sender, connection) =
            handshake.map_err(|error| Causes::new(&error, options).fault(Failure::Broken, Doing::Connect))?;
        let connection = Rc::new(RefCell::new(connection));
        let weak: Weak<dyn Limit> = Rc::downgrade(&(Rc::clone(&connection) as Rc<dyn Limit>));
        // It is new.
        let _ = capacity.limit.set(weak);
        let driven = Rc::clone(&capacity);
        tokio::task::spawn_local(async move {
            let end = std::future::poll_fn(|context| Pin::new(&mut *connection.borrow_mut()).poll(context)).await;
            drop(connection);
            driven.look();
            if let Err(error) = end {
                tracing::debug!(%error, "backend connection ended");
            }
        });
        waiters.until(|| capacity.is_told()).await;
        let channel = Self { sender, signs, capacity };
        if channel.is_open() {
            return Ok(channel);
        }
        let reason = "the connection ended before HTTP/2 began";
        Err(ServerFault::new(Failure::Broken, Doing::Connect, reason, "closed before HTTP/2 began"))
    }

    /// True if it takes requests.
    pub(in crate::backend) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.signs.is_lost()
    }

    /// A stream, if the limit allows one more.
    pub(in crate::backend) fn permit(&self) -> Option<Rc<StreamPermit>> {
        let open = self.capacity.open.get();
        if open >= self.capacity.allowed() {
            return None;
        }
        self.capacity.open.set(open + 1);
        self.capacity.unused.set(0);
        Some(Rc::new(StreamPermit(Rc::clone(&self.capacity))))
    }

    /// Looks in a row without an open stream, this one included.
    pub(super) fn unused(&self) -> u32 {
        let capacity = &self.capacity;
        capacity.unused.set(if capacity.open.get() == 0 { capacity.unused.get() + 1 } else { 0 });
        capacity.unused.get()
    }

    /// True at the first call: the end of a connection is one failure, however many streams it had.
    pub(in crate::backend) fn is_first_to_blame(&self) -> bool {
        !self.capacity.is_blamed.replace(true)
    }

    /// Sends a request and waits for the response head.
    ///
    /// # Errors
    /// The error. The request is put back if none of it was sent.
    pub(in crate::backend) async fn exchange(
        &mut self,
        request: &mut Option<Request<RequestBody>>,
        stream: &Rc<StreamPermit>,
        is_secure: bool,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let mut sent = request.take().unwrap_or_default();
        rewrite(&mut sent, is_secure);
        let sent = sent.map(|body| UploadBody { body, _stream: Rc::clone(stream) });
        self.sender.try_send_request(sent).await.map_err(|mut error: TrySendError<_>| {
            *request = error.take_message().map(|unsent| unsent.map(|sent| sent.body));
            error.into_error()
        })
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Rewrites an HTTP/1.1 request as HTTP/2 (RFC 9113 section 8.3.1). Idempotent.
fn rewrite(request: &mut Request<RequestBody>, is_secure: bool) {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Some(authority) = authority {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(if is_secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    // Trailers pass, and gRPC asks for this.
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
}

/// Kind of failure of an exchange. A server that resets one stream or breaks the protocol is there; an error of the
/// library before sending is not the server's.
pub(in crate::backend) fn failure_of(error: &hyper::Error) -> Failure {
    let connection_stands = error.is_user() || h2_error(error).is_some_and(|error| !error.is_io());
    match is_refused(error) {
        true => Failure::Overload,
        false if connection_stands => Failure::Malformed,
        false => Failure::Broken,
    }
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

/// True if the server did not process the request (RFC 9113 section 8.7).
pub(in crate::backend) fn is_refused(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote()
            && (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// Runs the tasks of a connection on this worker, and checks the stream limit after each poll.
#[derive(Clone)]
struct LocalExecutor(Rc<Capacity>);

impl<Task: Future + 'static> Executor<Task> for LocalExecutor {
    fn execute(&self, task: Task) {
        let capacity = Rc::clone(&self.0);
        tokio::task::spawn_local(async move {
            let mut task = pin!(task);
            std::future::poll_fn(|context| {
                let done = task.as_mut().poll(context).map(drop);
                capacity.look();
                done
            })
            .await;
        });
    }
}
