//! API keys in a file of their own: a list, read and checked as the one in gateway.yaml is.

use std::path::Path;
use std::sync::PoisonError;

use super::list_file::ListFile;
use super::{Config, Problems, check};

const API_KEYS: ListFile = ListFile {
    key: "api_keys_file",
    list: "api_keys",
    fill: |raw, list| raw.api_keys = serde_json::from_value(list).unwrap_or_default(),
    check: check::check_api_keys,
};

impl Config {
    /// The API keys of a file, as a configuration that has only them, so that problems name that file and its lines.
    ///
    /// # Errors
    /// A problem of the key `api_keys_file` where it cannot be read, or all that is wrong in it.
    pub fn read_api_keys(&self, file: &Path) -> Result<Config, Problems> {
        let config = API_KEYS.read(self, file)?;
        let warnings = check::unreachable_api_keys(&config);
        *self.of_api_keys_file.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
        Ok(config)
    }

    /// Returns whether this is such a file.
    pub(super) fn is_api_keys_file(&self) -> bool {
        self.raw.api_keys_file.as_ref().is_some_and(|file| self.resolve(file) == self.file)
    }

    /// Another text in the place of such a file's own.
    pub(super) fn parse_api_keys(&self, text: &str) -> Result<Config, Problems> {
        API_KEYS.parse(self, text, self.file.clone())
    }
}
