//! The files that a configuration names: whether one of them has changed. Looked at now and then, which also sees what
//! happens on network disks and where a mounted directory is swapped as a whole.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What tells one state of a file from another.
type Mark = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// The files and how they were.
#[derive(Debug, Default)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    /// When they were last read.
    read: Vec<Mark>,
    /// When they were last looked at.
    seen: Vec<Mark>,
}

impl Watched {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let mut watched = Self { files, ..Self::default() };
        watched.begin();
        watched
    }

    /// They are read from now on.
    pub(super) fn begin(&mut self) {
        self.read = marks(&self.files);
        self.seen.clone_from(&self.read);
    }

    /// Other files are named from now on. Those that were not named before count as read.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        let known: HashMap<PathBuf, Mark> =
            std::mem::replace(&mut self.files, files).into_iter().zip(self.read.drain(..)).collect();
        let now = marks(&self.files);
        let mark_of = |(file, now)| known.get(file).copied().unwrap_or(now);
        self.read = self.files.iter().zip(now).map(mark_of).collect();
        self.seen.clone_from(&self.read);
    }

    /// Whether they differ from when they were read, and are as they were a look before: nobody is writing them.
    pub(super) fn have_changed(&mut self) -> bool {
        let now = marks(&self.files);
        let is_settled = now == self.seen;
        let differs = now != self.read;
        self.seen = now;
        differs && is_settled
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
        let mut watched = Watched::new(vec![one.clone(), other.clone(), directory.clone()]);
        assert!(!watched.have_changed());
        std::fs::write(&one, "12").unwrap();
        assert!(!watched.have_changed(), "somebody may be writing");
        assert!(watched.have_changed());
        assert!(watched.have_changed(), "nobody has read it yet");
        watched.begin();
        watched.follow(vec![one.clone(), other.clone()]);
        assert!(!watched.have_changed());
        std::fs::write(&other, "new").unwrap();
        watched.have_changed();
        assert!(watched.have_changed(), "a file that was missing is there");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
