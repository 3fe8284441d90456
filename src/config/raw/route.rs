//! Routes: `routes`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client_sources::{default_api_key_header, default_client_sources};
use super::{
    ApiKeyHeader, ClientScheme, ClientSource, Cors, ErrorBody, FieldRules, Matcher, Respond, ResponseRules,
    RetryPolicy, RouteRedirect, WeightedBackend,
};
use crate::config::percentage::Percentage;
use crate::config::scalar::{Duration, Network, Rate, Size};

/// Something that may be called.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name in logs, metrics and `api_keys[].routes`.
    pub name: String,
    /// Names of the listeners on which it is served. Empty: all.
    #[serde(default)]
    pub listen: Vec<String>,
    /// Host names that it serves, without port. Empty: all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The path: a prefix of whole segments, `{exact: /x}`, or `{regex: "/v[0-9]+/x"}`.
    pub path: PathMatch,
    /// Conditions on header fields, all of which must hold. Routes of one path may differ by them.
    #[serde(default)]
    pub headers: Vec<Matcher>,
    /// Conditions on query parameters, all of which must hold. Routes of one path may differ by them.
    #[serde(default)]
    pub queries: Vec<Matcher>,
    /// Allowed methods.
    pub methods: Vec<String>,
    /// Credentials that a caller must show.
    #[serde(default)]
    pub require: Vec<Requirement>,
    /// Networks from which callers may call it; others get 403. Empty: everyone that the listener lets in.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub allow: Vec<IpNet>,
    /// Networks from which callers get 403, also where `allow` has them.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub deny: Vec<IpNet>,
    /// This route is open to everyone. Needed where `require` is empty.
    #[serde(default)]
    pub public: bool,
    /// The header of the API key: its name, or {name: Authorization, scheme: `ApiKey`}.
    #[serde(default = "default_api_key_header")]
    pub api_key_header: ApiKeyHeader,
    /// Places of the client's credential: an access token (`bearer`), its id and secret (`basic`), or a secret in a
    /// header of its own. A call shows one of them.
    #[serde(default = "default_client_sources")]
    pub client_from: Vec<ClientSource>,
    /// Required audience of the client's token. Default: `issuer.audience`, and the `audiences` of a trusted issuer for its
    /// system tokens.
    pub audience: Option<String>,
    /// Issuers whose tokens it accepts, of clients and of customers: `issuer.url` or those of `trusted_issuers`. Session
    /// cookies and client secrets belong to `issuer.url`. Empty: all.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// Proof of possession (DPoP, RFC 9449) with each call: `optional` where the client's or the customer's token is
    /// bound to a key, `required` always. Default: key-bound tokens are refused.
    pub dpop: Option<Dpop>,
    /// Scopes that the client's token must have, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where the customer identifier is written.
    pub identifier: Option<Placement>,
    /// Where the customer's token is read. Default: the `customer-auth: JWT` header and the session cookie.
    pub customer_token_sources: Option<Vec<CustomerTokenSource>>,
    /// The name of the backend. A route has exactly one of `backend`, `backends`, `respond` and
    /// `redirect`.
    pub backend: Option<String>,
    /// Several backends in place of `backend`, each for its share of the callers.
    #[serde(default)]
    pub backends: Vec<WeightedBackend>,
    /// The gateway's own response, after the same checks.
    pub respond: Option<Respond>,
    /// A redirect, after the same checks.
    pub redirect: Option<RouteRedirect>,
    /// Bodies of refusals on this route. Where none has the status, those of `errors` at the top count.
    #[serde(default)]
    pub errors: Vec<ErrorBody>,
    /// `observe` logs what would be refused, and forwards. docs/requests.md lists the checks that it affects.
    #[serde(default)]
    pub mode: Mode,
    /// Share of the callers whose refusals are carried out all the same, always the same callers. Only with `mode: observe`.
    pub enforce: Option<Percentage>,
    /// Limits of this route.
    #[serde(default)]
    pub limits: RouteLimits,
    /// Retries after a broken connection: of idempotent methods, of all (`safe`: the backend accepts a POST twice), or
    /// none. A request of which nothing was sent is always retried. A section also names statuses after which a request
    /// is sent again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Credentials that are forwarded to the backend. Default: none.
    #[serde(default)]
    pub forward_credentials: Vec<Requirement>,
    /// Forward backend 401 responses (default: 502).
    #[serde(default)]
    pub pass_unauthorized: bool,
    /// Accepted content types of requests with a body. Empty: any.
    #[serde(default)]
    pub content_types: Vec<String>,
    /// Allow WebSockets, after the same checks.
    #[serde(default)]
    pub websocket: bool,
    /// Header fields of requests to set and remove on their way to the backend.
    pub request_headers: Option<FieldRules>,
    /// Callers' header fields to forward in this spelling, though they are removed by default: those by which other
    /// gateways identify a caller or a request. Default: none.
    #[serde(default)]
    pub pass_request_headers: Vec<String>,
    /// Header fields of responses to set and remove on their way to the caller.
    pub response_headers: Option<FieldRules>,
    /// Add X-Content-Type-Options, X-Frame-Options, Referrer-Policy and Content-Security-Policy to responses, so that
    /// browsers only hand them to the page that asked. Those of the backend stay.
    #[serde(default)]
    pub security_headers: bool,
    /// Pages of other origins that may call this route from a browser. Default: none.
    pub cors: Option<Cors>,
    /// Publish metadata by which agents and other OAuth clients find out where to get a token for this route (RFC 9728),
    /// and name it in the challenges of its 401 and 403 responses.
    #[serde(default)]
    pub resource_metadata: bool,
    /// Filter of JSON responses. Default: responses are forwarded unchanged.
    pub response: Option<ResponseRules>,
    /// Ambiguous forms that are allowed in a path. Default: nothing.
    #[serde(default)]
    pub allow_in_path: Vec<InPath>,
    /// Change of the path on its way to the backend.
    pub rewrite: Option<Rewrite>,
}

