//! All schemas that requests are held against, compiled together: what they share is compiled once.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::conversion::demand_no_read_only;
use super::document::{ApiDocument, DescriptionFault, FILES};
use super::walk;

/// The most memory that a pattern may take when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 1024 * 1024;
/// Schemas below one node: the validator looks for each of them in a value.
const GROUP: u32 = 64;
/// The longest place that a caller is told, in bytes.
const LONGEST_PLACE: usize = 200;

/// The first member of a request that does not fit, and the rule: ASCII without quotes, and no value of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// A JSON pointer into the body, or a parameter as `path.NAME`, `query.NAME`, `header.NAME`.
    pub place: String,
    /// What is wrong with it.
    pub rule: String,
}

/// Collects the schemas of a document that requests are held against.
#[derive(Default)]
pub(super) struct SchemaCollector(Vec<Value>);

impl SchemaCollector {
    /// Adds a schema; its key.
    pub(super) fn add(&mut self, schema: Value) -> u32 {
        self.0.push(schema);
        self.0.len() as u32 - 1
    }

    /// Compiles them. Patterns are those of the `regex` crate, whose time is linear in the text.
    ///
    /// # Errors
    /// A schema is none, or a pattern needs lookaround or backreferences.
    pub(super) fn compile(self, document: &ApiDocument) -> Result<Schemas, DescriptionFault> {
        let mut groups = Map::new();
        for (schema, key) in self.0.into_iter().zip(0..) {
            let (group, member) = names(key);
            groups.entry(group).or_insert_with(|| json!({"properties": {}}))["properties"][member] = schema;
        }
        let mut root = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": groups});
        for part in ["components", "paths", FILES] {
            if let Some(value) = document.root().get(part) {
                root[part] = value.clone();
            }
        }
        let is_read_only = |reference: &str| {
            document
                .at(reference)
                .map(|value| document.resolved(value)["readOnly"] == Value::Bool(true))
                .unwrap_or_default()
        };
        let mut demand = |value: &mut Value| {
            let done: Result<(), std::convert::Infallible> =
                walk::visit(value, &mut String::new(), &mut |object, _| {
                    demand_no_read_only(object, &is_read_only);
                    Ok(())
                });
            let Ok(()) = done;
        };
        let files = root.as_object_mut().and_then(|root| root.remove(FILES));
        demand(&mut root);
        if let Some(Value::Object(mut files)) = files {
            files.values_mut().for_each(&mut demand);
            root[FILES] = files.into();
        }
        let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN);
        let options = jsonschema::options().with_draft(Draft::Draft202012).offline();
        let validator = options.should_validate_formats(false).with_pattern_options(patterns).build(&root);
        let validator = validator.map_err(|error| DescriptionFault {
            message: format!("{}: a schema cannot be used: {}", document.name, told(&error)),
            help: "correct it; patterns have no lookaround and no backreferences, as their time is not bounded"
                .to_owned(),
        })?;
        Ok(Schemas(validator))
    }
}

fn names(key: u32) -> (String, String) {
    ((key / GROUP).to_string(), key.to_string())
}

/// An error of a schema, with the value that is wrong.
fn told(error: &ValidationError<'_>) -> String {
    let mut text = error.to_string();
    if text.len() > 300 {
        text.truncate(text.floor_char_boundary(300));
        text.push_str("...");
    }
    format!("{text} ({})", error.schema_path().as_str())
}

/// The compiled schemas.
#[derive(Debug)]
pub(super) struct Schemas(Validator);

impl Schemas {
    /// Holds a value against the schema of a key.
    ///
    /// # Errors
    /// The first misfit, with its place in the value.
    pub(super) fn check(&self, key: u32, value: Value) -> Result<(), Misfit> {
        let (group, member) = names(key);
        let whole = Value::Object(Map::from_iter([(group, Value::Object(Map::from_iter([(member, value)])))]));
        self.0.validate(&whole).map_err(|error| misfit(&error))
    }
}

fn misfit(error: &ValidationError<'_>) -> Misfit {
    // The first two steps are those of the key.
    let place: String = error.instance_path().as_str().splitn(4, '/').skip(3).collect();
    let place = if place.is_empty() { String::new() } else { format!("/{place}") };
    let (place, rule) = match error.kind() {
        ValidationErrorKind::Required { property } => {
            (member(place, property.as_str().unwrap_or_default()), "is missing".to_owned())
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            (member(place, unexpected.first().map(String::as_str).unwrap_or_default()), "is not described".to_owned())
        }
        ValidationErrorKind::Type { kind } => (place, format!("is not of type {}", type_names(kind))),
        ValidationErrorKind::Enum { .. } => (place, "is none of the values of enum".to_owned()),
        ValidationErrorKind::FalseSchema => (place, "is not allowed".to_owned()),
        ValidationErrorKind::Minimum { limit }
        | ValidationErrorKind::Maximum { limit }
        | ValidationErrorKind::ExclusiveMinimum { limit }
        | ValidationErrorKind::ExclusiveMaximum { limit } => {
            (place, format!("does not meet {} {limit}", error.kind().keyword()))
        }
        ValidationErrorKind::MinLength { limit }
        | ValidationErrorKind::MaxLength { limit }
        | ValidationErrorKind::MinItems { limit }
        | ValidationErrorKind::MaxItems { limit }
        | ValidationErrorKind::MinProperties { limit }
        | ValidationErrorKind::MaxProperties { limit } => {
            (place, format!("does not meet {} {limit}", error.kind().keyword()))
        }
        kind => (place, format!("does not meet {}", kind.keyword())),
    };
    let place = if place.is_empty() { "/".to_owned() } else { place };
    Misfit { place: harmless(&place), rule: harmless(&rule) }
}

fn member(mut place: String, name: &str) -> String {
    walk::push(&mut place, name);
    place
}

fn type_names(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => kind.to_string(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// A place without what has a meaning in JSON, HTML or a log: names of members may be the caller's.
pub(super) fn harmless(text: &str) -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || " /_-.~:@$*+".contains(*character);
    text.chars().map(|character| if is_plain(&character) { character } else { '_' }).take(LONGEST_PLACE).collect()
}
