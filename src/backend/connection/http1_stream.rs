//! Byte stream to a server whose HTTP/1.1 is not as the HTTP library writes and reads it: header names of requests are
//! spelled, and heads of responses mended, on the way. Servers without such options are spoken to without it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Method, Request};
use hyper::client::conn::http1::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::BackendStream;
use super::request_names::RequestNames;
use super::response_head::{HeadEnd, ResponseHead};
use crate::backend::endpoints::endpoint_status::EndpointStatus;
use crate::backend::endpoints::http_options::{HttpOptions, ResponseFault};
use crate::backend::endpoints::servers::Server;

/// Read buffer limit of one connection, in bytes, unless a longer head is allowed.
const MAX_BUFFER: usize = 64 * 1024;

/// The HTTP library's settings for HTTP/1.1 with these options.
pub(in crate::backend) fn builder(options: &HttpOptions) -> Builder {
    let mut builder = Builder::new();
    // A proxy takes a blank between name and colon away (RFC 9112 section 5.1).
    builder.max_buf_size(MAX_BUFFER.max(options.max_response_head)).allow_spaces_after_header_name_in_responses(true);
    // The buffer alone bounds it roughly: a single read may bring more.
    if options.max_response_head != MAX_BUFFER {
        builder.max_header_size(options.max_response_head);
    }
    // Unless it is set, there is room for them without an allocation.
    if options.max_response_fields != HttpOptions::default().max_response_fields {
        builder.max_headers(options.max_response_fields);
    }
    builder.title_case_headers(options.title_case);
    builder
}

/// Exchanges of a connection, shared with its stream.
#[derive(Debug, Default)]
pub(in crate::backend) struct Exchanges {
    begun: AtomicU64,
    is_head: AtomicBool,
    /// Request id of the present one, for the log.
    request_id: Mutex<Option<HeaderValue>>,
}

impl Exchanges {
    /// Begins one: the next bytes sent after the message before are the head of this request, and the next ones
    /// received the head of its response.
    pub(in crate::backend) fn begin<B>(&self, request: &Request<B>) {
        let request_id = request.headers().get("x-request-id").cloned();
        *self.request_id.lock().unwrap_or_else(PoisonError::into_inner) = request_id;
        self.is_head.store(request.method() == Method::HEAD, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Release);
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    fn request_id(&self) -> String {
        let id = self.request_id.lock().unwrap_or_else(PoisonError::into_inner);
        id.as_ref().map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()).unwrap_or_default()
    }
}

/// Connection of any kind.
trait AnyStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> AnyStream for IO {}

/// Byte stream to a server with such options.
pub(in crate::backend) struct Http1Stream {
    io: Box<dyn AnyStream>,
    exchanges: Arc<Exchanges>,
    requests: Option<Requests>,
    responses: Responses,
}

/// What is sent.
struct Requests {
    names: RequestNames,
    /// Taken, and not sent yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
}

/// What is received.
struct Responses {
    options: Arc<HttpOptions>,
    server: Arc<EndpointStatus>,
    /// Exchanges whose response heads are complete, or given up.
    answered: u64,
    /// Head that is still arriving.
    head: Vec<u8>,
    end: HeadEnd,
    /// Ready to be read, from `given` on.
    ready: Vec<u8>,
    given: usize,
    /// Error that follows what is ready.
    error: Option<io::Error>,
    /// True if only the end of the connection ends the present body.
    ends_by_close: bool,
}

impl Http1Stream {
    pub(in crate::backend) fn new(stream: BackendStream, server: &Server, exchanges: &Arc<Exchanges>) -> Self {
        let io: Box<dyn AnyStream> = match stream {
            BackendStream::Tcp(stream) => Box::new(stream),
            BackendStream::Tls(stream) => stream,
            BackendStream::Unix(stream) => Box::new(stream),
        };
        Self::over(io, &server.http, &server.standing, exchanges)
    }

