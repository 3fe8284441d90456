//! Ways to the store.

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisFuture, RedisResult, TlsCertificates, Value, cmd,
};

use super::{Kind, Settings};

/// A connection that many operations share.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    Single(MultiplexedConnection),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

/// A connection for operations, and one that listens.
pub(super) async fn connect(settings: &Settings) -> RedisResult<(Connection, PubSub)> {
    match &settings.kind {
        Kind::Single(host, port) => single(settings, host, *port).await,
        Kind::Sentinel(sentinels, master) => {
            let mut last = (ErrorKind::Io, "no sentinel answers").into();
            for (host, port) in sentinels {
                match ask_sentinel(settings, host, *port, master).await {
                    Ok((host, port)) => return single(settings, &host, port).await,
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        Kind::Cluster(nodes) => {
            let infos =
                nodes.iter().map(|(host, port)| info(settings, host, *port)).collect::<RedisResult<Vec<_>>>()?;
            let mut builder = ClusterClient::builder(infos)
                .connection_timeout(settings.connect_timeout)
                .response_timeout(settings.timeout)
                .retries(2);
            if settings.tls.is_some() {
                builder = builder.certs(certificates(settings));
            }
            let connection = builder.build()?.get_async_connection().await?;
            // What is published reaches every node.
            let mut last = (ErrorKind::Io, "no node answers").into();
            for (host, port) in nodes {
                match client(settings, host, *port)?.get_async_pubsub().await {
                    Ok(events) => return Ok((Connection::Cluster(connection), events)),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

async fn single(settings: &Settings, host: &str, port: u16) -> RedisResult<(Connection, PubSub)> {
    let client = client(settings, host, port)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
    if !matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") {
        return Err((ErrorKind::Io, "this server is a replica: it takes no writes").into());
    }
    Ok((Connection::Single(connection), client.get_async_pubsub().await?))
}

async fn ask_sentinel(settings: &Settings, host: &str, port: u16, master: &str) -> RedisResult<(String, u16)> {
    let address = address(settings, host, port).into_connection_info()?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.timeout));
    let client = open(settings, address)?;
    let mut sentinel = client.get_multiplexed_async_connection_with_config(&config).await?;
    let found: Option<(String, u16)> =
        cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).query_async(&mut sentinel).await?;
    found.ok_or_else(|| (ErrorKind::MasterNameNotFoundBySentinel, "the sentinel knows no master of this name").into())
}

fn client(settings: &Settings, host: &str, port: u16) -> RedisResult<Client> {
    open(settings, info(settings, host, port)?)
}

fn open(settings: &Settings, info: ConnectionInfo) -> RedisResult<Client> {
    if settings.tls.is_some() { Client::build_with_tls(info, certificates(settings)) } else { Client::open(info) }
}

fn info(settings: &Settings, host: &str, port: u16) -> RedisResult<ConnectionInfo> {
    let mut server = RedisConnectionInfo::default().set_db(settings.database);
    if let Some(username) = &settings.username {
        server = server.set_username(username);
    }
    if let Some(password) = settings.password.as_ref().and_then(|password| password.expose_str()) {
        server = server.set_password(password);
    }
    Ok(address(settings, host, port).into_connection_info()?.set_redis_settings(server))
}

fn address(settings: &Settings, host: &str, port: u16) -> ConnectionAddr {
    let host = host.to_owned();
    match settings.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    }
}

fn certificates(settings: &Settings) -> TlsCertificates {
    let tls = settings.tls.as_ref();
    let identity = tls.and_then(|tls| tls.identity.as_ref());
    TlsCertificates {
        client_tls: identity.map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().to_vec(),
        }),
        root_cert: tls.and_then(|tls| tls.ca.clone()),
    }
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
