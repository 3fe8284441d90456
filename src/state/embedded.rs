//! State in one file of this process: redb, one writer thread, many changes in one commit. Nothing reads from it while
//! the process runs; what it holds is in memory too.

mod writer;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};
use tokio::sync::oneshot;

use super::Unavailable;
use writer::{Job, Writer};

/// The name of the file.
const FILE: &str = "state.redb";
/// All that is kept: the first byte of a key says what it is of.
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("wicketgate");
/// What stands under the key without bytes: the version of all else.
const VERSION: &[u8] = b"1";
/// How many changes may wait to be written.
const MAX_WAITING: usize = 4_096;
/// How long a caller waits for its change to be on the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// What redb may keep in memory: everything is read once only.
const CACHE: usize = 16 << 20;

/// A change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is this from now on.
    Put(Vec<u8>, Vec<u8>),
    /// It is gone.
    Delete(Vec<u8>),
}

/// One record: key and value.
pub(super) type Record = (Vec<u8>, Vec<u8>);

/// The file.
pub(super) struct Embedded {
    queue: SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    writer: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Since when the file has been another process's.
    given: OnceLock<Instant>,
}

/// The file, closed so that another process can open it. Dropped, it is that one's.
pub(super) struct Released(SyncSender<()>);

impl Released {
    /// The other process does not want it: what has waited is written.
    pub(super) fn take_back(self) {
        let _ = self.0.send(());
    }
}

/// Why the file cannot be used; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// Another process has it.
    #[error("{0} is in use by another process: stop that one first, or give this one another `state.embedded.path`")]
    Locked(String),
    /// It is not what was written.
    #[error(
        "{0} is damaged ({1}): put your backup of it there, or move it away to begin without any login and revocation"
    )]
    Damaged(String, String),
    /// A later version of wicketgate wrote it.
    #[error("{0} was written by a later version of wicketgate: run that version, or move the file away")]
    Later(String),
    /// The directory or file cannot be opened.
    #[error("cannot open {0}: {1}; let the user that runs wicketgate write there, or change `state.embedded.path`")]
    Unusable(String, String),
}

impl Embedded {
    /// Opens the file in this directory, and gives all that it holds. Makes both where there is nothing.
    ///
    /// # Errors
    /// [`OpenFault`]; nothing is begun anew where something was before.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<Record>), OpenFault> {
        private_directory(directory)
            .map_err(|error| OpenFault::Unusable(directory.display().to_string(), error.to_string()))?;
        let path = directory.join(FILE);
        let database = if path.exists() { open_existing(&path)? } else { create(&path)? };
        let records = read_all(&database).map_err(|fault| damaged(&path, &fault))?;
        let (queue, jobs) = sync_channel(MAX_WAITING);
        let (waiting, failed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let writer = Writer::new(database, path.clone(), Arc::clone(&waiting), Arc::clone(&failed));
        let thread = std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(|error| OpenFault::Unusable(path.display().to_string(), error.to_string()))?;
        Ok((Self { queue, waiting, failed, writer: Some(thread).into(), given: OnceLock::new() }, records))
    }

    /// Writes; returns once it is on the disk.
    ///
    /// # Errors
    /// [`Unavailable`]: it is not, or that is not known.
    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), Unavailable> {
        let (done, written) = oneshot::channel();
        self.send(Job::Write(changes, Some(done)))?;
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    /// Writes at some time soon, unless too much waits already. For what a crash may take.
    pub(super) fn write_later(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            let _ = self.send(Job::Write(changes, None));
        }
    }

    /// How many writes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether the last write worked.
    pub(super) fn works(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// Writes what waits and closes the file, for another process to open it. `None` where it is closed already.
    pub(super) fn release(&self) -> Option<Released> {
        let (done, is_done) = sync_channel(1);
        let (back, is_back) = sync_channel(1);
        self.queue.send(Job::Release(done, is_back)).ok()?;
        is_done.recv().ok()?;
        Some(Released(back))
    }

    /// The file is another process's for good.
    pub(super) fn give(&self) {
        let _ = self.given.set(Instant::now());
    }

    /// For how long it has been.
    pub(super) fn given_for(&self) -> Option<Duration> {
        self.given.get().map(Instant::elapsed)
    }

    /// Writes what waits and closes the file.
    pub(super) fn close(&self) {
        let thread = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        // A full queue is being emptied: this one must get in.
        if let Some(thread) = thread
            && self.queue.send(Job::Stop).is_ok()
        {
            let _ = thread.join();
        }
    }

    fn send(&self, job: Job) -> Result<(), Unavailable> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|_| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            Unavailable
        })
    }
}

