//! gateway.yaml as a tree of nodes with their marks, before types are known.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use super::diagnostic::{
    Mark, Problem, Problems, SharedSource, is_key_below_secret, is_not_reference, is_secret, is_secret_key,
    looks_secret, shown,
};
use super::renamed;

/// The largest file that is read, in bytes: a hundred thousand clients and as many API keys need half of it.
pub(super) const MAX_BYTES: usize = 64 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 4_000_000;
/// Limit of nodes that aliases repeat: a file that refers to itself must not become much larger than it is.
const MAX_REPEATED: usize = 50_000;

/// A value and where it is written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(serde_json::Number),
    /// A number with a fraction or an exponent.
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Node,
    pub(super) value: Node,
}

impl Entry {
    /// The key. Empty where it is not a text; `read` leaves none of those.
    pub(super) fn name(&self) -> &str {
        match &self.key.value {
            Value::Text(name) => name,
            _ => "",
        }
    }

    /// The mark of this entry's value: a block below its key is best shown by the key.
    pub(super) fn mark(&self) -> Mark {
        let is_block = matches!(self.value.value, Value::List(_) | Value::Map(_) | Value::Null);
        if is_block && self.value.at.line != self.key.at.line { self.key.at } else { self.value.at }
    }
}

impl Value {
    /// The kind of value, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads YAML into a tree whose keys are texts and unique. The problems of keys are left in `problems`;
/// `Err` is the one problem of text that is not YAML, or too large, or too deep.
pub(super) fn read(source: &SharedSource, problems: &mut Problems) -> Result<Node, Problem> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        return Err(too_large(source, text.len() as u64));
    }
    let mut root: Node =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| not_yaml(source, &error))?;
    source.hide(secret_ranges(&root));
    remove_bad_keys(&mut root, &Path::Root, source, problems);
    Ok(root)
}

/// The problem of a file above [`MAX_BYTES`].
pub(super) fn too_large(source: &SharedSource, bytes: u64) -> Problem {
    let message = format!("the file has {bytes} bytes; the largest that is read has {MAX_BYTES}");
    source.problem("", Mark::START, message, "is this the right file?")
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_anchors: 100,
            max_aliases: 1_000,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_documents: 2,
            max_merge_keys: 100,
            max_recorded_anchor_events: MAX_REPEATED,
            max_recorded_anchor_bytes: 1 << 20,
            max_total_scalar_bytes: 2 * MAX_BYTES,
            max_inclusion_depth: 0,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
            max_replay_stack_depth: MAX_DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: false,
        with_snippet: false,
    }
}

fn not_yaml(source: &SharedSource, error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error;
    let mark = error.location().map_or(Mark::START, Mark::from);
    let (message, help) = match error.without_snippet() {
        Error::Eof { .. } => {
            ("the file is empty".to_owned(), "start from the example in docs/configuration.md".to_owned())
        }
        Error::MultipleDocuments { .. } => {
            ("a second YAML document starts here".to_owned(), "keep one document: remove the `---` line".to_owned())
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => (
            "the file is larger, deeper or refers to itself more often than any configuration needs".to_owned(),
            format!("at most {MAX_DEPTH} levels, {MAX_NODES} values, 100 anchors and one document are read"),
        ),
        Error::UnknownAnchor { .. } => (
            "`*` refers to an anchor that does not exist".to_owned(),
            "write a text that starts with `*` in quotes".to_owned(),
        ),
        // The texts of the scanner are fixed; those of serde could repeat a value.
        Error::ExternalMessage { msg, .. } => (
            format!("this is not YAML: {}", shown(msg)),
            "check the indentation, the brackets and the quotes on this line and the ones above".to_owned(),
        ),
        _ => (
            "this is not YAML that can be read".to_owned(),
            "check the indentation, the brackets and the quotes on this line and the ones above".to_owned(),
        ),
    };
    source.problem("", mark, message, help)
}

/// The way to a value from the root: put into words only where something is wrong.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    /// `routes[0].backend`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => formatter.write_str(key),
            Self::Key(parent, key) => write!(formatter, "{parent}.{key}"),
            Self::Item(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// Reports keys that are not texts and keys that are written twice, and removes them.
fn remove_bad_keys(node: &mut Node, path: &Path<'_>, source: &SharedSource, problems: &mut Problems) {
    match &mut node.value {
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                remove_bad_keys(item, &Path::Item(path, index), source, problems);
            }
        }
        Value::Map(entries) => {
            if has_bad_key(entries) {
                *entries = without_bad_keys(std::mem::take(entries), path, source, problems);
            }
            for entry in entries {
                if let Value::Text(name) = &entry.key.value {
                    remove_bad_keys(&mut entry.value, &Path::Key(path, name), source, problems);
                }
            }
        }
        _ => {}
    }
}

fn has_bad_key(entries: &[Entry]) -> bool {
    // Most mappings are so small that to look through them is less work than to hash their keys.
    const SMALL: usize = 16;
    if !entries.iter().all(|entry| matches!(entry.key.value, Value::Text(_))) {
        return true;
    }
    let mut names = entries.iter().map(Entry::name);
    if entries.len() > SMALL {
        let mut known = HashSet::with_capacity(entries.len());
        return !names.all(|name| known.insert(name));
    }
    let is_repeated = |(at, name): (usize, &str)| entries[..at].iter().any(|other| other.name() == name);
    names.enumerate().any(is_repeated)
}

