//! Changes of what is written in a section, key by key.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::key_change::{KeyChange, is_within, key_changes};
use super::meaning::{DIGEST, Meaning, Section, parsed};
use super::rules;
use crate::policy_change::{ChangeSubject, PolicyChange};
use crate::secret::has_secret_shape;

/// Longest value that is told, in characters.
const LONGEST_VALUE: usize = 120;

/// The changes of all entries of a section.
pub(super) fn section_changes(section: Section, old: &Meaning, new: &Meaning) -> Vec<PolicyChange> {
    let (old, new) = (old.entries(section), new.entries(section));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let title = title(section, name);
        match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) if before != after => {
                let whole = |text: &String| match section {
                    // Their keys are told from the top on.
                    Section::Settings => Value::Object(Map::from_iter([(name.clone(), parsed(text))])),
                    _ => parsed(text),
                };
                changes.extend(entry_changes(section, &title, &whole(before), &whole(after), &["subject"]));
            }
            (Some(_), None) => {
                let danger = rules::may_not_vanish(section, name);
                changes.push(PolicyChange::new(rules::subject(section), danger, format!("{title} vanishes")));
            }
            (None, Some(_)) => {
                changes.push(PolicyChange::new(rules::subject(section), false, format!("{title} is new")));
            }
            _ => {}
        }
    }
    changes
}

/// The changes of one entry, but for these keys.
pub(super) fn entry_changes(
    section: Section,
    title: &str,
    before: &Value,
    after: &Value,
    but: &[&str],
) -> Vec<PolicyChange> {
    let changed = key_changes(before, after).into_iter();
    let is_meant = |change: &KeyChange| !but.iter().any(|key| is_within(&change.key, key));
    changed.filter(is_meant).map(|change| told(&change, section, title)).collect()
}

/// The change as it is told.
fn told(change: &KeyChange, section: Section, title: &str) -> PolicyChange {
    let KeyChange { key, before, after } = change;
    let (shown, danger) = (named(title, key), rules::is_danger(section, change));
    let (before, after) = (shown_value(key, before), shown_value(key, after));
    let what = match (&before, &after, change.before.is_null(), change.after.is_null()) {
        (Some(before), Some(after), ..) => format!("{shown}: {before} -> {after}"),
        (_, Some(after), true, _) => format!("{shown} is set: {after}"),
        (Some(before), _, _, true) => format!("{shown} is no longer set, it was {before}"),
        (_, _, true, _) => format!("{shown} is set"),
        (_, _, _, true) => format!("{shown} is no longer set"),
        _ => format!("{shown} changes"),
    };
    let demand = rules::demand(key).filter(|_| danger && section == Section::Routes);
    let what = demand.map(|demand| format!("{what}: {demand}")).unwrap_or(what);
    let about = if rules::is_limit(key) { ChangeSubject::Limits } else { rules::subject(section) };
    PolicyChange::new(about, danger, what).from_to(before, after)
}

/// A value as it is told; `None` for what is long, and where a secret could stand.
pub(super) fn shown_value(key: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        }
        other => other.to_string(),
    };
    // Values that the company writes freely, and that only its own side may know.
    let is_private = !rules::is_limit(key)
        && ["set", "body", "json", "value", "password", "username"].iter().any(|word| is_within_any(key, word));
    let is_shown = !is_private
        && !text.contains(DIGEST)
        && text.chars().count() <= LONGEST_VALUE
        && !has_secret_shape(&text)
        && !text.contains('@');
    is_shown.then_some(text)
}

/// The entry as it is named: `route profile`.
pub(super) fn title(section: Section, name: &str) -> String {
    match section {
        Section::Routes => format!("route {name}"),
        Section::Clients => format!("client {name}"),
        Section::ApiKeys => format!("API key {name}"),
        Section::TrustedIssuers => format!("issuer {name}"),
        Section::Listen => format!("listener {name}"),
        Section::Backends => format!("backend {name}"),
        Section::Settings | Section::Tenants => format!("`{name}`"),
    }
}

fn named(title: &str, key: &str) -> String {
    if title.starts_with('`') { format!("`{key}`") } else { format!("{title}: `{key}`") }
}

fn is_within_any(key: &str, word: &str) -> bool {
    key.split(['.', '[']).any(|part| part == word)
}
