//! What may be called: `routes`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Cors, FieldRules, ResponseRules};
use crate::config::scalar::{Duration, Rate, Size};

/// Something that may be called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name in logs, metrics and `api_keys[].routes`.
    pub name: String,
    /// The names of the listeners on which it is served. Empty: all.
    #[serde(default)]
    pub listen: Vec<String>,
    /// The host names that it serves, without port. Empty: all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The path: a prefix of whole segments, or `{exact: /x}`.
    pub path: PathMatch,
    /// The methods that are let through.
    pub methods: Vec<String>,
    /// What a caller must show.
    #[serde(default)]
    pub require: Vec<Requirement>,
    /// Says that this route is open to everyone. Needed where `require` is empty.
    #[serde(default)]
    pub public: bool,
    /// The header in which the API key stands.
    #[serde(default = "default_api_key_header")]
    pub api_key_header: String,
    /// Whom the client's token must be for. Default: `issuer.audience`.
    pub audience: Option<String>,
    /// Whether the client must show with each call that it has the key of its token (DPoP, RFC 9449): `optional` where its
    /// token, or the customer's, is bound to one, `required` always. Default: tokens that are bound so are not taken.
    pub dpop: Option<Dpop>,
    /// The scopes that the client's token must have, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where the customer identifier goes.
    pub identifier: Option<Placement>,
    /// Where the customer's token may stand. Default: the `customer-auth: JWT` header and the session cookie.
    pub customer_token_sources: Option<Vec<CustomerTokenSource>>,
    /// The name of the backend.
    pub backend: String,
    /// `observe` logs what would be refused, and forwards.
    #[serde(default)]
    pub mode: Mode,
    /// Bounds on this route.
    #[serde(default)]
    pub limits: RouteLimits,
    /// Which requests may be sent a second time after a broken connection.
    #[serde(default)]
    pub retry: Retry,
    /// Credentials that the backend gets to see. Default: none.
    #[serde(default)]
    pub forward_credentials: Vec<Requirement>,
    /// Forward 401 responses of the backend. Default: they are 502.
    #[serde(default)]
    pub pass_unauthorized: bool,
    /// Content types that requests with a body may have. Empty: any.
    #[serde(default)]
    pub content_types: Vec<String>,
    /// Whether a WebSocket may be opened, after the same checks.
    #[serde(default)]
    pub websocket: bool,
    /// Header fields of requests that are set and removed on their way to the backend.
    pub request_headers: Option<FieldRules>,
    /// Fields of callers that reach the backend in this spelling, though by default such do not: those by which other
    /// gateways say who calls or what was asked for. Default: none.
    #[serde(default)]
    pub pass_request_headers: Vec<String>,
    /// Header fields of responses that are set and removed on their way to the caller.
    pub response_headers: Option<FieldRules>,
    /// Whether responses get the headers by which browsers do nothing with them but hand them to the page that asked:
    /// X-Content-Type-Options, X-Frame-Options, Referrer-Policy, Content-Security-Policy. Those of the backend stay.
    #[serde(default)]
    pub security_headers: bool,
    /// Which pages of other origins may call this route from a browser. Default: none.
    pub cors: Option<Cors>,
    /// What of a JSON response passes. Default: responses pass as they come.
    pub response: Option<ResponseRules>,
    /// What may stand in a path though some servers read it differently from others. Default: nothing.
    #[serde(default)]
    pub allow_in_path: Vec<InPath>,
    /// How the path is changed on its way to the backend.
    pub rewrite: Option<Rewrite>,
}

fn default_api_key_header() -> String {
    "api-key".to_owned()
}

/// A path: a prefix of whole segments, or exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PathMatch {
    /// A prefix: /account/ matches all below it; /account matches itself and all below it.
    Prefix(String),
    /// Only this path.
    Exact(ExactPath),
}

/// Only this path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExactPath {
    /// The path.
    pub exact: String,
}

