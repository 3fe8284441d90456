//! Hashes of others that are not accepted, by name, so that whoever has them learns what to do.

use super::NEW;

/// What this is, where it is no hash that is accepted.
pub(super) fn fault(text: &str) -> String {
    let weak = |name: &str| {
        format!(
            "{name} is guessed in no time and not accepted; {NEW}, or `htpasswd -B -C 12` once the password is known"
        )
    };
    let has = |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let is_des = text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    let is_hex = matches!(text.len(), 32 | 40 | 64 | 128) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if has("$apr1$") || has("$1$") || has("{MD5}") || has("{SMD5}") {
        weak("an MD5 hash (apr1)")
    } else if has("{SHA") || has("{SSHA") || has("$sha1$") {
        weak("a single SHA digest")
    } else if is_hex {
        weak("an MD5 or SHA digest; this is not a password hash and")
    } else if is_des || text.starts_with('_') {
        weak("a DES hash of crypt")
    } else if has("{PLAIN}") || has("{CLEARTEXT}") {
        weak("a password in plain text")
    } else if has("$y$") || has("$gy$") || has("$7$") {
        format!("yescrypt hashes are not accepted; {NEW}")
    } else {
        format!(
            "this is not a password hash (argon2id, bcrypt, scrypt, PBKDF2 or SHA-crypt, such as \
             $argon2id$v=19$m=19456,t=2,p=1$...); {NEW}"
        )
    }
}
