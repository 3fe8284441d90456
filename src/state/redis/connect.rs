//! Ways to the store.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, Pipeline,
    RedisError, RedisFuture, RedisResult, ServerErrorKind, Value, cmd,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::access::{Access, Credentials};
use super::connect_log::ConnectLog;
use super::sentinels::Sentinels;
use super::{Kind, Settings};
use crate::dns;

/// Host and port.
pub(super) type Address = (String, u16);

/// A connection that many operations share.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server, and where it is.
    Single(MultiplexedConnection, Arc<Address>),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection for operations, and one that listens. Each failure on the way goes to the log.
///
/// # Errors
/// The last failure.
pub(super) async fn connect(
    settings: &Settings,
    sentinels: &Sentinels,
    log: &ConnectLog,
) -> RedisResult<(Connection, PubSub)> {
    let access = settings.access.load_full();
    let servers = match &settings.kind {
        Kind::Single(host, port) => vec![(host.clone(), *port)],
        Kind::Sentinel(..) => sentinels.masters().await?,
        Kind::Cluster(nodes) => return cluster(settings, &access, nodes, log).await,
    };
    let mut last = (ErrorKind::Io, "no server is named").into();
    for (host, port) in servers {
        match noted(log, &host, port, single(settings, &access, &host, port).await) {
            Ok(ways) => return Ok(ways),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connection of its own to each server that has keys: to the one that `link` leads to, or to every master of a cluster.
pub(super) async fn nodes(
    settings: &Settings,
    link: &Connection,
    log: &ConnectLog,
) -> RedisResult<Vec<MultiplexedConnection>> {
    let access = settings.access.load_full();
    let addresses = match (link, &settings.kind) {
        (Connection::Single(_, address), _) => vec![Address::clone(address)],
        (link, Kind::Cluster(known)) => masters(link.clone(), known).await?,
        (link, Kind::Single(..) | Kind::Sentinel(..)) => masters(link.clone(), &[]).await?,
    };
    let mut nodes = Vec::new();
    for (host, port) in addresses {
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let node = open(settings, &access.servers, settings.database, (&host, port), patient).await;
        nodes.push(noted(log, &host, port, node)?);
    }
    Ok(nodes)
}

/// The masters of a cluster (CLUSTER SLOTS). One that does not know its own address has that of the first one configured.
async fn masters(mut link: Connection, known: &[(String, u16)]) -> RedisResult<Vec<(String, u16)>> {
    // First and last slot, then the master, then its replicas; of each its host, port and more.
    let ranges: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query_async(&mut link).await?;
    let mut masters = Vec::new();
    for range in ranges {
        let Some(Value::Array(master)) = range.into_iter().nth(2) else { continue };
        let (host, port): (Option<String>, u16) =
            redis::from_redis_value(Value::Array(master.into_iter().take(2).collect()))?;
        let unknown = known.first().map(|(host, _)| host.clone());
        let Some(host) = host.filter(|host| !host.is_empty() && host != "?").or(unknown) else { continue };
        if !masters.contains(&(host.clone(), port)) {
            masters.push((host, port));
        }
    }
    Ok(masters)
}

async fn cluster(
    settings: &Settings,
    access: &Access,
    nodes: &[(String, u16)],
    log: &ConnectLog,
) -> RedisResult<(Connection, PubSub)> {
    let credentials = &access.servers;
    let info = |(host, port): &(String, u16)| -> RedisResult<ConnectionInfo> {
        let (host, port) = (host.clone(), *port);
        let address = match credentials.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        Ok(address.into_connection_info()?.set_redis_settings(credentials.login(settings.database)))
    };
    let infos = nodes.iter().map(info).collect::<RedisResult<Vec<_>>>()?;
    let mut builder = ClusterClient::builder(infos)
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.timeout)
        .async_dns_resolver(Names(settings.connect_timeout))
        .retries(2);
    if let Some(tls) = &credentials.tls {
        builder = builder.certs(tls.pem.certificates());
    }
    let client = builder.build()?;
    let all: Vec<String> = nodes.iter().map(|(host, port)| address(host, *port)).collect();
    let connection = within(settings.connect_timeout * 3, client.get_async_connection()).await;
    let connection = connection.inspect_err(|error| log.failed(&all.join(", "), error))?;
    log.succeeded(&all.join(", "));
    // What is published reaches every node.
    let mut last = (ErrorKind::Io, "no node answers").into();
    for (host, port) in nodes {
        match noted(log, host, *port, listen(settings, credentials, host, *port).await) {
            Ok(events) => return Ok((Connection::Cluster(connection), events)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn single(settings: &Settings, access: &Access, host: &str, port: u16) -> RedisResult<(Connection, PubSub)> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(settings.timeout));
    let mut connection = open(settings, &access.servers, settings.database, (host, port), config).await?;
    match cmd("ROLE").query_async::<Vec<Value>>(&mut connection).await {
        Ok(role) if matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") => {}
        Ok(_) => return Err((ErrorKind::Io, "this server is a replica: it takes no writes").into()),
        Err(error) if is_withheld(&error) => {}
        Err(error) => return Err(error),
    }
    let events = listen(settings, &access.servers, host, port).await?;
    Ok((Connection::Single(connection, Arc::new((host.to_owned(), port))), events))
}

/// Whether a command is kept from us, or not offered at all: some services do so.
fn is_withheld(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}

/// A connection for operations on one server.
pub(super) async fn open(
    settings: &Settings,
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

/// A connection that listens to one server.
async fn listen(settings: &Settings, credentials: &Credentials, host: &str, port: u16) -> RedisResult<PubSub> {
    within(settings.connect_timeout, async {
        let stream = dial(settings, credentials, host, port).await?;
        PubSub::new(&credentials.login(settings.database), stream).await
    })
    .await
}

/// Looks names up for the nodes of a cluster, which are dialled elsewhere, so long as connecting may take.
struct Names(Duration);

impl AsyncDNSResolver for Names {
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

/// Where a name leads. The last address that is known leaves time to connect there.
async fn look_up(host: &str, port: u16, connect_timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    dns::look_up_or_last(host, port, connect_timeout / 4).await.map_err(io::Error::other)
}

async fn dial(settings: &Settings, credentials: &Credentials, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
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

async fn within<T>(time: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
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

pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection, _) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection, _) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection, _) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
