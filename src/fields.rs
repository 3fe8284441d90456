//! Header fields: hop-by-hop fields, trailers, and names that callers must not send in any spelling.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memchr;

/// Hop-by-hop fields (RFC 9110 section 7.6.1), and those that a proxy answers itself.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "http2-settings",
    "expect",
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

/// Removes hop-by-hop fields, all that `Connection` names, and `unwanted` ones; `wanted` fields
/// stay in any case.
pub fn remove_hop_by_hop(
    headers: &mut HeaderMap,
    wanted: impl Fn(&HeaderName) -> bool,
    unwanted: impl Fn(&HeaderName) -> bool,
) {
    let named = named_by_connection(headers);
    let goes = |name: &&HeaderName| (is_hop_by_hop(name) || named.contains(name) || unwanted(name)) && !wanted(name);
    let gone: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// Fields that `Connection` names, in all its lines. Mostly it says only whether the connection stays open.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let is_field = |option: &&[u8]| !matches!(*option, b"keep-alive" | b"close");
    let names = options.filter(is_field).filter_map(|name| HeaderName::from_bytes(name).ok());
    // The body is judged by them, so they stay beside it (RFC 9110 section 7.6.1).
    names.filter(|name| !OF_MESSAGE.contains(name)).collect()
}

/// True if this field ends with the connection on which it came: it is hop-by-hop, or `Connection` names it.
pub fn is_of_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    is_hop_by_hop(name) || named_by_connection(headers).contains(name)
}

/// True if a name is a token (RFC 9110 section 5.6.2): in HTTP/2 names the library accepts a quote, which parsers of
/// HTTP/1.1 do not.
pub fn is_token(name: &HeaderName) -> bool {
    memchr(b'"', name.as_str().as_bytes()).is_none()
}

/// Trims whitespace around values, which HTTP/1.1 does not count as part of them, and HTTP/2 forbids (RFC 9113 section
/// 8.2.1).
pub fn trim(headers: &mut HeaderMap) {
    for (_, value) in headers.iter_mut().filter(|(_, value)| is_padded(value)) {
        let trimmed = value.as_bytes().trim_ascii();
        *value = HeaderValue::from_bytes(trimmed).unwrap_or(HeaderValue::from_static(""));
    }
}

/// The pairs of a `Cookie` line, with the blanks around them.
pub fn cookie_pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr(b';', line);
        rest = end.map(|at| &line[at + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
}

/// Removes pairs from `Cookie`; every other byte of a line stays, but for blanks at its ends.
pub fn remove_cookies(headers: &mut HeaderMap, goes: impl Fn(&[u8]) -> bool) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let goes = |pair: &&[u8]| goes(pair);
    let lines = || headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    if !lines().flat_map(cookie_pairs).any(|pair| goes(&pair)) {
        return;
    }
    let without = |line| {
        let others: Vec<&[u8]> = cookie_pairs(line).filter(|pair| !goes(pair)).collect();
        others.join(&b";"[..]).trim_ascii().to_vec()
    };
    let left: Vec<Vec<u8>> = lines().map(without).filter(|line| !line.is_empty()).collect();
    // One line over HTTP/1.1 (RFC 6265 section 5.4).
    match HeaderValue::from_bytes(&left.join(&b"; "[..])) {
        Ok(line) if !left.is_empty() => headers.insert(header::COOKIE, line),
        _ => headers.remove(header::COOKIE),
    };
}

/// True if a value begins or ends with whitespace.
pub fn is_padded(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// Fields that the gateway writes itself, or that are for it alone: those of callers never reach a backend.
const OWN: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "dpop"];

/// Fields in which other gateways state identity, address or request of a caller, and `Proxy`, which CGI programs take
/// for the address of a proxy (httpoxy).
const CLAIMS: [&str; 20] = [
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "proxy",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-rewrite-url",
    "x-ms-client-principal",
    "x-webauth-user",
    "x-authenticated-user",
];

/// Prefixes of such names.
const CLAIMS_BEGIN: [&str; 11] = [
    "ssl-client-",
    "x-auth-request-",
    "x-authentik-",
    "x-client-cert",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-ms-client-principal-",
    "x-original-",
    "x-remote-",
    "x-ssl-",
];

