//! Tokens, sessions and identifiers that this gateway issues: `issuer`, `identifier`, `login`, `access_token`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Accounts, Cors, FilePath, LoginProvider, SecretRef};
use crate::config::scalar::{Duration, Rate};

/// The tokens that this gateway signs.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` of every token: the public https URL of this gateway.
    pub url: String,
    /// The `aud` of every token, and the one that is required of them.
    pub audience: String,
    /// A directory of private keys (*.pem, PKCS#8: RSA of at least 2048 bits, EC P-256 or Ed25519). The newest signs
    /// once it has been published for `publish_delay`; each verifies until the last token that it signed has expired.
    pub signing_keys: PathBuf,
    /// How long a new key is published before it signs: longer than others cache the JWKS.
    #[serde(default = "default_publish_delay")]
    pub publish_delay: Duration,
    /// Tolerated clock difference for `exp`, `nbf` and `iat`. At most 60s. Revocations of tokens of this gateway do not
    /// depend on clocks.
    #[serde(default = "default_clock_skew")]
    pub clock_skew: Duration,
}

impl Issuer {
    /// The address of a path of ours. Endpoints stand at the root of the host, whatever path the issuer has.
    pub fn at_root(&self, path: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("https", &self.url));
        format!("{scheme}://{}{path}", rest.split('/').next().unwrap_or(rest))
    }
}

fn default_publish_delay() -> Duration {
    Duration::seconds(600)
}

pub(super) fn default_clock_skew() -> Duration {
    Duration::seconds(30)
}

/// The opaque customer identifier: unique, consistent, opaque, traceable only by the company.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identifier {
    /// The key that identifiers are derived with. It is separate from the signing keys: rotating those changes no
    /// identifier.
    pub key: SecretRef,
    /// `traceable` identifiers can be mapped back by operators, `one_way` ones by nobody.
    #[serde(default)]
    pub mode: IdentifierMode,
    /// Namespace of the gateway's own accounts, beside their subject. Changing it changes every identifier. Default:
    /// `issuer.url`.
    pub tenant: Option<String>,
}

/// Mode of identifiers: traceable by operators, or one-way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierMode {
    /// Encrypted (AES-SIV): whoever holds the key can map it back with `wicketgate id trace`.
    #[default]
    Traceable,
    /// A keyed hash (HMAC-SHA-256): only `wicketgate id for` a known subject gives it again.
    OneWay,
}

/// POST /auth/customer_authenticate.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Path of this endpoint.
    #[serde(default = "default_login_path")]
    pub path: String,
    /// The accounts that may log in. Not beside `provider`.
    pub accounts: Option<Accounts>,
    /// The company's provider, at which customers log in for a client with `redirect_uris`, in place of `accounts`.
    pub provider: Option<LoginProvider>,
    /// What a login returns.
    #[serde(default)]
    pub issue: Issue,
    /// Lifetime of a login.
    #[serde(default = "default_lifetime")]
    pub lifetime: Duration,
    /// JSON type of `issued_at` and `expires_in`.
    #[serde(default)]
    pub number_style: NumberStyle,
    /// Also accept the two fields as members of a JSON object, whatever other members it has.
    #[serde(default)]
    pub json: bool,
    /// Claims of the account to include in its JWT. Names that stand for personal data are refused.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Those of `claims` that backends may be told by `${claims.NAME}` in `request_headers.set`. A session cookie has
    /// none.
    #[serde(default)]
    pub forward_claims: Vec<String>,
    /// The session cookie, where `issue` is cookie or both.
    pub cookie: Option<Cookie>,
    /// Rate limit on verifying wrong passwords of one login name, from all addresses. Right ones are not counted.
    #[serde(default = "default_name_limits")]
    pub limits: RateLimit,
    /// Lockout after wrong passwords.
    #[serde(default)]
    pub attempts: Attempts,
    /// Maximum of sessions by cookie of one customer, and of refresh tokens. One more ends the oldest login.
    #[serde(default = "default_max_per_customer")]
    pub max_per_customer: usize,
    /// Also return a refresh token, which gives further JWTs without a password. Default: none.
    pub refresh: Option<Refresh>,
    /// Pages of other origins that may log in and out from a browser. Default: none.
    pub cors: Option<Cors>,
    /// The page on which customers log in for a client with `redirect_uris`.
    #[serde(default)]
    pub page: LoginPage,
}

/// The login page at `/oauth/authorize`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoginPage {
    /// Its title and heading.
    pub title: String,
    /// A file of CSS that is added to its style. It can have pictures as `data:` addresses, and nothing from elsewhere.
    pub stylesheet: Option<FilePath>,
}

impl Default for LoginPage {
    fn default() -> Self {
        Self { title: "Log in".to_owned(), stylesheet: None }
    }
}

