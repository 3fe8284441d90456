//! Changes the items of one list in a YAML file, and nothing else of it: comments and order stay.

use anyhow::{Context as _, bail};

use crate::config::raw::Raw;
use crate::config::{self, Config};
use crate::secret::replace_keeping;

/// A list of texts as it should be.
pub(super) struct List {
    /// Where it stands, such as `clients[0].secrets`.
    pub(super) at: String,
    /// What stands in it.
    pub(super) items: Vec<String>,
}

/// Writes the items in the place of those that are there. `apply` does the same to what was read; unless the new file
/// reads just like that, the old one stays.
pub(super) fn replace_items(config: &Config, list: &List, apply: impl Fn(&mut Raw, Vec<String>)) -> anyhow::Result<()> {
    let by_hand = || {
        let lines: Vec<String> = list.items.iter().map(|item| format!("  - \"{item}\"")).collect();
        format!(
            "{} cannot be changed at `{}`; write there yourself:\n{}",
            config.file().display(),
            list.at,
            lines.join("\n")
        )
    };
    let text = replaced(config, list).with_context(by_hand)?;
    let mut expected = config.raw().clone();
    apply(&mut expected, list.items.clone());
    if !config.reads_as(&text, &expected) {
        bail!(by_hand());
    }
    let file = std::fs::canonicalize(config.file()).with_context(by_hand)?;
    replace_keeping(&file, text.as_bytes()).with_context(by_hand)
}

/// The whole text with the new items.
fn replaced(config: &Config, list: &List) -> Option<String> {
    let text = config.text();
    let (first, _) = config.written_at(&format!("{}[0]", list.at));
    let mut last = first.clone();
    for number in 1.. {
        let (next, _) = config.written_at(&format!("{}[{number}]", list.at));
        // Beyond the end of a list the place is that of the list.
        if next.start <= last.start {
            break;
        }
        last = next;
    }
    let line_start = text.get(..first.start)?.rfind('\n').map_or(0, |at| at + 1);
    let before = text.get(line_start..first.start)?;
    let between = if before.trim() == "-" { format!("\n{before}") } else { ", ".to_owned() };
    let items: Vec<String> = list.items.iter().map(|item| format!("\"{item}\"")).collect();
    Some([text.get(..first.start)?, &items.join(&between), text.get(last.end..)?].concat())
}

impl Config {
    /// Whether this text, in the place of the file's, would say exactly this.
    fn reads_as(&self, text: &str, expected: &Raw) -> bool {
        let read = config::parse_like(self, text);
        read.is_some_and(|raw| format!("{raw:?}") == format!("{expected:?}"))
    }
}
