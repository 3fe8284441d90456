//! The company's own servers: `backends`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http1_options::{HeaderCase, Tolerated};
use super::servers::{
    Adaptive, Balance, CircuitBreaker, HealthCheck, KeepAlive, OutlierDetection, Protocol, Queue, Resolve, Server,
};
use super::{FieldRules, FilePath, SecretRef};
use crate::config::scalar::{Duration, Size};

/// The company's own servers.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its servers: addresses such as http://10.0.0.1:9000, https://app.internal or unix:/run/app.sock, without a path.
    /// With a weight: {url: ADDRESS, weight: 2}.
    pub servers: Vec<Server>,
    /// HTTP version. `http2`: https servers must offer it by ALPN, plain http servers are assumed to support it.
    #[serde(default)]
    pub protocol: Protocol,
    /// `Host` (HTTP/2: `:authority`) of requests, logins and health checks: `caller`, the one that the caller asked for;
    /// `server`, that of the address in `servers`; or a name, such as shop.internal or shop.internal:8080.
    #[serde(default = "default_host")]
    pub host: String,
    /// Letter case of header names in requests by HTTP/1.1.
    #[serde(default)]
    pub header_case: HeaderCase,
    /// Exact spelling of these header names in requests by HTTP/1.1, such as SOAPAction.
    #[serde(default)]
    pub header_names: Vec<String>,
    /// Faults of responses by HTTP/1.1 to accept. Each is logged when it was needed.
    #[serde(default)]
    pub tolerate: Vec<Tolerated>,
    /// Most header fields of a response by HTTP/1.1.
    #[serde(default = "default_response_fields")]
    pub max_response_fields: usize,
    /// Largest head of a response.
    #[serde(default = "default_response_head")]
    pub max_response_head: Size,
    /// Start each connection with a PROXY protocol header that names the caller. Then each request has a connection of
    /// its own.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Load balancing: the server with fewer requests in flight, or the same server for the same customer.
    #[serde(default)]
    pub balance: Balance,
    /// How long a server that comes back gets less than its share.
    #[serde(default = "default_slow_start")]
    pub slow_start: Duration,
    /// Active health checks of each server. Default: none.
    pub health_check: Option<HealthCheck>,
    /// Temporary ejection of a failing server.
    #[serde(default)]
    pub outlier_detection: OutlierDetection,
    /// DNS lookups.
    #[serde(default)]
    pub resolve: Resolve,
    /// TLS towards https servers.
    pub tls: Option<BackendTls>,
    /// The gateway's own credential, sent with each request.
    pub authorization: Option<BackendAuthorization>,
    /// Give this backend identifiers of its own, which it cannot correlate with those of another backend.
    #[serde(default)]
    pub pairwise: bool,
    /// The backend ignores letter case of paths, as IIS and servers of files from Windows or macOS do. Its routes then
    /// match in any.
    #[serde(default)]
    pub ignores_case: bool,
    /// A signed header by which this backend verifies that a request came through the gateway, for which customer, and
    /// unchanged.
    pub backend_assertion: Option<BackendAssertion>,
    /// Header fields to set and remove on their way to this backend, before those of the route.
    pub request_headers: Option<FieldRules>,
    /// Header fields to set and remove on their way from it, before those of the route.
    pub response_headers: Option<FieldRules>,
    /// Read a request body of unknown length whole before it is sent, so that it goes out with `Content-Length`: for
    /// servers that refuse chunked uploads (411).
    #[serde(default)]
    pub request_buffering: bool,
    /// Largest such body in memory; above it 413, or a file in `request_buffer_directory`. Default: 1MiB.
    pub request_buffer: Option<Size>,
    /// Directory of temporary files for larger ones, up to the route's limit of bodies. Default: none.
    pub request_buffer_directory: Option<PathBuf>,
    /// Size of all temporary files of this backend together; above it 503. Default: 1GiB.
    pub request_buffer_total: Option<Size>,
    /// Redirects and cookies that name the backend's own address: `rewrite` makes them name what the caller sees, `pass`
    /// leaves them.
    #[serde(default)]
    pub redirects: Redirects,
    /// Allow plain http towards servers that are not on loopback.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// Timeout of connecting.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Duration,
    /// Timeout from sending a request to the head of its response, and longest pause within its body.
    #[serde(default = "default_backend_timeout")]
    pub timeout: Duration,
    /// How long an idle connection is kept. Keep it below the backend's own limit.
    #[serde(default = "default_backend_idle")]
    pub idle_timeout: Duration,
    /// HTTP/1.1: whether connections serve several requests; {requests: N} limits how many.
    #[serde(default)]
    pub keep_alive: KeepAlive,
    /// Requests in flight; above it they wait in `queue`, or get 503.
    #[serde(default = "default_backend_concurrency")]
    pub concurrency: usize,
    /// Maximum of connections to each server; above it requests wait in `queue`, or get 503. HTTP/1.1: those of all
    /// workers, idle ones included; default: no limit. HTTP/2: those of each worker; one suffices until the server's
    /// stream limit (SETTINGS_MAX_CONCURRENT_STREAMS) is reached; default: 10.
    pub max_connections: Option<usize>,
    /// Share of `concurrency` that one caller may hold by WebSockets, in percent; at least one WebSocket. Above it 429.
    #[serde(default = "default_websocket_share")]
    pub websocket_share: u32,
    /// Share of `concurrency` that one caller may hold by uploads in progress, in percent; at least one upload. Above
    /// it 429.
    #[serde(default = "default_upload_share")]
    pub upload_share: u32,
    /// Reduce `concurrency` while responses take longer than usual. Default: off.
    pub adaptive: Option<Adaptive>,
    /// Queue for requests while `concurrency` or `max_connections` is reached. Default: none.
    pub queue: Option<Queue>,
    /// Fail at once with 503 while the backend does not answer.
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    /// Retries, in percent of all requests; 10 in 10 s are always allowed. 0: none.
    #[serde(default = "default_retry_budget")]
    pub retry_budget: u32,
}

