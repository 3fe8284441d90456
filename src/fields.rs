//! Header field names: which belong to one connection, and which another spelling must not smuggle in.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memchr;

/// Fields that concern one connection only (RFC 9110 section 7.6.1), and those that a proxy answers itself.
const HOP_BY_HOP: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("http2-settings"),
    header::EXPECT,
];

/// Fields that must not stand in trailers (RFC 9110 section 6.5.1).
const NOT_IN_TRAILERS: [HeaderName; 10] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::HOST,
    header::COOKIE,
    header::SET_COOKIE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::MAX_FORWARDS,
];

/// Removes what concerns one connection only, with all that `Connection` names, and whatever else is `unwanted`;
/// `wanted` fields stay in any case.
pub fn remove_hop_by_hop(
    headers: &mut HeaderMap,
    wanted: impl Fn(&HeaderName) -> bool,
    unwanted: impl Fn(&HeaderName) -> bool,
) {
    let named = named_by_connection(headers);
    let goes =
        |name: &&HeaderName| (HOP_BY_HOP.contains(name) || named.contains(name) || unwanted(name)) && !wanted(name);
    let gone: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// The fields that `Connection` names in all its lines. Mostly it says only whether the connection stays open.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let is_field = |option: &&[u8]| !matches!(*option, b"keep-alive" | b"close");
    options.filter(is_field).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

/// Whether a name is what the library says that it is: in names of HTTP/2 it lets a quote pass (RFC 9110 section 5.6.2),
/// which parsers of HTTP/1.1 do not.
pub fn is_token(name: &HeaderName) -> bool {
    memchr(b'"', name.as_str().as_bytes()).is_none()
}

/// Takes blanks around values away, which HTTP/1.1 would not count in, and HTTP/2 does not allow (RFC 9113 section
/// 8.2.1).
pub fn trim(headers: &mut HeaderMap) {
    for (_, value) in headers.iter_mut().filter(|(_, value)| is_padded(value)) {
        let trimmed = value.as_bytes().trim_ascii();
        *value = HeaderValue::from_bytes(trimmed).unwrap_or(HeaderValue::from_static(""));
    }
}

/// Whether a value begins or ends with a blank.
pub fn is_padded(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// A set of field names, each standing for all of its spellings.
///
/// Programs behind us read `X-Customer-Id`, `X_Customer_Id` and `x.customer.id` as one name (CGI, WSGI, PHP), and
/// some decode `%2d`; so a name is in the set when any such reading is.
#[derive(Debug)]
pub struct FieldSet {
    names: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    /// For each length, the first letters of the names of that length: most fields need no closer look.
    beginnings: [u32; LONGEST + 1],
}

/// Names that are longer always need a closer look.
const LONGEST: usize = 63;

impl FieldSet {
    /// Adds a name with all of its spellings.
    pub fn insert(&mut self, name: &str) {
        let normal = normalised(name.as_bytes());
        self.beginnings[normal.len().min(LONGEST)] |= beginning(&normal);
        self.names.insert(normal);
    }

    /// Whether some spelling of this name is in the set.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        // A name with an escape in it is longer than its normal form.
        let is_plain = name.len() < LONGEST && !name.contains(&b'%');
        if is_plain && self.beginnings[name.len()] & beginning(name) == 0 {
            return false;
        }
        self.names.contains(&normalised(name))
    }

    /// Whether a trailer of this name may pass.
    pub fn lets_trailer_pass(&self, name: &HeaderName) -> bool {
        is_token(name) && !NOT_IN_TRAILERS.contains(name) && !HOP_BY_HOP.contains(name) && !self.contains(name)
    }
}

impl Default for FieldSet {
    fn default() -> Self {
        Self { names: HashSet::default(), beginnings: [0; LONGEST + 1] }
    }
}

/// One bit for how a name begins in its normal form.
fn beginning(name: &[u8]) -> u32 {
    let first = name.first().map_or(b'-', |first| folded(*first));
    1 << (first & 31)
}

/// The normal form of a name.
fn normalised(name: &[u8]) -> Box<[u8]> {
    let mut normal = Vec::with_capacity(name.len());
    normalise(name, |byte| normal.push(byte));
    normal.into()
}

/// Lower case; whatever is neither letter nor digit, also as `%XX`, becomes a dash.
fn normalise(name: &[u8], mut push: impl FnMut(u8)) {
    let mut at = 0;
    while at < name.len() {
        let byte = name[at];
        let escaped = byte == b'%' && name.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if escaped {
            let digit = |hex: u8| (hex as char).to_digit(16).unwrap_or(0) as u8;
            push(folded(digit(name[at + 1]) * 16 + digit(name[at + 2])));
            at += 3;
        } else {
            push(folded(byte));
            at += 1;
        }
    }
}

fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_found_and_others_are_not() {
        let mut set = FieldSet::default();
        set.insert("X-Customer-Id");
        for spelling in [
            "x-customer-id",
            "x_customer_id",
            "x-customer_id",
            "x.customer.id",
            "x%2dcustomer%2Did",
            "%78-customer-id",
            "x~customer!id",
        ] {
            assert!(set.contains(&HeaderName::from_bytes(spelling.as_bytes()).expect("a token")), "{spelling}");
        }
        for other in ["x-customer", "x-customer-idd", "xcustomerid", "x-customer-id-"] {
            assert!(!set.contains(&HeaderName::from_bytes(other.as_bytes()).expect("a token")), "{other}");
        }
    }

    #[test]
    fn what_connection_names_goes_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-one, close"),
            ("connection", "X-Two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("te", "trailers"),
            ("x-three", "3"),
            ("x-four", "4"),
        ] {
            headers.append(name, value.parse().expect("a value"));
        }
        remove_hop_by_hop(&mut headers, |name| name == "x-one", |name| name == "x-three");
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-four", "x-one"]);
    }

    #[test]
    fn blanks_around_values_go_with_http2_and_those_within_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", " a\t"), ("x-a", "b c"), ("x-b", "\t ")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        trim(&mut headers);
        let all: Vec<_> = headers.iter().map(|(_, value)| value.to_str().expect("text")).collect();
        assert_eq!(all, ["a", "b c", ""]);
    }
}