impl Route {
    /// Whether clients may show a credential by this scheme of `Authorization`.
    pub fn takes_client_by(&self, scheme: ClientScheme) -> bool {
        self.client_from.contains(&ClientSource::Scheme(scheme))
    }

    /// Whether clients may show a credential in `Authorization`.
    pub fn takes_client_in_authorization(&self) -> bool {
        let is_scheme = |source: &ClientSource| matches!(source, ClientSource::Scheme(_));
        self.require.contains(&Requirement::Client) && self.client_from.iter().any(is_scheme)
    }

    /// The headers in which clients may show a secret.
    pub fn client_headers(&self) -> impl Iterator<Item = &str> {
        self.client_from.iter().filter_map(|source| match source {
            ClientSource::Header(place) => Some(place.header.as_str()),
            ClientSource::Scheme(_) => None,
        })
    }
}

/// A path: a prefix of whole segments, exactly one, or all that a regular expression matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PathMatch {
    /// A prefix: /account/ matches all below it; /account matches itself and all below it.
    Prefix(String),
    /// Only this path.
    Exact(ExactPath),
    /// All paths that a regular expression matches.
    Regex(RegexPath),
}

/// Only this path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExactPath {
    /// The path.
    pub exact: String,
}

/// All paths that a regular expression matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexPath {
    /// The expression of the whole path, in the syntax of Rust's regex crate, such as "/v[0-9]+/orders/[0-9]+".
    pub regex: String,
}

/// Path forms that some servers read differently from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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

/// Rewrite of the path for the backend.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Prefix to remove, whole segments such as /api.
    pub strip_prefix: Option<String>,
    /// Prefix to add to the rest, whole segments such as /v2.
    pub add_prefix: Option<String>,
    /// The whole path for the backend, with the customer in it, as `identifier: {path: NAME}` says. `{rest}` at its end
    /// is what stands behind the route's path, with its slash.
    pub target: Option<String>,
    /// The path of callers that name a customer in it, such as "/customers/{customer}{rest}". The name must be that of
    /// the token's customer. Default: the route's path and what stands behind it.
    pub from: Option<String>,
}

