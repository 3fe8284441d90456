//! Issuers of customers' tokens besides this gateway: `trusted_issuers`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::{FilePath, Introspection, SecretRef};
use crate::config::scalar::Duration;

/// An issuer of customers' tokens besides this gateway. Its keys come from `jwks`, `discovery` or `secret`; with
/// `introspection` it needs none.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// Its public keys: the https address of its JWK set, or {file: PATH}.
    pub jwks: Option<Jwks>,
    /// Find the JWKS by OpenID Connect Discovery (RFC 8414): true, or the https address of the metadata where they stand
    /// elsewhere or name another issuer.
    #[serde(default)]
    pub discovery: Discovery,
    /// A secret that the issuer signs with (HS256, HS384, HS512), and that nobody else has.
    pub secret: Option<SecretRef>,
    /// The endpoint that says whether a token is good that is no JWT (RFC 7662).
    pub introspection: Option<Introspection>,
    /// A PEM file of the CA certificates by which its server is verified. Default: those of the system.
    pub ca: Option<FilePath>,
    /// The HTTP proxy on the way to its server: its address, `none`, or {url, username, password}. Default: that of the
    /// environment.
    pub proxy: Option<ProxyChoice>,
    /// Fetch its keys by plain http over a network. Anyone on the way can then forge every token.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// Let `discovery` lead to another host within a private network.
    #[serde(default)]
    pub danger_private_addresses: bool,
    /// Fetching and caching of its keys.
    #[serde(default)]
    pub refresh: KeyRefresh,
    /// Accepted `aud` values; one of them must be in the token.
    pub audiences: Vec<String>,
    /// Its signature algorithms. Required where it has keys.
    #[serde(default)]
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Accepted values of `typ`. Default: JWT, or none.
    pub types: Option<Vec<String>>,
    /// The claim from which the identifier is derived: its name, or a JSON pointer such as /user/id.
    #[serde(default = "default_subject_claim")]
    pub subject: String,
    /// Namespace in which its subjects are unique. Default: `issuer`. Where it is that of the gateway's own accounts
    /// (`identifier.tenant`, else `issuer.url`) or of another issuer, the same subject in both is the same customer.
    pub tenant: Option<String>,
    /// Tolerated difference of its clock. At most 60s.
    #[serde(default = "super::issuing::default_clock_skew")]
    pub clock_skew: Duration,
    /// Longest accepted lifetime of its tokens, from `iat` to `exp`. Default: any.
    pub max_lifetime: Option<Duration>,
    /// Required values of other claims, by name or JSON pointer.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimRule>,
    /// Claims that backends may be told by `${claims.NAME}` in `request_headers.set`: names or JSON pointers.
    #[serde(default)]
    pub forward_claims: Vec<String>,
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

/// Discovery of an issuer's keys: by the issuer's own address, or by another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Discovery {
    /// Whether the metadata are looked for where the standards say.
    Flag(bool),
    /// The https address of the metadata.
    Url(String),
}

impl Default for Discovery {
    fn default() -> Self {
        Self::Flag(false)
    }
}

impl Discovery {
    /// True if keys are found by discovery.
    pub fn is_on(&self) -> bool {
        *self != Self::Flag(false)
    }
}

/// The HTTP proxy on the way to others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProxyChoice {
    /// `http://host:port`, or `none`.
    Url(String),
    /// One that wants a user name and a password.
    WithPassword(ProxyWithPassword),
}

/// An HTTP proxy that wants a user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyWithPassword {
    /// Its address: http://host:port.
    pub url: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretRef,
}

/// The public keys of an issuer: an address, or a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Jwks {
    /// The https address of a JWK set (RFC 7517 section 5).
    Url(String),
    /// A JSON file: a JWK set.
    File(JwksFile),
}

/// A JSON file: a JWK set (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksFile {
    /// The path of the file.
    pub file: FilePath,
}

/// Refresh of a JWKS: interval, cooldown, longest use of old keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRefresh {
    /// Time between fetches. Shorter where Cache-Control says so, but at least one minute.
    pub interval: Duration,
    /// How long after a fetch a token with an unknown `kid` causes no other.
    pub cooldown: Duration,
    /// How long keys stay valid while the issuer is unavailable, also over a restart.
    pub keep: Duration,
    /// Timeout of one fetch.
    pub timeout: Duration,
}

impl Default for KeyRefresh {
    fn default() -> Self {
        Self {
            interval: Duration::seconds(600),
            cooldown: Duration::seconds(30),
            keep: Duration::seconds(24 * 3600),
            timeout: Duration::seconds(5),
        }
    }
}

/// Condition on a claim: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ClaimRule {
    /// This value, of the same type.
    Equals(ClaimValue),
    /// One of these values.
    OneOf(Vec<ClaimValue>),
    /// A list with this value in it, or a text of words with this one among them.
    Contains(ClaimValue),
    /// Anything: `present: true`.
    Present(bool),
}

/// A value of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimValue {
    /// A text.
    Text(String),
    /// true or false.
    Flag(bool),
    /// A whole number.
    Number(u64),
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

impl SignatureAlgorithm {
    /// Whether it signs with a secret that both sides know.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}
