//! Members of documents that follow a schema: a graph, as schemas may contain themselves at any depth. Walking it takes time
//! that is linear in the document.

use std::collections::{HashMap, HashSet};

use regex::Regex;

/// Places in a document, as a graph: from each, where its members and elements are.
#[derive(Debug, Default)]
pub struct MemberGraph {
    /// The places, by number.
    pub places: Vec<GraphPlace>,
    /// Names, in lower case, of members that are removed somewhere: they are removed too where no place describes them.
    pub removed_names: HashSet<Box<str>>,
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
    /// No place describes the member, and its name is one of those that are removed elsewhere.
    is_removed_by_name: bool,
}

impl<'g> GraphPlaces<'g> {
    /// The places of a whole document.
    pub(super) fn new(graph: &'g MemberGraph, numbers: &[u32]) -> Self {
        Self { graph, numbers: numbers.to_vec(), is_removed_by_name: false }
    }

    /// What is not a list is taken as the element where a list is described.
    pub(super) fn settle(&mut self, is_list: bool) {
        let mut next = 0;
        while let Some(number) = self.numbers.get(next).filter(|_| !is_list) {
            for element in self.graph.places.get(*number as usize).into_iter().flat_map(|place| &place.elements) {
                if !self.numbers.contains(element) {
                    self.numbers.push(*element);
                }
            }
            next += 1;
        }
    }

    /// The places of a member of this name, or of an element of a list. Where no list is described, each element is taken
    /// as what is.
    pub(super) fn enter(&self, name: Option<&str>) -> Self {
        let (mut numbers, mut is_described) = (Vec::new(), false);
        for (number, place) in self.all() {
            let Some(name) = name else {
                numbers.extend_from_slice(if place.elements.is_empty() { number } else { &place.elements });
                continue;
            };
            let named = place.named.get(name);
            numbers.extend(named.into_iter().flatten());
            let mut is_known = named.is_some();
            for (_, places) in place.matching.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                is_known = true;
                numbers.extend_from_slice(places);
            }
            is_described |= is_known || !place.others.is_empty();
            if !is_known {
                numbers.extend_from_slice(&place.others);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let is_removed_by_name =
            !is_described && name.is_some_and(|name| self.graph.removed_names.contains(&*name.to_lowercase()));
        Self { graph: self.graph, numbers, is_removed_by_name }
    }

    /// Returns whether the value is removed.
    pub(super) fn is_removed(&self) -> bool {
        self.is_removed_by_name || self.all().any(|(_, place)| place.is_removed)
    }

    /// Returns whether nothing can be removed below the value.
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.graph.removed_names.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = (&[u32], &'g GraphPlace)> {
        let place = |number: &u32| self.graph.places.get(*number as usize);
        self.numbers.chunks(1).filter_map(move |number| Some((number, number.first().and_then(place)?)))
    }
}
