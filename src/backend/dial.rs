//! A new connection to a server: TCP or a unix socket, and TLS where it is configured.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::Failure;
use super::servers::{Place, Server};
use crate::socket::Socket;

/// A connection that is ready for HTTP.
pub(super) enum Wire {
    Tcp(Socket),
    Tls(Box<TlsStream<Socket>>),
    Unix(UnixStream),
}

/// Connects. Where the server wants to know for whom, it is told before all else: `caller`, or the gateway itself.
///
/// # Errors
/// [`Failure::Connect`] or [`Failure::Tls`].
pub(super) async fn dial(server: &Server, caller: Option<IpAddr>) -> Result<Wire, Failure> {
    let name = &*server.standing.name;
    let no_connection = |error: std::io::Error| {
        if let Some(left_out) = server.standing.unreachable.allow() {
            tracing::info!(server = name, %error, left_out, "cannot connect to backend");
        }
        Failure::Connect
    };
    let address = match &server.place {
        Place::Unix(path) => return UnixStream::connect(path).await.map(Wire::Unix).map_err(no_connection),
        Place::Tcp(address) => *address,
    };
    let mut stream = TcpStream::connect(address).await.and_then(tuned).map_err(no_connection)?;
    if let Some(version) = server.proxy_protocol {
        stream.write_all(&version.header(caller, address)).await.map_err(no_connection)?;
    }
    let stream = Socket(stream);
    let Some((connector, certified)) = &server.tls else { return Ok(Wire::Tcp(stream)) };
    match connector.connect(certified.clone(), stream).await {
        Ok(stream) => Ok(Wire::Tls(Box::new(stream))),
        Err(error) => {
            tracing::warn!(server = name, %error, "no TLS with backend");
            Err(Failure::Tls)
        }
    }
}

fn tuned(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_keepalive(
        &socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)),
    )?;
    Ok(stream)
}
