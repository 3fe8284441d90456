//! Where callers connect: `listen`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;

use super::FilePath;
use super::certificate::{CertificateName, CertificatePolicy};
use crate::config::scalar::{Duration, Network, Size, SocketAddress};

/// One address on which callers connect.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Its name, for `routes[].listen`.
    pub name: Option<String>,
    /// IP address and port, such as 0.0.0.0:8443. Port 0 picks a free one.
    #[schemars(with = "SocketAddress")]
    pub address: SocketAddr,
    /// TLS for this address. Without it the address must be on loopback, unless there is `plain_http_from`.
    pub tls: Option<Tls>,
    /// The load balancers and sidecars that end TLS in front of an address without `tls`, as networks. Connections from
    /// others are closed.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub plain_http_from: Vec<IpNet>,
    /// With `plain_http_from`: whether a call is refused of which `X-Forwarded-Proto` of `trusted_proxies` does not say
    /// that it came by https.
    #[serde(default = "required")]
    pub require_https: bool,
    /// The callers' addresses that may connect, as networks. Empty: everyone.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub allow: Vec<IpNet>,
    /// Proxies in front that begin each connection with a PROXY protocol header (version 1 or 2), as networks. From
    /// others no such header is taken.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub proxy_protocol: Vec<IpNet>,
    /// Proxies in front whose `X-Forwarded-For` and `X-Forwarded-Proto` count, as networks.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub trusted_proxies: Vec<IpNet>,
    /// An audience set apart: tokens issued here are for it, and only such are good here. Default: `issuer.audience`.
    pub audience: Option<String>,
    /// Answers nothing here: callers without credentials are sent to this https address, the others are refused.
    pub redirect: Option<String>,
    /// Answers only proxies that ask about requests (`forward_auth`); then no other listener answers them.
    #[serde(default)]
    pub forward_auth: bool,
    /// How large and how slow a caller may be.
    #[serde(default)]
    pub limits: ListenLimits,
}

fn required() -> bool {
    true
}

/// TLS of a listener.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificates. The one whose names match the caller's SNI is used, and the first where none does.
    pub certificates: Vec<Certificate>,
    /// The lowest version that is accepted. "1.2" is limited to ECDHE suites with AEAD.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// A PEM file of CA certificates: callers are asked for a certificate that one of them signed.
    pub client_ca: Option<FilePath>,
    /// Whether a caller without a certificate is refused.
    pub client_certificate: Option<ClientCertificate>,
    /// For how long browsers are told to use https only with this host (`Strict-Transport-Security`).
    pub hsts: Option<Duration>,
    /// Files of revoked certificates (CRLs), PEM or DER. Where there is one, each CA in a caller's chain needs one that has
    /// not expired. Default: revocation is not checked.
    #[serde(default)]
    pub client_crl: Vec<FilePath>,
    /// Whose certificates are good, where not all that the CAs signed are: those to which one of these fits.
    #[serde(default)]
    pub client_names: Vec<CertificateName>,
    /// Also take the certificates of `clients[].certificates`, whoever has signed them. Each counts for its client alone.
    #[serde(default)]
    pub client_self_signed: bool,
    /// `strict` refuses RSA keys below 3072 bits, and certificates that are valid for three years or more.
    #[serde(default)]
    pub client_certificate_policy: CertificatePolicy,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The PEM file of the chain, the server's own certificate first.
    pub certificate: FilePath,
    /// The PEM file of the private key. It must not be readable by others.
    pub private_key: FilePath,
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3 only.
    #[default]
    #[serde(rename = "1.3")]
    V13,
}

/// Whether callers must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// No certificate, no connection.
    Required,
    /// A certificate is checked where there is one.
    Optional,
}

/// Bounds on what one connection may cost.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenLimits {
    /// Connections open at once; above it new ones are closed at once.
    pub connections: usize,
    /// Connections open at once from one address, an IPv6 /64 being one; above it new ones are closed at once.
    pub connections_per_address: Option<usize>,
    /// TLS handshakes at once; above it new connections are closed at once.
    pub handshakes: usize,
    /// Requests at once on one HTTP/2 connection; above it new ones are refused with REFUSED_STREAM.
    pub streams: u32,
    /// The request line and all header fields together; above it 431.
    pub head: Size,
    /// Header fields in a request; above it 431.
    pub headers: usize,
    /// The request target; above it 414.
    pub target: Size,
    /// A request body, unless the route says otherwise; above it 413.
    pub body: Size,
    /// From connecting to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first to the last byte of a request head.
    pub head_timeout: Duration,
    /// Between two pieces of a request body, and for the caller to take a piece of the response.
    pub body_idle_timeout: Duration,
    /// From the head of a request to the last byte of its response, however busy both sides are.
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
            body: Size::mib(1),
            handshake_timeout: Duration::seconds(10),
            head_timeout: Duration::seconds(10),
            body_idle_timeout: Duration::seconds(30),
            request_timeout: Duration::seconds(300),
            idle_timeout: Duration::seconds(75),
        }
    }
}
