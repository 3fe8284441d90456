//! Routing table: host, path and method in, a target out.

pub mod near_miss;

use std::collections::HashMap;
use std::net::Ipv6Addr;

use http::{HeaderValue, Method};
use regex::Regex;

use super::path::{decoded, folded};
use crate::pattern;

/// Finds a target by host, path and method. The most specific path decides: an exact one, else an expression, else the longest
/// prefix. It never falls back to another one because of the method, nor because of the letter case, where a server behind
/// ignores that.
#[derive(Debug)]
pub struct Table<Target> {
    plain: Hosts<Target>,
    /// The targets by case-folded paths, where some target ignores letter case.
    folded: Option<Box<Hosts<Target>>>,
}

/// Letter case in paths of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterCase {
    /// It does.
    Counts,
    /// It takes them for one.
    Ignored,
}

/// Reason why no route matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// No target has this host and path.
    Path,
    /// The path takes these methods only.
    Method(HeaderValue),
    /// Another target ignores letter case, and would take the path for one of its own.
    Case,
}

#[derive(Debug)]
struct Hosts<Target> {
    any_host: Paths<Target>,
    hosts: HashMap<String, Paths<Target>, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Paths<Target> {
    /// Exact paths, and prefixes without a slash at the end.
    exact: HashMap<String, Vec<Entry<Target>>, foldhash::fast::RandomState>,
    /// By prefix, which ends with a slash.
    prefixes: HashMap<String, Vec<Entry<Target>>, foldhash::fast::RandomState>,
    /// Expressions, of which no two match a common path.
    expressions: Vec<Expression<Target>>,
}

/// The targets of all paths that an expression matches.
#[derive(Debug)]
struct Expression<Target> {
    pattern: Regex,
    entries: Vec<Entry<Target>>,
    /// Targets that would open some of its paths, asked with a slash more or less at the end.
    opening: Vec<Target>,
}

/// Expressions of a path: as it is written, and in any letter case.
#[derive(Debug, Clone)]
pub struct Patterns {
    /// As the target takes it.
    pub plain: Regex,
    /// In any letter case.
    pub any_case: Regex,
}

impl Patterns {
    /// The patterns of an expression; `None` where it is none.
    pub fn new(text: &str, case: LetterCase) -> Option<Self> {
        let whole = |ignores_case| pattern::whole(text, ignores_case).ok();
        Some(Self { plain: whole(case == LetterCase::Ignored)?, any_case: whole(true)? })
    }
}

#[derive(Debug, Clone)]
struct Entry<Target> {
    method: Method,
    target: Target,
    case: LetterCase,
    /// The path or prefix as it was written.
    written: Box<str>,
    /// It is a prefix, and all below it has the target as well.
    is_prefix: bool,
}

/// What no path begins with.
const NOT_LITERAL: &str = "\0";

impl<Target: Copy + PartialEq> Table<Target> {
    /// One in which a target can ignore letter case.
    pub fn with_letter_case_ignored() -> Self {
        Self { folded: Some(Box::default()), ..Self::default() }
    }

    /// Adds a target under one exact path.
    pub fn insert_exact(&mut self, hosts: &[String], path: &str, methods: &[Method], target: Target, case: LetterCase) {
        self.insert_path(hosts, path, &entries(path, methods, target, case, false));
    }

    fn insert_path(&mut self, hosts: &[String], path: &str, entries: &[Entry<Target>]) {
        self.plain.each(hosts, |paths| paths.exact.entry(path.to_owned()).or_default().extend_from_slice(entries));
        if let Some(wide) = &mut self.folded {
            wide.each(hosts, |paths| paths.exact.entry(folded(path)).or_default().extend_from_slice(entries));
        }
    }

    /// Adds a target under all paths that an expression matches. Those with the same text are one. `opening` targets would
    /// open some of its paths, where a server takes a slash more or less at the end for nothing.
    pub fn insert_expression(
        &mut self,
        hosts: &[String],
        patterns: &Patterns,
        methods: &[Method],
        (target, case): (Target, LetterCase),
        opening: &[Target],
    ) {
        let entries = entries(NOT_LITERAL, methods, target, case, false);
        self.plain.each(hosts, |paths| paths.insert(&patterns.plain, &entries, opening));
        if let Some(wide) = &mut self.folded {
            wide.each(hosts, |paths| paths.insert(&patterns.any_case, &entries, opening));
        }
    }

