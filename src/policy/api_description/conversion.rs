//! Schemas of OpenAPI 3.0 in the words of 3.1, which are those of JSON Schema 2020-12.

use serde_json::{Map, Value, json};

/// Rewrites the keywords of one schema. Objects that are no schemas have none of them.
pub(super) fn convert(schema: &mut Map<String, Value>) {
    if schema.contains_key("$ref") {
        // What stands beside a reference has no meaning in 3.0; the company's own marks keep theirs.
        schema.retain(|name, _| name == "$ref" || name.starts_with("x-"));
        return;
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(is_exclusive)) = schema.get(flag).cloned() {
            schema.remove(flag);
            if is_exclusive && let Some(limit) = schema.remove(bound) {
                schema.insert(flag.to_owned(), limit);
            }
        }
    }
    if schema.remove("nullable") == Some(Value::Bool(true)) {
        allow_null(schema);
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(options) = schema.get_mut("enum").and_then(Value::as_array_mut)
        && !options.contains(&Value::Null)
    {
        options.push(Value::Null);
    }
    if let Some(Value::String(kind)) = schema.get("type").cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    }
    // Marks stay where they are looked for.
    let combines = ["allOf", "anyOf", "oneOf"];
    if combines.iter().any(|keyword| schema.contains_key(*keyword)) {
        let parts = combines.iter().filter_map(|keyword| Some(((*keyword).to_owned(), schema.remove(*keyword)?)));
        let combined: Map<String, Value> = parts.collect();
        schema.insert("anyOf".to_owned(), json!([combined, {"type": "null"}]));
    }
}

/// Takes members that only responses have out of `required`, for requests. `find` follows references.
pub(super) fn demand_no_read_only(schema: &mut Map<String, Value>, find: &dyn Fn(&str) -> bool) {
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    let is_read_only = |name: &str| {
        let property = &properties.get(name);
        let says_so = property.and_then(|property| property["readOnly"].as_bool()) == Some(true);
        says_so || property.and_then(|property| property["$ref"].as_str()).is_some_and(find)
    };
    let Some(Value::Array(required)) = schema.get("required") else { return };
    let left: Vec<Value> = required.iter().filter(|name| !name.as_str().is_some_and(is_read_only)).cloned().collect();
    schema.insert("required".to_owned(), left.into());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn converted(schema: &Value) -> Value {
        let mut schema = schema.as_object().unwrap().clone();
        convert(&mut schema);
        schema.into()
    }

    #[test]
    fn keywords_of_3_0_become_those_of_json_schema() {
        for (old, new) in [
            (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
            (json!({"type": "string", "nullable": false}), json!({"type": "string"})),
            (
                json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
                json!({"type": "integer", "exclusiveMinimum": 1}),
            ),
            (
                json!({"type": "integer", "maximum": 1, "exclusiveMaximum": false}),
                json!({"type": "integer", "maximum": 1}),
            ),
            (json!({"$ref": "#/a", "nullable": true, "x-redact": true}), json!({"$ref": "#/a", "x-redact": true})),
            (
                json!({"nullable": true, "allOf": [{"$ref": "#/a"}]}),
                json!({"anyOf": [{"allOf": [{"$ref": "#/a"}]}, {"type": "null"}]}),
            ),
            (json!({"nullable": true, "enum": ["a"]}), json!({"enum": ["a", null]})),
        ] {
            assert_eq!(converted(&old), new);
        }
    }
}
