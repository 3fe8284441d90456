//! Rules about the members of a JSON document: which pass, which go, which are written over. What no rule is about
//! stays byte for byte.

use std::borrow::Cow;
use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::member_graph::{GraphPlaces, MemberGraph};
use super::place::{self, Place};
use super::{DEEPEST, JsonFault, LONGEST_POINTER, Spellings, quoted, unescape_token};

/// The most memory that a pattern may take when it is compiled.
const LARGEST_PATTERN: usize = 1024 * 1024;

/// A JSON pointer in which `*` stands for every element of a list, or every member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Named(String),
    Every,
}

impl MemberPath {
    /// The path that is written so, for example `/orders/*/status`.
    ///
    /// # Errors
    /// The fault of the text, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(tokens) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a path to a member: it starts with /"));
        };
        let step = |token: &str| match token {
            "*" => Some(Step::Every),
            name => unescape_token(name).map(Step::Named),
        };
        match tokens.split('/').map(step).collect::<Option<Vec<_>>>() {
            None => Err(format!("`{text}` is not a path to a member: ~ stands only in ~0 (for ~) and ~1 (for /)")),
            Some(steps) if steps.len() > LONGEST_POINTER => {
                Err(format!("`{text}` leads more than {LONGEST_POINTER} levels deep"))
            }
            Some(steps) => Ok(Self(steps)),
        }
    }
}

/// Compiles a pattern; it is matched in time that is linear in the text.
///
/// # Errors
/// The fault.
pub fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build().map_err(|fault| fault.to_string())
}

/// Filter of the members of a document.
#[derive(Debug, Default)]
pub struct Filter {
    /// Members that pass; `None`: all.
    pub allow: Option<Vec<MemberPath>>,
    /// Members that are removed.
    pub remove: Vec<MemberPath>,
    /// Members that are replaced.
    pub redact: Vec<Redaction>,
}

/// Replacement of members.
#[derive(Debug)]
pub struct Redaction {
    /// Their path; `None`: all texts and numbers of the document.
    pub path: Option<MemberPath>,
    /// The part that is replaced; `None`: all of it.
    pub pattern: Option<Regex>,
    /// The replacement text.
    pub with: String,
}

impl Filter {
    /// The filtered document.
    ///
    /// # Errors
    /// It cannot be read in one way only.
    pub fn apply(&self, body: &[u8]) -> Result<Vec<u8>, JsonFault> {
        self.apply_with(body, None)
    }

    /// The same, where the document is at these places of a graph: what is removed there goes too.
    ///
    /// # Errors
    /// As for [`Filter::apply`].
    pub fn apply_with(&self, body: &[u8], places: Option<(&MemberGraph, &[u32])>) -> Result<Vec<u8>, JsonFault> {
        let Place::Here(_, text) = place::find(body, &[], Spellings::Any)? else { return Err(JsonFault::NotJson) };
        let places = places.map(|(graph, numbers)| GraphPlaces::new(graph, numbers));
        let mut here = Here { ahead: Vec::new(), passes: self.allow.is_none(), redactions: Vec::new(), places };
        here.ahead.extend(self.allow.iter().flatten().map(|path| (&path.0[..], Rule::Allow)));
        here.ahead.extend(self.remove.iter().map(|path| (&path.0[..], Rule::Remove)));
        for redaction in &self.redact {
            match &redaction.path {
                Some(path) => here.ahead.push((&path.0, Rule::Redact(redaction))),
                None => here.redactions.push(redaction),
            }
        }
        let mut left = String::with_capacity(text.len());
        if !here.write(text, &mut left)? {
            left.push_str("null");
        }
        Ok(left.into_bytes())
    }
}

#[derive(Debug, Clone, Copy)]
enum Rule<'f> {
    Allow,
    Remove,
    Redact(&'f Redaction),
}

/// Rules for one value.
struct Here<'f> {
    /// Rules about what lies below it, with the steps that are left.
    ahead: Vec<(&'f [Step], Rule<'f>)>,
    /// It passes with all that lies below it, unless removed.
    passes: bool,
    /// The mask of all that lies below it.
    redactions: Vec<&'f Redaction>,
    /// Its places in a graph that removes members.
    places: Option<GraphPlaces<'f>>,
}

