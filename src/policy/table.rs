//! Which of the configured things answers a request: by host, path and method.

use std::collections::HashMap;

use http::{HeaderValue, Method};

/// Finds a target by host, path and method. The most specific path decides; it never falls back to a shorter one
/// because of the method.
#[derive(Debug)]
pub struct Table<Target> {
    any_host: Paths<Target>,
    hosts: HashMap<String, Paths<Target>, foldhash::fast::RandomState>,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// Nothing has this host and path.
    Path,
    /// Something has, with these methods.
    Method(HeaderValue),
}

#[derive(Debug)]
struct Paths<Target> {
    exact: HashMap<String, Methods<Target>, foldhash::fast::RandomState>,
    /// By prefix, which ends with a slash.
    prefixes: HashMap<String, Methods<Target>, foldhash::fast::RandomState>,
}

type Methods<Target> = Vec<(Method, Target)>;

impl<Target: Copy> Table<Target> {
    /// Adds a target under one exact path.
    pub fn insert_exact(&mut self, hosts: &[String], path: &str, methods: &[Method], target: Target) {
        self.each_host(hosts, |paths| add(paths.exact.entry(path.to_owned()).or_default(), methods, target));
    }

    /// Adds a target under a prefix: `/a/` is all below it, `/a` is itself and all below it.
    pub fn insert_prefix(&mut self, hosts: &[String], prefix: &str, methods: &[Method], target: Target) {
        self.each_host(hosts, |paths| {
            if prefix.ends_with('/') {
                add(paths.prefixes.entry(prefix.to_owned()).or_default(), methods, target);
            } else {
                add(paths.exact.entry(prefix.to_owned()).or_default(), methods, target);
                add(paths.prefixes.entry(format!("{prefix}/")).or_default(), methods, target);
            }
        });
    }

    /// What answers; `path` is in normal form, `host` in lower case and without a port.
    ///
    /// # Errors
    /// Why nothing does.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Result<Target, NotFound> {
        let by_host =
            if self.hosts.is_empty() { None } else { self.hosts.get(host).and_then(|paths| paths.find(path)) };
        let methods = by_host.or_else(|| self.any_host.find(path)).ok_or(NotFound::Path)?;
        match methods.iter().find(|(known, _)| known == method) {
            Some((_, target)) => Ok(*target),
            None => Err(NotFound::Method(allow(methods))),
        }
    }

    fn each_host(&mut self, hosts: &[String], mut change: impl FnMut(&mut Paths<Target>)) {
        if hosts.is_empty() {
            change(&mut self.any_host);
        }
        for host in hosts {
            change(self.hosts.entry(host.to_ascii_lowercase()).or_default());
        }
    }
}

impl<Target> Default for Table<Target> {
    fn default() -> Self {
        Self { any_host: Paths::default(), hosts: HashMap::default() }
    }
}

impl<Target> Paths<Target> {
    fn find(&self, path: &str) -> Option<&Methods<Target>> {
        if let Some(methods) = self.exact.get(path) {
            return Some(methods);
        }
        let slashes = path.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'/');
        slashes.map(|(at, _)| &path[..=at]).find_map(|prefix| self.prefixes.get(prefix))
    }
}

impl<Target> Default for Paths<Target> {
    fn default() -> Self {
        Self { exact: HashMap::default(), prefixes: HashMap::default() }
    }
}

fn add<Target: Copy>(known: &mut Methods<Target>, methods: &[Method], target: Target) {
    known.extend(methods.iter().map(|method| (method.clone(), target)));
}

fn allow<Target>(methods: &Methods<Target>) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<u32> {
        let mut table = Table::default();
        table.insert_prefix(&[], "/account/", &[Method::POST], 1);
        table.insert_prefix(&[], "/account/admin", &[Method::GET], 2);
        table.insert_exact(&[], "/health", &[Method::GET, Method::HEAD], 3);
        table.insert_prefix(&["api.test".to_owned()], "/", &[Method::GET], 4);
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
    fn g4_what_matches_nothing_is_not_found() {
        let table = table();
        for path in ["/", "/account", "/healthz", "/health/", "/Account/x", "/account2/x"] {
            assert_eq!(table.find("", path, &Method::POST), Err(NotFound::Path), "{path}");
        }
    }
}
