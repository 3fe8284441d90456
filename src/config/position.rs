//! Lines of gateway.yaml by JSON pointer, in which an entry of a list may go by its name.

use super::Config;
use super::diagnostic::Mark;
use super::renamed;
use super::tree::{Entry, Node, Value};

/// Members by which an entry of a list is known.
const NAMES: [&str; 3] = ["name", "id", "issuer"];

impl Config {
    /// The line of what stands at this pointer, or of its nearest parent that is written; `None` where not even its first
    /// step is. A step within a list is a `name`, an `id`, an `issuer`, or a number.
    pub fn line_of(&self, pointer: &str) -> Option<u32> {
        let (mut node, mut mark): (&Node, Option<Mark>) = (&self.tree, None);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Map(entries) => of_map(entries, &step).map(|entry| (&entry.value, entry.mark())),
                Value::List(items) => of_list(items, &step).map(|item| (item, item.at)),
                _ => None,
            };
            let Some((found, at)) = next else { break };
            (node, mark) = (found, Some(at));
        }
        mark.and_then(|mark| u32::try_from(mark.line).ok())
    }
}

fn of_map<'a>(entries: &'a [Entry], step: &str) -> Option<&'a Entry> {
    let named = |name: &str| entries.iter().find(|entry| entry.name() == name);
    let earlier =
        || renamed::KEYS.iter().filter(|(_, present)| *present == step).find_map(|(earlier, _)| named(earlier));
    named(step).or_else(earlier)
}

fn of_list<'a>(items: &'a [Node], step: &str) -> Option<&'a Node> {
    let is_text = |node: &Node| matches!(&node.value, Value::Text(text) if text == step);
    let is_named = |item: &&Node| {
        let Value::Map(entries) = &item.value else { return false };
        let named = entries.iter().filter(|entry| NAMES.contains(&entry.name()));
        named.map(|entry| &entry.value).any(|name| match &name.value {
            Value::List(spellings) => spellings.iter().any(is_text),
            _ => is_text(name),
        })
    };
    items.iter().find(is_named).or_else(|| items.get(step.parse::<usize>().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use std::path::Path;

    use crate::config;

    #[test]
    fn a_line_is_found_by_names_and_else_by_numbers() {
        let text = "listen:\n  - address: 127.0.0.1:0\nroutes:\n  - name: one\n    path: /\n    public: true\n    methods: [GET]\n    \
                    backend: b\n  - name: a/b\n    path: /x/\n    public: true\n    methods: [GET]\n    backend: b\n\
                    backends:\n  b:\n    servers: [http://127.0.0.1:1]\n";
        let (config, _) = config::parse(text, Path::new("gateway.yaml")).unwrap();
        for (pointer, line) in [
            ("/routes/one", Some(4)),
            ("/routes/a~1b/methods", Some(12)),
            ("/routes/1/path", Some(10)),
            ("/routes/one/scopes", Some(4)),
            ("/routes/nobody/scopes", Some(3)),
            ("/backends/b", Some(15)),
            ("/listen/0/allow", Some(2)),
            ("/login/cookie", None),
        ] {
            assert_eq!(config.line_of(pointer), line, "{pointer}");
        }
    }
}
