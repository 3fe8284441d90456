//! State in one file of this process: redb, one writer thread, many changes in one commit. Nothing reads from it while
//! the process runs; what it holds is in memory too.

mod compaction;
mod deletions;
mod redb_guard;
mod snapshot;
mod writer;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};
use tokio::sync::oneshot;

use super::Unavailable;
use super::change::{Change, Fate, Unreadable};
use crate::private_file;
use compaction::beside;
pub(super) use deletions::SLICE;
use redb_guard::{guarded, read_guarded};
pub(super) use snapshot::{Page, Place};
use writer::{Job, Waiter, Waiting, Writer, bytes_of, is_full};

/// The name of the file.
pub(super) const FILE: &str = "state.redb";
/// All that is kept: the first byte of a key says what it is of.
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("wicketgate");
/// What stands under the key without bytes: the version of all else.
const VERSION: &[u8] = b"1";
/// How many writes may wait.
const MAX_WAITING: usize = 4_096;
/// How many deletions may: of those beyond, the records are read and deleted after the next start.
const MAX_DELETIONS: usize = 65_536;
/// How long a caller waits for its change to be on the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many records are restored in one commit.
const RESTORED_AT_ONCE: usize = 10_000;
/// What redb may keep in memory: everything is read once only.
const CACHE: usize = 16 << 20;

/// What takes records by key and value.
pub(super) type Put<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), OpenFault> + 'a;

/// The file.
pub(super) struct Embedded {
    queue: Sender<Job>,
    waiting: Waiting,
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
    /// Why this path cannot be read or written.
    fn of(path: &Path, error: &redb::Error) -> Self {
        let (path, said) = (path.display().to_string(), error.to_string());
        if is_full(error) { Self::Full(path, said) } else { Self::Unusable(path, said) }
    }

    /// The file at this path holds a record that cannot be read.
    fn unreadable(path: &Path, fault: Unreadable) -> Self {
        let path = path.display().to_string();
        match fault {
            Unreadable::Later(kind) => Self::Later(path, kind),
            Unreadable::Damaged(fault) => Self::Damaged(path, fault),
        }
    }
}

impl Embedded {
    /// Opens the file in this directory, and gives all that it holds to `take`. Makes both where there is nothing.
    ///
    /// # Errors
    /// [`OpenFault`]; nothing is begun anew where something was before.
    pub(super) fn open(
        directory: &Path,
        take: impl FnMut(&[u8], &[u8]) -> Result<Fate, Unreadable>,
    ) -> Result<Self, OpenFault> {
        private_directory(directory).map_err(|error| OpenFault::of(directory, &redb::Error::Io(error)))?;
        let path = directory.join(FILE);
        let (database, contents) = read_guarded(&path, || {
            let database = if path.exists() { open_existing(&path)? } else { create(&path)? };
            // Left behind by a process that died while it made the file smaller.
            let _ = fs::remove_file(beside(&path));
            let contents = read_all(&database, take).map_err(|fault| OpenFault::unreadable(&path, fault))?;
            Ok::<_, OpenFault>((database, contents))
        })?;
        let (queue, jobs) = channel();
        let (waiting, failed) = (Waiting::default(), Arc::<AtomicBool>::default());
        let writer = Writer::new(database, path.clone(), (waiting.clone(), Arc::clone(&failed)), contents);
        let thread = std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(|error| OpenFault::Unusable(path.display().to_string(), error.to_string()))?;
        Ok(Self { queue, waiting, failed, writer: Some(thread).into(), given: OnceLock::new() })
    }

    /// Writes; returns once it is on the disk. With `unless_left` nothing is written where the caller gave up before it began.
    ///
    /// # Errors
    /// [`Unavailable`]: it is not, or that is not known.
    pub(super) async fn write(&self, changes: Vec<Change>, unless_left: bool) -> Result<(), Unavailable> {
        let (done, written) = oneshot::channel();
        self.send(changes, Some(Waiter { done, unless_left }))?;
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    /// Writes at some time soon, unless too much waits already. For what a crash may take.
    pub(super) fn write_later(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            let _ = self.send(changes, None);
        }
    }

    /// Deletes in slices between the writes, unless it is written anew meanwhile. What comes of it says whether it is done.
    pub(super) fn delete(&self, keys: Vec<Vec<u8>>) -> oneshot::Receiver<bool> {
        let (done, deleted) = oneshot::channel();
        self.send_deletion(keys, Some(done));
        deleted
    }

