//! The path of a route whose backend finds the customer in it: the caller's path in, the backend's out.

use super::path::{self, Ambiguous, NonCanonical, Normal};
use crate::config::raw;
use crate::parameters::encoded;
use crate::path_template::{PathTemplate, behind};

/// Path with the customer in it, compiled.
#[derive(Debug, PartialEq, Eq)]
pub struct PathPlacement {
    from: CallersPath,
    target: PathTemplate,
    /// Paths are compared without regard to letter case, as the backend does.
    ignores_case: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum CallersPath {
    /// The path of the route, without a slash at its end.
    OfRoute(Box<str>),
    /// One that names the customer.
    Named(PathTemplate),
}

/// The reason for which there is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// The customer's name cannot stand in a path: a server could read it as more than one segment, or none.
    Customer,
    /// The rest of the caller's path is ambiguous at its new place.
    Rest,
}

impl PathPlacement {
    /// As configured.
    ///
    /// # Errors
    /// The key within the route, and its fault in a sentence.
    pub fn read(route: &raw::Route, placeholder: &str, ignores_case: bool) -> Result<Self, (&'static str, String)> {
        let parse = |key, text: &str| PathTemplate::parse(text, placeholder).map_err(|fault| (key, fault));
        let rewrite = route.rewrite.as_ref();
        let Some(target) = rewrite.and_then(|rewrite| rewrite.target.as_deref()) else {
            return Err(("identifier.path", "`rewrite.target` is missing".to_owned()));
        };
        let from = match rewrite.and_then(|rewrite| rewrite.from.as_deref()) {
            Some(from) => CallersPath::Named(parse("rewrite.from", from)?),
            None => CallersPath::OfRoute(route.path.as_str().trim_end_matches('/').into()),
        };
        Ok(Self { from, target: parse("rewrite.target", target)?, ignores_case })
    }

    /// The caller's own name of the customer, still escaped, where its path has one, and the rest of the path; `None`
    /// where the path is not as the route says.
    pub fn parts<'p>(&self, path: &'p str) -> Option<(Option<&'p str>, &'p str)> {
        let is_same = |found: &str, segment: &str| {
            let found = path::decoded(found);
            *found == *segment || (self.ignores_case && path::folded(&found) == path::folded(segment))
        };
        match &self.from {
            CallersPath::OfRoute(path_of_route) => behind(path, path_of_route, is_same).map(|rest| (None, rest)),
            CallersPath::Named(from) => from.parts(path, is_same).map(|(customer, rest)| (Some(customer), rest)),
        }
    }

    /// The path by which the caller knows this path of the backend; `None` where it is another than the template's.
    pub fn reversed(&self, path: &str) -> Option<String> {
        let (customer, rest) = self.target.parts(path, |found, segment| found == segment)?;
        Some(match &self.from {
            CallersPath::OfRoute(path_of_route) if path_of_route.is_empty() && rest.is_empty() => "/".to_owned(),
            CallersPath::OfRoute(path_of_route) => format!("{path_of_route}{rest}"),
            CallersPath::Named(from) => from.filled(customer, rest),
        })
    }

    /// The path for the backend, which is checked as one that a caller has sent.
    ///
    /// # Errors
    /// The part that has more than one reading, or none.
    pub fn path_for(&self, customer: &str, rest: &str, allowed: NonCanonical) -> Result<String, PathFault> {
        let segment = ["/", &encoded(customer)].concat();
        let is_plain = |normal: Normal<'_>| normal.non_canonical.is_none() && *normal.text == *segment;
        if customer.is_empty() || !path::normal(&segment).is_ok_and(is_plain) {
            return Err(PathFault::Customer);
        }
        let changed = self.target.filled(&segment[1..], rest);
        self.is_unambiguous(&changed, &segment[1..], allowed).map_err(|Ambiguous| PathFault::Rest)?;
        Ok(changed)
    }

    /// Whatever a server makes of the path, it is below that of the customer.
    fn is_unambiguous(&self, changed: &str, customer: &str, allowed: NonCanonical) -> Result<(), Ambiguous> {
        let Normal { text, non_canonical } = path::normal(changed)?;
        let whole = self.target.filled(customer, "");
        let is_below = |path: &String| {
            path.strip_prefix(whole.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let stays = non_canonical.is_none() || path::readings(changed, non_canonical)?.iter().all(is_below);
        if text == changed && allowed.has(non_canonical) && stays { Ok(()) } else { Err(Ambiguous) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn placement(from: Option<&str>, target: &str) -> PathPlacement {
        let parse = |text| PathTemplate::parse(text, "customer").unwrap();
        let from = from.map_or(CallersPath::OfRoute("/profile".into()), |from| CallersPath::Named(parse(from)));
        PathPlacement { from, target: parse(target), ignores_case: false }
    }

    #[test]
    fn the_customer_of_the_call_takes_the_place_of_any_that_the_path_names() {
        let of_route = placement(None, "/v1/customers/{customer}/profile{rest}");
        for (path, expected) in [
            ("/profile", "/v1/customers/ID/profile"),
            ("/profile/", "/v1/customers/ID/profile/"),
            ("/profile/a/b", "/v1/customers/ID/profile/a/b"),
        ] {
            let (None, rest) = of_route.parts(path).unwrap() else { panic!("{path} names nobody") };
            assert_eq!(of_route.path_for("ID", rest, NonCanonical::default()).as_deref(), Ok(expected));
        }
        let named = placement(Some("/customers/{customer}{rest}"), "/v1/{customer}{rest}");
        let (claimed, rest) = named.parts("/customers/other/orders").unwrap();
        assert_eq!(claimed, Some("other"));
        assert_eq!(named.path_for("ID", rest, NonCanonical::default()).as_deref(), Ok("/v1/ID/orders"));
        assert_eq!(named.parts("/customers/"), None);
        for (placement, path, expected) in [
            (&of_route, "/v1/customers/ID/profile/a/b", Some("/profile/a/b")),
            (&of_route, "/v1/customers/ID/profile", Some("/profile")),
            (&of_route, "/v1/customers/ID/orders", None),
            (&of_route, "/login", None),
            (&named, "/v1/ID/orders", Some("/customers/ID/orders")),
        ] {
            assert_eq!(placement.reversed(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_customer_that_is_no_plain_segment_has_no_path() {
        let placement = placement(None, "/c/{customer}{rest}");
        let all = NonCanonical::ENCODED_SLASH;
        for name in ["", ".", "..", "a/b", "../x", "a\\b", "a;b", "a%2fb", "a.", "a ", "a:$b", "a\u{85}b"] {
            assert_eq!(placement.path_for(name, "", all), Err(PathFault::Customer), "{name:?}");
        }
        assert_eq!(placement.path_for("J\u{fc}rg & Co", "", all).as_deref(), Ok("/c/J%C3%BCrg%20%26%20Co"));
        assert_eq!(placement.path_for("ID", "/a//b", NonCanonical::default()), Err(PathFault::Rest));
        assert_eq!(placement.path_for("ID", "/a//b", NonCanonical::DOUBLE_SLASH).as_deref(), Ok("/c/ID/a//b"));
    }
}