/// Lockout: after `free` failures the delay doubles with each further one.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attempts {
    /// Failures under one name from one address without a delay.
    pub free: u32,
    /// Failures from one address without a delay, all names together; IPv6 by /64. A success clears those of its own
    /// name only.
    pub free_per_address: u32,
    /// The first delay.
    pub delay: Duration,
    /// The longest delay. After twice this time without a failure the count is reset.
    pub longest: Duration,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { free: 5, free_per_address: 100, delay: Duration::seconds(1), longest: Duration::seconds(15 * 60) }
    }
}

/// Refresh tokens (RFC 6749 section 6): each is good once; one that comes back after `grace` ends the login.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// How long after the login the last of them expires.
    #[serde(default = "default_refresh_lifetime")]
    pub lifetime: Duration,
    /// How long after its use a refresh token returns the same next one again: two tabs at once, or a lost response. At
    /// most 60s. 0s: never.
    #[serde(default = "default_refresh_grace")]
    pub grace: Duration,
}

fn default_refresh_lifetime() -> Duration {
    Duration::seconds(30 * 24 * 3600)
}

fn default_refresh_grace() -> Duration {
    Duration::seconds(10)
}

fn default_max_per_customer() -> usize {
    20
}

fn default_login_path() -> String {
    "/auth/customer_authenticate".to_owned()
}

fn default_lifetime() -> Duration {
    Duration::seconds(8 * 3600)
}

fn default_name_limits() -> RateLimit {
    RateLimit { rate: Rate::per_second(20), burst: Some(100) }
}

/// Result of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Issue {
    /// A signed JWT.
    #[default]
    Jwt,
    /// A signed session cookie.
    Cookie,
    /// Both in one answer.
    Both,
}

/// Style of numbers in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NumberStyle {
    /// As JSON strings, as in ASAPP's examples.
    #[default]
    String,
    /// As JSON numbers, as in RFC 6749.
    Number,
}

/// The session cookie.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cookie {
    /// Its name.
    #[serde(default = "default_cookie_name")]
    pub name: String,
    /// How long a session lasts without a request.
    #[serde(default = "default_cookie_idle")]
    pub idle: Duration,
    /// The keys that sign it: the first signs, all verify. At least 32 random bytes, such as from `openssl rand -hex 32`. A
    /// file may hold several, one on each line, the newest first; `wicketgate rotate cookie-key` writes them.
    pub keys: Vec<SecretRef>,
    /// The SameSite attribute.
    #[serde(default)]
    pub same_site: SameSite,
    /// Other origins whose pages may make state-changing calls, such as https://www.example.com. The gateway's own is
    /// always allowed.
    #[serde(default)]
    pub origins: Vec<String>,
    /// A header whose presence proves that the call does not come from a foreign page: such a page cannot send it.
    pub csrf_header: Option<String>,
}

fn default_cookie_name() -> String {
    "__Host-session".to_owned()
}

fn default_cookie_idle() -> Duration {
    Duration::seconds(30 * 60)
}

/// The SameSite attribute of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Sent on top-level navigation only.
    #[default]
    Lax,
    /// Never sent from another site.
    Strict,
    /// Always sent.
    None,
}

/// Rate and burst.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The sustained rate, such as 100/s or 30/m.
    pub rate: Rate,
    /// Calls that may come at once. Default: the number in `rate`.
    pub burst: Option<u32>,
}

/// POST /oauth/access_token.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    /// Path of this endpoint.
    #[serde(default = "default_token_path")]
    pub path: String,
    /// Lifetime of an access token.
    #[serde(default = "default_lifetime")]
    pub lifetime: Duration,
    /// Claims of `clients[].claims` to include in access tokens. Names that stand for personal data are refused.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Tokens for clients that hand in a customer's token.
    #[serde(default)]
    pub exchange: Exchange,
    /// JSON type of `issued_at` and `expires_in`.
    #[serde(default)]
    pub number_style: NumberStyle,
    /// Rate limit on verifying wrong secrets of one client, from all addresses. Right ones are not counted.
    #[serde(default = "default_name_limits")]
    pub limits: RateLimit,
    /// Lockout after wrong secrets and assertions. A right assertion or certificate passes whatever failed before.
    #[serde(default)]
    pub attempts: Attempts,
    /// Pages of other origins that may ask for tokens and revoke them from a browser. Default: none.
    pub cors: Option<Cors>,
}

/// Tokens by which a client acts for a customer (RFC 8693, RFC 7523).
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// Their longest lifetime. They never live longer than the token that was handed in. At most 1h.
    pub lifetime: Duration,
}

impl Default for Exchange {
    fn default() -> Self {
        Self { lifetime: Duration::seconds(300) }
    }
}

impl Default for AccessToken {
    fn default() -> Self {
        Self {
            path: default_token_path(),
            lifetime: default_lifetime(),
            number_style: NumberStyle::default(),
            limits: default_name_limits(),
            attempts: Attempts::default(),
            claims: Vec::new(),
            cors: None,
            exchange: Exchange::default(),
        }
    }
}

fn default_token_path() -> String {
    "/oauth/access_token".to_owned()
}
