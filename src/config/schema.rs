//! JSON Schema of gateway.yaml: for editors, and for the structural check at start.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::raw::Raw;
use super::renamed;

static SCHEMA: LazyLock<Value> = LazyLock::new(build);

static KEYS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let mut keys = HashSet::new();
    collect_keys(&SCHEMA, &mut keys);
    keys
});

/// The JSON Schema (draft 2020-12) of gateway.yaml, with a title, a description of each key and the defaults.
/// An editor takes it by `# yaml-language-server: $schema=PATH` on the first line of the file.
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The same, without a copy.
pub(super) fn shared() -> &'static Value {
    &SCHEMA
}

/// Returns whether `word` is a key somewhere in gateway.yaml, or the earlier name of one.
pub(super) fn is_key(word: &str) -> bool {
    KEYS.contains(word) || renamed::KEYS.iter().any(|(earlier, _)| *earlier == word)
}

/// The part of it that describes one key of the top level.
pub(super) fn only(key: &str) -> Value {
    serde_json::json!({ "type": "object", "properties": { key: SCHEMA["properties"][key] }, "required": [key] })
}

fn build() -> Value {
    let mut schema = schemars::schema_for!(Raw).to_value();
    schema["title"] = "gateway.yaml of wicketgate".into();
    refuse_null(&mut schema);
    schema
}

/// A key that is written has a value: `login:` with nothing behind it is a mistake, not a default.
fn refuse_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
                alternatives.retain(|alternative| alternative["type"] != "null");
                if let [Value::Object(only)] = alternatives.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            // Those of a section stand at its keys.
            let says_nothing =
                |default: &Value| default.is_null() || default.is_object() || *default == Value::Array(vec![]);
            if object.get("default").is_some_and(says_nothing) {
                object.remove("default");
            }
            object.remove("writeOnly");
            object.values_mut().for_each(refuse_null);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_null),
        _ => {}
    }
}

fn collect_keys(schema: &Value, keys: &mut HashSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| collect_keys(value, keys));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        _ => {}
    }
}

/// The target of `$ref`, or the schema itself.
pub(super) fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        Some(name) => &SCHEMA["$defs"][name],
        None => schema,
    }
}
