//! Path templates of a document (`/orders/{id}`): which of them a path fits, the more literal ones first.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;

/// The templates of a document, as a tree of segments.
#[derive(Debug, Default)]
pub(super) struct TemplateTree {
    nodes: Vec<TreeNode>,
}

#[derive(Debug, Default)]
struct TreeNode {
    literal: HashMap<String, usize>,
    /// Segments with parameters, those with more text first.
    patterns: Vec<(Segment, usize)>,
    /// The template that ends here.
    template: Option<usize>,
}

/// A segment with parameters: texts around names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    texts: Vec<String>,
    names: Vec<String>,
}

/// A template that a path fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TemplateMatch<'a> {
    /// Its number.
    pub(super) template: usize,
    /// The values of its parameters, decoded.
    pub(super) values: Vec<(&'a str, String)>,
}

impl TemplateTree {
    /// Adds a template.
    ///
    /// # Errors
    /// The fault, in a sentence.
    pub(super) fn insert(&mut self, path: &str, template: usize) -> Result<(), String> {
        let Some(path) = path.strip_prefix('/') else { return Err("a path begins with /".to_owned()) };
        if self.nodes.is_empty() {
            self.nodes.push(TreeNode::default());
        }
        let mut node = 0;
        for text in path.split('/') {
            let segment = Segment::parse(text)?;
            let next = self.nodes.len();
            let at = &mut self.nodes[node];
            node = if segment.names.is_empty() {
                *at.literal.entry(decoded(text).into_owned()).or_insert(next)
            } else if let Some((_, known)) = at.patterns.iter().find(|(known, _)| *known == segment) {
                *known
            } else {
                at.patterns.push((segment, next));
                at.patterns.sort_by_key(|(segment, _)| {
                    std::cmp::Reverse(segment.texts.iter().map(String::len).sum::<usize>())
                });
                next
            };
            if node == next {
                self.nodes.push(TreeNode::default());
            }
        }
        // Two templates that differ in names alone are one to a caller.
        self.nodes[node].template.get_or_insert(template);
        Ok(())
    }

    /// The first template that a path fits and that `is_wanted`. No node is looked at twice.
    pub(super) fn find<'a>(&'a self, path: &str, is_wanted: &dyn Fn(usize) -> bool) -> Option<TemplateMatch<'a>> {
        let segments: Vec<Cow<'_, str>> = path.strip_prefix('/')?.split('/').map(decoded).collect();
        let mut values = Vec::new();
        let template = self.descend(0, &segments, &mut values, is_wanted)?;
        Some(TemplateMatch { template, values })
    }

    fn descend<'a>(
        &'a self,
        node: usize,
        segments: &[Cow<'_, str>],
        values: &mut Vec<(&'a str, String)>,
        is_wanted: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let node = self.nodes.get(node)?;
        let Some((segment, rest)) = segments.split_first() else {
            return node.template.filter(|template| is_wanted(*template));
        };
        let literal = node.literal.get(segment.as_ref());
        if let Some(found) = literal.and_then(|next| self.descend(*next, rest, values, is_wanted)) {
            return Some(found);
        }
        for (pattern, next) in &node.patterns {
            let length = values.len();
            if pattern.matches(segment, values)
                && let Some(found) = self.descend(*next, rest, values, is_wanted)
            {
                return Some(found);
            }
            values.truncate(length);
        }
        None
    }
}

/// A segment as it reads; bytes that are no UTF-8 fit no template but a parameter.
fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut texts, mut names) = (Vec::new(), Vec::new());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or_else(|| format!("`{text}` has a {{ without }}"))?;
            if name.is_empty() || name.contains('{') {
                return Err(format!("`{text}` has a parameter without a name"));
            }
            texts.push(decoded(before).into_owned());
            names.push(name.to_owned());
            rest = behind;
        }
        texts.push(decoded(rest).into_owned());
        Ok(Self { texts, names })
    }

    /// Adds the values of the parameters, none of which is empty; false where the segment does not fit.
    fn matches<'a>(&'a self, segment: &str, values: &mut Vec<(&'a str, String)>) -> bool {
        let Some((first, others)) = self.texts.split_first() else { return false };
        let Some(mut rest) = segment.strip_prefix(first.as_str()) else { return false };
        for (index, (name, text)) in self.names.iter().zip(others).enumerate() {
            let is_last = index + 1 == self.names.len();
            let end = match (is_last, text.is_empty()) {
                (true, _) => rest.strip_suffix(text.as_str()).map(str::len),
                // Two names without a text between them: the first takes one character.
                (false, true) => rest.chars().next().map(char::len_utf8),
                (false, false) => {
                    rest.char_indices().skip(1).map(|(at, _)| at).find(|at| rest[*at..].starts_with(text.as_str()))
                }
            };
            let Some(end) = end.filter(|end| *end > 0) else { return false };
            values.push((name, rest[..end].to_owned()));
            rest = rest.get(end + text.len()..).unwrap_or_default();
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_more_literal_template_is_found_first() {
        let mut tree = TemplateTree::default();
        let templates = ["/a/{id}", "/a/me", "/a/{id}/b", "/f/{name}.json", "/f/{name}", "/r/{from}-{to}", "/"];
        for (number, template) in templates.iter().enumerate() {
            tree.insert(template, number).unwrap();
        }
        let found = |path: &str| {
            tree.find(path, &|_| true).map(|found| {
                let values: Vec<String> =
                    found.values.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                (templates[found.template], values.join(" "))
            })
        };
        let is = |path: &str, template: &'static str, values: &str| {
            assert_eq!(found(path), Some((template, values.to_owned())), "{path}")
        };
        is("/a/me", "/a/me", "");
        is("/a/7", "/a/{id}", "id=7");
        is("/a/me/b", "/a/{id}/b", "id=me");
        is("/a/x%2Fy%2520", "/a/{id}", "id=x/y%20");
        is("/f/x.json", "/f/{name}.json", "name=x");
        is("/f/.json", "/f/{name}", "name=.json");
        is("/r/a-b-c", "/r/{from}-{to}", "from=a to=b-c");
        is("/", "/", "");
        assert_eq!(found("/a/"), None);
        assert_eq!(found("/a/1/"), None);
        assert_eq!(found("/r/-b"), None);
        let other = tree.find("/a/me", &|template| template != 1).unwrap();
        assert_eq!(templates[other.template], "/a/{id}");
        assert!(tree.insert("/a/{", 9).is_err() && tree.insert("/a/{}", 9).is_err() && tree.insert("a", 9).is_err());
    }
}
