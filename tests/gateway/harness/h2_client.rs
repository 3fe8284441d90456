//! A caller that speaks HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;

use super::DEADLINE;
use super::client::tls;

/// Sends one request on a connection of its own; an error is a reset stream or connection.
pub(crate) fn send(
    address: SocketAddr,
    request: Request<()>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Result<Response<Vec<u8>>, h2::Error> {
    within_deadline(exchange(address, request, Bytes::copy_from_slice(body), trailers))
}

fn within_deadline<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, work).await.expect("no HTTP/2 answer in time") })
}

async fn connected(
    address: SocketAddr,
) -> Result<(h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>), h2::Error> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls(b"h2", None)));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the gateway does not offer HTTP/2");
    let (sender, connection) = h2::client::handshake(stream).await?;
    Ok((sender, tokio::spawn(connection)))
}

/// The pieces of the answer to a GET, as they come; after the first, something is done.
pub(crate) fn pieces(address: SocketAddr, url: &str, then: impl FnOnce()) -> Result<Vec<Vec<u8>>, h2::Error> {
    let request = Request::get(url).body(()).unwrap();
    within_deadline(async move {
        let (sender, driver) = connected(address).await?;
        let (response, _stream) = sender.ready().await?.send_request(request, true)?;
        let mut incoming = response.await?.into_body();
        let (mut pieces, mut then) = (Vec::new(), Some(then));
        while let Some(piece) = incoming.data().await {
            let piece = piece?;
            incoming.flow_control().release_capacity(piece.len())?;
            if !piece.is_empty() {
                pieces.push(piece.to_vec());
            }
            if let Some(then) = then.take() {
                then();
            }
        }
        driver.abort();
        Ok(pieces)
    })
}

async fn receive_all(incoming: &mut h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut received = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        received.extend_from_slice(&piece);
    }
    Ok(received)
}

async fn exchange(
    address: SocketAddr,
    request: Request<()>,
    body: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<Response<Vec<u8>>, h2::Error> {
    let (sender, driver) = connected(address).await?;
    let mut sender = sender.ready().await?;
    let end = body.is_empty() && trailers.is_none();
    let (response, mut stream) = sender.send_request(request, end)?;
    if !body.is_empty() {
        stream.send_data(body, trailers.is_none())?;
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers)?;
    }
    let (parts, mut incoming) = response.await?.into_parts();
    let received = receive_all(&mut incoming).await?;
    let mut response = Response::from_parts(parts, received);
    if let Some(trailers) = incoming.trailers().await? {
        response.extensions_mut().insert(trailers);
    }
    driver.abort();
    Ok(response)
}

/// Opens a WebSocket (RFC 8441), sends this and ends its direction: the answer, with all that comes back.
pub(crate) fn websocket(
    address: SocketAddr,
    request: http::request::Builder,
    bytes: &[u8],
) -> Result<Response<Vec<u8>>, h2::Error> {
    let bytes = Bytes::copy_from_slice(bytes);
    within_deadline(async move {
        let (response, stream, driver) = extended_connect(address, request, "websocket").await?;
        let (parts, mut incoming) = response.await?.into_parts();
        assert_eq!(parts.status, 200, "{:?}", parts.headers);
        let sending = tokio::spawn(send_all(stream, bytes));
        let received = receive_all(&mut incoming).await?;
        sending.await.unwrap()?;
        driver.abort();
        Ok(Response::from_parts(parts, received))
    })
}

/// The status of the answer to an extended CONNECT.
pub(crate) fn connect(address: SocketAddr, request: http::request::Builder, protocol: &str) -> Result<u16, h2::Error> {
    within_deadline(async move {
        let (response, _stream, driver) = extended_connect(address, request, protocol).await?;
        let status = response.await?.status().as_u16();
        driver.abort();
        Ok(status)
    })
}

async fn extended_connect(
    address: SocketAddr,
    request: http::request::Builder,
    protocol: &str,
) -> Result<
    (h2::client::ResponseFuture, h2::SendStream<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>),
    h2::Error,
> {
    let (sender, driver) = connected(address).await?;
    let mut sender = sender.ready().await?;
    // The gateway says in its first frame whether it has them.
    for _ in 0..200 {
        if sender.is_extended_connect_protocol_enabled() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let request = request.method("CONNECT").extension(h2::ext::Protocol::from(protocol)).body(()).unwrap();
    let (response, stream) = sender.send_request(request, false)?;
    Ok((response, stream, driver))
}

async fn send_all(mut stream: h2::SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let room = room.unwrap_or(Ok(0))?.min(bytes.len());
        stream.send_data(bytes.split_to(room), false)?;
    }
    stream.send_data(Bytes::new(), true)
}
