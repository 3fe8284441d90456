//! Header fields of callers that are removed before a request is forwarded.

use std::sync::Arc;

use super::field_rules::FieldRules;
use crate::config::raw::{self, Raw};
use crate::fields::FieldSet;

/// Fields by which a caller could claim an identity, an address or another target, or show a credential.
/// Exceptions of a route are handled by [`on_route`].
pub(super) fn stripped(raw: &Raw) -> FieldSet {
    let mut set = FieldSet::of_callers_claims();
    credential_fields(raw).iter().chain(&own_fields(raw)).for_each(|name| set.insert(name));
    set
}

/// The same on one route: without what it lets pass, and with what its rules are about, in all spellings.
pub(super) fn on_route(all: &Arc<FieldSet>, route: &raw::Route, rules: Option<&FieldRules>) -> Arc<FieldSet> {
    if route.pass_request_headers.is_empty() && rules.is_none() {
        return Arc::clone(all);
    }
    let mut set = FieldSet::clone(all);
    for name in rules.iter().flat_map(|rules| rules.names()) {
        set.insert(name.as_str());
    }
    for name in route.pass_request_headers.iter().filter_map(|name| name.parse().ok()) {
        set.except(name);
    }
    Arc::new(set)
}

/// Fields in which some route takes a credential, or may be claimed whose it is.
pub(super) fn credentials(raw: &Raw) -> FieldSet {
    let mut set = FieldSet::default();
    ["cookie", "proxy-authorization", "dpop"].iter().for_each(|name| set.insert(name));
    credential_fields(raw).iter().chain(&own_fields(raw)).for_each(|name| set.insert(name));
    set
}

/// Fields that carry a caller's credential.
pub(super) fn credential_fields(raw: &Raw) -> Vec<String> {
    let mut names = ["authorization", "customer-auth", "api-key"].map(ToOwned::to_owned).to_vec();
    for route in &raw.routes {
        names.push(route.api_key_header.name().to_owned());
        names.extend(route.client_headers().map(str::to_owned));
        for place in route.customer_token_sources.iter().flatten() {
            if let raw::CustomerTokenSource::Header(header) = place {
                names.push(header.name.clone());
            }
        }
    }
    names
}

/// Fields that only the gateway may write: who the customer is, and what a backend knows the gateway by.
pub(super) fn own_fields(raw: &Raw) -> Vec<String> {
    let mut names = ["x-customer-id-previous", "x-wicketgate-proof"].map(ToOwned::to_owned).to_vec();
    for route in &raw.routes {
        if let Some(header) = route.identifier.as_ref().and_then(|placement| placement.header.as_deref()) {
            names.push(header.to_owned());
            names.push(format!("{header}-previous"));
        }
    }
    for backend in raw.backends.values() {
        if let Some(raw::BackendAuthorization::Header(header)) = &backend.authorization {
            names.push(header.name.clone());
        }
        names.extend(backend.backend_assertion.iter().map(|assertion| assertion.header.clone()));
    }
    names
}
