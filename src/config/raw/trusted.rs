//! Issuers of tokens besides this gateway: `trusted_issuers`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::client_role::default_roles;
use super::{ClaimRule, ClientRole, FilePath, Introspection, IssuerRole, ProviderLogout, SecretRef, SecurityEvents};
use crate::config::scalar::Duration;

/// An issuer of tokens besides this gateway. Its keys come from `jwks`, `discovery` or `secret`; with
/// `introspection` it needs none.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, exactly. A list has the spellings of one issuer: the first is the name by which its customers
    /// are known. `{tenant}` stands for each of `tenants`.
    pub issuer: IssuerNames,
    /// The tenants whose tokens are accepted, by their ids, as they stand in `iss` in the place of `{tenant}`. Customers of
    /// different tenants are different customers.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Whose tokens it issues. With `client`, its system tokens open routes that require `client`.
    #[serde(rename = "for", default = "default_roles")]
    pub roles: Vec<IssuerRole>,
    /// Its system tokens. Needed where `for` has `client`.
    pub client: Option<ClientRole>,
    /// Its public keys: the https address of its JWK set, {file: PATH}, or {pem: PATH}.
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
    /// Accepted `aud` values; one of them must be in the token. `none`: its tokens have no `aud`, and `claims` say whom they
    /// are for.
    pub audiences: AcceptedAudiences,
    /// Its signature algorithms. Required where it has keys.
    #[serde(default)]
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Accepted values of `typ`; `none` for tokens without it. Default: JWT, none.
    pub types: Option<Vec<String>>,
    /// The claim from which the identifier is derived: its name, or a JSON pointer such as /user/id.
    #[serde(default = "default_subject_claim")]
    pub subject: String,
    /// Accept a `subject` that a customer can change, or that may be given to another person.
    #[serde(default)]
    pub danger_personal_subject: bool,
    /// Namespace in which its subjects are unique. Default: `issuer`, with the tenant in it. Where it is that of the gateway's own accounts
    /// (`identifier.tenant`, else `issuer.url`) or of another issuer, the same subject in both is the same customer.
    pub tenant: Option<String>,
    /// Tolerated difference of its clock. At most 5m.
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
    /// It tells of logouts at POST /oauth/backchannel_logout (OpenID Connect Back-Channel Logout 1.0).
    pub logout: Option<ProviderLogout>,
    /// It pushes security events to POST /oauth/security_events (OpenID Shared Signals, RFC 8935).
    pub security_events: Option<SecurityEvents>,
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

/// The place of a tenant in the names of an issuer.
const TENANT: &str = "{tenant}";

impl TrustedIssuer {
    /// Its name in logs, metrics and `readiness.require`: that of its only tenant, or with `{tenant}` in it.
    pub fn name(&self) -> String {
        match &self.tenants[..] {
            [tenant] => self.issuer.first().replace(TENANT, tenant),
            _ => self.issuer.first().to_owned(),
        }
    }

    /// Returns whether it is called so: as it is written, or by a value of `iss`.
    pub fn has_name(&self, name: &str) -> bool {
        self.issuer.all().iter().any(|written| written == name)
            || self.spellings().iter().flatten().any(|iss| iss == name)
    }

    /// The values of `iss` in its tokens: a list for each tenant, or only one. The first of a list is the name by which the
    /// customers are known.
    pub fn spellings(&self) -> Vec<Vec<String>> {
        let names = self.issuer.all();
        if self.tenants.is_empty() {
            return vec![names.to_vec()];
        }
        let of_tenant = |tenant: &String| names.iter().map(|name| name.replace(TENANT, tenant)).collect();
        self.tenants.iter().map(of_tenant).collect()
    }
}

/// Names of one issuer: the values of `iss` in its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum IssuerNames {
    /// The only one.
    One(String),
    /// Spellings, such as with and without a slash at the end.
    Several(Vec<String>),
}

impl IssuerNames {
    /// The name by which its customers are known. Empty where none is written.
    pub fn first(&self) -> &str {
        self.all().first().map_or("", String::as_str)
    }

    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }

    /// Returns whether they are those of an issuer with tenants.
    pub fn has_tenants(&self) -> bool {
        self.all().iter().any(|name| name.contains(TENANT))
    }
}

/// Accepted `aud` values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AcceptedAudiences {
    /// These.
    Listed(Vec<String>),
    /// None: tokens have no `aud`.
    Word(NoAudience),
}

/// Tokens have no `aud`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoAudience {
    /// None.
    None,
}

/// Discovery of an issuer's keys: by the issuer's own address, or by another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ProxyChoice {
    /// `http://host:port`, or `none`.
    Url(String),
    /// One that wants a user name and a password.
    WithPassword(ProxyWithPassword),
}

/// An HTTP proxy that wants a user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyWithPassword {
    /// Its address: http://host:port.
    pub url: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretRef,
}

/// The public keys of an issuer: an address, or a file of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Jwks {
    /// The https address of a JWK set (RFC 7517 section 5).
    Url(String),
    /// A JSON file: a JWK set.
    File(JwksFile),
    /// A PEM file.
    Pem(PemKeys),
}

/// A PEM file: public keys (SubjectPublicKeyInfo), certificates, or both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PemKeys {
    /// The path of the file. Tokens need no `kid`, and may have any.
    pub pem: FilePath,
}

/// A JSON file: a JWK set (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksFile {
    /// The path of the file.
    pub file: FilePath,
}

/// Refresh of a JWKS: interval, cooldown, longest use of old keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
    /// Drop a key as soon as the fetched set lacks it. Else it stays valid for two intervals after it was last seen.
    pub strict: bool,
}

impl Default for KeyRefresh {
    fn default() -> Self {
        Self {
            interval: Duration::seconds(600),
            cooldown: Duration::seconds(30),
            keep: Duration::seconds(24 * 3600),
            timeout: Duration::seconds(5),
            strict: false,
        }
    }
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864). `EdDSA` and `Ed25519` are two names of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
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
    Ed25519,
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
