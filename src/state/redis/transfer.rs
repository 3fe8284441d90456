//! Export and import: state moved between a file and the store, on connections of its own: no gateway waits for it.

mod export;
mod import;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use super::connect::{self, connect};
use super::connect_log::ConnectLog;
use super::connection::RedisConnection;
use super::scan::scan;
use super::settings::{RedisSettings, RedisTopology};
use super::store::Inner;
use crate::state::archive::ArchiveFault;
use crate::state::revocation::Revocations;
pub use export::export;
pub use import::{Imported, import};

/// Timeout of one exchange: only the operator waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys read or written at once.
const PAGE: usize = 500;

/// A connection for an export or import.
struct Transfer {
    inner: Inner,
    connection: RedisConnection,
}

impl Transfer {
    async fn open(mut settings: RedisSettings) -> Result<Self, ArchiveFault> {
        settings.timeout = settings.timeout.max(PATIENCE);
        let inner = Inner::new(settings, Arc::new(Revocations::shared()), Arc::default(), ConnectLog::silent());
        let (settings, sentinels, log) = (&inner.settings, &inner.sentinels, &inner.connect_log);
        let connected = tokio::select! {
            connected = connect(settings, sentinels, log) => connected,
            () = sentinels.keep_asking(settings, log), if matches!(settings.kind, RedisTopology::Sentinel(..)) => {
                return Err(told(&"nobody asks the sentinels"));
            }
        };
        let (connection, _) = connected.map_err(|error| told(&error))?;
        Ok(Self { inner, connection })
    }

    /// A connection to the server, or to each master of a cluster.
    async fn nodes(&self) -> Result<Vec<MultiplexedConnection>, ArchiveFault> {
        patiently(connect::nodes(&self.inner.settings, &self.connection, &self.inner.connect_log)).await
    }

    /// One step of a scan from `cursor`: keys without our prefix, and the next cursor, which is 0 after the last step.
    async fn names(&self, node: &mut MultiplexedConnection, cursor: u64) -> Result<(u64, Vec<String>), ArchiveFault> {
        let prefix = &self.inner.settings.prefix;
        let (next, keys): (u64, Vec<Vec<u8>>) = patiently(scan(node, prefix, cursor)).await?;
        // Keys of others need not be texts.
        let texts = keys.into_iter().filter_map(|key| String::from_utf8(key).ok());
        Ok((next, texts.filter_map(|key| key.strip_prefix(prefix.as_str()).map(str::to_owned)).collect()))
    }
}

async fn patiently<T>(exchange: impl Future<Output = RedisResult<T>>) -> Result<T, ArchiveFault> {
    match timeout(PATIENCE, exchange).await {
        Ok(outcome) => outcome.map_err(|error| told(&error)),
        Err(_) => Err(told(&"no answer in time")),
    }
}

fn told(reason: &dyn Display) -> ArchiveFault {
    ArchiveFault::Redis(reason.to_string())
}
