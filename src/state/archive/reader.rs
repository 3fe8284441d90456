//! A backup that is read, line by line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use super::{ArchiveFault, MAGIC, VERSION, hex_of, io_fault};
use crate::state::change::Unreadable;
use crate::state::codec::{self, StoredRecord};
use crate::state::revocation::Rule;
use aws_lc_rs::digest::{Context, SHA256};

/// Longest line, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// A backup, whose first line has been read.
pub(in crate::state) struct ArchiveReader<'a> {
    lines: BufReader<File>,
    path: &'a Path,
    line: u64,
    count: u64,
    digest: Context,
}

/// A record, and its key and value as they stand in the backup.
pub(in crate::state) struct ArchiveRecord {
    pub(in crate::state) key: Vec<u8>,
    pub(in crate::state) value: Vec<u8>,
    pub(in crate::state) kept: StoredRecord,
}

/// The contents of a complete backup.
pub(in crate::state) struct Contents {
    /// Time of the backup, in seconds since 1970.
    pub(in crate::state) made: u64,
    /// Number of records.
    pub(in crate::state) count: u64,
    /// The revocations in it.
    pub(in crate::state) rules: Vec<Rule>,
    /// Highest revocation number of any record.
    pub(in crate::state) highest: u64,
}

impl Contents {
    /// Reads all of it.
    ///
    /// # Errors
    /// It is not whole, or not readable.
    pub(in crate::state) fn read(path: &Path) -> Result<Self, ArchiveFault> {
        let (mut reader, made) = ArchiveReader::open(path)?;
        let (mut rules, mut highest) = (Vec::new(), 0);
        while let Some(ArchiveRecord { kept, .. }) = reader.record()? {
            highest = highest.max(kept.number());
            if let StoredRecord::Rule(rule) = kept {
                rules.push(rule);
            }
        }
        Ok(Self { made, count: reader.count, rules, highest })
    }
}

impl<'a> ArchiveReader<'a> {
    /// Opens a backup; also returns its time, in seconds since 1970.
    ///
    /// # Errors
    /// It is no backup of this version.
    pub(in crate::state) fn open(path: &'a Path) -> Result<(Self, u64), ArchiveFault> {
        let file = File::open(path).map_err(|error| io_fault(path, error))?;
        let mut reader = Self { lines: BufReader::new(file), path, line: 0, count: 0, digest: Context::new(&SHA256) };
        let made = reader.first()?;
        Ok((reader, made))
    }

    /// Reads the first line: the time of the backup.
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

    /// The next record; `None` after the last one, where all was as the last line says.
    ///
    /// # Errors
    /// It is cut off, damaged, or of a later version.
    pub(in crate::state) fn record(&mut self) -> Result<Option<ArchiveRecord>, ArchiveFault> {
        let Some(line) = self.read()? else { return Err(ArchiveFault::CutOff(self.name(), self.count)) };
        if let Some(end) = line.strip_prefix("end ") {
            let expected = format!("{} {}", self.count, hex_of(self.digest.clone()));
            let is_whole = end == expected && self.read()?.is_none();
            return if is_whole { Ok(None) } else { Err(self.damaged()) };
        }
        self.digest.update(format!("{line}\n").as_bytes());
        let (key, value) = line.split_once(' ').ok_or_else(|| self.damaged())?;
        let digits = (0..key.len() / 2).map(|at| key.get(2 * at..2 * at + 2));
        let key: Option<Vec<u8>> = digits.map(|byte| u8::from_str_radix(byte?, 16).ok()).collect();
        let (key, value) = (key.ok_or_else(|| self.damaged())?, value.as_bytes().to_vec());
        self.count += 1;
        match codec::read(&key, &value) {
            Ok(kept) => Ok(Some(ArchiveRecord { key, value, kept })),
            Err(Unreadable::Later(kind)) => Err(ArchiveFault::Later(self.name(), kind)),
            Err(Unreadable::Damaged(_)) => Err(self.damaged()),
        }
    }

    /// Number of records read so far.
    pub(in crate::state) fn count(&self) -> u64 {
        self.count
    }

    /// The next complete line; `None` at the end of the file.
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
