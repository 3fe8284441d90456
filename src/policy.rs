//! Compiled configuration: all settings for requests, immutable, swapped as a whole.

mod access_token;
pub mod accounts;
pub mod api_description;
mod api_keys;
mod backend_tokens;
pub mod backends;
pub mod ca_certificates;
pub mod caller_networks;
mod callers;
pub mod certificate_pair;
pub mod choice;
pub mod client_certificates;
pub mod cors;
pub mod direct_response;
mod endpoint_proof;
pub mod error_bodies;
pub mod field_rules;
pub mod forward_auth;
pub mod hash_costs;
mod header_secrets;
mod identifiers;
mod introspection;
mod issuer;
mod key_lines;
pub mod key_usage;
mod lockout;
mod login;
pub mod login_page;
pub mod login_provider;
pub mod matchers;
mod openapi;
mod operator_token;
pub mod path;
pub mod path_placement;
mod protected_resource;
mod query;
mod remote_jwks;
pub mod response;
pub mod rewrite;
pub mod route;
pub mod servers;
pub mod state;
mod stripped_headers;
pub mod table;
mod target;
pub mod telemetry;
mod trusted_issuers;
mod way_out;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http::HeaderMap;

use crate::auth::client_assertion::Assertions;
use crate::auth::jwt::remote_jwks::PublishedKeys;
use crate::auth::opaque_token::Introspector;
use crate::auth::{Authenticator, Client, CustomerTokenSource, SessionCookie};
use crate::backend::token::BackendToken;
use crate::backend::{Backend, BackendCredential};
use crate::config::raw::{self, AccessLogLines, Raw};
use crate::config::{Config, Problems, Warning};
use crate::customer::Deriver;
use crate::fields::FieldSet;
use crate::key_validity::KeyVersion;
use crate::secret::Secret;
use crate::state::Quota;
use crate::state::quota::Period;
pub use access_token::AccessToken;
use api_description::Descriptions;
use ca_certificates::Authorities;
use choice::{Choice, NoChoice};
use cors::Cors;
use error_bodies::ErrorBodies;
use forward_auth::ForwardAuth;
pub use identifiers::{read_deriver, tenants};
pub use issuer::Issuer;
pub use key_lines::{KeyLine, key_lines};
pub use login::{Login, OwnSite};
use route::Route;
use route::compiler::RouteCompiler;
use table::Table;
pub use target::{Preflighted, Target};

/// State that outlives a policy.
#[derive(Debug, Default)]
pub struct Lasting {
    /// Load and status of backends and their servers.
    pub backends: servers::SharedServers,
    /// Keys that have been fetched from other issuers.
    published: remote_jwks::JwksRegistry,
    /// Answers of other issuers about their tokens.
    introspectors: introspection::IntrospectorRegistry,
    /// Access tokens of backends.
    tokens: backend_tokens::TokenRegistry,
    /// Last uses of keys.
    pub uses: key_usage::Uses,
    /// Counts what makes earlier verdicts void: another policy, or other keys.
    pub generation: Arc<AtomicU64>,
}

impl Lasting {
    /// Forgets what belongs to names that no policy in use has any more: keys, backends, servers, issuers.
    pub fn forget_gone(&self) {
        self.uses.forget_gone();
        self.backends.forget_gone();
        self.published.forget_gone();
        self.introspectors.forget_gone();
        self.tokens.forget_gone();
    }
}

