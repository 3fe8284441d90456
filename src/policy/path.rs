//! Request paths have one reading, or they are refused.
//!
//! What is matched against the routes is byte for byte what the backend gets. A path that a server behind us
//! could read differently (dot segments, `//`, encoded slashes, `;`, double encoding, trailing dots, escapes that are no
//! UTF-8, ...) has no normal form. Some of these forms a route can allow; then all readings of the path must lead to that
//! route, and none may have dot segments.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The path can be read in more than one way, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// A path as it is matched and forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normal<'a> {
    /// The path.
    pub text: Cow<'a, str>,
    /// What in it some servers read differently.
    pub odd: Odd,
}

/// A set of forms that some servers read differently from others, and that a route can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Odd(u8);

impl Odd {
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

    /// Whether there is nothing odd.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of another set is in this one.
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
    let mut odd = Odd::default();
    let has_escapes = bytes.contains(&b'%');
    let text = if has_escapes { Cow::Owned(unescaped(bytes, &mut odd)?) } else { Cow::Borrowed(path) };
    let plain = text.as_bytes();
    for byte in plain {
        match byte {
            b';' => odd.add(Odd::SEMICOLON),
            b'\\' | b'?' | b'#' => return Err(Ambiguous),
            byte if !byte.is_ascii_graphic() => return Err(Ambiguous),
            _ => {}
        }
    }
    // A path that begins with two slashes could be taken for the name of a host (RFC 3986 section 4.2).
    if plain.starts_with(b"//") || (has_escapes && !is_text(&text)) {
        return Err(Ambiguous);
    }
    for segment in text.split('/') {
        let kept = trimmed(segment);
        let dropped = &segment[kept.len()..];
        if dropped.contains('.') {
            if kept.is_empty() {
                return Err(Ambiguous);
            }
            odd.add(Odd::TRAILING_DOT);
        }
        if dropped.contains([' ', '%']) {
            odd.add(Odd::TRAILING_SPACE);
        }
    }
    if (has_escapes || plain.contains(&b'$')) && stream_name(&text).is_some() {
        odd.add(Odd::STREAM_NAME);
    }
    if text.contains("//") {
        odd.add(Odd::DOUBLE_SLASH);
    }
    Ok(Normal { text, odd })
}

/// Whether a segment is only dots, with or without spaces, that lead elsewhere.
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

/// Where in a path the name of a stream begins: a colon before a dollar sign, both also as escapes.
fn stream_name(path: &str) -> Option<usize> {
    let colons = path.match_indices([':', '%']).map(|(at, _)| at);
    colons.filter_map(|at| Some((at, after(&path[at..], ':')?))).find_map(|(at, rest)| after(rest, '$').map(|_| at))
}

/// What follows a character, which may be escaped, with which a text begins.
fn after(text: &str, character: char) -> Option<&str> {
    let is_escaped = escaped(text.as_bytes()).is_some_and(|byte| char::from(byte) == character);
    if text.starts_with('%') && is_escaped { text.get(3..) } else { text.strip_prefix(character) }
}

/// Whether what is escaped in a path is UTF-8, without control characters (C0, DEL, C1).
fn is_text(path: &str) -> bool {
    !path.contains('%')
        || percent_decode_str(path).decode_utf8().is_ok_and(|decoded| !decoded.chars().any(char::is_control))
}