/// A credential that a route can require.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// `Authorization: Bearer`, an access token of /oauth/access_token.
    Client,
    /// `customer-auth: JWT`, or the session cookie.
    Customer,
    /// `api-key`.
    ApiKey,
}

/// Placement of the customer identifier: one of `header`, `body`, `form`, `query` and `path`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Name of a request header.
    pub header: Option<String>,
    /// JSON pointer into the request body, such as /customer/id.
    pub body: Option<String>,
    /// Name of a parameter of the request body, which is a form (application/x-www-form-urlencoded).
    pub form: Option<String>,
    /// Name of a parameter of the query.
    pub query: Option<String>,
    /// Name of the placeholder for the customer in `rewrite.target`.
    pub path: Option<String>,
    /// The value: the opaque identifier, or the company's own key of the customer.
    #[serde(default)]
    pub send: Send,
}

/// The place of the identifier, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierPlace<'a> {
    /// A header of this name.
    Header(&'a str),
    /// The member of the JSON body at this pointer.
    Body(&'a str),
    /// A parameter of a form.
    Form(&'a str),
    /// A parameter of the query.
    Query(&'a str),
    /// A placeholder in the path.
    Path(&'a str),
}

impl Placement {
    /// All places that are named; one is right.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, IdentifierPlace<'_>)> {
        [
            ("header", self.header.as_deref().map(IdentifierPlace::Header)),
            ("body", self.body.as_deref().map(IdentifierPlace::Body)),
            ("form", self.form.as_deref().map(IdentifierPlace::Form)),
            ("query", self.query.as_deref().map(IdentifierPlace::Query)),
            ("path", self.path.as_deref().map(IdentifierPlace::Path)),
        ]
        .into_iter()
        .filter_map(|(key, place)| Some((key, place?)))
    }

    /// The first place that is named.
    pub fn place(&self) -> Option<IdentifierPlace<'_>> {
        self.places().next().map(|(_, place)| place)
    }
}

/// Form of the customer that a backend receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Send {
    /// The opaque identifier.
    #[default]
    Identifier,
    /// The subject that the identifier was derived from. Needs `identifier.mode: traceable`.
    Subject,
}

/// A place where the customer's token may stand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderPlace {
    /// Name of the header.
    pub name: String,
    /// The word before the token. Default: none, the token alone.
    pub scheme: Option<String>,
}

/// `observe` logs what would be refused, and forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Refuse.
    #[default]
    Enforce,
    /// Check all, refuse nothing, count who would be refused.
    Observe,
}

/// Bounds on a route.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimits {
    /// The sustained rate per caller, such as 100/s. Above it 429.
    pub rate: Option<Rate>,
    /// Calls that may come at once. Default: the number in `rate`.
    pub burst: Option<u32>,
    /// Count across all replicas, through `state.redis`. Otherwise each replica counts for itself.
    pub shared: bool,
    /// The caller that is counted. Default: the client, else the API key, else the customer, else the address.
    pub per: Option<Per>,
    /// A request body; above it 413. Default: `listen[].limits.body`.
    pub body: Option<Size>,
    /// Timeout of the backend's response. Default: `backends.NAME.timeout`.
    pub timeout: Option<Duration>,
    /// A WebSocket without traffic is closed after this time. Default: 5m.
    pub idle: Option<Duration>,
    /// A WebSocket is closed after this time in any case. Default: 24h.
    pub lifetime: Option<Duration>,
    /// Interval at which the caller of a WebSocket is authenticated again. Default: 30s.
    pub recheck: Option<Duration>,
}

/// DPoP: proof that a client has the key of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dpop {
    /// Where its token is bound to a key.
    Optional,
    /// Always: tokens that are bound to no key are refused.
    Required,
}

/// Key of a rate limit: the caller that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
