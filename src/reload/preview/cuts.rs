//! Paths that another route answers than before: cut out of a protected one, fallen to a weaker one, or lost.
//!
//! Both tables are asked for sample paths of each route that is placed otherwise than before.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use super::Compared;
use super::checks::{Checks, texts};
use super::meaning::{Meaning, Section, parsed};
use super::routes::renamed;
use crate::pattern::overlap::{Automaton, Overlap};
use crate::policy::Policy;
use crate::policy_change::{ChangeSubject, PolicyChange};

/// A segment that stands in no configuration.
const SAMPLE: &str = "wicketgate-sample";

/// Most points that are asked for.
const MOST: usize = 200_000;

/// Most pairs of an expression and another path that are compared.
const MOST_PAIRS: usize = 5_000;

/// Keys that decide what a route answers.
const PLACING: [&str; 6] = ["path", "hosts", "listen", "methods", "headers", "queries"];

/// One request that both tables are asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    listener: String,
    host: String,
    path: String,
    method: String,
}

/// All that is answered by another route than before with fewer checks, or not any more.
pub(super) fn changes(old: &Compared, new: &Compared) -> Vec<PolicyChange> {
    let both = [places(&old.meaning), places(&new.meaning)];
    let mut found = Found { renamed: renamed(&old.meaning, &new.meaning), both: &both, changes: BTreeMap::new() };
    let (points, is_whole) = points(&both);
    for point in &points {
        let Some([before, after]) = answering(old, new, point) else { continue };
        found.compare(point, &before, &after);
    }
    let mut changes: Vec<PolicyChange> = found.changes.into_values().collect();
    if !is_whole {
        let what = "too many routes change for all their paths to be compared: compare in smaller steps".to_owned();
        changes.push(PolicyChange::new(ChangeSubject::Routes, true, what));
    }
    changes
}

/// A route and where it stands.
struct PlacedRoute {
    written: Value,
    path: WrittenPath,
}

enum WrittenPath {
    Prefix(String),
    Exact(String),
    Regex(String),
}

type PlacedRoutes = BTreeMap<String, PlacedRoute>;

fn places(meaning: &Meaning) -> PlacedRoutes {
    let place = |(name, text): (&String, &String)| {
        let written = parsed(text);
        let path = &written["path"];
        let path = match (path.as_str(), path["exact"].as_str(), path["regex"].as_str()) {
            (Some(prefix), ..) => WrittenPath::Prefix(prefix.to_owned()),
            (_, Some(exact), _) => WrittenPath::Exact(exact.to_owned()),
            (.., regex) => WrittenPath::Regex(regex.unwrap_or_default().to_owned()),
        };
        (name.clone(), PlacedRoute { written, path })
    };
    meaning.entries(Section::Routes).iter().map(place).collect()
}

impl PlacedRoute {
    /// Paths that it takes.
    fn samples(&self) -> Vec<String> {
        match &self.path {
            WrittenPath::Exact(path) => vec![path.clone()],
            WrittenPath::Prefix(path) if path.ends_with('/') => vec![path.clone(), format!("{path}{SAMPLE}")],
            WrittenPath::Prefix(path) => vec![path.clone(), format!("{path}/{SAMPLE}")],
            WrittenPath::Regex(expression) => example(expression, "/.*").into_iter().collect(),
        }
    }

    /// Paths of any routes, `all` of them, that it takes or would take if no other did.
    fn shared_with(&self, all: &BTreeSet<String>, prefixes: &BTreeSet<String>, pairs: &mut usize) -> BTreeSet<String> {
        match &self.path {
            WrittenPath::Exact(_) => BTreeSet::new(),
            WrittenPath::Prefix(prefix) => {
                let from = all.range(prefix.clone()..);
                from.take_while(|path| path.starts_with(prefix.as_str())).take(MOST).cloned().collect()
            }
            WrittenPath::Regex(expression) => {
                let left = MOST_PAIRS.saturating_sub(*pairs);
                *pairs += prefixes.len();
                let below = |prefix: &String| format!("{}(/.*)?", regex::escape(prefix.trim_end_matches('/')));
                prefixes.iter().take(left).filter_map(|prefix| example(expression, &below(prefix))).collect()
            }
        }
    }

    fn hosts(&self) -> Vec<String> {
        let hosts = texts(&self.written["hosts"]);
        if hosts.is_empty() { vec![String::new()] } else { hosts.into_iter().collect() }
    }
}

/// A path that both expressions match.
fn example(one: &str, other: &str) -> Option<String> {
    match Automaton::new(one, false)?.overlap(&mut Automaton::new(other, false)?) {
        Overlap::Example(path) => Some(path),
        Overlap::None | Overlap::Unknown => None,
    }
}

/// The points of all routes that are placed otherwise than before, and whether these are all.
fn points(both: &[PlacedRoutes; 2]) -> (BTreeSet<Point>, bool) {
    let mut points = BTreeSet::new();
    let mut pairs = 0;
    let every = || both.iter().flat_map(BTreeMap::values);
    let all: BTreeSet<String> = every().flat_map(PlacedRoute::samples).collect();
    let prefixes = every().filter_map(|route| match &route.path {
        WrittenPath::Prefix(path) => Some(path.clone()),
        WrittenPath::Exact(_) | WrittenPath::Regex(_) => None,
    });
    let prefixes: BTreeSet<String> = prefixes.collect();
    for (own, others) in [(&both[0], &both[1]), (&both[1], &both[0])] {
        for (name, route) in own {
            let is_same = |other: &PlacedRoute| PLACING.iter().all(|key| route.written[key] == other.written[key]);
            if others.get(name).is_some_and(is_same) {
                continue;
            }
            let mut paths: BTreeSet<String> = route.samples().into_iter().collect();
            paths.extend(route.shared_with(&all, &prefixes, &mut pairs));
            if points.len() + paths.len() > MOST {
                return (points, false);
            }
            add(&mut points, route, &paths);
        }
    }
    let is_whole = points.len() <= MOST && pairs <= MOST_PAIRS;
    (points, is_whole)
}

