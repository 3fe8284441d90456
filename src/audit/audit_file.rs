//! The file of the audit log. Several processes may add to it (the gateway, the one that takes over from it, commands):
//! each holds a lock beside it, and goes on behind the last line that is there, whoever wrote it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::OFlags;

use super::FILE;
use super::audit_event::AuditEvent;
use super::chain::{self, ChainHead, ChainedLine};
use crate::hex::hex;
use crate::private_file;

/// The file whose lock a writer holds. It stays when the log is renamed.
const LOCK: &str = "audit.lock";
/// Most bytes of a line.
pub(super) const LONGEST_LINE: usize = 64 * 1024;
/// Most renamed files that are looked at for the last line before a new file.
const MOST_RENAMED: usize = 1_000;

/// The file, as this process knows it.
pub(super) struct AuditFile {
    directory: PathBuf,
    path: PathBuf,
    open: Option<OpenLog>,
}

/// An open file, and its end when it was last looked at.
struct OpenLog {
    file: File,
    length: u64,
    head: ChainHead,
}

/// How a file ends.
enum Tail {
    /// There is no whole line.
    Empty,
    /// With a line of a chain.
    Chained(ChainHead),
    /// With something else.
    Foreign,
}

impl AuditFile {
    /// The file in this directory, which is not touched yet.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join(FILE), open: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the lines of these events: all, or none.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn append(&mut self, events: &[(SystemTime, AuditEvent)]) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut open = self.follow()?;
        let mut lines = Vec::new();
        let mut head = open.head.clone();
        for (time, event) in events {
            head = chain::add(&mut lines, &head, *time, event);
        }
        let outcome = open.write(&lines, head);
        self.open = Some(open);
        outcome
    }

    /// Brings what was added to the disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    /// Waits until no other process writes. The lock ends with the value.
    fn lock(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.directory.join(LOCK);
        let lock = options().truncate(false).open(&path)?;
        private_file::only_a_file(&path, &lock.metadata()?)?;
        self.give_to_owner(&lock)?;
        lock.lock()?;
        Ok(lock)
    }

    /// A file that root has made belongs to the user of the directory, or the gateway could not write to it.
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        if file.metadata()?.uid() != 0 || !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let owner = fs::metadata(&self.directory)?;
        if owner.uid() == 0 { Ok(()) } else { fchown(file, Some(owner.uid()), Some(owner.gid())) }
    }

    /// The file that has the name now, at its end. A new one begins with the last hash of the one before.
    fn follow(&mut self) -> io::Result<OpenLog> {
        let before = self.open.take();
        let named = match self.path.symlink_metadata() {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (mut known, mut was_removed) = (ChainHead::default(), false);
        if let Some(mut open) = before {
            let own = open.file.metadata()?;
            if named.is_some_and(|named| (own.dev(), own.ino()) == (named.dev(), named.ino())) {
                let length = open.length;
                if own.len() != length {
                    let known = open.head.clone();
                    open.catch_up(&self.directory, known.clone())?;
                    if own.len() < length {
                        open.tell_loss("shortened", &known)?;
                    }
                }
                return Ok(open);
            }
            open.file.sync_data()?;
            // Nobody has renamed it: it has no name any more.
            was_removed = own.nlink() == 0;
            known = open.head;
        }
        let file = options().read(true).append(true).open(&self.path)?;
        private_file::only_a_file(&self.path, &file.metadata()?)?;
        self.give_to_owner(&file)?;
        let mut open = OpenLog { file, length: 0, head: ChainHead::default() };
        open.catch_up(&self.directory, known.clone())?;
        if was_removed {
            open.tell_loss("removed", &known)?;
        }
        Ok(open)
    }
}

/// Opens a file for this user alone, not through a symbolic link, and without waiting for the reader of a pipe.
fn options() -> OpenOptions {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600).custom_flags(flags);
    options
}

