//! Paths of routes as templates.

use serde_json::{Value, json};

use crate::config::raw::PathMatch;
use crate::pattern;

/// A path of the document, with its parameters.
#[derive(Debug, PartialEq)]
pub(super) struct PathPlace {
    pub(super) template: String,
    pub(super) parameters: Vec<Value>,
}

impl PathPlace {
    fn exact(path: &str) -> Self {
        Self { template: path.to_owned(), parameters: Vec::new() }
    }
}

/// The paths of a route; none for an expression that no template says.
pub(super) fn places(path: &PathMatch) -> Vec<PathPlace> {
    match path {
        PathMatch::Exact(path) => vec![PathPlace::exact(&path.exact)],
        PathMatch::Regex(path) => template(&path.regex).into_iter().collect(),
        PathMatch::Prefix(path) => {
            let told = "All that stands behind it; it may have slashes.";
            let below = PathPlace {
                template: format!("{}/{{path}}", path.trim_end_matches('/')),
                parameters: vec![parameter("path", told, &json!({"type": "string"}))],
            };
            let itself = PathPlace::exact(path);
            vec![itself, below]
        }
    }
}

fn parameter(name: &str, told: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": told, "schema": schema})
}

/// An expression of literal segments and of repeated classes such as `[0-9]+`, `[^/]+`, `\d+` and `[a-z]{2}`.
fn template(expression: &str) -> Option<PathPlace> {
    let (mut template, mut parameters) = (String::new(), Vec::new());
    let mut rest = expression.trim_start_matches('^').trim_end_matches('$');
    while let Some(first) = rest.chars().next() {
        let class = class_at(rest);
        if class > 0 {
            let (class, behind) = rest.split_at(class);
            // A class that has slashes is more than one segment.
            if pattern::whole(class, false).ok()?.is_match("/") {
                return None;
            }
            let name = format!("part{}", parameters.len() + 1);
            template.push_str(&format!("{{{name}}}"));
            parameters.push(parameter(&name, "", &json!({"type": "string", "pattern": format!("^{class}$")})));
            rest = behind;
        } else if first == '\\' {
            let literal = rest.chars().nth(1).filter(|next| !next.is_ascii_alphanumeric())?;
            template.push(literal);
            rest = &rest[1 + literal.len_utf8()..];
        } else if first.is_ascii_alphanumeric() || "/_-~!&=:@,;%".contains(first) {
            template.push(first);
            rest = &rest[first.len_utf8()..];
            if rest.starts_with(['*', '+', '?', '{']) {
                return None;
            }
        } else {
            return None;
        }
    }
    template.starts_with('/').then_some(PathPlace { template, parameters })
}

/// The length of the repeated class at the beginning; 0 where none stands there.
fn class_at(text: &str) -> usize {
    let class = match text.as_bytes() {
        [b'[', ..] => text[1..].find(']').map_or(0, |end| end + 2),
        [b'\\', b'd' | b'w', ..] => 2,
        _ => return 0,
    };
    // Classes within classes are rare, and not understood here.
    if text[1..class.max(1)].contains('[') {
        return 0;
    }
    let repeats = match text.as_bytes().get(class) {
        Some(b'+') => 1,
        Some(b'{') => text[class..].find('}').map_or(0, |end| end + 1),
        _ => 0,
    };
    let one = if text.starts_with('[') { class } else { 0 };
    if repeats > 0 { class + repeats } else { one.min(text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_expressions_become_templates() {
        let templated = |text: &str| template(text).map(|place| place.template);
        assert_eq!(templated("/v[0-9]+/orders/[0-9]+").as_deref(), Some("/v{part1}/orders/{part2}"));
        assert_eq!(templated(r"^/a\.b/\d+/[^/]+$").as_deref(), Some("/a.b/{part1}/{part2}"));
        assert_eq!(templated("/c/[a-z]{2}").as_deref(), Some("/c/{part1}"));
        for odd in ["/a|/b", "/a.*", "/(x|y)", "/a+", "/[^x]+", "/a?", "/[[:digit:]]+"] {
            assert_eq!(templated(odd), None, "{odd}");
        }
    }
}
