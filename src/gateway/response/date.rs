//! `Date` of responses (RFC 9110 section 6.6.1), written once a second on each worker.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use time::OffsetDateTime;

thread_local! {
    /// The second since 1970, and its date.
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// The present date.
pub(crate) fn date() -> HeaderValue {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(second, value)| {
        if *second != now
            && let Some(written) = written(now)
        {
            (*second, *value) = (now, written);
        }
        value.clone()
    })
}

/// The IMF-fixdate of a second since 1970 (RFC 9110 section 5.6.7).
fn written(second: u64) -> Option<HeaderValue> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(second).ok()?).ok()?;
    let (weekday, month) = (time.weekday().to_string(), time.month().to_string());
    let (day, year, (hour, minute, second)) = (time.day(), time.year(), time.to_hms());
    let text =
        format!("{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", weekday.get(..3)?, month.get(..3)?);
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_the_rfc_writes_it() {
        assert_eq!(written(784_111_777), Some(HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")));
        assert_eq!(written(1_709_164_800), Some(HeaderValue::from_static("Thu, 29 Feb 2024 00:00:00 GMT")));
    }
}
