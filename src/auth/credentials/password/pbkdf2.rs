//! PBKDF2 (RFC 8018) with HMAC-SHA-256 or HMAC-SHA-512, in its three spellings: `$pbkdf2-sha256$i=600000,l=32$SALT$HASH`
//! (PHC), `$pbkdf2-sha256$600000$SALT$HASH` (passlib) and `pbkdf2_sha256$600000$SALT$HASH` (Django).

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::work::Kind;
use super::{NEW, Scheme, TOO_CHEAP, TOO_DEAR};
use crate::hex::hex;
use crate::secret::random_bytes;

/// The least iterations, and the most.
const LEAST: u32 = 10_000;
const MOST: u32 = 10_000_000;
/// Bytes of a salt and of an output, the least and the most.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
const OUTPUT: std::ops::RangeInclusive<usize> = 16..=64;

#[derive(Clone, Copy)]
enum Digest {
    Sha256,
    Sha512,
}

impl Digest {
    /// Iterations that are usual today (OWASP), and bytes of the digest.
    fn usual(self) -> (u32, usize) {
        match self {
            Self::Sha256 => (600_000, 32),
            Self::Sha512 => (210_000, 64),
        }
    }
}

/// A hash, as any of the spellings has it.
pub(super) struct Pbkdf2 {
    digest: Digest,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    output: Vec<u8>,
    text: String,
}

impl Pbkdf2 {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let damaged = || {
            format!(
                "this PBKDF2 hash is damaged: it is like $pbkdf2-sha256$i=600000,l=32$SALT$HASH, \
                 $pbkdf2-sha256$600000$SALT$HASH or pbkdf2_sha256$600000$SALT$HASH; {NEW}"
            )
        };
        let is_django = !text.starts_with('$');
        let mut fields = text.trim_start_matches('$').split('$');
        let mut field = || fields.next().filter(|field| !field.is_empty()).ok_or_else(damaged);
        let [name, cost, salt, output] = [field()?, field()?, field()?, field()?];
        let digest = match name {
            "pbkdf2-sha256" | "pbkdf2_sha256" => Digest::Sha256,
            "pbkdf2-sha512" | "pbkdf2_sha512" => Digest::Sha512,
            _ => return Err(format!("of the PBKDF2 hashes only those with SHA-256 and SHA-512 are accepted; {NEW}")),
        };
        let (salt, output) = match is_django {
            true => (salt.as_bytes().to_vec(), STANDARD.decode(output).map_err(|_| damaged())?),
            false => (decode(salt).ok_or_else(damaged)?, decode(output).ok_or_else(damaged)?),
        };
        let (iterations, length) = iterations(cost).ok_or_else(damaged)?;
        if fields.next().is_some() || length.is_some_and(|length| length != output.len()) {
            return Err(damaged());
        }
        if !SALT.contains(&salt.len()) || !OUTPUT.contains(&output.len()) {
            return Err(format!("a PBKDF2 hash has a salt of 8 to 64 bytes and an output of 16 to 64; {NEW}"));
        }
        if iterations.get() < LEAST {
            return Err(format!("{TOO_CHEAP}: {LEAST} iterations of PBKDF2 are the least; {NEW}"));
        }
        if iterations.get() > MOST {
            return Err(format!("{TOO_DEAR}: {MOST} iterations of PBKDF2 are the most; {NEW}"));
        }
        Ok(Self { digest, iterations, salt, output, text: text.to_owned() })
    }
}

/// passlib writes `.` for `+`.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text.replace('.', "+")).ok()
}

/// The iterations, and the length of the output where it is named: `600000`, or `i=600000,l=32`.
fn iterations(text: &str) -> Option<(NonZeroU32, Option<usize>)> {
    let Some(named) = text.strip_prefix("i=") else { return Some((text.parse().ok()?, None)) };
    match named.split_once(",l=") {
        Some((iterations, length)) => Some((iterations.parse().ok()?, Some(length.parse().ok()?))),
        None => Some((named.parse().ok()?, None)),
    }
}

impl Scheme for Pbkdf2 {
    fn kind(&self) -> Kind {
        match self.digest {
            Digest::Sha256 => Kind::Pbkdf2Sha256,
            Digest::Sha512 => Kind::Pbkdf2Sha512,
        }
    }

    /// Iterations of all blocks of the output.
    fn units(&self) -> u64 {
        let (_, block) = self.digest.usual();
        u64::from(self.iterations.get()) * self.output.len().div_ceil(block) as u64
    }

    fn weakness(&self) -> Option<String> {
        let (usual, _) = self.digest.usual();
        let iterations = self.iterations.get();
        (iterations < usual).then(|| format!("PBKDF2 of {iterations} iterations, where {usual} are the least today"))
    }

    fn fits(&self, password: &[u8]) -> bool {
        let algorithm = match self.digest {
            Digest::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Digest::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        pbkdf2::verify(algorithm, self.iterations, &self.salt, password, &self.output).is_ok()
    }

    fn decoy(&self) -> Box<dyn Scheme> {
        let output = random_bytes::<64>()[..self.output.len()].to_vec();
        let salt = random_bytes::<64>()[..self.salt.len()].to_vec();
        Box::new(Self { text: hex(&output), output, salt, ..*self })
    }

    fn text(&self) -> &str {
        &self.text
    }
}