fn add(points: &mut BTreeSet<Point>, route: &PlacedRoute, paths: &BTreeSet<String>) {
    let listeners = texts(&route.written["listen"]);
    // On all of them: see [`answering`].
    let listeners = if listeners.is_empty() { BTreeSet::from([String::new()]) } else { listeners };
    for host in route.hosts() {
        for method in texts(&route.written["methods"]) {
            for (listener, path) in listeners.iter().flat_map(|listener| paths.iter().map(move |path| (listener, path)))
            {
                let (listener, host) = (listener.clone(), host.clone());
                points.insert(Point { listener, host, path: path.clone(), method: method.clone() });
            }
        }
    }
}

/// Names of the routes that answer a request before and after; `None` where its listener is new or gone.
fn answering(old: &Compared, new: &Compared, point: &Point) -> Option<[Vec<String>; 2]> {
    let method = Method::from_bytes(point.method.as_bytes()).ok()?;
    let routes = |side: &Compared, listener: usize| -> Vec<String> {
        let policy: &Policy = &side.policy;
        let Some(table) = policy.tables.get(listener) else { return Vec::new() };
        let Ok(target) = table.find(&point.host, &point.path, &method) else { return Vec::new() };
        policy.routes_of(&target).map(|(_, route)| route.name.to_string()).collect()
    };
    let place = |side: &Compared, name: &str| side.meaning.listeners.iter().position(|known| known == name);
    if !point.listener.is_empty() {
        let (before, after) = (place(old, &point.listener)?, place(new, &point.listener)?);
        return Some([routes(old, before), routes(new, after)]);
    }
    // Listeners go by their names, else by their places.
    let mut all = [Vec::new(), Vec::new()];
    for (number, name) in old.meaning.listeners.iter().enumerate() {
        let after = place(new, name).unwrap_or(number);
        all[0].extend(routes(old, number));
        all[1].extend(routes(new, after));
    }
    all.iter_mut().for_each(|names| {
        names.sort_unstable();
        names.dedup();
    });
    Some(all)
}

/// What has been found, once for each pair of routes.
struct Found<'a> {
    renamed: BTreeMap<&'a str, &'a str>,
    both: &'a [PlacedRoutes; 2],
    changes: BTreeMap<(String, String, String), PolicyChange>,
}

impl Found<'_> {
    fn compare(&mut self, point: &Point, before: &[String], after: &[String]) {
        let called = |name: &str| (*self.renamed.get(name).unwrap_or(&name)).to_owned();
        let before: Vec<(&String, String)> = before.iter().map(|name| (name, called(name))).collect();
        for (old, name) in &before {
            if after.is_empty() && self.both[1].contains_key(name) {
                self.note_lost(point, old);
            }
        }
        for (old, name) in &before {
            for new in after.iter().filter(|new| *new != name) {
                let are_both_there = after.contains(name) && before.iter().any(|(_, known)| known == new);
                if !are_both_there {
                    self.note_weaker(point, old, new);
                }
            }
        }
    }

    /// A route that stays no longer answers this.
    fn note_lost(&mut self, point: &Point, old: &str) {
        let key = (old.to_owned(), String::new(), point.method.clone());
        let shown = point.shown();
        self.changes.entry(key).or_insert_with(|| {
            let what = format!("route {old} no longer answers {shown}");
            PolicyChange::new(ChangeSubject::Routes, true, what).from_to(Some(old.to_owned()), None)
        });
    }

    /// Another route answers this, with fewer checks.
    fn note_weaker(&mut self, point: &Point, old: &str, new: &str) {
        let (Some(before), Some(after)) = (self.both[0].get(old), self.both[1].get(new)) else { return };
        let lost = Checks::of(&before.written).beyond(&Checks::of(&after.written));
        if lost.is_empty() {
            return;
        }
        let lost: Vec<String> = lost.into_iter().map(|lost| lost.lost).collect();
        let shown = point.shown();
        let (is_new, is_gone) = (!self.both[0].contains_key(new), !self.both[1].contains_key(old));
        let key = (old.to_owned(), new.to_owned(), String::new());
        self.changes.entry(key).or_insert_with(|| {
            let lost = lost.join(", ");
            let what = match (is_new, is_gone) {
                (_, true) => format!("{shown} of route {old} is left to route {new}: it {lost}"),
                (true, _) => format!("route {new} is cut out of route {old}: {shown} {lost}"),
                _ => format!("route {new} takes {shown} from route {old}: it {lost}"),
            };
            let change = PolicyChange::new(ChangeSubject::Routes, true, what);
            change.from_to(Some(old.to_owned()), Some(new.to_owned()))
        });
    }
}

impl Point {
    fn shown(&self) -> String {
        let path = self.path.replace(SAMPLE, "...");
        format!("{} {}{path}", self.method, self.host)
    }
}