/// The compiled configuration.
pub struct Policy {
    /// Checks callers.
    pub auth: Authenticator,
    /// The routing table of each listener, in the order of the configuration.
    pub tables: Vec<Table<Target>>,
    /// The routes, by number.
    pub routes: Vec<Route>,
    /// Choices among routes of one path, by number.
    pub choices: Vec<Choice>,
    /// Bodies of refusals, on routes without their own.
    pub errors: Option<Arc<ErrorBodies>>,
    /// Some route or own endpoint has CORS rules.
    pub has_cors: bool,
    /// Metadata of protected resources, by number (RFC 9728).
    pub protected_resources: Vec<Bytes>,
    /// OpenAPI documents of the listeners, by number, where they are published.
    pub openapi: Vec<Bytes>,
    /// Risks in the company's OpenAPI documents.
    pub description_warnings: Vec<Warning>,
    /// CORS rules of the public documents below `/.well-known`.
    public_documents: Arc<Cors>,
    /// The backends.
    pub backends: Vec<Arc<Backend>>,
    /// The issuer of our own tokens.
    pub issuer: Option<Issuer>,
    /// The login endpoint.
    pub login: Option<Login>,
    /// Customers log in for some client at the authorization endpoint.
    pub authorizes_customers: bool,
    /// Lockout of clients that show a secret with each call, as at the token endpoint.
    pub client_secrets: AccessToken,
    /// The token endpoint.
    pub access_token: Option<AccessToken>,
    /// Quotas of API keys, by their id.
    pub quotas: HashMap<Arc<str>, Vec<Quota>>,
    /// Origins that may use the session cookie.
    pub own_site: OwnSite,
    /// The forward-auth endpoint.
    pub forward_auth: Option<ForwardAuth>,
    /// Fields that callers must not send to backends, in any spelling.
    pub stripped: Arc<FieldSet>,
    /// Fields in which callers show credentials: none of them may come by plain http.
    pub credentials: FieldSet,
    /// All versions of all keys, newest first within each kind and id.
    pub versions: Vec<KeyVersion>,
    /// Memory limit in bytes, above which new requests are refused.
    pub memory_limit: Option<u64>,
    /// Hosts by which the operators' listener is asked, beside addresses and localhost.
    pub admin_hosts: Vec<String>,
    /// The operator's token, with which the status page acts.
    pub operator_token: Option<Secret>,
    /// Parts without which this replica is not ready: `state`, `issuer:URL`.
    pub required_parts: Vec<String>,
    /// The SHA-256 of gateway.yaml.
    pub config_digest: String,
    /// The form of access log lines, and which are kept.
    pub access_log: AccessLogLines,
}

impl Policy {
    /// Reads all files that the configuration names and compiles it. `lasting` is what outlives a policy.
    ///
    /// Problems go to `problems`; then there is no policy.
    #[expect(clippy::too_many_lines, reason = "one section of the configuration after the other")]
    pub fn build(config: &Config, lasting: &Lasting, problems: &mut Problems) -> Option<Self> {
        let raw = config.raw();
        let authorities = Authorities::new(config);
        let issuer = raw.issuer.as_ref().map(|raw| issuer::read(config, raw, &lasting.uses, problems));
        let deriver = raw.identifier.as_ref().map(|raw| noted_deriver(config, raw, lasting, problems));
        let (issuer, deriver) = (flattened(issuer), flattened(deriver));
        let backends = backends::read(config, &authorities, &lasting.backends, &lasting.tokens, problems);
        let known = deriver.as_ref().and_then(Option::as_ref);
        let read_login = |login| login::read(config, login, &authorities, known, backends.as_ref(), problems);
        let login = flattened(raw.login.as_ref().map(read_login));
        let cookie = flattened(read_cookie(config, lasting, problems));
        let operator_token =
            flattened(raw.admin.token.as_ref().map(|token| operator_token::read(config, token, problems)));
        let mut versions = Vec::new();
        let clients = callers::read_clients(config, &authorities, lasting, &mut versions, problems);
        let header_secrets = header_secrets::read(config, &clients, &lasting.uses, &mut versions, problems);
        let all_keys = api_keys::all_api_keys(config, problems);
        let api_keys = api_keys::read_api_keys(&all_keys, &clients, &lasting.uses, &mut versions, problems);
        let introspectors = &lasting.introspectors;
        let trusted = trusted_issuers::read(config, &authorities, &lasting.published, introspectors, problems);
        let stripped = Arc::new(stripped_headers::stripped(raw));
        let backends = backends?;
        let errors = ErrorBodies::read(&raw.errors);
        let descriptions = Descriptions::read(config, problems);
        let compiler = RouteCompiler {
            config,
            backends: &backends,
            deriver: known,
            errors: errors.as_ref(),
            stripped: &stripped,
            descriptions: &descriptions,
        };
        let routes = compiler.compile_all(problems);
        let (issuer, deriver, login, cookie, operator_token) = (issuer?, deriver?, login?, cookie?, operator_token?);
        // A route without a backend is told by the checks of the file alone; without it the others would have wrong numbers.
        if !problems.is_empty() || routes.len() != raw.routes.len() {
            return None;
        }
        let auth = Authenticator {
            access: issuer.as_ref().map(|issuer| issuer.access_verifier(raw)),
            own: issuer.as_ref().map(|issuer| issuer.customer_verifier(raw)),
            trusted,
            clients,
            header_secrets,
            api_keys,
            cookie,
            isolated_audiences: isolated_audiences(raw),
            audience: raw.issuer.as_ref().map(|issuer| issuer.audience.as_str()).unwrap_or_default().into(),
            customer_places: customer_places(&routes),
            deriver,
            accounts: login.as_ref().map(|login| login.accounts.stamps()).unwrap_or_default(),
        };
        let (access_token, client_secrets) = access_tokens(raw, &auth.clients);
        versions.extend(key_versions(issuer.as_ref(), &auth));
        let quotas = all_keys.iter().flat_map(|keys| quotas(keys.raw())).collect();
        let (tables, choices, protected_resources) = tables_of(raw, &routes, issuer.is_some());
        let sources = openapi::Sources { raw, descriptions: &descriptions, tables: &tables, choices: &choices };
        let (openapi, description_warnings) = (sources.published(), description_warnings(config, &sources));
        Some(Self {
            errors,
            memory_limit: raw.memory_limit.map(|size| size.bytes() as u64),
            admin_hosts: raw.admin.hosts.clone(),
            operator_token,
            required_parts: raw.readiness.require.clone(),
            access_log: raw.log.access.lines(),
            config_digest: config.digest(),
            auth,
            tables,
            has_cors: has_cors(raw),
            public_documents: Arc::new(Cors::public()),
            routes,
            choices,
            protected_resources,
            openapi,
            description_warnings,
            backends: by_name(backends),
            issuer,
            login,
            authorizes_customers: raw.authorizes_customers(),
            access_token,
            client_secrets,
            quotas,
            own_site: own_site(raw),
            forward_auth: ForwardAuth::read(raw),
            stripped,
            credentials: stripped_headers::credentials(raw),
            versions,
        })
    }
}

