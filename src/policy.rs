//! All that configuration decides about a request, read and compiled: immutable, swapped as a whole.

pub mod accounts;
pub mod backends;
pub mod ca_certificates;
mod callers;
pub mod client_certificates;
pub mod cors;
pub mod field_rules;
pub mod forward_auth;
pub mod hash_costs;
mod issuer;
pub mod key_usage;
pub mod path;
mod remote_jwks;
pub mod response;
pub mod rewrite;
pub mod route;
pub mod servers;
pub mod state;
mod stripped_headers;
pub mod table;
mod target;
mod trusted_issuers;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::HeaderName;

use crate::auth::client_assertion::Assertions;
use crate::auth::credentials::password::Decoy;
use crate::auth::jwt::Verifier;
use crate::auth::jwt::remote_jwks::PublishedKeys;
use crate::auth::{Authenticator, CustomerTokenSource};
use crate::backend::Backend;
use crate::config::raw::{self, Issue, NumberStyle, Raw};
use crate::config::{Config, Problems};
use crate::customer::{self, Deriver, IdentifierKey, Mode};
use crate::fields::FieldSet;
use crate::secret::Secret;
use crate::state::Quota;
use crate::state::login_lockout::{Cost, Costs};
use crate::state::quota::Period;
use crate::validity::KeyVersion;
use accounts::Accounts;
use ca_certificates::Authorities;
pub use callers::{KeyLine, key_lines};
use forward_auth::ForwardAuth;
pub use issuer::Issuer;
use route::Route;
use route::compiler::RouteCompiler;
use table::Table;
pub use target::Target;

/// What outlives a policy.
#[derive(Debug, Default)]
pub struct Lasting {
    /// How backends and their servers stand.
    pub backends: servers::Shared,
    /// Keys that have been fetched from other issuers.
    published: remote_jwks::Registry,
    /// When keys were last used.
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
    }
}

/// What is decided about requests.
pub struct Policy {
    /// Who may call.
    pub auth: Authenticator,
    /// Who answers on which listener, in the order of the configuration.
    pub tables: Vec<Table<Target>>,
    /// The routes, by number.
    pub routes: Vec<Route>,
    /// Whether any of them answers to pages of other origins.
    pub has_cors: bool,
    /// The company's own servers.
    pub backends: Vec<Arc<Backend>>,
    /// The tokens that this gateway signs.
    pub issuer: Option<Issuer>,
    /// How customers log in.
    pub login: Option<Login>,
    /// How clients get a token.
    pub access_token: Option<AccessToken>,
    /// How much API keys may call, by their id.
    pub quotas: HashMap<Arc<str>, Vec<Quota>>,
    /// Whose pages may make calls for which only a cookie speaks.
    pub own_site: OwnSite,
    /// Other proxies that ask about requests.
    pub forward_auth: Option<ForwardAuth>,
    /// Fields that callers must not send to backends, in any spelling.
    pub stripped: Arc<FieldSet>,
    /// Fields in which callers show credentials: none of them may come by plain http.
    pub credentials: FieldSet,
    /// All versions of all keys, newest first within each kind and id.
    pub versions: Vec<KeyVersion>,
    /// Bytes of memory above which nobody new is served.
    pub memory_limit: Option<u64>,
    /// Hosts by which the operators' listener is asked, beside addresses and localhost.
    pub admin_hosts: Vec<String>,
    /// Without which parts this replica is not ready: `state`, `issuer:URL`.
    pub required_parts: Vec<String>,
}

/// How customers log in.
pub struct Login {
    /// Who may.
    pub accounts: Accounts,
    /// What they get.
    pub issue: Issue,
    /// For how many seconds.
    pub lifetime: u64,
    /// How numbers are written.
    pub number_style: NumberStyle,
    /// Whether JSON is taken beside a form.
    pub json: bool,
    /// The issuer that identifiers of our own accounts are derived with.
    pub tenant: String,
    /// The SameSite word of the cookie.
    pub same_site: &'static str,
    /// How many failures of one name may be verified, from wherever they come.
    pub limit: raw::RateLimit,
    /// What wrong passwords cost.
    pub attempts: Costs,
    /// How many sessions, and families of refresh tokens, a customer has at most.
    pub max_per_customer: usize,
    /// Refresh tokens, where they are given.
    pub refresh: Option<Refresh>,
}

