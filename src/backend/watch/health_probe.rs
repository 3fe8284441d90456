//! Active health checks: requests each server in intervals; an unhealthy one gets no traffic.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backend::connection::causes::Causes;
use crate::backend::connection::dial::{BackendStream, dial};
use crate::backend::connection::http1_stream::{Exchanges, Http1Stream, builder};
use crate::backend::endpoints::health_check::HealthCheck;
use crate::backend::endpoints::servers::{Server, ServerLocation, Servers};

/// Checks all servers now and after each interval, for as long as they are held.
pub(super) async fn keep_checking(servers: Weak<Servers>, health: HealthCheck) {
    loop {
        let Some(present) = servers.upgrade().map(|servers| servers.present()) else { return };
        let mut checks = JoinSet::new();
        for server in &present.servers {
            let (server, health) = (Arc::clone(server), health.clone());
            checks.spawn(async move {
                let asked = tokio::time::timeout(health.timeout, ask(&server, &health)).await;
                let outcome = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                (server, outcome)
            });
        }
        drop(present);
        while let Some(checked) = checks.join_next().await {
            let (Ok((server, outcome)), Some(servers)) = (checked, servers.upgrade()) else { return };
            servers.checked(&server, &health, outcome);
        }
        tokio::time::sleep(health.interval).await;
    }
}

/// Longest connect of a single trial.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to a server, and makes one health check where configured. Returns the reason why it cannot be used.
pub(super) async fn try_server(server: &Server, health: Option<&HealthCheck>) -> Result<(), String> {
    let connected = match &server.place {
        ServerLocation::Tcp(address) => TcpStream::connect(address).await.map(drop),
        ServerLocation::Unix(path) => UnixStream::connect(path).await.map(drop),
    };
    connected.map_err(|error| format!("no connection: {error}"))?;
    match health {
        Some(health) => ask(server, health).await.map_err(|why| format!("{}: {why}", health.path)),
        None => dial(server, None, Instant::now() + PATIENCE)
            .await
            .map(drop)
            .map_err(|fault| format!("no connection: {fault}")),
    }
}

async fn ask(server: &Server, health: &HealthCheck) -> Result<(), String> {
    let stream = dial(server, None, Instant::now() + health.timeout).await.map_err(|fault| fault.to_string())?;
    let status = if server.http.need_a_filter() {
        let exchanges = Arc::<Exchanges>::default();
        let stream = Http1Stream::new(stream, server, &exchanges);
        exchange(stream, server, health, Some(&exchanges)).await
    } else {
        match stream {
            BackendStream::Tcp(stream) => exchange(stream, server, health, None).await,
            BackendStream::Tls(stream) => exchange(stream, server, health, None).await,
            BackendStream::Unix(stream) => exchange(stream, server, health, None).await,
        }
    }?;
    let is_good = if health.status.is_empty() { status.is_success() } else { health.status.contains(&status.as_u16()) };
    if is_good { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
}

/// Status of the response, or why there is none. Its body is not read.
async fn exchange<IO>(
    stream: IO,
    server: &Server,
    health: &HealthCheck,
    exchanges: Option<&Exchanges>,
) -> Result<StatusCode, String>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = health.host.as_ref().unwrap_or(&server.host);
    let request =
        Request::get(&health.path).header(header::USER_AGENT, concat!("wicketgate/", env!("CARGO_PKG_VERSION")));
    if health.http2 {
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let authority = host.to_str().unwrap_or_default();
        let request = request.uri(format!("{scheme}://{authority}{}", health.path)).body(Empty::new());
        let request = request.map_err(|error| error.to_string())?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(u32::try_from(server.http.max_response_head).unwrap_or(u32::MAX));
        let handshake = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| Causes::new(&error, &server.http).to_string())?;
        return answered(sender.send_request(request), connection, server).await;
    }
    let request = request.header(header::HOST, host).header(header::CONNECTION, "close").body(Empty::new());
    let request = request.map_err(|error| error.to_string())?;
    if let Some(exchanges) = exchanges {
        exchanges.begin(&request);
    }
    // What is taken of its answers is taken of these.
    let handshake = builder(&server.http).handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| Causes::new(&error, &server.http).to_string())?;
    answered(sender.send_request(request), connection, server).await
}

/// Status of the response to a request. The connection ends with it.
async fn answered(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
    server: &Server,
) -> Result<StatusCode, String> {
    let mut answer = pin!(answer);
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        _ = connection => answer.await,
    };
    response.map(|response| response.status()).map_err(|error| Causes::new(&error, &server.http).to_string())
}
