//! Pages of docs/ that name the test of a statement: each test that they name exists.

use std::path::Path;
use std::sync::LazyLock;

const ASAPP: &str = include_str!("../../docs/asapp.md");
const HAZARDS: &str = include_str!("../../docs/hazards.md");
const LEGACY_BACKENDS: &str = include_str!("../../docs/legacy-backends.md");
const RELIABILITY: &str = include_str!("../../docs/reliability.md");

/// Path from the root of the repository, and text, of each Rust file of the program and its tests.
static SOURCES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut directories = vec![root.join("src"), root.join("tests/gateway")];
    while let Some(directory) = directories.pop() {
        for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    files
});

/// Tests and files of tests that a piece of a page names: words with an underscore in backquotes, and paths. A
/// name that ends with an underscore is the beginning of one or more names.
pub(crate) fn cited_tests(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.filter(|word| {
        word.matches('_').count() > 1
            && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b':'))
    });
    let words = text.split(['`', ' ', ',', ';', '|', '(', ')', '\n']);
    let paths = words.filter(|word| word.starts_with("tests/gateway/") && word.ends_with(".rs"));
    names.chain(paths).collect()
}

/// Those of these names that no test and no file has.
pub(crate) fn missing_tests<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let exists = |name: &str| {
        if name.contains('/') {
            return SOURCES.iter().any(|(path, _)| path == name);
        }
        let name = name.rsplit("::").next().unwrap_or(name);
        let end = if name.ends_with('_') { "" } else { "(" };
        SOURCES.iter().any(|(_, text)| text.contains(&format!("fn {name}{end}")))
    };
    names.iter().copied().filter(|name| !exists(name)).collect()
}

/// The last columns of the rows of tables whose last column is headed by "test".
fn test_columns(page: &str) -> impl Iterator<Item = &str> {
    let last = |line: &'_ str| -> Option<usize> {
        Some(line.strip_prefix('|')?.trim_end().strip_suffix('|')?.rfind('|')? + 2)
    };
    let mut is_of_tests = false;
    page.lines().filter_map(move |line| {
        let Some(at) = last(line) else {
            is_of_tests = false;
            return None;
        };
        let column = line[at..].trim_end_matches('|').trim();
        if column == "test" {
            is_of_tests = true;
            return None;
        }
        (is_of_tests && !column.starts_with("---")).then_some(column)
    })
}

#[test]
fn every_test_that_a_page_names_exists() {
    for (page, text, least) in [
        ("asapp.md", ASAPP, 40),
        ("hazards.md", HAZARDS, 60),
        ("legacy-backends.md", LEGACY_BACKENDS, 60),
        ("reliability.md", RELIABILITY, 60),
    ] {
        let mut count = 0;
        // That of the row before, or one of nothing that the gateway does.
        for column in test_columns(text).filter(|column| !column.is_empty() && *column != "the same") {
            let names = cited_tests(column);
            assert!(!names.is_empty(), "docs/{page}: no test in {column:?}");
            let missing = missing_tests(&names);
            assert!(missing.is_empty(), "docs/{page} names tests that are not there: {missing:?}");
            count += 1;
        }
        assert!(count >= least, "docs/{page}: {count} rows with tests");
    }
}

#[test]
fn each_file_of_tests_has_its_topic_in_the_readme() {
    let page = include_str!("../README.md");
    let files = SOURCES.iter().filter_map(|(path, _)| path.strip_prefix("tests/gateway/"));
    let topics = files.filter(|path| !path.starts_with("harness/") && !path.contains("/h2spec/") && *path != "main.rs");
    let missing: Vec<&str> = topics.filter(|path| !page.contains(path)).collect();
    assert!(missing.is_empty(), "tests/README.md does not say what is in {missing:?}");
    let words = page.split([' ', '|', ',', '\n']).filter(|word| word.ends_with(".rs") && word.contains('/'));
    let gone: Vec<&str> =
        words.filter(|word| !Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway").join(word).exists()).collect();
    assert!(gone.is_empty(), "tests/README.md names files that are not there: {gone:?}");
}

#[test]
fn no_test_is_named_after_an_id_that_stands_nowhere() {
    let is_id = |word: &str| {
        word == "contract"
            || word.strip_prefix(|c: char| c.is_ascii_lowercase()).is_some_and(|digits| digits.parse::<u8>().is_ok())
    };
    for (path, text) in SOURCES.iter() {
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        let named: Vec<&str> =
            names.filter(|name| name.split('_').next().is_some_and(|word| is_id(word) && word != "h2")).collect();
        assert!(named.is_empty(), "{path}: {named:?}; a name is a sentence that says what holds");
    }
}
