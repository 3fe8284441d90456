//! Last use of each version of each key: known across reloads, and across restarts by a file.

use std::path::Path;
use std::sync::Arc;

use dashmap::DashMap;
use serde_json::{Map, Value};

use crate::key_validity::LastUse;
use crate::private_file;
use crate::secret::write_private;

/// The last use of each version of each key.
#[derive(Debug, Default)]
pub struct Uses(DashMap<String, Arc<LastUse>>);

impl Uses {
    /// The record of the last use of this version of this key.
    pub(super) fn of(&self, kind: &str, id: &str, version: &str) -> Arc<LastUse> {
        Arc::clone(&self.0.entry(format!("{kind} {id} {version}")).or_default())
    }

    /// Forgets keys that no policy has any more. Before the first policy that would be all of them.
    pub(super) fn forget_gone(&self) {
        self.0.retain(|_, used| Arc::strong_count(used) > 1);
        self.0.shrink_to_fit();
    }

    /// Reads what an earlier run has noted; a file that is not there or not readable says nothing.
    pub fn read(&self, file: &Path) {
        let noted = match private_file::read(file, file.parent().unwrap_or(Path::new(""))) {
            Ok(text) => serde_json::from_slice::<Map<String, Value>>(&text).map_err(std::io::Error::from),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        if let Err(error) = &noted {
            tracing::warn!(file = %file.display(), %error, "cannot read the last uses of keys");
        }
        for (name, seconds) in noted.unwrap_or_default() {
            if let Some(seconds) = seconds.as_u64() {
                self.0.entry(name).or_default().note(seconds);
            }
        }
    }

    /// Writes what is noted, for a later run. To lose it costs nothing but that knowledge.
    pub fn write(&self, file: &Path) {
        let noted: Map<String, Value> =
            self.0.iter().filter_map(|entry| Some((entry.key().clone(), entry.value().seconds()?.into()))).collect();
        if let Err(error) = write_private(file, Value::Object(noted).to_string().as_bytes()) {
            tracing::warn!(file = %file.display(), %error, "cannot write the last uses of keys");
        }
    }
}