fn without_bad_keys(
    entries: Vec<Entry>,
    path: &Path<'_>,
    source: &SharedSource,
    problems: &mut Problems,
) -> Vec<Entry> {
    let path = path.to_string();
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut lines: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    for entry in entries {
        let Value::Text(name) = &entry.key.value else {
            let message = format!("a key must be a text, this is {}", entry.key.value.kind());
            problems.push(source.problem(&path, entry.key.at, message, "write it in quotes"));
            continue;
        };
        if let Some(first) = lines.get(name) {
            let name = if is_secret(&join(&path, "")) { "…".to_owned() } else { shown(name) };
            let message = format!("`{name}` is already set on line {first}");
            let help = format!("keep one of lines {first} and {}", entry.key.at.line);
            problems.push(source.problem(&join(&path, &name), entry.key.at, message, help));
            continue;
        }
        lines.insert(name.clone(), entry.key.at.line);
        kept.push(entry);
    }
    kept
}

/// `path` and a key below it.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The mark of `path`, or of its nearest parent that is written.
pub(super) fn locate(root: &Node, path: &str) -> Mark {
    find(root, path).1
}

/// Returns whether an empty list is written at `path`.
pub(super) fn is_empty_list(root: &Node, path: &str) -> bool {
    let (node, _, rest) = find(root, path);
    rest.is_empty() && matches!(&node.value, Value::List(items) if items.is_empty())
}

/// What stands at `path` or its nearest parent, its mark, and the rest of the path.
fn find<'a, 'p>(root: &'a Node, path: &'p str) -> (&'a Node, Mark, &'p str) {
    let mut node = root;
    let mut mark = Mark::START;
    let mut rest = path;
    while !rest.is_empty() {
        let step = match &node.value {
            Value::Map(entries) => step_into_map(entries, rest),
            Value::List(items) => step_into_list(items, rest),
            _ => None,
        };
        let Some((next, at, remaining)) = step else {
            break;
        };
        (node, mark, rest) = (next, at, remaining);
    }
    (node, mark, rest)
}

fn step_into_map<'a, 'p>(entries: &'a [Entry], rest: &'p str) -> Option<(&'a Node, Mark, &'p str)> {
    let behind = |name: &str| {
        let remaining = rest.strip_prefix(name)?;
        let ends = remaining.is_empty() || remaining.starts_with(['.', '[']);
        ends.then_some(remaining.strip_prefix('.').unwrap_or(remaining))
    };
    // A backend's name may hold a dot: the longest key that fits is meant.
    let present = entries
        .iter()
        .filter_map(|entry| Some((entry, behind(entry.name())?)))
        .max_by_key(|(entry, _)| entry.name().len());
    // A value under the earlier name of its key has been checked under the present one.
    let earlier = || {
        let names = renamed::KEYS.iter().filter_map(|(earlier, present)| Some((earlier, behind(present)?)));
        let mut written = names.filter_map(|(earlier, remaining)| {
            Some((entries.iter().find(|entry| entry.name() == *earlier)?, remaining))
        });
        written.next()
    };
    present.or_else(earlier).map(|(entry, remaining)| (&entry.value, entry.mark(), remaining))
}

fn step_into_list<'a, 'p>(items: &'a [Node], rest: &'p str) -> Option<(&'a Node, Mark, &'p str)> {
    let (index, remaining) = rest.strip_prefix('[')?.split_once(']')?;
    let item = items.get(index.parse::<usize>().ok()?)?;
    Some((item, item.at, remaining.strip_prefix('.').unwrap_or(remaining)))
}

/// The bytes of the file that hold secrets, or what someone took for the place of one.
fn secret_ranges(root: &Node) -> Vec<Range<usize>> {
    let mut search = SecretSearch::default();
    search.visit(root, false, false);
    search.ranges
}

#[derive(Default)]
struct SecretSearch<'a> {
    ranges: Vec<Range<usize>>,
    /// Secrecy of the values below a key: there are few keys, and each stands in many places.
    keys: HashMap<&'a str, bool>,
}

impl<'a> SecretSearch<'a> {
    /// `is_below`: some key above is one of a secret. `is_hidden`: and so is this value.
    fn visit(&mut self, node: &'a Node, is_below: bool, is_hidden: bool) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.visit(item, is_below, is_below)),
            Value::Map(entries) => {
                for entry in entries {
                    let key = entry.name();
                    let is_one = || key.split(['.', '[', ']']).any(is_secret_key);
                    // Below `oauth` are addresses and words, and its secret has a key that says so.
                    let is_open = key == "oauth" && matches!(entry.value.value, Value::Map(_));
                    let is_below = (is_below && !is_open) || *self.keys.entry(key).or_insert_with(is_one);
                    let is_value_hidden = is_below && is_not_reference(key);
                    let is_pasted = is_hidden && is_value_hidden && !is_key_below_secret(key);
                    if is_pasted || looks_secret(key) {
                        self.ranges.push(entry.key.at.range());
                    }
                    self.visit(&entry.value, is_below, is_value_hidden);
                }
            }
            Value::Null => {}
            _ if is_hidden => self.ranges.push(node.at.range()),
            // An address with user name and password counts as well.
            Value::Text(text) if looks_secret(text) || (text.contains("://") && text.contains('@')) => {
                self.ranges.push(node.at.range());
            }
            _ => {}
        }
    }
}

impl From<Location> for Mark {
    fn from(location: Location) -> Self {
        let span = location.span();
        let start = span.byte_offset().unwrap_or_default() as usize;
        Self {
            line: (location.line() as usize).max(1),
            column: (location.column() as usize).max(1),
            start,
            end: start + span.byte_len().unwrap_or_default() as usize,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { at: spanned.defined.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry()? {
            entries.push(Entry { key, value });
        }
        Ok(Value::Map(entries))
    }
}