/// What some servers read differently from others in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InPath {
    /// %2F, a slash to some.
    EncodedSlash,
    /// %5C, a slash to some.
    EncodedBackslash,
    /// %25, which some decode twice.
    EncodedPercent,
    /// ; and %3B, the beginning of parameters to some.
    Semicolon,
    /// //, one slash to some.
    DoubleSlash,
    /// A dot at the end of a segment, which Windows drops.
    TrailingDot,
    /// %20 at the end of a segment, which Windows drops.
    TrailingSpace,
    /// :$, as in ::$DATA, by which Windows names a stream of the same file.
    StreamName,
}

/// How the path is changed on its way to the backend.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// The beginning of the path that is taken away, whole segments such as /api.
    pub strip_prefix: Option<String>,
    /// What is put in front of the rest, whole segments such as /v2.
    pub add_prefix: Option<String>,
}

/// A credential that a route can require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// `Authorization: Bearer`, an access token of /oauth/access_token.
    Client,
    /// `customer-auth: JWT`, or the session cookie.
    Customer,
    /// `api-key`.
    ApiKey,
}

/// Where the customer identifier goes: `header` or `body`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// The name of a request header.
    pub header: Option<String>,
    /// A JSON pointer into the request body, such as /customer/id.
    pub body: Option<String>,
    /// What is sent: the opaque identifier, or the company's own key of the customer.
    #[serde(default)]
    pub send: Send,
}

/// What is sent to a backend as the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Send {
    /// The opaque identifier.
    #[default]
    Identifier,
    /// The subject that the identifier was derived from. Needs `identifier.mode: traceable`.
    Subject,
}

/// A place where the customer's token may stand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum CustomerTokenSource {
    /// A header field.
    Header(HeaderPlace),
    /// The session cookie.
    Session(bool),
    /// A cookie of this name that holds a JWT.
    Cookie(String),
    /// A JSON pointer into the request body, where a JWT stands.
    Body(String),
    /// `Authorization: Bearer`. Then the route cannot require `client`.
    Bearer(bool),
}

/// A header field that holds the customer's token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderPlace {
    /// The name of the header.
    pub name: String,
    /// The word before the token. Default: none, the token stands alone.
    pub scheme: Option<String>,
}

/// `observe` logs what would be refused, and forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Refuse.
    #[default]
    Enforce,
    /// Check all, refuse nothing, count who would be refused.
    Observe,
}

/// Bounds on a route.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimits {
    /// The sustained rate per caller, such as 100/s. Above it 429.
    pub rate: Option<Rate>,
    /// How many may come at once. Default: the number in `rate`.
    pub burst: Option<u32>,
    /// Whether all replicas count together, through `state.redis`. Otherwise each counts for itself.
    pub shared: bool,
    /// Who is counted. Default: the client, else the API key, else the customer, else the address.
    pub per: Option<Per>,
    /// A request body; above it 413. Default: `listen[].limits.body`.
    pub body: Option<Size>,
    /// The backend's time to answer. Default: `backends.NAME.timeout`.
    pub timeout: Option<Duration>,
    /// A WebSocket on which nothing moves is closed after this time. Default: 5m.
    pub idle: Option<Duration>,
    /// A WebSocket is closed after this time, whatever moves on it. Default: 24h.
    pub lifetime: Option<Duration>,
    /// How often it is checked whether the caller of a WebSocket would still be let in. Default: 30s.
    pub recheck: Option<Duration>,
}

/// Whether a client must show that it has the key of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dpop {
    /// Where its token is bound to a key.
    Optional,
    /// Always: tokens that are bound to no key are refused.
    Required,
}

/// Who is counted by a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// The client of the access token.
    Client,
    /// The API key.
    ApiKey,
    /// The customer.
    Customer,
    /// The caller's address; IPv6 by /64.
    Address,
}

/// Which requests may be sent a second time after a broken connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// Those whose method is idempotent (RFC 9110 section 9.2.2), and those of which nothing was sent.
    #[default]
    Idempotent,
    /// All: the backend can take a POST twice.
    Safe,
    /// Only those of which nothing was sent.
    Never,
}
