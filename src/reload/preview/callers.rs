//! Clients and API keys: those that vanish, what they lose and gain.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Compared;
use super::checks::texts;
use super::meaning::{Entries, Section, parsed};
use super::routes::renamed;
use super::written::{entry_changes, title};
use crate::policy_change::{ChangeSubject, PolicyChange};

/// All changes of clients and API keys, but for their secrets.
pub(super) fn changes(old: &Compared, new: &Compared) -> Vec<PolicyChange> {
    let demanded: BTreeSet<&str> =
        new.policy.routes.iter().flat_map(|route| &route.requirements.scopes).map(String::as_str).collect();
    let entries = |section| (old.meaning.entries(section), new.meaning.entries(section));
    let mut changes = each(Section::Clients, entries(Section::Clients), |title, before, after| {
        let mut changes = Vec::new();
        let (had, has) = (texts(&before["scopes"]), texts(&after["scopes"]));
        for scope in had.difference(&has) {
            let is_demanded = demanded.contains(scope.as_str());
            changes.push(told(is_demanded, format!("{title} loses the scope {scope}"), &had, &has));
        }
        for scope in has.difference(&had) {
            changes.push(told(false, format!("{title} may have the scope {scope}"), &had, &has));
        }
        changes.extend(entry_changes(Section::Clients, title, before, after, &["id", "scopes"]));
        changes
    });
    let renamed = renamed(&old.meaning, &new.meaning);
    changes.extend(each(Section::ApiKeys, entries(Section::ApiKeys), |title, before, after| {
        let mut changes = Vec::new();
        let had = texts(&before["routes"]);
        let called = |name: &String| (*renamed.get(name.as_str()).unwrap_or(&name.as_str())).to_owned();
        let (had, has): (BTreeSet<String>, _) = (had.iter().map(called).collect(), texts(&after["routes"]));
        for route in had.difference(&has) {
            changes.push(told(true, format!("{title} is no longer valid for route {route}"), &had, &has));
        }
        for route in has.difference(&had) {
            changes.push(told(false, format!("{title} is valid for route {route} too"), &had, &has));
        }
        changes.extend(entry_changes(Section::ApiKeys, title, before, after, &["id", "routes"]));
        changes
    }));
    changes
}

fn told(danger: bool, what: String, before: &BTreeSet<String>, after: &BTreeSet<String>) -> PolicyChange {
    let joined = |names: &BTreeSet<String>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    PolicyChange::new(ChangeSubject::Callers, danger, what).from_to(Some(joined(before)), Some(joined(after)))
}

/// Those that vanish, those that are new, and the changes of all others.
fn each(
    section: Section,
    (old, new): (&Entries, &Entries),
    compare: impl Fn(&str, &Value, &Value) -> Vec<PolicyChange>,
) -> Vec<PolicyChange> {
    let mut changes = Vec::new();
    for (name, before) in old {
        let title = title(section, name);
        match new.get(name) {
            None => changes.push(PolicyChange::new(ChangeSubject::Callers, true, format!("{title} vanishes"))),
            Some(after) if before == after => {}
            Some(after) => changes.extend(compare(&title, &parsed(before), &parsed(after))),
        }
    }
    let added = new.keys().filter(|name| !old.contains_key(*name));
    changes.extend(added.map(|name| {
        let what = format!("{} is new", title(section, name));
        PolicyChange::new(ChangeSubject::Callers, false, what)
    }));
    changes
}
