//! All schemas that requests are held against, compiled together: what they share is compiled once.

use std::collections::HashSet;
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::conversion::demand_no_read_only;
use super::diagnosis::{self, names};
use super::document::{ApiDocument, DescriptionFault, FILES, reference_to};
use super::walk;

/// The most memory that a pattern may take when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 1024 * 1024;
/// The most elements of an array that are compared with each other under `uniqueItems`.
const MOST_UNIQUE: u64 = 10_000;
/// Stands for a name that a caller made up.
const UNDESCRIBED: &str = "(a member that is not described)";
/// The longest name of that kind that its caller is told, in bytes.
const LONGEST_NAME: usize = 64;
/// The longest place that a caller is told, in bytes.
const LONGEST_PLACE: usize = 200;

/// The first member of a request that does not fit, and the rule: ASCII without quotes, and no value of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// A JSON pointer into the body, or a parameter as `path.NAME`, `query.NAME`, `header.NAME`.
    pub place: String,
    /// The same as it may stay in memory and in logs: names that are not described are left out.
    pub kept_place: String,
    /// What is wrong with it.
    pub rule: String,
}

impl Misfit {
    pub(super) fn at(place: &str, kept_place: &str, rule: &str) -> Self {
        Self { place: place.to_owned(), kept_place: kept_place.to_owned(), rule: rule.to_owned() }
    }
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
    pub(super) fn compile(mut self, document: &ApiDocument) -> Result<Schemas, DescriptionFault> {
        let is_read_only = |reference: &str| {
            document
                .at(reference)
                .map(|value| document.resolved(value)["readOnly"] == Value::Bool(true))
                .unwrap_or_default()
        };
        let mut root = self.root(document);
        each_schema(&mut root, &mut |schema, _| demand_no_read_only(schema, &is_read_only));
        let mut described = HashSet::new();
        each_schema(&mut root, &mut |schema, _| {
            let names = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
            described.extend(names.cloned());
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            described.extend(required.filter_map(|name| name.as_str().map(str::to_owned)));
            if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
                let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(MOST_UNIQUE);
                schema.insert("maxItems".to_owned(), most.min(MOST_UNIQUE).into());
            }
        });
        let mut plain = root.clone();
        each_schema(&mut plain, &mut |schema, _| {
            COMBINATIONS.iter().for_each(|keyword| drop(schema.remove(*keyword)));
            schema.insert(diagnosis::COUNT.to_owned(), true.into());
        });
        let mut combined = root.clone();
        let first = self.0.len() as u32;
        each_schema(&mut combined, &mut |schema, place| {
            let removed: Vec<&str> =
                COMBINATIONS.into_iter().filter(|keyword| schema.remove(*keyword).is_some()).collect();
            schema.insert(diagnosis::COUNT.to_owned(), true.into());
            if !removed.is_empty() {
                let key = self.add(json!({"$ref": reference_to(place)}));
                schema.insert(diagnosis::PART.to_owned(), json!({"key": key, "keywords": removed.join(" or ")}));
            }
        });
        for (key, schema) in (first..).zip(&self.0[first as usize..]) {
            let (group, member) = names(key);
            root["properties"][group]["properties"][member] = schema.clone();
        }
        let whole = Arc::new(self.built(document, &root, None)?);
        let plain = self.built(document, &plain, Some(&whole))?;
        let combined = self.built(document, &combined, Some(&whole))?;
        Ok(Schemas { whole, plain, combined, described })
    }

    /// The schemas by their keys, beside all that they refer to.
    fn root(&self, document: &ApiDocument) -> Value {
        let mut groups = json!({});
        for (schema, key) in self.0.iter().zip(0..) {
            let (group, member) = names(key);
            groups[group]["properties"][member] = schema.clone();
        }
        let mut root = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": groups});
        for part in ["components", "paths", FILES] {
            if let Some(value) = document.root().get(part) {
                root[part] = value.clone();
            }
        }
        root
    }

    fn built(
        &self,
        document: &ApiDocument,
        root: &Value,
        whole: Option<&Arc<Validator>>,
    ) -> Result<Validator, DescriptionFault> {
        let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN);
        let mut options = jsonschema::options().with_draft(Draft::Draft202012).offline();
        options = options.should_validate_formats(false).with_pattern_options(patterns);
        if let Some(whole) = whole {
            options = diagnosis::with_keywords(options, whole);
        }
        options.build(root).map_err(|error| DescriptionFault {
            message: format!("{}: a schema cannot be used: {}", document.name, told(&error)),
            help: "correct it; patterns have no lookaround and no backreferences, as their time is not bounded"
                .to_owned(),
        })
    }
}

