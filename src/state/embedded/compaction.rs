//! Compaction: live records are copied into a new file beside, in slices between the writes, which then replaces the
//! old one in a single step. Whenever the process dies, one of the two stands there, with everything acknowledged.

use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::file::{begin_file, beside, sync_directory};
use super::redb_guard::guarded;
use super::table::TABLE;
use crate::state::change::Change;
use redb::{Database, ReadableDatabase as _};

/// Bytes that one step copies, about: a write waits for at most one step.
const STEP: usize = 256 * 1_024;
/// Smallest file that is compacted, in bytes.
const SMALL: u64 = 8 << 20;

/// Returns whether a file of `file` bytes with `live` bytes of records is worth compacting. A new file is up to about
/// three times as large as its records.
pub(super) fn is_worth_it(file: u64, live: u64) -> bool {
    file > SMALL && file / 6 > live
}

/// A compaction under way.
pub(super) struct Compaction {
    new: Database,
    path: PathBuf,
    /// Last copied key.
    copied: Option<Vec<u8>>,
    /// Later changes of records that were copied already.
    missed: Vec<Change>,
}

impl Compaction {
    /// Begins to compact the file at this path.
    pub(super) fn begin(path: &Path) -> Result<Self, redb::Error> {
        let beside = beside(path);
        Ok(Self { new: begin_file(&beside)?, path: beside, copied: None, missed: Vec::new() })
    }

    /// Notes changes of the old file.
    pub(super) fn changed(&mut self, changes: &[Change]) {
        let Some(copied) = &self.copied else { return };
        self.missed.extend(changes.iter().filter(|change| change.key() <= &copied[..]).cloned());
    }

    /// Copies one more slice, onto the disk; returns whether it was the last.
    pub(super) fn step(&mut self, old: &Database) -> Result<bool, redb::Error> {
        let transaction = self.new.begin_write()?;
        let mut is_all = true;
        {
            let mut table = transaction.open_table(TABLE)?;
            for change in self.missed.drain(..) {
                match change {
                    Change::Put(key, value) => drop(table.insert(&key[..], &value[..])?),
                    Change::Delete(key) => drop(table.remove(&key[..])?),
                }
            }
            let old = old.begin_read()?.open_table(TABLE)?;
            let from = self.copied.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut bytes = 0;
            let mut last = None;
            for entry in old.range::<&[u8]>((from, Bound::Unbounded))? {
                if bytes >= STEP {
                    is_all = false;
                    break;
                }
                let (key, value) = entry?;
                table.insert(key.value(), value.value())?;
                bytes += key.value().len() + value.value().len();
                last = Some(key.value().to_vec());
            }
            self.copied = last.or_else(|| self.copied.take());
        }
        transaction.commit()?;
        Ok(is_all)
    }

    /// Replaces the old file by the new one.
    ///
    /// # Errors
    /// `Some`: the old file still stands. `None`: it is unknown which one does.
    pub(super) fn take_place(self, path: &Path) -> Result<Database, Option<Self>> {
        // The lock stays with the open file, whatever its name.
        if fs::rename(&self.path, path).is_err() {
            return Err(Some(self));
        }
        if sync_directory(path).is_err() {
            return Err(None);
        }
        Ok(self.new)
    }

    /// Gives the compaction up: the old file stays.
    pub(super) fn abandon(self) {
        let Self { new, path, .. } = self;
        let _ = guarded(|| drop(new));
        let _ = fs::remove_file(path);
    }
}
