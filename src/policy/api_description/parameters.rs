//! Parameters of an operation: where their text stands in a request, and what value it is for their schema.

use std::borrow::Cow;
use std::collections::BTreeSet;

use http::HeaderMap;
use percent_encoding::percent_decode;
use serde_json::Value;

use super::document::ApiDocument;
use super::rounding::{is_of_number, is_rounded};
use crate::json_body;

/// A parameter of the path, the query or a header.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: String,
    /// Its place.
    pub(super) place: ParameterPlace,
    /// A call without it is refused.
    pub(super) is_required: bool,
    /// The empty text passes whatever the schema.
    allows_empty: bool,
    list: ListStyle,
    types: BTreeSet<String>,
    items: BTreeSet<String>,
    /// True if the text is JSON.
    is_json: bool,
    /// Its schema, by key of the validator; `None`: any value is good.
    pub(super) schema: Option<u32>,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParameterPlace {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header field.
    Header,
}

/// How the elements of a list are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListStyle {
    /// The parameter several times.
    Repeated,
    /// With this character between them.
    Separated(char),
}

/// What a request has of a parameter.
#[derive(Debug, PartialEq)]
pub(super) enum Given {
    /// Nothing.
    Nothing,
    /// It stands there more than once, or is no JSON.
    Odd,
    /// Values, one of which must fit: as typed, and as text.
    Readings(Vec<Value>),
}

/// The path, query and fields of a request.
pub(super) struct RequestTexts<'r> {
    pub(super) path: &'r [(&'r str, String)],
    pub(super) query: &'r [(Cow<'r, str>, Cow<'r, str>)],
    pub(super) headers: &'r HeaderMap,
}

impl Parameter {
    /// The parameter; `None` where it is none that a request is held against (cookies, fields that HTTP itself has).
    ///
    /// # Errors
    /// Its style is not supported; the reason, in a few words.
    pub(super) fn read(document: &ApiDocument, raw: &Value) -> Result<Option<(Self, Option<Value>)>, String> {
        let name = raw["name"].as_str().unwrap_or_default().to_owned();
        let place = match raw["in"].as_str() {
            Some("path") => ParameterPlace::Path,
            Some("query") => ParameterPlace::Query,
            Some("header") => ParameterPlace::Header,
            Some("cookie") => return Ok(None),
            _ => return Err("has no place: `in` is path, query, header or cookie".to_owned()),
        };
        let is_of_http =
            ["accept", "content-type", "authorization"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if place == ParameterPlace::Header && is_of_http {
            return Ok(None);
        }
        let content = raw["content"].as_object().and_then(|content| content.iter().next());
        let is_json = content.is_some_and(|(kind, _)| is_json(kind));
        if content.is_some() && !is_json {
            return Err("has a content other than JSON".to_owned());
        }
        let schema = content.and_then(|(_, media)| media.get("schema")).or_else(|| raw.get("schema"));
        let (mut types, mut items) = Default::default();
        if let Some(schema) = schema.filter(|_| !is_json) {
            types_of(document, schema, &mut BTreeSet::new(), &mut types);
            if types.contains("object") {
                return Err(
                    "is an object, which is not supported: write its members as parameters of their own".to_owned()
                );
            }
            items_of(document, schema, &mut BTreeSet::new(), &mut items);
        }
        let explode = raw["explode"].as_bool();
        let list = match (place, raw["style"].as_str()) {
            (ParameterPlace::Query, None | Some("form")) if explode != Some(false) => ListStyle::Repeated,
            (ParameterPlace::Query, None | Some("form")) => ListStyle::Separated(','),
            (ParameterPlace::Query, Some("spaceDelimited")) if explode != Some(true) => ListStyle::Separated(' '),
            (ParameterPlace::Query, Some("pipeDelimited")) if explode != Some(true) => ListStyle::Separated('|'),
            (ParameterPlace::Query, Some("spaceDelimited" | "pipeDelimited")) => ListStyle::Repeated,
            (ParameterPlace::Path | ParameterPlace::Header, None | Some("simple")) => ListStyle::Separated(','),
            (_, style) => return Err(format!("has the style {}, which is not supported", style.unwrap_or_default())),
        };
        let is_required = place == ParameterPlace::Path || raw["required"] == Value::Bool(true);
        let allows_empty = raw["allowEmptyValue"] == Value::Bool(true);
        let parameter = Self { name, place, is_required, allows_empty, list, types, items, is_json, schema: None };
        Ok(Some((parameter, schema.cloned())))
    }

    /// What a request has of it.
    pub(super) fn given(&self, request: &RequestTexts<'_>) -> Given {
        let texts: Vec<Cow<'_, str>> = match self.place {
            ParameterPlace::Path => {
                request.path.iter().filter(|(name, _)| *name == self.name).map(|(_, value)| value.into()).collect()
            }
            ParameterPlace::Query => {
                request.query.iter().filter(|(name, _)| *name == self.name).map(|(_, value)| value.clone()).collect()
            }
            ParameterPlace::Header => {
                let values = request.headers.get_all(self.name.as_str()).iter();
                values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
            }
        };
        let [first, others @ ..] = texts.as_slice() else { return Given::Nothing };
        if self.allows_empty && others.is_empty() && first.is_empty() {
            return Given::Readings(vec![]);
        }
        if self.is_json {
            let value = json_body::value(first.as_bytes()).ok().filter(|_| others.is_empty());
            return value.map_or(Given::Odd, |value| Given::Readings(vec![value]));
        }
        if self.types.contains("array") {
            let joins = self.place == ParameterPlace::Header;
            let elements: Vec<&str> = match self.list {
                ListStyle::Repeated => texts.iter().map(AsRef::as_ref).collect(),
                ListStyle::Separated(_) if !others.is_empty() && !joins => return Given::Odd,
                ListStyle::Separated(by) => {
                    let elements = texts.iter().flat_map(|text| text.split(by));
                    elements.map(|element| if joins { element.trim_matches([' ', '\t']) } else { element }).collect()
                }
            };
            let typed = elements.iter().map(|element| typed(element, &self.items)).collect();
            return Given::Readings(vec![Value::Array(typed)]);
        }
        if !others.is_empty() {
            return Given::Odd;
        }
        let text = Value::String(first.to_string());
        let typed = typed(first, &self.types);
        Given::Readings(if typed == text { vec![text] } else { vec![typed, text] })
    }
}

