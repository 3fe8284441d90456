//! Digests of secrets that whoever reads the file, or only tries, knows at once.

use std::collections::HashSet;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};

use super::Check;
use crate::hex::hex;

/// What is tried first.
const OBVIOUS: [&str; 32] = [
    "",
    "0",
    "1",
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "abc",
    "abc123",
    "admin",
    "api-key",
    "apikey",
    "asapp",
    "changeit",
    "changeme",
    "default",
    "demo",
    "foo",
    "hello",
    "key",
    "letmein",
    "pass",
    "passw0rd",
    "password",
    "qwerty",
    "root",
    "secret",
    "test",
    "token",
];

/// Their digests, also those of what `echo` writes.
static DIGESTS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let of = |text: &str| hex(digest(&SHA256, text.as_bytes()).as_ref());
    OBVIOUS.iter().flat_map(|word| [of(word), of(&format!("{word}\n"))]).collect()
});

impl Check<'_> {
    /// `make` is the command that makes a random one.
    pub(super) fn not_obvious(&mut self, at: &str, digest: &str, make: &str) {
        if DIGESTS.contains(&digest.to_ascii_lowercase()) {
            let message = "this is the digest of a secret that anybody guesses, such as `password` or an empty one";
            self.add(at, message, format!("run `{make}` and put the digest that it prints here"));
        }
    }
}
