//! The report: what was checked, what was found, what could not be checked.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::plural::counted;
use crate::version;

/// One check.
#[derive(Debug)]
pub(super) struct DoctorEntry {
    /// Its name, for scripts.
    pub(super) check: &'static str,
    /// True if it is as it should be.
    pub(super) ok: bool,
    /// What was seen.
    pub(super) saw: String,
    /// What to do, where it is not.
    pub(super) fix: Option<&'static str>,
}

/// All checks of one gateway.
#[derive(Debug)]
pub(super) struct DoctorReport {
    pub(super) url: String,
    pub(super) time: String,
    pub(super) entries: Vec<DoctorEntry>,
    /// Checks that were not made, with the reason.
    pub(super) skipped: Vec<(&'static str, String)>,
}

impl DoctorReport {
    pub(super) fn new(url: String) -> Self {
        let now = OffsetDateTime::now_utc();
        let (date, clock) = (now.date(), now.time());
        let time = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second()
        );
        Self { url, time, entries: Vec::new(), skipped: Vec::new() }
    }

    /// Notes what was seen, and what to do where that is not `ok`.
    pub(super) fn note(&mut self, check: &'static str, ok: bool, saw: impl Into<String>, fix: &'static str) {
        self.entries.push(DoctorEntry { check, ok, saw: saw.into(), fix: Some(fix).filter(|_| !ok) });
    }

    /// Notes the first fault of several, or what was seen where there is none.
    pub(super) fn note_faults(&mut self, check: &'static str, faults: &[String], good: &str, fix: &'static str) {
        let saw = if faults.is_empty() { good.to_owned() } else { faults.join("; ") };
        self.note(check, faults.is_empty(), saw, fix);
    }

    /// Notes a check that is not made.
    pub(super) fn skip(&mut self, check: &'static str, why: impl Into<String>) {
        self.skipped.push((check, why.into()));
    }

    /// Names each of these that was neither made nor skipped, with the reason.
    pub(super) fn fill(&mut self, all: &[&'static str], why: impl Fn(&Self, &str) -> String) {
        for check in all {
            let is_told = self.entries.iter().map(|entry| entry.check).any(|told| told == *check)
                || self.skipped.iter().any(|(told, _)| told == check);
            if !is_told {
                let why = why(self, check);
                self.skip(check, why);
            }
        }
    }

    /// True if this check was made.
    pub(super) fn has(&self, check: &str) -> bool {
        self.entries.iter().any(|entry| entry.check == check)
    }

    /// True if this check has a finding.
    pub(super) fn is_bad(&self, check: &str) -> bool {
        self.entries.iter().any(|entry| entry.check == check && !entry.ok)
    }

    pub(super) fn is_good(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| entry.ok)
    }

    /// The sentence that says it all.
    pub(super) fn verdict(&self) -> String {
        let findings = self.entries.iter().filter(|entry| !entry.ok).count() as u64;
        let good = self.entries.len() as u64 - findings;
        let found = if findings == 0 { "nothing to mend".to_owned() } else { counted(findings, "finding") };
        let left = counted(self.skipped.len() as u64, "check");
        format!("{found}; {} passed, {left} not made", counted(good, "check"))
    }

    pub(super) fn json(&self) -> Value {
        let entry = |entry: &DoctorEntry| {
            let mut told = json!({ "check": entry.check, "ok": entry.ok, "saw": entry.saw });
            if let Some(fix) = entry.fix {
                told["fix"] = json!(fix);
            }
            told
        };
        let skipped = |(check, why): &(&str, String)| json!({ "check": check, "why": why });
        json!({
            "ok": self.is_good(),
            "url": self.url,
            "time": self.time,
            "version": version::FULL,
            "entries": self.entries.iter().map(entry).collect::<Vec<_>>(),
            "skipped": self.skipped.iter().map(skipped).collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{} at {}, by wicketgate {}", self.url, self.time, version::FULL), String::new()];
        for entry in &self.entries {
            let mark = if entry.ok { "ok " } else { "BAD" };
            lines.push(format!("{mark}  {:<28} {}", entry.check, printable(&entry.saw)));
            lines.extend(entry.fix.map(|fix| format!("{:34}-> {fix}", "")));
        }
        for (check, why) in &self.skipped {
            lines.push(format!("--   {check:<28} not checked: {}", printable(why)));
        }
        lines.extend([String::new(), self.verdict()]);
        lines.join("\n")
    }
}

/// A text from outside, without control characters: a terminal obeys those.
fn printable(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '?' } else { sign }).collect()
}
