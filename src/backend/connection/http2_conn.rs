//! An HTTP/2 connection to a server: the requests of a worker share it.

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

use super::dial::{Wire, dial};
use super::empty_data::WithoutEmptyData;
use super::half_close::{BackendIo, Signs};
use super::stream_waiters::Waiters;
use crate::backend::Failure;
use crate::backend::endpoints::servers::Server;
use crate::backend::fault::{Causes, Doing, Fault};
use crate::body_stream::{Broken, RequestBody};

/// How often a connection is asked for a sign of life while requests wait on it, and for how long.
const PING: std::time::Duration = std::time::Duration::from_secs(10);

/// How much of an answer that is not read is taken.
const STREAM_WINDOW: u32 = 256 * 1024;

/// All that there can be (RFC 9113 section 6.9.1): each stream has its own window, and those whose answers are not read
/// take nothing from the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Bounds the head of an answer, as by HTTP/1.1.
const MAX_BUFFER: u32 = 64 * 1024;

/// Stands for a limit of streams that the server has not told yet.
const UNTOLD: usize = usize::MAX - 1;

/// A connection.
#[derive(Clone)]
pub(in crate::backend) struct Channel {
    sender: SendRequest<UploadBody>,
    signs: Arc<Signs>,
    capacity: Rc<Capacity>,
}

/// The streams of a connection.
struct Capacity {
    /// How many are open, or about to be.
    open: Cell<usize>,
    /// How many the server allowed when it was last looked.
    allowed: Cell<usize>,
    limit: OnceCell<Weak<dyn Limit>>,
    waiters: Rc<Waiters>,
    /// For how many looks none was open.
    unused: Cell<u32>,
    /// Whether its end has been counted as a failure of the server.
    is_blamed: Cell<bool>,
}

/// A stream of a connection, counted until this is dropped.
pub(in crate::backend) struct StreamPermit(Rc<Capacity>);

/// The body of a request, which holds its stream too.
pub(super) struct UploadBody {
    body: RequestBody,
    _stream: Rc<StreamPermit>,
}

/// A connection that knows how many streams its server allows.
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
    /// How many streams the server allows now (SETTINGS_MAX_CONCURRENT_STREAMS); none once the connection has ended.
    fn allowed(&self) -> usize {
        let limit = self.limit.get().and_then(Weak::upgrade);
        limit.map_or(0, |limit| limit.limit())
    }

    fn is_told(&self) -> bool {
        self.allowed.get() != UNTOLD
    }

    /// Tells whoever waits where there has become more.
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

impl Channel {
    /// Connects within this time, and waits for the server's first word: it says how many streams it allows (RFC 9113
    /// section 3.4).
    ///
    /// # Errors
    /// [`Failure::Connect`], [`Failure::Tls`] or [`Failure::Broken`].
    pub(super) async fn connect(server: &Server, waiters: &Rc<Waiters>, until: Instant) -> Result<Self, Fault> {
        let wire = dial(server, None, until).await?;
        let spoken = async {
            match wire {
                Wire::Tcp(stream) => Self::speak(stream, waiters).await,
                Wire::Tls(stream) if stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
                    Err(Fault::new(Failure::Tls, Doing::Tls, "this server does not speak HTTP/2 (no ALPN h2)"))
                }
                Wire::Tls(stream) => Self::speak(stream, waiters).await,
                Wire::Unix(stream) => Self::speak(stream, waiters).await,
            }
        };
        let silent =
            || Err(Fault::new(Failure::Connect, Doing::Connect, "no HTTP/2 SETTINGS in time (connect_timeout)"));
        timeout_at(until, spoken).await.unwrap_or_else(|_| silent())
    }

    /// Starts HTTP/2 on a new connection.
    pub(super) async fn speak<IO>(stream: IO, waiters: &Rc<Waiters>) -> Result<Self, Fault>
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
            .max_header_list_size(MAX_BUFFER)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let signs = Arc::<Signs>::default();
        let stream = TokioIo::new(BackendIo::new(WithoutEmptyData::new(stream), Arc::clone(&signs)));
        let broken = |reason: &dyn std::fmt::Display| Fault::new(Failure::Broken, Doing::Connect, reason);
        let handshake = builder.handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| broken(&Causes(&error)))?;
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
        if channel.is_open() { Ok(channel) } else { Err(broken(&"the connection ended before HTTP/2 began")) }
    }

    /// Whether it takes requests.
    pub(in crate::backend) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.signs.is_lost()
    }

    /// A stream, where the server allows one more.
    pub(in crate::backend) fn permit(&self) -> Option<Rc<StreamPermit>> {
        let open = self.capacity.open.get();
        if open >= self.capacity.allowed() {
            return None;
        }
        self.capacity.open.set(open + 1);
        self.capacity.unused.set(0);
        Some(Rc::new(StreamPermit(Rc::clone(&self.capacity))))
    }

    /// For how many looks, this one included, no stream was open.
    pub(super) fn unused(&self) -> u32 {
        let capacity = &self.capacity;
        capacity.unused.set(if capacity.open.get() == 0 { capacity.unused.get() + 1 } else { 0 });
        capacity.unused.get()
    }

    /// Whether this is the first time that it is asked: one end of a connection is one failure, however many streams it had.
    pub(in crate::backend) fn is_first_to_blame(&self) -> bool {
        !self.capacity.is_blamed.replace(true)
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    /// What went wrong. The request is given back where none of it was sent.
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

/// Says in HTTP/2 what was said in HTTP/1.1 (RFC 9113 section 8.3.1). Twice does no harm.
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

/// What it means that an exchange failed: a server that resets one stream, or says what no HTTP/2 is, is there; and what the
/// library does not send is not its fault.
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

/// Whether the server says that it has not looked at the request (RFC 9113 section 8.7).
pub(in crate::backend) fn is_refused(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote()
            && (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// Runs what a connection needs as tasks of this worker, and looks after each turn whether there is room for more.
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
