//! Operations of the company's documents as parts of the gateway's: with their schemas, without their servers and security.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::policy::api_description::{ApiDocument, merged_parameters};

/// The mark of operations that are nobody else's business.
const INTERNAL: &str = "x-internal";

/// The schemas of the document that is made, by name; those of several files side by side.
#[derive(Default)]
pub(super) struct SchemaNames {
    pub(super) schemas: Map<String, Value>,
    /// By file and reference.
    known: HashMap<(String, String), String>,
}

/// Copies operations of one document.
pub(super) struct Company<'d> {
    pub(super) document: &'d ApiDocument,
    /// Where the document comes from.
    pub(super) file: String,
    pub(super) names: &'d mut SchemaNames,
}

impl Company<'_> {
    /// The operation, ready for the document; `None` for an internal one.
    pub(super) fn operation(&mut self, item: &Value, raw: &Value) -> Option<Map<String, Value>> {
        if raw[INTERNAL] == Value::Bool(true) || item[INTERNAL] == Value::Bool(true) {
            return None;
        }
        let mut operation = raw.as_object()?.clone();
        for key in ["servers", "security", "callbacks", "parameters"] {
            operation.remove(key);
        }
        let parameters: Vec<Value> =
            merged_parameters(self.document, item, raw).into_iter().map(|parameter| self.whole(parameter)).collect();
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = operation.get_mut("requestBody") {
            *body = self.whole(&self.document.resolved(body).clone());
        }
        if let Some(Value::Object(responses)) = operation.get_mut("responses") {
            for response in responses.values_mut().filter(|response| response.is_object()) {
                *response = self.whole(&self.document.resolved(response).clone());
            }
        }
        Some(operation)
    }

    /// A part of an operation with everything in it but schemas, whose references lead to copies.
    fn whole(&mut self, part: &Value) -> Value {
        let mut part = part.clone();
        self.make_whole(&mut part, false);
        part
    }

    fn make_whole(&mut self, value: &mut Value, is_of_names: bool) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.make_whole(item, false)),
            Value::Object(members) => {
                if !is_of_names {
                    members.remove("links");
                    // What refers to examples elsewhere is of no use without them.
                    if let Some(Value::Object(examples)) = members.get_mut("examples") {
                        examples.retain(|_, example| example.get("$ref").is_none());
                    }
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let copy = self.copied(&reference.clone());
                        members.insert("$ref".to_owned(), copy.into());
                    }
                    let mapping =
                        members.get_mut("discriminator").and_then(|discriminator| discriminator.get_mut("mapping"));
                    for target in mapping.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
                        if let Value::String(reference) = target {
                            *target = self.copied(&reference.clone()).into();
                        }
                    }
                }
                for (name, member) in members.iter_mut() {
                    if !is_of_names && is_data(name) {
                        continue;
                    }
                    if !is_of_names && name == "headers" {
                        // Fields are described where they stand.
                        for field in member.as_object_mut().into_iter().flat_map(Map::values_mut) {
                            *field = self.document.resolved(field).clone();
                        }
                    }
                    let are_names = !is_of_names && has_names(name);
                    self.make_whole(member, are_names);
                }
            }
            _ => {}
        }
    }

    /// The reference to the copy of a schema.
    fn copied(&mut self, reference: &str) -> String {
        let key = (self.file.clone(), reference.to_owned());
        if let Some(name) = self.names.known.get(&key) {
            return format!("#/components/schemas/{name}");
        }
        let wanted: String = reference.rsplit('/').next().unwrap_or_default().chars().map(plain).collect();
        let wanted = if wanted.is_empty() { "Schema".to_owned() } else { wanted };
        let mut name = wanted.clone();
        let mut number = 2;
        while self.names.schemas.contains_key(&name) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        // Before its own references are followed, which may lead back here.
        self.names.known.insert(key, name.clone());
        self.names.schemas.insert(name.clone(), Value::Null);
        let schema = self.document.at(reference).cloned().unwrap_or(Value::Bool(true));
        let schema = self.whole(&schema);
        self.names.schemas.insert(name.clone(), schema);
        format!("#/components/schemas/{name}")
    }
}

/// Names of components have these characters.
fn plain(character: char) -> char {
    if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' }
}

fn is_data(name: &str) -> bool {
    ["example", "examples", "default", "enum", "const"].contains(&name) || name.starts_with("x-")
}

fn has_names(name: &str) -> bool {
    let keys = [
        "properties",
        "patternProperties",
        "dependentSchemas",
        "$defs",
        "definitions",
        "content",
        "headers",
        "encoding",
        "mapping",
    ];
    keys.contains(&name)
}
