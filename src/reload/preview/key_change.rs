//! Keys of an entry that differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyChange {
    /// The key, such as `limits.body`.
    pub key: String,
    /// The value before; `null` without one.
    pub before: Value,
    /// The value after; `null` without one.
    pub after: Value,
}

/// All keys that differ.
pub(super) fn key_changes(before: &Value, after: &Value) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    walk(String::new(), before, after, &mut changes);
    changes
}

fn walk(key: String, before: &Value, after: &Value, changes: &mut Vec<KeyChange>) {
    if before == after {
        return;
    }
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let of = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or_default();
                walk(below(name), &of(old), &of(new), changes);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() && old.iter().all(Value::is_object) => {
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                walk(format!("{key}[{place}]"), old, new, changes);
            }
        }
        _ => changes.push(KeyChange { key, before: before.clone(), after: after.clone() }),
    }
}

/// Returns whether a key is this one, or stands below it.
pub(super) fn is_within(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
