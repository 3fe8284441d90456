//! Where the store is, and how it is asked.

use std::time::Duration;

use arc_swap::ArcSwap;

use super::access::Access;

/// Where the store is, and how it is asked.
#[derive(Debug)]
pub struct Settings {
    /// What answers.
    pub kind: Kind,
    /// What stands before every key.
    pub prefix: String,
    /// How it is entered from the next connection on.
    pub access: ArcSwap<Access>,
    /// The number of the database.
    pub database: i64,
    /// How long an operation may take.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How many replicas must have a write before it is acknowledged.
    pub replicas: u32,
}

/// What answers at the addresses.
#[derive(Debug)]
pub enum Kind {
    /// One server.
    Single(String, u16),
    /// Sentinels, who know the master of this name.
    Sentinel(Vec<(String, u16)>, String),
    /// Some nodes of a cluster.
    Cluster(Vec<(String, u16)>),
}
