//! A file that is one list of gateway.yaml: read and checked as the list there is.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::diagnostic::{ConfigText, Mark, shown};
use super::raw::Raw;
use super::tree::{self, Entry, Node, Value};
use super::{Config, Problems, files, schema, structure};

/// A list that may stand in a file of its own.
pub(super) struct ListFile {
    /// The key that names the file, such as `api_keys_file`.
    pub(super) key: &'static str,
    /// The key of the list, such as `api_keys`.
    pub(super) list: &'static str,
    /// Puts the list into a configuration that has no other.
    pub(super) fill: fn(&mut Raw, Json),
    /// What does not make sense in the list.
    pub(super) check: fn(&Config) -> Problems,
}

impl ListFile {
    /// The list as a configuration that has only it, so that problems name that file and its lines.
    ///
    /// # Errors
    /// A problem of the key where the file cannot be read, or all that is wrong in it.
    pub(super) fn read(&self, config: &Config, file: &Path) -> Result<Config, Problems> {
        let path = config.resolve(file);
        config.note_read(&path);
        let named = |(fault, help)| (format!("cannot read {}: {fault}", shown(&path.to_string_lossy())), help);
        let read = config.locate(file).map_err(named).and_then(|path| files::read_limited(&path, tree::MAX_BYTES));
        let (text, unreadable) = match read.map(String::from_utf8) {
            Ok(Ok(text)) => (text, None),
            Ok(Err(_)) => {
                let message = format!("{} is not UTF-8", path.display());
                (String::new(), Some((message, "save it as UTF-8".to_owned())))
            }
            Err(fault) => (String::new(), Some(fault)),
        };
        if let Some((message, help)) = unreadable {
            return Err(config.problem(self.key, message, help).into());
        }
        self.parse(config, &text, path)
    }

    /// The same from text, as of the file at `path`.
    ///
    /// # Errors
    /// All that is wrong in it.
    pub(super) fn parse(&self, config: &Config, text: &str, path: PathBuf) -> Result<Config, Problems> {
        let source = ConfigText::new(text, &path);
        let mut problems = Problems::new();
        let list = tree::read(&source, &mut problems)?;
        if matches!(list.value, Value::Null) {
            let help = "write `[]` where the list has no entry";
            return Err(source.problem(self.list, list.at, "there is no value: the file is empty", help).into());
        }
        let name = Node { at: Mark::START, value: Value::Text(self.list.to_owned()) };
        let root = Node { at: Mark::START, value: Value::Map(vec![Entry { key: name, value: list }]) };
        let checked = structure::check_only(&root, &schema::only(self.list), &source, &mut problems);
        let mut raw = config.raw.clone();
        (self.fill)(&mut raw, checked.value[self.list].clone());
        let read = Config {
            raw,
            file: path,
            directory: config.directory.clone(),
            tree: root,
            source,
            replaced: checked.replaced,
            files_read: Default::default(),
            private_read: Default::default(),
            of_api_keys_file: Default::default(),
            joined: None,
        };
        problems.extend(read.about_real_values((self.check)(&read)));
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }
}
