//! SHA-crypt of /etc/shadow: `$5$` (SHA-256) and `$6$` (SHA-512), with `rounds=N$` or the usual 5000.
//!
//! Its time grows with the password. One of more than 511 bytes fits no hash, as in libxcrypt, and costs as one of 511.
//! So does one with a NUL, which would end it in C.

use ::sha_crypt::{PasswordVerifier as _, ShaCrypt as Verifier};

use super::work::{Kind, LONGEST};
use super::{NEW, Scheme, TOO_CHEAP, TOO_DEAR};
use crate::secret::random_bytes;

/// Rounds of a hash that names none, and the least.
const DEFAULT: u32 = 5_000;
/// What is usual today.
const USUAL: u32 = 200_000;
/// The most: a second, and some for a password of 511 bytes.
const MOST: u32 = 1_000_000;
/// Characters of a salt, the least and the most.
const SALT: std::ops::RangeInclusive<usize> = 8..=16;

/// A hash.
pub(super) struct ShaCrypt {
    kind: Kind,
    rounds: u32,
    salt: usize,
    text: String,
}

impl ShaCrypt {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let damaged =
            || format!("this SHA-crypt hash is damaged: it is like $6$SALT$HASH or $6$rounds=200000$SALT$HASH; {NEW}");
        let (kind, characters, rest) = match (text.strip_prefix("$5$"), text.strip_prefix("$6$")) {
            (Some(rest), _) => (Kind::Sha256Crypt, 43, rest),
            (_, Some(rest)) => (Kind::Sha512Crypt, 86, rest),
            _ => return Err(damaged()),
        };
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            Some(named) => {
                let (rounds, rest) = named.split_once('$').ok_or_else(damaged)?;
                (rounds.parse().map_err(|_| damaged())?, rest)
            }
            None => (DEFAULT, rest),
        };
        let (salt, output) = rest.split_once('$').ok_or_else(damaged)?;
        let is_base64 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        // The last character carries four bits, or two.
        let last = if kind == Kind::Sha256Crypt { "./0123456789ABCD" } else { "./01" };
        if output.len() != characters
            || !output.ends_with(|end| last.contains(end))
            || !is_base64(output)
            || !is_base64(salt)
        {
            return Err(damaged());
        }
        if !SALT.contains(&salt.len()) {
            return Err(format!("the salt of a SHA-crypt hash has 8 to 16 characters; {NEW}"));
        }
        if rounds < DEFAULT {
            return Err(format!("{TOO_CHEAP}: {DEFAULT} rounds of SHA-crypt are the least; {NEW}"));
        }
        if rounds > MOST {
            return Err(format!("{TOO_DEAR}: {MOST} rounds of SHA-crypt are the most; {NEW}"));
        }
        Ok(Self { kind, rounds, salt: salt.len(), text: text.to_owned() })
    }
}

impl Scheme for ShaCrypt {
    fn kind(&self) -> Kind {
        self.kind
    }

    /// Rounds.
    fn units(&self) -> u64 {
        self.rounds.into()
    }

    fn weakness(&self) -> Option<String> {
        let rounds = self.rounds;
        (rounds < USUAL).then(|| format!("SHA-crypt of {rounds} rounds, where {USUAL} are usual today"))
    }

    fn fits(&self, password: &[u8]) -> bool {
        let known = &password[..password.len().min(LONGEST)];
        let fits = Verifier::default().verify_password(known, self.text.as_str()).is_ok();
        fits && password.len() <= LONGEST && !password.contains(&0)
    }

    fn decoy(&self) -> Box<dyn Scheme> {
        const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let random = random_bytes::<128>();
        let mut random = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
        let salt: String = random.by_ref().take(self.salt).collect();
        // The last character carries fewer bits.
        let (name, bytes) = if self.kind == Kind::Sha256Crypt { ('5', 42) } else { ('6', 85) };
        let output: String = random.take(bytes).collect();
        let text = format!("${name}$rounds={}${salt}${output}.", self.rounds);
        Box::new(Self { text, ..*self })
    }

    fn text(&self) -> &str {
        &self.text
    }
}
