//! Regular expressions of whole values: linear in the value, bounded in memory, and comparable with each other.

pub mod overlap;

use regex::{Regex, RegexBuilder};

/// The most memory that an expression may take when it is compiled, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The expression that matches whole values only; with `ignores_case` in any letter case.
///
/// # Errors
/// The fault of the text, as the regex crate tells it.
pub fn whole(text: &str, ignores_case: bool) -> Result<Regex, String> {
    let build = |text: &str| {
        let built = RegexBuilder::new(text).case_insensitive(ignores_case).size_limit(LARGEST).build();
        built.map_err(|fault| fault.to_string())
    };
    // Alone first: parentheses in it must not reach beyond it.
    build(text)?;
    build(&anchored(text))
}

fn anchored(text: &str) -> String {
    format!(r"\A(?:{text})\z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_of_the_whole_value() {
        let pattern = whole("/v[0-9]+|/w", false).unwrap();
        for (value, matches) in
            [("/v1", true), ("/w", true), ("/v1/", false), ("x/v1", false), ("/v1\n", false), ("/V1", false)]
        {
            assert_eq!(pattern.is_match(value), matches, "{value:?}");
        }
        assert!(whole("/v[0-9]+", true).unwrap().is_match("/V1"));
        // Whatever flags it sets.
        assert!(!whole("(?m)^/a$", false).unwrap().is_match("/a\n/b"));
    }

    #[test]
    fn what_is_unbalanced_or_too_large_is_refused() {
        for text in ["/a)|(/b", "/[", r"(\w{500}){500}"] {
            assert!(whole(text, false).is_err(), "{text}");
        }
    }
}
