//! Tests that hold the sources to the map in `lib.rs`: dependencies point down, siblings form no circle, one word names
//! one type, and no file is too long to read.

mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use source::{Path, Sources};

/// The longest file, in lines.
const LONGEST: usize = 450;

/// Names that several rooms share on purpose: the form of a key as it is written, and what becomes of it (raw -> checked
/// -> policy).
fn is_raw_form(path: &Path) -> bool {
    path.starts_with(&["config".to_owned(), "raw".to_owned()])
}

/// The rows of the tables in `lib.rs`: module path to row. Below a heading that names a folder stands the table of that
/// folder.
fn rows() -> HashMap<Path, u32> {
    let (mut rows, mut folder) = (HashMap::new(), Path::new());
    for line in include_str!("lib.rs").lines().filter_map(|line| line.strip_prefix("//! ")) {
        if let Some(heading) = line.strip_prefix("## Inside `") {
            folder = heading.trim_end_matches('`').split("::").map(str::to_owned).collect();
        } else if line.starts_with("# ") {
            folder.clear();
        }
        let Some(cells) = line.strip_prefix("| ") else { continue };
        let mut cells = cells.split('|').map(str::trim);
        let Some(Ok(row)) = cells.next().map(str::parse) else { continue };
        let names = cells.next().unwrap_or_default().split('`').skip(1).step_by(2);
        rows.extend(names.map(|name| ([&folder[..], &[name.to_owned()]].concat(), row)));
    }
    rows
}

/// The folders for which `lib.rs` has a table.
fn tables(rows: &HashMap<Path, u32>) -> BTreeSet<Path> {
    rows.keys().map(|path| path[..path.len() - 1].to_vec()).collect()
}

#[test]
fn dependencies_point_strictly_down() {
    let (sources, rows) = (Sources::read(), rows());
    let tables = tables(&rows);
    assert!(tables.len() > 1, "lib.rs has tables: of the crate, and of its large folders");
    let (mut seen, mut upward) = (0, Vec::new());
    for folder in &tables {
        let listed: BTreeSet<&Path> = rows.keys().filter(|path| path.starts_with(folder)).collect();
        for child in sources.children(folder) {
            assert!(listed.contains(&child), "{} is not in the table of lib.rs", child.join("::"));
        }
        for child in rows.keys().filter(|path| path.len() == folder.len() + 1 && path.starts_with(folder)) {
            assert!(sources.modules.contains_key(child), "lib.rs lists {}, which is not there", child.join("::"));
        }
        for (from, to, uses) in sources.arrows(folder) {
            seen += 1;
            if rows[&to] >= rows[&from] {
                let rows = [rows[&from], rows[&to]];
                upward.push(format!(
                    "{} (row {}) names {} (row {}): {uses:?}",
                    from.join("::"),
                    rows[0],
                    to.join("::"),
                    rows[1]
                ));
            }
        }
    }
    assert!(upward.is_empty(), "upward:\n{}", upward.join("\n"));
    assert!(seen > 50, "only {seen} arrows were seen: does this test still read the sources?");
}

#[test]
fn siblings_form_no_circle() {
    let sources = Sources::read();
    let folders: BTreeSet<Path> = sources.modules.keys().map(|path| path[..path.len() - 1].to_vec()).collect();
    let mut circles = Vec::new();
    for folder in folders {
        let mut arrows = sources.arrows(&folder);
        // Takes away whatever names nothing that is left, or is named by nothing that is left: the rest is in a circle.
        loop {
            let (from, to) = arrows.iter().map(|(from, to, _)| (from.clone(), to.clone())).unzip();
            let ends: [BTreeSet<Path>; 2] = [from, to];
            let before = arrows.len();
            arrows.retain(|(from, to, _)| ends[0].contains(to) && ends[1].contains(from));
            if arrows.len() == before {
                break;
            }
        }
        circles.extend(arrows.iter().map(|(from, to, uses)| {
            let some: Vec<_> = uses.iter().take(3).map(String::as_str).collect();
            format!("{} -> {}, by {}", from.join("::"), to.join("::"), some.join(", "))
        }));
    }
    assert!(circles.is_empty(), "siblings that name each other:\n{}", circles.join("\n"));
}

#[test]
fn one_word_names_one_type() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, module) in &Sources::read().modules {
        if !is_raw_form(path) {
            for name in &module.types {
                places.entry(name.clone()).or_default().insert(path.join("::"));
            }
        }
    }
    assert!(places.len() > 300, "only {} types were seen", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "names that several public types have: {places:#?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let lengths = Sources::read().modules.into_iter().map(|(path, module)| (module.lines, path.join("::")));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > LONGEST).collect();
    assert!(long.is_empty(), "files of more than {LONGEST} lines: {long:?}");
}
