//! Warnings about clients, keys, issuers and routes that nobody can reach. Removing a client, a key or an issuer that
//! has been stolen must never be refused because something else is of no use without it.

use std::collections::HashSet;

use super::super::diagnostic::Suggestions;
use super::super::raw::{ClientScheme, IssuerRole, Requirement, Route, TrustedIssuer};
use super::super::{Config, Warning};
use super::shown;
use crate::plural::counted;

/// More than these are counted, not named.
const MOST_NAMED: usize = 100;

/// The API keys that belong to nobody, and the routes that they open and that are not there.
pub(in crate::config) fn api_keys(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let mut warnings = Vec::new();
    let mut suggestions = Suggestions::default();
    let clients: HashSet<&str> = raw.clients.iter().map(|client| client.id.as_str()).collect();
    let routes: HashSet<&str> = raw.routes.iter().map(|route| route.name.as_str()).collect();
    let client_names: Vec<&str> = raw.clients.iter().map(|client| client.id.as_str()).collect();
    let route_names: Vec<&str> = raw.routes.iter().map(|route| route.name.as_str()).collect();
    let mut left_out = None::<(usize, usize)>;
    for (number, key) in raw.api_keys.iter().enumerate() {
        let client = key.client.as_deref().filter(|client| !clients.contains(client));
        let gone = key.routes.iter().enumerate().filter(|(_, route)| !routes.contains(route.as_str()));
        if warnings.len() >= MOST_NAMED {
            if client.is_some() || gone.count() > 0 {
                left_out.get_or_insert((number, 0)).1 += 1;
            }
            continue;
        }
        if let Some(client) = client {
            let message = format!("there is no client `{}`: this key is refused", shown(client));
            let near = suggestions.closest(client, &client_names);
            let help = near.map_or("remove the key as well".to_owned(), |near| format!("did you mean `{near}`?"));
            warnings.push(config.warning(&format!("api_keys[{number}].client"), message, &help));
        }
        for (index, route) in gone {
            let message = format!("there is no route `{}`: this key opens none of that name", shown(route));
            let help = suggestions.of(route, &route_names);
            warnings.push(config.warning(&format!("api_keys[{number}].routes[{index}]"), message, &help));
        }
    }
    if let Some((number, count)) = left_out {
        let keys = counted(count as u64, "more key");
        let verb = if count == 1 { "names" } else { "name" };
        let message = format!("{keys} {verb} a client or a route that is not there, this one first");
        warnings.push(config.warning(&format!("api_keys[{number}]"), message, "remove them as well"));
    }
    warnings
}

/// The routes for which nobody can have what they require.
pub(in crate::config) fn routes(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let mut warnings = Vec::new();
    let opened: HashSet<&str> = raw.api_keys.iter().flat_map(|key| &key.routes).map(String::as_str).collect();
    let mut audiences: HashSet<&str> = raw.issuer.iter().map(|issuer| issuer.audience.as_str()).collect();
    audiences.extend(raw.clients.iter().flat_map(|client| &client.audiences).map(String::as_str));
    for (number, route) in raw.routes.iter().enumerate() {
        let requires = |requirement| route.require.contains(&requirement);
        let mut warn = |key: &str, message: String, help: &str| {
            let message = format!("{message}: whoever calls it is refused");
            warnings.push(config.warning(&format!("routes[{number}].{key}"), message, help));
        };
        let issues = |role| {
            let mut issuers = raw.trusted_issuers.iter();
            issuers.any(|issuer| issuer.is_for(role) && is_accepted(route, issuer))
        };
        let is_of_client = requires(Requirement::Client) && !issues(IssuerRole::Client);
        if is_of_client && !route.accepts_own(raw) {
            let message = "this route requires `client`, and none of `issuers` issues such tokens";
            warn("issuers", message.to_owned(), "add one whose `for` has client");
        } else if is_of_client && (raw.clients.is_empty() || raw.access_token.is_none() && !takes_secrets(route)) {
            let message = "this route requires `client`, and no `access_token` gives one of `clients` a token";
            warn("require", message.to_owned(), "add both, or remove the route");
        }
        let is_of_customer = requires(Requirement::Customer) && !issues(IssuerRole::Customer);
        if is_of_customer && !route.accepts_own(raw) {
            let message = "this route requires `customer`, and none of `issuers` issues such tokens";
            warn("issuers", message.to_owned(), "add one whose `for` has customer");
        } else if is_of_customer && raw.login.is_none() {
            let message = "this route requires `customer`, and there is neither `login` nor `trusted_issuers`";
            warn("require", message.to_owned(), "add one of them, or remove the route");
        }
        if requires(Requirement::ApiKey) && raw.api_keys_file.is_none() && !opened.contains(route.name.as_str()) {
            let help = format!("add `{}` to `routes` of a key under `api_keys`", shown(&route.name));
            warn("require", "this route requires `api_key`, and no key opens it".to_owned(), &help);
        }
        let is_foreign = issues(IssuerRole::Client);
        if let Some(audience) = audience_of(route).filter(|audience| !is_foreign && !audiences.contains(audience)) {
            let message = format!("no client may have a token for `{}`", shown(audience));
            warn("audience", message, "add it to `clients[].audiences`");
        }
    }
    warnings
}