/// What becomes of redirects and cookies that name the backend's own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redirects {
    /// They name what the caller sees.
    #[default]
    Rewrite,
    /// They stay as they are.
    Pass,
}

fn default_host() -> String {
    "caller".to_owned()
}

fn default_response_fields() -> usize {
    100
}

fn default_response_head() -> Size {
    Size::kib(64)
}

fn default_slow_start() -> Duration {
    Duration::seconds(10)
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackendAssertion {
    /// Name of the header.
    pub header: String,
    /// Its `aud`. Default: the name of the backend.
    pub audience: Option<String>,
    /// Lifetime, from `iat` to `exp`. At most 5m.
    pub lifetime: Duration,
    /// `covered`: each body is read whole before it is forwarded, and its SHA-256 is a claim. `streamed`: bodies pass
    /// as they come, without it.
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

/// `covered`: each body is read whole before it is forwarded, and its SHA-256 is a claim. `streamed`: bodies pass as
/// they come, without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssertionBody {
    /// Each body is read whole before it is sent on, up to the limit of bodies, and the proof has its SHA-256.
    #[default]
    Covered,
    /// Bodies pass as they come; the proof has the SHA-256 only of those that the gateway reads anyway.
    Streamed,
}

/// TLS towards a backend.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendTls {
    /// A PEM file of the trusted CA certificates, or of the server's own certificate, self-signed or not. Default: those
    /// of the operating system.
    pub ca: Option<FilePath>,
    /// The SHA-256 of the server's certificate in hex, as `openssl x509 -noout -fingerprint -sha256` prints it: then no
    /// other is accepted, and its names and dates do not count. Several while it is replaced.
    #[serde(default)]
    pub pin_sha256: Vec<String>,
    /// PEM file of a client certificate chain.
    pub certificate: Option<FilePath>,
    /// PEM file of its private key.
    pub private_key: Option<FilePath>,
    /// Name for SNI, which the server's certificate must have. Default: the host in its address.
    pub server_name: Option<String>,
    /// Accept any certificate. Anyone on the way can then read and change everything.
    #[serde(default)]
    pub danger_accept_any_certificate: bool,
}

/// The gateway's own credential towards a backend.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum BackendAuthorization {
    /// `Authorization: Basic`.
    Basic(BasicCredential),
    /// `Authorization: Bearer`.
    Bearer(SecretRef),
    /// A header of any name.
    Header(HeaderCredential),
    /// `Authorization: Bearer`, with an access token of the company's OAuth server.
    OAuth(OAuthCredential),
}

/// Client of an OAuth server, which gets access tokens for this backend (client credentials grant).
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuthCredential {
    /// The https address of its token endpoint.
    pub token_url: String,
    /// The id of this gateway there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretRef,
    /// How the secret is shown: in `Authorization: Basic`, or in the form.
    #[serde(default)]
    pub auth: OAuthClientAuth,
    /// Scopes to ask for. Default: those that the server gives.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Further parameters of the request, such as `audience` or `resource`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// A PEM file of the CA certificates by which that server is verified. Default: those of the system.
    pub ca: Option<FilePath>,
    /// Send the secret by plain http over a network. Anyone on the way can then read it.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// Timeout of one request.
    #[serde(default = "default_token_timeout")]
    pub timeout: Duration,
}

fn default_token_timeout() -> Duration {
    Duration::seconds(5)
}

/// How a client shows its secret (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OAuthClientAuth {
    /// `Authorization: Basic`.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form.
    Form,
}

/// `Authorization: Basic`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicCredential {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretRef,
}

/// A header of any name.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCredential {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretRef,
}
