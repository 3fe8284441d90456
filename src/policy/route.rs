//! A route, compiled: everything that is decided about a request once its path is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::cors::Cors;
use super::field_rules::FieldRules;
use super::path::Odd;
use super::response::ResponseRules;
use super::rewrite::Rewrite;
use super::stripped_headers::on_route;
use crate::auth::{ApiKeyHeader, CUSTOMER_AUTH, CustomerTokenSource, Demand, DpopDemand};
use crate::backend::Backend;
use crate::config::raw::{self, Per, RateLimit, Requirement, Retry};
use crate::config::{Config, Problems, scalar};
use crate::customer::Deriver;
use crate::fields::FieldSet;
use crate::json_body::Pointer;

/// Something that may be called.
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The methods that it takes.
    pub methods: Vec<Method>,
    /// What it demands.
    pub demand: Demand,
    /// Refusals are carried out; otherwise they are only counted.
    pub enforce: bool,
    /// Where the identifier goes.
    pub placement: Option<Placement>,
    /// The header of what the customer was called before a rotation of the key.
    pub previous_header: HeaderName,
    /// Makes the identifiers that only this backend gets.
    pub pairwise: Option<Arc<Deriver>>,
    /// Whether the customer's own key goes there instead.
    pub send_subject: bool,
    /// Who answers.
    pub backend: Arc<Backend>,
    /// How often one caller may call, and who is counted.
    pub rate: Option<CallLimit>,
    /// The largest body, where it is not the listener's.
    pub body_limit: Option<u64>,
    /// The backend's time to answer.
    pub timeout: Duration,
    /// What may be sent twice.
    pub retry: Retry,
    /// Which of the caller's credentials the backend sees.
    pub forward: Vec<Requirement>,
    /// Whether a 401 of the backend is passed on.
    pub pass_unauthorized: bool,
    /// Content types of bodies, in lower case; empty: any.
    pub content_types: Vec<String>,
    /// Cookies of ours, which the backend does not see.
    pub own_cookies: Vec<String>,
    /// The cookie of a login, which backends cannot set.
    pub session_cookie: Option<Box<str>>,
    /// Fields of callers that do not reach its backend.
    pub stripped: Arc<FieldSet>,
    /// What changes in the fields of requests.
    pub request_fields: Option<Box<FieldRules>>,
    /// What changes in the fields of responses.
    pub response_fields: Option<Box<FieldRules>>,
    /// Whether browsers are told to be careful with responses.
    pub security_headers: bool,
    /// What browsers are told about pages of other origins.
    pub cors: Option<Arc<Cors>>,
    /// What of JSON responses passes.
    pub response: Option<Box<ResponseRules>>,
    /// What may stand in its paths.
    pub allowed_in_path: Odd,
    /// How the path is changed for the backend.
    pub rewrite: Option<Rewrite>,
    /// Bounds on its WebSockets, where it has them.
    pub websocket: Option<Websocket>,
}

/// Bounds on a WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Websocket {
    /// How long nothing may move.
    pub idle: Duration,
    /// How long it may last.
    pub lifetime: Duration,
    /// How often its caller is checked again.
    pub recheck: Duration,
}

/// Where the identifier goes.
#[derive(Debug)]
pub enum Placement {
    /// Into a header.
    Header(HeaderName),
    /// Into a member of the JSON body.
    Body(Pointer),
}

/// How often a route may be called.
#[derive(Debug)]
pub struct CallLimit {
    /// How often.
    pub limit: RateLimit,
    /// By whom.
    pub per: Option<Per>,
    /// Whether all replicas count together.
    pub shared: bool,
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

impl Route {
    /// Whether the body must be at hand before the caller is checked or forwarded.
    pub fn reads_body(&self) -> bool {
        matches!(self.placement, Some(Placement::Body(_)))
            || self.reads_token_from_body()
            || self.backend.backend_assertion.as_ref().is_some_and(|assertion| assertion.covers_body)
    }

