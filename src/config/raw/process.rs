//! The process itself: `admin`, `log`, `shutdown`.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;
use crate::config::scalar::{Duration, SocketAddress};

/// The operators' listener.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// IP address and port. Plain HTTP without credentials: keep it on loopback or a private network.
    #[schemars(with = "SocketAddress")]
    pub address: SocketAddr,
    /// Accepted host names, beside IP addresses and localhost, such as the name that Prometheus uses. Others get 421,
    /// except from /livez and /readyz.
    pub hosts: Vec<String>,
    /// A Unix socket for the commands that ask the running gateway, for reload and upgrade. Only the user that runs the gateway can open it.
    /// Default: `admin.sock` in `state.embedded.path`.
    pub socket: Option<PathBuf>,
    /// The operator's token, of 32 characters or more: with it the status page can reload, end sessions, revoke and clear
    /// lockouts. Without it the page is read-only.
    pub token: Option<SecretRef>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9900)), hosts: Vec::new(), socket: None, token: None }
    }
}

/// Logging.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Destination of the access log: one JSON line per request.
    pub access: AccessLog,
    /// Level of the gateway's own log, on standard error.
    pub level: Level,
}

/// Destination of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
}

/// Log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only what needs someone.
    Error,
    /// Also what may soon need someone.
    Warn,
    /// Also what starts, stops and changes.
    #[default]
    Info,
    /// Also what helps to find a fault.
    Debug,
}

/// Readiness, as `/readyz` tells load balancers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// Parts without which /readyz is 503: `state`, `issuer:URL` for an issuer whose keys are fetched, `issuer:client
    /// ID` for a client. Other missing parts are reported, and calls that need them get 503.
    pub require: Vec<String>,
}

/// Stopping.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long requests in flight may take after SIGTERM and `delay`.
    pub grace: Duration,
    /// How long after SIGTERM connections are still accepted, while /readyz is 503 and every response closes its
    /// connection.
    pub delay: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::seconds(30), delay: Duration::seconds(0) }
    }
}