/// The token endpoint, and the lockout of clients that show a secret with each call: as there, or as it would be.
fn access_tokens(raw: &Raw, clients: &HashMap<Arc<str>, Client>) -> (Option<AccessToken>, AccessToken) {
    let read = |token: &raw::AccessToken| AccessToken::read(raw, token, clients);
    (raw.access_token.as_ref().map(read), read(&raw.access_token.clone().unwrap_or_default()))
}

fn description_warnings(config: &Config, sources: &openapi::Sources<'_>) -> Vec<Warning> {
    let help = "see docs/openapi.md";
    let warning = |(route, message)| config.warning(&format!("routes[{route}].openapi"), message, help);
    sources.warnings().into_iter().map(warning).collect()
}

/// The deriver of customers' identifiers, which notes the last use of its keys.
fn noted_deriver(
    config: &Config,
    raw: &raw::Identifier,
    lasting: &Lasting,
    problems: &mut Problems,
) -> Option<Deriver> {
    let uses_of = |version: u8| lasting.uses.of("identifier_key", "", &format!("v{version}"));
    Some(read_deriver(config, raw, problems)?.noted(uses_of))
}

fn read_cookie(config: &Config, lasting: &Lasting, problems: &mut Problems) -> Option<Option<SessionCookie>> {
    let cookie = config.raw().login.as_ref()?.cookie.as_ref()?;
    Some(callers::read_cookie(config, cookie, &lasting.uses, problems))
}

/// The tables of all listeners, with the choices and documents that they number.
fn tables_of(raw: &Raw, routes: &[Route], has_issuer: bool) -> (Vec<Table<Target>>, Vec<Choice>, Vec<Bytes>) {
    let (mut choices, mut documents) = (Vec::new(), Vec::new());
    let mut table = |listen| target::table(raw, listen, routes, has_issuer, &mut choices, &mut documents);
    (raw.listen.iter().map(&mut table).collect(), choices, documents)
}

fn has_cors(raw: &Raw) -> bool {
    raw.issuer.is_some()
        || raw.openapi.as_ref().is_some_and(|openapi| openapi.publish)
        || raw.routes.iter().any(|route| route.cors.is_some())
        || raw.login.as_ref().is_some_and(|login| login.cors.is_some())
        || raw.access_token.as_ref().is_some_and(|token| token.cors.is_some())
}

fn by_name(backends: HashMap<String, Arc<Backend>>) -> Vec<Arc<Backend>> {
    let mut backends: Vec<_> = backends.into_values().collect();
    backends.sort_by(|one, other| one.name.cmp(&other.name));
    backends
}

fn own_site(raw: &Raw) -> OwnSite {
    raw.login.as_ref().and_then(|login| login.cookie.as_ref()).map(OwnSite::read).unwrap_or_default()
}

/// Audiences of listeners that have one of their own.
fn isolated_audiences(raw: &Raw) -> Vec<Arc<str>> {
    raw.listen.iter().filter_map(|listen| listen.audience.as_deref()).map(Arc::from).collect()
}