    fn over(
        io: Box<dyn AnyStream>,
        options: &Arc<HttpOptions>,
        server: &Arc<EndpointStatus>,
        exchanges: &Arc<Exchanges>,
    ) -> Self {
        let names = (!options.header_names.is_empty()).then(|| RequestNames::new(Arc::clone(options)));
        Self {
            io,
            exchanges: Arc::clone(exchanges),
            requests: names.map(|names| Requests { names, unsent: Vec::new(), sent: 0 }),
            responses: Responses {
                options: Arc::clone(options),
                server: Arc::clone(server),
                // No head is looked at where none is mended.
                answered: if options.tolerated.is_empty() { u64::MAX } else { 0 },
                head: Vec::new(),
                end: HeadEnd::default(),
                ready: Vec::new(),
                given: 0,
                error: None,
                ends_by_close: false,
            },
        }
    }

    /// Sends what was taken before.
    fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(requests) = &mut self.requests else { return Poll::Ready(Ok(())) };
        while requests.sent < requests.unsent.len() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &requests.unsent[requests.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            requests.sent += written;
        }
        requests.unsent.clear();
        requests.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl Responses {
    /// Takes bytes of a head; once it is complete, all of them are ready.
    fn take(&mut self, bytes: &[u8], exchanges: &Exchanges) {
        self.head.extend_from_slice(bytes);
        while let Some(length) = self.end.find(&self.head) {
            let rest = self.head.split_off(length);
            let head = ResponseHead::mend(&self.head, &self.options);
            self.head = rest;
            self.end = HeadEnd::default();
            self.ready.extend_from_slice(&head.bytes);
            for (fault, what) in &head.faults {
                self.server.note_tolerated(*fault, what, &exchanges.request_id());
            }
            let is_interim = (100..200).contains(&head.status) && head.status != 101;
            if !is_interim {
                let has_body = !matches!(head.status, 101 | 204 | 304) && !exchanges.is_head.load(Ordering::Relaxed);
                self.ends_by_close = has_body && head.has_no_framing;
                return self.give_up(exchanges);
            }
        }
        if self.head.len() > self.options.max_response_head {
            self.give_up(exchanges);
        }
    }

    /// Lets all pass until the next exchange.
    fn give_up(&mut self, exchanges: &Exchanges) {
        self.answered = exchanges.begun();
        self.ready.append(&mut self.head);
        self.end = HeadEnd::default();
    }

    /// Forgives the end of TLS without close_notify where the body has no other end.
    fn forgiven(&self, read: io::Result<()>, exchanges: &Exchanges) -> io::Result<()> {
        let fault = ResponseFault::MissingCloseNotify;
        match read {
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && self.ends_by_close
                    && self.options.tolerates(fault) =>
            {
                self.server.note_tolerated(fault, "end of a body", &exchanges.request_id());
                Ok(())
            }
            read => read,
        }
    }
}

impl AsyncRead for Http1Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, exchanges, responses, .. } = self.get_mut();
        loop {
            if responses.given < responses.ready.len() {
                let left = &responses.ready[responses.given..];
                let piece = &left[..left.len().min(buffer.remaining())];
                buffer.put_slice(piece);
                responses.given += piece.len();
                if responses.given == responses.ready.len() {
                    responses.ready.clear();
                    responses.given = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = responses.error.take() {
                return Poll::Ready(Err(error));
            }
            if exchanges.begun() <= responses.answered {
                let read = ready!(Pin::new(&mut *io).poll_read(context, buffer));
                return Poll::Ready(responses.forgiven(read, exchanges));
            }
            let mut space = [0; 8 * 1024];
            let mut piece = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut *io).poll_read(context, &mut piece));
            responses.ends_by_close = false;
            if read.is_ok() && !piece.filled().is_empty() {
                responses.take(piece.filled(), exchanges);
                continue;
            }
            // What came of a head goes before its early end.
            responses.error = read.err();
            responses.give_up(exchanges);
            if responses.ready.is_empty() && responses.error.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Http1Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        let begun = this.exchanges.begun();
        let Some(requests) = this.requests.as_mut().filter(|requests| !requests.names.lets_pass(bytes.len(), begun))
        else {
            let written = ready!(Pin::new(&mut this.io).poll_write(context, bytes))?;
            if let Some(requests) = &mut this.requests {
                requests.names.passed(written);
            }
            return Poll::Ready(Ok(written));
        };
        requests.names.take(bytes, begun, &mut requests.unsent);
        // What does not go out now goes with the next write or flush.
        if let Poll::Ready(Err(error)) = this.poll_unsent(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.requests.is_none() {
            return Pin::new(&mut self.get_mut().io).poll_write_vectored(context, pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| &**piece);
        self.poll_write(context, first)
    }

    fn is_write_vectored(&self) -> bool {
        // Otherwise head and body come in one piece, and go out in one.
        self.requests.is_none() && self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        Pin::new(&mut this.io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn stream(options: HttpOptions) -> (Http1Stream, DuplexStream, Arc<Exchanges>) {
        let (near, far) = duplex(64);
        let exchanges = Arc::<Exchanges>::default();
        let status = Arc::new(EndpointStatus::new("legacy".into(), "127.0.0.1:1".to_owned()));
        (Http1Stream::over(Box::new(near), &Arc::new(options), &status, &exchanges), far, exchanges)
    }

    fn folded() -> HttpOptions {
        HttpOptions { tolerated: vec![ResponseFault::FoldedField], ..HttpOptions::default() }
    }

    async fn read(io: &mut Http1Stream, count: usize) -> String {
        let mut bytes = vec![0; count];
        io.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn the_head_of_each_response_is_mended_and_no_byte_after_it() {
        let (mut io, mut far, exchanges) = stream(folded());
        const HEAD: &str = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n";
        const MENDED: &str = "HTTP/1.1 200 OK\r\nA: b c\r\n\r\n";
        let sent = format!("HTTP/1.1 100 Continue\r\nX: y\r\n z\r\n\r\n{HEAD}{HEAD}");
        let wanted = format!("HTTP/1.1 100 Continue\r\nX: y z\r\n\r\n{MENDED}{HEAD}");
        for _ in 0..2 {
            exchanges.begin(&Request::new(()));
            // In pieces of a byte.
            let write = async {
                for byte in sent.bytes() {
                    far.write_all(&[byte]).await.unwrap()
                }
            };
            let (_, received) = tokio::join!(write, read(&mut io, wanted.len()));
            assert_eq!(received, wanted);
        }
    }

    #[tokio::test]
    async fn a_head_that_breaks_off_or_is_too_large_is_left_to_the_library() {
        let (mut io, far, exchanges) = stream(HttpOptions { max_response_head: 30, ..folded() });
        exchanges.begin(&Request::new(()));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n b\r\n\r\n", "a".repeat(200));
        let (mut far, sent) = (far, long.clone());
        let writer = tokio::spawn(async move {
            far.write_all(sent.as_bytes()).await.unwrap();
            far
        });
        assert_eq!(read(&mut io, long.len()).await, long);
        let mut far = writer.await.unwrap();
        exchanges.begin(&Request::new(()));
        far.write_all(b"HTTP/1.1 200 OK\r\nA:").await.unwrap();
        drop(far);
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "HTTP/1.1 200 OK\r\nA:");
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_at_once_is_sent_by_the_flush() {
        let names = HttpOptions { header_names: vec!["SOAPAction".to_owned()], ..HttpOptions::default() };
        let (mut io, mut far, exchanges) = stream(names);
        exchanges.begin(&Request::new(()));
        let head = format!("GET / HTTP/1.1\r\nsoapaction: {}\r\n\r\n", "x".repeat(500));
        let write = async {
            io.write_all(head.as_bytes()).await.unwrap();
            io.flush().await.unwrap();
        };
        let mut sent = vec![0; head.len()];
        let (_, received) = tokio::join!(write, far.read_exact(&mut sent));
        received.unwrap();
        assert_eq!(String::from_utf8(sent).unwrap(), head.replace("soapaction", "SOAPAction"));
    }
}
