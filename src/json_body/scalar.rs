//! Strings, numbers and words of a JSON text, held against the grammar (RFC 8259). What has two readings is refused
//! (RFC 7493): lone surrogates, and numbers beyond the range of a double. `None` is refusal.

use std::borrow::Cow;

use super::JsonFault;

/// A number that is written in so many bytes, with an exponent of two digits, is within the range of a double.
const SHORT_NUMBER: usize = 128;

const LOW_BITS: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = LOW_BITS << 7;

/// Checks the string that starts at `start`. Returns the offset behind it, and whether it has escapes.
#[inline(always)]
pub(super) fn string(text: &[u8], start: usize) -> Option<(usize, bool)> {
    let inside = start + 1;
    if let Some(bytes) = text[inside..].first_chunk() {
        let plain = plain_bytes(u64::from_le_bytes(*bytes));
        match bytes.get(plain) {
            // Most names and many values end within the first word.
            Some(b'"') => return Some((inside + plain + 1, false)),
            Some(_) => {}
            None => {
                let end = inside + plain + plain_words(&text[inside + plain..]);
                if text.get(end) == Some(&b'"') {
                    return Some((end + 1, false));
                }
            }
        }
    }
    odd_string(text, inside)
}

/// A string, from behind its quotation mark on, with escapes, letters that are not ASCII, or near the end of the text.
#[inline(never)]
fn odd_string(text: &[u8], inside: usize) -> Option<(usize, bool)> {
    let (mut at, mut is_escaped) = (inside, false);
    loop {
        at += count_words(&text[at..], unescaped_bytes);
        at += text[at..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
        match text.get(at) {
            Some(b'"') => break,
            Some(b'\\') => at = escape(text, at + 1)?,
            _ => return None,
        }
        is_escaped = true;
    }
    std::str::from_utf8(&text[inside..at]).ok()?;
    Some((at + 1, is_escaped))
}

#[inline(never)]
fn plain_words(text: &[u8]) -> usize {
    count_words(text, plain_bytes)
}

/// Counts bytes word by word, up to a word in which they do not all count. The rest that is no word is left out.
#[inline(always)]
fn count_words(text: &[u8], count_bytes: impl Fn(u64) -> usize) -> usize {
    let mut count = 0;
    for bytes in text.as_chunks().0 {
        let counted = count_bytes(u64::from_le_bytes(*bytes));
        count += counted;
        if counted < bytes.len() {
            break;
        }
    }
    count
}

/// Counts the bytes before the first quotation mark, backslash, control character or byte that is not ASCII.
#[inline(always)]
fn plain_bytes(word: u64) -> usize {
    ((special_bytes(word) | word) & HIGH_BITS).trailing_zeros() as usize / 8
}

/// Counts the bytes before the first quotation mark, backslash or control character.
#[inline(always)]
fn unescaped_bytes(word: u64) -> usize {
    (special_bytes(word) & !word & HIGH_BITS).trailing_zeros() as usize / 8
}

/// Sets the highest bit of the first quotation mark, backslash or control character. That of the bytes behind it, and
/// of those that are not ASCII, has no meaning: the subtractions carry on from there.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    let quotation = (word ^ (LOW_BITS * 0x22)).wrapping_sub(LOW_BITS);
    let backslash = (word ^ (LOW_BITS * 0x5c)).wrapping_sub(LOW_BITS);
    let control = word.wrapping_sub(LOW_BITS * 0x20);
    quotation | backslash | control
}

/// Checks the escape sequence with its backslash just before `at`. Returns the offset behind it.
fn escape(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(at + 1),
        Some(b'u') => match code_unit(text, at + 1)? {
            // Surrogates stand in pairs.
            0xd800..=0xdbff if text[at + 5..].starts_with(b"\\u") => match code_unit(text, at + 7)? {
                0xdc00..=0xdfff => Some(at + 11),
                _ => None,
            },
            0xd800..=0xdfff => None,
            _ => Some(at + 5),
        },
        _ => None,
    }
}

/// A code unit of UTF-16, in four hexadecimal digits.
fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |unit, digit| char::from(*digit).to_digit(16).map(|digit| unit << 4 | digit))
}

/// The text of a string as it is written, with its quotation marks.
pub(super) fn unescaped(written: &[u8]) -> Result<Cow<'_, str>, JsonFault> {
    let text = std::str::from_utf8(&written[1..written.len() - 1]).map_err(|_| JsonFault::NotJson)?;
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    serde_json::from_slice(written).map(Cow::Owned).map_err(|_| JsonFault::NotJson)
}

/// Checks the number that starts at `start`. Returns the offset behind it.
#[inline(always)]
pub(super) fn number(text: &[u8], start: usize) -> Option<usize> {
    let first = if text.get(start) == Some(&b'-') { start + 1 } else { start };
    let end = if text.get(first) == Some(&b'0') { first + 1 } else { digits(text, first)? };
    match text.get(end) {
        Some(b'.' | b'e' | b'E') => fraction(text, start, end),
        _ => in_range(text, start, end, 0),
    }
}

/// Checks the rest of a number: the fraction at `at`, the exponent, or both.
fn fraction(text: &[u8], start: usize, mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    let Some(b'e' | b'E') = text.get(at) else { return in_range(text, start, at, 0) };
    let first = if let Some(b'+' | b'-') = text.get(at + 1) { at + 2 } else { at + 1 };
    let end = digits(text, first)?;
    in_range(text, start, end, end - first)
}

/// Refuses a number that is out of range. `exponent` is the number of digits of its exponent.
#[inline(always)]
fn in_range(text: &[u8], start: usize, end: usize, exponent: usize) -> Option<usize> {
    let is_in_range = exponent <= 2 && end - start <= SHORT_NUMBER || is_double(&text[start..end]);
    is_in_range.then_some(end)
}

#[cold]
fn is_double(number: &[u8]) -> bool {
    serde_json::from_slice::<f64>(number).is_ok()
}

/// The offset behind one digit or more.
#[inline(always)]
fn digits(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while text.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    (end > start).then_some(end)
}

/// Checks the word that starts at `start`. Returns the offset behind it.
#[inline(always)]
pub(super) fn word(text: &[u8], start: usize, word: &[u8]) -> Option<usize> {
    text[start..].starts_with(word).then_some(start + word.len())
}
