//! Replaces the file as a whole, as by a restored backup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::Database;

use super::fault::OpenFault;
use super::file::{FILE, begin_file, beside, open_existing, sync_directory};
use super::redb_guard::{guarded, read_guarded};
use super::table::commit;
use crate::state::change::Change;

/// Records restored per commit.
const RESTORED_AT_ONCE: usize = 10_000;

/// Receives records by key and value.
pub(in crate::state) type PutRecord<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), OpenFault> + 'a;

/// Replaces the file in this directory, which nobody may have open, by a new one with the records that `fill` puts.
/// Returns the path of the old file, if there was one. `now` is in seconds since 1970.
///
/// # Errors
/// The error of `fill`, or [`OpenFault`]: the old file is unchanged.
pub(in crate::state) fn replace_file<E: From<OpenFault>>(
    directory: &Path,
    now: u64,
    fill: impl FnOnce(&mut PutRecord<'_>) -> Result<(), E>,
) -> Result<Option<PathBuf>, E> {
    let path = directory.join(FILE);
    // Held until the new file is there. One that cannot be opened nobody else has open either.
    let held = path.exists().then(|| read_guarded(&path, || open_existing(&path)));
    if let Some(Err(OpenFault::Locked(path))) = held {
        return Err(OpenFault::Locked(path).into());
    }
    let replaced = replace_held(&path, now, fill);
    let _ = guarded(|| drop(held));
    replaced
}

/// [`replace_file`] once the old file is locked.
fn replace_held<E: From<OpenFault>>(
    path: &Path,
    now: u64,
    fill: impl FnOnce(&mut PutRecord<'_>) -> Result<(), E>,
) -> Result<Option<PathBuf>, E> {
    let unusable = |error: redb::Error| OpenFault::of(path, &error);
    let directory = path.parent().unwrap_or(path);
    let new = beside(path);
    let database = begin_file(&new).map_err(unusable)?;
    let filled = fill_all(&database, fill, unusable);
    if let Err(fault) = filled {
        drop(database);
        let _ = fs::remove_file(new);
        return Err(fault);
    }
    drop(database);
    let placed = || -> io::Result<Option<PathBuf>> {
        let mut before = None;
        if path.exists() {
            let time = crate::key_validity::format_time(now).replace(':', "");
            let names = (0..100).map(|number| match number {
                0 => format!("{FILE}.before-restore-{time}"),
                number => format!("{FILE}.before-restore-{time}-{number}"),
            });
            let free = names.map(|name| directory.join(name)).find(|path| !path.exists());
            let aside = free.ok_or(io::ErrorKind::AlreadyExists)?;
            // By another name first: at no moment there is none.
            fs::hard_link(path, &aside)?;
            before = Some(aside);
        }
        fs::rename(&new, path)?;
        sync_directory(path)?;
        Ok(before)
    };
    placed().map_err(|error| {
        let _ = fs::remove_file(&new);
        unusable(redb::Error::Io(error)).into()
    })
}

fn fill_all<E: From<OpenFault>>(
    database: &Database,
    fill: impl FnOnce(&mut PutRecord<'_>) -> Result<(), E>,
    unusable: impl Fn(redb::Error) -> OpenFault,
) -> Result<(), E> {
    let write = |changes: &mut Vec<Change>| -> Result<(), OpenFault> {
        let written = commit(database, changes).map_err(&unusable);
        changes.clear();
        written.map(drop)
    };
    let mut changes = Vec::new();
    fill(&mut |key, value| {
        changes.push(Change::Put(key.to_vec(), value.to_vec()));
        if changes.len() < RESTORED_AT_ONCE { Ok(()) } else { write(&mut changes) }
    })?;
    Ok(write(&mut changes)?)
}
