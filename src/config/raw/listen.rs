//! Listeners: `listen`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::FilePath;
use super::certificate::{CertificateName, CertificatePolicy};
use crate::config::scalar::{Duration, Network, Size, SocketAddress};

/// One address on which callers connect.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Its name, for `routes[].listen`.
    pub name: Option<String>,
    /// IP address and port, such as 0.0.0.0:8443. Port 0 picks a free one.
    #[schemars(with = "SocketAddress")]
    pub address: SocketAddr,
    /// TLS for this address. Without it the address must be on loopback, unless there is `plain_http_from`.
    /// docs/requests.md lists versions, suites and key exchange.
    pub tls: Option<Tls>,
    /// Load balancers and sidecars that terminate TLS in front of an address without `tls`, as networks. Connections
    /// from others are closed.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub plain_http_from: Vec<IpNet>,
    /// With `plain_http_from`: refuse calls for which `X-Forwarded-Proto` of `trusted_proxies` does not say https.
    #[serde(default = "required")]
    pub require_https: bool,
    /// Networks from which callers may call; others get 403. Empty: everyone.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub allow: Vec<IpNet>,
    /// Networks of proxies in front that start each connection with a PROXY protocol header (version 1 or 2). From
    /// others no such header is accepted.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub proxy_protocol: Vec<IpNet>,
    /// Networks of proxies in front whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub trusted_proxies: Vec<IpNet>,
    /// An isolated audience: tokens issued here are for it, and only such tokens are valid here. Default:
    /// `issuer.audience`.
    pub audience: Option<String>,
    /// An https address. This listener only redirects there (308); callers that send credentials are refused.
    pub redirect: Option<String>,
    /// Host names that are served here, without port; requests for others get 421. Empty: all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The host that an HTTP/1.0 request without `Host` is for. Default: it gets 400.
    pub default_host: Option<String>,
    /// This listener answers only proxies that ask for decisions (`forward_auth`); then no other listener answers them.
    #[serde(default)]
    pub forward_auth: bool,
    /// Limits of connections and requests.
    #[serde(default)]
    pub limits: ListenLimits,
}

fn required() -> bool {
    true
}

/// TLS of a listener.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificates. The one whose names match the caller's SNI is used, otherwise the first.
    pub certificates: Vec<Certificate>,
    /// Lowest version that is accepted. "1.2" is limited to ECDHE suites with AEAD.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// A PEM file of CA certificates: callers are asked for a certificate signed by one of them.
    pub client_ca: Option<FilePath>,
    /// `required` refuses callers without a certificate; `optional` verifies one where it is sent.
    pub client_certificate: Option<ClientCertificate>,
    /// `max-age` of `Strict-Transport-Security`: browsers use https only with this host for that long.
    pub hsts: Option<Duration>,
    /// Files of revoked certificates (CRLs), PEM or DER. With one, each CA in a caller's chain needs a CRL that has not
    /// expired. Default: revocation is not checked.
    #[serde(default)]
    pub client_crl: Vec<FilePath>,
    /// The certificates to accept, where not all that the CAs signed are: those that match one entry.
    #[serde(default)]
    pub client_names: Vec<CertificateName>,
    /// Also accept the certificates of `clients[].certificates`, whoever signed them. Each is valid for its client
    /// only.
    #[serde(default)]
    pub client_self_signed: bool,
    /// `strict` refuses RSA keys below 3072 bits, and certificates that are valid for three years or more.
    #[serde(default)]
    pub client_certificate_policy: CertificatePolicy,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// PEM file of the chain, the server's own certificate first.
    pub certificate: FilePath,
    /// PEM file of the private key. It must not be readable by others.
    pub private_key: FilePath,
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3 only.
    #[default]
    #[serde(rename = "1.3")]
    V13,
}

/// Client certificates: not asked for, optional or required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// No certificate, no connection.
    Required,
    /// A certificate is checked where there is one.
    Optional,
}

/// Bounds on what one connection may cost.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenLimits {
    /// Open connections; above it new ones are closed at once.
    pub connections: usize,
    /// Open connections of one address, an IPv6 /64 being one; above it new ones are closed at once.
    pub connections_per_address: Option<usize>,
    /// TLS handshakes in progress; above it new connections are closed at once.
    pub handshakes: usize,
    /// Concurrent requests on one HTTP/2 connection; above it new ones are refused with REFUSED_STREAM.
    pub streams: u32,
    /// The request line and all header fields together; above it 431.
    pub head: Size,
    /// Header fields of a request; above it 431.
    pub headers: usize,
    /// The request target; above it 414.
    pub target: Size,
    /// A token of a caller; above it 401. At most 64KiB.
    pub token: Size,
    /// A request body, unless the route says otherwise; above it 413.
    pub body: Size,
    /// From connecting to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first to the last byte of a request head.
    pub head_timeout: Duration,
    /// Longest pause within a request body, and in the caller's reading of the response.
    pub body_idle_timeout: Duration,
    /// From the request head to the last byte of the response, even while data flows.
    pub request_timeout: Duration,
    /// How long a connection without a request stays open.
    pub idle_timeout: Duration,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: None,
            handshakes: 10_000,
            streams: 100,
            head: Size::kib(32),
            headers: 100,
            target: Size::kib(8),
            token: Size::kib(16),
            body: Size::mib(1),
            handshake_timeout: Duration::seconds(10),
            head_timeout: Duration::seconds(10),
            body_idle_timeout: Duration::seconds(30),
            request_timeout: Duration::seconds(300),
            idle_timeout: Duration::seconds(75),
        }
    }
}
