//! The last hour's requests, held against another configuration: those that would be refused now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::auth::ApiKey;
use crate::gateway::observe::request_shapes::{RequestShape, RequestShapes};
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy_change::{ChangeSubject, PolicyChange};

/// Calls that were answered and would now be refused, one change for each caller, route and reason; and a note of the
/// calls that could not be held against it. `renamed` leads from names of routes before to those after.
pub(super) fn replay(
    shapes: &RequestShapes,
    old: &Policy,
    new: &Policy,
    renamed: &BTreeMap<&str, &str>,
) -> Vec<PolicyChange> {
    let (counted, others) = shapes.last_hour();
    let (old, new) = (Callees::of(old), Callees::of(new));
    let mut refused: BTreeMap<(String, String, &'static str), u64> = BTreeMap::new();
    for (shape, count) in &counted {
        if !shape.refusal.is_empty() {
            continue;
        }
        let name = renamed.get(&*shape.route).copied().unwrap_or(&shape.route);
        let Some(word) = new.refusal(name, shape) else { continue };
        // Refused by what is in force too: a shape from before the last reload.
        if old.refusal(&shape.route, shape).is_none() {
            *refused.entry((caller(shape), shape.route.to_string(), word)).or_default() += count;
        }
    }
    let told = refused.into_iter().map(|((caller, route, word), calls)| {
        let calls_of = if calls == 1 { "call" } else { "calls" };
        let what = format!("{calls} {calls_of} of {caller} on route {route} would now be refused: {word}");
        PolicyChange { calls: Some(calls), ..PolicyChange::new(ChangeSubject::Calls, true, what) }
    });
    let note = (others > 0).then(|| {
        let what = format!("{others} calls of the last hour had too many shapes to be held against it");
        PolicyChange { calls: Some(others), ..PolicyChange::new(ChangeSubject::Calls, false, what) }
    });
    told.chain(note).collect()
}

fn caller(shape: &RequestShape) -> String {
    match (&shape.client, &shape.api_key) {
        (Some(client), _) => format!("client {client}"),
        (None, Some(key)) => format!("API key {key}"),
        (None, None) if shape.customer => "customers".to_owned(),
        (None, None) => "callers without a credential".to_owned(),
    }
}

/// What can be called under a policy, by name.
pub(super) struct Callees<'a> {
    policy: &'a Policy,
    routes: HashMap<&'a str, &'a Route>,
    keys: HashMap<&'a str, &'a Arc<ApiKey>>,
    methods: HashSet<&'a str>,
}

impl<'a> Callees<'a> {
    pub(super) fn of(policy: &'a Policy) -> Self {
        let routes = policy.routes.iter().map(|route| (&*route.name, route)).collect();
        let keys = policy.auth.api_keys.iter().map(|(_, version)| (&*version.key.id, &version.key)).collect();
        let methods = policy.routes.iter().flat_map(|route| &route.methods).map(http::Method::as_str).collect();
        Self { policy, routes, keys, methods }
    }

    /// The word by which calls of this shape are refused; `None` if they are not.
    pub(super) fn refusal(&self, route: &str, shape: &RequestShape) -> Option<&'static str> {
        let Some(route) = self.routes.get(route) else { return Some("no_route").filter(|_| route != "none") };
        let takes = |method: &http::Method| method.as_str() == shape.method;
        // One that is no method of any route is `other` in the shape, and known only by that.
        if self.methods.contains(shape.method) && !route.methods.iter().any(takes) {
            return Some("method");
        }
        let refused = self.credential(route, shape);
        // Of a route that enforces for some callers only it is not known whom it meets.
        let still = || Some(shape.observed).filter(|word| !word.is_empty());
        refused.or_else(still).filter(|_| route.enforcement.is_always())
    }

    /// The checks of `Authenticator::admit`, in their order, as far as a shape tells.
    fn credential(&self, route: &Route, shape: &RequestShape) -> Option<&'static str> {
        let wanted = &route.requirements;
        if wanted.api_key {
            match shape.api_key.as_deref().map(|id| self.keys.get(id)) {
                None => return Some("api_key_missing"),
                Some(None) => return Some("api_key_unknown"),
                Some(Some(key)) if key.routes.binary_search(&wanted.route).is_err() => return Some("api_key_route"),
                Some(Some(key)) if key.client.is_some() && wanted.client && key.client != shape.client => {
                    return Some("api_key_client");
                }
                Some(Some(_)) => {}
            }
        }
        if wanted.client {
            let Some(id) = shape.client.as_ref() else { return Some("client_token_missing") };
            match self.policy.auth.clients.get(id) {
                Some(client) if !wanted.scopes.iter().all(|scope| client.scopes.contains(scope)) => {
                    return Some("scope");
                }
                Some(_) => {}
                // One of an issuer of any clients, whose scopes stand in its tokens.
                None if self.policy.auth.trusted.could_name_client(id) => {}
                None => return Some("client_token_unknown_client"),
            }
        }
        (wanted.customer && !shape.customer).then_some("customer_token_missing")
    }
}
