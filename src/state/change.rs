//! A change of one stored record, as bytes: the codec makes it, the file of this process takes it.

/// A change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The record with this key has this value from now on.
    Put(Vec<u8>, Vec<u8>),
    /// The record with this key is deleted.
    Delete(Vec<u8>),
}

impl Change {
    /// The key of the record.
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// The fate of a record that was read at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Live,
    /// It is deleted from the file, when there is time.
    Dead,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is of a kind that only a later version knows: this one.
    Later(String),
    /// It is not what was written.
    Damaged(String),
}