impl OpenLog {
    /// Finds the last line, and mends the end: part of a line that a crash has left is cut off, and a line says so; where
    /// there is no chain to go on with, one begins. A new file goes on behind the last line of the renamed ones. Lines that
    /// are `known` here and are there no more leave a gap, which verification finds.
    fn catch_up(&mut self, directory: &Path, known: ChainHead) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let (end, tail) = tail(&mut self.file, length)?;
        if end < length {
            self.file.set_len(end)?;
        }
        self.length = end;
        let mut lines = Vec::new();
        let mut head = match tail {
            Tail::Chained(head) if head.seq < known.seq => known,
            Tail::Chained(head) => head,
            Tail::Empty => {
                let renamed = last_renamed(directory);
                let head = if renamed.seq < known.seq { known } else { renamed };
                chain::add(&mut lines, &head, SystemTime::now(), &AuditEvent::new("opened", "ok"))
            }
            Tail::Foreign => {
                tracing::error!("the last line of the audit log is none of its chain: another chain begins behind it");
                let event = AuditEvent::new("opened", "ok")
                    .with("unchained_bytes", end)
                    .with("unchained_sha256", sha256_up_to(&mut self.file, end)?);
                chain::add(&mut lines, &ChainHead::default(), SystemTime::now(), &event)
            }
        };
        if end < length {
            let event = AuditEvent::new("recovered", "ok").with("cut_bytes", length - end);
            head = chain::add(&mut lines, &head, SystemTime::now(), &event);
        }
        self.head = head.clone();
        if lines.is_empty() { Ok(()) } else { self.write(&lines, head) }
    }

    /// Tells that lines of this process are there no more, the last of which was `known`.
    fn tell_loss(&mut self, how: &'static str, known: &ChainHead) -> io::Result<()> {
        tracing::error!(how, last_line = known.seq, "lines of the audit log are gone: somebody has changed its file");
        let event = AuditEvent::new("lines_gone", how).with("last_line", known.seq);
        let mut lines = Vec::new();
        let head = chain::add(&mut lines, &self.head, SystemTime::now(), &event);
        self.write(&lines, head)
    }

    /// Adds lines, which end with `head`: all, or none.
    fn write(&mut self, lines: &[u8], head: ChainHead) -> io::Result<()> {
        if let Err(error) = self.file.write_all(lines) {
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.head = head;
        Ok(())
    }
}

/// How a file of this length ends, and where its last whole line does.
fn tail(file: &mut File, length: u64) -> io::Result<(u64, Tail)> {
    // Twice as much as the longest line: part of one, and the one before.
    let begin = length.saturating_sub(2 * LONGEST_LINE as u64);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.take(length - begin).read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        // Where so much is no line, it is not what a crash leaves.
        return Ok(if begin == 0 { (0, Tail::Empty) } else { (length, Tail::Foreign) });
    };
    let line_begin = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    let line = ChainedLine::parse(&bytes[line_begin..end]).filter(ChainedLine::is_whole);
    let tail = line.map_or(Tail::Foreign, |line| Tail::Chained(line.head()));
    Ok((begin + end as u64 + 1, tail))
}

/// The last line of all renamed files of the log: that of the highest number.
fn last_renamed(directory: &Path) -> ChainHead {
    let of_log = |name: &str| name.strip_prefix(FILE).is_some_and(|rest| !rest.is_empty());
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let renamed = entries.filter(|entry| entry.file_name().to_str().is_some_and(of_log)).take(MOST_RENAMED);
    let head = |path: PathBuf| {
        let mut file = private_file::open(&path).ok()?;
        let length = file.metadata().ok()?.len();
        match tail(&mut file, length).ok()?.1 {
            Tail::Chained(head) => Some(head),
            Tail::Empty | Tail::Foreign => None,
        }
    };
    renamed.filter_map(|entry| head(entry.path())).max_by_key(|head| head.seq).unwrap_or_default()
}

fn sha256_up_to(file: &mut File, end: u64) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    file.seek(SeekFrom::Start(0))?;
    let mut left = file.take(end);
    let mut piece = vec![0; 64 * 1024];
    loop {
        match left.read(&mut piece)? {
            0 => return Ok(hex(context.finish().as_ref())),
            read => context.update(&piece[..read]),
        }
    }
}
