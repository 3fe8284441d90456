//! Metadata of protected resources (RFC 9728): by it agents and other OAuth clients find out who gives tokens for a route.
//!
//! Its addresses are those of `issuer.url`: no caller chooses them by its `Host`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::auth::dpop;
use crate::config::raw::{self, PathMatch, Raw};

/// Path of the metadata of everything that a listener serves; that of one route comes after it (RFC 9728 section 3.1).
const ROOT: &str = "/.well-known/oauth-protected-resource";

/// Audiences by the resource that stands for them.
pub(crate) type Resources = BTreeMap<String, BTreeSet<String>>;

/// The address of the metadata of a route, where it has some.
pub(super) fn address(raw: &Raw, route: &raw::Route) -> Option<String> {
    let issuer = raw.issuer.as_ref().filter(|_| route.resource_metadata)?;
    let own = paths(route).into_iter().next().unwrap_or_default();
    Some(issuer.at_root(&format!("{ROOT}{own}")))
}

/// The documents of a listener, each with its path.
pub(super) fn documents(raw: &Raw, listen: &raw::Listen) -> Vec<(String, Bytes)> {
    let Some(issuer) = &raw.issuer else { return Vec::new() };
    let mut resources: BTreeMap<String, Vec<&raw::Route>> = BTreeMap::new();
    for route in raw.routes.iter().filter(|route| route.resource_metadata && route.is_served_on(listen)) {
        for path in paths(route).into_iter().chain([String::new()]) {
            resources.entry(path).or_default().push(route);
        }
    }
    let document = |path: &str, routes: &[&raw::Route]| document(issuer, path, routes).to_string().into();
    resources.iter().map(|(path, routes)| (format!("{ROOT}{path}"), document(path, routes))).collect()
}

/// The published resources, each with the audiences that its routes require.
pub(super) fn audiences(raw: &Raw) -> Resources {
    let mut audiences = Resources::new();
    let Some(issuer) = &raw.issuer else { return audiences };
    for route in raw.routes.iter().filter(|route| route.resource_metadata) {
        let Some(audience) = route.required_audience(raw) else { continue };
        // The root also as clients write it that parse addresses.
        for path in paths(route).into_iter().chain([String::new(), "/".to_owned()]) {
            audiences.entry(issuer.at_root(&path)).or_default().insert(audience.to_owned());
        }
    }
    audiences
}

/// The paths by which a client may name a route, its own first: with a slash at the end and without, for most clients drop it.
/// Those of an expression have none: their document is that of the whole.
fn paths(route: &raw::Route) -> Vec<String> {
    match &route.path {
        PathMatch::Regex(_) => Vec::new(),
        PathMatch::Exact(path) => vec![path.exact.clone()],
        PathMatch::Prefix(path) => match path.strip_suffix('/') {
            Some("") => Vec::new(),
            Some(without) => vec![path.clone(), without.to_owned()],
            None => vec![path.clone(), format!("{path}/")],
        },
    }
}

/// RFC 9728 section 2.
fn document(issuer: &raw::Issuer, path: &str, routes: &[&raw::Route]) -> Value {
    let scopes: BTreeSet<&str> = routes.iter().flat_map(|route| &route.scopes).map(String::as_str).collect();
    let mut document = json!({
        "resource": issuer.at_root(path), "authorization_servers": [issuer.url], "bearer_methods_supported": ["header"],
    });
    if !scopes.is_empty() {
        document["scopes_supported"] = scopes.into_iter().collect();
    }
    if routes.iter().any(|route| route.dpop.is_some()) {
        document["dpop_signing_alg_values_supported"] =
            dpop::ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect();
        let is_bound = |route: &&raw::Route| route.dpop == Some(raw::Dpop::Required);
        document["dpop_bound_access_tokens_required"] = routes.iter().all(is_bound).into();
    }
    document
}
