//! Request paths have one reading, or they are refused.
//!
//! Routes are matched byte for byte against the path that the backend gets. A path that a server behind us could read
//! differently (dot segments, `//`, encoded slashes, `;`, double encoding, trailing dots, escapes that are no UTF-8,
//! ...) has no normal form. Some of these forms a route can allow; then all readings of the path must lead to that
//! route, and none may have dot segments.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode_str;

/// The path can be read in more than one way, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// A path as it is matched and forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normal<'a> {
    /// The path.
    pub text: Cow<'a, str>,
    /// Forms in it that some servers read differently.
    pub non_canonical: NonCanonical,
}

/// A set of forms that some servers read differently from others, and that a route can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NonCanonical(u8);

impl NonCanonical {
    /// `%2F`
    pub const ENCODED_SLASH: Self = Self(1);
    /// `%5C`
    pub const ENCODED_BACKSLASH: Self = Self(2);
    /// `%25`
    pub const ENCODED_PERCENT: Self = Self(4);
    /// `;`, also as `%3B`
    pub const SEMICOLON: Self = Self(8);
    /// `//`, but for the beginning of a path
    pub const DOUBLE_SLASH: Self = Self(16);
    /// A dot at the end of a segment, which Windows drops.
    pub const TRAILING_DOT: Self = Self(32);
    /// A space at the end of a segment, which Windows drops.
    pub const TRAILING_SPACE: Self = Self(64);
    /// `:$`, with which NTFS names another stream of the same file or directory.
    pub const STREAM_NAME: Self = Self(128);

    /// Returns whether there are none.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns whether all of another set are in this one.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds another set.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The path as it is matched and forwarded: escaped letters, digits and `-._~` are written plainly
/// (RFC 3986 section 6.2.2.2), escapes in upper case, all else as it came.
///
/// # Errors
/// [`Ambiguous`] where there is no such form that any route could allow.
pub fn normal(path: &str) -> Result<Normal<'_>, Ambiguous> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Ambiguous);
    }
    let mut non_canonical = NonCanonical::default();
    let has_escapes = memchr(b'%', bytes).is_some();
    let text = if has_escapes { Cow::Owned(unescaped(bytes, &mut non_canonical)?) } else { Cow::Borrowed(path) };
    let plain = text.as_bytes();
    for byte in plain {
        match byte {
            b';' => non_canonical.add(NonCanonical::SEMICOLON),
            b'\\' | b'?' | b'#' => return Err(Ambiguous),
            byte if !byte.is_ascii_graphic() => return Err(Ambiguous),
            _ => {}
        }
    }
    // A path that begins with two slashes could be taken for the name of a host (RFC 3986 section 4.2).
    if plain.starts_with(b"//") || (has_escapes && !is_text(&text)) {
        return Err(Ambiguous);
    }
    // Most paths have nothing that could be dropped.
    if has_escapes || memchr(b'.', plain).is_some() {
        for segment in text.split('/') {
            let kept = trimmed(segment);
            let dropped = &segment[kept.len()..];
            if dropped.contains('.') {
                if kept.is_empty() {
                    return Err(Ambiguous);
                }
                non_canonical.add(NonCanonical::TRAILING_DOT);
            }
            if dropped.contains([' ', '%']) {
                non_canonical.add(NonCanonical::TRAILING_SPACE);
            }
        }
    }
    if (has_escapes || memchr(b'$', plain).is_some()) && stream_name(&text).is_some() {
        non_canonical.add(NonCanonical::STREAM_NAME);
    }
    if plain.windows(2).any(|pair| pair == b"//") {
        non_canonical.add(NonCanonical::DOUBLE_SLASH);
    }
    Ok(Normal { text, non_canonical })
}

/// Returns whether a segment is only dots, with or without spaces, that lead elsewhere.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| segment.contains('.') && trimmed(segment).is_empty())
}

/// A segment without the dots and spaces at its end.
fn trimmed(segment: &str) -> &str {
    let mut rest = segment;
    loop {
        let shorter = rest.trim_end_matches(['.', ' ']);
        let shorter = shorter.strip_suffix("%20").unwrap_or(shorter);
        if shorter.len() == rest.len() {
            return rest;
        }
        rest = shorter;
    }
}

/// Offset of the name of a stream in a path: a colon before a dollar sign, both also as escapes.
fn stream_name(path: &str) -> Option<usize> {
    let colons = path.match_indices([':', '%']).map(|(at, _)| at);
    colons.filter_map(|at| Some((at, after(&path[at..], ':')?))).find_map(|(at, rest)| after(rest, '$').map(|_| at))
}

/// The rest of a text after this first character, which may be escaped.
fn after(text: &str, character: char) -> Option<&str> {
    let is_escaped = escaped(text.as_bytes()).is_some_and(|byte| char::from(byte) == character);
    if text.starts_with('%') && is_escaped { text.get(3..) } else { text.strip_prefix(character) }
}

/// Returns whether the decoded path is UTF-8, without control characters (C0, DEL, C1).
fn is_text(path: &str) -> bool {
    !path.contains('%')
        || percent_decode_str(path).decode_utf8().is_ok_and(|decoded| !decoded.chars().any(char::is_control))
}

