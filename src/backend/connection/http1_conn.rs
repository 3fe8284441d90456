//! HTTP/1.1 connection to a server, driven by the request that uses it.
//!
//! The HTTP library gives a handle and a future that moves the bytes and usually runs as its own task. Here the request
//! that has the connection polls that future itself, so that an exchange costs no task switch.

use std::error::Error as _;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::causes::Causes;
use super::dial::{BackendStream, dial};
use super::half_close::{BackendIo, Signs};
use super::http1_stream::{Exchanges, Http1Stream, builder};
use crate::backend::Failure;
use crate::backend::endpoints::connection_limit::ConnectionPermit;
use crate::backend::endpoints::servers::Server;
use crate::backend::fault::{Doing, ServerFault};
use crate::body_stream::{Progress, RequestBody};

/// HTTP/1.1 connection.
pub(in crate::backend) struct Http1Connection {
    sender: SendRequest<RequestBody>,
    driver: Driver,
    signs: Arc<Signs>,
    /// Where bytes are changed on their way.
    exchanges: Option<Arc<Exchanges>>,
}

/// Driver of a connection: it moves the bytes.
enum Driver {
    /// Driven by whoever polls the connection.
    Here(Pin<Box<dyn Future<Output = ()>>>),
    /// Driven by a task of its own.
    Task(Option<Rest>),
    /// The connection has ended.
    Over,
}

/// Rest of an upload that goes on after its response has begun; ended on drop.
struct Rest {
    progress: Rc<Progress>,
    /// Bytes that had arrived at the last look.
    known: u64,
    task: AbortHandle,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http1Connection {
    /// Connects until `until`; `caller` goes into the PROXY protocol header. The connection holds `permit`, where there is
    /// a limit.
    ///
    /// # Errors
    /// [`Failure::Connect`], [`Failure::Tls`] or [`Failure::Broken`].
    pub(in crate::backend) async fn connect(
        server: &Server,
        caller: Option<IpAddr>,
        permit: Option<ConnectionPermit>,
        until: Instant,
    ) -> Result<Self, ServerFault> {
        let stream = dial(server, caller, until).await?;
        if server.http.need_a_filter() {
            let exchanges = Arc::<Exchanges>::default();
            let stream = Http1Stream::new(stream, server, &exchanges);
            let mut connection = Self::speak(stream, server, permit).await?;
            connection.exchanges = Some(exchanges);
            return Ok(connection);
        }
        match stream {
            BackendStream::Tcp(stream) => Self::speak(stream, server, permit).await,
            BackendStream::Tls(stream) => Self::speak(stream, server, permit).await,
            BackendStream::Unix(stream) => Self::speak(stream, server, permit).await,
        }
    }

    /// Starts HTTP/1.1 on a new connection.
    async fn speak<IO>(stream: IO, server: &Server, permit: Option<ConnectionPermit>) -> Result<Self, ServerFault>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let signs = Arc::new(Signs::holding(permit));
        let stream = TokioIo::new(BackendIo::new(stream, Arc::clone(&signs)));
        let handshake = builder(&server.http).handshake(stream).await;
        let (sender, connection) =
            handshake.map_err(|error| Causes::new(&error, &server.http).fault(Failure::Broken, Doing::Connect))?;
        let (standing, seen) = (Arc::clone(&server.standing), Arc::clone(&signs));
        let driver = Box::pin(async move {
            if let Err(error) = connection.with_upgrades().await {
                if is_excess(&error) {
                    seen.note_excess();
                    standing.note_excess();
                }
                tracing::debug!(%error, "backend connection ended");
            }
        });
        Ok(Self { sender, driver: Driver::Here(driver), signs, exchanges: None })
    }

