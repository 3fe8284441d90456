//! The objects of an OpenAPI document, one after the other, with their places. Data of examples and defaults is left out:
//! a `$ref` there is none.

use serde_json::{Map, Value};

/// Keys whose members are names: of properties, components, paths, statuses.
const NAMES: [&str; 18] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
    "schemas",
    "responses",
    "requestBodies",
    "headers",
    "pathItems",
    "securitySchemes",
    "links",
    "callbacks",
    "paths",
    "webhooks",
    "content",
    "encoding",
    "variables",
];

/// Keys whose values are data.
const DATA: [&str; 5] = ["example", "examples", "default", "enum", "const"];

/// Calls `visit` with each object and its place, a JSON pointer; outer objects come first.
///
/// # Errors
/// The first error of `visit`.
pub(super) fn visit<E>(
    value: &mut Value,
    place: &mut String,
    visit: &mut impl FnMut(&mut Map<String, Value>, &str) -> Result<(), E>,
) -> Result<(), E> {
    walk(value, false, place, visit)
}

fn walk<E>(
    value: &mut Value,
    is_of_names: bool,
    place: &mut String,
    visit: &mut impl FnMut(&mut Map<String, Value>, &str) -> Result<(), E>,
) -> Result<(), E> {
    match value {
        Value::Object(members) => {
            if !is_of_names {
                visit(members, place)?;
            }
            for (name, member) in members {
                if !is_of_names && (DATA.contains(&name.as_str()) || name.starts_with("x-")) {
                    continue;
                }
                // The parameters of components have names, those of an operation are a list.
                let are_names = NAMES.contains(&name.as_str()) || (name == "parameters" && member.is_object());
                let length = place.len();
                push(place, name);
                walk(member, !is_of_names && are_names, place, visit)?;
                place.truncate(length);
            }
            Ok(())
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let length = place.len();
                push(place, &index.to_string());
                walk(item, false, place, visit)?;
                place.truncate(length);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Adds a token to a JSON pointer (RFC 6901 section 3).
pub(super) fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}
