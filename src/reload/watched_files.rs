//! Watch of the files that a configuration names, by polling: it also sees changes on network disks and mounted
//! directories that are swapped as a whole.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

/// Interval of the check for changed files.
const WATCH: Duration = Duration::from_millis(500);

/// Fingerprint of a file's state.
type Mark = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// The files, looked at by a thread of their own: a disk that hangs holds up nothing else.
pub(super) struct Watched {
    looks: Mutex<Looks>,
    news: Notify,
}

/// The files and how they were. None of this waits for a disk.
#[derive(Debug, Default)]
struct Looks {
    files: Vec<PathBuf>,
    /// Fingerprints as of the last read.
    read: Vec<Mark>,
    /// Fingerprints as of the last look.
    seen: Vec<Mark>,
    /// They differ from when they were read, and are as they were a look before: nobody is writing them.
    have_changed: bool,
    /// Count of reads: a look that began before the last one is void.
    round: u64,
}

impl Watched {
    /// Looks at them once, and then again and again for as long as this lives.
    pub(super) fn start(files: Vec<PathBuf>) -> Arc<Self> {
        let read = marks(&files);
        let looks = Looks { seen: read.clone(), files, read, ..Looks::default() };
        let watched = Arc::new(Self { looks: Mutex::new(looks), news: Notify::new() });
        let watching = Arc::downgrade(&watched);
        if let Err(error) = std::thread::Builder::new().name("watch".to_owned()).spawn(move || keep_looking(&watching))
        {
            tracing::error!(%error, "cannot watch files for changes: send SIGHUP to reload");
        }
        watched
    }

    /// Waits until they have changed since they were last read.
    pub(super) async fn changed(&self) {
        while !self.looks().have_changed {
            self.news.notified().await;
        }
    }

    /// They are about to be read.
    pub(super) fn begin(&self) {
        let mut looks = self.looks();
        looks.have_changed = false;
        looks.round += 1;
    }

    /// They are read from now on. May wait for a disk.
    pub(super) fn read(&self) {
        let files = self.looks().files.clone();
        let now = marks(&files);
        self.looks().note_read(now);
    }

    /// Other files are named from now on. Those that were not named before count as read. May wait for a disk.
    pub(super) fn follow(&self, files: Vec<PathBuf>) {
        let now = marks(&files);
        self.looks().follow(files, now);
    }

    /// Looks at them once. May wait for a disk.
    fn look(&self) {
        let (files, round) = {
            let looks = self.looks();
            (looks.files.clone(), looks.round)
        };
        let now = marks(&files);
        let mut looks = self.looks();
        if looks.round == round && looks.note_look(now) {
            self.news.notify_one();
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep_looking(watched: &Weak<Watched>) {
    loop {
        std::thread::sleep(WATCH);
        let Some(watched) = watched.upgrade() else { return };
        watched.look();
    }
}

impl Looks {
    fn note_read(&mut self, now: Vec<Mark>) {
        self.seen.clone_from(&now);
        self.read = now;
        self.have_changed = false;
        self.round += 1;
    }

    fn follow(&mut self, files: Vec<PathBuf>, now: Vec<Mark>) {
        let known: HashMap<PathBuf, Mark> =
            std::mem::replace(&mut self.files, files).into_iter().zip(self.read.drain(..)).collect();
        let mark_of = |(file, now)| known.get(file).copied().unwrap_or(now);
        let read = self.files.iter().zip(now).map(mark_of).collect();
        self.note_read(read);
    }

    /// Returns whether a file has changed.
    fn note_look(&mut self, now: Vec<Mark>) -> bool {
        self.have_changed = now != self.read && now == self.seen;
        self.seen = now;
        self.have_changed
    }
}

fn marks(files: &[PathBuf]) -> Vec<Mark> {
    let mark = |file: &PathBuf| {
        let found = std::fs::metadata(file).ok()?;
        Some((
            found.dev(),
            found.ino(),
            found.len(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        ))
    };
    files.iter().map(mark).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_has_settled_and_until_it_is_read() {
        let directory = std::env::temp_dir().join(format!("wicketgate-watched-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (one, other) = (directory.join("one"), directory.join("other"));
        std::fs::write(&one, "1").unwrap();
        let files = vec![one.clone(), other.clone(), directory.clone()];
        let read = marks(&files);
        let looks = Looks { seen: read.clone(), files, read, ..Looks::default() };
        let watched = Watched { looks: Mutex::new(looks), news: Notify::new() };
        let have_changed = || {
            watched.look();
            watched.looks().have_changed
        };
        assert!(!have_changed());
        std::fs::write(&one, "12").unwrap();
        assert!(!have_changed(), "somebody may be writing");
        assert!(have_changed());
        assert!(have_changed(), "nobody has read it yet");
        watched.begin();
        watched.read();
        watched.follow(vec![one.clone(), other.clone()]);
        assert!(!have_changed());
        std::fs::write(&other, "new").unwrap();
        have_changed();
        assert!(have_changed(), "a file that was missing is there");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