/// How refresh tokens are given.
#[derive(Debug, Clone, Copy)]
pub struct Refresh {
    /// For how many seconds after the login.
    pub lifetime: u64,
    /// How long after its use a token gives the same again.
    pub grace: Duration,
}

/// Whose pages may make calls for which only a cookie speaks.
#[derive(Debug, Default)]
pub struct OwnSite {
    /// Origins beside that of the call itself.
    pub origins: Vec<String>,
    /// A header that a strange page cannot send.
    pub header: Option<HeaderName>,
}

/// How clients get a token.
pub struct AccessToken {
    /// For how many seconds.
    pub lifetime: u64,
    /// How numbers are written.
    pub number_style: NumberStyle,
    /// How many failures of one client may be verified, from wherever they come.
    pub limit: raw::RateLimit,
    /// What wrong secrets and assertions cost.
    pub attempts: Costs,
    /// What is hashed for clients that do not exist, and what a refusal of a secret costs.
    pub decoy: Decoy,
}

impl Policy {
    /// Reads all files that the configuration names and compiles it. `lasting` is what outlives a policy.
    ///
    /// What is wrong goes to `problems`; then there is no policy.
    pub fn build(config: &Config, lasting: &Lasting, problems: &mut Problems) -> Option<Self> {
        let raw = config.raw();
        let authorities = Authorities::new(config);
        let issuer = raw.issuer.as_ref().map(|raw| issuer::read(config, raw, &lasting.uses, problems));
        let deriver = raw.identifier.as_ref().map(|identifier| read_deriver(config, identifier, problems));
        let uses_of = |version: u8| lasting.uses.of("identifier_key", "", &format!("v{version}"));
        let deriver = deriver.map(|deriver| deriver.map(|deriver| deriver.noted(uses_of)));
        let (issuer, deriver) = (flattened(issuer), flattened(deriver));
        let backends = backends::read(config, &authorities, &lasting.backends, problems);
        let known = deriver.as_ref().and_then(Option::as_ref);
        let login =
            flattened(raw.login.as_ref().map(|login| read_login(config, login, known, backends.as_ref(), problems)));
        let cookie = raw.login.as_ref().and_then(|login| login.cookie.as_ref());
        let cookie = flattened(cookie.map(|cookie| callers::read_cookie(config, cookie, &lasting.uses, problems)));
        let mut versions = Vec::new();
        let clients = callers::read_clients(config, &authorities, lasting, &mut versions, problems);
        let all_keys = callers::all_api_keys(config, problems);
        let api_keys = callers::read_api_keys(&all_keys, &clients, &lasting.uses, &mut versions, problems);
        let trusted = trusted_issuers::read(config, &authorities, &lasting.published, problems);
        let stripped = Arc::new(stripped_headers::stripped(raw));
        let known = deriver.as_ref().and_then(Option::as_ref);
        let backends = backends?;
        let compiler = RouteCompiler { config, backends: &backends, deriver: known, stripped: &stripped };
        let routes = compiler.compile_all(problems);
        let (issuer, deriver, login, cookie) = (issuer?, deriver?, login?, cookie?);
        if !problems.is_empty() {
            return None;
        }
        let auth = Authenticator {
            access: issuer.as_ref().map(|issuer| issuer.access_verifier(raw)),
            own: issuer.as_ref().map(|issuer| issuer.customer_verifier(raw)),
            trusted,
            clients,
            api_keys,
            cookie,
            apart: raw.listen.iter().filter_map(|listen| listen.audience.as_deref()).map(Arc::from).collect(),
            audience: raw.issuer.as_ref().map(|issuer| issuer.audience.as_str()).unwrap_or_default().into(),
            customer_places: customer_places(&routes),
            deriver,
            accounts: login.as_ref().map(|login| login.accounts.stamps()).unwrap_or_default(),
        };
        let access_token = raw.access_token.as_ref().map(|token| AccessToken {
            lifetime: token.lifetime.as_secs(),
            number_style: token.number_style,
            limit: token.limits,
            attempts: costs(&token.attempts),
            decoy: Decoy::of(auth.clients.values().map(|client| client.secrets.iter().map(|secret| &secret.hash))),
        });
        versions.extend(issuer.iter().flat_map(|issuer| issuer.keys.versions()));
        let identifier_keys = auth.deriver.iter().flat_map(Deriver::versions);
        versions.extend(identifier_keys.map(|(version, until, used)| KeyVersion {
            kind: "identifier_key",
            id: String::new(),
            version: format!("v{version}"),
            from: 0,
            until,
            used,
        }));
        versions.extend(auth.cookie.iter().flat_map(|cookie| cookie.keys.versions()));
        let quotas = all_keys.iter().flat_map(|keys| quotas(keys.raw())).collect();
        let tables = raw.listen.iter().map(|listen| target::table(raw, listen, &routes, issuer.is_some())).collect();
        let own_site = raw.login.as_ref().and_then(|login| login.cookie.as_ref()).map(own_site).unwrap_or_default();
        let mut backends: Vec<_> = backends.into_values().collect();
        backends.sort_by(|one, other| one.name.cmp(&other.name));
        let forward_auth = ForwardAuth::read(raw);
        let memory_limit = raw.memory_limit.map(|size| size.bytes() as u64);
        Some(Self {
            memory_limit,
            admin_hosts: raw.admin.hosts.clone(),
            required_parts: raw.readiness.require.clone(),
            auth,
            tables,
            has_cors: routes.iter().any(|route| route.cors.is_some()),
            routes,
            backends,
            issuer,
            login,
            access_token,
            quotas,
            own_site,
            forward_auth,
            stripped,
            credentials: stripped_headers::credentials(raw),
            versions,
        })
    }
}