    /// Adds a target under a prefix: `/a/` is all below it, `/a` is itself and all below it.
    pub fn insert_prefix(
        &mut self,
        hosts: &[String],
        path: &str,
        methods: &[Method],
        target: Target,
        case: LetterCase,
    ) {
        let mut prefix = path.to_owned();
        if !path.ends_with('/') {
            self.insert_path(hosts, path, &entries(path, methods, target, case, true));
            prefix.push('/');
        }
        let entries = entries(&prefix, methods, target, case, true);
        self.plain.each(hosts, |paths| paths.prefixes.entry(prefix.clone()).or_default().extend(entries.clone()));
        if let Some(wide) = &mut self.folded {
            wide.each(hosts, |paths| paths.prefixes.entry(folded(&prefix)).or_default().extend(entries.clone()));
        }
    }

    /// The target of a request; `path` is in normal form, `host` as [`host_name`] makes it, without a port.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Result<Target, NotFound> {
        let path = &*decoded(path);
        if let Some(wide) = &self.folded
            && let Some(entries) = wide.find(host, &folded(path))
        {
            let takes = |entry: &&Entry<Target>| entry.case == LetterCase::Ignored || path.starts_with(&*entry.written);
            if let Some(entry) = entries.iter().filter(takes).find(|entry| entry.method == *method) {
                return Ok(entry.target);
            }
            if !entries.iter().any(|entry| entry.method == *method) && entries.iter().any(|entry| takes(&entry)) {
                return Err(NotFound::Method(allow(entries.iter().filter(takes))));
            }
        }
        let entries = self.plain.find(host, path).ok_or(NotFound::Path)?;
        match entries.iter().find(|entry| entry.method == *method) {
            // Otherwise it would have been found above.
            Some(entry) if entry.case == LetterCase::Ignored => Err(NotFound::Case),
            Some(entry) => Ok(entry.target),
            None => Err(NotFound::Method(allow(entries.iter()))),
        }
    }
}

/// A host as it is looked for, in its one spelling: in lower case, without the dot of the root at its end, an IPv6 address
/// in its canonical form (RFC 5952).
pub fn host_name(host: &str) -> String {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::parse::<Ipv6Addr>);
    match address {
        Some(Ok(address)) => format!("[{address}]"),
        _ => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

impl<Target> Default for Table<Target> {
    fn default() -> Self {
        Self { plain: Hosts::default(), folded: None }
    }
}

impl<Target: Copy + PartialEq> Hosts<Target> {
    fn find(&self, host: &str, path: &str) -> Option<&[Entry<Target>]> {
        let by_host =
            if self.hosts.is_empty() { None } else { self.hosts.get(host).and_then(|paths| paths.find(path)) };
        by_host.or_else(|| self.any_host.find(path))
    }
}

impl<Target> Hosts<Target> {
    fn each(&mut self, hosts: &[String], mut change: impl FnMut(&mut Paths<Target>)) {
        if hosts.is_empty() {
            change(&mut self.any_host);
        }
        for host in hosts {
            change(self.hosts.entry(host_name(host)).or_default());
        }
    }
}

impl<Target> Default for Hosts<Target> {
    fn default() -> Self {
        Self { any_host: Paths::default(), hosts: HashMap::default() }
    }
}

impl<Target: Copy + PartialEq> Paths<Target> {
    fn find(&self, path: &str) -> Option<&[Entry<Target>]> {
        let exact = self.exact.get(path).map(Vec::as_slice);
        if !self.expressions.is_empty() {
            return self.find_with_expressions(path, exact);
        }
        exact.or_else(|| self.longest_prefix(path))
    }

    fn longest_prefix(&self, path: &str) -> Option<&[Entry<Target>]> {
        let slashes = path.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'/');
        slashes.map(|(at, _)| &path[..=at]).find_map(|prefix| self.prefixes.get(prefix)).map(Vec::as_slice)
    }

    fn find_with_expressions<'a>(
        &'a self,
        path: &str,
        exact: Option<&'a [Entry<Target>]>,
    ) -> Option<&'a [Entry<Target>]> {
        if let Some(entries) = exact.filter(|entries| entries.iter().any(|entry| !entry.is_prefix)) {
            return Some(entries);
        }
        let matching = |path: &str| self.expressions.iter().find(|expression| expression.pattern.is_match(path));
        if let Some(expression) = matching(path) {
            return Some(&expression.entries);
        }
        let entries = exact.or_else(|| self.longest_prefix(path))?;
        let twin = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        match matching(&twin) {
            Some(expression) if entries.iter().any(|entry| expression.opening.contains(&entry.target)) => {
                Some(&expression.entries)
            }
            _ => Some(entries),
        }
    }

    fn insert(&mut self, pattern: &Regex, entries: &[Entry<Target>], opening: &[Target]) {
        let known = self.expressions.iter_mut().find(|known| known.pattern.as_str() == pattern.as_str());
        match known {
            Some(known) => {
                known.entries.extend_from_slice(entries);
                known.opening.extend_from_slice(opening);
            }
            None => {
                let (entries, opening) = (entries.to_vec(), opening.to_vec());
                self.expressions.push(Expression { pattern: pattern.clone(), entries, opening });
            }
        }
    }
}

