//! Which changes of single keys are dangerous: callers lose access, or a check is lost.

use serde_json::Value;

use super::key_change::{KeyChange, is_within};
use super::meaning::Section;
use crate::policy_change::ChangeSubject;

/// What makes a change of a key dangerous.
#[derive(Clone, Copy)]
enum When {
    /// Any change.
    Changes,
    /// It is there no longer.
    Goes,
    /// The list loses an entry.
    Loses,
    /// The list becomes empty: what it bounded is open.
    Empties,
    /// The list gains an entry, or one of its entries differs.
    Gains,
    /// It is true no longer.
    TurnsOff,
    /// It had this value.
    Leaves(&'static str),
    /// It gets this value.
    Becomes(&'static str),
}

use Section::{ApiKeys, Backends, Clients, Listen, Routes, Settings, TrustedIssuers};
use When::{Becomes, Changes, Empties, Gains, Goes, Leaves, Loses, TurnsOff};

const RULES: [(Section, &str, When); 54] = [
    (Routes, "identifier", Goes),
    (Routes, "audience", Changes),
    (Routes, "api_key_header", Changes),
    (Routes, "client_from", Loses),
    (Routes, "customer_token_sources", Loses),
    (Routes, "headers", Gains),
    (Routes, "queries", Gains),
    (Routes, "content_types", Loses),
    (Routes, "issuers", Loses),
    (Routes, "openapi", Goes),
    (Routes, "validate", Goes),
    (Listen, "tls", Goes),
    (Listen, "tls.client_certificate", Leaves("required")),
    (Listen, "tls.client_ca", Goes),
    (Listen, "tls.client_crl", Empties),
    (Listen, "tls.client_names", Empties),
    (Listen, "tls.client_certificate_policy", Leaves("strict")),
    (Listen, "tls.min_version", Leaves("1.3")),
    (Listen, "allow", Empties),
    (Listen, "hosts", Empties),
    (Listen, "plain_http_from", Empties),
    (Listen, "require_https", TurnsOff),
    (Listen, "audience", Changes),
    (Clients, "certificate", Goes),
    (Clients, "client_ca", Goes),
    (Clients, "certificate_bound_tokens", TurnsOff),
    (Clients, "pkce", Leaves("required")),
    (Clients, "public", Changes),
    (Clients, "redirect_uris", Loses),
    (Clients, "grant_types", Loses),
    (Clients, "audiences", Loses),
    (Clients, "jwks", Goes),
    (Clients, "tls_client_auth", Goes),
    (Clients, "certificates", Loses),
    (ApiKeys, "client", Changes),
    (ApiKeys, "allow", Empties),
    (TrustedIssuers, "claims", Goes),
    (TrustedIssuers, "client.claims", Goes),
    (TrustedIssuers, "for", Loses),
    (TrustedIssuers, "tenants", Loses),
    (TrustedIssuers, "issuer", Loses),
    (TrustedIssuers, "audiences", Becomes("none")),
    (TrustedIssuers, "audiences", Loses),
    (TrustedIssuers, "max_lifetime", Goes),
    (TrustedIssuers, "algorithms", Loses),
    (Settings, "issuer.url", Changes),
    (Settings, "issuer.audience", Changes),
    (Settings, "login.path", Changes),
    (Settings, "login.cookie", Goes),
    (Settings, "login.cookie.name", Changes),
    (Settings, "login.cookie.same_site", Becomes("none")),
    (Settings, "access_token.path", Changes),
    (Backends, "tls.pin_sha256", Empties),
    (Backends, "tls.ca", Goes),
];

/// Returns whether a change of a key is dangerous.
pub(super) fn is_danger(section: Section, change: &KeyChange) -> bool {
    let KeyChange { key, before, after } = change;
    let name = key.rsplit('.').next().unwrap_or_default();
    if name.starts_with("danger_") && is_true(after) {
        return true;
    }
    let is_met = |when: When, is_below: bool| match when {
        Changes => true,
        // A member of a section that goes, such as one of several claims.
        Goes => after.is_null() && !before.is_null(),
        Gains => is_below || !is_empty(after) && !is_part_of(after, before),
        _ if is_below => false,
        // Without a list everything is allowed.
        Loses => !after.is_null() && (before.is_null() || !is_part_of(before, after)),
        Empties => !is_empty(before) && is_empty(after),
        TurnsOff => is_true(before),
        Leaves(value) => before == value,
        Becomes(value) => after == value,
    };
    RULES.iter().any(|(of, at, when)| *of == section && is_within(key, at) && is_met(*when, key != at))
        || (section == Routes && key == "response" && after.is_null())
}

/// What callers must now send, where a change of a route's key is dangerous for that.
pub(super) fn demand(key: &str) -> Option<&'static str> {
    match key.split(['.', '[']).next().unwrap_or_default() {
        "audience" => Some("callers must now send tokens for this audience"),
        "api_key_header" => Some("callers must now send API keys in this way"),
        "client_from" => Some("callers must now send client credentials in one of the ways that are left"),
        "customer_token_sources" => Some("callers must now send customer tokens in one of the places that are left"),
        "headers" | "queries" => Some("callers must now send what these conditions demand"),
        "content_types" => Some("callers must now send one of the content types that are left"),
        "issuers" => Some("callers must now send tokens of the issuers that are left"),
        _ => None,
    }
}

/// Returns whether callers lose something where an entry of this name vanishes.
pub(super) fn may_not_vanish(section: Section, name: &str) -> bool {
    match section {
        Routes | Clients | ApiKeys | TrustedIssuers | Listen => true,
        Settings => matches!(name, "issuer" | "login" | "access_token" | "forward_auth"),
        Backends | Section::Tenants => false,
    }
}

/// The part of the configuration under which an entry's changes are told.
pub(super) fn subject(section: Section) -> ChangeSubject {
    match section {
        Routes => ChangeSubject::Routes,
        Clients | ApiKeys => ChangeSubject::Callers,
        TrustedIssuers => ChangeSubject::Issuers,
        Listen => ChangeSubject::Listeners,
        Backends => ChangeSubject::Backends,
        Settings | Section::Tenants => ChangeSubject::Other,
    }
}

/// Returns whether a key is a limit.
pub(super) fn is_limit(key: &str) -> bool {
    ["limits", "quota", "memory_limit", "attempts", "login.limits", "login.attempts"]
        .iter()
        .any(|at| is_within(key, at))
}

fn is_true(value: &Value) -> bool {
    *value == Value::Bool(true)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Returns whether all entries of a list are in the other one.
fn is_part_of(list: &Value, other: &Value) -> bool {
    match (list.as_array(), other.as_array()) {
        (Some(list), Some(other)) => list.iter().all(|item| other.contains(item)),
        _ => list == other,
    }
}
