//! Changes of routes that are there before and after, routes that are new and routes that vanish.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::checks::{Checks, texts};
use super::meaning::{Entries, Meaning, Section, parsed};
use super::rules;
use super::written::{entry_changes, title};
use crate::policy_change::{ChangeSubject, PolicyChange};

/// Keys that [`Checks`] has, or the identifiers.
const ELSEWHERE: [&str; 9] =
    ["name", "require", "public", "scopes", "deny", "mode", "enforce", "identifier.send", "response"];

/// All of them.
pub(super) fn changes(old: &Meaning, new: &Meaning) -> Vec<PolicyChange> {
    let renamed = renamed(old, new);
    let (old, new) = (old.entries(Section::Routes), new.entries(Section::Routes));
    let mut changes = Vec::new();
    let told = |danger: bool, what: String| PolicyChange::new(ChangeSubject::Routes, danger, what);
    for (name, before) in old {
        match new.get(name) {
            Some(after) if before == after => {}
            Some(after) => changes.extend(route_changes(name, &parsed(before), &parsed(after))),
            None => changes.push(match renamed.get(name.as_str()) {
                Some(after) => told(false, format!("route {name} is called {after}, and is the same otherwise")),
                None => told(true, format!("route {name} vanishes")),
            }),
        }
    }
    let known: BTreeSet<&str> = renamed.into_values().collect();
    for name in new.keys().filter(|name| !old.contains_key(*name) && !known.contains(name.as_str())) {
        let is_public = Checks::of(&parsed(&new[name])).is_public();
        let is_public = if is_public { ", and public" } else { "" };
        changes.push(told(false, format!("route {name} is new{is_public}")));
    }
    changes
}

/// Routes that only have another name: the name before to that after.
pub(super) fn renamed<'a>(old: &'a Meaning, new: &'a Meaning) -> BTreeMap<&'a str, &'a str> {
    let (old, new) = (old.entries(Section::Routes), new.entries(Section::Routes));
    let others = |these: &'a Entries, others: &'a Entries| these.iter().filter(|(name, _)| !others.contains_key(*name));
    let added: BTreeMap<String, &str> =
        others(new, old).map(|(name, text)| (without_name(text), name.as_str())).collect();
    let gone = others(old, new);
    gone.filter_map(|(name, text)| Some((name.as_str(), *added.get(&without_name(text))?))).collect()
}

fn without_name(text: &str) -> String {
    let mut route = parsed(text);
    route["name"] = Value::Null;
    route.to_string()
}

fn route_changes(name: &str, before: &Value, after: &Value) -> Vec<PolicyChange> {
    let title = title(Section::Routes, name);
    let (old, new) = (Checks::of(before), Checks::of(after));
    let mut changes = Vec::new();
    for lost in old.beyond(&new) {
        let [before, after] = lost.values;
        let change = PolicyChange::new(ChangeSubject::Routes, true, format!("{title} {}", lost.lost));
        changes.push(change.from_to(before, after));
    }
    for gained in new.beyond(&old) {
        let [after, before] = gained.values;
        // Of these no shape of a request tells whom they refuse.
        let demand = match gained.gained.as_str() {
            text if text.starts_with("now requires the audience ") => rules::demand("audience"),
            text if text.starts_with("now accepts tokens ") => rules::demand("issuers"),
            text if text.starts_with("now accepts some content types ") => rules::demand("content_types"),
            _ => None,
        };
        let because = demand.map(|demand| format!(": {demand}")).unwrap_or_default();
        let what = format!("{title} {}{because}", gained.gained);
        let change = PolicyChange::new(ChangeSubject::Routes, demand.is_some(), what);
        changes.push(change.from_to(before, after));
    }
    let mut elsewhere = ELSEWHERE.to_vec();
    // A list that only becomes longer or shorter is told as it is written.
    let is_opened_or_closed = |key: &&str| texts(&before[key]).is_empty() != texts(&after[key]).is_empty();
    elsewhere.extend(["issuers", "allow", "content_types"].iter().filter(|key| is_opened_or_closed(key)));
    let is_set_or_unset = |key: &&str| before[key].is_null() != after[key].is_null();
    elsewhere.extend(["audience"].iter().filter(|key| is_set_or_unset(key)));
    if (before["dpop"] == "required") != (after["dpop"] == "required") {
        elsewhere.push("dpop");
    }
    if !before["response"].is_null() && !after["response"].is_null() {
        elsewhere.retain(|key| *key != "response");
    }
    changes.extend(entry_changes(Section::Routes, &title, before, after, &elsewhere));
    changes
}
