//! The company's own servers: `backends`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::servers::{
    Adaptive, Balance, CircuitBreaker, HealthCheck, OutlierDetection, Protocol, Queue, Resolve, Server,
};
use super::{FieldRules, FilePath, SecretRef};
use crate::config::scalar::Duration;

/// The company's own servers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its servers: addresses such as http://10.0.0.1:9000, https://app.internal or unix:/run/app.sock, without a path.
    /// With a weight: {url: ADDRESS, weight: 2}.
    pub servers: Vec<Server>,
    /// What is spoken with them.
    #[serde(default)]
    pub protocol: Protocol,
    /// Begin each connection with a PROXY protocol header that names the caller. Then each request has a connection of its
    /// own.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How one of them is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// How long a server that came back gets less than its share.
    #[serde(default = "default_slow_start")]
    pub slow_start: Duration,
    /// Ask each server now and then how it is. Default: no.
    pub health_check: Option<HealthCheck>,
    /// When a server that fails gets no requests for a while.
    #[serde(default)]
    pub outlier_detection: OutlierDetection,
    /// How names are looked up.
    #[serde(default)]
    pub resolve: Resolve,
    /// TLS towards https servers.
    pub tls: Option<BackendTls>,
    /// The gateway's own credential, sent with each request.
    pub authorization: Option<BackendAuthorization>,
    /// Give this backend identifiers of its own: it cannot compare them with what another gets.
    #[serde(default)]
    pub pairwise: bool,
    /// Whether it takes paths for one that differ only in letter case, as IIS does and whatever serves files from Windows
    /// or macOS. Then its routes are found in any.
    #[serde(default)]
    pub ignores_case: bool,
    /// A signed header by which this backend can see that a request came through the gateway, for whom, and unchanged.
    pub backend_assertion: Option<BackendAssertion>,
    /// Header fields that are set and removed on their way to this backend, before those of the route.
    pub request_headers: Option<FieldRules>,
    /// Header fields that are set and removed on their way from it, before those of the route.
    pub response_headers: Option<FieldRules>,
    /// Allows plain http towards servers that are not on loopback.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// The time to connect.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Duration,
    /// The time from sending a request to the head of its response, and between two pieces of its body.
    #[serde(default = "default_backend_timeout")]
    pub timeout: Duration,
    /// How long an idle connection is kept. Keep it below the backend's own limit.
    #[serde(default = "default_backend_idle")]
    pub idle_timeout: Duration,
    /// Requests in flight at once; above it they wait in `queue`, or get 503.
    #[serde(default = "default_backend_concurrency")]
    pub concurrency: usize,
    /// HTTP/2 connections that each worker opens to each server at most. One is enough until the server's limit of streams
    /// (SETTINGS_MAX_CONCURRENT_STREAMS) is reached; above all of them requests wait in `queue`, or get 503. Default: 10.
    pub max_connections: Option<usize>,
    /// How much of `concurrency` one caller may hold by WebSockets, in percent; one it always may. Above it 429.
    #[serde(default = "default_websocket_share")]
    pub websocket_share: u32,
    /// How much of `concurrency` one caller may hold by uploads that are still coming, in percent; one it always may. Above
    /// it 429.
    #[serde(default = "default_upload_share")]
    pub upload_share: u32,
    /// Fewer than `concurrency` while answers take longer than usual, learnt from how long they take. Default: no.
    pub adaptive: Option<Adaptive>,
    /// Where requests wait while `concurrency` or `max_connections` is reached. Default: they do not.
    pub queue: Option<Queue>,
    /// When the backend is not asked for a while: 503 at once.
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    /// How many requests may be sent again, in percent of all; 10 in 10s always may. 0: none.
    #[serde(default = "default_retry_budget")]
    pub retry_budget: u32,
}

fn default_slow_start() -> Duration {
    Duration::seconds(10)
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

fn default_connect_timeout() -> Duration {
    Duration::seconds(2)
}

fn default_backend_timeout() -> Duration {
    Duration::seconds(10)
}

fn default_backend_idle() -> Duration {
    Duration::seconds(4)
}

fn default_retry_budget() -> u32 {
    10
}

fn default_upload_share() -> u32 {
    50
}

fn default_websocket_share() -> u32 {
    10
}

fn default_backend_concurrency() -> usize {
    1_000
}

/// The proof that goes along with each request: docs/backend-assertion.md says what is in it and how it is checked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackendAssertion {
    /// The name of the header.
    pub header: String,
    /// The `aud` of the proof. Default: the name of the backend.
    pub audience: Option<String>,
    /// How long a proof is good, from `iat` to `exp`. At most 5m.
    pub lifetime: Duration,
    /// Whether the body is proved too.
    pub body: AssertionBody,
}

impl Default for BackendAssertion {
    fn default() -> Self {
        Self {
            header: "X-Wicketgate-Proof".to_owned(),
            audience: None,
            lifetime: Duration::seconds(30),
            body: AssertionBody::Covered,
        }
    }
}

/// Whether the body is proved too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssertionBody {
    /// Each body is read whole before it is sent on, up to the limit of bodies, and the proof has its SHA-256.
    #[default]
    Covered,
    /// Bodies pass as they come; the proof has the SHA-256 only of those that the gateway reads anyway.
    Streamed,
}

/// TLS towards a backend.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendTls {
    /// A PEM file of the CA certificates to trust. Default: those of the operating system.
    pub ca: Option<FilePath>,
    /// The PEM file of a client certificate chain.
    pub certificate: Option<FilePath>,
    /// The PEM file of its private key.
    pub private_key: Option<FilePath>,
    /// The name that is asked for (SNI) and that its certificate must have. Default: the host in its address.
    pub server_name: Option<String>,
    /// Takes any certificate. Whoever is on the way can then read and change everything.
    #[serde(default)]
    pub danger_accept_any_certificate: bool,
}

/// The gateway's own credential towards a backend.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum BackendAuthorization {
    /// `Authorization: Basic`.
    Basic(BasicCredential),
    /// `Authorization: Bearer`.
    Bearer(SecretRef),
    /// A header of any name.
    Header(HeaderCredential),
}

/// `Authorization: Basic`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicCredential {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretRef,
}

/// A header of any name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCredential {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretRef,
}
