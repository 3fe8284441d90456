//! Pieces of log lines: JSON members, times in UTC, and text that cannot end a line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Adds `before`, and a text as the inside of a JSON string.
pub fn text(line: &mut Vec<u8>, before: &str, value: &str) {
    let must_be_escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    line.extend_from_slice(before.as_bytes());
    // Looks at every byte, also behind one that was found: so the compiler takes many at a time.
    if !value.bytes().fold(false, |found, byte| found | must_be_escaped(byte)) {
        line.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => line.push(byte),
        }
    }
}

/// Adds `before`, and a JSON string, or `null`.
pub fn optional(line: &mut Vec<u8>, before: &str, value: Option<&str>) {
    line.extend_from_slice(before.as_bytes());
    match value {
        None => line.extend_from_slice(b"null"),
        Some(value) => {
            text(line, "\"", value);
            line.push(b'"');
        }
    }
}

/// Adds `before` and a number.
pub fn number(line: &mut Vec<u8>, before: &str, value: u64) {
    line.extend_from_slice(before.as_bytes());
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Adds a word for people: what is not printable, and spaces, are escaped. `-` stands for nothing.
pub fn word(line: &mut Vec<u8>, value: Option<&str>) {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return line.push(b'-') };
    for sign in value.chars() {
        if sign.is_control() || sign.is_whitespace() || matches!(sign, '"' | '\\' | '\u{2028}' | '\u{2029}') {
            line.extend(sign.escape_unicode().map(|sign| sign as u8));
        } else {
            line.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Microseconds of a duration.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Adds a time by RFC 3339, in UTC with milliseconds.
pub fn timestamp(line: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds =
        i64::try_from(since.as_secs()).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let time = seconds.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let ((year, month, day), (hour, minute, second)) = (time.to_calendar_date(), time.to_hms());
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[..4], year.unsigned_abs());
    for (at, number) in [(5, u8::from(month)), (8, day), (11, hour), (14, minute), (17, second)] {
        digits(&mut text[at..at + 2], u32::from(number));
    }
    digits(&mut text[20..23], since.subsec_millis());
    line.extend_from_slice(&text);
}

/// Fills the place with the last digits of a number.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_line_cannot_end_the_line() {
        let mut line = Vec::new();
        text(&mut line, "\"", "a\"b\\c\nd\u{1b}[31m");
        assert_eq!(String::from_utf8_lossy(&line), r#""a\"b\\c\u000ad\u001b[31m"#);
    }

    #[test]
    fn a_word_for_people_is_one_word_without_control_characters() {
        let mut line = Vec::new();
        word(&mut line, Some("a b\n\u{1b}[31m\u{9b}\"é"));
        line.push(b' ');
        word(&mut line, Some(""));
        let shown = r#"a\u{20}b\u{a}\u{1b}[31m\u{9b}\u{22}é -"#;
        assert_eq!(String::from_utf8_lossy(&line), shown);
    }

    #[test]
    fn times_are_in_utc_with_milliseconds() {
        let mut line = Vec::new();
        timestamp(&mut line, SystemTime::UNIX_EPOCH + Duration::from_millis(1_570_733_606_449));
        assert_eq!(String::from_utf8_lossy(&line), "2019-10-10T18:53:26.449Z");
    }
}