impl Policy {
    /// The OpenAPI document of one listener, by its number, or of all. The company's documents are read again; this policy is that of
    /// `config`.
    pub fn openapi_document(&self, config: &Config, listener: Option<usize>) -> serde_json::Value {
        let descriptions = Descriptions::read(config, &mut Problems::new());
        let (tables, choices) = (&self.tables, &self.choices);
        openapi::Sources { raw: config.raw(), descriptions: &descriptions, tables, choices }.document(listener)
    }

    /// The access tokens that are fetched for backends.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<BackendToken>> {
        self.backends.iter().filter_map(|backend| match &backend.authorization {
            Some(BackendCredential::Token(token)) => Some(token),
            Some(BackendCredential::Fixed(..)) | None => None,
        })
    }

    /// The target of a request with these header fields and this query: a choice becomes the route that it chooses.
    ///
    /// # Errors
    /// The reason why it chooses none.
    pub fn chosen(&self, target: Target, headers: &HeaderMap, query: Option<&str>) -> Result<Target, NoChoice> {
        let Target::Choice(number) = target else { return Ok(target) };
        self.choices[number as usize].route(&self.routes, headers, query).map(Target::Route)
    }

    /// The routes to which a target leads, in the order in which they are tried.
    pub fn routes_of<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = (u32, &'a Route)> {
        let numbers = match target {
            Target::Route(number) => std::slice::from_ref(number),
            Target::Choice(number) => self.choices[*number as usize].routes(),
            _ => &[],
        };
        numbers.iter().map(|number| (*number, &self.routes[*number as usize]))
    }

    /// The CORS rules that hold for a target.
    pub fn cors_of(&self, target: Preflighted) -> Option<&Arc<Cors>> {
        match target {
            Preflighted::Route(number) => self.routes.get(number as usize)?.cors.as_ref(),
            Preflighted::Login | Preflighted::Logout => self.login.as_ref()?.cors.as_ref(),
            Preflighted::AccessToken | Preflighted::Revoke => self.access_token.as_ref()?.cors.as_ref(),
            Preflighted::Document => Some(&self.public_documents),
        }
    }

    /// Bodies of refusals on the route of this number, or before a route is known.
    pub fn error_bodies(&self, route: Option<u32>) -> Option<&ErrorBodies> {
        match route {
            Some(number) => self.routes.get(number as usize)?.errors.as_deref(),
            None => self.errors.as_deref(),
        }
    }

    /// Those who ask other issuers about tokens.
    pub fn introspectors(&self) -> impl Iterator<Item = &Arc<Introspector>> {
        self.auth.trusted.iter().filter_map(|issuer| issuer.introspector.as_ref())
    }

    /// The keys of other issuers, and of clients, that are fetched.
    pub fn published(&self) -> impl Iterator<Item = &Arc<PublishedKeys>> {
        let clients = self.auth.clients.values().filter_map(|client| client.assertions.as_ref());
        self.auth.trusted.published().chain(clients.filter_map(Assertions::published))
    }
}

/// Versions of the signing keys, the identifier keys and the cookie keys, newest first within each kind.
fn key_versions(issuer: Option<&Issuer>, auth: &Authenticator) -> Vec<KeyVersion> {
    let signing_keys = issuer.into_iter().flat_map(|issuer| issuer.keys.versions());
    let identifier_keys = auth.deriver.iter().flat_map(Deriver::versions);
    let identifier_keys = identifier_keys.map(|(version, until, used)| KeyVersion {
        kind: "identifier_key",
        id: String::new(),
        version: format!("v{version}"),
        from: 0,
        until,
        used,
    });
    let cookie_keys = auth.cookie.iter().flat_map(|cookie| cookie.keys.versions());
    signing_keys.chain(identifier_keys).chain(cookie_keys).collect()
}

/// Every place where some route looks for a customer's credential; the usual one is always among them.
fn customer_places(routes: &[Route]) -> Vec<CustomerTokenSource> {
    let mut places = vec![CustomerTokenSource::usual()];
    for place in routes
        .iter()
        .filter(|route| route.requirements.customer)
        .flat_map(|route| &route.requirements.customer_token_sources)
    {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    places
}

/// `Some(None)`: not configured. `None`: configured, and not usable.
fn flattened<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn quotas(raw: &Raw) -> HashMap<Arc<str>, Vec<Quota>> {
    let of = |key: &raw::ApiKey| {
        let quota = key.quota.as_ref()?;
        let both = [(Period::Day, quota.day), (Period::Month, quota.month)];
        let quotas = both.into_iter().filter_map(|(period, most)| Some(Quota { period, most: most? }));
        Some((Arc::from(key.id.as_str()), quotas.collect()))
    };
    raw.api_keys.iter().filter_map(of).collect()
}