/// Issuers of routes that are not there: no token of theirs passes.
pub(in crate::config) fn issuers(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let own = raw.issuer.iter().map(|issuer| issuer.url.as_str());
    let written = raw.trusted_issuers.iter().flat_map(|issuer| issuer.issuer.all());
    let names: Vec<&str> = own.chain(written.map(String::as_str)).collect();
    let is_known = |name: &str| names.contains(&name) || raw.trusted_issuers.iter().any(|issuer| issuer.has_name(name));
    let mut suggestions = Suggestions::default();
    let mut warnings = Vec::new();
    for (number, route) in raw.routes.iter().enumerate() {
        for (index, name) in route.issuers.iter().enumerate().filter(|(_, name)| !is_known(name)) {
            let message = format!("there is no issuer `{}`: this route accepts no token of it", shown(name));
            let help = suggestions.of(name, &names);
            warnings.push(config.warning(&format!("routes[{number}].issuers[{index}]"), message, &help));
        }
    }
    warnings
}

/// Clients that can neither prove themselves nor have a token of a trusted issuer.
pub(in crate::config) fn clients(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    if raw.trusted_issuers.iter().any(|issuer| issuer.is_for(IssuerRole::Client)) {
        return Vec::new();
    }
    let without = raw.clients.iter().enumerate().filter(|(_, client)| !client.can_authenticate() && !client.public);
    let warning = |(index, _)| {
        let message = "nothing says how this client proves itself: it gets no token";
        let help = "run `wicketgate new client-secret` and add the hash that it prints under `secrets`, or add `jwks`";
        config.warning(&format!("clients[{index}]"), message.to_owned(), help)
    };
    without.map(warning).collect()
}

/// The hosts of routes that none of their listeners serves.
pub(in crate::config) fn hosts(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let mut warnings = Vec::new();
    for (number, route) in raw.routes.iter().enumerate() {
        let serves = |host: &String| {
            let mut listeners = raw.listen.iter().filter(|listen| route.is_served_on(listen));
            listeners.any(|listen| listen.hosts.is_empty() || listen.hosts.contains(host))
        };
        for (index, host) in route.hosts.iter().enumerate().filter(|(_, host)| !serves(host)) {
            let message = format!("no listener of this route serves `{}`: whoever calls it gets 421", shown(host));
            let help = "add it to `listen[].hosts`, or remove it here";
            warnings.push(config.warning(&format!("routes[{number}].hosts[{index}]"), message, help));
        }
    }
    warnings
}

/// The parts that /readyz shall need and that are not there: it needs one thing less.
pub(in crate::config) fn parts(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let mut known: HashSet<String> =
        raw.trusted_issuers.iter().map(|issuer| format!("issuer:{}", issuer.name())).collect();
    known.extend(raw.clients.iter().map(|client| format!("issuer:client {}", client.id)));
    let gone = |part: &&String| part.as_str() != "state" && !known.contains(part.as_str());
    let parts = raw.readiness.require.iter().enumerate().filter(|(_, part)| gone(part));
    let warning = |(index, part): (usize, &String)| {
        let message = format!("there is no issuer or client of this name: /readyz does not need `{}`", shown(part));
        config.warning(&format!("readiness.require[{index}]"), message, "remove it, or correct the name")
    };
    parts.map(warning).collect()
}

fn takes_secrets(route: &Route) -> bool {
    route.takes_client_by(ClientScheme::Basic) || route.client_headers().next().is_some()
}

fn is_accepted(route: &Route, issuer: &TrustedIssuer) -> bool {
    route.issuers.is_empty() || route.issuers.iter().any(|name| issuer.has_name(name))
}

fn audience_of(route: &Route) -> Option<&str> {
    route.audience.as_deref().filter(|_| route.require.contains(&Requirement::Client))
}
