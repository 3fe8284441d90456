//! A smaller file: what is kept is copied into a new one beside, in slices between the writes, and takes the place of the old
//! one in a single step. Whenever the process dies, one of them stands there, with all that was acknowledged.

use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::file::{begin_file, beside, sync_directory};
use super::redb_guard::guarded;
use super::table::TABLE;
use crate::state::change::Change;
use redb::{Database, ReadableDatabase as _};

/// How many bytes one step copies, about: a write waits for one step.
const STEP: usize = 256 * 1_024;
/// A file that is smaller is left alone, in bytes.
const SMALL: u64 = 8 << 20;

/// Whether so large a file of so little is worth copying. A new file is up to about three times as large as what is in it.
pub(super) fn is_worth_it(file: u64, live: u64) -> bool {
    file > SMALL && file / 6 > live
}

/// A copy under way.
pub(super) struct Rewrite {
    new: Database,
    path: PathBuf,
    /// The last key that was copied; none yet.
    copied: Option<Vec<u8>>,
    /// What has changed meanwhile of that which was copied already.
    missed: Vec<Change>,
}

impl Rewrite {
    /// Begins a copy of the file at this path.
    pub(super) fn begin(path: &Path) -> Result<Self, redb::Error> {
        let beside = beside(path);
        Ok(Self { new: begin_file(&beside)?, path: beside, copied: None, missed: Vec::new() })
    }

    /// The old file has been changed.
    pub(super) fn changed(&mut self, changes: &[Change]) {
        let Some(copied) = &self.copied else { return };
        self.missed.extend(changes.iter().filter(|change| change.key() <= &copied[..]).cloned());
    }

    /// Copies some more, onto the disk; whether that was all.
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

    /// Puts the new file in the place of the old one.
    ///
    /// # Errors
    /// The new file, where the old one still stands; nothing where nobody knows which one does.
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

    /// Ends the copy: the old file stays.
    pub(super) fn abandon(self) {
        let Self { new, path, .. } = self;
        let _ = guarded(|| drop(new));
        let _ = fs::remove_file(path);
    }
}
