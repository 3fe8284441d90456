//! Holds the tree of gateway.yaml against its schema: every unknown key, missing key, wrong type, wrong word
//! and malformed amount, all in one run.

mod expected_words;

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

use serde_json::{Map, Value as Json, json};

use super::diagnostic::{Mark, Problems, SharedSource, closest, is_secret, listed, shown};
use super::percentage::Percentage;
use super::raw::StatusMatch;
use super::renamed;
use super::scalar::{Duration, Network, Rate, Size, SocketAddress};
use super::schema::{self, resolve};
use super::tree::{Entry, Node, Path, Value};
use expected_words::{
    accepts, allows, alternatives_of, amount_help, describe, is_secret_reference, placeholder, takes_boolean,
    takes_text,
};

/// Result of the structural check.
pub(super) struct CheckedTree {
    /// The file without its unknown keys. What is missing or unusable is replaced by something that can be
    /// read, so that the rest can still be checked.
    pub(super) value: Json,
    /// Places at which a value was replaced. Unless this is empty, `value` must not be used for anything but checking.
    pub(super) replaced: Replaced,
}

/// Checks `root` against the schema of the whole file and adds what is wrong to `problems`.
pub(super) fn check(root: &Node, source: &SharedSource, problems: &mut Problems) -> CheckedTree {
    check_only(root, schema::shared(), source, problems)
}

/// The same against another schema.
pub(super) fn check_only(root: &Node, schema: &Json, source: &SharedSource, problems: &mut Problems) -> CheckedTree {
    let mut walk = Walk { source, problems, replaced: Replaced::default() };
    let place = Place { path: Path::Root, mark: root.at };
    let value = walk.node(root, schema, &place);
    CheckedTree { value, replaced: walk.replaced }
}

struct Walk<'a> {
    source: &'a SharedSource,
    problems: &'a mut Problems,
    replaced: Replaced,
}

/// Place of a value.
struct Place<'a> {
    path: Path<'a>,
    mark: Mark,
}

