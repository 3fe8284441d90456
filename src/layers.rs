//! Holds the modules to the table in `lib.rs`: dependencies point strictly down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The rows of the table: module to row.
fn rows() -> HashMap<String, u32> {
    let mut rows = HashMap::new();
    for line in include_str!("lib.rs").lines().filter(|line| line.starts_with("//! | ")) {
        let mut cells = line.split('|').map(str::trim);
        let Some(Ok(row)) = cells.nth(1).map(str::parse) else { continue };
        let modules = cells.next().unwrap_or_default();
        for module in modules.split(['[', ']']).filter_map(|name| name.strip_prefix('`')?.strip_suffix('`')) {
            rows.insert(module.to_owned(), row);
        }
    }
    rows
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).expect("the sources are there").map(|entry| entry.expect("an entry").path());
    let nested = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The modules that a line names by `crate::`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, prefix)| {
        let rest = &line[at + prefix.len()..];
        &rest[..rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len())]
    })
}

#[test]
fn dependencies_point_strictly_down() {
    let rows = rows();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).expect("below the root").with_extension("");
        let module = inside.iter().next().expect("a name").to_string_lossy().into_owned();
        if matches!(module.as_str(), "main" | "lib" | "layers") {
            continue;
        }
        let own = *rows.get(&module).unwrap_or_else(|| panic!("`{module}` is not in the table of lib.rs"));
        let text = std::fs::read_to_string(&path).expect("readable");
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for other in named(line).filter(|other| *other != module) {
                let Some(row) = rows.get(other) else {
                    panic!("{}: `{other}` is not in the table of lib.rs", path.display())
                };
                assert!(*row < own, "{}: {module} (row {own}) names {other} (row {row}): {line}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} uses were seen: does this test still read the sources?");
}
