//! An HTTP/2 connection to a server: all requests of a worker share it.

use std::future::Future;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Failure;
use super::dial::{Wire, dial};
use super::io::{BackendIo, Signs};
use super::servers::Server;
use crate::stream::RequestBody;

/// How often a connection is asked for a sign of life while requests wait on it, and for how long.
const PING: std::time::Duration = std::time::Duration::from_secs(10);

/// A connection.
#[derive(Clone)]
pub(super) struct Channel {
    sender: SendRequest<RequestBody>,
    signs: Arc<Signs>,
}

impl Channel {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure::Connect`], [`Failure::Tls`] or [`Failure::Broken`].
    pub(super) async fn connect(server: &Server) -> Result<Self, Failure> {
        match dial(server, None).await? {
            Wire::Tcp(stream) => Self::speak(stream).await,
            Wire::Tls(stream) if stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
                tracing::warn!(server = &*server.standing.name, "this server does not speak HTTP/2");
                Err(Failure::Tls)
            }
            Wire::Tls(stream) => Self::speak(stream).await,
            Wire::Unix(stream) => Self::speak(stream).await,
        }
    }

    async fn speak<IO>(stream: IO) -> Result<Self, Failure>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(LocalExecutor);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let signs = Arc::<Signs>::default();
        let stream = TokioIo::new(BackendIo::new(stream, Arc::clone(&signs)));
        let (sender, connection) = builder.handshake(stream).await.map_err(|_| Failure::Broken)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "backend connection ended");
            }
        });
        Ok(Self { sender, signs })
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.signs.is_lost()
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    /// What went wrong, with the request where none of it was sent.
    pub(super) async fn exchange(
        &mut self,
        request: &mut Option<Request<RequestBody>>,
        is_secure: bool,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut request = request.take().unwrap_or_default();
        rewrite(&mut request, is_secure);
        self.sender.try_send_request(request).await
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

/// What it means that an exchange failed: a server that resets one stream, or says what no HTTP/2 is, is there.
pub(super) fn failure_of(error: &hyper::Error) -> Failure {
    let is_said = h2_error(error).is_some_and(|error| error.is_reset() || error.is_go_away());
    if is_said { Failure::Malformed } else { Failure::Broken }
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

/// Whether the server says that it has not looked at the request (RFC 9113 section 8.7).
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote()
            && (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// Runs what a connection needs as tasks of this worker.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<Task: Future + 'static> Executor<Task> for LocalExecutor {
    fn execute(&self, task: Task) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}
