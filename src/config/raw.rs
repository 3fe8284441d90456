//! gateway.yaml as it is written: every key, its type, its default and its description.
//!
//! The doc comments are the descriptions in `wicketgate schema` and in docs/configuration.md, so they speak
//! to the person who writes the file. Whether names resolve and values make sense together is decided in
//! `config::check`; whether files can be read is decided when the policy is built.

mod accounts;
mod backend;
mod callers;
mod certificate;
mod claim_rule;
mod client_role;
mod client_sources;
mod cors;
mod direct_response;
mod error_body;
mod fields;
mod file_path;
mod forward_auth;
mod http1_options;
mod introspection;
mod issuing;
mod ldap;
mod listen;
mod log;
mod login_provider;
mod matcher;
mod openapi;
mod process;
mod provider_events;
mod response;
mod retry;
mod route;
mod servers;
mod state;
mod telemetry;
mod trusted;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalar::Size;

pub use accounts::{Accounts, AnswerValue, LoginDenial, LoginDenialBody, LoginEncoding, LoginFields};
pub use backend::{
    AssertionBody, Backend, BackendAssertion, BackendAuthorization, BackendTls, BasicCredential, HeaderCredential,
    OAuthClientAuth, OAuthCredential, ProxyProtocol, Redirects,
};
pub use callers::{ApiKey, Client, GrantType, Pkce, Quota, TokenReach};
pub use certificate::{AlternativeName, CertificateName, CertificatePolicy, OwnCertificate};
pub use claim_rule::{ClaimRule, ClaimValue};
pub use client_role::{ClientRole, IssuerRole};
pub use client_sources::{ApiKeyHeader, ClientScheme, ClientSource, SchemedHeader, SecretHeader};
pub use cors::Cors;
pub use direct_response::{Respond, RouteRedirect};
pub use error_body::{ErrorBody, StatusMatch, Statuses};
pub use fields::FieldRules;
pub use file_path::{CREDENTIALS, FilePath};
pub use forward_auth::ForwardAuth;
pub use http1_options::{HeaderCase, Tolerated};
pub use introspection::Introspection;
pub use issuing::{
    AccessToken, Attempts, Cookie, Exchange, Identifier, IdentifierMode, Issue, Issuer, Login, LoginPage, NumberStyle,
    RateLimit, Refresh, SameSite,
};
pub use ldap::{Ldap, LdapSearch};
pub use listen::{Certificate, ClientCertificate, Listen, ListenLimits, Tls, TlsVersion};
pub use log::{
    AccessField, AccessLog, AccessLogLines, AccessLogSection, AccessLogTo, AccessLogWord, Level, Log, LogFormat,
};
pub use login_provider::{LoginProvider, ProviderPrompt};
pub use matcher::{Matcher, WeightedBackend};
pub use openapi::{OpenApi, Validate};
pub use process::{Admin, Readiness, Reload, ReloadGuard, Shutdown};
pub use provider_events::{ProviderLogout, SecurityEvents};
pub use response::{Redaction, ResponseRules};
pub use retry::{RetriedRequests, Retry, RetryPolicy, RetryRules};
pub use route::{
    CustomerTokenSource, Dpop, ExactPath, HeaderPlace, IdentifierPlace, InPath, Mode, PathMatch, Per, Placement,
    RegexPath, Requirement, Rewrite, Route, RouteLimits, Send,
};
pub use servers::{
    Adaptive, Balance, CircuitBreaker, HealthCheck, KeepAlive, KeepAliveLimit, OutlierDetection, Protocol, Queue,
    Resolve, Server, WeightedServer,
};
pub use state::{Embedded, Outage, Redis, RedisTls, State};
pub use telemetry::{MetricsSettings, Otlp, OtlpProtocol, TelemetrySettings};
pub use trusted::{
    AcceptedAudiences, Discovery, IssuerNames, Jwks, JwksFile, KeyRefresh, NoAudience, PemKeys, ProxyChoice,
    ProxyWithPassword, SignatureAlgorithm, TrustedIssuer,
};

