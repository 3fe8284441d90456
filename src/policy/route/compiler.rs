//! Routes of the configuration in, compiled routes out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::enforcement::Enforcement;
use super::own_addresses::OwnAddresses;
use super::weighted::WeightedBackends;
use super::{CallLimit, Placement, QueryParameter, Route, RouteDescription, StatusRetry, Websocket};
use crate::auth::{ApiKeyHeader, ClientSources, CustomerTokenSource, DpopRequirement, Requirements};
use crate::backend::Backend;
use crate::config::raw::{self, RateLimit, Requirement};
use crate::config::{Config, Problems, scalar};
use crate::customer::Deriver;
use crate::fields::FieldSet;
use crate::json_body::Pointer;
use crate::parameters::ParameterName;
use crate::pattern;
use crate::policy::api_description::Descriptions;
use crate::policy::backends;
use crate::policy::caller_networks::CallerNetworks;
use crate::policy::cors::Cors;
use crate::policy::direct_response::DirectResponse;
use crate::policy::error_bodies::ErrorBodies;
use crate::policy::field_rules::FieldRules;
use crate::policy::matchers::Matchers;
use crate::policy::path::NonCanonical;
use crate::policy::path_placement::PathPlacement;
use crate::policy::protected_resource;
use crate::policy::response::ResponseRules;
use crate::policy::rewrite::Rewrite;
use crate::policy::stripped_headers::on_route;
use crate::policy::trusted_issuers;

/// Compiles routes.
pub(in crate::policy) struct RouteCompiler<'a> {
    /// The configuration.
    pub(in crate::policy) config: &'a Config,
    /// Backends by name.
    pub(in crate::policy) backends: &'a HashMap<String, Arc<Backend>>,
    /// Derives identifiers; those of one backend alone are derived from it.
    pub(in crate::policy) deriver: Option<&'a Deriver>,
    /// Bodies of refusals on routes without their own.
    pub(in crate::policy) errors: Option<&'a Arc<ErrorBodies>>,
    /// Fields that callers must not send to any backend.
    pub(in crate::policy) stripped: &'a Arc<FieldSet>,
    /// The company's descriptions of routes.
    pub(in crate::policy) descriptions: &'a Descriptions,
}

/// Reports a problem of a route: the key within the route, the message, the help.
type Report<'r> = dyn FnMut(&str, String, &str) + 'r;

