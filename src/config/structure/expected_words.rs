//! Expectations of a schema: the values that fit, their description in words, and a stand-in value.

use serde_json::{Value as Json, json};

use super::super::diagnostic::listed;
use super::super::percentage::Percentage;
use super::super::scalar::{Duration, Rate, Size};
use super::super::schema::resolve;
use super::super::tree::Value;

pub(super) fn allows(schema: &Json, name: &str) -> bool {
    match &schema["type"] {
        Json::String(only) => only == name,
        Json::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

pub(super) fn accepts(schema: &Json, value: &Value) -> bool {
    match value {
        Value::Text(_) => takes_text(schema),
        Value::Bool(_) => allows(schema, "boolean"),
        Value::Integer(_) => allows(schema, "integer"),
        Value::List(_) => allows(schema, "array"),
        Value::Map(_) => allows(schema, "object"),
        Value::Null | Value::Float => false,
    }
}

pub(super) fn alternatives_of(schema: &Json) -> impl Iterator<Item = &Json> {
    let alternatives = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    alternatives.into_iter().flatten().map(resolve)
}

pub(super) fn takes_text(schema: &Json) -> bool {
    allows(schema, "string") || schema["enum"].is_array() || alternatives_of(schema).any(takes_text)
}

pub(super) fn takes_boolean(schema: &Json) -> bool {
    allows(schema, "boolean") || alternatives_of(schema).any(takes_boolean)
}

/// The help about a plain value where an amount or an address is expected: a value that this schema takes.
pub(super) fn amount_help(schema: &Json, value: &Value) -> String {
    let example = schema["examples"][0].as_str().unwrap_or_default();
    let amount = match value {
        Value::Integer(number) => number.to_string(),
        _ => String::new(),
    };
    let with_unit = match schema["format"].as_str() {
        Some(Duration::FORMAT) => Some(format!("{amount}s")).filter(|text| text.parse::<Duration>().is_ok()),
        Some(Rate::FORMAT) => Some(format!("{amount}/s")).filter(|text| text.parse::<Rate>().is_ok()),
        Some(Percentage::FORMAT) => Some(format!("{amount}%")).filter(|text| text.parse::<Percentage>().is_ok()),
        Some(Size::FORMAT) => None,
        _ => return format!("write it like \"{example}\""),
    };
    match with_unit {
        Some(text) => format!("write it with a unit: \"{text}\""),
        None => format!("write a whole number and a unit, such as \"{example}\""),
    }
}

/// Returns whether this is a reference to a secret, or has one as its only content.
pub(super) fn is_secret_reference(schema: &Json) -> bool {
    let keys: Vec<&str> = alternatives_of(schema).filter_map(|one| one["required"][0].as_str()).collect();
    keys == ["file", "env", "credential"] || keys.contains(&"basic")
}

/// Description of a value of this schema, in words.
pub(super) fn describe(schema: &Json) -> String {
    let alternatives: Vec<String> = alternatives_of(schema).map(describe).collect();
    if !alternatives.is_empty() {
        let words: Vec<&str> = alternatives_of(schema).filter_map(|one| one["const"].as_str()).collect();
        if !words.is_empty() {
            return format!("one of the words {}", listed(words));
        }
        return alternatives.join(" or ");
    }
    match &schema["format"] {
        Json::String(format) if format == Duration::FORMAT => "a length of time such as 10s".to_owned(),
        Json::String(format) if format == Size::FORMAT => "a size such as 64KiB".to_owned(),
        Json::String(format) if format == Rate::FORMAT => "a rate such as 100/s".to_owned(),
        Json::String(format) if format == Percentage::FORMAT => "a share such as 10%".to_owned(),
        _ if schema["enum"].is_array() => {
            format!(
                "one of the words {}",
                listed(schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str))
            )
        }
        _ if allows(schema, "string") => "a text".to_owned(),
        _ if allows(schema, "integer") => "a whole number".to_owned(),
        _ if allows(schema, "boolean") => "true or false".to_owned(),
        _ if allows(schema, "array") => "a list".to_owned(),
        _ => match schema["required"].as_array().map(Vec::as_slice) {
            Some([only]) => format!("{{{}: …}}", only.as_str().unwrap_or_default()),
            _ => "a mapping".to_owned(),
        },
    }
}

/// Something that can be read where a value of this schema should stand.
pub(super) fn placeholder(schema: &Json) -> Json {
    let default = &schema["default"];
    let schema = resolve(schema);
    if !default.is_null() {
        return default.clone();
    }
    if let Some(first) = alternatives_of(schema).next() {
        return placeholder(first);
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(example) = schema["examples"].get(0) {
        return example.clone();
    }
    if allows(schema, "string") {
        json!("")
    } else if allows(schema, "integer") {
        json!(1)
    } else if allows(schema, "boolean") {
        json!(false)
    } else if allows(schema, "array") {
        json!([])
    } else {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
        required.map(|name| (name.to_owned(), placeholder(&schema["properties"][name]))).collect()
    }
}