/// The configuration of wicketgate. A secret is never written here: use `{file: PATH}` or `{env: NAME}`.
//
// Lists of named entries are not serialized with the rest: `reload::preview` takes their entries one by one, for there may
// be many thousand.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Where callers connect. Each entry is one address.
    #[serde(skip_serializing)]
    pub listen: Vec<Listen>,
    /// Worker threads that serve requests. Default: one per core.
    pub workers: Option<usize>,
    /// Memory of the process above which new requests get 503 and new connections are closed. Default: no limit.
    pub memory_limit: Option<Size>,
    /// The admin listener: /metrics, /livez, /readyz and the status page at /.
    #[serde(default)]
    pub admin: Admin,
    /// Access log and log level.
    #[serde(default)]
    pub log: Log,
    /// Conditions of /readyz.
    #[serde(default)]
    pub readiness: Readiness,
    /// Draining at SIGTERM.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// Reloading the configuration.
    #[serde(default)]
    pub reload: Reload,
    /// Store of sessions, revocations and failed attempts.
    #[serde(default)]
    pub state: State,
    /// The tokens that this gateway signs.
    pub issuer: Option<Issuer>,
    /// The opaque customer identifier that backends receive.
    pub identifier: Option<Identifier>,
    /// POST /auth/customer_authenticate: a customer's username and password for a JWT or a cookie.
    pub login: Option<Login>,
    /// POST /oauth/access_token: the OAuth 2.0 client credentials grant (RFC 6749 section 4.4).
    pub access_token: Option<AccessToken>,
    /// The systems that may call.
    #[serde(default, skip_serializing)]
    pub clients: Vec<Client>,
    /// A YAML file with a list of more clients, as under `clients`. It is reloaded whenever it changes.
    #[serde(skip_serializing)]
    pub clients_file: Option<FilePath>,
    /// The API keys that may be sent in the `api-key` header.
    #[serde(default, skip_serializing)]
    pub api_keys: Vec<ApiKey>,
    /// A YAML file with a list of more API keys, as under `api_keys`. It is reloaded whenever it changes.
    #[serde(skip_serializing)]
    pub api_keys_file: Option<FilePath>,
    /// Issuers of customers' tokens besides this gateway.
    #[serde(default, skip_serializing)]
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Bodies of the gateway's own refusals, in the company's form. The first entry with the status counts.
    #[serde(default)]
    pub errors: Vec<ErrorBody>,
    /// A decision endpoint for other proxies, which forward the requests themselves.
    pub forward_auth: Option<ForwardAuth>,
    /// OpenAPI document of what is served and protected.
    pub openapi: Option<OpenApi>,
    /// The paths that may be called. A request that matches no route is 404, and no backend is asked.
    #[serde(skip_serializing)]
    pub routes: Vec<Route>,
    /// The company's own servers, by name.
    #[serde(skip_serializing)]
    pub backends: BTreeMap<String, Backend>,
    /// Traces of requests, for a collector.
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    /// Metrics at /metrics of the admin listener.
    #[serde(default)]
    pub metrics: MetricsSettings,
}

impl Raw {
    /// Returns whether customers log in for some client at `/oauth/authorize`.
    pub fn authorizes_customers(&self) -> bool {
        self.login.is_some() && self.clients.iter().any(|client| !client.redirect_uris.is_empty())
    }
}

/// A secret, by reference: `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SecretRef {
    /// The path of a file whose content, without the last line break, is the secret. It must not be readable by others.
    File(PathBuf),
    /// The name of an environment variable whose value is the secret.
    Env(String),
    /// The name of a file in the directory that `$CREDENTIALS_DIRECTORY` names: a credential of systemd, or a mounted
    /// directory of secrets.
    Credential(String),
}