impl RouteCompiler<'_> {
    /// All routes, in the order of the configuration. Those with a problem are left out.
    pub(in crate::policy) fn compile_all(&self, problems: &mut Problems) -> Vec<Route> {
        let numbered = self.config.raw().routes.iter().zip(0..);
        numbered
            .filter_map(|(route, number)| {
                let mut report = |key: &str, message: String, help: &str| {
                    problems.push(self.config.problem(&format!("routes[{number}].{key}"), message, help));
                };
                self.compile(route, number, &mut report)
            })
            .collect()
    }

    fn compile(&self, route: &raw::Route, number: u32, report: &mut Report<'_>) -> Option<Route> {
        let [first, ..] = route.backends.as_slice() else {
            return self.compile_to(route.backend.as_deref(), route, number, report);
        };
        let mut compiled = self.compile_to(Some(&first.name), route, number, report)?;
        // What is wrong with it has been reported.
        let to = |backend: &raw::WeightedBackend| {
            Some((backend.weight, self.compile_to(Some(&backend.name), route, number, &mut |_, _, _| {})?))
        };
        let all = route.backends.iter().map(to).collect::<Option<Vec<_>>>()?;
        compiled.weighted = Some(Box::new(WeightedBackends::new(all)));
        Some(compiled)
    }

    /// The route as it is to the backend of this name; without one, as the gateway answers it.
    fn compile_to(
        &self,
        name: Option<&str>,
        route: &raw::Route,
        number: u32,
        report: &mut Report<'_>,
    ) -> Option<Route> {
        let raw = self.config.raw();
        // The names of backends were checked before; a missing one has been reported there.
        let backend = name.map_or_else(|| Some(backends::none()), |name| self.backends.get(name).cloned())?;
        let matchers = matchers(route, report)?;
        let methods = methods(route, report);
        let section = name.and_then(|name| raw.backends.get(name));
        let ignores_case = section.is_some_and(|backend| backend.ignores_case);
        let placement = placement(route, ignores_case, report);
        let customer_token_sources = customer_token_sources(raw, route, report);
        let session = raw.login.as_ref().and_then(|login| login.cookie.as_ref());
        let own_cookies = own_cookies(session, &customer_token_sources);
        let api_key_header = api_key_header(route, report);
        let description = self.description(route, number, ignores_case, report);
        let removes = description.as_ref().is_some_and(|description| description.only_removes);
        let response =
            response_rules(route, report).or_else(|| removes.then(|| Box::new(ResponseRules::of_description())));
        let cors = route.cors.as_ref().map(|cors| Arc::new(Cors::read(cors, &methods)));
        let request_fields = FieldRules::of_requests([
            section.and_then(|it| it.request_headers.as_ref()),
            route.request_headers.as_ref(),
        ]);
        Some(Route {
            name: route.name.as_str().into(),
            methods,
            matchers,
            networks: CallerNetworks::read(route),
            requirements: requirements(raw, route, number, api_key_header?, customer_token_sources),
            previous_header: previous_header(placement.as_ref()),
            pairwise: self
                .deriver
                .filter(|_| section.is_some_and(|backend| backend.pairwise))
                .map(|deriver| Arc::new(deriver.pairwise(&backend.name))),
            enforcement: Enforcement::read(route),
            placement,
            send_subject: route.identifier.as_ref().is_some_and(|placement| placement.send == raw::Send::Subject),
            rate: call_limit(route),
            body_limit: route.limits.body.map(|size| size.bytes() as u64),
            timeout: route.limits.timeout.map_or(backend.timeout, |timeout| timeout.get()),
            backend,
            weighted: None,
            direct: DirectResponse::read(route),
            errors: match route.errors[..] {
                [] => self.errors.cloned(),
                [..] => ErrorBodies::read(route.errors.iter().chain(&raw.errors)),
            },
            retry: route.retry.requests(),
            retry_on: route.retry.rules().map(|rules| Box::new(StatusRetry::read(rules))),
            forward: route.forward_credentials.clone(),
            pass_unauthorized: route.pass_unauthorized,
            content_types: route.content_types.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
            own_cookies,
            session_cookie: session.map(|cookie| cookie.name.as_str().into()),
            allowed_in_path: allowed_in_path(&route.allow_in_path),
            rewrite: route.rewrite.as_ref().filter(|it| it.target.is_none()).map(|it| Rewrite::new(it, ignores_case)),
            own_addresses: section.and_then(OwnAddresses::read).map(Box::new),
            websocket: route.websocket.then(|| Websocket::read(&route.limits)),
            stripped: on_route(self.stripped, route, request_fields.as_deref()),
            request_fields,
            response_fields: FieldRules::of_responses([
                section.and_then(|it| it.response_headers.as_ref()),
                route.response_headers.as_ref(),
            ]),
            security_headers: route.security_headers,
            cors,
            metadata_address: protected_resource::address(raw, route).map(Into::into),
            response,
            description,
        })
    }

    /// The company's description of a route, where requests or responses depend on it.
    fn description(
        &self,
        route: &raw::Route,
        number: u32,
        ignores_case: bool,
        report: &mut Report<'_>,
    ) -> Option<Box<RouteDescription>> {
        let api = &self.descriptions.of(number as usize)?.api;
        let validates = route.validate.is_some();
        if api.redacts() && route.websocket {
            let message = "what passes on a WebSocket is not looked at, and x-redact in this file says what may pass";
            report("openapi", message.to_owned(), "remove `websocket` or `openapi` from the route");
        }
        let only_removes = api.redacts() && route.response.is_none();
        (validates || api.redacts())
            .then(|| Box::new(RouteDescription { api: Arc::clone(api), ignores_case, validates, only_removes }))
    }
}

/// The rate limit of one caller.
fn call_limit(route: &raw::Route) -> Option<CallLimit> {
    let raw::RouteLimits { rate, burst, per, shared, .. } = route.limits;
    Some(CallLimit { limit: RateLimit { rate: rate?, burst }, per, shared })
}

