//! The checks of a route, as far as one route can have less of them than another.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::config::percentage::Percentage;

/// The checks of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Checks {
    /// Credentials that it requires.
    credentials: BTreeSet<String>,
    scopes: BTreeSet<String>,
    /// Empty: all.
    issuers: BTreeSet<String>,
    /// Networks; empty: all.
    allow: BTreeSet<String>,
    deny: BTreeSet<String>,
    requires_dpop: bool,
    audience: Option<String>,
    /// Empty: all.
    content_types: BTreeSet<String>,
    filters_responses: bool,
    /// The share of the callers whose refusals are carried out, in millionths.
    enforced: u32,
}

/// One check that one route has and another has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckDifference {
    /// As it is told of the route that lacks it.
    pub lost: String,
    /// As it is told of a route that gets it.
    pub gained: String,
    /// The values: of the route that has it, and of the one that lacks it.
    pub values: [Option<String>; 2],
}

impl Checks {
    /// The checks of a route as it is written in one spelling.
    pub(super) fn of(route: &Value) -> Self {
        Self {
            credentials: texts(&route["require"]),
            scopes: texts(&route["scopes"]),
            issuers: texts(&route["issuers"]),
            allow: texts(&route["allow"]),
            deny: texts(&route["deny"]),
            requires_dpop: route["dpop"] == "required",
            audience: route["audience"].as_str().map(str::to_owned),
            content_types: texts(&route["content_types"]),
            filters_responses: !route["response"].is_null(),
            enforced: enforced(route),
        }
    }

    /// Returns whether everybody may call.
    pub(super) fn is_public(&self) -> bool {
        self.credentials.is_empty()
    }

    /// All that this one checks and the other one does not.
    #[expect(clippy::too_many_lines, reason = "a flat list of checks")]
    pub(super) fn beyond(&self, other: &Self) -> Vec<CheckDifference> {
        let mut found = Vec::new();
        let mut add = |lost: String, gained: String, values: [Option<String>; 2]| {
            found.push(CheckDifference { lost, gained, values });
        };
        if !self.is_public() && other.is_public() {
            let before = words(&self.credentials);
            let gained = format!("is no longer public: it requires {before}");
            add("becomes public".to_owned(), gained, [Some(before), Some("nothing".to_owned())]);
        } else {
            for credential in self.credentials.difference(&other.credentials) {
                let name = credential_name(credential);
                let values = [Some(words(&self.credentials)), Some(words(&other.credentials))];
                add(format!("no longer requires {name}"), format!("now requires {name}"), values);
            }
        }
        for scope in self.scopes.difference(&other.scopes) {
            let values = [Some(joined(&self.scopes)), Some(joined(&other.scopes))];
            add(format!("loses the scope {scope}"), format!("now requires the scope {scope}"), values);
        }
        if self.enforced > other.enforced {
            let lost = match other.enforced {
                0 => "observes: it refuses nobody any more".to_owned(),
                share => format!("observes: it refuses only {}% of the callers any more", f64::from(share) / 10_000.0),
            };
            add(
                lost,
                format!("now refuses: {}", mode(self.enforced)),
                [Some(mode(self.enforced)), Some(mode(other.enforced))],
            );
        }
        for (lost, gained, own, others) in [
            (
                "accepts tokens of every issuer",
                "now accepts tokens of some issuers only",
                &self.issuers,
                &other.issuers,
            ),
            (
                "takes callers from every network",
                "now takes callers from some networks only",
                &self.allow,
                &other.allow,
            ),
            (
                "accepts every content type",
                "now accepts some content types only",
                &self.content_types,
                &other.content_types,
            ),
        ] {
            if !own.is_empty() && others.is_empty() {
                add(lost.to_owned(), gained.to_owned(), [Some(joined(own)), None]);
            }
        }
        for network in self.deny.difference(&other.deny) {
            let values = [Some(joined(&self.deny)), Some(joined(&other.deny))];
            add(
                format!("no longer refuses callers from {network}"),
                format!("now refuses callers from {network}"),
                values,
            );
        }
        if self.requires_dpop && !other.requires_dpop {
            add(
                "no longer requires DPoP".to_owned(),
                "now requires DPoP".to_owned(),
                [Some("required".to_owned()), None],
            );
        }
        if let (Some(audience), None) = (&self.audience, &other.audience) {
            let gained = format!("now requires the audience {audience}");
            add(format!("no longer requires the audience {audience}"), gained, [Some(audience.clone()), None]);
        }
        if self.filters_responses && !other.filters_responses {
            let [lost, gained] = ["no longer filters responses", "now filters responses"].map(str::to_owned);
            add(lost, gained, [None, None]);
        }
        found
    }
}

/// The share of the callers whose refusals are carried out, in millionths.
fn enforced(route: &Value) -> u32 {
    let share = || route["enforce"].as_str().and_then(|share| share.parse::<Percentage>().ok());
    if route["mode"] == "observe" { share().map_or(0, Percentage::millionths) } else { Percentage::WHOLE }
}

/// The mode as it is told.
fn mode(enforced: u32) -> String {
    match enforced {
        0 => "observe".to_owned(),
        Percentage::WHOLE => "enforce".to_owned(),
        millionths => format!("observe, enforce {}%", f64::from(millionths) / 10_000.0),
    }
}

fn credential_name(credential: &str) -> &str {
    match credential {
        "api_key" => "an API key",
        "client" => "a client",
        "customer" => "a customer",
        other => other,
    }
}

fn words(credentials: &BTreeSet<String>) -> String {
    credentials.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn joined(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().map(String::as_str).collect::<Vec<_>>().join(", ") }
}

/// The texts of a list.
pub(super) fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
