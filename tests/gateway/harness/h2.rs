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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = Bytes::copy_from_slice(body);
    runtime.block_on(async move {
        let work = exchange(address, request, body, trailers);
        tokio::time::timeout(DEADLINE, work).await.expect("no HTTP/2 answer in time")
    })
}

async fn exchange(
    address: SocketAddr,
    request: Request<()>,
    body: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<Response<Vec<u8>>, h2::Error> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls(b"h2", None)));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the gateway does not offer HTTP/2");
    let (sender, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
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
    let mut received = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        received.extend_from_slice(&piece);
    }
    driver.abort();
    Ok(Response::from_parts(parts, received))
}
