//! Names of an earlier version, and words that others know: they are refused, with the name of today or of what to use.

/// Keys: the earlier name and the present one. An earlier name means the present one in every section that has a key of
/// the present name and none of the earlier one.
pub(in crate::config) const KEYS: [(&str, &str); 15] = [
    ("circuit", "circuit_breaker"),
    ("customer_from", "customer_token_sources"),
    ("danger_plain", "danger_plaintext"),
    ("danger_plain_http", "danger_plaintext"),
    ("ejection", "outlier_detection"),
    ("health", "health_check"),
    ("healthy", "healthy_threshold"),
    ("longest", "max_ejection_time"),
    ("most", "max_ejection_percent"),
    ("name", "server_name"),
    ("proof", "backend_assertion"),
    ("stall_timeout", "body_idle_timeout"),
    ("time", "base_ejection_time"),
    ("total_timeout", "request_timeout"),
    ("unhealthy", "unhealthy_threshold"),
];

/// Words that are values, likewise.
pub(in crate::config) const WORDS: [(&str, &str); 2] =
    [("identifier", "consistent_hash"), ("least_busy", "least_request")];

/// Words that other programs know, and that are no value here on purpose: a word beside which each stands, and what to do.
const UNSUPPORTED: [(&str, &str, &str); 1] =
    [("ES256K", "ES256", "ES256K signs on secp256k1, which is not supported: let the issuer sign with ES256")];

/// What to do about a word that is left out on purpose, where it would stand beside `words`.
pub(crate) fn unsupported(word: &str, words: &[&str]) -> Option<&'static str> {
    let known = UNSUPPORTED.iter().find(|(known, beside, _)| *known == word && words.contains(beside));
    known.map(|(_, _, help)| *help)
}

/// The present name of a key that was called `name`, where `is_known` knows it.
pub(crate) fn key(name: &str, is_known: impl Fn(&str) -> bool) -> Option<&'static str> {
    find(&KEYS, name, is_known)
}

/// The present name of a word that was called `name`, where it is one of `words`.
pub(crate) fn word(name: &str, words: &[&str]) -> Option<&'static str> {
    find(&WORDS, name, |word| words.contains(&word))
}

fn find(table: &[(&str, &'static str)], name: &str, is_known: impl Fn(&str) -> bool) -> Option<&'static str> {
    table.iter().find(|(earlier, present)| *earlier == name && is_known(present)).map(|(_, present)| *present)
}