/// True for JSON.
pub(super) fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

/// The parameters of a query, decoded. `+` is a space, as in forms.
pub(super) fn query_of(query: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name).into(), decoded(value).into()))
        .collect()
}

/// A text as the value that it is for one of these types.
fn typed(text: &str, types: &BTreeSet<String>) -> Value {
    let has = |kind: &str| types.contains(kind);
    // Only as JSON writes it: the parser would skip white space around it.
    let is_number = text.bytes().all(is_of_number) && !is_rounded(text);
    if is_number
        && (has("integer") || has("number"))
        && let Ok(number) = serde_json::from_str::<serde_json::Number>(text)
    {
        return Value::Number(number);
    }
    match text {
        "true" | "false" if has("boolean") => Value::Bool(text == "true"),
        "null" if has("null") => Value::Null,
        _ => Value::String(text.to_owned()),
    }
}

/// Schemas that have been looked at.
type Seen = BTreeSet<*const Value>;

/// Collects the types that a schema allows for.
fn types_of(document: &ApiDocument, schema: &Value, seen: &mut Seen, types: &mut BTreeSet<String>) {
    if !seen.insert(std::ptr::from_ref(schema)) {
        return;
    }
    match &schema["type"] {
        Value::String(kind) => drop(types.insert(kind.clone())),
        Value::Array(kinds) => types.extend(kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned))),
        _ => {}
    }
    for option in schema["enum"].as_array().into_iter().flatten().chain(schema.get("const")) {
        let kind = match option {
            Value::Number(_) => "number",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
            _ => "string",
        };
        types.insert(kind.to_owned());
    }
    each_same(document, schema, &mut |same| types_of(document, same, seen, types));
}

/// Collects the types that the elements of a list may have.
fn items_of(document: &ApiDocument, schema: &Value, seen: &mut Seen, items: &mut BTreeSet<String>) {
    if !seen.insert(std::ptr::from_ref(schema)) {
        return;
    }
    if let Some(item) = schema.get("items") {
        types_of(document, item, &mut Seen::new(), items);
    }
    each_same(document, schema, &mut |same| items_of(document, same, seen, items));
}

/// The schemas that hold for the same value.
fn each_same(document: &ApiDocument, schema: &Value, visit: &mut dyn FnMut(&Value)) {
    if let Some(target) = schema["$ref"].as_str().and_then(|reference| document.at(reference)) {
        visit(target);
    }
    for same in ["allOf", "anyOf", "oneOf"].iter().flat_map(|keyword| schema[*keyword].as_array()).flatten() {
        visit(same);
    }
}
