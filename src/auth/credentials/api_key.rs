//! API keys. Only the SHA-256 of a key is kept: a key is 256 random bits, so nothing slower is needed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::password::random_text;
use crate::key_validity::LastUse;
use aws_lc_rs::digest::{SHA256, digest as sha};
use ipnet::IpNet;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The SHA-256 of a whole key, as it is sent.
pub type Digest = [u8; 32];

/// The digest of a key.
pub fn digest(key: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(sha(&SHA256, key).as_ref());
    bytes
}

/// Short name of a key for operators, distinct among keys of the same id: the beginning of its digest, in hex.
pub fn version(digest: &Digest) -> String {
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new key for this id, to be shown once, and its digest in hex, for the configuration: `wgk_ID.SECRET`, which those
/// who search texts for lost secrets can recognise.
pub fn generate(id: &str) -> (Zeroizing<String>, String) {
    let plain: String =
        id.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' }).collect();
    let key = random_text(&format!("wgk_{plain}."));
    let hex = digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    (key, hex)
}

/// The digest that is written in hex, in small or capital letters.
///
/// # Errors
/// It is not 64 hexadecimal digits; the sentence says how to make one.
pub fn parse_digest(hex: &str) -> Result<Digest, String> {
    let fault = || {
        "this is not a SHA-256 in hex (64 digits 0-9 a-f); `wicketgate new api-key` makes a key and its SHA-256"
            .to_owned()
    };
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(fault());
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(|_| fault())?;
    }
    Ok(bytes)
}

/// An API key as configured.
#[derive(Debug)]
pub struct ApiKey {
    /// Its name.
    pub id: Arc<str>,
    /// The only client that may use it.
    pub client: Option<Arc<str>>,
    /// The numbers of the routes that it opens, sorted.
    pub routes: Vec<u32>,
    /// The networks that it may be used from; empty: any.
    pub allow: Vec<IpNet>,
}

/// One of the secrets that an API key's id stands for.
#[derive(Debug, Clone)]
pub struct ApiKeyVersion {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The first second, since 1970, in which it is no longer good.
    pub until: u64,
    /// The time of its last use.
    pub used: Arc<LastUse>,
}

/// Keys by digest.
#[derive(Debug)]
pub struct ApiKeys<T>(HashMap<Digest, T>);

impl<T> Default for ApiKeys<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> ApiKeys<T> {
    /// A table of these keys.
    ///
    /// # Errors
    /// The value of the first digest that occurs twice.
    pub fn new(keys: impl IntoIterator<Item = (Digest, T)>) -> Result<Self, T> {
        let mut table = HashMap::new();
        for (digest, value) in keys {
            match table.entry(digest) {
                Entry::Vacant(free) => {
                    free.insert(value);
                }
                Entry::Occupied(_) => return Err(value),
            }
        }
        Ok(Self(table))
    }

    /// All of them, by digest.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &T)> {
        self.0.iter()
    }

    /// The value of the key with this digest; `None` for a key that is not configured.
    ///
    /// The table is searched by digest, which whoever sends the key cannot steer byte by byte, and the digests are then
    /// compared in constant time.
    pub fn find(&self, sent: &Digest) -> Option<&T> {
        let (known, value) = self.0.get_key_value(sent)?;
        bool::from(known.ct_eq(sent)).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    #[test]
    fn the_digest_is_sha_256_of_the_whole_key() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(digest(b"test"), parse_digest(hex).unwrap());
        assert_eq!(digest(b"test"), parse_digest(&hex.to_uppercase()).unwrap());
        assert_ne!(digest(b"test "), parse_digest(hex).unwrap());
    }

    #[test]
    fn a_new_key_is_found_by_its_digest() {
        let (key, hex) = generate("asapp prod");
        assert!(key.starts_with("wgk_asapp-prod.") && key.len() == 15 + 43, "{}", key.len());
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        let keys = ApiKeys::new([(parse_digest(&hex).unwrap(), "asapp"), (digest(b"other"), "other")]).unwrap();
        assert_eq!(keys.find(&digest(key.as_bytes())), Some(&"asapp"));
        assert_eq!(keys.find(&digest(b"other")), Some(&"other"));
        for wrong in [&key.as_bytes()[1..], hex.as_bytes(), b"", b"Other"] {
            assert_eq!(keys.find(&digest(wrong)), None);
        }
        assert_ne!(*key, *generate("asapp prod").0);
    }

    #[test]
    fn the_same_key_twice_is_a_fault() {
        let table = ApiKeys::new([(digest(b"a"), 1), (digest(b"b"), 2), (digest(b"a"), 3)]);
        assert_eq!(table.map(|_| ()).unwrap_err(), 3);
    }

    #[test]
    fn what_is_no_digest_says_what_to_do() {
        for text in ["", "9f86", &"g".repeat(64), &"+f".repeat(32), &"é".repeat(32), &"0".repeat(65), &"0".repeat(63)]
        {
            assert!(parse_digest(text).unwrap_err().contains("wicketgate new api-key"), "{text}");
        }
    }
}
