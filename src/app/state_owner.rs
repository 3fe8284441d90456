//! The note beside the state that names the process that has it.

use std::path::PathBuf;

use super::startup_check;
use crate::config::{Config, Problems};
use crate::server::upgrade::lock_owner::Owner;
use crate::state::OpenFault;

/// The note beside the state that says which process has it.
#[derive(Clone)]
pub(super) struct StateOwner {
    pub(super) owner: Owner,
    /// `None` where no file is locked.
    pub(super) directory: Option<PathBuf>,
}

impl StateOwner {
    pub(super) fn note(&self) {
        let Some(directory) = &self.directory else { return };
        if let Err(error) = self.owner.write(directory) {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "cannot write the owner of the state: will retry");
        }
    }

    /// Writes it where it could not be written before, or has been changed.
    pub(super) fn keep(&self) {
        self.directory.iter().for_each(|directory| drop(self.owner.keep(directory)));
    }

    pub(super) fn forget(&self) {
        self.directory.iter().for_each(|directory| Owner::remove(directory));
    }

    /// Adds the process that holds the state, where that is why it cannot be opened.
    pub(super) fn explain(&self, config: &Config, fault: OpenFault) -> anyhow::Error {
        let is_locked = matches!(fault, OpenFault::Locked(_));
        let other = self.directory.as_deref().filter(|_| is_locked).and_then(Owner::read);
        let error = anyhow::Error::new(Problems::from(startup_check::no_state(config, &fault)));
        match other {
            Some(other) => error.context(format!("{other} has the state, and goes on as before")),
            None => error,
        }
    }
}
