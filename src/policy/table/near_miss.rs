//! Targets that nearly took a request, for explanations: of the same path or its beginning, whatever the host and the
//! method.

use http::Method;

use super::{Entry, NOT_LITERAL, Paths, Table};
use crate::policy::path::decoded;

/// Most entries of a table that are looked at.
const MOST_SEEN: usize = 4_096;

/// A target beside the one that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss<Target> {
    /// The target.
    pub target: Target,
    /// Its path as it is written; an expression as it is compiled.
    pub written: String,
    /// It takes the path.
    pub takes_path: bool,
    /// It takes the host.
    pub takes_host: bool,
    /// The methods that it takes there.
    pub methods: Vec<Method>,
}

impl<Target: Copy + PartialEq> Table<Target> {
    /// The targets whose path is that of the request or begins like it.
    pub fn near_misses(&self, host: &str, path: &str) -> Vec<NearMiss<Target>> {
        let path = &*decoded(path);
        let own =
            [Some(&self.plain.any_host), self.plain.hosts.get(host)].into_iter().flatten().map(|paths| (paths, true));
        let others = self.plain.hosts.iter().filter(|(name, _)| **name != *host).map(|(_, paths)| (paths, false));
        let mut found: Vec<NearMiss<Target>> = Vec::new();
        for (takes_path, takes_host, written, entry) in
            own.chain(others).flat_map(|(paths, takes_host)| of_paths(paths, path, takes_host)).take(MOST_SEEN)
        {
            if !takes_path && !begin_alike(&written, path) {
                continue;
            }
            let known = found.iter_mut().find(|known| known.target == entry.target);
            let known = match known {
                Some(known) => known,
                None => {
                    found.push(NearMiss { target: entry.target, written, takes_path, takes_host, methods: Vec::new() });
                    let Some(last) = found.last_mut() else { continue };
                    last
                }
            };
            known.takes_path |= takes_path;
            known.takes_host |= takes_host;
            if !known.methods.contains(&entry.method) {
                known.methods.push(entry.method.clone());
            }
        }
        found.sort_by_key(|near| (!near.takes_host, !near.takes_path, std::cmp::Reverse(near.written.len())));
        found
    }
}

/// All entries of some paths: whether each takes this path, whether it takes the host, and its path as written.
fn of_paths<'a, Target>(
    paths: &'a Paths<Target>,
    path: &'a str,
    takes_host: bool,
) -> impl Iterator<Item = (bool, bool, String, &'a Entry<Target>)> {
    let exact =
        paths.exact.iter().flat_map(move |(key, entries)| entries.iter().map(move |entry| (*key == path, entry)));
    let prefixes = paths
        .prefixes
        .iter()
        .flat_map(move |(key, entries)| entries.iter().map(move |entry| (path.starts_with(key), entry)));
    let expressions = paths.expressions.iter().flat_map(move |known| {
        let takes = known.pattern.is_match(path);
        known.entries.iter().map(move |entry| (takes, known.pattern.as_str(), entry))
    });
    let literal = exact.chain(prefixes).map(|(takes, entry)| (takes, &*entry.written, entry));
    literal.chain(expressions).map(move |(takes, text, entry)| {
        let written = if *entry.written == *NOT_LITERAL { text } else { &entry.written };
        (takes, takes_host, written.to_owned(), entry)
    })
}

/// Returns whether two paths have the same first segment.
fn begin_alike(one: &str, other: &str) -> bool {
    let first = |path: &str| path.split('/').nth(1).map(str::to_ascii_lowercase);
    first(one) == first(other)
}
