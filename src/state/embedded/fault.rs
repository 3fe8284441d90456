//! Faults of the file of the state.

use std::io;
use std::path::Path;

use crate::state::change::Unreadable;

/// The file cannot be used; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// Another process has it open.
    #[error("{0} is in use by another process: stop that one first, or give this one another `state.embedded.path`")]
    Locked(String),
    /// It is damaged.
    #[error(
        "{0} is damaged ({1}): restore a backup with `wicketgate state restore`, or move it away to begin without any login and revocation"
    )]
    Damaged(String, String),
    /// A later version of wicketgate wrote it, or some of it.
    #[error("{0} was written by a later version of wicketgate ({1}): run that version, or move the file away")]
    Later(String, String),
    /// The directory or file cannot be opened.
    #[error("cannot open {0}: {1}; let the user that runs wicketgate write there, or change `state.embedded.path`")]
    Unusable(String, String),
    /// The disk is full.
    #[error("cannot write {0}: {1}; make room there, or change `state.embedded.path`")]
    Full(String, String),
}

impl OpenFault {
    /// The fault for an I/O or redb error at this path.
    pub(super) fn of(path: &Path, error: &redb::Error) -> Self {
        let (path, said) = (path.display().to_string(), error.to_string());
        if is_full(error) { Self::Full(path, said) } else { Self::Unusable(path, said) }
    }

    /// The file at this path holds a record that cannot be read.
    pub(super) fn unreadable(path: &Path, fault: Unreadable) -> Self {
        let path = path.display().to_string();
        match fault {
            Unreadable::Later(kind) => Self::Later(path, kind),
            Unreadable::Damaged(fault) => Self::Damaged(path, fault),
        }
    }
}

/// Returns whether the disk is full. After any other error, what is on the disk is unknown: fsync(2) reports a failure
/// only once.
pub(super) fn is_full(error: &redb::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, redb::Error::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}
