//! Backups of the state: one line for each record, its key in hexadecimal digits and its value as JSON, between a first line
//! that names the version and a last one with the number of records and the SHA-256 of all before. A file that was cut off or
//! changed is recognised by the last line.

mod reader;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::LONGEST;
use super::change::{Change, Fate, Unreadable};
use super::codec::{self, StoredRecord};
use super::embedded::{Embedded, OpenFault, PutRecord, replace_file};
use super::revocation::{Rule, Subject};
use crate::hex::hex;
use aws_lc_rs::digest::{Context, SHA256};
pub(super) use reader::{ArchiveReader, ArchiveRecord, Contents};

/// Magic word and format version of the first line.
const MAGIC: &str = "wicketgate-state";
const VERSION: &str = "1";

/// A failed backup or restore; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// It is no backup.
    #[error("{0} is no backup of wicketgate's state")]
    Other(String),
    /// Something else stands where it would go.
    #[error("{0} exists and is no backup of wicketgate's state: it stays as it is; name another file")]
    Occupied(String),
    /// It, or a record in it, is of a later version.
    #[error("{0} was made by a later version of wicketgate ({1}): restore it with that version")]
    Later(String, String),
    /// It has no last line.
    #[error("{0} is cut off after {1} records: take another backup")]
    CutOff(String, u64),
    /// It is not what was written.
    #[error("{0} is damaged in line {1}: take another backup")]
    Damaged(String, u64),
    /// The state cannot be used.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// The state in Redis cannot be read or written.
    #[error("the state in Redis: {0}")]
    Redis(String),
    /// There is something already where it would go.
    #[error(
        "the state in Redis has {sessions} sessions, {families} logins with refresh tokens and {rules} revocations already: \
         with `--merge` what is there stays, and what is not comes to it"
    )]
    NotEmpty {
        /// Sessions by cookie.
        sessions: usize,
        /// Families of refresh tokens.
        families: usize,
        /// Rules.
        rules: u64,
    },
    /// Some of it was written.
    #[error(
        "broken off after {done} of {count} records: {why}. \
         Run it again with `--merge`: what is there already stays"
    )]
    BrokenOff {
        /// Records written before it broke off.
        done: u64,
        /// Records in the file.
        count: u64,
        /// The reason.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// A backup that is being written. It has its name once it is whole and on the disk.
pub struct Archive {
    file: BufWriter<File>,
    path: PathBuf,
    beside: PathBuf,
    count: u64,
    digest: Context,
    is_whole: bool,
}

impl Archive {
    /// Begins a backup. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be written there, or what is there is no backup.
    pub fn begin(path: &Path, now: u64) -> Result<Self, ArchiveFault> {
        may_replace(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let beside = PathBuf::from(name);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = BufWriter::new(made.map_err(|error| io_fault(&beside, error))?);
        let (path, digest) = (path.to_owned(), Context::new(&SHA256));
        let mut archive = Self { file, path, beside, count: 0, digest, is_whole: false };
        archive.line(&format!("{MAGIC} {VERSION} {now}"))?;
        Ok(archive)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn put(&mut self, kept: &StoredRecord) -> Result<(), ArchiveFault> {
        match kept.put() {
            Change::Put(key, value) => line(&key, &value).map_or(Ok(()), |line| self.record(&line)),
            Change::Delete(_) => Ok(()),
        }
    }

    /// Writes a line that [`line`] made.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record(&mut self, line: &str) -> Result<(), ArchiveFault> {
        self.count += 1;
        self.line(line)
    }

    /// Ends the backup and gives it its name; returns the number of records.
    ///
    /// # Errors
    /// It is not on the disk.
    pub fn finish(mut self) -> Result<u64, ArchiveFault> {
        let digest = hex_of(self.digest.clone());
        let last = format!("end {} {digest}", self.count);
        self.line(&last)?;
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let named = synced.and_then(|()| fs::rename(&self.beside, &self.path));
        named.map_err(|error| io_fault(&self.path, error))?;
        self.is_whole = true;
        Ok(self.count)
    }

    fn line(&mut self, line: &str) -> Result<(), ArchiveFault> {
        let line = format!("{line}\n");
        self.digest.update(line.as_bytes());
        self.file.write_all(line.as_bytes()).map_err(|error| io_fault(&self.beside, error))
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Fails unless `path` is free, empty, or an older backup.
fn may_replace(path: &Path) -> Result<(), ArchiveFault> {
    let occupied = || ArchiveFault::Occupied(path.display().to_string());
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_fault(path, error)),
    };
    if !metadata.is_file() {
        return Err(occupied());
    }
    if metadata.len() == 0 {
        return Ok(());
    }
    let mut first = Vec::new();
    let beginning = format!("{MAGIC} ");
    let read = File::open(path).and_then(|file| file.take(beginning.len() as u64).read_to_end(&mut first));
    read.map_err(|error| io_fault(path, error))?;
    if first == beginning.as_bytes() { Ok(()) } else { Err(occupied()) }
}

/// A record as a line of a backup; `None` if it is not text.
pub(super) fn line(key: &[u8], value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok().filter(|value| !value.contains('\n'))?;
    Some(format!("{} {value}", hex(key)))
}

/// Backs up a state that nobody has open; returns the number of records.
///
/// # Errors
/// [`ArchiveFault`].
pub fn back_up_closed(directory: &Path, path: &Path, now: u64) -> Result<u64, ArchiveFault> {
    if !directory.join(super::embedded::FILE).exists() {
        let missing = io::Error::new(io::ErrorKind::NotFound, "there is no state yet");
        return Err(io_fault(directory, missing));
    }
    let mut archive = Archive::begin(path, now)?;
    let mut failed = None;
    let state = Embedded::open(directory, |key, value| {
        let line = line(key, value).ok_or_else(|| Unreadable::Damaged("a record is no text".to_owned()))?;
        failed = failed.take().or_else(|| archive.record(&line).err());
        Ok(Fate::Live)
    })?;
    state.close();
    failed.map_or(Ok(()), Err)?;
    archive.finish()
}

/// The outcome of a restore.
#[derive(Debug)]
pub struct Restored {
    /// Time of the backup, in seconds since 1970.
    pub made: u64,
    /// Number of records.
    pub count: u64,
    /// The revocations in it.
    pub rules: Vec<Rule>,
    /// Path of the previous state, if there was one.
    pub before: Option<PathBuf>,
}

/// The fate of the logins in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logins {
    /// They end: everything issued until now is refused, and what has no number where it is dated up to `skew` seconds
    /// ahead.
    End {
        /// Seconds.
        skew: u64,
    },
    /// They stay; nothing of the previous state is kept.
    Keep,
    /// They stay, and so do the revocations of the previous state.
    Move,
}

/// Replaces the state in this directory, which nobody may have open, by a backup.
///
/// # Errors
/// [`ArchiveFault`]: the state is what it was.
pub fn restore(directory: &Path, path: &Path, logins: Logins, now: u64) -> Result<Restored, ArchiveFault> {
    let (mut reader, made) = ArchiveReader::open(path)?;
    if !directory.is_dir() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| io_fault(directory, error))?;
    }
    let mut stays = if logins == Logins::Move { all_but_logins(directory, now)? } else { HashMap::new() };
    let mut rules = Vec::new();
    // With a number: what is issued in the rest of this second is good.
    let mut number = now.saturating_add(1).saturating_mul(1_000_000);
    let before = replace_file(directory, now, |put| {
        while let Some(ArchiveRecord { key, value, kept }) = reader.record()? {
            // Where the clock was ahead, what was issued bears a later one.
            number = number.max(kept.number().saturating_add(1));
            match (kept, stays.remove(&key)) {
                (StoredRecord::Rule(rule), Some(StoredRecord::Rule(standing))) => {
                    put_kept(put, &StoredRecord::Rule(rule.clone().strictest(standing)))?;
                    rules.push(rule);
                }
                // Also where what was issued is refused: failed attempts, quotas and used ids stay.
                (kept, _) => {
                    put(&key, &value)?;
                    if let StoredRecord::Rule(rule) = kept {
                        rules.push(rule);
                    }
                }
            }
        }
        stays.values().try_for_each(|kept| put_kept(put, kept))?;
        if let Logins::End { skew } = logins {
            // What has no number may be dated ahead.
            let since = now.saturating_add(skew);
            let until = since.saturating_add(LONGEST);
            put_kept(put, &StoredRecord::Rule(Rule { number: Some(number), ..Rule::new(Subject::All, since, until) }))?;
        }
        Ok::<_, ArchiveFault>(())
    })?;
    Ok(Restored { made, count: reader.count(), rules, before })
}

/// The records of the state in this directory, without logins, by key.
fn all_but_logins(directory: &Path, now: u64) -> Result<HashMap<Vec<u8>, StoredRecord>, OpenFault> {
    let mut stands = HashMap::new();
    if directory.join(super::embedded::FILE).exists() {
        let state = Embedded::open(directory, |key, value| {
            let kept = codec::read(key, value)?;
            if !kept.is_over(now) && !matches!(kept, StoredRecord::Session(..) | StoredRecord::Family(..)) {
                stands.insert(key.to_vec(), kept);
            }
            Ok(Fate::Live)
        })?;
        state.close();
    }
    Ok(stands)
}

fn put_kept(put: &mut PutRecord<'_>, kept: &StoredRecord) -> Result<(), OpenFault> {
    match kept.put() {
        Change::Put(key, value) => put(&key, &value),
        Change::Delete(_) => Ok(()),
    }
}

fn hex_of(digest: Context) -> String {
    hex(digest.finish().as_ref())
}

fn io_fault(path: &Path, error: io::Error) -> ArchiveFault {
    ArchiveFault::Io(path.display().to_string(), error)
}