impl Place<'_> {
    fn key<'p>(&'p self, key: &'p str, mark: Mark) -> Place<'p> {
        Place { path: Path::Key(&self.path, key), mark }
    }

    fn item(&self, index: usize, mark: Mark) -> Place<'_> {
        Place { path: Path::Item(&self.path, index), mark }
    }
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, schema: &Json, place: &Place<'_>) -> Json {
        let schema = resolve(schema);
        if matches!(node.value, Value::Null) {
            let help = "give it a value, or remove the key";
            return self.replace(schema, place, "there is no value", help);
        }
        if let Some(alternatives) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            return self.alternatives(node, schema, alternatives, place);
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.word(node, schema, words.iter().filter_map(Json::as_str).collect(), place);
        }
        match &node.value {
            Value::Text(text) if allows(schema, "string") => self.text(text, schema, place),
            Value::Bool(value) if allows(schema, "boolean") => json!(value),
            Value::Integer(number) if allows(schema, "integer") => self.integer(number, schema, place),
            Value::List(items) if allows(schema, "array") => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.node(item, &schema["items"], &place.item(index, item.at)))
                .collect(),
            Value::Map(entries) if allows(schema, "object") => self.map(entries, schema, place),
            _ => self.mismatch(node, schema, place),
        }
    }

    fn map(&mut self, entries: &[Entry], schema: &Json, place: &Place<'_>) -> Json {
        let mut map = Map::new();
        let properties = schema["properties"].as_object();
        // Only mistakes are worth this, and many of them only once.
        let unset: LazyCell<Vec<&str>, _> = LazyCell::new(|| {
            let set: HashSet<&str> = entries.iter().map(Entry::name).collect();
            let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
            known.filter(|known| !set.contains(known)).collect()
        });
        for entry in entries {
            let name = entry.name();
            if let Some(property) = properties.and_then(|properties| properties.get(name)) {
                let value = self.node(&entry.value, property, &place.key(name, entry.mark()));
                map.insert(name.to_owned(), value);
            } else if schema["additionalProperties"].is_object() {
                let place = place.key(name, entry.mark());
                let value = self.node(&entry.value, &schema["additionalProperties"], &place);
                map.insert(name.to_owned(), value);
            } else if let Some((present, property)) = present_key(name, properties) {
                let message = format!("unknown key `{name}`");
                let earlier = place.key(name, entry.key.at);
                let is_set = entries.iter().any(|entry| entry.name() == present);
                let help = if is_set {
                    format!("it is now `{present}`, which is set already: remove `{name}`")
                } else {
                    format!("it is now `{present}`")
                };
                self.problems.push(self.source.problem(&earlier.path.to_string(), earlier.mark, message, help));
                // Checked as the key that it is now: one run tells all that is wrong in it.
                if !is_set {
                    let value = self.node(&entry.value, property, &place.key(present, entry.mark()));
                    map.insert(present.to_owned(), value);
                }
            } else {
                self.unknown_key(entry, unset.clone(), place);
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if map.contains_key(name) {
                continue;
            }
            let property = &schema["properties"][name];
            let missing = place.key(name, place.mark);
            let is_unknown = |entry: &&Entry| properties.is_none_or(|known| !known.contains_key(entry.name()));
            if entries.iter().filter(is_unknown).any(|entry| closest(entry.name(), [name]).is_some()) {
                // One mistake, one problem: the key is there, misspelt.
                self.replaced.push(missing.path.to_string());
                map.insert(name.to_owned(), placeholder(property));
                continue;
            }
            let message = format!("`{name}` is missing");
            let help = property["description"].as_str().or(resolve(property)["description"].as_str());
            let help = format!("add `{name}`: {}", help.unwrap_or_default());
            map.insert(name.to_owned(), self.replace(property, &missing, message, help.trim_end_matches(": ")));
        }
        Json::Object(map)
    }

    fn unknown_key(&mut self, entry: &Entry, known: Vec<&str>, place: &Place<'_>) {
        let name = entry.name();
        let near = closest(name, known.iter().copied());
        let name =
            if is_secret(&format!("{}.", place.path)) && near.is_none() { "…".to_owned() } else { shown(name) };
        let unknown = place.key(&name, entry.key.at);
        // One mistake, one problem: the key is there, misspelt.
        if let Some(near) = near {
            self.replaced.push(place.key(near, entry.key.at).path.to_string());
        }
        let (message, help) = if let Some(near) = near {
            // One mistake, one problem: the key that is meant is not missing.
            self.replaced.push(place.key(near, place.mark).path.to_string());
            (format!("unknown key `{name}`"), format!("did you mean `{near}`?"))
        } else if known.is_empty() {
            (format!("unknown key `{name}`"), "remove it: every key of this section is set already".to_owned())
        } else {
            (format!("unknown key `{name}`"), format!("known here and not yet set: {}", listed(known)))
        };
        self.problems.push(self.source.problem(&unknown.path.to_string(), unknown.mark, message, help));
    }

    fn alternatives(&mut self, node: &Node, schema: &Json, alternatives: &[Json], place: &Place<'_>) -> Json {
        let alternatives: Vec<&Json> = alternatives.iter().map(resolve).collect();
        let words: Vec<&str> = alternatives.iter().filter_map(|alternative| alternative["const"].as_str()).collect();
        if !words.is_empty() {
            return self.word(node, schema, words, place);
        }
        let objects: Vec<&Json> =
            alternatives.iter().copied().filter(|alternative| alternative["type"] == "object").collect();
        match &node.value {
            Value::Map(entries) if objects.len() == alternatives.len() || objects.len() > 1 => {
                self.variant(entries, schema, &objects, place)
            }
            _ => match alternatives.iter().find(|alternative| accepts(alternative, &node.value)) {
                Some(alternative) => {
                    let count = self.problems.len();
                    let value = self.node(node, alternative, place);
                    let is_word = alternatives_of(alternative).any(|one| one["const"].is_string());
                    let section = objects.first().and_then(|object| object["required"][0].as_str());
                    if let Some(key) = section.filter(|_| is_word && self.problems.len() > count) {
                        self.problems.add_to_last_help(&format!(", or a section with `{key}`"));
                    }
                    value
                }
                None => self.mismatch(node, schema, place),
            },
        }
    }

    /// An object that has exactly one of several keys.
    fn variant(&mut self, entries: &[Entry], schema: &Json, objects: &[&Json], place: &Place<'_>) -> Json {
        let names: Vec<&str> = objects.iter().filter_map(|object| object["required"][0].as_str()).collect();
        let chosen: Vec<&Entry> = entries.iter().filter(|entry| names.contains(&entry.name())).collect();
        for entry in entries.iter().filter(|entry| !names.contains(&entry.name())) {
            self.unknown_key(entry, names.clone(), place);
        }
        let one_of = if names.len() == 1 { listed(names) } else { format!("exactly one of {}", listed(names)) };
        match chosen.as_slice() {
            [] if !entries.is_empty() => {
                self.replaced.push(place.path.to_string());
                placeholder(schema)
            }
            [] => self.replace(schema, place, format!("{one_of} is needed here"), "add it"),
            [entry] => {
                let name = entry.name();
                let object = objects.iter().find(|object| object["required"][0] == name);
                let property = object.map_or(&Json::Null, |object| &object["properties"][name]);
                let value = self.node(&entry.value, property, &place.key(name, entry.mark()));
                json!({ name: value })
            }
            several => {
                let set = listed(several.iter().map(|entry| entry.name()));
                self.replace(schema, place, format!("{set} stand side by side; {one_of} is needed"), "keep one")
            }
        }
    }

    fn word(&mut self, node: &Node, schema: &Json, words: Vec<&str>, place: &Place<'_>) -> Json {
        let written = match &node.value {
            Value::Text(text) if words.contains(&text.as_str()) => return json!(text),
            Value::Text(text) => text.as_str(),
            Value::Bool(_) | Value::Integer(_) | Value::Float => self.source.written_at(node.at),
            _ => return self.mismatch(node, schema, place),
        };
        if words.contains(&written) {
            return self.mismatch(node, schema, place);
        }
        let message = format!("`{}` is not a word that is known here", self.quoted(written, place));
        if let Some(present) = renamed::word(written, &words) {
            let help = format!("it is now `{present}`");
            self.problems.push(self.source.problem(&place.path.to_string(), place.mark, message, help));
            return json!(present);
        }
        if let Some(help) = renamed::unsupported(written, &words) {
            let message = format!("`{written}` is not supported");
            return self.replace(schema, place, message, help);
        }
        let help = match closest(written, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the words are {}", listed(words)),
        };
        self.replace(schema, place, message, help)
    }

    fn text(&mut self, text: &str, schema: &Json, place: &Place<'_>) -> Json {
        let network = (schema["format"] == Network::FORMAT).then(|| Network::parse(text));
        if let Some(Ok(network)) = network {
            return json!(network.to_string());
        }
        let (what, error) = match schema["format"].as_str() {
            Some(Duration::FORMAT) => ("a length of time", text.parse::<Duration>().err()),
            Some(Size::FORMAT) => ("a size", text.parse::<Size>().err()),
            Some(Rate::FORMAT) => ("a rate", text.parse::<Rate>().err()),
            Some(Percentage::FORMAT) => ("a percentage", text.parse::<Percentage>().err()),
            Some(Network::FORMAT) => ("a network", network.and_then(Result::err)),
            Some(SocketAddress::FORMAT) => (
                "an address",
                text.parse::<SocketAddr>()
                    .err()
                    .map(|_| "expected IP address and port, such as 0.0.0.0:8443".to_owned()),
            ),
            Some(StatusMatch::FORMAT) => ("a status", text.parse::<StatusMatch>().err()),
            _ => ("", None),
        };
        match error {
            None => json!(text),
            Some(help) => {
                let message = format!("`{}` is not {what}", self.quoted(text, place));
                self.replace(schema, place, message, help)
            }
        }
    }

    fn integer(&mut self, number: &serde_json::Number, schema: &Json, place: &Place<'_>) -> Json {
        let largest = match schema["format"].as_str() {
            Some("uint16") => u64::from(u16::MAX),
            Some("uint32") => u64::from(u32::MAX),
            Some(Size::FORMAT) => 1 << 40,
            _ => usize::MAX as u64,
        };
        if schema["format"] == "int64" && number.is_i64() {
            return json!(number);
        }
        match number.as_u64() {
            Some(value) if value <= largest => json!(value),
            _ => {
                let message = format!("`{}` is out of range", self.quoted(&number.to_string(), place));
                self.replace(schema, place, message, format!("a whole number from 0 to {largest} is needed"))
            }
        }
    }

    fn mismatch(&mut self, node: &Node, schema: &Json, place: &Place<'_>) -> Json {
        let expected = describe(schema);
        let kind = node.value.kind();
        let is_plain = matches!(node.value, Value::Bool(_) | Value::Integer(_) | Value::Float);
        let written = self.source.written_at(node.at);
        if is_secret_reference(schema) {
            let help = "put the secret into a file or an environment variable and write {file: PATH}, {env: NAME} or {credential: NAME}";
            return self.replace(schema, place, "a secret is never written here", help);
        }
        let help = match &node.value {
            _ if is_plain && schema["format"].is_string() && takes_text(schema) => amount_help(schema, &node.value),
            _ if is_plain && takes_text(schema) && !is_secret(&place.path.to_string()) && !written.is_empty() => {
                format!("write it in quotes: \"{}\"", shown(written))
            }
            _ if is_plain && takes_text(schema) => "write it in quotes".to_owned(),
            Value::Text(text) if takes_boolean(schema) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => "write true".to_owned(),
                "no" | "off" | "n" => "write false".to_owned(),
                _ => "write true or false, without quotes".to_owned(),
            },
            Value::Text(text) if allows(schema, "integer") && text.parse::<u64>().is_ok() => {
                "write it without quotes".to_owned()
            }
            Value::Text(_) | Value::Bool(_) | Value::Integer(_) | Value::Float if allows(schema, "array") => {
                "write a list: [ … ]".to_owned()
            }
            _ => String::new(),
        };
        self.replace(schema, place, format!("expected {expected}, this is {kind}"), help)
    }

    /// Adds a problem and gives something in place of the value.
    fn replace(
        &mut self,
        schema: &Json,
        place: &Place<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Json {
        self.problems.push(self.source.problem(&place.path.to_string(), place.mark, message, help));
        self.replaced.push(place.path.to_string());
        placeholder(schema)
    }

    fn quoted(&self, written: &str, place: &Place<'_>) -> String {
        if is_secret(&place.path.to_string()) { "…".to_owned() } else { shown(written) }
    }
}

