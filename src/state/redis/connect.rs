//! Connecting: to one server, to the master that sentinels name, or to a cluster.

use std::sync::Arc;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, RedisError, RedisResult,
    ServerErrorKind, Value, cmd,
};

use super::access::RedisCredentials;
use super::connect_log::ConnectLog;
use super::connection::{HostPort, RedisConnection, address};
use super::dial::{NodeResolver, listen, noted, open, within};
use super::sentinels::Sentinels;
use super::settings::{RedisSettings, RedisTopology};

/// Connects: a connection for operations, and a subscription. Each failure on the way is logged.
///
/// # Errors
/// The last failure.
pub(super) async fn connect(
    settings: &RedisSettings,
    sentinels: &Sentinels,
    log: &ConnectLog,
) -> RedisResult<(RedisConnection, PubSub)> {
    let access = settings.access.load_full();
    let servers = match &settings.kind {
        RedisTopology::Single(host, port) => vec![(host.clone(), *port)],
        RedisTopology::Sentinel(..) => sentinels.masters().await?,
        RedisTopology::Cluster(nodes) => return cluster(settings, &access, nodes, log).await,
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

/// A new connection to each server that has keys: to the one that `link` leads to, or to every master of a cluster.
pub(super) async fn nodes(
    settings: &RedisSettings,
    link: &RedisConnection,
    log: &ConnectLog,
) -> RedisResult<Vec<MultiplexedConnection>> {
    let access = settings.access.load_full();
    let addresses = match (link, &settings.kind) {
        (RedisConnection::Single(_, address), _) => vec![HostPort::clone(address)],
        (link, RedisTopology::Cluster(known)) => masters(link.clone(), known).await?,
        (link, RedisTopology::Single(..) | RedisTopology::Sentinel(..)) => masters(link.clone(), &[]).await?,
    };
    let mut nodes = Vec::new();
    for (host, port) in addresses {
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let node = open(settings, &access.servers, settings.database, (&host, port), patient).await;
        nodes.push(noted(log, &host, port, node)?);
    }
    Ok(nodes)
}

/// The masters of a cluster (CLUSTER SLOTS). One that does not know its own address has that of the first configured
/// one.
async fn masters(mut link: RedisConnection, known: &[(String, u16)]) -> RedisResult<Vec<(String, u16)>> {
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
    settings: &RedisSettings,
    access: &RedisCredentials,
    nodes: &[(String, u16)],
    log: &ConnectLog,
) -> RedisResult<(RedisConnection, PubSub)> {
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
        .async_dns_resolver(NodeResolver(settings.connect_timeout))
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
            Ok(events) => return Ok((RedisConnection::Cluster(connection), events)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn single(
    settings: &RedisSettings,
    access: &RedisCredentials,
    host: &str,
    port: u16,
) -> RedisResult<(RedisConnection, PubSub)> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(settings.timeout));
    let mut connection = open(settings, &access.servers, settings.database, (host, port), config).await?;
    match cmd("ROLE").query_async::<Vec<Value>>(&mut connection).await {
        Ok(role) if matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") => {}
        Ok(_) => return Err((ErrorKind::Io, "this server is a replica: it takes no writes").into()),
        Err(error) if is_withheld(&error) => {}
        Err(error) => return Err(error),
    }
    let events = listen(settings, &access.servers, host, port).await?;
    Ok((RedisConnection::Single(connection, Arc::new((host.to_owned(), port))), events))
}

/// Returns whether the command is forbidden or not offered, as by some hosted services.
fn is_withheld(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}