/// The conditions of a route. An expression as its path is compiled here only to tell what is wrong with it.
fn matchers(route: &raw::Route, report: &mut Report<'_>) -> Option<Option<Box<Matchers>>> {
    let path = match &route.path {
        raw::PathMatch::Regex(path) => pattern::whole(&path.regex, false).map(drop),
        _ => Ok(()),
    };
    let path = path.map_err(|fault| ("path.regex".to_owned(), fault));
    match path.and_then(|()| Matchers::read(route)) {
        Ok(matchers) => Some(matchers),
        Err((key, fault)) => {
            report(&key, fault, "see docs/configuration.md");
            None
        }
    }
}

fn methods(route: &raw::Route, report: &mut Report<'_>) -> Vec<Method> {
    let mut methods = Vec::new();
    for method in &route.methods {
        match Method::from_bytes(method.as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => report("methods", format!("`{method}` is not a method"), "write it like POST"),
        }
    }
    methods
}

fn placement(route: &raw::Route, ignores_case: bool, report: &mut Report<'_>) -> Option<Placement> {
    let placement = route.identifier.as_ref()?;
    let read = match placement.place()? {
        raw::IdentifierPlace::Header(name) => HeaderName::from_bytes(name.as_bytes())
            .map(Placement::Header)
            .map_err(|_| ("identifier.header", format!("`{name}` is not a header name"))),
        raw::IdentifierPlace::Body(pointer) => {
            Pointer::parse(pointer).map(Placement::Body).map_err(|fault| ("identifier.body", fault))
        }
        raw::IdentifierPlace::Form(name) => {
            ParameterName::parse(name).map(Placement::Form).map_err(|fault| ("identifier.form", fault))
        }
        raw::IdentifierPlace::Query(name) => query_parameter(name).map_err(|fault| ("identifier.query", fault)),
        raw::IdentifierPlace::Path(name) => PathPlacement::read(route, name, ignores_case).map(Placement::Path),
    };
    read.map_err(|(key, fault)| report(key, fault, "see docs/configuration.md")).ok()
}

fn query_parameter(name: &str) -> Result<Placement, String> {
    let (name, member) = (ParameterName::parse(name)?, Pointer::parse(&format!("/{name}"))?);
    Ok(Placement::Query(QueryParameter { name, member }))
}

/// `customer-auth` and the session cookie, unless the route names others.
fn customer_token_sources(raw: &raw::Raw, route: &raw::Route, report: &mut Report<'_>) -> Vec<CustomerTokenSource> {
    let Some(places) = &route.customer_token_sources else {
        // A session is a login of ours.
        let session = route.accepts_own(raw).then_some(CustomerTokenSource::Session);
        return std::iter::once(CustomerTokenSource::usual()).chain(session).collect();
    };
    let mut sources = Vec::new();
    for place in places {
        match read_place(place) {
            Ok(place) => sources.extend(place),
            Err(fault) => report("customer_token_sources", fault, "see docs/configuration.md"),
        }
    }
    sources
}

fn read_place(place: &raw::CustomerTokenSource) -> Result<Option<CustomerTokenSource>, String> {
    Ok(match place {
        raw::CustomerTokenSource::Header(header) => {
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| format!("`{}` is not a header name", header.name))?;
            Some(CustomerTokenSource::Header(name, header.scheme.clone()))
        }
        raw::CustomerTokenSource::Session(on) => on.then_some(CustomerTokenSource::Session),
        raw::CustomerTokenSource::Cookie(name) => Some(CustomerTokenSource::Cookie(name.clone())),
        raw::CustomerTokenSource::Body(pointer) => Some(CustomerTokenSource::Body(Pointer::parse(pointer)?)),
        raw::CustomerTokenSource::Bearer(on) => on.then_some(CustomerTokenSource::Bearer),
    })
}

/// Cookies that end here: the session cookie, and those that may hold a customer's token.
fn own_cookies(session: Option<&raw::Cookie>, sources: &[CustomerTokenSource]) -> Vec<String> {
    let of_tokens = sources.iter().filter_map(|source| match source {
        CustomerTokenSource::Cookie(name) => Some(name),
        _ => None,
    });
    session.map(|cookie| &cookie.name).into_iter().chain(of_tokens).cloned().collect()
}