    /// Sends a request and waits for the response head.
    ///
    /// # Errors
    /// The error, with the request if none of it was sent.
    pub(in crate::backend) async fn exchange(
        &mut self,
        request: &mut Option<Request<RequestBody>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.signs.clear_heard();
        if let (Some(exchanges), Some(request)) = (&self.exchanges, &request) {
            exchanges.begin(request);
        }
        let upload = request.as_ref().and_then(|request| request.body().progress().cloned());
        let mut answer = pin!(self.sender.try_send_request(request.take().unwrap_or_default()));
        let mut is_sent = false;
        let response = std::future::poll_fn(|context| {
            if !is_sent && !matches!(self.driver, Driver::Task(_)) {
                is_sent = true;
                self.driver.poll(context);
                return quietly(|context| answer.as_mut().poll(context));
            }
            self.driver.poll_until(context, |context| answer.as_mut().poll(context))
        });
        let response = response.await?;
        // The rest of an upload must not have to wait until somebody asks for more of the response, nor a connection that
        // has changed its protocol.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.driver.detach(None);
        } else if let Some(upload) = upload.filter(|upload| !upload.is_over()) {
            self.driver.detach(Some(upload));
        }
        Ok(response)
    }

    /// Counts a request; returns how many there are with it.
    pub(in crate::backend) fn begin(&self) -> u32 {
        self.signs.count_request()
    }

    /// Requests so far.
    pub(in crate::backend) fn served(&self) -> u32 {
        self.signs.requests()
    }

    /// True if `max_connections` counts it.
    pub(in crate::backend) fn is_counted(&self) -> bool {
        self.signs.is_counted()
    }

    /// Kind of failure of the last exchange: malformed if the server had sent anything.
    pub(in crate::backend) fn failure(&self) -> Failure {
        if self.signs.has_heard() { Failure::Malformed } else { Failure::Broken }
    }

    /// Drives the connection until `wanted` is ready.
    pub(in crate::backend) fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll_until(context, wanted)
    }

    /// Drives the connection once, without waking anybody later.
    pub(in crate::backend) fn settle(&mut self) {
        self.driver.settle();
    }

    /// True if the rest of an upload has moved since the last call, or waits for its caller.
    pub(in crate::backend) fn is_uploading(&mut self) -> bool {
        match &mut self.driver {
            Driver::Task(Some(rest)) => rest.progress.goes_on(&mut rest.known) && !rest.progress.is_over(),
            _ => false,
        }
    }

    /// True if it has ended because bytes came after the end of an answer.
    pub(in crate::backend) fn has_excess(&self) -> bool {
        self.signs.has_excess()
    }

    /// True if it can take a request now.
    pub(in crate::backend) fn is_ready(&self) -> bool {
        !self.is_closed() && self.sender.is_ready()
    }

    /// True if it has ended.
    pub(in crate::backend) fn is_closed(&self) -> bool {
        matches!(self.driver, Driver::Over) || self.sender.is_closed() || self.signs.is_lost()
    }
}

/// True if bytes after the end of an answer have ended the connection. The library says so by its text only.
pub(in crate::backend) fn is_excess(error: &hyper::Error) -> bool {
    let is_it = |error: &hyper::Error| error.to_string() == "received unexpected message from connection";
    // A request that was handed over before they were seen is canceled for that reason.
    is_it(error) || error.source().and_then(|cause| cause.downcast_ref()).is_some_and(is_it)
}

impl Driver {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Here(connection) = self
            && connection.as_mut().poll(context).is_ready()
        {
            *self = Self::Over;
        }
    }

    fn settle(&mut self) {
        let _ = quietly(|context| {
            self.poll(context);
            Poll::Ready(())
        });
    }

    /// Polls the connection, then `wanted`. What becomes ready during that poll needs no wake-up, so `wanted` is polled
    /// without a waker first; only if it is not ready does the connection learn whom to wake.
    fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if matches!(self, Self::Task(_)) {
            return wanted(context);
        }
        if let Poll::Ready(found) = quietly(&mut wanted) {
            return Poll::Ready(found);
        }
        self.settle();
        if let Poll::Ready(found) = quietly(&mut wanted) {
            return Poll::Ready(found);
        }
        self.poll(context);
        quietly(wanted)
    }

    /// Moves the connection to a task of its own: for the rest of an upload, or until its end.
    fn detach(&mut self, upload: Option<Rc<Progress>>) {
        if let Self::Here(_) = self
            && let Self::Here(connection) = std::mem::replace(self, Self::Task(None))
        {
            let task = tokio::task::spawn_local(connection).abort_handle();
            *self = Self::Task(upload.map(|progress| Rest { progress, known: 0, task }));
        }
    }
}

/// Polls without a waker, and so without the runtime's coop budget: whoever has used it up would wait for a wake-up.
fn quietly<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    pin!(unconstrained(std::future::poll_fn(poll))).poll(&mut Context::from_waker(Waker::noop()))
}
