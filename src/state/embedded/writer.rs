//! The writer thread: takes jobs from the queue, commits them in groups, deletes and compacts in between.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use redb::Database;
use tokio::sync::oneshot;

use super::compaction::{Compaction, is_worth_it};
use super::deletions::Backlog;
use super::fault::is_full;
use super::file::open_database;
use super::redb_guard::guarded;
use super::snapshot::{Page, PageStart, Snapshot};
use super::table::{Difference, commit};
use crate::state::change::Change;

/// Most jobs in one commit.
const MAX_GROUP: usize = 1_024;
/// Pause after a compaction that failed or made the file no smaller.
const PAUSE: Duration = Duration::from_secs(600);

/// A job for the writer.
pub(super) enum Job {
    /// Write, and tell the waiter whether it is on disk.
    Write(Vec<Change>, Option<WriteWaiter>),
    /// Delete when there is time, and tell the waiter when it is done.
    Delete(Vec<Vec<u8>>, Option<oneshot::Sender<bool>>),
    /// Read the first page of a new snapshot, or the one at this place of the present snapshot.
    Read(Option<PageStart>, oneshot::Sender<Option<Page>>),
    /// Close the file, say so, and go on only once told to.
    Release(SyncSender<()>, Receiver<()>),
    /// Close the file.
    Stop,
}

/// The caller that waits for a write.
pub(super) struct WriteWaiter {
    pub(super) done: oneshot::Sender<bool>,
    /// Skip the write if the caller left before it began.
    pub(super) unless_left: bool,
}

impl WriteWaiter {
    fn has_left(&self) -> bool {
        self.unless_left && self.done.is_closed()
    }
}

/// Number of queued jobs.
#[derive(Clone, Default)]
pub(super) struct WriterBacklog {
    pub(super) writes: Arc<AtomicUsize>,
    pub(super) deletes: Arc<AtomicUsize>,
}

pub(super) struct Writer {
    /// `None` after the disk was full, until it can be opened again.
    database: Option<Database>,
    path: PathBuf,
    waiting: WriterBacklog,
    failed: Arc<AtomicBool>,
    /// The disk failed in a way that leaves its contents unknown: only a restart reads it anew.
    lost: bool,
    backlog: Backlog,
    /// Bytes of all records.
    live: u64,
    rewrite: Option<Compaction>,
    /// Earliest time of the next compaction.
    rewrite_after: Instant,
    /// The snapshot that is being read.
    snapshot: Option<Snapshot>,
    snapshots: u64,
    /// True if records were deleted since compaction was last considered.
    has_deleted: bool,
}

/// The jobs that one turn of the writer has taken from the queue.
#[derive(Default)]
struct Turn {
    changes: Vec<Change>,
    waiters: Vec<WriteWaiter>,
    writes: usize,
    deletes: usize,
    reads: Vec<(Option<PageStart>, oneshot::Sender<Option<Page>>)>,
    release: Option<(SyncSender<()>, Receiver<()>)>,
    stop: bool,
}

impl Writer {
    /// `dead` are the keys of expired records, and `live` the bytes of all records.
    pub(super) fn new(
        database: Database,
        path: PathBuf,
        (waiting, failed): (WriterBacklog, Arc<AtomicBool>),
        (dead, live): (Vec<Vec<u8>>, u64),
    ) -> Self {
        Self {
            database: Some(database),
            path,
            waiting,
            failed,
            lost: false,
            backlog: Backlog::new(dead),
            live,
            rewrite: None,
            rewrite_after: Instant::now(),
            snapshot: None,
            snapshots: 0,
            has_deleted: true,
        }
    }

