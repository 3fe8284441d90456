//! Conditions on header fields and query parameters, by which routes of one path differ.

use http::{HeaderMap, HeaderName};
use regex::Regex;

use crate::config::raw;
use crate::pattern;

/// The conditions of a route. All of them must hold.
#[derive(Debug)]
pub struct Matchers {
    /// By header field.
    pub headers: Vec<(HeaderName, Condition)>,
    /// By query parameter.
    pub queries: Vec<(Box<str>, Condition)>,
}

/// A condition on a value.
#[derive(Debug)]
pub enum Condition {
    /// It is this.
    Equals(Box<str>),
    /// It begins so.
    Prefix(Box<str>),
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// The whole of it matches.
    Regex(Regex),
}

/// A condition that does not hold.
#[derive(Debug)]
pub struct UnmetCondition<'m> {
    /// The name of the header field or query parameter.
    pub name: &'m str,
    /// The condition.
    pub condition: &'m Condition,
    /// It is on a header field.
    pub is_header: bool,
}

impl Matchers {
    /// The conditions of a route; `None` where it has none.
    ///
    /// # Errors
    /// The key below the route that is wrong, and what is wrong with it.
    pub(super) fn read(route: &raw::Route) -> Result<Option<Box<Self>>, (String, String)> {
        let mut matchers = Self { headers: Vec::new(), queries: Vec::new() };
        for (index, matcher) in route.headers.iter().enumerate() {
            let at = |key: &str| format!("headers[{index}].{key}");
            let name = HeaderName::from_bytes(matcher.name.as_bytes());
            let name = name.map_err(|_| (at("name"), format!("`{}` is not a header name", matcher.name)))?;
            matchers.headers.push((name, Condition::read(matcher).map_err(|fault| (at("regex"), fault))?));
        }
        for (index, matcher) in route.queries.iter().enumerate() {
            let condition = Condition::read(matcher).map_err(|fault| (format!("queries[{index}].regex"), fault))?;
            matchers.queries.push((matcher.name.as_str().into(), condition));
        }
        let is_empty = matchers.headers.is_empty() && matchers.queries.is_empty();
        Ok((!is_empty).then(|| Box::new(matchers)))
    }

    /// Returns whether all hold. `parameter` gives the value of a query parameter, where it is there.
    pub(super) fn hold<'q>(&self, headers: &HeaderMap, parameter: impl Fn(&str) -> Option<&'q str>) -> bool {
        self.first_unmet(headers, parameter).is_none()
    }

    /// The first that does not hold.
    pub(super) fn first_unmet<'q>(
        &self,
        headers: &HeaderMap,
        parameter: impl Fn(&str) -> Option<&'q str>,
    ) -> Option<UnmetCondition<'_>> {
        let value = |name: &HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
        let header = self.headers.iter().find(|(name, condition)| !condition.holds(value(name)));
        let query =
            || self.queries.iter().find(|(name, condition)| !condition.holds(parameter(name).map(str::as_bytes)));
        match header {
            Some((name, condition)) => Some(UnmetCondition { name: name.as_str(), condition, is_header: true }),
            None => query().map(|(name, condition)| UnmetCondition { name, condition, is_header: false }),
        }
    }
}

impl Condition {
    /// # Errors
    /// The fault of the expression.
    fn read(raw: &raw::Matcher) -> Result<Self, String> {
        Ok(match raw {
            raw::Matcher { equals: Some(value), .. } => Self::Equals(value.as_str().into()),
            raw::Matcher { prefix: Some(prefix), .. } => Self::Prefix(prefix.as_str().into()),
            raw::Matcher { regex: Some(regex), .. } => Self::Regex(pattern::whole(regex, false)?),
            raw::Matcher { absent: true, .. } => Self::Absent,
            raw::Matcher { .. } => Self::Present,
        })
    }

    fn holds(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Absent) };
        match self {
            Self::Equals(wanted) => value == wanted.as_bytes(),
            Self::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            Self::Present => true,
            Self::Absent => false,
            Self::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value)),
        }
    }
}