impl Policy {
    /// The keys of other issuers, and of clients, that are fetched.
    pub fn published(&self) -> impl Iterator<Item = &Arc<PublishedKeys>> {
        let clients = self.auth.clients.values().filter_map(|client| client.assertions.as_ref());
        let issuers = self.auth.trusted.values().filter_map(Verifier::published);
        issuers.chain(clients.filter_map(Assertions::published))
    }
}

/// Every place where some route looks for a customer's credential; the usual one is always among them.
fn customer_places(routes: &[Route]) -> Vec<CustomerTokenSource> {
    let mut places = vec![CustomerTokenSource::usual()];
    for place in
        routes.iter().filter(|route| route.demand.customer).flat_map(|route| &route.demand.customer_token_sources)
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

/// What our own accounts are told apart by, beside their subject.
pub fn tenant(raw: &Raw) -> String {
    let named = raw.identifier.as_ref().and_then(|identifier| identifier.tenant.clone());
    named.or_else(|| raw.issuer.as_ref().map(|issuer| issuer.url.clone())).unwrap_or_default()
}

/// Somebody whose customers have identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant<'a> {
    /// The issuer of their tokens, where there is one.
    pub issuer: Option<&'a str>,
    /// What they are told apart by, beside their subject.
    pub tenant: &'a str,
    /// Whether they are our own accounts.
    pub is_own: bool,
}

/// All whose customers have identifiers, our own accounts first.
pub fn tenants(raw: &Raw) -> Vec<Tenant<'_>> {
    let named = raw.identifier.as_ref().and_then(|identifier| identifier.tenant.as_deref());
    let issuer = raw.issuer.as_ref().map(|issuer| issuer.url.as_str());
    let own = named.or(issuer).map(|tenant| Tenant { issuer, tenant, is_own: true });
    let of_others = raw.trusted_issuers.iter().map(|trusted| {
        let issuer = trusted.issuer.as_str();
        Tenant { issuer: Some(issuer), tenant: trusted.tenant.as_deref().unwrap_or(issuer), is_own: false }
    });
    own.into_iter().chain(of_others).collect()
}

