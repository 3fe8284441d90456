//! The redb file: created, opened, examined.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase as _, StorageError};

use super::fault::OpenFault;
use super::redb_guard::read_guarded;
use super::table::{TABLE, VERSION};
use crate::private_file;

/// The name of the file.
pub(in crate::state) const FILE: &str = "state.redb";
/// Page cache of redb, in bytes: small, as everything is read only once.
const CACHE: usize = 16 << 20;

/// Creates a directory with mode 0700, unless it exists.
pub(super) fn private_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Creates the file under another name first: a crash in between must not leave what looks like a damaged file.
pub(super) fn create(path: &Path) -> Result<Database, OpenFault> {
    let new = beside(path);
    let database = begin_file(&new).map_err(|error| OpenFault::of(path, &error))?;
    // The lock stays with the open file, whatever its name.
    let named = fs::rename(&new, path).and_then(|()| sync_directory(path));
    named.map_err(|error| OpenFault::of(path, &redb::Error::Io(error)))?;
    Ok(database)
}

/// Creates a file without records; leaves none if that fails.
pub(super) fn begin_file(path: &Path) -> Result<Database, redb::Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(redb::Error::Io(error)),
        _ => {}
    }
    fill_new_file(path).inspect_err(|_| drop(fs::remove_file(path)))
}

fn fill_new_file(path: &Path) -> Result<Database, redb::Error> {
    // Nothing that somebody has put there meanwhile, nor through a link.
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path).map_err(redb::Error::Io)?;
    let database = Database::builder().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?;
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?.insert(&[][..], VERSION)?;
    transaction.commit()?;
    Ok(database)
}

pub(super) fn sync_directory(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

/// Fails if `path` is not a regular file: opening a named pipe would block for ever.
fn only_a_file(path: &Path) -> Result<(), OpenFault> {
    let seen = fs::metadata(path).and_then(|metadata| private_file::only_a_file(path, &metadata));
    seen.map_err(|error| OpenFault::Unusable(path.display().to_string(), error.to_string()))
}

pub(super) fn open_existing(path: &Path) -> Result<Database, OpenFault> {
    only_a_file(path)?;
    // redb would take an empty file for a new one.
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(OpenFault::Damaged(path.display().to_string(), "it is empty".to_owned()));
    }
    // Whoever had it may have put a smaller one in its place just now.
    let opened = loop {
        let before = inode(path);
        let opened = open_database(path);
        if opened.is_err() || before == inode(path) {
            break opened;
        }
    };
    opened.map_err(|fault| match fault {
        DatabaseError::DatabaseAlreadyOpen => OpenFault::Locked(path.display().to_string()),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenFault::of(path, &redb::Error::Io(error))
        }
        fault => damaged(path, &fault),
    })
}

/// Checks that the file in this directory can be opened; changes nothing.
///
/// # Errors
/// [`OpenFault`], except for damage that only a full read shows.
pub(in crate::state) fn examine(directory: &Path) -> Result<(), OpenFault> {
    let path = directory.join(FILE);
    read_guarded(&path, || examine_file(&path))
}

fn examine_file(path: &Path) -> Result<(), OpenFault> {
    let shown = || path.display().to_string();
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenFault::Unusable(shown(), error.to_string())),
    };
    only_a_file(path)?;
    if length == 0 {
        return Err(OpenFault::Damaged(shown(), "it is empty".to_owned()));
    }
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| OpenFault::Unusable(shown(), error.to_string()))?;
    let database = match Database::builder().open_read_only(path) {
        Ok(database) => database,
        // The process before has not closed it: the next one mends that.
        Err(DatabaseError::RepairAborted) => return Ok(()),
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenFault::Locked(shown())),
        Err(fault) => return Err(damaged(path, &fault)),
    };
    let version = || -> Result<bool, redb::Error> {
        let table = database.begin_read()?.open_table(TABLE)?;
        Ok(table.get(&[][..])?.is_none_or(|version| version.value() == VERSION))
    };
    match version() {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenFault::Later(shown(), "all of it".to_owned())),
        Err(fault) => Err(damaged(path, &fault)),
    }
}

/// Path of a new file until it replaces the old one.
pub(super) fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

pub(super) fn open_database(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).open(path)
}

fn damaged(path: &Path, fault: &dyn std::fmt::Display) -> OpenFault {
    OpenFault::Damaged(path.display().to_string(), fault.to_string())
}