/// Keywords that hold a value against several schemas, or against one that counts otherwise than by its own faults.
const COMBINATIONS: [&str; 13] = [
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "contains",
    "minContains",
    "maxContains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
];

/// Calls `change` with each object of a root, and its place.
fn each_schema(root: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>, &str)) {
    let mut visit = |value: &mut Value, place: &mut String| {
        let done: Result<(), std::convert::Infallible> = walk::visit(value, place, &mut |object, place| {
            change(object, place);
            Ok(())
        });
        let Ok(()) = done;
    };
    let files = root.as_object_mut().and_then(|root| root.remove(FILES));
    visit(root, &mut String::new());
    if let Some(Value::Object(mut files)) = files {
        for (name, file) in &mut files {
            let mut place = format!("/{FILES}");
            walk::push(&mut place, name);
            visit(file, &mut place);
        }
        root[FILES] = files.into();
    }
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

/// The compiled schemas. All but the first are only there to tell what is wrong with a value: the library's own search for that
/// takes exponential time in schemas that contain themselves by several branches.
#[derive(Debug)]
pub(super) struct Schemas {
    whole: Arc<Validator>,
    /// Without combinations.
    plain: Validator,
    /// With a combination as one keyword.
    combined: Validator,
    /// The names of all members that are described somewhere.
    described: HashSet<String>,
}

impl Schemas {
    /// Holds a value against the schema of a key.
    ///
    /// # Errors
    /// The first misfit, with its place in the value.
    pub(super) fn check(&self, key: u32, value: Value) -> Result<(), Misfit> {
        let value = diagnosis::keyed(key, value);
        if self.whole.is_valid(&value) {
            return Ok(());
        }
        let found = [&self.plain, &self.combined].into_iter().find_map(|validator| {
            diagnosis::begin();
            validator.validate(&value).err().map(|error| self.misfit(&error))
        });
        Err(found.unwrap_or_else(|| Misfit::at("/", "/", "does not meet its schema")))
    }

    fn misfit(&self, error: &ValidationError<'_>) -> Misfit {
        let (place, rule) = fault(error);
        let is_short = |name: &str| name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
        let is_described = |name: &str| self.described.contains(name);
        let told = shown(&place, |name| is_described(name) || is_short(name));
        Misfit { place: told, kept_place: shown(&place, is_described), rule }
    }
}

/// The place and the rule.
fn fault(error: &ValidationError<'_>) -> (String, String) {
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
        ValidationErrorKind::Custom { keyword, .. } if keyword == diagnosis::COUNT => {
            ("/".to_owned(), "does not meet its schema".to_owned())
        }
        ValidationErrorKind::Custom { message, .. } => (place, message.clone()),
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
    (place, harmless(&rule))
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

/// A place, where only names that pass are shown.
fn shown(place: &str, passes: impl Fn(&str) -> bool) -> String {
    let mut shown = String::new();
    for (at, token) in place.split('/').enumerate() {
        if at > 0 {
            shown.push('/');
        }
        let is_index = token.len() <= 5 && token.bytes().all(|byte| byte.is_ascii_digit());
        let name = if is_index || passes(&token.replace("~1", "/").replace("~0", "~")) {
            harmless(token)
        } else {
            UNDESCRIBED.to_owned()
        };
        if shown.len() + name.len() > LONGEST_PLACE {
            shown.push_str("...");
            break;
        }
        shown.push_str(&name);
    }
    shown
}

/// A place without what has a meaning in JSON, HTML or a log: names of members may be the caller's.
pub(super) fn harmless(text: &str) -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || " /_-.~:@$*+".contains(*character);
    text.chars().map(|character| if is_plain(&character) { character } else { '_' }).take(LONGEST_PLACE).collect()
}
