//! Routes of one host, path and method, which a request's header fields and query tell apart.
//!
//! What chooses a route chooses its requirements. So a field or parameter that counts is written once, in one spelling, with a
//! value, and reaches the backend; otherwise the request is refused: the backend could read another one.

use http::{HeaderMap, HeaderName};

use super::matchers::{Matchers, UnmetCondition};
use super::query;
use super::route::Route;
use crate::fields::{self, FieldSet};

/// Routes of one host, path and method, in the order in which they are tried.
#[derive(Debug)]
pub struct Choice {
    routes: Vec<u32>,
    /// Names of the fields that count.
    headers: Vec<HeaderName>,
    /// All spellings of these names.
    spellings: FieldSet,
    /// Query parameters that count.
    parameters: Vec<query::Counted>,
}

/// Reason why no route is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChoice {
    /// The conditions of none hold.
    Unmet,
    /// Something that counts can be read in more than one way.
    Ambiguous,
}

impl Choice {
    /// A choice among the routes of these numbers, of all routes: in this order, but one without conditions last.
    pub(super) fn of(mut numbers: Vec<u32>, routes: &[Route]) -> Self {
        let matchers = |number: &u32| routes[*number as usize].matchers.as_deref();
        numbers.sort_by_key(|number| matchers(number).is_none());
        let (mut headers, mut parameters) = (Vec::new(), Vec::new());
        for known in numbers.iter().filter_map(matchers) {
            headers.extend(known.headers.iter().map(|(name, _)| name.clone()));
            parameters.extend(known.queries.iter().map(|(name, _)| name.clone()));
        }
        headers.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        headers.dedup();
        parameters.sort();
        parameters.dedup();
        let parameters = parameters.into_iter().map(query::Counted::new).collect();
        let mut spellings = FieldSet::default();
        headers.iter().for_each(|name| spellings.insert(name.as_str()));
        Self { routes: numbers, headers, spellings, parameters }
    }

    /// The numbers of the routes, in the order in which they are tried.
    pub fn routes(&self) -> &[u32] {
        &self.routes
    }

    /// The number of the first route whose conditions hold.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn route(&self, routes: &[Route], headers: &HeaderMap, query: Option<&str>) -> Result<u32, NoChoice> {
        if !self.has_one_reading(headers) {
            return Err(NoChoice::Ambiguous);
        }
        let values = query::values(query, &self.parameters).map_err(|query::AmbiguousQuery| NoChoice::Ambiguous)?;
        let parameter = |name: &str| {
            let at = self.parameters.iter().position(|known| *known.name == *name)?;
            values[at].as_deref()
        };
        let takes = |number: &&u32| {
            let matchers = &routes[**number as usize].matchers;
            matchers.as_ref().is_none_or(|matchers| matchers.hold(headers, parameter))
        };
        self.routes.iter().find(takes).copied().ok_or(NoChoice::Unmet)
    }

    /// The first condition of one of its routes that does not hold; `None` where all do, or nobody can tell.
    pub fn unmet<'m>(
        &self,
        matchers: &'m Matchers,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Option<UnmetCondition<'m>> {
        let values = query::values(query, &self.parameters).ok()?;
        let parameter = |name: &str| {
            let at = self.parameters.iter().position(|known| *known.name == *name)?;
            values[at].as_deref()
        };
        matchers.first_unmet(headers, parameter)
    }

    /// Returns whether each field that counts is written at most once, in its own spelling, with a value, and is no field
    /// of the connection, which would end here.
    fn has_one_reading(&self, headers: &HeaderMap) -> bool {
        let is_other_spelling = |name: &HeaderName| self.spellings.contains(name) && !self.headers.contains(name);
        let is_plain = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => true,
                (Some(value), None) => !value.is_empty() && !fields::is_of_connection(headers, name),
                (Some(_), Some(_)) => false,
            }
        };
        self.headers.iter().all(is_plain) && !headers.keys().any(is_other_spelling)
    }
}
