//! Checks of routes against each other: two for the same request, of which one would never be used.

use std::collections::HashMap;

use super::super::raw::{PathMatch, Raw, Route};
use super::{Check, shown};

/// Why two routes of one host, path and method cannot stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clash {
    /// Nothing tells their requests apart.
    Same,
    /// The conditions of the earlier one hold whenever those of the later one do.
    Hidden,
    /// The backend of one ignores letter case.
    LetterCase,
    /// A preflight does not say which of them it is about, and they answer it differently.
    Cors,
}

impl Check<'_> {
    /// Two routes for the same request: one of them would never be used.
    pub(super) fn overlaps(&mut self) {
        let raw = self.raw;
        // Those of one host, path and method, whatever its letter case.
        let mut earlier: HashMap<(u8, String, &str, &str), Vec<usize>> = HashMap::new();
        for (later, route) in raw.routes.iter().enumerate() {
            let kind = match route.path {
                PathMatch::Prefix(_) => 0,
                PathMatch::Exact(_) => 1,
                PathMatch::Regex(_) => 2,
            };
            let hosts = route.hosts.iter().map(String::as_str).chain(route.hosts.is_empty().then_some(""));
            let pairs = hosts.flat_map(|host| route.methods.iter().map(move |method| (host, method.as_str())));
            let mut found: Option<(usize, Clash)> = None;
            for (host, method) in pairs {
                let place = (kind, route.path.as_str().to_ascii_lowercase(), host, method);
                let others = earlier.entry(place).or_default();
                let clash = |other: &usize| Some((*other, clash(raw, &raw.routes[*other], route)?));
                let met = others.iter().find_map(clash);
                found =
                    found.into_iter().chain(met).filter(|(other, _)| *other != later).min_by_key(|(other, _)| *other);
                let is_within = |(other, clash): (usize, Clash)| {
                    let other = &raw.routes[other];
                    let takes_all = other.listen.is_empty() || other.listen == route.listen;
                    let is_wider = other.ignores_case(raw) || !route.ignores_case(raw);
                    clash == Clash::Same && takes_all && other.path == route.path && is_wider
                };
                // Otherwise whatever meets this one meets that one.
                if !met.is_some_and(is_within) {
                    others.push(later);
                }
            }
            if let Some((other, clash)) = found {
                self.clash(other, later, clash);
            }
        }
    }

    fn clash(&mut self, other: usize, later: usize, clash: Clash) {
        let routes = &self.raw.routes;
        let Some(method) = routes[other].methods.iter().find(|method| routes[later].methods.contains(method)) else {
            return;
        };
        let path = shown(routes[later].path.as_str());
        let at = format!("routes[{later}].path");
        let line = self.config.line(&format!("routes[{other}].path"));
        let here = self.config.line(&at);
        let (message, help) = match clash {
            Clash::Same => (
                format!("{} {path} is already the route on line {line}", shown(method)),
                format!(
                    "lines {line} and {here}: change path, hosts, methods or listeners of one, or add `headers` or `queries`"
                ),
            ),
            Clash::Hidden => (
                format!("the route on line {line} takes every {} {path} that this one would take", shown(method)),
                "conditions are tried in the order of the file: put the narrower ones first, or change them".to_owned(),
            ),
            Clash::LetterCase => (
                format!(
                    "this route and that on line {line} differ by `headers` or `queries` alone, and the backend of one \
                         ignores letter case"
                ),
                "write the same `ignores_case` for both backends".to_owned(),
            ),
            Clash::Cors => (
                format!(
                    "this route and that on line {line} differ by `headers` or `queries` alone, and have different `cors`: \
                         a preflight does not say which it is about"
                ),
                "write the same `cors` in both".to_owned(),
            ),
        };
        self.add(&at, message, help);
    }
}

/// Why the later of two routes of one host, method and kind of path cannot stand beside the earlier one; `None` where it can.
fn clash(raw: &Raw, earlier: &Route, later: &Route) -> Option<Clash> {
    let is_regex = matches!(later.path, PathMatch::Regex(_));
    let is_same = earlier.path == later.path;
    let is_one = is_same || (!is_regex && (earlier.ignores_case(raw) || later.ignores_case(raw)));
    if !is_one || !earlier.shares_listener_with(later) {
        return None;
    }
    if !is_same || !(earlier.has_matchers() || later.has_matchers()) {
        return Some(Clash::Same);
    }
    if earlier.hides(later) {
        return Some(Clash::Hidden);
    }
    if earlier.ignores_case(raw) != later.ignores_case(raw) {
        return Some(Clash::LetterCase);
    }
    (earlier.cors != later.cors).then_some(Clash::Cors)
}

impl Route {
    /// Returns whether both are served on some listener.
    pub(super) fn shares_listener_with(&self, other: &Self) -> bool {
        let everywhere = other.listen.is_empty() || self.listen.is_empty();
        everywhere || other.listen.iter().any(|name| self.listen.contains(name))
    }

    /// Returns whether some request is looked for among the routes of one host that both are of: those of its own host,
    /// or those of any.
    pub(super) fn shares_host_with(&self, other: &Self) -> bool {
        match (self.hosts.is_empty(), other.hosts.is_empty()) {
            (true, true) => true,
            (false, false) => self.hosts.iter().any(|host| other.hosts.contains(host)),
            _ => false,
        }
    }

    /// Returns whether it demands something of callers that the other one does not: a credential, a scope, a network.
    pub fn demands_more_than(&self, other: &Self) -> bool {
        self.require.iter().any(|credential| !other.require.contains(credential))
            || self.scopes.iter().any(|scope| !other.scopes.contains(scope))
            || self.deny.iter().any(|network| !other.deny.contains(network))
            || (!self.allow.is_empty() && self.allow != other.allow)
    }
}