fn unescaped(path: &[u8], non_canonical: &mut NonCanonical) -> Result<String, Ambiguous> {
    let mut normal = String::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        if path[at] != b'%' {
            normal.push(char::from(path[at]));
            at += 1;
            continue;
        }
        match escaped(&path[at..]).ok_or(Ambiguous)? {
            plain @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => {
                normal.push(char::from(plain))
            }
            other => {
                // A separator of segments or of parameters to somebody; a per cent sign that could escape again.
                non_canonical.add(match other {
                    b'/' => NonCanonical::ENCODED_SLASH,
                    b'\\' => NonCanonical::ENCODED_BACKSLASH,
                    b'%' => NonCanonical::ENCODED_PERCENT,
                    b';' => NonCanonical::SEMICOLON,
                    _ => NonCanonical::default(),
                });
                normal.push_str(&format!("%{other:02X}"));
            }
        }
        at += 3;
    }
    Ok(normal)
}

/// The byte for which the escape stands with which these bytes begin.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

/// All ways in which servers read a path in which something is odd, itself among them. Each of them does some of this:
/// decode once more, take encoded slashes and backslashes for slashes, drop parameters, names of streams, dots and
/// spaces at the end of segments, empty segments.
///
/// # Errors
/// [`Ambiguous`] where one of them has dot segments, control characters, or escapes that are no UTF-8.
pub fn readings(path: &str, non_canonical: NonCanonical) -> Result<Vec<String>, Ambiguous> {
    let mut all = vec![path.to_owned()];
    if non_canonical.has(NonCanonical::ENCODED_PERCENT) {
        also(&mut all, decoded_again);
    }
    // What is decoded again can have any of the rest in it.
    also(&mut all, |path| path.replace("%2F", "/").replace("%2f", "/"));
    also(&mut all, |path| path.replace("%5C", "/").replace("%5c", "/").replace('\\', "/"));
    let whole = all.clone();
    also(&mut all, |path| each_segment(&plain_semicolons(path), before_semicolon));
    all.extend(whole.iter().map(|path| before_semicolon(&plain_semicolons(path)).to_owned()));
    also(&mut all, |path| each_segment(path, before_stream));
    also(&mut all, |path| each_segment(path, trimmed));
    also(&mut all, |path| {
        let segments: Vec<&str> = path.split('/').collect();
        let last = segments.len() - 1;
        let kept = segments.iter().enumerate().filter(|(at, segment)| *at == 0 || *at == last || !segment.is_empty());
        kept.map(|(_, segment)| *segment).collect::<Vec<_>>().join("/")
    });
    all.sort_unstable();
    all.dedup();
    let is_bad = |path: &String| has_dots(path) || path.starts_with("//") || !is_text(path);
    if all.iter().any(is_bad) { Err(Ambiguous) } else { Ok(all) }
}

/// Adds another reading of each, where it is another.
fn also(all: &mut Vec<String>, read: impl Fn(&str) -> String) {
    let others = all.iter().map(|path| (path, read(path))).filter(|(path, other)| *path != other);
    let others: Vec<String> = others.map(|(_, other)| other).collect();
    all.extend(others);
}

fn each_segment(path: &str, read: impl Fn(&str) -> &str) -> String {
    path.split('/').map(read).collect::<Vec<_>>().join("/")
}

fn plain_semicolons(path: &str) -> String {
    path.replace("%3B", ";").replace("%3b", ";")
}

fn before_semicolon(text: &str) -> &str {
    text.split(';').next().unwrap_or_default()
}

/// The name of the file in a segment that names one of its streams: `a` of `a::$DATA` and `a:$I30:$INDEX_ALLOCATION`.
fn before_stream(segment: &str) -> &str {
    let Some(last) = stream_name(segment) else { return segment };
    let first = segment.match_indices([':', '%']).map(|(at, _)| at).find(|at| after(&segment[*at..], ':').is_some());
    &segment[..first.unwrap_or(last)]
}

/// Decodes `%25` until there is none, and then what must not hide behind it.
fn decoded_again(path: &str) -> String {
    let mut collapsed = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        collapsed.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        // Each decoding takes one of these away.
        while let Some(behind) = rest.strip_prefix("25") {
            rest = behind;
        }
    }
    collapsed.push_str(rest);
    let bytes = collapsed.as_bytes();
    let mut plain = String::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match escaped(&bytes[at..]).filter(|byte| bytes[at] == b'%' && is_unreserved(*byte)) {
            Some(byte) => {
                plain.push(char::from(byte));
                at += 3;
            }
            None => {
                plain.push(char::from(bytes[at]));
                at += 1;
            }
        }
    }
    plain
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// A path as it is looked for among the routes: escapes are what they stand for, but for those that some servers read
/// differently from others.
pub fn decoded(path: &str) -> Cow<'_, str> {
    if memchr(b'%', path.as_bytes()).is_none() {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < bytes.len() {
        match escaped(&bytes[at..]).filter(|byte| bytes[at] == b'%' && !b"/\\%;".contains(byte)) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// A path in one letter case: the simple case folding of Unicode, character by character.
pub fn folded(path: &str) -> String {
    path.chars().map(folded_character).collect()
}

fn folded_character(character: char) -> char {
    // Only Turkish and Azeri take these two for the letter i.
    if character.is_ascii() || matches!(character, '\u{130}' | '\u{131}') {
        return character.to_ascii_lowercase();
    }
    let upper = only(character.to_uppercase()).unwrap_or(character);
    only(upper.to_lowercase()).unwrap_or(upper)
}

/// The character where it is the only one.
fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next();
    if characters.next().is_none() { first } else { None }
}

#[cfg(test)]
mod tests;
