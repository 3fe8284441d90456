//! Rewrite of a route's path for the backend.

use super::path::{self, Ambiguous, NonCanonical, Normal};
use crate::config::raw;

/// Takes a prefix away and puts another in its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewrite {
    strip: Box<str>,
    add: Box<str>,
    /// The prefix is matched without regard to letter case.
    ignores_case: bool,
}

impl Rewrite {
    /// As configured: both are plain paths without a slash at the end. `ignores_case` says whether the backend does.
    pub fn new(raw: &raw::Rewrite, ignores_case: bool) -> Self {
        let text = |prefix: &Option<String>| prefix.as_deref().unwrap_or_default().into();
        Self { strip: text(&raw.strip_prefix), add: text(&raw.add_prefix), ignores_case }
    }

    /// The path behind this prefix, if its whole segments match.
    fn behind<'p>(&self, prefix: &str, path: &'p str) -> Option<&'p str> {
        let segments = prefix.matches('/').count();
        let end = path.match_indices('/').nth(segments).map_or(path.len(), |(at, _)| at);
        let (beginning, rest) = path.split_at(end);
        let beginning = path::decoded(beginning);
        let is_same = *beginning == *prefix || (self.ignores_case && path::folded(&beginning) == path::folded(prefix));
        is_same.then_some(rest)
    }

    /// The path for the backend, which is checked as one that a caller has sent.
    ///
    /// # Errors
    /// [`Ambiguous`] where it has two readings that are not allowed, or one that is not below the new prefix.
    pub fn apply(&self, path: &str, allowed: NonCanonical) -> Result<String, Ambiguous> {
        let rest = self.behind(&self.strip, path).ok_or(Ambiguous)?;
        let changed =
            if rest.is_empty() && self.add.is_empty() { "/".to_owned() } else { format!("{}{rest}", self.add) };
        let Normal { text, non_canonical } = path::normal(&changed)?;
        let is_below = |path: &String| path.strip_prefix(&*self.add).is_some_and(is_whole);
        let stays = non_canonical.is_none() || path::readings(&changed, non_canonical)?.iter().all(is_below);
        if text == changed && allowed.has(non_canonical) && stays && is_below(&changed) {
            Ok(changed)
        } else {
            Err(Ambiguous)
        }
    }

    /// The path by which callers name this path of the backend. `None` where it stays as it is: it is not below the prefix
    /// that is added, or none is and it begins with the one that is removed, as where the backend knows of it.
    pub fn reversed(&self, path: &str) -> Option<String> {
        if self.add.is_empty() && self.behind(&self.strip, path).is_some() {
            return None;
        }
        let rest = self.behind(&self.add, path)?;
        Some(if rest.is_empty() && self.strip.is_empty() { "/".to_owned() } else { format!("{}{rest}", self.strip) })
    }
}

/// Returns whether a prefix ends before this with a whole segment.
fn is_whole(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(strip: &str, add: &str) -> Rewrite {
        Rewrite { strip: strip.into(), add: add.into(), ignores_case: false }
    }

    #[test]
    fn a_prefix_is_taken_away_and_another_put_in_its_place() {
        for (strip, add, path, expected) in [
            ("/api", "", "/api/x/y", "/x/y"),
            ("/api", "", "/api", "/"),
            ("/api", "", "/api/", "/"),
            ("/api", "/v2/legacy", "/api/x", "/v2/legacy/x"),
            ("/api", "/v2", "/api", "/v2"),
            ("", "/v2", "/x", "/v2/x"),
        ] {
            assert_eq!(rewrite(strip, add).apply(path, NonCanonical::default()).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_path_of_the_backend_has_the_name_that_callers_know() {
        for (strip, add, path, expected) in [
            ("/api", "", "/x/y", Some("/api/x/y")),
            ("/api", "", "/", Some("/api/")),
            ("/api", "/v2/legacy", "/v2/legacy/x", Some("/api/x")),
            ("/api", "/v2", "/v2", Some("/api")),
            ("", "/v2", "/v2/x", Some("/x")),
            ("", "/v2", "/v2", Some("/")),
            // Beside what callers reach.
            ("/api", "/v2", "/v20/x", None),
            ("/api", "/v2", "/login", None),
            // The backend knows its public path.
            ("/api", "", "/api/x", None),
            ("/api", "", "/apis", Some("/api/apis")),
        ] {
            assert_eq!(rewrite(strip, add).reversed(path).as_deref(), expected, "{strip} {add} {path}");
        }
        let ignoring = Rewrite { ignores_case: true, ..rewrite("/api", "/Legacy") };
        assert_eq!(ignoring.reversed("/legacy/X").as_deref(), Some("/api/X"));
    }

    #[test]
    fn what_would_be_ambiguous_after_a_rewrite_is_refused() {
        for (strip, path, allowed) in [
            ("/api", "/apis/x", NonCanonical::default()),
            ("/api", "/other", NonCanonical::default()),
            // Without its prefix this would begin like the name of a host.
            ("/api", "/api//evil", NonCanonical::DOUBLE_SLASH),
            ("/api", "/api/a//b", NonCanonical::default()),
            ("/api", "/api/a;b", NonCanonical::ENCODED_SLASH),
        ] {
            assert_eq!(rewrite(strip, "").apply(path, allowed), Err(Ambiguous), "{path}");
        }
        assert_eq!(rewrite("/api", "").apply("/api/a//b", NonCanonical::DOUBLE_SLASH).as_deref(), Ok("/a//b"));
        assert_eq!(rewrite("/api", "/v2").apply("/api//b", NonCanonical::DOUBLE_SLASH).as_deref(), Ok("/v2//b"));
    }
}
