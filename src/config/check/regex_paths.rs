//! Checks of `path: {regex: ...}`, alone and against other routes.

use super::super::raw::{PathMatch, Raw, Route};
use super::{Check, shown};
use crate::pattern;
use crate::pattern::overlap::{Automaton, Overlap};

/// A route whose path is an expression.
struct RegexRoute<'a> {
    index: usize,
    route: &'a Route,
    text: &'a str,
    ignores_case: bool,
    automaton: Automaton,
}

impl Check<'_> {
    pub(super) fn regex_path(&mut self, at: &str, route: &Route, text: &str) {
        let path = format!("{at}.path.regex");
        let ignores_case = route.ignores_case(self.raw);
        if !text.starts_with('/') {
            self.add(&path, "a path starts with `/`", "write it like \"/v[0-9]+/orders/[0-9]+\"");
        } else if let Err(fault) = pattern::whole(text, ignores_case) {
            self.add(&path, fault, "see the syntax of Rust's regex crate");
        } else if Automaton::new(text, ignores_case).is_none() {
            let message =
                "this expression cannot be compared with others: it is too large, or asks for word boundaries (`\\b`)";
            self.add(&path, message, "write it without, or as several routes");
        }
        if route.rewrite.as_ref().is_some_and(|rewrite| rewrite.strip_prefix.is_some()) {
            let message = "the paths of an expression have no beginning that could be removed";
            self.add(&format!("{at}.rewrite.strip_prefix"), message, "remove it, or write `path` as a prefix");
        }
    }

    /// Expressions that match a common path, and prefixes with more requirements that an expression reaches into.
    pub(super) fn regex_overlaps(&mut self) {
        let mut regexes = regex_routes(self.raw);
        for later in 0..regexes.len() {
            let (before, rest) = regexes.split_at_mut(later);
            let Some(later) = rest.first_mut() else { continue };
            for earlier in before {
                let is_same = earlier.text == later.text && earlier.ignores_case == later.ignores_case;
                if !is_same && meet(earlier.route, later.route) {
                    let overlap = earlier.automaton.overlap(&mut later.automaton);
                    self.two_expressions(earlier.index, later.index, overlap);
                }
            }
        }
        if !regexes.is_empty() {
            self.entered_prefixes(&mut regexes);
        }
    }

    fn two_expressions(&mut self, earlier: usize, later: usize, overlap: Overlap) {
        let at = format!("routes[{later}].path.regex");
        let line = self.config.line(&format!("routes[{earlier}].path"));
        let help = "change one of them, so that each path is of one expression";
        match overlap {
            Overlap::None => {}
            Overlap::Example(path) => {
                let message = format!("{} is a path of this route and of that on line {line}", shown(&path));
                self.add(&at, message, help);
            }
            Overlap::Unknown => {
                let message = format!(
                    "whether a path is both of this route and of that on line {line} takes too long to find out"
                );
                self.add(&at, message, "write simpler expressions");
            }
        }
    }

    /// Expressions come before prefixes: one that is not all below a prefix must not open part of it.
    fn entered_prefixes(&mut self, regexes: &mut [RegexRoute<'_>]) {
        let raw = self.raw;
        for (index, route) in raw.routes.iter().enumerate() {
            let PathMatch::Prefix(prefix) = &route.path else { continue };
            let opens = |regex: &&mut RegexRoute<'_>| meet(route, regex.route) && route.demands_more_than(regex.route);
            let mut opening = regexes.iter_mut().filter(opens).peekable();
            if prefix == "/" || opening.peek().is_none() {
                continue;
            }
            let below = if prefix.ends_with('/') { "(?s:.*)" } else { "(?s:(?:/.*)?)" };
            let text = format!("{}{below}", regex::escape(prefix));
            let Some(mut below) = Automaton::new(&text, route.ignores_case(raw)) else { continue };
            let mut found = Vec::new();
            for regex in opening {
                let example = match regex.automaton.overlap(&mut below) {
                    Overlap::Example(path) => path,
                    Overlap::None | Overlap::Unknown => continue,
                };
                if regex.automaton.beyond(&mut below) != Overlap::None {
                    found.push((regex.index, example));
                }
            }
            for (regex, example) in found {
                let line = self.config.line(&format!("routes[{index}].path"));
                let message = format!(
                    "{} is a path of this route and of that on line {line}, which demands more of callers",
                    shown(&example)
                );
                let help = "an expression comes before a prefix: give it the same requirements, or make it narrower";
                self.add(&format!("routes[{regex}].path.regex"), message, help);
            }
        }
    }
}

fn regex_routes<'a>(raw: &'a Raw) -> Vec<RegexRoute<'a>> {
    let read = |(index, route): (usize, &'a Route)| {
        let PathMatch::Regex(path) = &route.path else { return None };
        let ignores_case = route.ignores_case(raw);
        let automaton = Automaton::new(&path.regex, ignores_case)?;
        Some(RegexRoute { index, route, text: &path.regex, ignores_case, automaton })
    };
    raw.routes.iter().enumerate().filter_map(read).collect()
}

fn meet(one: &Route, other: &Route) -> bool {
    one.shares_host_with(other) && one.shares_listener_with(other)
}
