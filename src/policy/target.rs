//! Targets of requests: the routes of a listener, and the gateway's own endpoints.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::Method;

use super::choice::Choice;
use super::issuer;
use super::login_provider::CALLBACK;
use super::protected_resource;
use super::route::Route;
use super::table::{LetterCase, Patterns, Table, host_name};
use crate::config::raw::{self, PathMatch, Raw};

/// The path of the OpenAPI document of a listener.
const OPENAPI: &str = "/.well-known/openapi.json";

/// Target of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The route of this number.
    Route(u32),
    /// One of several routes, by the choice of this number.
    Choice(u32),
    /// The gateway, to browsers that ask about a target.
    Preflight(Preflighted),
    /// `OPTIONS *`: the gateway as a whole (RFC 9110 section 9.3.7).
    Everything,
    /// `POST /auth/customer_authenticate`.
    Login,
    /// `POST /oauth/access_token`.
    AccessToken,
    /// `/oauth/authorize`.
    Authorization,
    /// `/oauth/callback`.
    ProviderCallback,
    /// `POST /auth/logout`.
    Logout,
    /// `POST /oauth/revoke`.
    Revoke,
    /// `POST /oauth/introspect`.
    Introspect,
    /// `POST /oauth/backchannel_logout`.
    BackchannelLogout,
    /// `POST /oauth/security_events`.
    SecurityEvents,
    /// `GET /.well-known/jwks.json`.
    KeySet,
    /// `GET /.well-known/jwks.pem`.
    Certificates,
    /// `GET /.well-known/oauth-authorization-server`.
    Metadata,
    /// `GET /.well-known/oauth-protected-resource`: the document of this number.
    ProtectedResource(u32),
    /// `GET /.well-known/openapi.json`: the document of the listener of this number.
    OpenApi(u32),
    /// nginx, Traefik or Caddy asks about a request.
    ForwardAuth,
    /// Envoy asks about a request.
    ExtAuthz,
}

/// What a browser asks about before it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflighted {
    /// The route of this number.
    Route(u32),
    /// [`Target::Login`].
    Login,
    /// [`Target::Logout`].
    Logout,
    /// [`Target::AccessToken`].
    AccessToken,
    /// [`Target::Revoke`].
    Revoke,
    /// A public document below `/.well-known`.
    Document,
}

impl Preflighted {
    /// An own endpoint; `None` where pages of other origins never call it.
    pub fn own(target: Target) -> Option<Self> {
        Some(match target {
            Target::Login => Self::Login,
            Target::Logout => Self::Logout,
            Target::AccessToken => Self::AccessToken,
            Target::Revoke => Self::Revoke,
            Target::KeySet
            | Target::Certificates
            | Target::Metadata
            | Target::ProtectedResource(_)
            | Target::OpenApi(_) => Self::Document,
            _ => return None,
        })
    }
}

impl Target {
    /// Returns whether it refuses in the form of RFC 6749 section 5.2.
    pub fn is_oauth(self) -> bool {
        matches!(self, Self::AccessToken | Self::Revoke | Self::Introspect | Self::BackchannelLogout)
    }
}