    /// Whether the customer's token may stand in the body.
    pub fn reads_token_from_body(&self) -> bool {
        self.demand.customer_token_sources.iter().any(|place| matches!(place, CustomerTokenSource::Body(_)))
    }
}

/// All routes, in the order of the configuration.
pub fn read(
    config: &Config,
    backends: &HashMap<String, Arc<Backend>>,
    deriver: Option<&Deriver>,
    stripped: &Arc<FieldSet>,
    problems: &mut Problems,
) -> Vec<Route> {
    let numbered = config.raw().routes.iter().zip(0..);
    numbered
        .filter_map(|(route, number)| read_one(config, route, number, backends, deriver, stripped, problems))
        .collect()
}

fn read_one(
    config: &Config,
    route: &raw::Route,
    number: u32,
    backends: &HashMap<String, Arc<Backend>>,
    deriver: Option<&Deriver>,
    stripped: &Arc<FieldSet>,
    problems: &mut Problems,
) -> Option<Route> {
    let mut problem = |key: &str, message: String, help: &str| {
        problems.push(config.problem(&format!("routes[{number}].{key}"), message, help));
    };
    // The names of backends were checked before; a missing one has been reported there.
    let backend = backends.get(&route.backend)?;
    let mut methods = Vec::new();
    for method in &route.methods {
        match Method::from_bytes(method.as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => problem("methods", format!("`{method}` is not a method"), "write it like POST"),
        }
    }
    let placement = match route.identifier.as_ref().map(|placement| (&placement.header, &placement.body)) {
        None | Some((None, None)) => None,
        Some((Some(header), _)) => match HeaderName::from_bytes(header.as_bytes()) {
            Ok(header) => Some(Placement::Header(header)),
            Err(_) => {
                problem("identifier.header", format!("`{header}` is not a header name"), "write it like X-Customer-Id");
                None
            }
        },
        Some((None, Some(pointer))) => match Pointer::parse(pointer) {
            Ok(pointer) => Some(Placement::Body(pointer)),
            Err(fault) => {
                problem("identifier.body", fault, "write it like /customer/id");
                None
            }
        },
    };
    let session = config.raw().login.as_ref().and_then(|login| login.cookie.as_ref());
    let mut customer_token_sources = Vec::new();
    let mut own_cookies: Vec<String> = session.iter().map(|cookie| cookie.name.clone()).collect();
    match &route.customer_token_sources {
        None => {
            customer_token_sources.push(CustomerTokenSource::Header(CUSTOMER_AUTH, Some("JWT".to_owned())));
            customer_token_sources.push(CustomerTokenSource::Session);
        }
        Some(places) => {
            for place in places {
                match read_place(place) {
                    Ok(Some(place)) => {
                        if let CustomerTokenSource::Cookie(name) = &place {
                            own_cookies.push(name.clone());
                        }
                        customer_token_sources.push(place);
                    }
                    Ok(None) => {}
                    Err(fault) => problem("customer_token_sources", fault, "see docs/configuration.md"),
                }
            }
        }
    }
    let api_key_header = HeaderName::from_bytes(route.api_key_header.as_bytes()).ok();
    if api_key_header.is_none() {
        problem(
            "api_key_header",
            format!("`{}` is not a header name", route.api_key_header),
            "write it like X-Api-Key",
        );
    }
    let response = route.response.as_ref().and_then(|rules| match ResponseRules::read(rules) {
        Ok(rules) => Some(Box::new(rules)),
        Err((key, fault)) => {
            problem(&format!("response.{key}"), fault, "see docs/configuration.md");
            None
        }
    });
    let cors = route.cors.as_ref().map(|cors| Arc::new(Cors::read(cors, &methods)));
    let section = config.raw().backends.get(&route.backend);
    let requires = |requirement| route.require.contains(&requirement);
    let request_fields =
        FieldRules::read([section.and_then(|it| it.request_headers.as_ref()), route.request_headers.as_ref()]);
    Some(Route {
        name: route.name.as_str().into(),
        methods,
        demand: Demand {
            route: number,
            client: requires(Requirement::Client),
            customer: requires(Requirement::Customer),
            api_key: requires(Requirement::ApiKey),
            api_key_header: ApiKeyHeader(api_key_header?),
            audience: audience(config.raw(), route),
            proof: match route.dpop {
                None => DpopDemand::None,
                Some(raw::Dpop::Optional) => DpopDemand::Optional,
                Some(raw::Dpop::Required) => DpopDemand::Required,
            },
            apart: route.audience_apart(config.raw()).map(Arc::from),
            scopes: route.scopes.clone(),
            customer_token_sources,
        },
        previous_header: previous_header(placement.as_ref()),
        pairwise: deriver
            .filter(|_| config.raw().backends.get(&route.backend).is_some_and(|backend| backend.pairwise))
            .map(|deriver| Arc::new(deriver.pairwise(&route.backend))),
        enforce: route.mode == raw::Mode::Enforce,
        placement,
        send_subject: route.identifier.as_ref().is_some_and(|placement| placement.send == raw::Send::Subject),
        rate: route.limits.rate.map(|rate| CallLimit {
            limit: RateLimit { rate, burst: route.limits.burst },
            per: route.limits.per,
            shared: route.limits.shared,
        }),
        body_limit: route.limits.body.map(|size| size.bytes() as u64),
        timeout: route.limits.timeout.map_or(backend.timeout, |timeout| timeout.get()),
        backend: Arc::clone(backend),
        retry: route.retry,
        forward: route.forward_credentials.clone(),
        pass_unauthorized: route.pass_unauthorized,
        content_types: route.content_types.iter().map(|kind| kind.to_ascii_lowercase()).collect(),
        own_cookies,
        session_cookie: session.map(|cookie| cookie.name.as_str().into()),
        allowed_in_path: allowed_in_path(&route.allow_in_path),
        rewrite: route.rewrite.as_ref().map(|it| Rewrite::new(it, section.is_some_and(|it| it.ignores_case))),
        websocket: route.websocket.then(|| Websocket::read(&route.limits)),
        stripped: on_route(stripped, route, request_fields.as_deref()),
        request_fields,
        response_fields: FieldRules::read([
            section.and_then(|it| it.response_headers.as_ref()),
            route.response_headers.as_ref(),
        ]),
        security_headers: route.security_headers,
        cors,
        response,
    })
}

/// Whom a client's token must be for on this route.
fn audience(raw: &raw::Raw, route: &raw::Route) -> String {
    let usual = || raw.issuer.as_ref().map(|issuer| issuer.audience.clone());
    let apart = || route.audience_apart(raw).map(str::to_owned);
    route.audience.clone().or_else(apart).or_else(usual).unwrap_or_default()
}

fn allowed_in_path(forms: &[raw::InPath]) -> Odd {
    let mut allowed = Odd::default();
    for form in forms {
        allowed.add(match form {
            raw::InPath::EncodedSlash => Odd::ENCODED_SLASH,
            raw::InPath::EncodedBackslash => Odd::ENCODED_BACKSLASH,
            raw::InPath::EncodedPercent => Odd::ENCODED_PERCENT,
            raw::InPath::Semicolon => Odd::SEMICOLON,
            raw::InPath::DoubleSlash => Odd::DOUBLE_SLASH,
            raw::InPath::TrailingDot => Odd::TRAILING_DOT,
            raw::InPath::TrailingSpace => Odd::TRAILING_SPACE,
            raw::InPath::StreamName => Odd::STREAM_NAME,
        });
    }
    allowed
}

/// `X-Customer-Id-Previous` beside `X-Customer-Id`, and also where the identifier goes into the body.
pub(super) fn previous_header(placement: Option<&Placement>) -> HeaderName {
    let beside = match placement {
        Some(Placement::Header(name)) => HeaderName::from_bytes(format!("{name}-previous").as_bytes()).ok(),
        Some(Placement::Body(_)) | None => None,
    };
    beside.unwrap_or(HeaderName::from_static("x-customer-id-previous"))
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