impl<'f> Here<'f> {
    /// The rules for a member of this name, or for an element of a list; `None` where it is removed.
    fn enter(&self, name: Option<&str>) -> Option<Self> {
        let places = self.places.as_ref().map(|places| places.enter(name));
        if places.as_ref().is_some_and(GraphPlaces::is_removed) {
            return None;
        }
        let places = places.filter(|places| !places.is_empty());
        let mut below = Self { ahead: Vec::new(), passes: self.passes, redactions: self.redactions.clone(), places };
        for (steps, rule) in &self.ahead {
            let Some((step, rest)) = steps.split_first() else { continue };
            let is_named = match step {
                Step::Every => true,
                Step::Named(wanted) => name.is_some_and(|name| name == wanted),
            };
            match rule {
                _ if !is_named => {}
                _ if !rest.is_empty() => below.ahead.push((rest, *rule)),
                Rule::Allow => below.passes = true,
                Rule::Remove => return None,
                Rule::Redact(redaction) => below.redactions.push(redaction),
            }
        }
        let leads_on = below.ahead.iter().any(|(_, rule)| matches!(rule, Rule::Allow));
        (below.passes || leads_on).then_some(below)
    }

    /// Writes what is left of a value; false where that is nothing.
    fn write(&mut self, text: &str, left: &mut String) -> Result<bool, JsonFault> {
        if let Some(places) = &mut self.places {
            places.settle(text.starts_with('['));
            if places.is_removed() {
                return Ok(false);
            }
        }
        if let Some(whole) = self.redactions.iter().find(|redaction| redaction.pattern.is_none()) {
            left.push_str(&quoted(&whole.with));
            return Ok(true);
        }
        if self.passes && self.ahead.is_empty() && self.redactions.is_empty() && self.places.is_none() {
            left.push_str(text);
            return Ok(true);
        }
        match text.as_bytes().first() {
            Some(b'{') => {
                let members = members(text)?;
                let members = members.iter().map(|(name, value)| (Some(&**name), value.get()));
                self.write_all(members, ['{', '}'], left)?;
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| JsonFault::NotJson)?;
                self.write_all(elements.iter().map(|value| (None, value.get())), ['[', ']'], left)?;
            }
            _ if !self.passes => return Ok(false),
            Some(b'"') => {
                let value: String = serde_json::from_str(text).map_err(|_| JsonFault::NotJson)?;
                match self.redacted(&value) {
                    Cow::Borrowed(_) => left.push_str(text),
                    Cow::Owned(value) => left.push_str(&quoted(&value)),
                }
            }
            _ => match self.redacted(text) {
                Cow::Borrowed(_) => left.push_str(text),
                Cow::Owned(value) => left.push_str(&quoted(&value)),
            },
        }
        Ok(true)
    }

    fn write_all<'v>(
        &self,
        values: impl Iterator<Item = (Option<&'v str>, &'v str)>,
        [open, close]: [char; 2],
        left: &mut String,
    ) -> Result<(), JsonFault> {
        left.push(open);
        let first = left.len();
        for (name, value) in values {
            let Some(mut below) = self.enter(name) else { continue };
            let start = left.len();
            if start > first {
                left.push(',');
            }
            if let Some(name) = name {
                left.push_str(&quoted(name));
                left.push(':');
            }
            if !below.write(value, left)? {
                left.truncate(start);
            }
        }
        left.push(close);
        Ok(())
    }

    /// A text with all patterns written over; borrowed where none of them matches.
    fn redacted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut value = Cow::Borrowed(text);
        for redaction in &self.redactions {
            if let Some(pattern) = &redaction.pattern
                && let Cow::Owned(changed) = pattern.replace_all(&value, &*redaction.with)
            {
                value = Cow::Owned(changed);
            }
        }
        value
    }
}

/// The members of an object, in order. The document has been checked: none stands there twice.
fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, JsonFault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Members.deserialize(&mut reader).map_err(|_| JsonFault::NotJson)
}

struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(MemberName)? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// The name of a member, unescaped; borrowed where it was not escaped.
pub(super) struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

