//! Validity periods of keys and hashes, as they stand in a list:
//! `VALUE`, `VALUE until 2026-12-01T00:00:00Z`, `VALUE from 2026-11-24T10:00:00Z until …`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use time::{Date, Month, OffsetDateTime, Time};

/// A value and its validity, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity<'a> {
    /// The value.
    pub value: &'a str,
    /// First second of use. It is accepted before: other replicas may be ahead.
    pub from: u64,
    /// First second in which it is no longer accepted.
    pub until: u64,
}

impl<'a> Validity<'a> {
    /// Parses a value with its times.
    ///
    /// # Errors
    /// The fault, without the value.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let mut dated = Self { value: words.next().unwrap_or_default(), from: 0, until: u64::MAX };
        while let Some(word) = words.next() {
            let time = words.next().and_then(parse_time);
            match (word, time) {
                ("from", Some(time)) if dated.from == 0 => dated.from = time,
                ("until", Some(time)) if dated.until == u64::MAX => dated.until = time,
                _ => return Err(
                    "after the value there is only `from TIME` and `until TIME`, such as until 2026-12-01T00:00:00Z"
                        .to_owned(),
                ),
            }
        }
        if dated.from >= dated.until {
            return Err("it would end before it begins".to_owned());
        }
        Ok(dated)
    }

    /// The value with its times, as [`Validity::parse`] reads it.
    pub fn text(&self) -> String {
        let mut text = self.value.to_owned();
        if self.from > 0 {
            text.push_str(&format!(" from {}", format_time(self.from)));
        }
        if self.until < u64::MAX {
            text.push_str(&format!(" until {}", format_time(self.until)));
        }
        text
    }
}

/// `2026-12-01T00:00:00Z` (RFC 3339, in UTC) in seconds since 1970.
pub fn parse_time(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if bytes.len() != 20 || separators.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u16>().ok()
    };
    let small = |from, to| number(from, to).and_then(|number| u8::try_from(number).ok());
    let month = Month::try_from(small(5, 7)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8, 10)?).ok()?;
    let clock = Time::from_hms(small(11, 13)?, small(14, 16)?, small(17, 19)?).ok()?;
    u64::try_from(OffsetDateTime::new_utc(date, clock).unix_timestamp()).ok()
}

/// Seconds since 1970 as `2026-12-01T00:00:00Z`.
pub fn format_time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(time) = time.filter(|time| time.year() <= 9999) else { return "9999-12-31T23:59:59Z".to_owned() };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Last use of a key.
#[derive(Debug, Default)]
pub struct LastUse(AtomicU64);

impl LastUse {
    /// Records a use, in seconds since 1970.
    pub fn note(&self, now: u64) {
        // Workers that write the same second again would wait for each other.
        if self.0.load(Ordering::Relaxed) < now {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    /// Last use in seconds since 1970; `None` if unknown.
    pub fn seconds(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }
}

/// One version of a key, a secret or a credential.
#[derive(Debug, Clone)]
pub struct KeyVersion {
    /// Kind: `signing_key`, `cookie_key`, `api_key`, `client_secret` or `identifier_key`.
    pub kind: &'static str,
    /// Id, if several things have such keys.
    pub id: String,
    /// Name of the version: part of a digest, or a number.
    pub version: String,
    /// First second of use.
    pub from: u64,
    /// First second in which it is no longer accepted.
    pub until: u64,
    /// Last use.
    pub used: Arc<LastUse>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_with_its_times_and_written_again() {
        let text = "abc from 2026-11-24T10:00:00Z until 2026-12-01T00:00:00Z";
        let dated = Validity::parse(text).unwrap();
        assert_eq!(dated, Validity { value: "abc", from: 1_795_514_400, until: 1_796_083_200 });
        assert_eq!(dated.text(), text);
        assert_eq!(Validity::parse("abc").unwrap().text(), "abc");
        for wrong in [
            "abc until",
            "abc until tomorrow",
            "abc until 2026-12-01",
            "abc until 2026-13-01T00:00:00Z",
            "abc until 2026-12-01T00:00:00+01:00",
            "abc until 2026-12-01T00:00:00Z until 2026-12-01T00:00:00Z",
            "abc from 2026-12-01T00:00:00Z until 2026-12-01T00:00:00Z",
            "abc def",
        ] {
            let fault = Validity::parse(wrong).unwrap_err();
            assert!(!fault.contains("abc"), "{wrong}: {fault}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        for seconds in [0, 951_827_696, 1_795_514_400, 253_402_300_799] {
            assert_eq!(parse_time(&format_time(seconds)), Some(seconds));
        }
        assert_eq!(format_time(u64::MAX), "9999-12-31T23:59:59Z");
        for wrong in
            ["", "2026-02-30T00:00:00Z", "2026-01-01t00:00:00Z", "+026-01-01T00:00:00Z", "2026-01-01T24:00:00Z"]
        {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }
}