/// Fields that frame a message, describe its body, or that the gateway rewrites or removes where it has to: dropped in any
/// other spelling.
const OF_MESSAGE: [HeaderName; 13] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    header::ACCEPT_ENCODING,
    header::RANGE,
    header::IF_RANGE,
    header::MAX_FORWARDS,
    header::HOST,
    header::COOKIE,
];

/// Set of field names, each standing for all of its spellings.
///
/// Backends read `X-Customer-Id`, `X_Customer_Id` and `x.customer.id` as one name (CGI, WSGI, PHP), and some decode
/// `%2d`; so a name is in the set if any such reading is.
#[derive(Debug, Clone)]
pub struct FieldSet {
    names: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    /// First letters of the names, by length: most fields need no closer look.
    beginnings: [u32; LONGEST + 1],
    /// Prefixes, normalised.
    prefixes: Vec<Box<[u8]>>,
    /// One bit for each pair of first and third letters of a prefix.
    prefix_letters: u64,
    /// Spellings that are not in the set.
    except: Vec<HeaderName>,
}

/// Names longer than this always need a closer look.
const LONGEST: usize = 63;

impl FieldSet {
    /// Fields of callers that never reach a backend, unless a route allows them: see [`FieldSet::is_claim`].
    pub fn of_callers_claims() -> Self {
        let mut set = Self::of_claims();
        for name in OF_MESSAGE {
            set.insert(name.as_str());
            set.except(name);
        }
        HOP_BY_HOP.iter().for_each(|name| set.insert(name));
        set
    }

    /// The part that states identity, address or request; nothing hop-by-hop, and nothing of the
    /// message.
    pub fn of_claims() -> Self {
        let mut set = Self::default();
        OWN.iter().chain(&CLAIMS).for_each(|name| set.insert(name));
        CLAIMS_BEGIN.iter().for_each(|prefix| set.insert_prefix(prefix));
        set
    }

    /// True for a field in which other gateways state something of a caller, and that is not ours: a route can allow
    /// it.
    pub fn is_claim(name: &HeaderName) -> bool {
        let (mut own, mut claims) = (Self::default(), Self::default());
        OWN.iter().for_each(|name| own.insert(name));
        CLAIMS.iter().for_each(|name| claims.insert(name));
        CLAIMS_BEGIN.iter().for_each(|prefix| claims.insert_prefix(prefix));
        claims.contains(name) && !own.contains(name)
    }

    /// Adds a name in all spellings.
    pub fn insert(&mut self, name: &str) {
        let normal = normalised(name.as_bytes());
        self.beginnings[normal.len().min(LONGEST)] |= beginning(&normal);
        self.names.insert(normal);
    }

    /// Adds all names with this prefix, in all spellings. Prefixes shorter than three letters are ignored.
    pub fn insert_prefix(&mut self, prefix: &str) {
        let normal = normalised(prefix.as_bytes());
        if normal.len() >= 3 {
            self.prefix_letters |= letters(&normal);
            self.prefixes.push(normal);
        }
    }

    /// Removes one spelling of a name.
    pub fn except(&mut self, name: HeaderName) {
        self.except.push(name);
    }

    /// True if a spelling of this name is in the set.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let text = name.as_str().as_bytes();
        // A name with an escape in it is longer than its normal form.
        let is_plain = text.len() < LONGEST && !text.contains(&b'%');
        if is_plain
            && self.beginnings[text.len()] & beginning(text) == 0
            && (text.len() < 3 || self.prefix_letters & letters(text) == 0)
        {
            return false;
        }
        if self.except.contains(name) {
            return false;
        }
        let has = |normal: &[u8]| {
            self.names.contains(normal) || self.prefixes.iter().any(|prefix| normal.starts_with(prefix))
        };
        // Most names are in normal form as they are.
        if text.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-') {
            return has(text);
        }
        // Some decode an escape, and to others it is a sign and two letters.
        has(&normalised(text))
            || text.contains(&b'%') && has(&text.iter().map(|byte| folded(*byte)).collect::<Vec<_>>())
    }

    /// True if a trailer of this name may pass.
    pub fn lets_trailer_pass(&self, name: &HeaderName) -> bool {
        is_token(name) && !NOT_IN_TRAILERS.contains(name) && !is_hop_by_hop(name) && !self.contains(name)
    }
}

