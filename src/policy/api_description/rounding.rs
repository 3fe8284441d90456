//! Numbers that a double cannot hold as they are written: what is compared would not be what a backend may read.

/// Decimal digits that a double always tells apart.
const EXACT_DIGITS: usize = 15;

/// Returns whether a JSON text has a number that becomes a whole one only by rounding.
pub(super) fn has_rounded_number(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = behind_string(text, at + 1),
            b'-' | b'0'..=b'9' => {
                let length = text[at..].iter().take_while(|byte| is_of_number(**byte)).count();
                if std::str::from_utf8(&text[at..at + length]).is_ok_and(is_rounded) {
                    return true;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    false
}

/// Returns whether this byte may stand in a number.
pub(super) fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eE".contains(&byte)
}

/// Returns whether a number is a whole one only by rounding, or too large to be exact.
pub(super) fn is_rounded(number: &str) -> bool {
    if number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok() {
        return false;
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_matches('0');
    let value = number.parse::<f64>().unwrap_or(f64::INFINITY);
    (value == 0.0 && !significant.is_empty()) || (significant.len() > EXACT_DIGITS && value.fract() == 0.0)
}

fn behind_string(text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_whole_only_by_rounding_are_found_outside_of_strings() {
        for rounded in ["10.0000000000000000000000000001", "90.000000000000001", "1e-400", "-18446744073709551617"] {
            assert!(has_rounded_number(format!("{{\"a\\\"\":[1,{rounded}]}}").as_bytes()), "{rounded}");
            assert!(!has_rounded_number(format!("{{\"a\":\"\\\"{rounded}\"}}").as_bytes()), "{rounded}");
        }
        for exact in
            ["10", "10.000000000000000000000", "1e3", "0.1", "0.3333333333333333333", "18446744073709551615", "-0.0"]
        {
            assert!(!has_rounded_number(exact.as_bytes()), "{exact}");
        }
    }
}
