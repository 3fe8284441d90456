//! Checks of `routes[].headers` and `routes[].queries`.

use super::super::raw::{Matcher, Route};
use super::{Check, grammar, shown};
use crate::fields::FieldSet;
use crate::pattern;

impl Route {
    /// Returns whether it takes only some of the requests for its path.
    pub fn has_matchers(&self) -> bool {
        !self.headers.is_empty() || !self.queries.is_empty()
    }

    /// Returns whether it is tried before a later route of the same path, and takes all that this one would take. One
    /// without conditions is tried last.
    pub(super) fn hides(&self, later: &Self) -> bool {
        let implied = |conditions: &[Matcher], by: &[Matcher]| {
            conditions.iter().all(|condition| by.iter().any(|other| other.implies(condition)))
        };
        self.has_matchers() && implied(&self.headers, &later.headers) && implied(&self.queries, &later.queries)
    }
}

impl Matcher {
    /// Returns whether a request that fulfils this condition fulfils the other one as well.
    fn implies(&self, other: &Self) -> bool {
        let starts_with = |text: &Option<String>, prefix: &str| text.as_ref().is_some_and(|it| it.starts_with(prefix));
        let matches = |expression: &str| {
            let expression = pattern::whole(expression, false).ok();
            self.equals.as_ref().is_some_and(|value| expression.is_some_and(|it| it.is_match(value)))
        };
        if !self.name.eq_ignore_ascii_case(&other.name) {
            return false;
        }
        match other {
            Self { absent: true, .. } => self.absent,
            Self { present: true, .. } => !self.absent,
            Self { equals: Some(value), .. } => self.equals.as_ref() == Some(value),
            Self { prefix: Some(prefix), .. } => starts_with(&self.equals, prefix) || starts_with(&self.prefix, prefix),
            Self { regex: Some(expression), .. } => self.regex.as_ref() == Some(expression) || matches(expression),
            _ => false,
        }
    }
}

impl Check<'_> {
    pub(super) fn matchers(&mut self, at: &str, route: &Route) {
        for (index, matcher) in route.headers.iter().enumerate() {
            let key = format!("{at}.headers[{index}]");
            self.matched_header(&key, route, &matcher.name);
            self.condition(&key, matcher);
        }
        for (index, matcher) in route.queries.iter().enumerate() {
            let key = format!("{at}.queries[{index}]");
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if matcher.name.is_empty() || !matcher.name.bytes().all(is_plain) {
                let message = "this is not the name of a parameter that has one spelling";
                self.add(&format!("{key}.name"), message, "letters, digits and `-._~` are safe");
            }
            self.condition(&key, matcher);
        }
        for (key, matchers) in [("headers", &route.headers), ("queries", &route.queries)] {
            let mut set = FieldSet::default();
            for (index, matcher) in matchers.iter().enumerate() {
                let Ok(name) = matcher.name.parse() else { continue };
                if set.contains(&name) {
                    let message = format!("`{}` stands here twice, maybe in another spelling", shown(&matcher.name));
                    self.add(
                        &format!("{at}.{key}[{index}].name"),
                        message,
                        "say it in one condition, such as a `regex`",
                    );
                }
                set.insert(&matcher.name);
            }
        }
    }

    /// A caller's field that the backend does not get is no reason to choose a route.
    fn matched_header(&mut self, at: &str, route: &Route, name: &str) {
        let at = format!("{at}.name");
        if let Some((message, help)) = grammar::header_fault(name, &[]) {
            self.add(&at, message, help.replace("X-Customer-Id", "X-Api-Version"));
            return;
        }
        let Ok(field) = name.to_ascii_lowercase().parse() else { return };
        let is_passed = route.pass_request_headers.iter().any(|passed| passed.eq_ignore_ascii_case(name));
        let is_removed = self.identity_fields().contains(&field) || FieldSet::of_callers_claims().contains(&field);
        if is_removed && !is_passed {
            let message =
                format!("callers' `{}` is removed, and the backend would not see why it was chosen", shown(name));
            self.add(&at, message, "choose another header");
        }
    }

    fn condition(&mut self, at: &str, matcher: &Matcher) {
        let Matcher { equals, prefix, present, absent, regex, .. } = matcher;
        let said = [equals.is_some(), prefix.is_some(), *present, *absent, regex.is_some()];
        if said.iter().filter(|said| **said).count() != 1 {
            let message = format!("exactly one condition on `{}` is needed", shown(&matcher.name));
            self.add(at, message, "write one of `equals`, `prefix`, `present: true`, `absent: true` and `regex`");
        }
        for (key, value) in [("equals", equals), ("prefix", prefix)] {
            let Some(value) = value else { continue };
            let key = format!("{at}.{key}");
            if value.is_empty() {
                self.add(&key, "an empty value says nothing", "write `present: true` or `absent: true`, or a value");
            } else if value.trim() != value || value.chars().any(char::is_control) {
                self.add(&key, "no value begins or ends with a blank, or has control characters", "write it without");
            }
        }
        if let Some(Err(fault)) = regex.as_ref().map(|regex| pattern::whole(regex, false)) {
            self.add(&format!("{at}.regex"), fault, "see the syntax of Rust's regex crate");
        }
    }
}
