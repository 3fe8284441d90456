//! Issuers of tokens besides this gateway: `trusted_issuers`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::client_role::default_roles;
use super::{ClaimRule, ClientRole, FilePath, IssuerRole, SecretRef};
use crate::config::scalar::Duration;

/// An issuer of tokens besides this gateway. Its keys come from `jwks`, `discovery` or `secret`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// Whose tokens it issues. With `client`, its system tokens open routes that require `client`.
    #[serde(rename = "for", default = "default_roles")]
    pub roles: Vec<IssuerRole>,
    /// Its system tokens. Needed where `for` has `client`.
    pub client: Option<ClientRole>,
    /// Its public keys: the https address of its JWK set, or {file: PATH}.
    pub jwks: Option<Jwks>,
    /// Find the JWKS by OpenID Connect Discovery (RFC 8414).
    #[serde(default)]
    pub discovery: bool,
    /// A secret that the issuer signs with (HS256, HS384, HS512), and that nobody else has.
    pub secret: Option<SecretRef>,
    /// A PEM file of the CA certificates by which its server is verified. Default: those of the system.
    pub ca: Option<FilePath>,
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
    /// Its signature algorithms.
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

impl TrustedIssuer {
    /// Whether it issues tokens of this kind of caller.
    pub fn is_for(&self, role: IssuerRole) -> bool {
        self.roles.contains(&role)
    }
}

impl SignatureAlgorithm {
    /// Whether it signs with a secret that both sides know.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}
