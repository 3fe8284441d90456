//! The chain of lines: each holds the hash of the line before, and its own. The hash of a line is the SHA-256 of its
//! bytes up to its own hash.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};

use super::audit_event::AuditEvent;
use crate::hex::hex;
use crate::log_line::{number, text, timestamp};

/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;
/// What stands before the hash of the line before, and before its own.
const PREVIOUS: &[u8] = b",\"prev\":\"";
const OWN: &[u8] = b"\",\"hash\":\"";
const END: &[u8] = b"\"}";

/// The hash before the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last line of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// Its number; 0 before the first line.
    pub seq: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
}

impl Default for ChainHead {
    fn default() -> Self {
        Self { seq: 0, hash: NOTHING.to_owned() }
    }
}

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChainedLine<'l> {
    pub(super) seq: u64,
    pub(super) previous: &'l str,
    pub(super) hash: &'l str,
    /// All that its hash covers.
    hashed: &'l [u8],
}

impl<'l> ChainedLine<'l> {
    /// Takes a line apart, without its line break; `None` if it is none of a chain.
    pub(super) fn parse(line: &'l [u8]) -> Option<Self> {
        let (rest, hash) = hash_at_end(line.strip_suffix(END)?)?;
        let hashed = rest.strip_suffix(OWN)?;
        let (rest, previous) = hash_at_end(hashed)?;
        let members = rest.strip_suffix(PREVIOUS)?.strip_prefix(b"{\"seq\":")?;
        let digits = members.split(|byte| *byte == b',').next()?;
        let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self { seq, previous, hash, hashed: &line[..hashed.len()] })
    }

    /// True if its hash is that of its bytes.
    pub(super) fn is_whole(&self) -> bool {
        hex(digest(&SHA256, self.hashed).as_ref()) == self.hash
    }

    /// It as the last one of its chain.
    pub(super) fn head(&self) -> ChainHead {
        ChainHead { seq: self.seq, hash: self.hash.to_owned() }
    }
}

fn hash_at_end(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let (rest, hash) = bytes.split_at_checked(bytes.len().checked_sub(DIGITS)?)?;
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if !hash.iter().all(is_digit) {
        return None;
    }
    Some((rest, std::str::from_utf8(hash).ok()?))
}

/// Adds the line of an event, which follows `head`; returns it as the new head.
pub(super) fn add(lines: &mut Vec<u8>, head: &ChainHead, time: SystemTime, event: &AuditEvent) -> ChainHead {
    let (begin, seq) = (lines.len(), head.seq.saturating_add(1));
    number(lines, "{\"seq\":", seq);
    lines.extend_from_slice(b",\"time\":\"");
    timestamp(lines, time);
    text(lines, "\",\"event\":\"", event.name);
    text(lines, "\",\"outcome\":\"", &event.outcome);
    lines.push(b'"');
    for (key, value) in &event.details {
        text(lines, ",\"", key);
        lines.extend_from_slice(b"\":");
        lines.extend_from_slice(value.to_string().as_bytes());
    }
    lines.extend_from_slice(PREVIOUS);
    lines.extend_from_slice(head.hash.as_bytes());
    let hash = hex(digest(&SHA256, &lines[begin..]).as_ref());
    lines.extend_from_slice(OWN);
    lines.extend_from_slice(hash.as_bytes());
    lines.extend_from_slice(END);
    lines.push(b'\n');
    ChainHead { seq, hash }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_json_and_follows_the_one_before() {
        let mut lines = Vec::new();
        let event = AuditEvent::new("login", "ok").with("client", "a\"b\n").with("count", 3);
        let first = add(&mut lines, &ChainHead::default(), SystemTime::UNIX_EPOCH, &event);
        let second = add(&mut lines, &first, SystemTime::UNIX_EPOCH, &event);
        let all: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
        assert_eq!(all.len(), 3);
        let json: serde_json::Value = serde_json::from_slice(all[0]).unwrap();
        assert_eq!((json["seq"].as_u64(), json["client"].as_str()), (Some(1), Some("a\"b\n")));
        assert_eq!(json["prev"], NOTHING);
        let line = ChainedLine::parse(all[1]).unwrap();
        assert!(line.is_whole());
        assert_eq!((line.seq, line.previous, line.head()), (2, first.hash.as_str(), second));
        let edited = String::from_utf8(all[1].to_vec()).unwrap().replace("\"count\":3", "\"count\":4");
        assert!(!ChainedLine::parse(edited.as_bytes()).unwrap().is_whole());
        assert_eq!(ChainedLine::parse(b"{\"seq\":1}"), None);
    }
}
