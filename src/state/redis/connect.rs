//! Ways to the store.

use std::io;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
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
use super::{Kind, Settings};

/// A connection that many operations share.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    Single(MultiplexedConnection),
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
pub(super) async fn connect(settings: &Settings, log: &ConnectLog) -> RedisResult<(Connection, PubSub)> {
    let access = settings.access.load_full();
    match &settings.kind {
        Kind::Single(host, port) => noted(log, host, *port, single(settings, &access, host, *port).await),
        Kind::Sentinel(sentinels, master) => sentinel(settings, &access, sentinels, master, log).await,
        Kind::Cluster(nodes) => cluster(settings, &access, nodes, log).await,
    }
}

/// A connection of its own to each server that has keys: to the one that `link` leads to, or to every master of a cluster.
pub(super) async fn nodes(
    settings: &Settings,
    link: &Connection,
    log: &ConnectLog,
) -> RedisResult<Vec<MultiplexedConnection>> {
    let access = settings.access.load_full();
    let addresses = match (&settings.kind, link) {
        (Kind::Single(host, port), _) => vec![(host.clone(), *port)],
        (Kind::Sentinel(sentinels, master), _) => vec![told_of(settings, &access, sentinels, master, log).await?],
        (Kind::Cluster(nodes), link) => masters(link.clone(), nodes).await?,
    };
    let mut nodes = Vec::new();
    for (host, port) in addresses {
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let node = open(settings, &access.servers, settings.database, (&host, port), patient).await;
        nodes.push(noted(log, &host, port, node)?);
    }
    Ok(nodes)
}

/// The master, as the first sentinel that answers knows it.
async fn told_of(
    settings: &Settings,
    access: &Access,
    sentinels: &[(String, u16)],
    master: &str,
    log: &ConnectLog,
) -> RedisResult<(String, u16)> {
    let mut last = (ErrorKind::Io, "no sentinel answers").into();
    for (host, port) in sentinels {
        match noted(log, host, *port, ask_sentinel(settings, &access.sentinels, host, *port, master).await) {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
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

/// The master of which a sentinel tells. One that is cut off may tell of a server that is none any more: then the next.
async fn sentinel(
    settings: &Settings,
    access: &Access,
    sentinels: &[(String, u16)],
    master: &str,
    log: &ConnectLog,
) -> RedisResult<(Connection, PubSub)> {
    let mut last = (ErrorKind::Io, "no sentinel answers").into();
    for (host, port) in sentinels {
        let told = noted(log, host, *port, ask_sentinel(settings, &access.sentinels, host, *port, master).await);
        let ways = match told {
            Ok((host, port)) => noted(log, &host, port, single(settings, access, &host, port).await),
            Err(error) => Err(error),
        };
        match ways {
            Ok(ways) => return Ok(ways),
            Err(error) => last = error,
        }
    }
    Err(last)
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
    Ok((Connection::Single(connection), listen(settings, &access.servers, host, port).await?))
}

/// Whether a command is kept from us, or not offered at all: some services do so.
fn is_withheld(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}

async fn ask_sentinel(
    settings: &Settings,
    credentials: &Credentials,
    host: &str,
    port: u16,
    master: &str,
) -> RedisResult<(String, u16)> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(settings.timeout));
    let mut sentinel = open(settings, credentials, 0, (host, port), config).await?;
    let found: Option<(String, u16)> =
        cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).query_async(&mut sentinel).await?;
    found.ok_or_else(|| (ErrorKind::MasterNameNotFoundBySentinel, "the sentinel knows no master of this name").into())
}

/// A connection for operations on one server.
async fn open(
    settings: &Settings,
    credentials: &Credentials,
    database: i64,
    (host, port): (&str, u16),
    config: AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    within(settings.connect_timeout, async {
        let stream = dial(credentials, host, port).await?;
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
        let stream = dial(credentials, host, port).await?;
        PubSub::new(&credentials.login(settings.database), stream).await
    })
    .await
}

async fn dial(credentials: &Credentials, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((host, port)).await?;
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

fn noted<T>(log: &ConnectLog, host: &str, port: u16, outcome: RedisResult<T>) -> RedisResult<T> {
    let address = address(host, port);
    match &outcome {
        Ok(_) => log.succeeded(&address),
        Err(error) => log.failed(&address, error),
    }
    outcome
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
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
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