/// The routing table of one listener. Routes that only header fields and the query of a request tell apart become one of
/// `choices`.
pub(super) fn table(
    raw: &Raw,
    listen: &raw::Listen,
    routes: &[Route],
    publishes_keys: bool,
    choices: &mut Vec<Choice>,
    documents: &mut Vec<Bytes>,
) -> Table<Target> {
    let ignores_case = raw.routes.iter().any(|route| route.ignores_case(raw));
    let mut table = if ignores_case { Table::with_letter_case_ignored() } else { Table::default() };
    own_endpoints(raw, listen, publishes_keys, documents, &mut table);
    let mut places = places(raw, listen, routes, choices);
    // An exact path is found before a prefix that is the same path.
    places.sort_by_key(|place| !matches!(place.path, PathMatch::Exact(_)));
    let demands_more = |place: &Place<'_>, other: Target| {
        let others = match other {
            Target::Route(number) => &[number][..],
            Target::Choice(number) => choices[number as usize].routes(),
            _ => &[],
        };
        let raw_of = |number: &u32| &raw.routes[*number as usize];
        let demands_more = |own: &u32| others.iter().any(|other| raw_of(own).demands_more_than(raw_of(other)));
        place.target != other && place.routes.iter().any(demands_more)
    };
    for place in &places {
        let Place { hosts, methods, target, case, .. } = place;
        match place.path {
            PathMatch::Prefix(path) => table.insert_prefix(hosts, path, methods, *target, *case),
            PathMatch::Exact(path) => table.insert_exact(hosts, &path.exact, methods, *target, *case),
            PathMatch::Regex(path) => {
                // One that cannot be compiled has been reported.
                let Some(patterns) = Patterns::new(&path.regex, *case) else { continue };
                let opening = places.iter().map(|other| other.target).filter(|other| demands_more(place, *other));
                let opening: Vec<Target> = opening.collect();
                table.insert_expression(hosts, &patterns, methods, (*target, *case), &opening);
            }
        }
    }
    for place in &places {
        let Some(twin) = twin(place.path) else { continue };
        let host = place.hosts.first().map_or(String::new(), |host| host_name(host));
        let is_opened =
            |method: &Method| table.find(&host, &twin, method).is_ok_and(|other| demands_more(place, other));
        if EVERY_METHOD.iter().chain(&*place.methods).any(is_opened) {
            table.insert_exact(&place.hosts, &twin, &place.methods, place.target, place.case);
        }
    }
    table
}

/// The gateway's own endpoints.
fn own_endpoints(
    raw: &Raw,
    listen: &raw::Listen,
    publishes_keys: bool,
    documents: &mut Vec<Bytes>,
    table: &mut Table<Target>,
) {
    // A route of one host with a wide path must not take a password away to a backend.
    let mut hosts: Vec<String> = raw.routes.iter().flat_map(|route| &route.hosts).cloned().collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut own = |path: &str, methods: &[Method], target| {
        table.insert_exact(&[], path, methods, target, LetterCase::Counts);
        hosts
            .iter()
            .for_each(|host| table.insert_exact(std::slice::from_ref(host), path, methods, target, LetterCase::Counts));
    };
    if let Some(login) = &raw.login {
        if login.provider.is_none() {
            own(&login.path, &[Method::POST], Target::Login);
        }
        own("/auth/logout", &[Method::POST], Target::Logout);
    }
    if let Some(token) = &raw.access_token {
        own(&token.path, &[Method::POST], Target::AccessToken);
        own("/oauth/revoke", &[Method::POST], Target::Revoke);
        own("/oauth/introspect", &[Method::POST], Target::Introspect);
    }
    if raw.authorizes_customers() {
        own("/oauth/authorize", &[Method::GET, Method::HEAD, Method::POST], Target::Authorization);
        if raw.login.as_ref().is_some_and(|login| login.provider.is_some()) {
            own(CALLBACK, &[Method::GET], Target::ProviderCallback);
        }
    }
    if raw.trusted_issuers.iter().any(|issuer| issuer.logout.is_some()) {
        own("/oauth/backchannel_logout", &[Method::POST], Target::BackchannelLogout);
    }
    if raw.trusted_issuers.iter().any(|issuer| issuer.security_events.is_some()) {
        own("/oauth/security_events", &[Method::POST], Target::SecurityEvents);
    }
    if raw.openapi.as_ref().is_some_and(|openapi| openapi.publish)
        && let Some(number) = raw.listen.iter().position(|other| std::ptr::eq(other, listen))
    {
        own(OPENAPI, &[Method::GET, Method::HEAD], Target::OpenApi(number as u32));
    }
    if publishes_keys {
        own("/.well-known/jwks.json", &[Method::GET, Method::HEAD], Target::KeySet);
        own("/.well-known/jwks.pem", &[Method::GET, Method::HEAD], Target::Certificates);
        if let Some(issuer) = &raw.issuer {
            own(&issuer::metadata_path(issuer), &[Method::GET, Method::HEAD], Target::Metadata);
        }
        for (path, document) in protected_resource::documents(raw, listen) {
            own(&path, &[Method::GET, Method::HEAD], Target::ProtectedResource(documents.len() as u32));
            documents.push(document);
        }
    }
}

