//! Numbers, times and names as people read them.

use crate::key_validity::format_time;

/// A rate per second: `0.3`, `12`, `1,204`.
pub fn rate(rate: f64) -> String {
    if rate >= 10.0 {
        count(rate.round() as u64)
    } else if rate == 0.0 {
        "0".to_owned()
    } else {
        format!("{rate:.1}")
    }
}

/// A number with a comma between thousands.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A duration of so many seconds: `0.42 ms`, `120 ms`, `1.20 s`.
pub fn duration(seconds: f64) -> String {
    match seconds * 1e3 {
        millis if millis < 10.0 => format!("{millis:.2} ms"),
        millis if millis < 1e3 => format!("{millis:.0} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

/// The same, or `–` where there is none.
pub fn maybe_duration(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), duration)
}

/// A span of so many seconds in its largest unit: `40 s`, `12 min`, `3 h`, `9 d`. Nothing that changes each second.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => "less than 1 min".to_owned(),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time in seconds since 1970: `2026-11-28 08:20:09Z`.
pub fn time(seconds: u64) -> String {
    format_time(seconds).replace('T', " ")
}

/// The same without its date where that is the day of `now`.
pub fn time_of_day(seconds: u64, now: u64) -> String {
    let shown = time(seconds);
    match shown.split_once(' ') {
        Some((_, clock)) if seconds / 86_400 == now / 86_400 => clock.to_owned(),
        _ => shown,
    }
}

/// The same, or `–`.
pub fn maybe_time(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), time)
}

/// True for characters that are not seen or change how others are.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_their_unit() {
        assert_eq!([0.0, 0.26, 9.94, 1_204.4].map(rate), ["0", "0.3", "9.9", "1,204"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.000_42, 0.12, 1.2].map(duration), ["0.42 ms", "120 ms", "1.20 s"]);
        assert_eq!([5, 61, 7_300, 864_000].map(span), ["less than 1 min", "1 min", "2 h", "10 d"]);
        assert_eq!(time(1_795_854_009), "2026-11-28 08:20:09Z");
        assert_eq!(time_of_day(1_795_854_009, 1_795_854_100), "08:20:09Z");
        assert_eq!(time_of_day(1_795_854_009, 1_795_940_500), "2026-11-28 08:20:09Z");
    }
}
