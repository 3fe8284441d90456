//! Verification of an audit log, file after file: every line is whole and follows the one before. It reads a million lines
//! in seconds, and keeps none.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::audit_file::LONGEST_LINE;
use super::chain::{ChainHead, ChainedLine};
use crate::hex::hex;

/// How a line says that lines before it are gone. No detail can have these bytes: its quotes are escaped.
const GONE: &[u8] = br#""event":"lines_gone""#;

/// A log that is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WholeLog {
    /// Lines of the chain.
    pub lines: u64,
    /// The number of its first line; more than 1 where files before it were not given.
    pub begins_at: u64,
    /// The last line.
    pub head: ChainHead,
    /// Lines before the chain, as versions before it wrote.
    pub unchained: u64,
    /// Bytes of an incomplete last line, as a crash leaves it.
    pub incomplete: u64,
    /// The hash that was looked for is in the chain.
    pub has_anchor: bool,
}

/// The first thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum BrokenLog {
    /// A line.
    #[error("{}:{line}: {flaw}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        flaw: LineFlaw,
    },
    /// A file that cannot be read.
    #[error("{}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFlaw {
    /// Another program wrote it, or its end was edited.
    NotChained,
    /// Its content is not that of its hash.
    Edited,
    /// So many lines before it are missing.
    Missing(u64),
    /// Its number was there before.
    Misplaced {
        /// Its number.
        seq: u64,
        /// The number of the line before.
        after: u64,
    },
    /// It has the right number, and follows another line than the one before it.
    OtherPredecessor,
    /// The first line of a file does not say that it is.
    NoBeginning,
    /// It says that lines before it were removed while the gateway ran.
    LinesGone,
    /// The lines before the chain are not those that its first line names.
    UnchainedEdited,
}

impl fmt::Display for LineFlaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotChained => {
                formatter.write_str("this is no line of the chain: it was put in, or its end was edited")
            }
            Self::Edited => formatter.write_str("this line was edited: its content is not that of its hash"),
            Self::Missing(1) => formatter.write_str("1 line before this one was removed"),
            Self::Missing(count) => write!(formatter, "{count} lines before this one were removed"),
            Self::Misplaced { seq, after } => {
                write!(formatter, "this line was put in or moved: its number is {seq}, and the line before has {after}")
            }
            Self::OtherPredecessor => formatter.write_str(
                "this line does not follow the one before it: one of both was replaced, or lines between them were",
            ),
            Self::NoBeginning => formatter.write_str(
                "the log does not begin here: lines before this one were removed, or the file before is not named",
            ),
            Self::LinesGone => formatter.write_str(
                "the gateway noted here that the file was cut off or removed while it ran: lines before this one are gone",
            ),
            Self::UnchainedEdited => {
                formatter.write_str("the lines before this one are not those that were here when the chain began")
            }
        }
    }
}

/// Verifies files in their order, the oldest first. `anchor` is a hash that was noted elsewhere, which must be in the chain.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(files: &[PathBuf], anchor: Option<&str>) -> Result<WholeLog, BrokenLog> {
    let mut walk = Walk { log: WholeLog::default(), anchor, has_begun: false };
    for file in files {
        walk.file(file)?;
    }
    Ok(walk.log)
}

struct Walk<'a> {
    log: WholeLog,
    anchor: Option<&'a str>,
    /// A line of the chain has been seen.
    has_begun: bool,
}

impl Walk<'_> {
    fn file(&mut self, path: &Path) -> Result<(), BrokenLog> {
        let unreadable = |error| BrokenLog::File { file: path.to_owned(), error };
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(unreadable)?);
        let (mut bytes, mut line, mut unchained) = (Vec::new(), 0, Context::new(&SHA256));
        let mut is_first = true;
        self.log.incomplete = 0;
        loop {
            bytes.clear();
            (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes).map_err(unreadable)?;
            if bytes.is_empty() {
                return Ok(());
            }
            line += 1;
            let flaw = |flaw| BrokenLog::Line { file: path.to_owned(), line, flaw };
            let Some(content) = bytes.strip_suffix(b"\n") else {
                if bytes.len() >= LONGEST_LINE {
                    return Err(flaw(LineFlaw::NotChained));
                }
                self.log.incomplete = bytes.len() as u64;
                return Ok(());
            };
            match ChainedLine::parse(content) {
                Some(chained) => {
                    self.chained(&chained, content, is_first, &unchained).map_err(flaw)?;
                    is_first = false;
                }
                // Versions before this chain wrote lines without hashes.
                None if is_first && !self.has_begun => {
                    self.log.unchained += 1;
                    unchained.update(&bytes);
                }
                None => return Err(flaw(LineFlaw::NotChained)),
            }
        }
    }

    fn chained(
        &mut self,
        line: &ChainedLine<'_>,
        content: &[u8],
        is_first: bool,
        unchained: &Context,
    ) -> Result<(), LineFlaw> {
        if !line.is_whole() {
            return Err(LineFlaw::Edited);
        }
        if is_first {
            let told: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
            if told["event"] != "opened" {
                return Err(LineFlaw::NoBeginning);
            }
            let named = told["unchained_sha256"].as_str();
            let found = (!self.has_begun && self.log.unchained > 0).then(|| hex(unchained.clone().finish().as_ref()));
            if named != found.as_deref() {
                return Err(LineFlaw::UnchainedEdited);
            }
        }
        let last = &self.log.head;
        if self.has_begun && line.previous != last.hash {
            return Err(match line.seq {
                seq if seq == last.seq.saturating_add(1) => LineFlaw::OtherPredecessor,
                seq if seq > last.seq => LineFlaw::Missing(seq - last.seq - 1),
                seq => LineFlaw::Misplaced { seq, after: last.seq },
            });
        }
        let is_anchor = |hash: &str| self.anchor.is_some_and(|anchor| anchor.eq_ignore_ascii_case(hash));
        if memchr::memmem::find(content, GONE).is_some() {
            return Err(LineFlaw::LinesGone);
        }
        if !self.has_begun {
            self.log.begins_at = line.seq;
        }
        self.log.has_anchor |= is_anchor(line.hash) || is_anchor(line.previous);
        self.log.head = line.head();
        self.log.lines += 1;
        self.has_begun = true;
        Ok(())
    }
}
