//! `x-redact: true` in the schemas of responses, compiled: where in a response the members are that no caller gets. Schemas
//! that contain themselves are no exception.

use std::collections::{HashMap, HashSet};

use http::StatusCode;
use serde_json::Value;

use super::document::{ApiDocument, DescriptionFault};
use crate::json_body::filter;
use crate::json_body::member_graph::{GraphPlace, MemberGraph};

/// The mark of a schema whose values no caller gets.
const MARK: &str = "x-redact";

/// What is removed from the responses of one operation, by their status.
#[derive(Debug, Default)]
pub(super) struct RedactedResponses {
    by_status: Vec<(ResponseStatus, Box<[u32]>)>,
    /// Of every status, for one that is not described.
    any: Box<[u32]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseStatus {
    One(u16),
    /// All of one hundred: 4 is 4XX.
    Hundred(u16),
    Default,
}

impl RedactedResponses {
    /// The places at which a response of this status is; none where nothing is removed.
    pub(super) fn places(&self, status: StatusCode) -> &[u32] {
        let status = status.as_u16();
        let of = |wanted| self.by_status.iter().find(|(known, _)| *known == wanted).map(|(_, places)| &places[..]);
        of(ResponseStatus::One(status))
            .or_else(|| of(ResponseStatus::Hundred(status / 100)))
            .or_else(|| of(ResponseStatus::Default))
            .unwrap_or(&self.any)
    }

    /// The places of responses of any status.
    pub(super) fn any(&self) -> &[u32] {
        &self.any
    }
}

/// Makes the graph of a document.
pub(super) struct RedactionCompiler<'d> {
    document: &'d ApiDocument,
    numbers: HashMap<*const Value, u32>,
    places: Vec<Draft<'d>>,
    /// By the address of a schema: those that say by `allOf` that they are kinds of it.
    kinds: HashMap<*const Value, Vec<&'d Value>>,
}