    /// The same where nobody waits.
    pub(super) fn delete_later(&self, keys: Vec<Vec<u8>>) {
        if !keys.is_empty() {
            self.send_deletion(keys, None);
        }
    }

    /// Records as they were at one moment: the first of them, or those at this place. `None`: that moment is gone, as after
    /// another process has taken over.
    pub(super) async fn read(&self, place: Option<Place>) -> Option<Page> {
        let (reply, page) = oneshot::channel();
        self.queue.send(Job::Read(place, reply)).ok()?;
        tokio::time::timeout(PATIENCE, page).await.ok()?.ok()?
    }

    /// How many writes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.writes.load(Ordering::Relaxed)
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

    fn send(&self, changes: Vec<Change>, waiter: Option<Waiter>) -> Result<(), Unavailable> {
        if !claim(&self.waiting.writes, MAX_WAITING) {
            return Err(Unavailable);
        }
        self.queue.send(Job::Write(changes, waiter)).map_err(|_| {
            self.waiting.writes.fetch_sub(1, Ordering::Relaxed);
            Unavailable
        })
    }

    fn send_deletion(&self, keys: Vec<Vec<u8>>, waiter: Option<oneshot::Sender<bool>>) {
        if claim(&self.waiting.deletes, MAX_DELETIONS) && self.queue.send(Job::Delete(keys, waiter)).is_err() {
            self.waiting.deletes.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Takes a place in a queue of so many, where there is one.
fn claim(waiting: &AtomicUsize, most: usize) -> bool {
    let has_room = waiting.fetch_add(1, Ordering::Relaxed) < most;
    if !has_room {
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
    has_room
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
    let new = beside(path);
    let database = begin_file(&new).map_err(|error| OpenFault::of(path, &error))?;
    // The lock stays with the open file, whatever its name.
    let named = fs::rename(&new, path).and_then(|()| sync_directory(path));
    named.map_err(|error| OpenFault::of(path, &redb::Error::Io(error)))?;
    Ok(database)
}

/// A new file without records; none is left where that fails.
fn begin_file(path: &Path) -> Result<Database, redb::Error> {
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

fn sync_directory(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

/// To open a named pipe would wait for ever.
fn only_a_file(path: &Path) -> Result<(), OpenFault> {
    let seen = fs::metadata(path).and_then(|metadata| private_file::only_a_file(path, &metadata));
    seen.map_err(|error| OpenFault::Unusable(path.display().to_string(), error.to_string()))
}

fn open_existing(path: &Path) -> Result<Database, OpenFault> {
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

/// Looks whether the file in this directory could be opened, and changes nothing.
///
/// # Errors
/// [`OpenFault`], but for what only reading all of it shows.
pub(super) fn examine(directory: &Path) -> Result<(), OpenFault> {
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

/// Makes a new file of what `fill` puts into it, and puts it in the place of the one in this directory, which nobody may have
/// open. Where that one is now. `now` is in seconds since 1970.
///
/// # Errors
/// What `fill` says, or [`OpenFault`]: the file is what it was.
pub(super) fn replace_file<E: From<OpenFault>>(
    directory: &Path,
    now: u64,
    fill: impl FnOnce(&mut Put<'_>) -> Result<(), E>,
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

/// The same of a file that is held.
fn replace_held<E: From<OpenFault>>(
    path: &Path,
    now: u64,
    fill: impl FnOnce(&mut Put<'_>) -> Result<(), E>,
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
            let time = crate::validity::format_time(now).replace(':', "");
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
    fill: impl FnOnce(&mut Put<'_>) -> Result<(), E>,
    unusable: impl Fn(redb::Error) -> OpenFault,
) -> Result<(), E> {
    let write = |changes: &mut Vec<Change>| -> Result<(), OpenFault> {
        let written = writer::commit(database, changes).map_err(&unusable);
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

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

fn open_database(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).open(path)
}

fn damaged(path: &Path, fault: &dyn std::fmt::Display) -> OpenFault {
    OpenFault::Damaged(path.display().to_string(), fault.to_string())
}

impl From<redb::Error> for Unreadable {
    fn from(error: redb::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Gives all records to `take`; the keys of those that are dead, and how many bytes all have.
fn read_all(
    database: &Database,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<Fate, Unreadable>,
) -> Result<(Vec<Vec<u8>>, u64), Unreadable> {
    let opened = || -> Result<_, redb::Error> { Ok(database.begin_read()?.open_table(TABLE)?) };
    let table = opened()?;
    let (mut dead, mut bytes) = (Vec::new(), 0);
    for entry in table.iter().map_err(redb::Error::from)? {
        let (key, value) = entry.map_err(redb::Error::from)?;
        let (key, value) = (key.value(), value.value());
        bytes += bytes_of(key, value);
        match key {
            [] if value == VERSION => {}
            [] => return Err(Unreadable::Later("all of it".to_owned())),
            key => {
                if take(key, value)? == Fate::Dead {
                    dead.push(key.to_vec());
                }
            }
        }
    }
    Ok((dead, bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wicketgate-embedded-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    /// One record: key and value.
    type Record = (Vec<u8>, Vec<u8>);

    fn open(directory: &Path) -> Result<(Embedded, Vec<Record>), OpenFault> {
        let mut records = Vec::new();
        let embedded = Embedded::open(directory, |key, value| {
            records.push((key.to_vec(), value.to_vec()));
            Ok(Fate::Live)
        })?;
        Ok((embedded, records))
    }

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change::Put(key.to_vec(), value.to_vec())
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_opening_again() {
        let path = directory("again");
        let (store, records) = open(&path).unwrap();
        assert!(records.is_empty());
        store.write(vec![put(b"a", b"1"), put(b"b", b"2")], false).await.unwrap();
        store.write(vec![Change::Delete(b"a".to_vec())], false).await.unwrap();
        store.write_later(vec![put(b"c", b"3")]);
        store.close();
        assert_eq!(store.write(vec![put(b"d", b"4")], false).await, Err(Unavailable));
        drop(store);
        let (_store, records) = open(&path).unwrap();
        assert_eq!(records, [(b"b".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
        fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn x32_a_released_file_can_be_opened_by_another_and_what_waits_is_written_once_it_is_back() {
        let path = directory("released");
        let (store, _) = open(&path).unwrap();
        store.write(vec![put(b"a", b"1")], false).await.unwrap();
        let released = store.release().unwrap();
        store.write_later(vec![put(b"b", b"2")]);
        let (other, records) = open(&path).unwrap();
        assert_eq!(records.len(), 1);
        other.close();
        released.take_back();
        store.write(vec![put(b"c", b"3")], false).await.unwrap();
        drop(store.release().unwrap());
        // It is another's for good.
        assert_eq!(store.write(vec![put(b"d", b"4")], false).await, Err(Unavailable));
        let (_other, records) = open(&path).unwrap();
        assert_eq!(records.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn x45_the_queue_before_a_disk_that_does_not_answer_has_an_end() {
        let (queue, _never_read) = channel();
        let store = Embedded {
            queue,
            waiting: Waiting::default(),
            failed: Arc::default(),
            writer: None.into(),
            given: OnceLock::new(),
        };
        for _ in 0..MAX_WAITING {
            store.write_later(vec![put(b"a", b"1")]);
        }
        assert_eq!(store.waiting(), MAX_WAITING);
        // At once, without the patience that a place in the queue gives.
        assert_eq!(store.write(vec![put(b"b", b"2")], false).await, Err(Unavailable));
        assert_eq!(store.waiting(), MAX_WAITING);
    }

    #[test]
    fn x46_a_file_in_use_is_not_opened_twice_and_the_message_says_so() {
        let path = directory("locked");
        let (_store, _) = open(&path).unwrap();
        let fault = open(&path).err().unwrap();
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
            let fault = open(&path).err().unwrap();
            assert!(matches!(fault, OpenFault::Damaged(..)), "{fault:?}");
            assert!(fault.to_string().contains("backup"), "{fault}");
            assert_eq!(fs::read(&file).unwrap(), content);
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_by_name() {
        let path = directory("later");
        drop(open(&path).unwrap());
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
        assert!(matches!(examine(&path).unwrap_err(), OpenFault::Later(..)));
        assert!(matches!(open(&path).err().unwrap(), OpenFault::Later(..)));
        fs::remove_dir_all(path).unwrap();
    }
}
