//! htpasswd files, as Apache and nginx have them: `name:hash` lines, and comments after `#`.

/// A line; either half may be empty, which is a fault of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    pub(super) name: &'t str,
    pub(super) hash: &'t str,
}

/// The lines with their numbers, from 1; `None` where this is no such file: what stands in its first line is YAML or JSON.
pub(super) fn lines(text: &str) -> Option<impl Iterator<Item = (usize, Line<'_>)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let written = || {
        let lines = text.lines().map(str::trim).zip(1..);
        lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
    };
    let (first, _) = written().next()?;
    let is_yaml = first == "-" || ["- ", "---", "[", "{", "%", "\"", "'"].iter().any(|start| first.starts_with(start));
    // After the colon of a YAML key there is a space, or nothing.
    let is_line = first.split_once(':').is_some_and(|(_, hash)| !hash.is_empty() && !hash.starts_with([' ', '\t']));
    (is_line && !is_yaml).then(|| {
        written().map(|(line, number)| {
            // Apache lets a third field follow.
            let (name, rest) = line.split_once(':').unwrap_or((line, ""));
            let hash = rest.split(':').next().unwrap_or_default();
            (number, Line { name, hash })
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_name_and_a_hash_and_comments_are_none() {
        let text = "# staff\r\n\r\nalice:$2y$05$x\r\n  bob smith:{SHA}x=:comment\n#carol:x\ndave\nerin:";
        let read: Vec<_> = lines(text).unwrap().collect();
        let line = |number, name, hash| (number, Line { name, hash });
        assert_eq!(
            read,
            [line(3, "alice", "$2y$05$x"), line(4, "bob smith", "{SHA}x="), line(6, "dave", ""), line(7, "erin", "")]
        );
        assert_eq!(lines("\u{feff}alice:x").unwrap().count(), 1);
    }

    #[test]
    fn yaml_and_json_are_no_such_file() {
        for text in [
            "",
            "# nothing",
            "[]",
            "- {username: a, password: \"$2y$05$x:y\"}",
            "-\n  username: x",
            "---\n- x",
            "[{\"username\":\"a\"}]",
            "{\"a\":1}",
            "accounts:\n  - username: a",
            "username: alice:x",
            "just text",
        ] {
            assert!(lines(text).is_none(), "{text}");
        }
    }
}