fn unescaped(path: &[u8], odd: &mut Odd) -> Result<String, Ambiguous> {
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
                odd.add(match other {
                    b'/' => Odd::ENCODED_SLASH,
                    b'\\' => Odd::ENCODED_BACKSLASH,
                    b'%' => Odd::ENCODED_PERCENT,
                    b';' => Odd::SEMICOLON,
                    _ => Odd::default(),
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
pub fn readings(path: &str, odd: Odd) -> Result<Vec<String>, Ambiguous> {
    let mut all = vec![path.to_owned()];
    if odd.has(Odd::ENCODED_PERCENT) {
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
    if !path.contains('%') {
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The normal form, where nothing is odd.
    fn plain(path: &str) -> Option<String> {
        normal(path).ok().filter(|normal| normal.odd.is_none()).map(|normal| normal.text.into_owned())
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        for path in ["/", "/account/getprofile", "/a/b/", "/a.b/..c/d", "/x%20y", "/caf%C3%A9", "/a:b@c!$&'()*+,=-_~"] {
            assert_eq!(plain(path).as_deref(), Some(path), "{path}");
        }
    }

    #[test]
    fn escaped_plain_characters_are_written_plainly() {
        assert_eq!(plain("/%61dmin%2Ephp").as_deref(), Some("/admin.php"));
        assert_eq!(plain("/x%c3%a9").as_deref(), Some("/x%C3%A9"));
    }

    #[test]
    fn a38_paths_with_two_readings_are_refused() {
        for path in [
            "",
            "admin",
            "*",
            "//admin",
            "/admin//",
            "/a//b",
            "/./admin",
            "/a/./b",
            "/a/.",
            "/../admin",
            "/a/..",
            "/a/../b",
            "/%2e/admin",
            "/%2e%2e/admin",
            "/.%2e/admin",
            "/%2E%2E/",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a;/b",
            "/..;/admin",
            "/a%3bb",
            "/a%00",
            "/a%0a",
            "/a%0d%0a",
            "/a%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a%252fb",
            "/%252e%252e/",
            "/a%25",
            "/caf\u{e9}",
            "/a b",
            "/a\tb",
            "/a#b",
            "/a?b",
            "/%C0%AE%C0%AE/b",
            "/a%C0%AFb",
            "/%E0%80%AE",
            "/%ff",
            "/caf%e9",
            "/%ED%A0%80",
            "/a%C2%80",
            "/a%c2%9F/b",
            "/a.",
            "/a./b",
            "/a%2E/b",
            "/a%20/b",
            "/a%20",
            "/%20",
            "/a.%20.",
            "/...",
            "/.../b",
            "/.%20./b",
            "/%20./b",
            "/a::$DATA",
            "/a:$i30:$INDEX_ALLOCATION/b",
            "/a%3a%24DATA",
            "/a:%24x",
        ] {
            assert_eq!(plain(path), None, "{path}");
        }
    }

    #[test]
    fn routes_are_looked_for_by_what_escapes_stand_for() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("/a%24b%40c%21", "/a$b@c!"),
            ("/caf%C3%A9%20x", "/caf\u{e9} x"),
            ("/a%2Fb%5Cc%25d%3Be", "/a%2Fb%5Cc%25d%3Be"),
            ("/a%", "/a%"),
        ] {
            assert_eq!(decoded(path), expected);
        }
    }

    #[test]
    fn letter_case_is_folded_character_by_character() {
        for (path, expected) in [
            ("/Admin/X1", "/admin/x1"),
            ("/\u{c9}\u{e9}\u{3a3}\u{3c3}\u{3c2}", "/\u{e9}\u{e9}\u{3c3}\u{3c3}\u{3c3}"),
            ("/\u{212a}\u{17f}", "/ks"),
            ("/stra\u{df}e\u{131}\u{130}", "/stra\u{df}e\u{131}\u{130}"),
        ] {
            assert_eq!(folded(path), expected);
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(path in "/[a-z0-9%./;\\\\~_A-F-]{0,40}") {
            if let Ok(once) = normal(&path) {
                let twice = normal(&once.text);
                prop_assert_eq!(twice.as_ref(), Ok(&once));
                let text = format!("{}/", once.text);
                prop_assert!(!text.contains("/../") && !text.contains("/./") && !once.text.starts_with("//"));
                prop_assert!(once.odd.has(Odd::DOUBLE_SLASH) || !once.text.contains("//"));
            }
        }

        /// With everything allowed on open routes, whatever servers make of a path stays out of closed areas.
        #[test]
        fn a38_t8_no_reading_of_an_allowed_path_leaves_the_area_of_its_route(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..9)) {
            let path = format!("/{}", pieces.concat());
            let Ok(Normal { text, odd }) = normal(&path) else { return Ok(()) };
            let Ok(all) = readings(&text, odd) else { return Ok(()) };
            if all.iter().any(|path| is_closed(path)) {
                return Ok(());
            }
            for server in 0..512 {
                let seen = seen_by(server, &text);
                prop_assert!(!is_closed(&seen), "{} is {} to server {:b}", path, seen, server);
            }
        }
    }

    const PIECES: [&str; 34] = [
        "/", "/", "//", "admin", "admin", "x", "%2f", "%2F", "%5c", "%25", "25", "2f", "5c", "2e", ";", "%3b", "3b",
        "..", ".", "%2e", "%61", "61dmin", "a=b", "\\", "%20", "20", "%c0%ae", "c0%25ae", "::$I", ":", "$", "%3a",
        "3A", "%24",
    ];

    fn is_closed(path: &str) -> bool {
        path == "/admin" || path.starts_with("/admin/")
    }

    /// What a careless server makes of a path: bits of its number say what it does.
    fn seen_by(server: u32, path: &str) -> String {
        let does = |bit: u32| server & (1 << bit) != 0;
        let mut path = path.to_owned();
        let times = if does(0) { 3 } else { usize::from(does(1)) };
        for _ in 0..times {
            path = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
        }
        if does(2) {
            path = path.replace('\\', "/");
        }
        if does(3) {
            path = path.split('/').map(before_semicolon).collect::<Vec<_>>().join("/");
        } else if does(4) {
            path = before_semicolon(&path).to_owned();
        }
        let mut segments: Vec<&str> = Vec::new();
        for segment in path.split('/').skip(1) {
            let segment =
                if does(6) && segment.contains(":$") { segment.split(':').next().unwrap_or_default() } else { segment };
            let segment = if does(7) { segment.trim_end_matches(' ') } else { segment };
            match segment {
                ".." => drop(segments.pop()),
                "." => {}
                "" if does(5) => {}
                segment if does(8) => segments.push(segment.trim_end_matches(['.', ' '])),
                segment => segments.push(segment),
            }
        }
        format!("/{}", segments.join("/"))
    }
}
