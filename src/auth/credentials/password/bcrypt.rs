//! bcrypt: `$2a$`, `$2b$` and `$2y$`, which are one algorithm since its early faults were mended.
//!
//! It knows 72 bytes of a password: whoever has a longer one is right with its first 72 bytes. A NUL ends a password in
//! C, and is repeated in the key elsewhere, so that one would stand for another: a password with one fits no hash.

use super::work::Kind;
use super::{NEW, Scheme, TOO_CHEAP, TOO_DEAR};
use crate::secret::random_bytes;

/// The least: what `htpasswd -B` makes.
const LEAST: u32 = 5;
/// What is usual today.
const USUAL: u32 = 10;
/// The most, at two seconds and more.
const MOST: u32 = 15;

/// A hash of 60 characters.
pub(super) struct Bcrypt {
    cost: u32,
    text: String,
}

impl Bcrypt {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version)) {
            return Err(format!("of the bcrypt hashes only $2a$, $2b$ and $2y$ are accepted; {NEW}"));
        }
        let parts: bcrypt::HashParts = text
            .parse()
            .map_err(|_| format!("this bcrypt hash is damaged: it is like $2y$12$ and 53 characters; {NEW}"))?;
        let cost = parts.get_cost();
        if cost < LEAST {
            return Err(format!("{TOO_CHEAP}: cost {LEAST} of bcrypt is the least; {NEW}"));
        }
        if cost > MOST {
            return Err(format!("{TOO_DEAR}: cost {MOST} of bcrypt is the most; {NEW}"));
        }
        Ok(Self { cost, text: text.to_owned() })
    }
}

impl Scheme for Bcrypt {
    fn kind(&self) -> Kind {
        Kind::Bcrypt
    }

    /// Key expansions.
    fn units(&self) -> u64 {
        1 << self.cost
    }

    fn weakness(&self) -> Option<String> {
        (self.cost < USUAL).then(|| format!("bcrypt of cost {}, where {USUAL} is the least today", self.cost))
    }

    fn fits(&self, password: &[u8]) -> bool {
        let fits = bcrypt::verify(password, &self.text).unwrap_or_default();
        fits && !password.contains(&0)
    }

    fn decoy(&self) -> Box<dyn Scheme> {
        // Any 22 and 31 characters of its alphabet are a salt and an output.
        let characters = |count: usize| -> String {
            const ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
            let random = random_bytes::<32>();
            random.iter().take(count).map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect()
        };
        // The last character of each carries fewer bits.
        let text = format!("$2y${:02}${}u{}u", self.cost, characters(21), characters(30));
        Box::new(Self { cost: self.cost, text })
    }

    fn text(&self) -> &str {
        &self.text
    }
}