impl Default for FieldSet {
    fn default() -> Self {
        Self {
            names: HashSet::default(),
            beginnings: [0; LONGEST + 1],
            prefixes: Vec::new(),
            prefix_letters: 0,
            except: Vec::new(),
        }
    }
}

/// One bit for the beginning of a normalised name.
fn beginning(name: &[u8]) -> u32 {
    let first = name.first().map_or(b'-', |first| folded(*first));
    1 << (first & 31)
}

/// One bit for the first and third letters of a name.
fn letters(name: &[u8]) -> u64 {
    1 << (folded(name[0]).wrapping_mul(7).wrapping_add(folded(name[2])) & 63)
}

/// Normal form of a name.
fn normalised(name: &[u8]) -> Box<[u8]> {
    let mut normal = Vec::with_capacity(name.len());
    normalise(name, |byte| normal.push(byte));
    normal.into()
}

/// Lower case; each byte that is neither letter nor digit, `%XX` included, becomes a dash.
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
            "x%customer%id",
        ] {
            assert!(set.contains(&HeaderName::from_bytes(spelling.as_bytes()).expect("a token")), "{spelling}");
        }
        for other in ["x-customer", "x-customer-idd", "xcustomerid", "x-customer-id-"] {
            assert!(!set.contains(&HeaderName::from_bytes(other.as_bytes()).expect("a token")), "{other}");
        }
    }

    #[test]
    fn all_that_begin_with_a_prefix_are_found_but_for_the_spelling_that_is_taken_out() {
        let mut set = FieldSet::default();
        set.insert_prefix("X-SSL-");
        set.except(HeaderName::from_static("x-ssl-cipher"));
        let contains = |name: &str| set.contains(&HeaderName::from_bytes(name.as_bytes()).expect("a token"));
        for name in ["x-ssl-", "X-SSL-Client", "x_ssl_anything", "x.ssl-1", "%78-ssl-x", "x-%73sl-x", "x_ssl_cipher"] {
            assert!(contains(name), "{name}");
        }
        assert!(contains(&format!("x-ssl-{}", "y".repeat(100))));
        for name in ["x-ssl-cipher", "x-ssl", "x-sslx", "ssl-x", "x", "xs", "x-s"] {
            assert!(!contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_our_own_no_route_can_let_pass() {
        let is_claim = |name: &'static str| FieldSet::is_claim(&HeaderName::from_static(name));
        assert!(["proxy", "x-forwarded-user", "ssl_client_verify", "x-original-url"].into_iter().all(is_claim));
        let own = [
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "dpop",
            "x-tenant",
            "content_type",
            "transfer_encoding",
        ];
        assert!(!own.into_iter().any(is_claim));
    }

    #[test]
    fn the_usual_fields_of_a_request_need_no_closer_look() {
        let set = FieldSet::of_callers_claims();
        let usual = ["host", "accept", "accept-encoding", "user-agent", "content-type", "content-length"];
        let closer = usual.iter().filter(|name| {
            let text = name.as_bytes();
            set.beginnings[text.len()] & beginning(text) != 0 || set.prefix_letters & letters(text) != 0
        });
        let closer = closer.filter(|name| !set.except.contains(&HeaderName::from_static(name)));
        assert_eq!(closer.collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[test]
    fn a_cookie_line_is_cut_at_each_semicolon() {
        let pairs = |line: &'static str| {
            cookie_pairs(line.as_bytes()).map(|pair| std::str::from_utf8(pair).expect("text")).collect::<Vec<_>>()
        };
        for line in ["", "a=1", "a=1; b=2", ";", "a=1;;b=2; "] {
            assert_eq!(pairs(line), line.split(';').collect::<Vec<_>>(), "{line:?}");
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
