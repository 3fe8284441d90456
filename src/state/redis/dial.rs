//! A connection to one server: DNS lookup, TCP, TLS, login.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::AsyncDNSResolver;
use redis::{AsyncConnectionConfig, ErrorKind, RedisFuture, RedisResult};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::access::Credentials;
use super::connect_log::ConnectLog;
use super::connection::address;
use super::settings::RedisSettings;
use crate::dns;

/// A byte stream.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection for operations on one server.
pub(super) async fn open(
    settings: &RedisSettings,
    credentials: &Credentials,
    database: i64,
    (host, port): (&str, u16),
    config: AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    within(settings.connect_timeout, async {
        let stream = dial(settings, credentials, host, port).await?;
        let login = credentials.login(database);
        let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        // It ends with the last user of the connection.
        tokio::spawn(driver);
        Ok(connection)
    })
    .await
}

/// A subscription to one server.
pub(super) async fn listen(
    settings: &RedisSettings,
    credentials: &Credentials,
    host: &str,
    port: u16,
) -> RedisResult<PubSub> {
    within(settings.connect_timeout, async {
        let stream = dial(settings, credentials, host, port).await?;
        PubSub::new(&credentials.login(settings.database), stream).await
    })
    .await
}

/// DNS resolver for the nodes of a cluster, with the time that connecting may take.
pub(super) struct NodeResolver(pub(super) Duration);

impl AsyncDNSResolver for NodeResolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = look_up(host, port, self.0).await?;
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

/// The addresses of a name. Falling back to the last known address leaves time to connect there.
async fn look_up(host: &str, port: u16, connect_timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    dns::look_up_or_last(host, port, connect_timeout / 4).await.map_err(io::Error::other)
}

async fn dial(
    settings: &RedisSettings,
    credentials: &Credentials,
    host: &str,
    port: u16,
) -> io::Result<Box<dyn Stream>> {
    let addresses = look_up(host, port, settings.connect_timeout).await?;
    let stream = TcpStream::connect(&addresses[..]).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &credentials.tls else { return Ok(Box::new(stream)) };
    let name = match &tls.server_name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
    };
    Ok(Box::new(TlsConnector::from(tls.config.clone()).connect(name, stream).await?))
}

pub(super) async fn within<T>(time: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err((ErrorKind::Io, "no connection in time").into()))
}

pub(super) fn noted<T>(log: &ConnectLog, host: &str, port: u16, outcome: RedisResult<T>) -> RedisResult<T> {
    let address = address(host, port);
    match &outcome {
        Ok(_) => log.succeeded(&address),
        Err(error) => log.failed(&address, error),
    }
    outcome
}