/// The present name and the schema of a key that has the name of an earlier version.
fn present_key<'a>(name: &str, properties: Option<&'a Map<String, Json>>) -> Option<(&'static str, &'a Json)> {
    let properties = properties?;
    let present = renamed::key(name, |present| properties.contains_key(present))?;
    Some((present, &properties[present]))
}

/// Paths of values that could not be used and have stand-ins.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    paths: BTreeSet<String>,
    /// The beginnings of paths in routes of which the requirements have stand-ins.
    routes: HashSet<String>,
}

impl Replaced {
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    fn push(&mut self, path: String) {
        self.routes.extend(path.find(".require").map(|end| path[..=end].to_owned()));
        self.paths.insert(path);
    }

    /// Returns whether a problem at `path` may come from a replaced value.
    pub(super) fn touch(&self, path: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let ends = || path.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'['));
        let mut parents = ends().map(|(end, _)| &path[..end]).chain([path]);
        let is_below = parents.any(|parent| self.paths.contains(parent));
        let list = format!("{path}[");
        let is_its_list =
            || self.paths.range(list.clone()..).next().is_some_and(|replaced| replaced.starts_with(&list));
        // What a route requires decides about most of the rest of it.
        let is_in_route = || ends().any(|(end, _)| self.routes.contains(&path[..=end]));
        is_below || is_its_list() || is_in_route()
    }
}