impl<Target> Default for Paths<Target> {
    fn default() -> Self {
        Self { exact: HashMap::default(), prefixes: HashMap::default(), expressions: Vec::new() }
    }
}

fn entries<Target: Copy>(
    written: &str,
    methods: &[Method],
    target: Target,
    case: LetterCase,
    is_prefix: bool,
) -> Vec<Entry<Target>> {
    let entry = |method: &Method| Entry { method: method.clone(), target, case, written: written.into(), is_prefix };
    methods.iter().map(entry).collect()
}

fn allow<'a, Target: 'a>(entries: impl Iterator<Item = &'a Entry<Target>>) -> HeaderValue {
    let names: Vec<&str> = entries.map(|entry| entry.method.as_str()).collect();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::LetterCase::{Counts, Ignored};
    use super::*;

    fn table() -> Table<u32> {
        let mut table = Table::default();
        table.insert_prefix(&[], "/account/", &[Method::POST], 1, Counts);
        table.insert_prefix(&[], "/account/admin", &[Method::GET], 2, Counts);
        table.insert_exact(&[], "/health", &[Method::GET, Method::HEAD], 3, Counts);
        table.insert_prefix(&["api.test".to_owned()], "/", &[Method::GET], 4, Counts);
        table
    }

    #[test]
    fn the_most_specific_path_decides() {
        let table = table();
        assert_eq!(table.find("", "/account/x/y", &Method::POST), Ok(1));
        assert_eq!(table.find("", "/account/admin", &Method::GET), Ok(2));
        assert_eq!(table.find("", "/account/admin/x", &Method::GET), Ok(2));
        assert_eq!(table.find("", "/account/administrator", &Method::POST), Ok(1));
        assert_eq!(table.find("", "/health", &Method::HEAD), Ok(3));
        assert_eq!(table.find("api.test", "/anything", &Method::GET), Ok(4));
    }

    #[test]
    fn a_method_that_is_missing_does_not_open_a_wider_prefix() {
        let found = table().find("", "/account/admin/x", &Method::POST);
        assert_eq!(found, Err(NotFound::Method(HeaderValue::from_static("GET"))));
    }

    #[test]
    fn what_matches_nothing_is_not_found() {
        let table = table();
        for path in ["/", "/account", "/healthz", "/health/", "/Account/x", "/account2/x"] {
            assert_eq!(table.find("", path, &Method::POST), Err(NotFound::Path), "{path}");
        }
    }

    #[test]
    fn what_ignores_letter_case_is_found_in_any_and_takes_nothing_of_others() {
        let mut table = Table::with_letter_case_ignored();
        table.insert_prefix(&[], "/r/", &[Method::GET, Method::POST], 1, Ignored);
        table.insert_prefix(&[], "/r/Admin", &[Method::GET], 2, Ignored);
        table.insert_prefix(&[], "/r/strict/", &[Method::GET], 3, Counts);
        table.insert_exact(&[], "/login", &[Method::POST], 4, Counts);
        table.insert_prefix(&[], "/", &[Method::GET], 5, Counts);
        let find = |path: &str| table.find("", path, &Method::GET);
        for (path, expected) in [
            ("/r/x", Ok(1)),
            ("/R/x", Ok(1)),
            ("/r/Admin", Ok(2)),
            ("/r/admin/x", Ok(2)),
            ("/R/%41DMIN/x", Ok(2)),
            ("/r/strict/x", Ok(3)),
            ("/r/Strict/x", Err(NotFound::Case)),
            // The route that this could be taken for is found in this case alone, and `/` tells cases apart.
            ("/R/Strict/x", Ok(5)),
            ("/Login", Ok(5)),
        ] {
            assert_eq!(find(path), expected, "{path}");
        }
        let post = |path: &str| table.find("", path, &Method::POST);
        assert_eq!(post("/r/ADMIN/x"), Err(NotFound::Method(HeaderValue::from_static("GET"))));
        assert_eq!(post("/login"), Ok(4));
        assert_eq!(post("/Login"), Err(NotFound::Method(HeaderValue::from_static("GET"))));
    }

    #[test]
    fn an_expression_comes_behind_exact_paths_and_before_prefixes() {
        let mut table = Table::default();
        let number = Patterns::new("/v[0-9]+", Counts).unwrap();
        table.insert_prefix(&[], "/", &[Method::GET, Method::POST], 1, Counts);
        table.insert_prefix(&[], "/v1", &[Method::GET], 2, Counts);
        table.insert_exact(&[], "/v2", &[Method::GET], 3, Counts);
        table.insert_expression(&[], &number, &[Method::GET], (4, Counts), &[]);
        table.insert_expression(&[], &number, &[Method::PUT], (5, Counts), &[]);
        let find = |path: &str, method: Method| table.find("", path, &method);
        for (path, expected) in
            [("/v1", 4), ("/v%31", 4), ("/v2", 3), ("/v3", 4), ("/v1/x", 2), ("/v3/", 1), ("/V3", 1), ("/v", 1)]
        {
            assert_eq!(find(path, Method::GET), Ok(expected), "{path}");
        }
        assert_eq!(find("/v3", Method::PUT), Ok(5));
        // It does not fall back to the prefix, which has this method.
        assert_eq!(find("/v3", Method::POST), Err(NotFound::Method(HeaderValue::from_static("GET, PUT"))));
    }

    #[test]
    fn a_slash_more_or_less_does_not_open_a_path_of_an_expression() {
        let mut table = Table::default();
        table.insert_prefix(&[], "/", &[Method::GET], 1, Counts);
        table.insert_prefix(&[], "/strict/", &[Method::GET], 2, Counts);
        table.insert_expression(
            &[],
            &Patterns::new("/[a-z]+/[0-9]", Counts).unwrap(),
            &[Method::GET],
            (3, Counts),
            &[1],
        );
        for (path, expected) in
            [("/a/1", 3), ("/a/1/", 3), ("/a/1//", 1), ("/strict/1", 3), ("/strict/1/", 2), ("/a/x/", 1)]
        {
            assert_eq!(table.find("", path, &Method::GET), Ok(expected), "{path}");
        }
    }

    #[test]
    fn an_expression_ignores_letter_case_where_its_backend_does() {
        let mut table = Table::with_letter_case_ignored();
        table.insert_prefix(&[], "/", &[Method::GET], 1, Ignored);
        table.insert_expression(&[], &Patterns::new("/a[0-9]", Ignored).unwrap(), &[Method::GET], (2, Ignored), &[]);
        table.insert_expression(&[], &Patterns::new("/b[0-9]", Counts).unwrap(), &[Method::GET], (3, Counts), &[]);
        for (path, expected) in
            [("/a1", Ok(2)), ("/A1", Ok(2)), ("/b1", Ok(3)), ("/B1", Err(NotFound::Case)), ("/c1", Ok(1))]
        {
            assert_eq!(table.find("", path, &Method::GET), expected, "{path}");
        }
    }

    #[test]
    fn a_host_has_one_spelling() {
        for (host, expected) in [
            ("API.example.com", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("[0:0::0:1]", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host_name(host), expected);
        }
        let mut table = Table::default();
        table.insert_prefix(&["[2001:db8:0::1]".to_owned()], "/", &[Method::GET], 1, Counts);
        assert_eq!(table.find(&host_name("[2001:DB8::0:1]"), "/x", &Method::GET), Ok(1));
    }

    #[test]
    fn escapes_are_what_they_stand_for() {
        let mut table = Table::default();
        table.insert_prefix(&[], "/a$b@c/", &[Method::GET], 1, Counts);
        for path in ["/a$b@c/x", "/a%24b@c/x", "/a%24b%40c/%C3%A9"] {
            assert_eq!(table.find("", path, &Method::GET), Ok(1), "{path}");
        }
        assert_eq!(table.find("", "/a%2524b@c/x", &Method::GET), Err(NotFound::Path));
    }
}