    /// Runs until told to stop, or until the queue is closed.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            // Between the writes there is other work, a slice at a time.
            let first = if self.has_spare_work() {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return,
                }
            } else {
                match jobs.recv() {
                    Ok(job) => Some(job),
                    Err(_) => return,
                }
            };
            if self.turn(first, jobs) {
                return;
            }
        }
    }

    /// Writes the queued jobs, then does one slice of other work; returns whether it was told to stop.
    fn turn(&mut self, first: Option<Job>, jobs: &Receiver<Job>) -> bool {
        let turn = self.take(first, jobs);
        let written = turn.changes.is_empty() || self.write(&turn.changes);
        self.waiting.writes.fetch_sub(turn.writes, Ordering::Relaxed);
        self.waiting.deletes.fetch_sub(turn.deletes, Ordering::Relaxed);
        for waiter in turn.waiters {
            let _ = waiter.done.send(written);
        }
        for (place, reply) in turn.reads {
            let _ = reply.send(self.read(place));
        }
        if let Some((done, back)) = turn.release {
            self.abandon_rewrite();
            self.close_file();
            let _ = done.send(());
            // What comes meanwhile waits; once the file is another process's, nothing is written here any more.
            self.lost |= back.recv().is_err();
        } else if turn.stop {
            self.abandon_rewrite();
            return true;
        }
        self.work_a_slice();
        false
    }

    /// Takes the next jobs from the queue. A write whose caller has left is dropped.
    fn take(&mut self, first: Option<Job>, jobs: &Receiver<Job>) -> Turn {
        let mut turn = Turn::default();
        let more = std::iter::from_fn(|| jobs.try_recv().ok());
        for job in first.into_iter().chain(more).take(MAX_GROUP) {
            match job {
                Job::Write(changes, waiter) => {
                    turn.writes += 1;
                    if waiter.as_ref().is_none_or(|waiter| !waiter.has_left()) {
                        self.backlog.written(&changes);
                        turn.changes.extend(changes);
                        turn.waiters.extend(waiter);
                    }
                }
                Job::Delete(keys, waiter) => {
                    turn.deletes += 1;
                    // What was written before in this turn is on the disk by then.
                    self.backlog.add(keys, waiter);
                }
                Job::Read(place, reply) => turn.reads.push((place, reply)),
                Job::Release(done, back) => {
                    turn.release = Some((done, back));
                    break;
                }
                Job::Stop => {
                    turn.stop = true;
                    break;
                }
            }
        }
        turn
    }

    /// A page of a snapshot; `None` if the snapshot is gone.
    fn read(&mut self, place: Option<PageStart>) -> Option<Page> {
        match guarded(|| self.page(place)) {
            Ok(page) => page,
            Err(said) => {
                self.find_damaged(&said);
                None
            }
        }
    }

    fn page(&mut self, place: Option<PageStart>) -> Option<Page> {
        let after = match place {
            Some(place) if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.id == place.snapshot) => place.after,
            Some(_) => return None,
            None => {
                self.snapshots += 1;
                self.snapshot = Snapshot::take(self.database.as_ref()?, self.snapshots).ok();
                Vec::new()
            }
        };
        let page = self.snapshot.as_ref()?.page(&after).ok();
        if page.as_ref().is_none_or(|page| page.next.is_none()) {
            self.snapshot = None;
        }
        page
    }

    fn has_spare_work(&self) -> bool {
        // After a failure the next write finds out whether the disk is back.
        let is_good = !self.lost && !self.failed.load(Ordering::Relaxed) && self.database.is_some();
        is_good && (!self.backlog.is_empty() || self.rewrite.is_some() || self.wants_rewrite())
    }

    /// Deletes one slice of records, or else compacts one slice. A write waits for at most one slice.
    fn work_a_slice(&mut self) {
        if !self.backlog.is_empty() {
            let slice = self.backlog.slice();
            let begun = Instant::now();
            if self.write(&slice) {
                self.has_deleted = true;
                self.backlog.deleted(&slice, begun.elapsed());
            } else {
                self.backlog.fail();
            }
            return;
        }
        if self.rewrite.is_none() && self.wants_rewrite() {
            self.has_deleted = false;
            if is_worth_it(self.file_bytes(), self.live) {
                match Compaction::begin(&self.path) {
                    Ok(rewrite) => self.rewrite = Some(rewrite),
                    Err(error) => {
                        tracing::warn!(%error, "the state file cannot be compacted");
                        self.rewrite_after = Instant::now() + PAUSE;
                    }
                }
            }
            return;
        }
        let (Some(rewrite), Some(database)) = (&mut self.rewrite, &self.database) else { return };
        match guarded(|| rewrite.step(database)) {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => self.take_place(),
            Err(said) => self.find_damaged(&said),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the state file was not compacted: copying failed");
                self.abandon_rewrite();
            }
        }
    }

    fn wants_rewrite(&self) -> bool {
        self.has_deleted && self.database.is_some() && Instant::now() >= self.rewrite_after
    }

    /// Replaces the old file: the new one is complete.
    fn take_place(&mut self) {
        let Some(rewrite) = self.rewrite.take() else { return };
        let before = self.file_bytes();
        match rewrite.take_place(&self.path) {
            Ok(new) => {
                // Closing the old one may take long, and nobody needs it.
                let old = self.database.replace(new);
                let _ = std::thread::Builder::new().name("state-old".to_owned()).spawn(move || guarded(|| drop(old)));
                let after = self.file_bytes();
                tracing::info!(before, after, "the state file was compacted, sizes in bytes");
                if is_worth_it(after, self.live) {
                    self.rewrite_after = Instant::now() + PAUSE;
                }
            }
            Err(Some(rewrite)) => {
                tracing::warn!("the state file was not compacted: the new file cannot replace it");
                rewrite.abandon();
                self.rewrite_after = Instant::now() + PAUSE;
            }
            Err(None) => self.lose(&io::Error::other("the directory cannot be written")),
        }
    }

    fn abandon_rewrite(&mut self) {
        if let Some(rewrite) = self.rewrite.take() {
            rewrite.abandon();
            self.rewrite_after = Instant::now() + PAUSE;
        }
    }

    fn file_bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |file| file.len())
    }

    /// Commits these changes; returns whether they are on disk.
    fn write(&mut self, changes: &[Change]) -> bool {
        if self.lost {
            return false;
        }
        if self.database.is_none() {
            match guarded(|| open_database(&self.path)) {
                Ok(opened) => self.database = opened.ok(),
                Err(said) => self.find_damaged(&said),
            }
        }
        let Some(database) = &self.database else { return false };
        let outcome = match guarded(|| commit(database, changes)) {
            Ok(Err(redb::Error::Corrupted(said))) | Err(said) => {
                self.find_damaged(&said);
                return false;
            }
            Ok(outcome) => outcome,
        };
        let had_failed = self.failed.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(Difference { more, less }) => {
                self.live = self.live.saturating_add(more).saturating_sub(less);
                if let Some(rewrite) = &mut self.rewrite {
                    rewrite.changed(changes);
                }
                if had_failed {
                    tracing::info!("the state can be written again");
                }
                true
            }
            Err(error) if is_full(&error) => {
                if !had_failed {
                    tracing::error!(file = %self.path.display(), %error, "the disk is full: the state cannot be written until there is room");
                }
                // redb takes nothing more after an error. What was committed before is read again from the file.
                self.close_file();
                self.abandon_rewrite();
                false
            }
            Err(error) => {
                self.lose(&error);
                false
            }
        }
    }

    fn lose(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(
            file = %self.path.display(), %error,
            "the disk under the state has failed: nothing more is written until wicketgate is restarted"
        );
        self.give_up();
    }

    /// Gives the file up: it is damaged.
    fn find_damaged(&mut self, said: &str) {
        tracing::error!(
            file = %self.path.display(), error = said,
            "the state file is damaged: nothing more is written. Stop wicketgate, look at the disk, and restore a \
             backup with `wicketgate state restore`"
        );
        self.give_up();
    }

    fn give_up(&mut self) {
        self.lost = true;
        self.failed.store(true, Ordering::Relaxed);
        self.close_file();
        self.abandon_rewrite();
    }

    fn close_file(&mut self) {
        let open = (self.snapshot.take(), self.database.take());
        let _ = guarded(|| drop(open));
    }
}

/// Marks the file as failed if the thread panics: nothing is written any more.
impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed.store(true, Ordering::Relaxed);
        }
        self.close_file();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
