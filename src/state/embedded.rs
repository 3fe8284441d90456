//! State in one file of this process: redb, one writer thread, many changes per commit. Nothing reads from it while the
//! process runs: memory holds the same.

mod compaction;
mod deletions;
mod fault;
mod file;
mod redb_guard;
mod replacement;
mod snapshot;
mod table;
mod writer;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Unavailable;
use super::change::{Change, Fate, Unreadable};
pub(super) use deletions::SLICE;
pub use fault::OpenFault;
pub(super) use file::{FILE, examine};
use file::{beside, create, open_existing, private_directory};
use redb_guard::read_guarded;
pub(super) use replacement::{PutRecord, replace_file};
pub(super) use snapshot::{Page, PageStart};
use table::read_all;
use writer::{Job, WriteWaiter, Writer, WriterBacklog};

/// Longest queue of writes.
const MAX_WAITING: usize = 4_096;
/// Longest queue of deletions: the records of those beyond are deleted after the next start.
const MAX_DELETIONS: usize = 65_536;
/// Longest wait for a change to be on disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handle to the file and its writer thread.
pub(super) struct Embedded {
    queue: Sender<Job>,
    waiting: WriterBacklog,
    failed: Arc<AtomicBool>,
    writer: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Time of the handover to another process.
    given: OnceLock<Instant>,
}

/// The file, closed so that another process can open it. If dropped, the other process keeps it.
pub(super) struct Released(SyncSender<()>);

impl Released {
    /// Takes the file back: queued changes are written.
    pub(super) fn take_back(self) {
        let _ = self.0.send(());
    }
}

impl Embedded {
    /// Opens the file in this directory, or creates both, and passes every record to `take`.
    ///
    /// # Errors
    /// [`OpenFault`]; an existing file is never replaced by an empty one.
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
        let (waiting, failed) = (WriterBacklog::default(), Arc::<AtomicBool>::default());
        let writer = Writer::new(database, path.clone(), (waiting.clone(), Arc::clone(&failed)), contents);
        let thread = std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(|error| OpenFault::Unusable(path.display().to_string(), error.to_string()))?;
        Ok(Self { queue, waiting, failed, writer: Some(thread).into(), given: OnceLock::new() })
    }

    /// Writes; returns once it is on disk. With `unless_left` nothing is written if the caller gave up before the write
    /// began.
    ///
    /// # Errors
    /// [`Unavailable`]: it is not on disk, or the outcome is unknown.
    pub(super) async fn write(&self, changes: Vec<Change>, unless_left: bool) -> Result<(), Unavailable> {
        let (done, written) = oneshot::channel();
        self.send(changes, Some(WriteWaiter { done, unless_left }))?;
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    /// Queues a write, unless the queue is full. For changes that a crash may lose.
    pub(super) fn write_later(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            let _ = self.send(changes, None);
        }
    }

    /// Deletes in slices between the writes, skipping keys that are written meanwhile. The receiver gets whether all
    /// are deleted.
    pub(super) fn delete(&self, keys: Vec<Vec<u8>>) -> oneshot::Receiver<bool> {
        let (done, deleted) = oneshot::channel();
        self.send_deletion(keys, Some(done));
        deleted
    }

    /// [`Self::delete`] without an answer.
    pub(super) fn delete_later(&self, keys: Vec<Vec<u8>>) {
        if !keys.is_empty() {
            self.send_deletion(keys, None);
        }
    }

    /// A page of records as they were at one moment: the first, or the one at this place. `None`: the snapshot is gone,
    /// for example after a handover.
    pub(super) async fn read(&self, place: Option<PageStart>) -> Option<Page> {
        let (reply, page) = oneshot::channel();
        self.queue.send(Job::Read(place, reply)).ok()?;
        tokio::time::timeout(PATIENCE, page).await.ok()?.ok()?
    }

    /// Number of queued writes.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.writes.load(Ordering::Relaxed)
    }

    /// Returns whether the last write succeeded.
    pub(super) fn works(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    /// Writes what is queued and closes the file, for another process to open it. `None` if it is closed already.
    pub(super) fn release(&self) -> Option<Released> {
        let (done, is_done) = sync_channel(1);
        let (back, is_back) = sync_channel(1);
        self.queue.send(Job::Release(done, is_back)).ok()?;
        is_done.recv().ok()?;
        Some(Released(back))
    }

    /// Gives the file to the other process for good.
    pub(super) fn give(&self) {
        let _ = self.given.set(Instant::now());
    }

    /// Time since the file was given away.
    pub(super) fn given_for(&self) -> Option<Duration> {
        self.given.get().map(Instant::elapsed)
    }

    /// Writes what is queued and closes the file.
    pub(super) fn close(&self) {
        let thread = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        // A full queue is being emptied: this one must get in.
        if let Some(thread) = thread
            && self.queue.send(Job::Stop).is_ok()
        {
            let _ = thread.join();
        }
    }

    fn send(&self, changes: Vec<Change>, waiter: Option<WriteWaiter>) -> Result<(), Unavailable> {
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

/// Takes a place in a queue of `most`; returns whether there was one.
fn claim(waiting: &AtomicUsize, most: usize) -> bool {
    let has_room = waiting.fetch_add(1, Ordering::Relaxed) < most;
    if !has_room {
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
    has_room
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::PathBuf;

    use redb::Database;

    use super::table::TABLE;
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
    async fn a_released_file_can_be_opened_by_another_and_what_waits_is_written_once_it_is_back() {
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
    async fn the_queue_before_a_disk_that_does_not_answer_has_an_end() {
        let (queue, _never_read) = channel();
        let store = Embedded {
            queue,
            waiting: WriterBacklog::default(),
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
    fn a_file_in_use_is_not_opened_twice_and_the_message_says_so() {
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
