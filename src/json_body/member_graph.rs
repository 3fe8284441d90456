//! Members of documents that follow a schema: a graph, as schemas may contain themselves at any depth. Walking it takes time
//! that is linear in the document.

use std::collections::HashMap;

use regex::Regex;

/// Places in a document, as a graph: from each, where its members and elements are.
#[derive(Debug, Default)]
pub struct MemberGraph {
    /// The places, by number.
    pub places: Vec<GraphPlace>,
}

/// A place in a document. A value may be at several of them, which are numbers of [`MemberGraph::places`].
#[derive(Debug, Default)]
pub struct GraphPlace {
    /// The value here is removed.
    pub is_removed: bool,
    /// Where members of these names are.
    pub named: HashMap<Box<str>, Box<[u32]>>,
    /// Where members are whose names match an expression.
    pub matching: Vec<(Regex, Box<[u32]>)>,
    /// Where all other members are.
    pub others: Box<[u32]>,
    /// Where elements of a list are.
    pub elements: Box<[u32]>,
}

/// The places of one value.
#[derive(Debug, Clone)]
pub(super) struct GraphPlaces<'g> {
    graph: &'g MemberGraph,
    numbers: Vec<u32>,
}

impl<'g> GraphPlaces<'g> {
    /// The places of a whole document.
    pub(super) fn new(graph: &'g MemberGraph, numbers: &[u32]) -> Self {
        Self { graph, numbers: numbers.to_vec() }
    }

    /// The places of a member of this name, or of an element of a list.
    pub(super) fn enter(&self, name: Option<&str>) -> Self {
        let mut numbers = Vec::new();
        for place in self.all() {
            let Some(name) = name else {
                numbers.extend_from_slice(&place.elements);
                continue;
            };
            let named = place.named.get(name);
            numbers.extend(named.into_iter().flatten());
            let mut is_known = named.is_some();
            for (_, places) in place.matching.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                is_known = true;
                numbers.extend_from_slice(places);
            }
            if !is_known {
                numbers.extend_from_slice(&place.others);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Self { graph: self.graph, numbers }
    }

    /// Returns whether the value is removed.
    pub(super) fn is_removed(&self) -> bool {
        self.all().any(|place| place.is_removed)
    }

    /// Returns whether nothing is known of the value and what lies below it.
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &'g GraphPlace> {
        self.numbers.iter().filter_map(|number| self.graph.places.get(*number as usize))
    }
}
