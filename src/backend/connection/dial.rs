//! Dials a server: TCP or a Unix socket, the PROXY protocol header, and TLS.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::tls_fault;
use crate::backend::Failure;
use crate::backend::endpoints::servers::{Server, ServerLocation};
use crate::backend::fault::{Doing, ServerFault};
use crate::socket::Socket;

/// Connection that is ready for HTTP.
pub(in crate::backend) enum BackendStream {
    Tcp(Socket),
    Tls(Box<TlsStream<Socket>>),
    Unix(UnixStream),
}

/// Connects. The PROXY protocol header, where it is configured, names `caller`, or the gateway itself.
///
/// # Errors
/// [`Failure::Connect`] or [`Failure::Tls`], also if it takes longer than `until`.
pub(in crate::backend) async fn dial(
    server: &Server,
    caller: Option<IpAddr>,
    until: Instant,
) -> Result<BackendStream, ServerFault> {
    let stream = match within(until, connected(server, caller)).await {
        Ok(BackendStream::Tcp(stream)) => stream,
        Ok(wire) => return Ok(wire),
        Err(error) => return Err(refused(&error)),
    };
    let Some((connector, certified)) = &server.tls else { return Ok(BackendStream::Tcp(stream)) };
    let secured = within(until, connector.connect(certified.clone(), stream)).await;
    secured.map(|stream| BackendStream::Tls(Box::new(stream))).map_err(|error| {
        ServerFault::new(Failure::Tls, Doing::Tls, tls_fault::explained(&error), tls_fault::phrase(&error))
    })
}

/// No connection, and why.
fn refused(error: &io::Error) -> ServerFault {
    let phrase = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::TimedOut => "no connection in time",
        io::ErrorKind::NotFound => "no such socket",
        io::ErrorKind::PermissionDenied => "permission denied",
        _ => Failure::Connect.phrase(),
    };
    ServerFault::new(Failure::Connect, Doing::Connect, error, phrase)
}

async fn connected(server: &Server, caller: Option<IpAddr>) -> io::Result<BackendStream> {
    let address = match &server.place {
        ServerLocation::Unix(path) => return UnixStream::connect(path).await.map(BackendStream::Unix),
        ServerLocation::Tcp(address) => *address,
    };
    let mut stream = TcpStream::connect(address).await.and_then(tuned)?;
    if let Some(version) = server.proxy_protocol {
        stream.write_all(&version.header(caller, address)).await?;
    }
    Ok(BackendStream::Tcp(Socket(stream)))
}

/// Output of a future, or an error after `until`.
async fn within<T>(until: Instant, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "timed out (connect_timeout)");
    timeout_at(until, doing).await.unwrap_or_else(|_| Err(late()))
}

fn tuned(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_keepalive(
        &socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)),
    )?;
    Ok(stream)
}
