//! What a reload can be the cause of: refusals that the configuration before would not have made.

use std::collections::{BTreeMap, BTreeSet};

use super::Compared;
use super::key_change::key_changes;
use super::meaning::{Section, parsed};
use super::replay::Callees;
use crate::gateway::observe::request_shapes::RequestShape;
use crate::policy::Policy;
use crate::policy_change::{ChangeSubject, PolicyChange};

/// Settings on which it depends whether credentials are authentic, or who a caller is.
const SETTINGS: [&str; 4] = ["issuer", "login", "access_token", "forward_auth"];

/// Keys of a route on which it depends which credentials are authentic.
const PROOFS: [&str; 7] =
    ["require", "issuers", "audience", "dpop", "client_from", "customer_token_sources", "api_key_header"];

/// What a reload has changed, as far as callers can be refused because of it.
#[derive(Debug, Clone, Default)]
pub struct ReloadCauses {
    /// Keys that differ, by route.
    routes: BTreeMap<String, BTreeSet<String>>,
    /// Routes that have vanished or answer less.
    lost_routes: BTreeSet<String>,
    /// Clients that differ, or are gone, or lose a secret.
    clients: BTreeSet<String>,
    api_keys: BTreeSet<String>,
    /// Keys that sign tokens or sessions, issuers, or settings of either.
    issuers: bool,
    listeners: bool,
}

impl ReloadCauses {
    /// All that two configurations differ in; `changes` are their differences.
    pub fn between(old: &Compared, new: &Compared, changes: &[PolicyChange]) -> Self {
        let mut causes = Self::default();
        for (name, before) in old.meaning.entries(Section::Routes) {
            let Some(after) = new.meaning.entries(Section::Routes).get(name) else {
                causes.lost_routes.insert(name.clone());
                continue;
            };
            if before != after {
                let keys = key_changes(&parsed(before), &parsed(after)).into_iter();
                let top = keys.map(|change| change.key.split(['.', '[']).next().unwrap_or_default().to_owned());
                causes.routes.insert(name.clone(), top.collect());
            }
            let begin = format!("route {name} no longer answers ");
            if changes.iter().any(|change| change.what.starts_with(&begin)) {
                causes.lost_routes.insert(name.clone());
            }
        }
        causes.clients = differing(Section::Clients, "client", old, new, changes);
        causes.api_keys = differing(Section::ApiKeys, "API key", old, new, changes);
        let differs = |section| old.meaning.entries(section) != new.meaning.entries(section);
        let keys_go = changes.iter().any(|change| change.danger && change.about == ChangeSubject::Issuers);
        let setting =
            |name: &&str| old.meaning.entry(Section::Settings, name) != new.meaning.entry(Section::Settings, name);
        causes.issuers = keys_go || differs(Section::TrustedIssuers) || SETTINGS.iter().any(setting);
        causes.listeners = differs(Section::Listen);
        causes
    }

    /// Adds those of a reload before, where that is not confirmed.
    pub fn add(&mut self, other: Self) {
        for (route, keys) in other.routes {
            self.routes.entry(route).or_default().extend(keys);
        }
        self.lost_routes.extend(other.lost_routes);
        self.clients.extend(other.clients);
        self.api_keys.extend(other.api_keys);
        self.issuers |= other.issuers;
        self.listeners |= other.listeners;
    }

    /// Returns whether credentials of this caller may be authentic no longer.
    pub fn disowns(&self, route: &str, client: Option<&str>, api_key: Option<&str>) -> bool {
        let of_route = self.routes.get(route).is_some_and(|keys| PROOFS.iter().any(|key| keys.contains(*key)));
        self.issuers
            || self.listeners
            || of_route
            || client.is_some_and(|id| self.clients.contains(id))
            || api_key.is_some_and(|id| self.api_keys.contains(id))
    }

    /// Returns whether a route answers less than before, so that nobody is asked for a credential there.
    pub fn loses_route(&self, route: &str) -> bool {
        self.lost_routes.contains(route)
    }

    /// Returns whether a refusal of a known caller may come from a key that differs, where its shape does not tell.
    fn may_cause(&self, shape: &RequestShape) -> bool {
        let keys = self.routes.get(&*shape.route);
        let has = |names: &[&str]| keys.is_some_and(|keys| names.iter().any(|name| keys.contains(*name)));
        let caller = shape.client.as_deref().is_some_and(|id| self.clients.contains(id))
            || shape.api_key.as_deref().is_some_and(|id| self.api_keys.contains(id));
        match shape.refusal {
            // A method is told by the shape.
            "method" => false,
            "scope" => has(&["scopes", "require"]) || caller || self.issuers,
            "content_type" => has(&["content_types", "openapi", "validate"]),
            "body_too_large" => has(&["limits"]) || self.listeners,
            "address_not_allowed" => has(&["allow", "deny"]) || caller || self.issuers || self.listeners,
            "no_route" | "ambiguous_route" => self.loses_route(&shape.route) || shape.route.as_ref() == "none",
            _ => has(&PROOFS) || has(&["identifier", "cors"]) || caller || self.issuers || self.listeners,
        }
    }
}

/// Callers of a section that differ, are gone, or of whose secrets one is told.
fn differing(
    section: Section,
    kind: &str,
    old: &Compared,
    new: &Compared,
    changes: &[PolicyChange],
) -> BTreeSet<String> {
    let after = new.meaning.entries(section);
    let told: BTreeSet<&str> = changes
        .iter()
        .filter(|change| change.danger && change.about == ChangeSubject::Callers)
        .filter_map(|change| change.what.split_once(&format!(" of {kind} ")).map(|(_, rest)| rest))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    let before = old.meaning.entries(section).iter();
    before
        .filter(|(id, text)| after.get(*id) != Some(*text) || told.contains(id.as_str()))
        .map(|(id, _)| id.clone())
        .collect()
}

/// Tells whether refusals under a policy come from the reload that put it in force.
pub struct RefusalJudge<'a> {
    causes: &'a ReloadCauses,
    old: Callees<'a>,
    new: Callees<'a>,
}

impl<'a> RefusalJudge<'a> {
    /// For `new`, which was put in force in place of `old`.
    pub fn new(causes: &'a ReloadCauses, old: &'a Policy, new: &'a Policy) -> Self {
        Self { causes, old: Callees::of(old), new: Callees::of(new) }
    }

    /// Returns whether calls of this shape are refused because of the reload: the policy before would not have done so,
    /// and the new one does, or has another value of what the refusal is about.
    pub fn is_new(&self, shape: &RequestShape) -> bool {
        self.old.refusal(&shape.route, shape).is_none()
            && (self.new.refusal(&shape.route, shape).is_some_and(|word| word == shape.refusal)
                || self.causes.may_cause(shape))
    }
}
