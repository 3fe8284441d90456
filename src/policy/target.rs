//! Targets of requests: the routes of a listener, and the gateway's own endpoints.

use http::Method;

use super::issuer;
use super::route::Route;
use super::table::{LetterCase, Table, host_name};
use crate::config::raw::{self, Raw};

/// Target of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The route of this number.
    Route(u32),
    /// The gateway, to browsers that ask about the route of this number.
    Preflight(u32),
    /// `OPTIONS *`: the gateway as a whole (RFC 9110 section 9.3.7).
    Everything,
    /// `POST /auth/customer_authenticate`.
    Login,
    /// `POST /oauth/access_token`.
    AccessToken,
    /// `POST /auth/logout`.
    Logout,
    /// `POST /oauth/revoke`.
    Revoke,
    /// `POST /oauth/introspect`.
    Introspect,
    /// `GET /.well-known/jwks.json`.
    KeySet,
    /// `GET /.well-known/jwks.pem`.
    Certificates,
    /// `GET /.well-known/oauth-authorization-server`.
    Metadata,
    /// nginx, Traefik or Caddy asks about a request.
    ForwardAuth,
    /// Envoy asks about a request.
    ExtAuthz,
}

impl Target {
    /// Returns whether it refuses in the form of RFC 6749 section 5.2.
    pub fn is_oauth(self) -> bool {
        matches!(self, Self::AccessToken | Self::Revoke | Self::Introspect)
    }
}

/// The routing table of one listener.
pub(super) fn table(raw: &Raw, listen: &raw::Listen, routes: &[Route], publishes_keys: bool) -> Table<Target> {
    let ignores_case = |route: &raw::Route| route.backend_in(raw).is_some_and(|backend| backend.ignores_case);
    let mut table =
        if raw.routes.iter().any(ignores_case) { Table::with_letter_case_ignored() } else { Table::default() };
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
        own(&login.path, &[Method::POST], Target::Login);
        own("/auth/logout", &[Method::POST], Target::Logout);
    }
    if let Some(token) = &raw.access_token {
        own(&token.path, &[Method::POST], Target::AccessToken);
        own("/oauth/revoke", &[Method::POST], Target::Revoke);
        own("/oauth/introspect", &[Method::POST], Target::Introspect);
    }
    if publishes_keys {
        own("/.well-known/jwks.json", &[Method::GET, Method::HEAD], Target::KeySet);
        own("/.well-known/jwks.pem", &[Method::GET, Method::HEAD], Target::Certificates);
        if let Some(issuer) = &raw.issuer {
            own(&issuer::metadata_path(issuer), &[Method::GET, Method::HEAD], Target::Metadata);
        }
    }
    for (route, number) in raw.routes.iter().zip(0..routes.len() as u32).filter(|(route, _)| route.is_served_on(listen))
    {
        let methods = &routes[number as usize].methods;
        let case = if ignores_case(route) { LetterCase::Ignored } else { LetterCase::Counts };
        let target = Target::Route(number);
        match &route.path {
            raw::PathMatch::Prefix(path) => table.insert_prefix(&route.hosts, path, methods, target, case),
            raw::PathMatch::Exact(path) => table.insert_exact(&route.hosts, &path.exact, methods, target, case),
        }
    }
    for (route, number) in raw.routes.iter().zip(0..routes.len() as u32).filter(|(route, _)| route.is_served_on(listen))
    {
        let Some(twin) = twin(&route.path) else { continue };
        let methods = &routes[number as usize].methods;
        let is_opened = |method: &Method| {
            let host = route.hosts.first().map_or(String::new(), |host| host_name(host));
            match table.find(&host, &twin, method) {
                Ok(Target::Route(other)) => demands_more(route, &raw.routes[other as usize]),
                _ => false,
            }
        };
        if EVERY_METHOD.iter().chain(methods).any(is_opened) {
            let case = if ignores_case(route) { LetterCase::Ignored } else { LetterCase::Counts };
            table.insert_exact(&route.hosts, &twin, methods, Target::Route(number), case);
        }
    }
    table
}

/// The methods by which an open route could be asked for the path of a closed one.
const EVERY_METHOD: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The path that many servers take for the same, but for the slash at its end.
fn twin(path: &raw::PathMatch) -> Option<String> {
    match path {
        raw::PathMatch::Prefix(path) => path.strip_suffix('/').map(str::to_owned),
        raw::PathMatch::Exact(path) => match path.exact.strip_suffix('/') {
            Some(without) => Some(without.to_owned()),
            None => Some(format!("{}/", path.exact)),
        },
    }
    .filter(|twin| !twin.is_empty())
}

/// Returns whether a route requires a credential that the other one does not.
fn demands_more(route: &raw::Route, other: &raw::Route) -> bool {
    route.require.iter().any(|credential| !other.require.contains(credential))
        || route.scopes.iter().any(|scope| !other.scopes.contains(scope))
}
