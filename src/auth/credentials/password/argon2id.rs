//! argon2id (RFC 9106) as PHC strings: the hashes that this gateway makes.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

use super::work::Kind;
use super::{NEW, Scheme, TOO_CHEAP, TOO_DEAR};
use crate::secret::random_bytes;

/// The least memory, in KiB, and the least number of passes (OWASP, argon2id).
const LEAST_MEMORY: u32 = 19_456;
const LEAST_PASSES: u32 = 2;
/// The most: a hash that costs more would let a few logins use up the machine.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
/// The shortest output, in bytes. That a salt has 8 is part of the format.
const SHORTEST_OUTPUT: usize = 16;

/// A hash whose cost is neither too low nor too high.
pub(super) struct Argon2id {
    hash: phc::PasswordHash,
    text: String,
}

impl Argon2id {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let hash = phc::PasswordHash::new(text)
            .map_err(|_| format!("this is not a password hash ($argon2id$v=19$m=19456,t=2,p=1$...); {NEW}"))?;
        if hash.algorithm.as_str() != "argon2id" {
            return Err(format!("of the argon2 hashes only argon2id is accepted; {NEW}"));
        }
        if hash.version != Some(Version::V0x13.into()) {
            return Err(format!("only version 19 of argon2id is accepted; {NEW}"));
        }
        if ["m", "t", "p"].iter().any(|name| hash.params.get(*name).is_none()) {
            return Err(format!("a hash must name its cost (m=19456,t=2,p=1); {NEW}"));
        }
        let params =
            Params::try_from(&hash).map_err(|_| format!("the parameters of this hash are not right; {NEW}"))?;
        if params.m_cost() < LEAST_MEMORY || params.t_cost() < LEAST_PASSES {
            return Err(format!("{TOO_CHEAP}: m={LEAST_MEMORY} and t={LEAST_PASSES} are the least; {NEW}"));
        }
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES || params.p_cost() > MOST_LANES {
            return Err(format!("{TOO_DEAR}: m={MOST_MEMORY}, t={MOST_PASSES} and p={MOST_LANES} are the most; {NEW}"));
        }
        let (Some(_), Some(output)) = (&hash.salt, &hash.hash) else {
            return Err(format!("this hash has no salt or no output; {NEW}"));
        };
        if output.len() < SHORTEST_OUTPUT {
            return Err(format!("the output of a hash has {SHORTEST_OUTPUT} bytes at least; {NEW}"));
        }
        Ok(Self::new(hash))
    }

    fn new(hash: phc::PasswordHash) -> Self {
        Self { text: hash.to_string(), hash }
    }

    /// A hash of no password, at the cost of [`hash`].
    pub(super) fn dummy() -> Self {
        Self::new(phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc::ParamsString::try_from(hasher().params()).unwrap_or_default(),
            salt: phc::Salt::new(&random_bytes::<16>()).ok(),
            hash: phc::Output::new(&random_bytes::<32>()).ok(),
        })
    }
}

impl Scheme for Argon2id {
    fn kind(&self) -> Kind {
        Kind::Argon2id
    }

    /// KiB of memory times passes.
    fn units(&self) -> u64 {
        Params::try_from(&self.hash).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
    }

    fn weakness(&self) -> Option<String> {
        None
    }

    fn fits(&self, password: &[u8]) -> bool {
        hasher().verify_password(password, &self.hash).is_ok()
    }

    fn decoy(&self) -> Box<dyn Scheme> {
        let mut hash = Self::dummy().hash;
        hash.params = self.hash.params.clone();
        Box::new(Self::new(hash))
    }

    fn text(&self) -> &str {
        &self.text
    }
}

/// The PHC string of a new hash; `None` where there is no memory for it, or the password has more than 4 GiB.
pub(super) fn hash(password: &[u8]) -> Option<String> {
    let hash: phc::PasswordHash = hasher().hash_password_with_salt(password, &random_bytes::<16>()).ok()?;
    Some(hash.to_string())
}

fn hasher() -> Argon2<'static> {
    Argon2::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    #[test]
    fn a_dummy_costs_what_a_hash_costs() {
        let real = Argon2id::parse(&hash(b"x").unwrap()).unwrap().hash;
        let unknown = Argon2id::dummy().hash;
        assert_eq!(unknown.params, real.params);
        assert_eq!(unknown.algorithm, real.algorithm);
        assert_eq!(unknown.version, real.version);
        assert_eq!(unknown.salt.unwrap().len(), real.salt.unwrap().len());
        assert_eq!(unknown.hash.unwrap().len(), real.hash.unwrap().len());
        assert!(Argon2id::parse(&unknown.to_string()).is_ok());
    }
}