// The paths are shorter than documents are deep, and documents are not deeper than the stack.
const _: () = assert!(LONGEST_POINTER < DEEPEST);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(texts: &[&str]) -> Vec<MemberPath> {
        texts.iter().map(|text| MemberPath::parse(text).unwrap()).collect()
    }

    fn redaction(path: Option<&str>, pattern: Option<&str>, with: &str) -> Redaction {
        Redaction {
            path: path.map(|path| MemberPath::parse(path).unwrap()),
            pattern: pattern.map(|text| super::pattern(text).unwrap()),
            with: with.to_owned(),
        }
    }

    fn left(filter: &Filter, text: &str) -> String {
        String::from_utf8(filter.apply(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn only_what_is_allowed_passes() {
        let filter = Filter { allow: Some(paths(&["/id", "/orders/*/status", "/map/*/x"])), ..Filter::default() };
        let text = r#"{ "id" : 1.50, "name": "N", "orders": [ {"status": "a", "card": 1}, 7, [8], {"card": 2} ], "map": {"k": {"x": [1, {"y": 2}], "z": 3}, "l": 4} }"#;
        assert_eq!(
            left(&filter, text),
            r#"{"id":1.50,"orders":[{"status":"a"},[],{}],"map":{"k":{"x":[1, {"y": 2}]}}}"#
        );
        assert_eq!(left(&filter, r#"[{"id": 1}]"#), "[]");
        assert_eq!(left(&filter, r#""id""#), "null");
        assert_eq!(left(&filter, r#"{"id":{"deep":"all"},"\u0069d2":1}"#), r#"{"id":{"deep":"all"}}"#);
    }

    #[test]
    fn names_are_compared_as_they_read_and_not_as_they_are_spelled() {
        let filter = Filter { remove: paths(&["/ssn", "/a~1b"]), ..Filter::default() };
        assert_eq!(left(&filter, r#"{"\u0073sn":"1","a\/b":2,"c":3}"#), r#"{"c":3}"#);
    }

    #[test]
    fn what_is_removed_goes_also_below_what_is_allowed() {
        let filter =
            Filter { allow: Some(paths(&["/customer"])), remove: paths(&["/customer/*/ssn"]), ..Filter::default() };
        let text = r#"{"customer":[{"ssn":"1","n":2},{"ssn":{}}],"x":1}"#;
        assert_eq!(left(&filter, text), r#"{"customer":[{"n":2},{}]}"#);
    }

    #[test]
    fn what_is_redacted_is_written_over_whatever_it_was() {
        let filter = Filter {
            redact: vec![
                redaction(Some("/mail"), None, "***"),
                redaction(Some("/card/*"), Some("[0-9]{4,}([0-9]{4})"), "****$1"),
                redaction(None, Some("secret"), "[redacted]"),
            ],
            ..Filter::default()
        };
        let text = r#"{"mail":{"a":["b@c"]},"card":["4111111111111111",4111111111111111,true],"deep":[{"x":"a \"secre\u0074\" one"}],"ok":"é\u00e9"}"#;
        assert_eq!(
            left(&filter, text),
            r#"{"mail":"***","card":["****1111","****1111",true],"deep":[{"x":"a \"[redacted]\" one"}],"ok":"é\u00e9"}"#
        );
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let filter = Filter { remove: paths(&["/a/b"]), ..Filter::default() };
        for odd in [
            "",
            " ",
            "{",
            "{}{}",
            r#"{"a":{"b":1},"a":{"b":2}}"#,
            r#"{"x":{"y":1,"\u0079":2}}"#,
            r#"{"x":"\ud800"}"#,
            r#"{"x":1e999}"#,
            "\u{feff}{}",
        ] {
            assert!(filter.apply(odd.as_bytes()).is_err(), "{odd:?}");
        }
        assert!(filter.apply(b"{\"x\":\"\xff\"}").is_err());
        let deep = "[".repeat(101) + &"]".repeat(101);
        assert_eq!(filter.apply(deep.as_bytes()), Err(JsonFault::TooDeep));
    }

    #[test]
    fn a_pattern_that_would_be_too_large_is_refused() {
        assert!(pattern("[a-z]{1000}{1000}").is_err());
        assert!(pattern("(").is_err());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-c \"\\\\é]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same by a plain reading of the rules, on a tree.
    fn without(value: &mut serde_json::Value, steps: &[&str]) {
        let Some((step, rest)) = steps.split_first() else { return };
        match value {
            serde_json::Value::Object(map) if rest.is_empty() => map.retain(|name, _| *step != "*" && name != step),
            serde_json::Value::Array(list) if rest.is_empty() && *step == "*" => list.clear(),
            serde_json::Value::Object(map) => {
                map.iter_mut()
                    .filter(|(name, _)| *step == "*" || name == step)
                    .for_each(|(_, value)| without(value, rest));
            }
            serde_json::Value::Array(list) if *step == "*" => list.iter_mut().for_each(|value| without(value, rest)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn removal_is_what_it_says(mut value in json(), steps in prop::collection::vec("[ab*]", 1..4)) {
            let filter = Filter { remove: paths(&[&format!("/{}", steps.join("/"))]), ..Filter::default() };
            let found: serde_json::Value = serde_json::from_str(&left(&filter, &value.to_string())).unwrap();
            without(&mut value, &steps.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(found, value);
        }

        #[test]
        fn without_rules_every_byte_stays(value in json()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(left(&Filter::default(), &text), text);
        }
    }
}
