//! Edit of one list in a YAML file: comments, order and all other text stay.

use std::io;

use crate::config::raw::Raw;
use crate::config::{self, Config};
use crate::secret::{ReplaceFault, replace_keeping};
use anyhow::{Context as _, bail};

/// A list of texts as it should be.
pub(super) struct YamlList {
    /// The key of the list, such as `clients[0].secrets`.
    pub(super) at: String,
    /// Its items.
    pub(super) items: Vec<String>,
}

/// Writes the items in the place of those that are there. `apply` does the same to what was read; unless the new file
/// reads just like that, the old one stays.
pub(super) fn replace_items(
    config: &Config,
    list: &YamlList,
    apply: impl Fn(&mut Raw, Vec<String>),
) -> anyhow::Result<()> {
    let by_hand = |cause: &str| {
        let lines: Vec<String> = list.items.iter().map(|item| format!("  - \"{item}\"")).collect();
        format!(
            "{file} has not been changed: {cause}.\nTo make the change yourself, write this list at `{at}` of {file}:\n{}",
            lines.join("\n"),
            file = config.file().display(),
            at = list.at,
        )
    };
    let hard_to_change = "the list is written in a way that this command cannot change";
    let text = replaced(config, list).with_context(|| by_hand(hard_to_change))?;
    let mut expected = config.raw().clone();
    apply(&mut expected, list.items.clone());
    if !config.reads_as(&text, &expected) {
        bail!(by_hand(hard_to_change));
    }
    let file = std::fs::canonicalize(config.file()).map_err(ReplaceFault::from);
    let written = file.and_then(|file| replace_keeping(&file, text.as_bytes()));
    written.map_err(|fault| anyhow::anyhow!(by_hand(&unwritable(&fault))))
}

/// The reason why a file cannot be changed, and the remedy.
pub(super) fn unwritable(fault: &ReplaceFault) -> String {
    let error = match fault {
        ReplaceFault::Owner { uid, gid, .. } => {
            return format!("{fault}; run it as root, or as user {uid} with group {gid} among its groups");
        }
        ReplaceFault::Io(error) => error,
    };
    let help = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system is read-only here; change the file where it comes from, such as a ConfigMap or an image"
        }
        io::ErrorKind::ResourceBusy => {
            "it is mounted as a single file, which cannot be replaced; change it where it is mounted from"
        }
        io::ErrorKind::PermissionDenied => {
            "run it as the owner of the file, who must also be able to write in its directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its file system, and run it again",
        _ => return error.to_string(),
    };
    format!("{error}: {help}")
}

/// The whole text with the new items.
fn replaced(config: &Config, list: &YamlList) -> Option<String> {
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
    /// Returns whether this text in the place of the file's would have exactly this meaning.
    fn reads_as(&self, text: &str, expected: &Raw) -> bool {
        let read = config::parse_like(self, text);
        read.is_some_and(|raw| format!("{raw:?}") == format!("{expected:?}"))
    }
}
