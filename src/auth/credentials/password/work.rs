//! Work of verifications, in units of each kind of hash: how long a unit takes is measured where hashes are verified.

/// Longest password of SHA-crypt, in bytes.
pub(super) const LONGEST: usize = 511;

/// Kinds of hashes whose units take a time of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// KiB of memory times passes.
    Argon2id,
    /// Key expansions.
    Bcrypt,
    /// Iterations with HMAC-SHA-256.
    Pbkdf2Sha256,
    /// Iterations with HMAC-SHA-512.
    Pbkdf2Sha512,
    /// Blocks of 128 bytes.
    Scrypt,
    /// Rounds of SHA-256.
    Sha256Crypt,
    /// Rounds of SHA-512.
    Sha512Crypt,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 7;

    const ALL: [Self; Self::COUNT] = [
        Self::Argon2id,
        Self::Bcrypt,
        Self::Pbkdf2Sha256,
        Self::Pbkdf2Sha512,
        Self::Scrypt,
        Self::Sha256Crypt,
        Self::Sha512Crypt,
    ];

    /// About what a unit takes, in thousandths of a unit of argon2id: only to compare hashes, not to wait for them.
    pub(super) fn usual_thousandths(self) -> u64 {
        match self {
            Self::Argon2id => 1_000,
            Self::Bcrypt => 75_000,
            Self::Pbkdf2Sha256 => 170,
            Self::Pbkdf2Sha512 => 500,
            Self::Scrypt => 350,
            Self::Sha256Crypt => 140,
            Self::Sha512Crypt => 390,
        }
    }

    /// How much longer a unit takes with a password of this many bytes: SHA-crypt hashes it in each round.
    pub fn effort(self, password: usize) -> u64 {
        let (digest, block, padding) = match self {
            Self::Sha256Crypt => (32, 64, 9),
            Self::Sha512Crypt => (64, 128, 17),
            _ => return 1,
        };
        let (password, salt) = (password.min(LONGEST), 16);
        // Blocks of 42 rounds, after which the order of the parts begins again.
        let blocks = |round: usize| {
            let salt = if round.is_multiple_of(3) { 0 } else { salt };
            let again = if round.is_multiple_of(7) { 0 } else { password };
            (digest + password + salt + again + padding).div_ceil(block) as u64
        };
        (0..42).map(blocks).sum()
    }
}

/// Units of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work([u64; Kind::COUNT]);

impl Work {
    pub(super) fn add(&mut self, kind: Kind, units: u64) {
        let sum = &mut self.0[kind as usize];
        *sum = sum.saturating_add(units);
    }

    /// The kinds with their units.
    pub fn by_kind(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0).filter(|(_, units)| *units > 0)
    }

    /// True if it is as much as another, of every kind.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, others)| *own >= others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha_crypt_takes_longer_for_a_longer_password() {
        for kind in Kind::ALL {
            let grows = matches!(kind, Kind::Sha256Crypt | Kind::Sha512Crypt);
            assert_eq!(kind.effort(400) > 4 * kind.effort(8), grows, "{kind:?}");
            assert_eq!(kind.effort(512), kind.effort(8_000));
        }
    }
}
