//! Backups of the state: one line for each record, its key in hexadecimal digits and its value as JSON, between a first line
//! that names the version and a last one with the number of records and the SHA-256 of all before. A file that was cut off or
//! changed is recognised by the last line.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::embedded::{Embedded, Fate, OpenFault, Unreadable, replace_file};
use super::record::{self, Kept};
use super::revocation::{Rule, Subject};
use super::session::hex;
use super::{LONGEST, LONGEST_SKEW};

/// What the first line begins with, and the version of all that follows.
const MAGIC: &str = "wicketgate-state";
const VERSION: &str = "1";
/// No line is longer, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Why there is no backup, or no restore; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// It is no backup.
    #[error("{0} is no backup of wicketgate's state")]
    Other(String),
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
    /// Begins one. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be written there.
    pub fn begin(path: &Path, now: u64) -> Result<Self, ArchiveFault> {
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

    /// Writes a record, as [`line`] made it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record(&mut self, line: &str) -> Result<(), ArchiveFault> {
        self.count += 1;
        self.line(line)
    }

    /// Ends it and gives it its name; how many records it has.
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

/// A record as a line of a backup; `None` where it is none of ours.
pub(super) fn line(key: &[u8], value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok().filter(|value| !value.contains('\n'))?;
    Some(format!("{} {value}", hex(key)))
}

/// A state that nobody has open, as a backup; how many records it has.
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

/// What has been restored.
#[derive(Debug)]
pub struct Restored {
    /// When the backup was made, in seconds since 1970.
    pub made: u64,
    /// How many records it has.
    pub count: u64,
    /// The revocations in it.
    pub rules: Vec<Rule>,
    /// Where the state that was there before is now.
    pub before: Option<PathBuf>,
}

/// Puts a backup in the place of the state in this directory, which nobody may have open. What was issued until `now` is
/// refused from then on, unless `keep_logins`.
///
/// # Errors
/// [`ArchiveFault`]: the state is what it was.
pub fn restore(directory: &Path, path: &Path, keep_logins: bool, now: u64) -> Result<Restored, ArchiveFault> {
    if !directory.is_dir() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| io_fault(directory, error))?;
    }
    let file = File::open(path).map_err(|error| io_fault(path, error))?;
    let mut reader = Reader { lines: BufReader::new(file), path, line: 0, digest: Context::new(&SHA256) };
    let made = reader.first()?;
    let (mut count, mut rules) = (0, Vec::new());
    // With a number: what is issued in the rest of this second is good.
    let mut number = now.saturating_add(1).saturating_mul(1_000_000);
    let before = replace_file(directory, now, |put| {
        while let Line::Record(key, value) = reader.next(count)? {
            count += 1;
            let kept = record::read(&key, &value);
            // Where the clock was ahead, what was issued bears a later one.
            number = number.max(kept.as_ref().map_or(0, |kept| kept.number().saturating_add(1)));
            match kept {
                Ok(Kept::Rule(rule)) => rules.push(rule),
                // What was issued is refused by the rule; failed attempts, quotas and used ids stay.
                Ok(_) => {}
                Err(Unreadable::Later(kind)) => return Err(ArchiveFault::Later(reader.name(), kind)),
                Err(Unreadable::Damaged(_)) => return Err(reader.damaged()),
            }
            put(&key, &value)?;
        }
        let ended =
            Rule { number: Some(number), ..Rule::new(Subject::All, now, now.saturating_add(LONGEST + LONGEST_SKEW)) };
        if !keep_logins && let super::embedded::Change::Put(key, value) = record::put_rule(&ended) {
            put(&key, &value)?;
        }
        Ok(())
    })?;
    Ok(Restored { made, count, rules, before })
}

struct Reader<'a> {
    lines: BufReader<File>,
    path: &'a Path,
    line: u64,
    digest: Context,
}

enum Line {
    Record(Vec<u8>, Vec<u8>),
    /// All was as the last line says.
    End,
}

impl Reader<'_> {
    /// When the backup was made.
    fn first(&mut self) -> Result<u64, ArchiveFault> {
        let first = self.read().ok().flatten().unwrap_or_default();
        let Some(rest) = first.strip_prefix(MAGIC) else { return Err(ArchiveFault::Other(self.name())) };
        self.digest.update(format!("{first}\n").as_bytes());
        match rest.split(' ').collect::<Vec<_>>()[..] {
            ["", VERSION, made] => made.parse().map_err(|_| self.damaged()),
            ["", version, ..] => Err(ArchiveFault::Later(self.name(), format!("format {version}"))),
            _ => Err(self.damaged()),
        }
    }

    /// The next line, of which `count` records came before.
    fn next(&mut self, count: u64) -> Result<Line, ArchiveFault> {
        let Some(line) = self.read()? else { return Err(ArchiveFault::CutOff(self.name(), count)) };
        if let Some(end) = line.strip_prefix("end ") {
            let expected = format!("{count} {}", hex_of(self.digest.clone()));
            let is_whole = end == expected && self.read()?.is_none();
            return if is_whole { Ok(Line::End) } else { Err(self.damaged()) };
        }
        self.digest.update(format!("{line}\n").as_bytes());
        let (key, value) = line.split_once(' ').ok_or_else(|| self.damaged())?;
        let digits = (0..key.len() / 2).map(|at| key.get(2 * at..2 * at + 2));
        let key: Option<Vec<u8>> = digits.map(|byte| u8::from_str_radix(byte?, 16).ok()).collect();
        Ok(Line::Record(key.ok_or_else(|| self.damaged())?, value.as_bytes().to_vec()))
    }

    /// A line that has its end; `None` where there is no other.
    fn read(&mut self) -> Result<Option<String>, ArchiveFault> {
        let mut line = Vec::new();
        self.line += 1;
        let read = io::Read::take(&mut self.lines, LONGEST_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| io_fault(self.path, error))?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        String::from_utf8(line).map(Some).map_err(|_| self.damaged())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn damaged(&self) -> ArchiveFault {
        ArchiveFault::Damaged(self.name(), self.line)
    }
}

fn hex_of(digest: Context) -> String {
    hex(digest.finish().as_ref())
}

fn io_fault(path: &Path, error: io::Error) -> ArchiveFault {
    ArchiveFault::Io(path.display().to_string(), error)
}
