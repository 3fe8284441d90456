//! The one thread that writes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use redb::Database;
use tokio::sync::oneshot;

use super::{Change, TABLE, open_database};

/// How many jobs go into one commit at most.
const MAX_GROUP: usize = 1_024;

/// What the writer is told.
pub(super) enum Job {
    /// Write, and say whether it is on the disk.
    Write(Vec<Change>, Option<oneshot::Sender<bool>>),
    /// Close the file, say so, and write on only when that is said.
    Release(SyncSender<()>, Receiver<()>),
    /// Close the file.
    Stop,
}

pub(super) struct Writer {
    /// `None` after the disk was full, until it can be opened again.
    database: Option<Database>,
    path: PathBuf,
    waiting: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    /// The disk failed in a way after which nobody knows what is on it: only a restart reads it anew.
    lost: bool,
}

impl Writer {
    pub(super) fn new(database: Database, path: PathBuf, waiting: Arc<AtomicUsize>, failed: Arc<AtomicBool>) -> Self {
        Self { database: Some(database), path, waiting, failed, lost: false }
    }

    /// Writes until it is told to stop, or nobody is left who could tell.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut changes = Vec::new();
            let mut waiters = Vec::new();
            let mut stop = false;
            let mut release = None;
            let mut count = 0;
            for job in std::iter::once(first).chain(std::iter::from_fn(|| jobs.try_recv().ok())).take(MAX_GROUP) {
                match job {
                    Job::Write(more, waiter) => {
                        changes.extend(more);
                        waiters.extend(waiter);
                        count += 1;
                    }
                    Job::Release(done, back) => {
                        release = Some((done, back));
                        break;
                    }
                    Job::Stop => {
                        stop = true;
                        break;
                    }
                }
            }
            let written = changes.is_empty() || self.write(&changes);
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            for waiter in waiters {
                let _ = waiter.send(written);
            }
            if let Some((done, back)) = release {
                self.database = None;
                let _ = done.send(());
                // What comes meanwhile waits; once the file is another process's, nothing is written here any more.
                self.lost |= back.recv().is_err();
            }
            if stop {
                return;
            }
        }
    }

    /// Whether all of it is on the disk now.
    fn write(&mut self, changes: &[Change]) -> bool {
        if self.lost {
            return false;
        }
        if self.database.is_none() {
            self.database = open_database(&self.path).ok();
        }
        let Some(database) = &self.database else { return false };
        let outcome = commit(database, changes);
        let had_failed = self.failed.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(()) => {
                if had_failed {
                    tracing::info!("the state can be written again");
                }
                true
            }
            Err(error) if is_full(&error) => {
                if !had_failed {
                    tracing::error!(file = %self.path.display(), %error, "the state cannot be written: make room");
                }
                // redb takes nothing more after an error. What was committed before is read again from the file.
                self.database = None;
                false
            }
            Err(error) => {
                tracing::error!(
                    file = %self.path.display(), %error,
                    "the disk under the state has failed: nothing more is written until wicketgate is restarted"
                );
                self.lost = true;
                self.database = None;
                false
            }
        }
    }
}

fn commit(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for change in changes {
            match change {
                Change::Put(key, value) => drop(table.insert(&key[..], &value[..])?),
                Change::Delete(key) => drop(table.remove(&key[..])?),
            }
        }
    }
    Ok(transaction.commit()?)
}

/// Whether room is what is missing. After anything else, what fsync(2) has said once it does not say again, and what
/// is on the disk is not known.
fn is_full(error: &redb::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, redb::Error::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}
