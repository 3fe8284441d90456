//! API keys in a file of their own: a list, read and checked as the one in gateway.yaml is.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::diagnostic::{ConfigText, Mark, shown};
use super::raw::{ApiKey, Raw};
use super::tree::{self, Entry, Node, Value};
use super::{Config, Problems, check, files, schema, structure};

impl Config {
    /// The API keys of a file, as a configuration that has only them, so that problems name that file and its lines.
    ///
    /// # Errors
    /// A problem of the key `api_keys_file` where it cannot be read, or all that is wrong in it.
    pub fn read_api_keys(&self, file: &Path) -> Result<Config, Problems> {
        let path = self.resolve(file);
        self.note_read(&path);
        let named = |(fault, help)| (format!("cannot read {}: {fault}", shown(&path.to_string_lossy())), help);
        let read = self.locate(file).map_err(named).and_then(|path| files::read_limited(&path, tree::MAX_BYTES));
        let (text, unreadable) = match read.map(String::from_utf8) {
            Ok(Ok(text)) => (text, None),
            Ok(Err(_)) => {
                let message = format!("{} is not UTF-8", path.display());
                (String::new(), Some((message, "save it as UTF-8".to_owned())))
            }
            Err(fault) => (String::new(), Some(fault)),
        };
        if let Some((message, help)) = unreadable {
            return Err(self.problem("api_keys_file", message, help).into());
        }
        self.parse_api_keys_of(&text, path)
    }

    /// Returns whether this is such a file.
    pub(super) fn is_api_keys_file(&self) -> bool {
        self.raw.api_keys_file.as_ref().is_some_and(|file| self.resolve(file) == self.file)
    }

    /// Another text in the place of such a file's own.
    pub(super) fn parse_api_keys(&self, text: &str) -> Result<Config, Problems> {
        self.parse_api_keys_of(text, self.file.clone())
    }

    fn parse_api_keys_of(&self, text: &str, path: PathBuf) -> Result<Config, Problems> {
        let source = ConfigText::new(text, &path);
        let mut problems = Problems::new();
        let list = tree::read(&source, &mut problems)?;
        let name = Node { at: Mark::START, value: Value::Text("api_keys".to_owned()) };
        let root = Node { at: Mark::START, value: Value::Map(vec![Entry { key: name, value: list }]) };
        let checked = structure::check_only(&root, &schema::only("api_keys"), &source, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let keys: Vec<ApiKey> = serde_json::from_value(checked.value["api_keys"].clone()).unwrap_or_default();
        let config = Config {
            raw: Raw { api_keys: keys, ..self.raw.clone() },
            file: path,
            directory: self.directory.clone(),
            tree: root,
            source,
            replaced: structure::Replaced::default(),
            files_read: Default::default(),
            private_read: Default::default(),
            of_api_keys_file: Default::default(),
        };
        let problems = check::check_api_keys(&config);
        if !problems.is_empty() {
            return Err(problems);
        }
        let warnings = check::unreachable_api_keys(&config);
        *self.of_api_keys_file.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
        Ok(config)
    }
}