/// What the table has at a path, for some hosts and methods.
struct Place<'a> {
    hosts: Cow<'a, [String]>,
    path: &'a PathMatch,
    methods: Cow<'a, [Method]>,
    target: Target,
    case: LetterCase,
    /// The routes to which it leads.
    routes: Vec<u32>,
}

/// The places of a listener's routes: one for each route, and for paths of which some route takes only a part of the requests,
/// one for each host and method.
fn places<'a>(raw: &'a Raw, listen: &raw::Listen, routes: &'a [Route], choices: &mut Vec<Choice>) -> Vec<Place<'a>> {
    let case_of = |route: &raw::Route| if route.ignores_case(raw) { LetterCase::Ignored } else { LetterCase::Counts };
    let numbered = raw.routes.iter().zip(0_u32..);
    let served: Vec<(&raw::Route, u32)> = numbered.filter(|(route, _)| route.is_served_on(listen)).collect();
    let shared: HashSet<&PathMatch> =
        served.iter().filter(|(route, _)| route.has_matchers()).map(|(route, _)| &route.path).collect();
    let mut places = Vec::new();
    let mut groups: Vec<Place<'a>> = Vec::new();
    let mut known: HashMap<(&PathMatch, Option<&str>, &Method), usize> = HashMap::new();
    for (route, number) in served {
        let (path, target, case) = (&route.path, Target::Route(number), case_of(route));
        let methods = &routes[number as usize].methods;
        if !shared.contains(path) {
            let (hosts, methods) = (Cow::Borrowed(&route.hosts[..]), Cow::Borrowed(&methods[..]));
            places.push(Place { hosts, path, methods, target, case, routes: vec![number] });
            continue;
        }
        let hosts = route.hosts.iter().map(|host| Some(host.as_str())).chain(route.hosts.is_empty().then_some(None));
        for (host, method) in hosts.flat_map(|host| methods.iter().map(move |method| (host, method))) {
            let at = *known.entry((path, host, method)).or_insert_with(|| {
                let hosts = host.map(str::to_owned).into_iter().collect();
                let methods = Cow::Owned(vec![method.clone()]);
                groups.push(Place { hosts, path, methods, target, case, routes: Vec::new() });
                groups.len() - 1
            });
            groups[at].routes.push(number);
        }
    }
    let mut numbers: HashMap<Vec<u32>, Target> = HashMap::new();
    for group in &mut groups {
        if matches!(group.routes.as_slice(), [only] if routes[*only as usize].matchers.is_none()) {
            continue;
        }
        group.target = *numbers.entry(group.routes.clone()).or_insert_with(|| {
            choices.push(Choice::of(group.routes.clone(), routes));
            Target::Choice(choices.len() as u32 - 1)
        });
    }
    places.extend(groups);
    places
}

/// The methods by which an open route could be asked for the path of a closed one.
const EVERY_METHOD: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The path that many servers take for the same, but for the slash at its end.
fn twin(path: &PathMatch) -> Option<String> {
    match path {
        // An expression is held against both: see [`Table::insert_expression`].
        PathMatch::Regex(_) => None,
        PathMatch::Prefix(path) => path.strip_suffix('/').map(str::to_owned),
        PathMatch::Exact(path) => match path.exact.strip_suffix('/') {
            Some(without) => Some(without.to_owned()),
            None => Some(format!("{}/", path.exact)),
        },
    }
    .filter(|twin| !twin.is_empty())
}
