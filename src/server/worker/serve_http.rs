//! HTTP/1.1 and HTTP/2 on a connection that is ready for it; returns the reason for its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::Floor;
use super::parked::parked;
use crate::body_stream::{ArrivingBody, H2Body};
use crate::gateway::connection::Connection;
use crate::gateway::connection::drain::Drain;
use crate::gateway::websocket::caller_stream::AwaitedStream;
use crate::gateway::websocket::tunnel::Tunnel;
use crate::gateway::{Answer, Gateway};
use crate::server::connection::client_io::ClientIo;
use crate::server::connection::deadlines::{LEAVES, PARKS, watched};
use crate::server::connection::h2_streams::{Connect, answered, send};
use crate::server::connection::half_close::HalfClose;
use crate::server::upgrade::connection_handoff::{self, Leaving};
use crate::server::{Listener, Phase};

pub(super) async fn serve_http1<Stream: Leaving + HalfClose>(
    mut stream: Box<Stream>,
    connection: Rc<Connection>,
    listener: &Listener,
    floor: &Floor,
    mut phase: watch::Receiver<Phase>,
) -> &'static str {
    let gateway = &floor.gateway;
    let limits = &connection.limits;
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(limits.head).max_buf_size(limits.head.max(8 * 1024) + 32 * 1024);
    if limits.fields > 100 {
        // More than the parser's default costs an allocation for each request.
        builder.max_headers(limits.fields);
    }
    let (ended, serving) = loop {
        let wire = ClientIo::http1(stream, Rc::clone(&connection), Rc::clone(gateway));
        let service = answering(gateway, &connection);
        let mut serving = builder.serve_connection(TokioIo::new(wire), service);
        let turn = Pin::new(&mut serving);
        let ended = watched(turn, |serving| serving.graceful_shutdown(), &connection, phase.clone(), gateway).await;
        if ended != PARKS {
            break (ended, serving);
        }
        // An idle connection has read nothing ahead, and owes nothing.
        stream = serving.into_parts().io.into_inner().into_stream();
        parked(&*stream, &connection, &mut phase, gateway.worker_metrics()).await;
    };
    if ended == LEAVES {
        let parts = serving.into_parts();
        // Whatever was read of a next request is still seen as such, so nothing was.
        if parts.read_buf.is_empty() {
            let stream = *parts.io.into_inner().into_stream();
            connection_handoff::depart(stream, &connection, listener, &floor.departures).await;
        }
        return ended;
    }
    if !matches!(ended, "caller" | "closed") && connection.is_answering() && !connection.takes_interim() {
        // Without chunks a caller of HTTP/1.0 would take the end of what breaks off for that of the response.
        serving.into_parts().io.into_inner().into_stream().end_by_reset();
        return ended;
    }
    match Tunnel::of(&connection) {
        Some(tunnel) if matches!(ended, "caller" | "closed") => {
            let parts = serving.into_parts();
            Box::pin(tunnel.run(parts.io.into_inner().into_stream(), parts.read_buf)).await;
            "websocket"
        }
        _ => ended,
    }
}

pub(super) async fn serve_http2<Stream>(
    stream: Box<Stream>,
    connection: Rc<Connection>,
    listener: &Listener,
    floor: &Floor,
    phase: watch::Receiver<Phase>,
) -> &'static str
where
    Stream: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (gateway, limits) = (&floor.gateway, &connection.limits);
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        // A client library that gives up many calls at once resets them before they are accepted; floods of it are counted.
        .max_pending_accept_reset_streams(limits.streams.max(20) as usize)
        .max_send_buffer_size(64 * 1024);
    if gateway.has_websockets() {
        builder.enable_connect_protocol();
    }
    let wire = ClientIo::http2(stream, Rc::clone(&connection));
    let serving = async {
        let mut requests = builder.handshake(wire).await?;
        while let Some(arrived) = requests.accept().await {
            let (request, respond) = arrived?;
            begin(gateway, &connection, request, respond);
        }
        Ok::<(), h2::Error>(())
    };
    let ended = watched(pin!(serving), |_| connection.set_drain(Drain::Close), &connection, phase, gateway).await;
    // No request, so no line of the access log, as bytes that are not HTTP/1.1 have.
    if matches!(ended, "malformed" | "flood")
        && let Some(left_out) = listener.broken.allow()
    {
        let ip = connection.source().address;
        tracing::info!(%ip, reason = ended, left_out, "HTTP/2 connection closed for a protocol error or flood");
    }
    ended
}

/// Begins the task of an HTTP/2 stream. Dropped, it resets its stream.
fn begin(
    gateway: &Rc<Gateway>,
    connection: &Rc<Connection>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (gateway, connection) = (Rc::clone(gateway), Rc::clone(connection));
    let (mut head, received) = request.into_parts();
    let is_connect = head.method == Method::CONNECT;
    let announced = content_length(&head.headers, &received);
    if is_connect && announced.is_some_and(|length| length > 0) {
        return respond.send_reset(Reason::PROTOCOL_ERROR);
    }
    let (body, connect) = if is_connect {
        let (stream, awaited) = AwaitedStream::new();
        head.extensions.insert(awaited);
        (ArrivingBody::none(connection.discard()), Some(Connect { received, stream }))
    } else {
        let body = H2Body::new(received, announced);
        (ArrivingBody::http2(body, connection.discard(), &connection.arriving), None)
    };
    let request = Box::new(Request::from_parts(head, body));
    // Boxed, as the future would be moved several times before it is a task.
    tokio::task::spawn_local(Box::pin(async move {
        let pause = connection.limits.body_idle_timeout;
        let answer = {
            let answering = pin!(gateway.handle(connection, request));
            answered(answering, &mut respond).await
        };
        if let Some(answer) = answer {
            send(answer, respond, connect, pause).await;
        }
    }));
}

/// `Content-Length` of a request with a body, which the library holds the frames to.
fn content_length(headers: &HeaderMap, received: &RecvStream) -> Option<u64> {
    if received.is_end_stream() {
        return None;
    }
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (Some(length), None) => length.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Service that passes requests of an HTTP/1.1 connection to the gateway.
fn answering(
    gateway: &Rc<Gateway>,
    connection: &Rc<Connection>,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: 'static> + use<> {
    let (gateway, connection) = (Rc::clone(gateway), Rc::clone(connection));
    service_fn(move |request| {
        let (gateway, connection) = (Rc::clone(&gateway), Rc::clone(&connection));
        let request =
            Box::new(request.map(|body| ArrivingBody::http1(body, connection.discard(), &connection.arriving)));
        async move { Ok(gateway.handle(connection, request).await) }
    })
}
