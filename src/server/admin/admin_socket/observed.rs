//! `GET /readiness`: who would be refused on routes that observe, and which of these routes are safe to enforce.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::gateway::Shared;
use crate::gateway::observe::observed_refusals::{ObservedRoute, ObservedRow, Occurrences};
use crate::key_validity::format_time;
use crate::policy::route::enforcement::Enforcement;

/// The rows, the routes, and what had no place in the rows.
pub(super) fn readiness(shared: &Shared) -> Value {
    let policy = shared.policy();
    let enforcement: HashMap<&str, Enforcement> =
        policy.routes.iter().map(|route| (&*route.name, route.enforcement)).collect();
    let counts = shared.observed.counts(|route| shared.metrics.requests_of(route));
    let routes: Vec<Value> = counts
        .routes
        .iter()
        .filter_map(|counts| Some(shown_route(counts, *enforcement.get(&*counts.route)?)))
        .collect();
    let rows: Vec<Value> = counts.rows.iter().map(shown_row).collect();
    json!({ "routes": routes, "rows": rows, "others": counts.others.as_ref().map(shown) })
}

fn shown_route(counts: &ObservedRoute, enforcement: Enforcement) -> Value {
    let share = match enforcement {
        Enforcement::Share(share) => share.to_string(),
        Enforcement::Never => "0%".to_owned(),
        Enforcement::Always => "100%".to_owned(),
    };
    json!({
        "route": counts.route,
        "mode": if enforcement.is_always() { "enforce" } else { "observe" },
        "enforce": share,
        "since": format_time(counts.since),
        "calls": counts.calls,
        "observed": counts.observed,
        "last_seen": counts.last_seen.map(format_time),
        "refused": counts.refused,
        "safe": counts.calls > 0 && counts.observed == 0 && counts.refused == 0,
    })
}

fn shown_row(row: &ObservedRow) -> Value {
    let mut shown = shown(&row.seen);
    shown["route"] = json!(row.route);
    shown["client"] = json!(row.client);
    shown["refusal"] = json!(row.refusal);
    shown
}

fn shown(seen: &Occurrences) -> Value {
    json!({ "count": seen.count, "since": format_time(seen.since), "last_seen": format_time(seen.last_seen) })
}
