//! Proxies that ask before they forward: `forward_auth`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::Network;

/// A decision endpoint for other proxies, which keep on forwarding themselves.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuth {
    /// Path at which nginx, Traefik and Caddy ask.
    #[serde(default = "default_path")]
    pub path: String,
    /// Answer Envoy by gRPC (ext_authz v3). Needs a listener with TLS, for HTTP/2.
    #[serde(default)]
    pub grpc: bool,
    /// Networks of the proxies that may ask. Their description of a request is believed. Default: this machine.
    #[serde(default = "loopback")]
    #[schemars(with = "Vec<Network>")]
    pub allow: Vec<IpNet>,
}

fn default_path() -> String {
    "/_wicketgate/auth".to_owned()
}

fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect()
}