/// A directory that only its owner can look into.
fn private_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Made under another name first: a crash in between must not leave what looks like a damaged file.
fn create(path: &Path) -> Result<Database, OpenFault> {
    let unusable = |error: &dyn std::fmt::Display| OpenFault::Unusable(path.display().to_string(), error.to_string());
    let new = path.with_extension("new");
    if new.exists() {
        fs::remove_file(&new).map_err(|error| unusable(&error))?;
    }
    let database = Database::builder().set_cache_size(CACHE).create(&new).map_err(|error| unusable(&error))?;
    let versioned = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?.insert(&[][..], VERSION)?;
        Ok(transaction.commit()?)
    };
    versioned().map_err(|error| unusable(&error))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(|error| unusable(&error))?;
    // The lock stays with the open file, whatever its name.
    fs::rename(&new, path).and_then(|()| sync_directory(path)).map_err(|error| unusable(&error))?;
    Ok(database)
}

fn sync_directory(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

fn open_existing(path: &Path) -> Result<Database, OpenFault> {
    // redb would take an empty file for a new one.
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(OpenFault::Damaged(path.display().to_string(), "it is empty".to_owned()));
    }
    open_database(path).map_err(|fault| match fault {
        DatabaseError::DatabaseAlreadyOpen => OpenFault::Locked(path.display().to_string()),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenFault::Unusable(path.display().to_string(), error.to_string())
        }
        fault => damaged(path, &fault),
    })
}

/// Looks whether the file in this directory could be opened, and changes nothing.
///
/// # Errors
/// [`OpenFault`], but for what only reading all of it shows.
pub(super) fn examine(directory: &Path) -> Result<(), OpenFault> {
    let path = directory.join(FILE);
    let shown = || path.display().to_string();
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenFault::Unusable(shown(), error.to_string())),
    };
    if length == 0 {
        return Err(OpenFault::Damaged(shown(), "it is empty".to_owned()));
    }
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| OpenFault::Unusable(shown(), error.to_string()))?;
    let database = match Database::builder().open_read_only(&path) {
        Ok(database) => database,
        // The process before has not closed it: the next one mends that.
        Err(DatabaseError::RepairAborted) => return Ok(()),
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenFault::Locked(shown())),
        Err(fault) => return Err(damaged(&path, &fault)),
    };
    let version = || -> Result<bool, redb::Error> {
        let table = database.begin_read()?.open_table(TABLE)?;
        Ok(table.get(&[][..])?.is_none_or(|version| version.value() == VERSION))
    };
    match version() {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(&path, &LATER)),
        Err(fault) => Err(damaged(&path, &fault)),
    }
}

fn open_database(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).open(path)
}

fn damaged(path: &Path, fault: &dyn std::fmt::Display) -> OpenFault {
    let (path, fault) = (path.display().to_string(), fault.to_string());
    if fault == LATER { OpenFault::Later(path) } else { OpenFault::Damaged(path, fault) }
}

const LATER: &str = "another version";

