//! Query parameters that choose a route have one reading, or the request is refused.
//!
//! Frameworks read queries in many ways: names without regard to letter case (.NET), `v[]` and `v.x` as `v` (PHP, Rails,
//! qs), `;` as a separator, escapes decoded twice, the first or the last of two. So a parameter that counts here is written
//! once, in the spelling of the configuration, with a value that everybody decodes alike.

use percent_encoding::percent_decode_str;

use crate::normalization::folded;

/// A parameter that can be read in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AmbiguousQuery;

/// How often a name is decoded at most, by those who decode it again.
const DECODINGS: usize = 4;

/// A parameter that counts.
#[derive(Debug)]
pub(super) struct Counted {
    /// Its name, as it must be written.
    pub(super) name: Box<str>,
    /// What all spellings of the name have in common.
    spelling: Option<String>,
}

impl Counted {
    /// The parameter of this name.
    pub(super) fn new(name: Box<str>) -> Self {
        Self { spelling: spelling(&name).ok(), name }
    }
}

/// The decoded values of these parameters, in their order; `None` for one that is not there.
///
/// # Errors
/// [`AmbiguousQuery`] where one of them is there twice, in another spelling, without a value, or with one of several readings.
pub(super) fn values(query: Option<&str>, counted: &[Counted]) -> Result<Vec<Option<String>>, AmbiguousQuery> {
    if counted.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = vec![None; counted.len()];
    for parameter in query.unwrap_or_default().split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if let Some(at) = counted.iter().position(|known| *known.name == *name) {
            if values[at].replace(decoded(value)?).is_some() {
                return Err(AmbiguousQuery);
            }
            continue;
        }
        for piece in parameter.split(';') {
            let name = piece.split('=').next().unwrap_or_default();
            let spelling = spelling(name)?;
            if counted.iter().any(|known| known.spelling.as_ref() == Some(&spelling)) {
                return Err(AmbiguousQuery);
            }
        }
    }
    Ok(values)
}

/// A value that everybody decodes alike: not empty (some drop it), no `+` (a blank in forms), no `;`, nothing that could be
/// decoded again.
fn decoded(value: &str) -> Result<String, AmbiguousQuery> {
    if value.is_empty() || value.contains(['+', ';']) || !has_whole_escapes(value) {
        return Err(AmbiguousQuery);
    }
    let text = percent_decode_str(value).decode_utf8().map_err(|_| AmbiguousQuery)?;
    if text.contains('%') || text.chars().any(char::is_control) { Err(AmbiguousQuery) } else { Ok(text.into_owned()) }
}

/// The form that all spellings of a name have in common: decoded until nothing changes, without brackets and what is in
/// them, in one letter case, all signs alike.
fn spelling(name: &str) -> Result<String, AmbiguousQuery> {
    let mut text = name.replace('+', " ");
    for _ in 0..DECODINGS {
        if !text.contains('%') {
            break;
        }
        if !has_whole_escapes(&text) {
            return Err(AmbiguousQuery);
        }
        text = percent_decode_str(&text).decode_utf8().map_err(|_| AmbiguousQuery)?.into_owned();
    }
    // C programs end there.
    let text = text.split('\0').next().unwrap_or_default();
    let outside = text.split(['[', ']']).find(|piece| !piece.trim().is_empty()).unwrap_or_default();
    Ok(folded(outside.trim()).chars().map(|letter| if letter.is_alphanumeric() { letter } else { '_' }).collect())
}

/// Returns whether each `%` begins an escape of two digits: `%u0076` is one to some servers only.
fn has_whole_escapes(text: &str) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let mut pieces = text.as_bytes().split(|byte| *byte == b'%').skip(1);
    pieces.all(|piece| piece.len() >= 2 && piece[..2].iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Option<String>, AmbiguousQuery> {
        values(Some(query), &[Counted::new("api.v".into())]).map(|mut all| all.remove(0))
    }

    #[test]
    fn a_parameter_that_is_written_once_and_plainly_is_read() {
        for (query, value) in [
            ("", None),
            ("a=1&&b", None),
            ("api.v=2", Some("2")),
            ("a=%C3%A9&api.v=2.1&b=x%3By", Some("2.1")),
            ("api.v=%32%20x", Some("2 x")),
            ("api.version=1&v=2&apiv=3&b=api.v", None),
            ("api.v=a=b", Some("a=b")),
        ] {
            assert_eq!(read(query), Ok(value.map(str::to_owned)), "{query}");
        }
        // Where none counts, none can be read in two ways.
        assert_eq!(values(Some("%zz=1&v=1&v=2"), &[]), Ok(Vec::new()));
        assert_eq!(values(None, &[Counted::new("v".into())]), Ok(vec![None]));
    }

    #[test]
    fn a_parameter_with_several_readings_is_refused() {
        for query in [
            "api.v=1&api.v=2",
            "api.v=1&API.V=2",
            "Api.v=2",
            "api_v=2",
            "api-v=2",
            "api.v[]=2",
            "api.v[x]=2",
            "[api.v]=2",
            "api%2Ev=2",
            "%61pi.v=2",
            "%2561pi.v=2",
            "api.v%00=2",
            "+api.v=2",
            "api.v%20=2",
            "a=1;api.v=2",
            "a=1&amp;api.v=2",
            "api.v=2;a=1",
            "%u0061pi.v=2",
            "%zz=1",
            "%FF=1",
            "\u{ff41}pi.v=2",
            "api.v",
            "api.v=",
            "api.v=%",
            "api.v=%u0032",
            "api.v=%2532",
            "api.v=%FF",
            "api.v=%00",
            "api.v=2+",
        ] {
            assert_eq!(read(query), Err(AmbiguousQuery), "{query}");
        }
    }
}
