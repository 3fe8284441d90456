//! Request paths have one reading, or they are refused.
//!
//! What is matched against the routes is byte for byte what the backend gets. A path that a server behind us
//! could read differently (dot segments, `//`, encoded slashes, `;`, double encoding, ...) has no normal form.

use std::borrow::Cow;

/// The path can be read in more than one way, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// The path as it is matched and forwarded: escaped letters, digits and `-._~` are written plainly
/// (RFC 3986 section 6.2.2.2), escapes in upper case, all else as it came.
///
/// # Errors
/// [`Ambiguous`] where there is no such form.
pub fn normal(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Ambiguous);
    }
    let normal = if bytes.contains(&b'%') { Cow::Owned(unescaped(bytes)?) } else { Cow::Borrowed(path) };
    let plain = normal.as_bytes();
    let odd = |byte: &u8| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b';' | b'?' | b'#');
    if plain.iter().any(odd) {
        return Err(Ambiguous);
    }
    // All segments but the last must have content, and none may be dots only.
    let mut segments = plain[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if (segment.is_empty() && !last) || segment == b"." || segment == b".." {
            return Err(Ambiguous);
        }
    }
    Ok(normal)
}

fn unescaped(path: &[u8]) -> Result<String, Ambiguous> {
    let mut normal = String::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        if path[at] != b'%' {
            normal.push(char::from(path[at]));
            at += 1;
            continue;
        }
        let hex = path.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok()).ok_or(Ambiguous)?;
        let byte =
            hex.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(hex, 16).ok()).flatten();
        match byte.ok_or(Ambiguous)? {
            plain @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => {
                normal.push(char::from(plain))
            }
            // A separator of segments, of parameters or of strings to somebody; a per cent sign that could escape again.
            b'/' | b'\\' | b';' | b'%' | 0..=0x1f | 0x7f => return Err(Ambiguous),
            other => normal.push_str(&format!("%{other:02X}")),
        }
        at += 3;
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_paths_stay_as_they_are() {
        for path in ["/", "/account/getprofile", "/a/b/", "/a.b/..c/d..", "/x%20y", "/caf%C3%A9", "/a:b@c!$&'()*+,=-_~"]
        {
            assert_eq!(normal(path).as_deref(), Ok(path), "{path}");
        }
    }

    #[test]
    fn escaped_plain_characters_are_written_plainly() {
        assert_eq!(normal("/%61dmin%2Ephp").as_deref(), Ok("/admin.php"));
        assert_eq!(normal("/x%c3%a9").as_deref(), Ok("/x%C3%A9"));
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
        ] {
            assert_eq!(normal(path), Err(Ambiguous), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(path in "/[a-z0-9%./;\\\\~_A-F-]{0,40}") {
            if let Ok(once) = normal(&path) {
                let twice = normal(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                prop_assert!(!once.contains("//") && !once.contains("/../") && !once.ends_with("/.."));
            }
        }
    }
}
