//! Callers: `clients`, `api_keys`.

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::certificate::{CertificateName, OwnCertificate};
use super::{ClaimValue, FilePath, Jwks, SignatureAlgorithm};
use crate::config::scalar::{Duration, Network};

/// A system that may call. It proves itself by one of its secrets, or by what it signs with its own key.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// The hashes of its secrets; several may be valid at once. Made by `wicketgate new client-secret`, or of another
    /// kind: bcrypt, scrypt, PBKDF2, SHA-crypt. An old one ends by itself with ` until 2026-12-01T00:00:00Z` behind it.
    pub secrets: Option<Vec<String>>,
    /// Hex SHA-256 of secrets that it shows in a header of its own on routes whose `client_from` names one; several may be
    /// valid at once. Made by `wicketgate new header-secret`. An old one ends by itself with ` until
    /// 2026-12-01T00:00:00Z` behind it.
    #[serde(default)]
    pub header_secrets: Vec<String>,
    /// The public keys of its assertions (`private_key_jwt`, RFC 7523): the https address of its JWK set, {file: PATH},
    /// or {pem: PATH}.
    pub jwks: Option<Jwks>,
    /// Its signature algorithms. Default: ES256, EdDSA, PS256 and RS256.
    pub algorithms: Option<Vec<SignatureAlgorithm>>,
    /// Longest remaining lifetime of an assertion when it arrives. At most 1h.
    #[serde(default = "default_assertion_lifetime")]
    pub assertion_lifetime: Duration,
    /// A PEM file of the CA certificates by which the server of `jwks` is verified. Default: those of the system.
    pub ca: Option<FilePath>,
    /// Fetch `jwks` by plain http over a network. Anyone on the way can then impersonate this client.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// Scopes that its tokens may have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Audiences that its tokens may have, where it requests one by `resource`, beside `issuer.audience`.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Lifetime of its tokens. Default: `access_token.lifetime`.
    pub lifetime: Option<Duration>,
    /// Claims of its access tokens, as far as `access_token.claims` names them.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimValue>,
    /// Its certificate: its tokens are valid only on connections with this one, whatever the listener.
    pub certificate: Option<CertificateName>,
    /// The certificate by which it authenticates itself (`tls_client_auth`, RFC 8705 section 2.1), signed by a CA of
    /// `client_ca`. Its tokens are then bound to it.
    pub tls_client_auth: Option<CertificateName>,
    /// The certificates by which it authenticates itself, whoever signed them (`self_signed_tls_client_auth`, RFC 8705
    /// section 2.2); two may be valid at once. Its tokens are then bound to the one that it shows.
    #[serde(default)]
    pub certificates: Vec<OwnCertificate>,
    /// A PEM file of the CA certificates that sign its certificates: with those of `certificate` and `tls_client_auth` no
    /// other CA of a listener can stand for it. Default: any CA of `listen[].tls.client_ca`.
    pub client_ca: Option<FilePath>,
    /// Bind its tokens to the certificate with which it requests them (RFC 8705 section 3): then they are valid only on
    /// connections with the same one.
    #[serde(default)]
    pub certificate_bound_tokens: bool,
    /// Grant types that it may use at the token endpoint (RFC 7591 section 2). Default: all.
    pub grant_types: Option<Vec<GrantType>>,
    /// Where customers return to with an authorization code (RFC 6749 section 4.1): absolute addresses, compared
    /// exactly. A client that has some may use the authorization code grant.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// It cannot keep a secret, as a page or an app: PKCE is its only proof, and it may use no other grant but refresh
    /// tokens.
    #[serde(default)]
    pub public: bool,
    /// Whether its authorization requests must have a `code_challenge` (PKCE, RFC 7636).
    #[serde(default)]
    pub pkce: Pkce,
    /// Tokens that it may introspect at `/oauth/introspect`.
    #[serde(default)]
    pub introspect: TokenReach,
    /// Tokens that it may revoke at `/oauth/revoke`.
    #[serde(default)]
    pub revoke: TokenReach,
}

/// A grant type of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// `client_credentials`: an access token of the client's own (RFC 6749 section 4.4).
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:token-exchange`: a short token of this gateway for a customer's (RFC 8693).
    TokenExchange,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`: the same, with the customer's token as an assertion (RFC 7523).
    JwtBearer,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClientCredentials, Self::TokenExchange, Self::JwtBearer];

    /// The value of the parameter `grant_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// Returns whether it begins with a token of a customer.
    pub fn needs_customers(self) -> bool {
        self != Self::ClientCredentials
    }
}

/// Whether a client must use PKCE (RFC 9700 section 2.1.1). Its method is S256, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    /// It must.
    #[default]
    Required,
    /// It need not: for a client that cannot, and has a secret.
    Optional,
}

/// Which tokens a client may ask about, or revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenReach {
    /// Those issued to it, and all customers' JWTs and refresh tokens.
    #[default]
    All,
    /// Only those issued to it: its access tokens.
    Own,
    /// None: it gets `unauthorized_client`.
    None,
}

fn default_assertion_lifetime() -> Duration {
    Duration::seconds(300)
}

/// The algorithms of assertions where `clients[].algorithms` does not say.
const ASSERTION_ALGORITHMS: [SignatureAlgorithm; 4] =
    [SignatureAlgorithm::ES256, SignatureAlgorithm::EdDSA, SignatureAlgorithm::PS256, SignatureAlgorithm::RS256];

impl Client {
    /// The hashes of its secrets.
    pub fn secrets(&self) -> &[String] {
        self.secrets.as_deref().unwrap_or_default()
    }

    /// The grant types that it may use.
    pub fn grant_types(&self) -> &[GrantType] {
        self.grant_types.as_deref().unwrap_or(&GrantType::ALL)
    }

    /// Whether it has a way to authenticate itself.
    pub fn can_authenticate(&self) -> bool {
        let by_certificate = self.tls_client_auth.is_some() || !self.certificates.is_empty();
        let by_secret = self.secrets.is_some() || !self.header_secrets.is_empty();
        by_secret || self.jwks.is_some() || by_certificate
    }

    /// The signature algorithms of its assertions.
    pub fn algorithms(&self) -> &[SignatureAlgorithm] {
        self.algorithms.as_deref().unwrap_or(&ASSERTION_ALGORITHMS)
    }
}

/// An API key.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name in logs and metrics.
    pub id: String,
    /// Hex SHA-256 of the whole key as sent; several may be valid at once. Made by `wicketgate new api-key`. An old one
    /// ends by itself with ` until 2026-12-01T00:00:00Z` behind it.
    pub sha256: Vec<String>,
    /// The only client that may use it.
    pub client: Option<String>,
    /// Names of the routes for which it is valid.
    pub routes: Vec<String>,
    /// Networks that it may be used from, such as 203.0.113.0/24. Empty: any.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub allow: Vec<IpNet>,
    /// Its expiry, such as 2027-01-01T00:00:00Z. Default: never.
    pub expires: Option<String>,
    /// Calls that it may make.
    pub quota: Option<Quota>,
}

/// Quota of an API key: calls per day or month. Above it 429 until the next day or month.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Calls per day (UTC).
    pub day: Option<u64>,
    /// Calls per month (UTC).
    pub month: Option<u64>,
}
