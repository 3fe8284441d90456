//! Notes beside the state that outlive the process: last uses of keys, and who would be refused on routes that observe.
//! To lose them costs nothing but that knowledge.

use std::path::{Path, PathBuf};

use crate::gateway::Shared;
use crate::policy::Lasting;

/// The places of the notes.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    last_uses: PathBuf,
    observed: PathBuf,
}

impl Notes {
    /// In this directory.
    pub(super) fn at(directory: &Path) -> Self {
        Self { last_uses: directory.join("last-uses.json"), observed: directory.join("observed-refusals.json") }
    }

    /// Reads when keys were last used.
    pub(super) fn read_uses(&self, lasting: &Lasting) {
        lasting.uses.read(&self.last_uses);
    }

    /// Reads what was observed.
    pub(super) fn read_observed(&self, shared: &Shared) {
        shared.observed.read(&self.observed);
    }

    /// Writes all.
    pub(super) fn write(&self, shared: &Shared) {
        shared.lasting.uses.write(&self.last_uses);
        shared.observed.write(&self.observed, |route| shared.metrics.requests_of(route));
    }
}
