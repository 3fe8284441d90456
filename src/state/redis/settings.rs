//! Settings of the shared store.

use std::time::Duration;

use arc_swap::ArcSwap;

use super::access::RedisCredentials;

/// Settings of the shared store.
#[derive(Debug)]
pub struct RedisSettings {
    /// Kind and addresses of the servers.
    pub kind: RedisTopology,
    /// Prefix of every key.
    pub prefix: String,
    /// Credentials for the next connection.
    pub access: ArcSwap<RedisCredentials>,
    /// Number of the database.
    pub database: i64,
    /// Timeout of an operation.
    pub timeout: Duration,
    /// Timeout of connecting.
    pub connect_timeout: Duration,
    /// Replicas that must have a write before it is acknowledged.
    pub replicas: u32,
}

/// The kind of server at the addresses.
#[derive(Debug)]
pub enum RedisTopology {
    /// One server: host and port.
    Single(String, u16),
    /// Sentinels, and the name of the master.
    Sentinel(Vec<(String, u16)>, String),
    /// Some nodes of a cluster.
    Cluster(Vec<(String, u16)>),
}
