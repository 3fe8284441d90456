//! Grammar of names, paths, claims and hashes.

use super::super::diagnostic::closest;

type Fault = (String, String);

fn fault(message: impl Into<String>, help: impl Into<String>) -> Option<Fault> {
    Some((message.into(), help.into()))
}

/// Returns whether `text` is a token (RFC 9110 section 5.6.2): a method, a header name, a cookie name.
pub(super) fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Returns whether `text` is a scope token (RFC 6749 section 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// The fault of a `path` that is not absolute, or can be written in more than one way.
pub(super) fn path_fault(path: &str) -> Option<Fault> {
    if !path.starts_with('/') {
        return fault("a path starts with `/`", "");
    }
    if let Some(character) = path.chars().find(|character| "%;\\?#".contains(*character)) {
        return fault(
            format!("a path without `{character}` is needed: requests are compared in their plain form"),
            "write the plain path, without parameters, query and escapes",
        );
    }
    if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return fault("a path has only visible ASCII characters", "");
    }
    if path.contains("//") {
        return fault("`//` never matches: requests are compared without it", "write one `/`");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return fault(
            "`.` and `..` never match: requests are compared without them",
            "write the path that they lead to",
        );
    }
    if path.split('/').any(|segment| segment.ends_with('.')) {
        return fault("a segment that ends with a dot never matches: Windows drops that dot", "write it without");
    }
    if path.contains(":$") {
        return fault("`:$` never matches: to Windows it names a stream of another path", "write the path without it");
    }
    None
}

/// The fault of a `pointer` that names no member of a JSON document (RFC 6901).
pub(super) fn pointer_fault(pointer: &str) -> Option<Fault> {
    if !pointer.starts_with('/') || pointer.len() < 2 {
        return fault("a JSON pointer starts with `/` and names a field", "write it like /customer/id");
    }
    let escapes_are_right = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !escapes_are_right {
        return fault("in a JSON pointer `~` is followed by 0 or 1 (RFC 6901)", "write ~0 for `~` and ~1 for `/`");
    }
    if pointer.chars().any(char::is_control) {
        return fault("this JSON pointer has a control character", "");
    }
    None
}

/// Header fields that belong to the connection or the message, or that carry credentials.
const RESERVED_HEADERS: [&str; 27] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "http2-settings",
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "api-key",
    "customer-auth",
    "cookie",
    "set-cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
    "x-request-id",
];

/// The fault of a header `name` that cannot carry values of ours; those `allowed` can.
pub(super) fn header_fault(name: &str, allowed: &[&str]) -> Option<Fault> {
    if !is_token(name) {
        return fault("this is not the name of a header", "letters, digits and `-` are safe");
    }
    let name = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
        return fault(
            format!("`{name}` cannot be used here: it has a meaning of its own"),
            "choose another name, such as X-Customer-Id",
        );
    }
    None
}

/// The fault of a `method` that a route cannot let through.
pub(super) fn method_fault(method: &str) -> Option<Fault> {
    const COMMON: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let upper = method.to_ascii_uppercase();
    if upper == "CONNECT" || upper == "TRACE" {
        return fault(format!("{upper} is never let through"), "remove it");
    }
    if !is_token(method) {
        return fault("this is not a method", "write one like POST");
    }
    if COMMON.contains(&method) {
        return None;
    }
    let near = closest(&upper, COMMON);
    if method != upper || near.is_some() {
        return fault(
            format!("`{}` is not a method that anyone sends", super::shown(method)),
            format!("did you mean {}?", near.unwrap_or(&upper)),
        );
    }
    None
}