fn api_key_header(route: &raw::Route, report: &mut Report<'_>) -> Option<ApiKeyHeader> {
    let header = &route.api_key_header;
    let name = HeaderName::from_bytes(header.name().as_bytes()).ok();
    if name.is_none() {
        report("api_key_header", format!("`{}` is not a header name", header.name()), "write it like X-Api-Key");
    }
    name.map(|name| ApiKeyHeader { name, scheme: header.scheme().map(str::to_owned) })
}

/// The places of the client's credential; `None` for the usual one.
fn client_sources(route: &raw::Route) -> Option<Box<ClientSources>> {
    let takes = |scheme| route.takes_client_by(scheme);
    let (bearer, basic) = (takes(raw::ClientScheme::Bearer), takes(raw::ClientScheme::Basic));
    let headers: Vec<HeaderName> = route.client_headers().filter_map(|name| name.parse().ok()).collect();
    let is_usual = bearer && !basic && headers.is_empty();
    (!is_usual).then(|| Box::new(ClientSources::new(bearer, basic, headers)))
}

fn response_rules(route: &raw::Route, report: &mut Report<'_>) -> Option<Box<ResponseRules>> {
    match ResponseRules::read(route.response.as_ref()?) {
        Ok(rules) => Some(Box::new(rules)),
        Err((key, fault)) => {
            report(&format!("response.{key}"), fault, "see docs/configuration.md");
            None
        }
    }
}

fn requirements(
    raw: &raw::Raw,
    route: &raw::Route,
    number: u32,
    api_key_header: ApiKeyHeader,
    customer_token_sources: Vec<CustomerTokenSource>,
) -> Requirements {
    let requires = |requirement| route.require.contains(&requirement);
    Requirements {
        route: number,
        client: requires(Requirement::Client),
        customer: requires(Requirement::Customer),
        api_key: requires(Requirement::ApiKey),
        api_key_header,
        client_sources: client_sources(route),
        audience: route.required_audience(raw).unwrap_or_default().to_owned(),
        is_audience_set: route.audience.is_some() || route.audience_apart(raw).is_some(),
        issuers: trusted_issuers::numbers_of(raw, &route.issuers),
        proof: match route.dpop {
            None => DpopRequirement::None,
            Some(raw::Dpop::Optional) => DpopRequirement::Optional,
            Some(raw::Dpop::Required) => DpopRequirement::Required,
        },
        isolated_audience: route.audience_apart(raw).map(Arc::from),
        scopes: route.scopes.clone(),
        customer_token_sources,
    }
}

fn allowed_in_path(forms: &[raw::InPath]) -> NonCanonical {
    let mut allowed = NonCanonical::default();
    for form in forms {
        allowed.add(match form {
            raw::InPath::EncodedSlash => NonCanonical::ENCODED_SLASH,
            raw::InPath::EncodedBackslash => NonCanonical::ENCODED_BACKSLASH,
            raw::InPath::EncodedPercent => NonCanonical::ENCODED_PERCENT,
            raw::InPath::Semicolon => NonCanonical::SEMICOLON,
            raw::InPath::DoubleSlash => NonCanonical::DOUBLE_SLASH,
            raw::InPath::TrailingDot => NonCanonical::TRAILING_DOT,
            raw::InPath::TrailingSpace => NonCanonical::TRAILING_SPACE,
            raw::InPath::StreamName => NonCanonical::STREAM_NAME,
        });
    }
    allowed
}

/// `X-Customer-Id-Previous` beside `X-Customer-Id`, and also where the identifier goes elsewhere.
fn previous_header(placement: Option<&Placement>) -> HeaderName {
    let beside = match placement {
        Some(Placement::Header(name)) => HeaderName::from_bytes(format!("{name}-previous").as_bytes()).ok(),
        Some(_) | None => None,
    };
    beside.unwrap_or(HeaderName::from_static("x-customer-id-previous"))
}

impl StatusRetry {
    fn read(rules: &raw::RetryRules) -> Self {
        Self { statuses: rules.on.clone(), attempts: rules.attempts, backoff: rules.backoff.get() }
    }
}

impl Websocket {
    fn read(limits: &raw::RouteLimits) -> Self {
        let or = |set: Option<scalar::Duration>, seconds| set.map_or(Duration::from_secs(seconds), |time| time.get());
        Self {
            idle: or(limits.idle, 5 * 60),
            lifetime: or(limits.lifetime, 24 * 60 * 60),
            recheck: or(limits.recheck, 30),
        }
    }
}
