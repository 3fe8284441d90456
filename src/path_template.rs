//! Paths with one segment that names the customer: `/v1/customers/{customer}/orders{rest}`.

/// A path with a placeholder for the customer and, at its end, one for the rest of the caller's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    /// What stands before the customer; it ends with a slash.
    pub before: String,
    /// What stands behind: nothing, or whole segments.
    pub behind: String,
    /// Whether `{rest}` stands at the end.
    pub has_rest: bool,
}

/// The placeholder for the rest of the caller's path, with its slash.
const REST: &str = "{rest}";

impl PathTemplate {
    /// The template that is written so; `placeholder` is the name in braces that stands for the customer.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str, placeholder: &str) -> Result<Self, String> {
        let customer = format!("{{{placeholder}}}");
        let (path, has_rest) = text.strip_suffix(REST).map_or((text, false), |path| (path, true));
        let Some((before, behind)) = path.split_once(&customer) else {
            return Err(format!("nothing says where the customer goes: `{customer}` is missing"));
        };
        if behind.contains(&customer) {
            return Err(format!("`{customer}` stands here twice"));
        }
        if !before.starts_with('/') || !before.ends_with('/') || !(behind.is_empty() || behind.starts_with('/')) {
            return Err(format!("`{customer}` is a whole segment of a path, as in /customers/{customer}/orders"));
        }
        if has_rest && behind.ends_with('/') {
            return Err("`{rest}` begins with its slash: none stands before it".to_owned());
        }
        if [before, behind].iter().any(|text| text.contains(['{', '}'])) {
            return Err(format!("only `{customer}`, and `{{rest}}` at the end, stand in braces"));
        }
        Ok(Self { before: before.to_owned(), behind: behind.to_owned(), has_rest })
    }

    /// The path for this customer, which is encoded already.
    pub fn filled(&self, customer: &str, rest: &str) -> String {
        [&*self.before, customer, &*self.behind, if self.has_rest { rest } else { "" }].concat()
    }

    /// The caller's name of the customer in a path, and the rest with its slash; `None` where the path is another.
    /// `is_same` compares segments, the second of which is the template's.
    pub fn parts<'p>(&self, path: &'p str, is_same: impl Fn(&str, &str) -> bool) -> Option<(&'p str, &'p str)> {
        let (customer, rest) = behind(path, self.before.trim_end_matches('/'), &is_same)?.strip_prefix('/').map(cut)?;
        let rest = behind(rest, &self.behind, &is_same)?;
        (!customer.is_empty() && (self.has_rest || rest.is_empty())).then_some((customer, rest))
    }
}

/// The path behind these whole segments.
pub fn behind<'p>(path: &'p str, segments: &str, is_same: impl Fn(&str, &str) -> bool) -> Option<&'p str> {
    let mut rest = path;
    for segment in segments.split('/').skip(1) {
        let (found, behind) = cut(rest.strip_prefix('/')?);
        if !is_same(found, segment) {
            return None;
        }
        rest = behind;
    }
    Some(rest)
}

/// The first segment, and all behind it.
fn cut(path: &str) -> (&str, &str) {
    path.split_at(path.find('/').unwrap_or(path.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn template(text: &str) -> PathTemplate {
        PathTemplate::parse(text, "id").unwrap()
    }

    #[test]
    fn the_customer_is_one_whole_segment() {
        assert_eq!(template("/v1/c/{id}/profile{rest}").filled("x", "/a/b"), "/v1/c/x/profile/a/b");
        assert_eq!(template("/{id}").filled("x", "/a"), "/x");
        assert_eq!(template("/c/{id}{rest}").filled("x", ""), "/c/x");
        for bad in [
            "",
            "/c",
            "/c/{customer}",
            "{id}",
            "c/{id}",
            "/c{id}",
            "/c/{id}.json",
            "/{id}/{id}",
            "/{id}/{rest}",
            "/{rest}/{id}",
            "/{id}/{x}",
            "/{id}/{rest}/y",
        ] {
            assert!(PathTemplate::parse(bad, "id").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_taken_apart_at_whole_segments() {
        let same = |one: &str, other: &str| one == other;
        let found = |text, path| template(text).parts(path, same);
        assert_eq!(found("/customers/{id}{rest}", "/customers/x/orders/1"), Some(("x", "/orders/1")));
        assert_eq!(found("/customers/{id}{rest}", "/customers/x"), Some(("x", "")));
        assert_eq!(found("/customers/{id}/orders{rest}", "/customers/x/orders/"), Some(("x", "/")));
        assert_eq!(found("/{id}/orders", "/x/orders"), Some(("x", "")));
        for (text, path) in [
            ("/customers/{id}{rest}", "/customers/"),
            ("/customers/{id}{rest}", "/customers//orders"),
            ("/customers/{id}{rest}", "/customersx/y"),
            ("/customers/{id}", "/customers/x/"),
            ("/customers/{id}/orders{rest}", "/customers/x/ordersx"),
        ] {
            assert_eq!(found(text, path), None, "{text} {path}");
        }
        assert_eq!(behind("/profile/a", "/profile", same), Some("/a"));
        assert_eq!(behind("/profilex", "/profile", same), None);
        assert_eq!(behind("/a", "", same), Some("/a"));
    }
}