fn read_all(database: &Database) -> Result<Vec<Record>, Box<dyn std::error::Error>> {
    let table = database.begin_read()?.open_table(TABLE)?;
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        match key.value() {
            [] if value.value() == VERSION => {}
            [] => return Err(LATER.into()),
            key => records.push((key.to_vec(), value.value().to_vec())),
        }
    }
    Ok(records)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wicketgate-embedded-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change::Put(key.to_vec(), value.to_vec())
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_opening_again() {
        let path = directory("again");
        let (store, records) = Embedded::open(&path).unwrap();
        assert!(records.is_empty());
        store.write(vec![put(b"a", b"1"), put(b"b", b"2")]).await.unwrap();
        store.write(vec![Change::Delete(b"a".to_vec())]).await.unwrap();
        store.write_later(vec![put(b"c", b"3")]);
        store.close();
        assert_eq!(store.write(vec![put(b"d", b"4")]).await, Err(Unavailable));
        drop(store);
        let (_store, records) = Embedded::open(&path).unwrap();
        assert_eq!(records, [(b"b".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
        fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn x32_a_released_file_can_be_opened_by_another_and_what_waits_is_written_once_it_is_back() {
        let path = directory("released");
        let (store, _) = Embedded::open(&path).unwrap();
        store.write(vec![put(b"a", b"1")]).await.unwrap();
        let released = store.release().unwrap();
        store.write_later(vec![put(b"b", b"2")]);
        let (other, records) = Embedded::open(&path).unwrap();
        assert_eq!(records.len(), 1);
        other.close();
        released.take_back();
        store.write(vec![put(b"c", b"3")]).await.unwrap();
        drop(store.release().unwrap());
        // It is another's for good.
        assert_eq!(store.write(vec![put(b"d", b"4")]).await, Err(Unavailable));
        let (_other, records) = Embedded::open(&path).unwrap();
        assert_eq!(records.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn x45_the_queue_before_a_disk_that_does_not_answer_has_an_end() {
        let (queue, _never_read) = sync_channel(MAX_WAITING);
        let store = Embedded {
            queue,
            waiting: Arc::default(),
            failed: Arc::default(),
            writer: None.into(),
            given: OnceLock::new(),
        };
        for _ in 0..MAX_WAITING {
            store.write_later(vec![put(b"a", b"1")]);
        }
        assert_eq!(store.waiting(), MAX_WAITING);
        // At once, without the patience that a place in the queue gives.
        assert_eq!(store.write(vec![put(b"b", b"2")]).await, Err(Unavailable));
        assert_eq!(store.waiting(), MAX_WAITING);
    }

    #[test]
    fn x46_a_file_in_use_is_not_opened_twice_and_the_message_says_so() {
        let path = directory("locked");
        let (_store, _) = Embedded::open(&path).unwrap();
        let fault = Embedded::open(&path).err().unwrap();
        assert!(matches!(fault, OpenFault::Locked(_)), "{fault}");
        assert!(fault.to_string().contains("in use by another process"), "{fault}");
        assert!(matches!(examine(&path).unwrap_err(), OpenFault::Locked(_)));
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_damaged_file_is_never_begun_anew() {
        let path = directory("damaged");
        fs::create_dir_all(&path).unwrap();
        let file = path.join(FILE);
        for content in [&b""[..], b"x", &[7; 100_000]] {
            fs::write(&file, content).unwrap();
            let fault = Embedded::open(&path).err().unwrap();
            assert!(matches!(fault, OpenFault::Damaged(..)), "{fault:?}");
            assert!(fault.to_string().contains("backup"), "{fault}");
            assert_eq!(fs::read(&file).unwrap(), content);
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_by_name() {
        let path = directory("later");
        drop(Embedded::open(&path).unwrap().0);
        // The writer lets go of the file when its queue is gone.
        let database = loop {
            match Database::open(path.join(FILE)) {
                Ok(database) => break database,
                Err(_) => std::thread::yield_now(),
            }
        };
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert(&[][..], &b"2"[..]).unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(matches!(examine(&path).unwrap_err(), OpenFault::Later(_)));
        assert!(matches!(Embedded::open(&path).err().unwrap(), OpenFault::Later(_)));
        fs::remove_dir_all(path).unwrap();
    }
}