/// Reads the key that identifiers are derived with; what is wrong with it goes to `problems`.
pub fn read_deriver(config: &Config, identifier: &raw::Identifier, problems: &mut Problems) -> Option<Deriver> {
    let secret = match config.read_secret(&identifier.key) {
        Ok(secret) => secret,
        Err((message, help)) => {
            problems.push(config.problem("identifier.key", message, help));
            return None;
        }
    };
    let mode = match identifier.mode {
        raw::IdentifierMode::Traceable => Mode::Traceable,
        raw::IdentifierMode::OneWay => Mode::OneWay,
    };
    deriver_of(&secret, mode)
        .map_err(|fault| {
            let help = "make one with `wicketgate new identifier-key`";
            problems.push(config.problem("identifier.key", fault, help));
        })
        .ok()
}

/// The key on the first line is in force; those before it follow, each with its end.
fn deriver_of(secret: &Secret, mode: Mode) -> Result<Deriver, String> {
    let lines = key_lines(secret)?;
    let parse = |line: &KeyLine| IdentifierKey::parse(&line.secret).map_err(|fault| fault.to_string());
    match &lines[..] {
        [] => Err(customer::KeyFault::Form.to_string()),
        [only] if only.until < u64::MAX || only.from > 0 => Err("the key in force has no time behind it".to_owned()),
        [first, ..] if first.until < u64::MAX || first.from > 0 => {
            Err("the first line is the key in force, and has no time behind it".to_owned())
        }
        [first, earlier @ ..] => {
            let key = parse(first)?;
            let mut last = key.version();
            let mut deriver = Deriver::new(key, mode);
            for line in earlier {
                let key = parse(line)?;
                if line.until == u64::MAX {
                    return Err("a key before the one in force needs its end: until 2026-12-01T00:00:00Z".to_owned());
                }
                if key.version() >= last {
                    return Err("the keys stand in the order of their versions, the highest first".to_owned());
                }
                last = key.version();
                deriver = deriver.after(key, line.until);
            }
            Ok(deriver)
        }
    }
}

fn read_login(
    config: &Config,
    login: &raw::Login,
    deriver: Option<&Deriver>,
    backends: Option<&HashMap<String, Arc<Backend>>>,
    problems: &mut Problems,
) -> Option<Login> {
    let tenant = tenant(config.raw());
    let accounts = accounts::read(config, login, &tenant, deriver, backends, problems)?;
    let same_site = match login.cookie.as_ref().map(|cookie| cookie.same_site).unwrap_or_default() {
        raw::SameSite::Lax => "Lax",
        raw::SameSite::Strict => "Strict",
        raw::SameSite::None => "None",
    };
    Some(Login {
        accounts,
        issue: login.issue,
        lifetime: login.lifetime.as_secs(),
        number_style: login.number_style,
        json: login.json,
        tenant,
        same_site,
        limit: login.limits,
        attempts: costs(&login.attempts),
        max_per_customer: login.max_per_customer,
        refresh: login
            .refresh
            .as_ref()
            .map(|refresh| Refresh { lifetime: refresh.lifetime.as_secs(), grace: refresh.grace.get() }),
    })
}

fn costs(raw: &raw::Attempts) -> Costs {
    let millis =
        |duration: crate::config::scalar::Duration| u64::try_from(duration.get().as_millis()).unwrap_or(u64::MAX);
    let (delay, longest) = (millis(raw.delay), millis(raw.longest));
    Costs {
        name: Cost { free: raw.free.into(), delay, longest },
        network: Cost { free: raw.free_per_address.into(), delay, longest },
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

fn own_site(cookie: &raw::Cookie) -> OwnSite {
    let header = cookie.csrf_header.as_ref().and_then(|header| HeaderName::from_bytes(header.as_bytes()).ok());
    OwnSite { origins: cookie.origins.clone(), header }
}
