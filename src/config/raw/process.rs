//! The process itself: `admin`, `readiness`, `shutdown`.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;
use crate::config::percentage::Percentage;
use crate::config::scalar::{Duration, SocketAddress};

/// The operators' listener.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
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

/// Readiness, as `/readyz` tells load balancers.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// Parts without which /readyz is 503: `state`, `issuer:URL` for an issuer whose keys are fetched, `issuer:client
    /// ID` for a client. Other missing parts are reported, and calls that need them get 503.
    pub require: Vec<String>,
}

/// Stopping.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
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

/// Reloading.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// Roll back a reload by itself after which many more calls are refused. Default: off.
    pub guard: Option<ReloadGuard>,
}

/// The guard of reloads.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadGuard {
    /// How long calls are watched after a reload, and compared with as long a time before it. 1s to 1h.
    #[serde(default = "default_guard_window")]
    pub window: Duration,
    /// The growth of the share of refused calls above which the reload is rolled back, such as 20%: from 1% to 21%.
    #[serde(default = "default_guard_refusals")]
    pub refusals: Percentage,
}

fn default_guard_window() -> Duration {
    Duration::seconds(60)
}

fn default_guard_refusals() -> Percentage {
    Percentage::FIFTH
}