/// A schema on its way to a place.
struct Draft<'d> {
    schema: &'d Value,
    is_marked: bool,
    /// Schemas that hold for the same value.
    same: Vec<u32>,
    named: Vec<(&'d str, u32)>,
    matching: Vec<(&'d str, u32)>,
    others: Vec<u32>,
    elements: Vec<u32>,
}

impl<'d> RedactionCompiler<'d> {
    pub(super) fn new(document: &'d ApiDocument) -> Self {
        let mut kinds: HashMap<*const Value, Vec<&Value>> = HashMap::new();
        let schemas = document.root()["components"]["schemas"].as_object();
        for kind in schemas.into_iter().flat_map(|schemas| schemas.values()) {
            for base in kind["allOf"].as_array().into_iter().flatten() {
                kinds.entry(std::ptr::from_ref(document.resolved(base))).or_default().push(kind);
            }
        }
        Self { document, numbers: HashMap::new(), places: Vec::new(), kinds }
    }

    /// The responses of an operation. The places are complete once [`RedactionCompiler::finish`] has run.
    pub(super) fn responses(&mut self, responses: &'d Value) -> Vec<(String, Vec<u32>)> {
        let mut all = Vec::new();
        for (status, response) in responses.as_object().into_iter().flatten() {
            let content = self.document.resolved(response)["content"].as_object();
            let schemas =
                content.into_iter().flat_map(|content| content.values()).filter_map(|media| media.get("schema"));
            let places: Vec<u32> = schemas.map(|schema| self.number(schema)).collect();
            all.push((status.clone(), places));
        }
        all
    }

    fn number(&mut self, schema: &'d Value) -> u32 {
        let next = self.places.len() as u32;
        let number = *self.numbers.entry(std::ptr::from_ref(schema)).or_insert(next);
        if number == next {
            let (is_marked, same, named) = Default::default();
            let (matching, others, elements) = Default::default();
            self.places.push(Draft { schema, is_marked, same, named, matching, others, elements });
        }
        number
    }

    fn numbers(&mut self, schemas: impl IntoIterator<Item = &'d Value>) -> Vec<u32> {
        schemas.into_iter().map(|schema| self.number(schema)).collect()
    }

    /// Follows all schemas from those of the responses.
    ///
    /// # Errors
    /// A mark other than true or false, or an expression of names that cannot be used.
    pub(super) fn finish(mut self) -> Result<FinishedGraph, DescriptionFault> {
        let mut next = 0;
        while let Some(schema) = self.places.get(next).map(|place| place.schema) {
            self.read(next, schema)?;
            next += 1;
        }
        let count = self.places.len();
        let same: Vec<Vec<u32>> = (0..count).map(|place| self.all_same(place as u32)).collect();
        let leads = self.leading_to_marks(&same);
        // A value is where its schema is, and where those are that hold for it too.
        let of = |numbers: &[u32]| -> Box<[u32]> {
            let mut all: Vec<u32> = numbers.iter().flat_map(|number| &same[*number as usize]).copied().collect();
            all.sort_unstable();
            all.dedup();
            all.into()
        };
        let (mut places, mut removed_names) = (Vec::with_capacity(count), HashSet::new());
        for draft in &self.places {
            let mut place = GraphPlace {
                is_removed: draft.is_marked,
                others: of(&draft.others),
                elements: of(&draft.elements),
                ..GraphPlace::default()
            };
            for (name, number) in &draft.named {
                let below = of(&[*number]);
                if below.iter().any(|number| self.places[*number as usize].is_marked) {
                    removed_names.insert(name.to_lowercase().into());
                }
                place.named.insert((*name).into(), below);
            }
            for (pattern, number) in &draft.matching {
                let expression = filter::pattern(pattern).map_err(|error| DescriptionFault {
                    message: format!(
                        "{}: the expression `{pattern}` of patternProperties cannot be used: {error}",
                        self.document.name
                    ),
                    help: "write it without lookaround and backreferences".to_owned(),
                })?;
                place.matching.push((expression, of(&[*number])));
            }
            places.push(place);
        }
        // A response in which nothing is removed is not read.
        let root = |number: u32| {
            if same[number as usize].iter().any(|one| leads[*one as usize]) { of(&[number]) } else { Box::default() }
        };
        let of_schema = (0..count).map(|number| root(number as u32)).collect();
        Ok(FinishedGraph { graph: MemberGraph { places, removed_names }, of_schema })
    }

    /// Reads the keywords of one schema.
    fn read(&mut self, number: usize, schema: &'d Value) -> Result<(), DescriptionFault> {
        let is_marked = match schema.get(MARK) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => {
                return Err(DescriptionFault {
                    message: format!("{}: `{MARK}` is neither true nor false", self.document.name),
                    help: "write x-redact: true".to_owned(),
                });
            }
        };
        let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|keyword| schema[keyword].as_array()).flatten();
        let alone = ["if", "then", "else"].into_iter().filter_map(|keyword| schema.get(keyword));
        let dependent = schema["dependentSchemas"].as_object().into_iter().flat_map(|schemas| schemas.values());
        let mut same = self.numbers(lists.chain(alone).chain(dependent));
        let document = self.document;
        let mapped = schema["discriminator"]["mapping"].as_object().into_iter().flat_map(|mapping| mapping.values());
        let referred = schema.get("$ref").into_iter().chain(mapped).filter_map(Value::as_str);
        same.extend(self.numbers(referred.filter_map(|reference| document.at(reference))));
        if schema.get("discriminator").is_some() {
            let kinds = self.kinds.get(&std::ptr::from_ref(schema)).cloned().unwrap_or_default();
            same.extend(self.numbers(kinds));
        }
        let mut members = |keyword: &str| -> Vec<(&'d str, u32)> {
            let schemas = schema[keyword].as_object().into_iter().flatten();
            schemas.map(|(name, member)| (name.as_str(), self.number(member))).collect()
        };
        let (named, matching) = (members("properties"), members("patternProperties"));
        let of = |keywords: &[&str]| -> Vec<&'d Value> {
            keywords.iter().filter_map(|keyword| schema.get(*keyword)).collect()
        };
        // `true` and `{}` describe nothing.
        let others = of(&["additionalProperties", "unevaluatedProperties"]).into_iter();
        let others = self.numbers(others.filter(|schema| schema.as_object().is_some_and(|schema| !schema.is_empty())));
        let listed = schema["prefixItems"].as_array().into_iter().flatten();
        let elements = self.numbers(listed.chain(of(&["items", "contains", "unevaluatedItems"])));
        let place = &mut self.places[number];
        (place.is_marked, place.same, place.named) = (is_marked, same, named);
        (place.matching, place.others, place.elements) = (matching, others, elements);
        Ok(())
    }

    /// A schema and all that hold for the same value.
    fn all_same(&self, number: u32) -> Vec<u32> {
        let (mut all, mut next) = (vec![number], 0);
        let mut seen = std::collections::HashSet::from([number]);
        while let Some(number) = all.get(next).copied() {
            all.extend(self.places[number as usize].same.iter().copied().filter(|other| seen.insert(*other)));
            next += 1;
        }
        all
    }

    /// By number: true if the value or something below it is removed there.
    fn leading_to_marks(&self, same: &[Vec<u32>]) -> Vec<bool> {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); self.places.len()];
        for (number, place) in (0_u32..).zip(&self.places) {
            let members = place.named.iter().chain(&place.matching).map(|(_, number)| number);
            for below in members.chain(&place.others).chain(&place.elements) {
                for one in &same[*below as usize] {
                    before[*one as usize].push(number);
                }
            }
        }
        let mut leads: Vec<bool> = self.places.iter().map(|place| place.is_marked).collect();
        let mut ahead: Vec<u32> =
            (0_u32..).zip(&leads).filter(|(_, leads)| **leads).map(|(number, _)| number).collect();
        while let Some(number) = ahead.pop() {
            for earlier in &before[number as usize] {
                if !std::mem::replace(&mut leads[*earlier as usize], true) {
                    ahead.push(*earlier);
                }
            }
        }
        leads
    }
}

/// The graph of a document.
pub(super) struct FinishedGraph {
    pub(super) graph: MemberGraph,
    /// By the number of a schema: the places of its values.
    of_schema: Vec<Box<[u32]>>,
}

impl FinishedGraph {
    /// What is removed from these responses.
    pub(super) fn redacted(&self, responses: &[(String, Vec<u32>)]) -> RedactedResponses {
        let of = |numbers: &[u32]| -> Box<[u32]> {
            let mut all: Vec<u32> =
                numbers.iter().flat_map(|number| &self.of_schema[*number as usize]).copied().collect();
            all.sort_unstable();
            all.dedup();
            all.into()
        };
        let by_status =
            responses.iter().filter_map(|(status, numbers)| Some((ResponseStatus::parse(status)?, of(numbers))));
        let every: Vec<u32> = responses.iter().flat_map(|(_, numbers)| numbers).copied().collect();
        RedactedResponses { by_status: by_status.collect(), any: of(&every) }
    }
}

impl ResponseStatus {
    fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            b"default" => Some(Self::Default),
            [hundred @ b'1'..=b'5', b'X' | b'x', b'X' | b'x'] => Some(Self::Hundred(u16::from(hundred - b'0'))),
            _ => text.parse().ok().map(Self::One),
        }
    }
}