/// The fault of a `host` that is no host name as requests are compared: lower case, without port.
pub(super) fn host_fault(host: &str) -> Option<Fault> {
    let is_ipv6 = |text: &str| {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    if is_ipv6(host) {
        return None;
    }
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return fault("an IPv6 address stands in brackets here", format!("write \"[{host}]\""));
    }
    if host.contains("://") || host.contains('/') {
        return fault("a host name has no scheme and no path", "write it like api.example.com");
    }
    if host.contains(':') {
        return fault("a host name is written without port", "remove the `:` and what follows");
    }
    if let Some(name) = host.strip_suffix('.').filter(|name| !name.is_empty()) {
        return fault("a host name is compared without a dot at its end", format!("write {}", super::shown(name)));
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return fault(
            "host names are compared in lower case",
            format!("write {}", super::shown(&host.to_ascii_lowercase())),
        );
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() > 253 || !host.split('.').all(is_label) {
        return fault("this is not a host name", "write it like api.example.com");
    }
    None
}

/// Returns whether a claim of this name would carry personal data.
pub(super) fn is_personal(claim: &str) -> bool {
    const WHOLE: [&str; 26] = [
        "name",
        "givenname",
        "familyname",
        "middlename",
        "fullname",
        "firstname",
        "lastname",
        "surname",
        "nickname",
        "displayname",
        "uniquename",
        "username",
        "loginname",
        "preferredusername",
        "upn",
        "gender",
        "sex",
        "picture",
        "profile",
        "website",
        "accountnumber",
        "iban",
        "ssn",
        "taxid",
        "passport",
        "nationalid",
    ];
    const PARTS: [&str; 9] =
        ["email", "phone", "mobile", "birth", "address", "creditcard", "cardnumber", "socialsecurity", "msisdn"];
    let plain: String =
        claim.chars().filter(|character| character.is_alphanumeric()).collect::<String>().to_lowercase();
    // A namespaced claim: https://example.com/email
    let last = claim.rsplit(['/', ':', '.']).next().unwrap_or(claim);
    let last: String = last.chars().filter(|character| character.is_alphanumeric()).collect::<String>().to_lowercase();
    WHOLE.contains(&plain.as_str()) || WHOLE.contains(&last.as_str()) || PARTS.iter().any(|part| plain.contains(part))
}

/// How hashes of other programs begin; what follows is checked where they are read.
const OTHER_HASHES: [&str; 10] =
    ["$2a$", "$2b$", "$2y$", "$5$", "$6$", "$scrypt$", "$pbkdf2", "pbkdf2_", "{bcrypt}", "{crypt}"];

/// How hashes begin that are guessed in no time, with the algorithm.
const WEAK_HASHES: [(&str, &str); 7] = [
    ("$apr1$", "MD5"),
    ("$1$", "MD5"),
    ("{MD5}", "MD5"),
    ("{SMD5}", "MD5"),
    ("{SHA", "SHA"),
    ("{SSHA", "SHA"),
    ("$sha1$", "SHA-1"),
];

/// The fault of a `hash` that is no password hash, or too weak. The hash is not repeated: it may be the secret.
pub(super) fn hash_fault(hash: &str) -> Option<Fault> {
    const HOW: &str = "run `wicketgate new client-secret` and put the line that it prints here";
    let begins = |start: &&str| hash.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    if OTHER_HASHES.iter().any(begins) {
        return None;
    }
    if let Some((_, algorithm)) = WEAK_HASHES.iter().find(|(start, _)| begins(start)) {
        return fault(format!("this {algorithm} hash is too weak: the secret is guessed in no time"), HOW);
    }
    let Some(rest) = hash.strip_prefix("$argon2id$") else {
        return fault("this is not a password hash (argon2id); a secret itself must never stand here", HOW);
    };
    let parts: Vec<&str> = rest.split('$').collect();
    let [version, parameters, salt, output] = parts.as_slice() else {
        return fault("this argon2id hash is not complete", HOW);
    };
    if *version != "v=19" {
        return fault("this argon2id hash is not of version 19", HOW);
    }
    let parameter = |name: &str| {
        let mut all = parameters.split(',').filter_map(|parameter| parameter.split_once('='));
        all.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<u32>().ok())
    };
    let (Some(memory), Some(passes), Some(lanes)) = (parameter("m"), parameter("t"), parameter("p")) else {
        return fault("the parameters of this argon2id hash cannot be read", HOW);
    };
    if memory < 19_456 || passes < 2 || lanes < 1 {
        return fault(format!("m={memory},t={passes},p={lanes} is too weak: at least m=19456,t=2,p=1 is needed"), HOW);
    }
    if memory > 1 << 20 || passes > 16 || lanes > 16 {
        let message = format!("m={memory},t={passes},p={lanes} takes too long: at most m=1048576,t=16,p=16 is taken");
        return fault(message, HOW);
    }
    let is_base64 = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/') && text.len() % 4 != 1
    };
    // 16 bytes of salt and of output, in base64 without padding.
    if !is_base64(salt) || !is_base64(output) || salt.len() < 22 || output.len() < 22 {
        return fault("salt or hash in this argon2id hash are too short or not base64", HOW);
    }
    None
}

/// Returns whether `digest` is a SHA-256 in hex.
pub(super) fn is_sha256(digest: &str) -> bool {
    digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The parts of an address such as `https://api.example.com:8443`.
pub(super) struct UrlParts<'a> {
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    port: &'a str,
    /// Path, query and fragment.
    pub(super) rest: &'a str,
}

impl<'a> UrlParts<'a> {
    /// The parts, or what is wrong.
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        const HOW: &str = "write it like https://backend.example.com:8443";
        let broken = |message: &str| (message.to_owned(), HOW.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(|| broken("this is not an http or https address"))?;
        if scheme != "http" && scheme != "https" {
            return Err(broken("an address starts with http:// or https://"));
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err((
                "an address has no user name and no password".to_owned(),
                "remove all before the `@`".to_owned(),
            ));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']').ok_or_else(|| broken("`]` is missing in this address"))?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| broken("this is not an IPv6 address"))?;
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if !port.is_empty()
            && port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).is_none_or(|port| port == 0)
        {
            return Err(broken("the port is not a number from 1 to 65535"));
        }
        if !authority.starts_with('[') && host_fault(&host.to_ascii_lowercase()).is_some() {
            return Err(broken("there is no host name in this address"));
        }
        Ok(Self { scheme, host, port, rest })
    }

    /// Returns whether a port is named.
    pub(super) fn has_port(&self) -> bool {
        !self.port.is_empty()
    }

    /// Returns whether the host is an address of a private network, or a name that only such a network has.
    pub(super) fn is_private(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>().map(|address| address.to_canonical()) {
            Ok(std::net::IpAddr::V4(address)) => address.is_private() || address.is_link_local(),
            Ok(std::net::IpAddr::V6(address)) => address.is_unique_local() || address.is_unicast_link_local(),
            Err(_) => {
                let name = self.host.trim_end_matches('.').to_ascii_lowercase();
                !name.contains('.') || [".internal", ".local", ".svc"].iter().any(|end| name.ends_with(end))
            }
        }
    }

    /// Returns whether the host is a loopback address.
    pub(super) fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}
