//! Tokens, sessions and identifiers that this gateway issues: `issuer`, `identifier`, `login`, `access_token`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{FilePath, SecretRef};
use crate::config::scalar::{Duration, Rate};

/// The tokens that this gateway signs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

fn default_publish_delay() -> Duration {
    Duration::seconds(600)
}

pub(super) fn default_clock_skew() -> Duration {
    Duration::seconds(30)
}

/// The opaque customer identifier: unique, consistent, opaque, traceable only by the company.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierMode {
    /// Encrypted (AES-SIV): whoever holds the key can map it back with `wicketgate id trace`.
    #[default]
    Traceable,
    /// A keyed hash (HMAC-SHA-256): only `wicketgate id for` a known subject gives it again.
    OneWay,
}

/// POST /auth/customer_authenticate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Path of this endpoint.
    #[serde(default = "default_login_path")]
    pub path: String,
    /// The accounts that may log in.
    pub accounts: Accounts,
    /// What a login returns.
    #[serde(default)]
    pub issue: Issue,
    /// Lifetime of a login.
    #[serde(default = "default_lifetime")]
    pub lifetime: Duration,
    /// JSON type of `issued_at` and `expires_in`.
    #[serde(default)]
    pub number_style: NumberStyle,
    /// Also accept the two fields as a JSON object.
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
}

/// Lockout: after `free` failures the delay doubles with each further one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

/// Accounts for logins: a file of accounts, or the company's own login.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// A YAML file: a list of {username, password: "$argon2id$...", subject}. `wicketgate hash-password` makes its
    /// lines.
    pub file: Option<FilePath>,
    /// Find accounts of the file regardless of letter case, width and surrounding spaces of the name (trim, NFKC, case
    /// fold).
    #[serde(default)]
    pub fold: bool,
    /// A backend that verifies passwords instead of a file: it gets the same form, and answers 2xx for a right
    /// password.
    pub backend: Option<String>,
    /// Path of the login on that backend.
    pub path: Option<String>,
    /// JSON pointer, such as /customer/id, to the customer in the response of that backend, a string or an integer.
    /// Anything else there, such as null, is an outage: 503.
    pub subject: Option<String>,
    /// Responses of that backend that mean a wrong password.
    pub no: Option<LoginDenial>,
}

/// Response of a login backend to a wrong user name or password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginDenial {
    /// These statuses mean a wrong password: the caller gets 401, and a failed attempt is counted. Any other but 2xx is
    /// an outage: 503.
    #[serde(default = "default_denials")]
    pub status: Vec<u16>,
}

impl Default for LoginDenial {
    fn default() -> Self {
        Self { status: default_denials() }
    }
}

fn default_denials() -> Vec<u16> {
    vec![400, 401, 403, 404, 422]
}

/// Result of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NumberStyle {
    /// As JSON strings, as in ASAPP's examples.
    #[default]
    String,
    /// As JSON numbers, as in RFC 6749.
    Number,
}

/// The session cookie.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The sustained rate, such as 100/s or 30/m.
    pub rate: Rate,
    /// Calls that may come at once. Default: the number in `rate`.
    pub burst: Option<u32>,
}

/// POST /oauth/access_token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    /// Path of this endpoint.
    #[serde(default = "default_token_path")]
    pub path: String,
    /// Lifetime of an access token.
    #[serde(default = "default_lifetime")]
    pub lifetime: Duration,
    /// JSON type of `issued_at` and `expires_in`.
    #[serde(default)]
    pub number_style: NumberStyle,
    /// Rate limit on verifying wrong secrets of one client, from all addresses. Right ones are not counted.
    #[serde(default = "default_name_limits")]
    pub limits: RateLimit,
    /// Lockout after wrong secrets and assertions. A right assertion or certificate passes whatever failed before.
    #[serde(default)]
    pub attempts: Attempts,
}

impl Default for AccessToken {
    fn default() -> Self {
        Self {
            path: default_token_path(),
            lifetime: default_lifetime(),
            number_style: NumberStyle::default(),
            limits: default_name_limits(),
            attempts: Attempts::default(),
        }
    }
}

fn default_token_path() -> String {
    "/oauth/access_token".to_owned()
}
